//! A record as bytes: its request apart from the rest, because only the rest ever changes.
//!
//! Bytes that cannot be read, or that another version wrote, give an error that names the record.
use serde::Serialize;
use serde_json::Value;

use super::fault::StoreError;
use crate::base::id::{JobId, LogId};
use crate::job::record::{Attempt, Head, Record, SCHEMA, Wanted};
use crate::job::state::State;

/// A record without its request, whose length stands in its place.
#[derive(Serialize)]
struct Body<'a> {
    head: &'a Head,
    id: JobId,
    request: u64,
    wanted: Wanted,
    observed: &'a State,
    attempts: &'a [Attempt],
    log: LogId,
}

/// The request of a record.
pub(super) fn request(record: &Record) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(&record.request).map_err(|error| damaged(record.id, &error))
}

/// All of a record but its request, which has so many bytes.
pub(super) fn body(record: &Record, request_bytes: u64) -> Result<Vec<u8>, StoreError> {
    let Record { head, id, request: _, wanted, observed, attempts, log } = record;
    let (id, wanted, log) = (*id, *wanted, *log);
    let body = Body { head, id, request: request_bytes, wanted, observed, attempts, log };
    serde_json::to_vec(&body).map_err(|error| damaged(id, &error))
}

/// Puts a record together.
pub(super) fn decode(id: JobId, body: &[u8], request: &[u8]) -> Result<Record, StoreError> {
    let mut value = body_of(id, body)?;
    let place = value.get_mut("request").ok_or_else(|| damaged(id, &"it has no request"))?;
    if place.as_u64().and_then(|length| usize::try_from(length).ok()) != Some(request.len()) {
        let found = request.len();
        return Err(damaged(id, &format!("its request has {found} bytes instead of {place}")));
    }
    *place = serde_json::from_slice(request).map_err(|error| damaged(id, &error))?;
    let record: Record = serde_json::from_value(value).map_err(|error| damaged(id, &error))?;
    if record.id == id { Ok(record) } else { Err(damaged(id, &"it is another job's")) }
}

/// What a change must know of the stored record.
pub(super) struct Stored {
    pub(super) revision: u64,
    pub(super) observed: State,
    pub(super) request_bytes: u64,
}

/// Reads the few members that a change depends on.
pub(super) fn stored(id: JobId, body: &[u8]) -> Result<Stored, StoreError> {
    let mut value = body_of(id, body)?;
    let revision = value.pointer("/head/revision").and_then(Value::as_u64);
    let length = value.get("request").and_then(Value::as_u64);
    let observed = value.get_mut("observed").map(Value::take).unwrap_or_default();
    Ok(Stored {
        revision: revision.ok_or_else(|| damaged(id, &"it has no revision"))?,
        request_bytes: length.ok_or_else(|| damaged(id, &"it has no request"))?,
        observed: serde_json::from_value(observed).map_err(|error| damaged(id, &error))?,
    })
}

/// The body, once its schema is known to be ours.
fn body_of(id: JobId, body: &[u8]) -> Result<Value, StoreError> {
    let value: Value = serde_json::from_slice(body).map_err(|error| damaged(id, &error))?;
    let schema = value.pointer("/head/schema").and_then(Value::as_u64);
    match schema {
        Some(found) if found == u64::from(SCHEMA) => Ok(value),
        Some(found) => Err(StoreError::OtherSchema { record: name(id), found, known: SCHEMA }),
        None => Err(damaged(id, &"it has no schema")),
    }
}

fn name(id: JobId) -> String {
    format!("job {id}")
}

fn damaged(id: JobId, message: &dyn ToString) -> StoreError {
    StoreError::Damaged { record: name(id), message: message.to_string() }
}
