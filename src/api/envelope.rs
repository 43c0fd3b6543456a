//! Around every request: a name, a version, a bounded body, and an answer in this family's format
//! whatever happens inside.
use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use poem::http::{HeaderValue, header};
use poem::{Body, Endpoint, IntoResponse as _, Request, Response};

use crate::api::error::{ApiError, Kind};
use crate::api::request_id::{self, RequestId};
use crate::api::routes::Allowed;
use crate::api::state::ApiState;
use crate::api::{body, head, version};

/// An endpoint that never fails, around one that may.
#[derive(Debug)]
pub(super) struct Envelope<E> {
    pub(super) inner: E,
    pub(super) state: ApiState,
    pub(super) allowed: Allowed,
}

impl<E: Endpoint> Endpoint for Envelope<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let id = RequestId::of(request.headers());
        let vendor_type = version::wanted(&request);
        let answer = self.answer(request).await;
        let mut response = answer.unwrap_or_else(|error| error.render(&id, self.state.clock.now()));
        let headers = response.headers_mut();
        if let Some(vendor_type) = vendor_type
            && headers.get(header::CONTENT_TYPE).is_some_and(|value| value == "application/json")
        {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(vendor_type));
        }
        if let Ok(value) = HeaderValue::from_str(id.as_str()) {
            headers.insert(request_id::HEADER, value);
        }
        headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
        Ok(response)
    }
}

impl<E: Endpoint> Envelope<E> {
    async fn answer(&self, mut request: Request) -> Result<Response, ApiError> {
        head::check(&request)?;
        let settings = &self.state.settings;
        let body = body::read(&mut request, settings.max_request_size, settings.request_time).await?;
        version::check(&request)?;
        request.set_body(Body::from(body));
        request.extensions_mut().insert(self.state.everybody.clone());
        let path = request.uri().path().to_owned();
        match AssertUnwindSafe(self.inner.call(request)).catch_unwind().await {
            Ok(Ok(response)) => Ok(response.into_response()),
            Ok(Err(error)) => Err(self.with_allow(ApiError::of(&error), &path)),
            Err(panic) => Err(panicked(panic.as_ref(), &path)),
        }
    }

    fn with_allow(&self, error: ApiError, path: &str) -> ApiError {
        let names_methods = error.kind == Kind::MethodNotAllowed;
        let allow = if names_methods { self.allowed.at(path) } else { error.allow };
        ApiError { allow, ..error }
    }
}

fn panicked(panic: &(dyn Any + Send), path: &str) -> ApiError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(path, reason = text.unwrap_or("unknown"), "a handler panicked");
    ApiError::new(Kind::Internal, "internal error")
}
