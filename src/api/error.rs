//! What an operation answers instead of its result: a closed list of kinds, one table, one renderer.
//!
//! Whatever goes wrong (a handler, the router, a body, a panic) becomes an [`ApiError`] in
//! [`ApiError::of`] and leaves the server through [`ApiError::render`].
use std::time::Duration;

use poem::http::{HeaderValue, StatusCode, header};
use poem::{Response, error as poem_error};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object, error as openapi_error};

use crate::api::core::{CancelError, DeleteError, ReadError, RemoveError, SelfTestError, SubmitError};
use crate::api::payload::JsonText;
use crate::api::request_id::RequestId;
use crate::api::view;
use crate::base::fault::{Fault, Faults};
use crate::base::time::Timestamp;

/// What went wrong (contract rule 24).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request says something that is not possible.
    InvalidRequest,
    /// The caller may not do this.
    Forbidden,
    /// There is no such thing, or none for this caller.
    NotFound,
    /// The thing has no such method.
    MethodNotAllowed,
    /// No such version of the answer.
    NotAcceptable,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The body is too large.
    PayloadTooLarge,
    /// The body is of a type that is not read.
    UnsupportedMediaType,
    /// The thing is in a state that does not allow this.
    Conflict,
    /// The path with its query is too long.
    UriTooLong,
    /// The header fields are too many or too long.
    HeadersTooLarge,
    /// There are no bytes in the range that was asked for.
    RangeNotSatisfiable,
    /// kiln failed.
    Internal,
    /// Not now.
    Unavailable,
    /// A part of kiln did not answer in time.
    HandlerTimeout,
}

impl Kind {
    /// Every kind, in the order of its status.
    const ALL: [Self; 15] = [
        Self::InvalidRequest,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::Conflict,
        Self::PayloadTooLarge,
        Self::UriTooLong,
        Self::UnsupportedMediaType,
        Self::RangeNotSatisfiable,
        Self::HeadersTooLarge,
        Self::Internal,
        Self::Unavailable,
        Self::HandlerTimeout,
    ];

    /// The table: status, code, and what the document says.
    const fn row(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::InvalidRequest => {
                (S::BAD_REQUEST, "INVALID_REQUEST", "The request is not valid; details name every fault")
            }
            Self::Forbidden => (S::FORBIDDEN, "FORBIDDEN", "The caller may not do this"),
            Self::NotFound => (S::NOT_FOUND, "NOT_FOUND", "There is no such thing"),
            Self::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "Allow names the methods"),
            Self::NotAcceptable => (S::NOT_ACCEPTABLE, "NOT_ACCEPTABLE", "No such version"),
            Self::RequestTimeout => (S::REQUEST_TIMEOUT, "TIMEOUT", "The request did not arrive in time"),
            Self::PayloadTooLarge => (S::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", "The body is too large"),
            Self::UnsupportedMediaType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", "The body is of another type")
            }
            Self::Conflict => (S::CONFLICT, "CONFLICT", "It conflicts with what is there; nothing was changed"),
            Self::UriTooLong => (S::URI_TOO_LONG, "URI_TOO_LONG", "The path with its query is too long"),
            Self::HeadersTooLarge => {
                (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "HEADERS_TOO_LARGE", "The header fields are too many or too long")
            }
            Self::RangeNotSatisfiable => {
                (S::RANGE_NOT_SATISFIABLE, "RANGE_NOT_SATISFIABLE", "There are no bytes in this range")
            }
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "kiln failed"),
            Self::Unavailable => (S::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", "Not now; Retry-After says when"),
            Self::HandlerTimeout => (S::GATEWAY_TIMEOUT, "TIMEOUT", "A part of kiln did not answer in time"),
        }
    }
}

/// An error on its way to a client.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What kind.
    pub kind: Kind,
    /// For people.
    pub message: String,
    /// Each fault with its field.
    pub details: Vec<Fault>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// For a wrong method: the right ones.
    pub allow: Option<String>,
    /// For a wrong range: how many bytes there are.
    pub bytes: Option<u64>,
}

