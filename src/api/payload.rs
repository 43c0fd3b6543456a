//! JSON in and out. A body is parsed strictly: a member that is there twice is a fault.
//!
//! Not here: what the members mean. A request body stays a value until its reader has it.
use std::marker::PhantomData;

use poem::{FromRequest, IntoResponse, Request, RequestBody, Response};
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::{ParseFromJSON, ToJSON, Type};
use poem_openapi::{ApiResponse, impl_apirequest_for_payload};
use serde_json::Value;

use crate::api::error::ApiError;
use crate::api::json;

/// An answer.
#[derive(Debug)]
pub(super) struct JsonText<T>(pub T);

impl<T: Type> Payload for JsonText<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: ToJSON> IntoResponse for JsonText<T> {
    fn into_response(self) -> Response {
        Response::builder().content_type("application/json").body(self.0.to_json_string())
    }
}

impl<T: ToJSON> ApiResponse for JsonText<T> {
    fn meta() -> MetaResponses {
        let schema = Self::schema_ref();
        let content = vec![MetaMediaType { content_type: Self::CONTENT_TYPE, schema }];
        let status = Some(200);
        let (description, status_range, headers) = ("The answer.", None, Vec::new());
        let response = MetaResponse { description, status, status_range, content, headers };
        MetaResponses { responses: vec![response] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// A body whose schema is `T`'s; a reader of its own says what is wrong with it.
#[derive(Debug)]
pub(super) struct JsonBody<T> {
    /// What was sent.
    pub value: Value,
    schema: PhantomData<T>,
}

impl<T: Type> Payload for JsonBody<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn check_content_type(content_type: &str) -> bool {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: ParseFromJSON> ParsePayload for JsonBody<T> {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        let text = Vec::<u8>::from_request(request, body).await?;
        let value = json::parse(&text).map_err(|faults| ApiError::invalid("the body is not valid JSON", faults))?;
        Ok(Self { value, schema: PhantomData })
    }
}

impl_apirequest_for_payload!(JsonBody<T>, T: ParseFromJSON);
