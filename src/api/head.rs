//! Bounds on what comes before the body.
use poem::Request;

use crate::api::error::{ApiError, Kind};

/// Bytes of the path with its query.
const URI_AT_MOST: usize = 8 << 10;
/// Header fields.
const FIELDS_AT_MOST: usize = 100;
/// Bytes of all header fields, names and values.
const FIELD_BYTES_AT_MOST: usize = 64 << 10;

/// Refuses a head that is too large.
///
/// # Errors
/// 414 and 431, with the ceiling.
pub(super) fn check(request: &Request) -> Result<(), ApiError> {
    let uri = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
    if uri > URI_AT_MOST {
        let message = format!("the path with its query has {uri} bytes, the ceiling is {URI_AT_MOST}");
        return Err(ApiError::new(Kind::UriTooLong, message));
    }
    let headers = request.headers();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len().saturating_add(value.len())).sum();
    if headers.len() > FIELDS_AT_MOST || bytes > FIELD_BYTES_AT_MOST {
        let count = headers.len();
        let message = format!(
            "{count} header fields of {bytes} bytes; the ceilings are {FIELDS_AT_MOST} and {FIELD_BYTES_AT_MOST}"
        );
        return Err(ApiError::new(Kind::HeadersTooLarge, message));
    }
    Ok(())
}
