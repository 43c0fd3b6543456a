//! Which version of the API a request wants (contract rules 19, 26). There is one: 1.
use poem::Request;
use poem::http::header;

use crate::api::error::{ApiError, Kind};

const KNOWN_TYPES: [&str; 2] = ["application/vnd.forgeai.v1+json", "application/vnd.kiln.v1+json"];

/// Refuses a version that is not served, by `?v=` or by a vendor media type.
///
/// # Errors
/// 406, naming what was asked for and what there is.
pub(super) fn check(request: &Request) -> Result<(), ApiError> {
    let path = request.uri().path();
    if path != "/v1" && !path.starts_with("/v1/") {
        return Ok(());
    }
    let query = request.uri().query().unwrap_or_default();
    let version = query.split('&').filter_map(|pair| pair.strip_prefix("v=")).find(|v| *v != "1");
    if let Some(version) = version {
        let message = format!("version `{}` is not served; `v=1` is", clean(version));
        return Err(ApiError::new(Kind::NotAcceptable, message));
    }
    let accept = request.headers().get_all(header::ACCEPT).iter();
    let accept: Vec<&str> = accept.filter_map(|value| value.to_str().ok()).collect();
    check_accept(&accept.join(","))
}

/// The vendor type that a client wants its answer to have; none where plain JSON will do.
pub(super) fn wanted(request: &Request) -> Option<&'static str> {
    let accept = request.headers().get_all(header::ACCEPT).iter();
    let accept = accept.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    let types = accept.map(|item| item.split(';').next().unwrap_or_default().trim().to_lowercase());
    let mut known = types.map(|item| KNOWN_TYPES.into_iter().find(|known| *known == item));
    let first = known.next().flatten()?;
    known.all(|other| other.is_some()).then_some(first)
}

/// A vendor type that is not known is refused, unless something else is acceptable as well.
fn check_accept(accept: &str) -> Result<(), ApiError> {
    let types = accept.split(',').map(|item| item.split(';').next().unwrap_or_default().trim());
    let types: Vec<String> = types.filter(|item| !item.is_empty()).map(str::to_lowercase).collect();
    let unknown = |item: &String| item.starts_with("application/vnd.") && !KNOWN_TYPES.contains(&item.as_str());
    match types.first() {
        Some(first) if types.iter().all(unknown) => {
            let known = KNOWN_TYPES.join(", ");
            let message = format!("`{}` is not served; known: application/json, {known}", clean(first));
            Err(ApiError::new(Kind::NotAcceptable, message))
        }
        _ => Ok(()),
    }
}

fn clean(text: &str) -> String {
    crate::job::request::fields::shown(text)
}
