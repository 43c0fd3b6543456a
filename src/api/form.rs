//! A form (`multipart/form-data`, RFC 7578) to the value that a JSON body would be.
//!
//! Fields of text are taken as they are; the others hold JSON. Files are parts named `file`, each with
//! a name. Not here: what the members mean.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use multer::{Constraints, Field, Multipart, SizeLimit};
use poem::http::header;
use poem::{FromRequest, Request, RequestBody};
use poem_openapi::impl_apirequest_for_payload;
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::{ParseFromJSON, Type};
use serde_json::{Map, Value, json};

use crate::api::error::{ApiError, Kind};
use crate::api::json;
use crate::base::fault::Faults;
use crate::job::request;
use crate::job::request::fields::{FAULTS_AT_MOST, shown};
use crate::job::request::files::FILES_AT_MOST;

/// Fields whose value is the text itself.
const TEXTS: [&str; 5] = ["language", "version", "entrypoint", "stdin", "stdin_base64"];
/// Members of a JSON body that a form has not: it is for files.
const ELSEWHERE: [&str; 3] = ["code", "image", "command"];
/// Name of the parts that are files.
const FILE: &str = "file";
/// The member that they become.
const FILES: &str = "files";
/// Parts of one form.
const PARTS_AT_MOST: usize = FILES_AT_MOST + 64;

/// A form whose schema is `T`'s; a reader of its own says what is wrong with it.
#[derive(Debug)]
pub(super) struct FormBody<T> {
    /// What was sent, as the JSON body that says the same.
    pub value: Value,
    schema: std::marker::PhantomData<T>,
}

impl<T: Type> Payload for FormBody<T> {
    const CONTENT_TYPE: &'static str = "multipart/form-data";

    fn check_content_type(content_type: &str) -> bool {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("multipart/form-data")
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: ParseFromJSON> ParsePayload for FormBody<T> {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let boundary = multer::parse_boundary(content_type).map_err(|error| {
            ApiError::new(Kind::InvalidRequest, format!("the form cannot be read: {error} (RFC 7578, section 4.1)"))
        })?;
        let bytes = Bytes::from(Vec::<u8>::from_request(request, body).await?);
        let value = read(bytes, boundary).await.map_err(|faults| ApiError::invalid("the form is not valid", faults))?;
        Ok(Self { value, schema: std::marker::PhantomData })
    }
}

impl_apirequest_for_payload!(FormBody<T>, T: ParseFromJSON);

/// Reads a whole form, whose parts this boundary separates (RFC 2046, section 5.1.1).
///
/// # Errors
/// Every part that is at fault; a form that breaks off has the fault of its body beside those before it.
pub async fn read(bytes: Bytes, boundary: String) -> Result<Value, Faults> {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let whole = futures_util::stream::once(std::future::ready(Ok::<_, std::convert::Infallible>(bytes)));
    let bounds = Constraints::new().size_limit(SizeLimit::new().whole_stream(size.max(1)));
    let mut form = Multipart::with_constraints(whole, boundary, bounds);
    let mut reading = Reading::default();
    let mut parts = 0_usize;
    loop {
        match form.next_field().await {
            Ok(None) => break,
            Ok(Some(_)) if parts >= PARTS_AT_MOST => {
                reading.fault("body", format!("the form has more than {PARTS_AT_MOST} parts"));
                break;
            }
            Ok(Some(field)) => {
                parts = parts.saturating_add(1);
                if let Err(error) = reading.take(field).await {
                    reading.fault("body", format!("the form cannot be read: {error}"));
                    break;
                }
            }
            Err(error) => {
                reading.fault("body", format!("the form cannot be read: {error}"));
                break;
            }
        }
    }
    reading.finish()
}

#[derive(Default)]
struct Reading {
    members: Map<String, Value>,
    files: Vec<Value>,
    faults: Faults,
}

impl Reading {
    async fn take(&mut self, field: Field<'_>) -> Result<(), multer::Error> {
        let name = field.name().map(str::to_owned);
        let path = field.file_name().map(str::to_owned);
        let content = field.bytes().await?;
        match (name, path) {
            (None, _) => self.fault("body", String::from("a part of the form has no name")),
            (Some(name), Some(path)) if name == FILE => {
                self.files.push(json!({"path": path, "content_base64": STANDARD.encode(&content)}));
            }
            (Some(name), None) if name == FILE => {
                let field = format!("{FILE}[{}]", self.files.len());
                self.fault(&field, String::from("the part needs a filename, which is the path of the file"));
            }
            (Some(name), _) if name == FILES => {
                self.fault(FILES, format!("give the files as parts named `{FILE}`"));
            }
            (Some(name), _) if ELSEWHERE.contains(&name.as_str()) => {
                self.fault(&name, String::from("goes with POST /v1/execute; a form is for files"));
            }
            (Some(name), _) if self.members.contains_key(&name) => {
                self.fault(&shown(&name), String::from("is given twice"));
            }
            (Some(name), _) => self.member(name, &content),
        }
        Ok(())
    }

    fn member(&mut self, name: String, content: &[u8]) {
        if TEXTS.contains(&name.as_str()) {
            match std::str::from_utf8(content) {
                Ok(text) => drop(self.members.insert(name, json!(text))),
                Err(_invalid) => self.fault(&shown(&name), String::from("is not UTF-8")),
            }
            return;
        }
        match json::parse(content) {
            // Its reader says so.
            _ if !request::FIELDS.contains(&name.as_str()) => drop(self.members.insert(name, Value::Null)),
            Ok(value) => drop(self.members.insert(name, value)),
            Err(faults) => {
                let shown = shown(&name);
                for fault in faults.into_vec() {
                    let inside = if fault.field == "body" { String::new() } else { format!(".{}", fault.field) };
                    self.fault(&format!("{shown}{inside}"), fault.message);
                }
                self.members.insert(name, Value::Null);
            }
        }
    }

    fn fault(&mut self, field: &str, message: String) {
        if self.faults.as_slice().len() < FAULTS_AT_MOST {
            self.faults.add(field, message);
        }
    }

    fn finish(mut self) -> Result<Value, Faults> {
        // A form that breaks off, or whose files are at fault, has its fault already.
        if self.files.is_empty() && self.faults.is_empty() {
            self.fault(FILE, format!("required: at least one part named `{FILE}`, with a filename"));
        }
        if self.faults.is_empty() {
            if !self.files.is_empty() {
                self.members.insert(String::from(FILES), Value::Array(self.files));
            }
            Ok(Value::Object(self.members))
        } else {
            Err(self.faults)
        }
    }
}
