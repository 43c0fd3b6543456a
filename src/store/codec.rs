//! A record as bytes: its request apart from the rest, because only the rest ever changes.
//!
//! A request is its outline (JSON, all of it but what may be megabytes), the code, and the standard
//! input, one after the other; the record has the three lengths. So a list reads outlines only. The code
//! of a program of several files is their contents, each after its length (u64, little-endian).
//!
//! Bytes that cannot be read, or that another version wrote, give an error that names the record.
use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fault::StoreError;
use crate::base::id::{JobId, LogId};
use crate::job::record::{Attempt, Head, Record, SCHEMA, Wanted};
use crate::job::request::{Request, SourceFile, Work};
use crate::job::state::State;

/// How many bytes of a request are what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extent {
    pub(super) outline: usize,
    code: usize,
    stdin: usize,
}

impl Extent {
    /// All of it.
    pub(super) const fn whole(self) -> usize {
        self.outline.saturating_add(self.code).saturating_add(self.stdin)
    }
}

/// A record without its request, whose extent stands in its place.
#[derive(Serialize)]
struct Body<'a> {
    head: &'a Head,
    id: JobId,
    request: Extent,
    wanted: Wanted,
    observed: &'a State,
    attempts: &'a [Attempt],
    log: LogId,
}

/// The same as it is read.
#[derive(Deserialize)]
pub(super) struct Stored {
    pub(super) head: Head,
    id: JobId,
    pub(super) request: Extent,
    wanted: Wanted,
    pub(super) observed: State,
    attempts: Vec<Attempt>,
    pub(super) log: LogId,
}

/// The request of a record, and what is where in it.
pub(super) fn request(record: &Record) -> Result<(Extent, Vec<u8>), StoreError> {
    let (outline, code) = without_texts(&record.request);
    let mut bytes = serde_json::to_vec(&outline).map_err(|error| damaged(record.id, &error))?;
    let stdin = &record.request.stdin;
    let extent = Extent { outline: bytes.len(), code: code.len(), stdin: stdin.len() };
    bytes.extend_from_slice(&code);
    bytes.extend_from_slice(stdin);
    Ok((extent, bytes))
}

fn without_texts(request: &Request) -> (Request, Cow<'_, [u8]>) {
    let Request { work, image, args, stdin: _, environment, limits, reach } = request;
    let (work, code) = match work {
        Work::Source { language, code } => {
            (Work::Source { language: language.clone(), code: String::new() }, Cow::Borrowed(code.as_bytes()))
        }
        Work::Files { language, files, entrypoint } => {
            let (language, entrypoint) = (language.clone(), entrypoint.clone());
            (Work::Files { language, files: files.iter().map(without_content).collect(), entrypoint }, packed(files))
        }
        Work::Command { command } => (Work::Command { command: command.clone() }, Cow::Borrowed(&[][..])),
        Work::Probe { attempt } => (Work::Probe { attempt: attempt.clone() }, Cow::Borrowed(&[][..])),
    };
    let (image, args, environment, limits, reach) = (image.clone(), args.clone(), environment.clone(), *limits, *reach);
    (Request { work, image, args, stdin: Vec::new(), environment, limits, reach }, code)
}

fn without_content(file: &SourceFile) -> SourceFile {
    let SourceFile { path, content: _, executable } = file;
    SourceFile { path: path.clone(), content: Vec::new(), executable: *executable }
}

fn packed(files: &[SourceFile]) -> Cow<'static, [u8]> {
    let mut bytes = Vec::new();
    for file in files {
        let length = u64::try_from(file.content.len()).unwrap_or(u64::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&file.content);
    }
    Cow::Owned(bytes)
}

/// Puts the contents back; nothing when the bytes are not those of these files.
fn unpack(files: &mut [SourceFile], mut bytes: &[u8]) -> Option<()> {
    for file in files {
        let (length, rest) = bytes.split_first_chunk()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (content, rest) = rest.split_at_checked(length)?;
        file.content = content.to_vec();
        bytes = rest;
    }
    bytes.is_empty().then_some(())
}

/// All of a record but its request, which has this extent.
pub(super) fn body(record: &Record, request: Extent) -> Result<Vec<u8>, StoreError> {
    let Record { head, id, request: _, wanted, observed, attempts, log } = record;
    let (id, wanted, log) = (*id, *wanted, *log);
    let body = Body { head, id, request, wanted, observed, attempts, log };
    serde_json::to_vec(&body).map_err(|error| damaged(id, &error))
}

/// Reads a record without its request, once its schema is known to be ours.
pub(super) fn stored(id: JobId, body: &[u8]) -> Result<Stored, StoreError> {
    match serde_json::from_slice::<Stored>(body) {
        Ok(stored) if stored.head.schema == SCHEMA && stored.id == id => Ok(stored),
        Ok(stored) if stored.head.schema == SCHEMA => Err(damaged(id, &"it is another job's")),
        Ok(_) => Err(why_unreadable(id, body, &"its schema")),
        Err(error) => Err(why_unreadable(id, body, &error)),
    }
}

/// A record of another schema may have another shape too, and that is the better reason.
fn why_unreadable(id: JobId, body: &[u8], error: &dyn ToString) -> StoreError {
    let value = match serde_json::from_slice::<Value>(body) {
        Ok(value) => value,
        Err(error) => return damaged(id, &error),
    };
    match value.pointer("/head/schema").and_then(Value::as_u64) {
        Some(found) if found == u64::from(SCHEMA) => damaged(id, error),
        Some(found) => StoreError::OtherSchema { record: name(id), found, known: SCHEMA },
        None => damaged(id, &"it has no schema"),
    }
}

impl Stored {
    /// The record with its request, of which `bytes` are the whole.
    pub(super) fn whole(self, bytes: &[u8]) -> Result<Record, StoreError> {
        let (id, extent) = (self.id, self.request);
        if bytes.len() != extent.whole() {
            return Err(short(id, bytes.len(), extent.whole()));
        }
        let (outline, texts) = bytes.split_at(extent.outline);
        let (code, stdin) = texts.split_at(extent.code);
        let mut record = self.outline(outline)?;
        match &mut record.request.work {
            Work::Source { code: empty, .. } => {
                *empty = String::from_utf8(code.to_vec()).map_err(|error| damaged(id, &error))?;
            }
            Work::Files { files, .. } => {
                unpack(files, code).ok_or_else(|| damaged(id, &"its files are not those of its outline"))?;
            }
            Work::Command { .. } | Work::Probe { .. } => {}
        }
        record.request.stdin = stdin.to_vec();
        Ok(record)
    }

    /// The record with the outline of its request: code and standard input are empty.
    pub(super) fn outline(self, bytes: &[u8]) -> Result<Record, StoreError> {
        let Self { head, id, request, wanted, observed, attempts, log } = self;
        if bytes.len() != request.outline {
            return Err(short(id, bytes.len(), request.outline));
        }
        let request = serde_json::from_slice(bytes).map_err(|error| damaged(id, &error))?;
        Ok(Record { head, id, request, wanted, observed, attempts, log })
    }
}

fn short(id: JobId, found: usize, wanted: usize) -> StoreError {
    damaged(id, &format!("its request has {found} bytes instead of {wanted}"))
}

fn name(id: JobId) -> String {
    format!("job {id}")
}

/// The record of this job cannot be read.
pub(super) fn damaged(id: JobId, message: &dyn ToString) -> StoreError {
    StoreError::Damaged { record: name(id), message: message.to_string() }
}