impl ApiError {
    /// An error without details.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind, message, details: Vec::new(), retry_after: None, allow: None, bytes: None }
    }

    /// A request with these faults.
    pub fn invalid(message: &str, faults: Faults) -> Self {
        Self { details: faults.into_vec(), ..Self::new(Kind::InvalidRequest, message) }
    }

    /// What a failed call of the router is about.
    pub fn of(error: &poem::Error) -> Self {
        if let Some(own) = error.downcast_ref::<Self>() {
            return own.clone();
        }
        if let Some(error) = error.downcast_ref::<openapi_error::ParseParamError>() {
            let mut faults = Faults::default();
            faults.add(error.name, error.reason.as_str());
            return Self::invalid("a parameter is not valid", faults);
        }
        if error.is::<poem_error::NotFoundError>() {
            return Self::new(Kind::NotFound, "there is nothing at this path");
        }
        if error.is::<poem_error::MethodNotAllowedError>() {
            return Self::new(Kind::MethodNotAllowed, "this path does not have this method");
        }
        if error.is::<openapi_error::ContentTypeError>() {
            let message = "the body is of a type that is not read here; the OpenAPI document names the right one";
            return Self::new(Kind::UnsupportedMediaType, message);
        }
        if error.status().is_client_error() {
            return Self::new(Kind::InvalidRequest, error.to_string());
        }
        tracing::error!(%error, "a handler failed");
        Self::new(Kind::Internal, "internal error")
    }

    /// The answer, in the format of the execution family.
    pub fn render(&self, id: &RequestId, now: Timestamp) -> Response {
        let (status, code, _) = self.kind.row();
        let detail = |fault: &Fault| ErrorDetail { field: fault.field.clone(), message: fault.message.clone() };
        let body = ErrorBody {
            error: ErrorInfo {
                code: code.to_owned(),
                message: self.message.clone(),
                details: self.details.iter().map(detail).collect(),
                request_id: id.as_str().to_owned(),
                timestamp: view::moment(now),
            },
        };
        let mut response = poem::IntoResponse::into_response(JsonText(body));
        response.set_status(status);
        let headers = response.headers_mut();
        if let Some(allow) = self.allow.as_ref().and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        if let Some(range) = self.bytes.and_then(|bytes| HeaderValue::from_str(&format!("bytes */{bytes}")).ok()) {
            headers.insert(header::CONTENT_RANGE, range);
        }
        if let Some(retry_after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
        }
        response
    }
}

impl From<Faults> for ApiError {
    fn from(faults: Faults) -> Self {
        Self::invalid("The request is invalid", faults)
    }
}

impl From<CancelError> for ApiError {
    fn from(error: CancelError) -> Self {
        let message = error.to_string();
        match error {
            CancelError::Over => Self::new(Kind::Conflict, message),
            CancelError::Store(reason) => {
                tracing::error!(reason, "the end of a job could not be stored");
                Self::new(Kind::Internal, "the end of the job could not be stored")
            }
        }
    }
}

impl From<DeleteError> for ApiError {
    fn from(error: DeleteError) -> Self {
        let message = error.to_string();
        match error {
            DeleteError::Unfinished => Self::new(Kind::Conflict, message),
            DeleteError::Store(reason) => {
                tracing::error!(reason, "a job could not be removed");
                Self::new(Kind::Internal, "the job could not be removed")
            }
        }
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        let message = error.to_string();
        match error {
            SubmitError::Full { retry_after_s } => {
                let retry_after = Some(Duration::from_secs(u64::from(retry_after_s)));
                Self { retry_after, ..Self::new(Kind::Unavailable, message) }
            }
            SubmitError::KeyTaken => Self::new(Kind::Conflict, message),
            SubmitError::Stopping => {
                let retry_after = Some(Duration::from_secs(1));
                Self { retry_after, ..Self::new(Kind::Unavailable, message) }
            }
            SubmitError::Store(reason) => {
                tracing::error!(reason, "a job could not be stored");
                Self::new(Kind::Internal, "the job could not be stored")
            }
        }
    }
}

impl From<RemoveError> for ApiError {
    fn from(error: RemoveError) -> Self {
        let message = error.to_string();
        match error {
            RemoveError::Unknown => Self::new(Kind::NotFound, message),
            RemoveError::InUse => Self::new(Kind::Conflict, message),
            RemoveError::Failed(_) => {
                tracing::error!(message, "an image is not removed");
                Self::new(Kind::Internal, "the image could not be removed; the log of kiln says why")
            }
        }
    }
}

impl From<SelfTestError> for ApiError {
    fn from(error: SelfTestError) -> Self {
        let message = error.to_string();
        match error {
            SelfTestError::UnderWay => Self::new(Kind::Conflict, message),
            SelfTestError::Failed(reason) => {
                tracing::error!(reason, "a self-test failed");
                Self::new(Kind::Internal, "the self-test failed")
            }
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        tracing::error!(%error, "a job could not be read");
        Self::new(Kind::Internal, "the job could not be read")
    }
}

impl poem_error::ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        self.kind.row().0
    }
}

/// Every error.
#[derive(Debug, Object)]
struct ErrorBody {
    /// What went wrong.
    error: ErrorInfo,
}

/// What went wrong.
#[derive(Debug, Object)]
struct ErrorInfo {
    /// For programs: `INVALID_REQUEST`, `NOT_FOUND`, …
    code: String,
    /// For people.
    message: String,
    /// Every fault of the request with its field.
    details: Vec<ErrorDetail>,
    /// The `X-Request-Id` of this answer.
    request_id: String,
    /// When it went wrong.
    timestamp: String,
}

/// One fault of a request.
#[derive(Debug, Object)]
struct ErrorDetail {
    /// Dotted path of the field: `limits.cpu_time`, `args[2]`.
    field: String,
    /// What is wrong and what would be right.
    message: String,
}

impl ApiResponse for ApiError {
    fn meta() -> MetaResponses {
        let response = |kind: Kind| {
            let (status, _, description) = kind.row();
            MetaResponse {
                description,
                status: Some(status.as_u16()),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: JsonText::<ErrorBody>::CONTENT_TYPE,
                    schema: ErrorBody::schema_ref(),
                }],
                headers: Vec::new(),
            }
        };
        MetaResponses { responses: Kind::ALL.map(response).into() }
    }

    fn register(registry: &mut Registry) {
        ErrorBody::register(registry);
    }
}
