//! `/v1/jobs`: list, look, end, remove; and every byte that a job printed.
use std::time::Duration;

use futures_util::TryStreamExt as _;
use poem::Body;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Binary;
use poem_openapi::types::Any;
use poem_openapi::{ApiResponse, Object, OpenApi, Tags};

use serde_json::Value;

use crate::access::Action;
use crate::api::caller::Caller;
use crate::api::core::{JobFilter, Phase, Selection, Stream};
use crate::api::error::{ApiError, Kind};
use crate::api::payload::JsonText;
use crate::api::query::{QueryReader, RawQuery};
use crate::api::range::{self, Asked};
use crate::api::state::ApiState;
use crate::api::view::{self, JobBody};
use crate::job::record::Record;
use crate::job::request::fields::shown;
use crate::job::state::{State, Status};

/// How long cancelling waits for the end (contract rule 23).
const CANCEL_WAIT: Duration = Duration::from_secs(2);
/// Jobs of a page, where nothing is said, and at most.
const PAGE: u64 = 100;
pub(super) const PAGE_AT_MOST: u64 = 1000;
/// A page begins here at most.
pub(super) const OFFSET_AT_MOST: u64 = 100_000;

#[derive(Tags)]
enum Tag {
    /// Jobs and what they printed
    Jobs,
}

/// The operations on jobs.
#[derive(Debug)]
pub(super) struct Jobs {
    pub(super) state: ApiState,
}

/// A part of the list of jobs, newest first.
#[derive(Debug, Object)]
struct JobList {
    /// The jobs, without what they printed.
    jobs: Vec<JobBody>,
    /// How many jobs fit in all.
    total: u64,
    /// How many were asked for.
    limit: u64,
    /// How many newer ones were left out.
    offset: u64,
}

/// A job that was asked to end.
#[derive(ApiResponse)]
enum Cancelled {
    /// The job has ended.
    #[oai(status = 200)]
    Ended(JsonText<JobBody>),
    /// The job is still ending.
    #[oai(status = 202)]
    Ending(JsonText<JobBody>),
}

/// Data that was removed.
#[derive(ApiResponse)]
enum Removed {
    /// The job and all that it printed are gone.
    #[oai(status = 204)]
    Gone,
}

/// What a job printed.
#[derive(ApiResponse)]
enum Printed {
    /// All bytes; of a job that runs, all so far.
    #[oai(status = 200)]
    Whole(
        Binary<Body>,
        /// Names exactly these bytes.
        #[oai(header = "ETag")]
        String,
        /// `bytes`
        #[oai(header = "Accept-Ranges")]
        String,
        /// How many bytes.
        #[oai(header = "Content-Length")]
        u64,
    ),
    /// The bytes of the range.
    #[oai(status = 206)]
    Part(
        Binary<Body>,
        /// Names exactly the whole bytes.
        #[oai(header = "ETag")]
        String,
        /// `bytes`
        #[oai(header = "Accept-Ranges")]
        String,
        /// How many bytes.
        #[oai(header = "Content-Length")]
        u64,
        /// Which bytes of how many.
        #[oai(header = "Content-Range")]
        String,
    ),
    /// The bytes are those of `If-None-Match`.
    #[oai(status = 304)]
    Same(
        /// Names exactly these bytes.
        #[oai(header = "ETag")]
        String,
    ),
}

/// Which stream; both where there is none.
pub(super) const STREAMS: [(&str, Option<Stream>); 3] =
    [("stdout", Some(Stream::Stdout)), ("stderr", Some(Stream::Stderr)), ("both", None)];

/// Which phase.
pub(super) const PHASES: [(&str, Phase); 2] = [("compile", Phase::Compile), ("run", Phase::Run)];

/// A job's status in the words of this family.
pub(super) const STATUSES: [(&str, Status); 6] = [
    ("pending", Status::Queued),
    ("running", Status::Running),
    ("completed", Status::Completed),
    ("failed", Status::Failed),
    ("cancelled", Status::Cancelled),
    ("timeout", Status::TimedOut),
];

#[OpenApi(tag = "Tag::Jobs")]
impl Jobs {
    /// List own jobs
    ///
    /// Newest first. What they printed is not in the list.
    #[oai(path = "/v1/jobs", method = "get", operation_id = "list_jobs")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn list(
        &self,
        caller: Caller,
        query: RawQuery,
        /// Only jobs of this status.
        #[oai(name = "status")]
        _status: Query<Option<String>>,
        /// Only jobs in this language, by its id or alias.
        #[oai(name = "language")]
        _language: Query<Option<String>>,
        /// Jobs of the answer. Left out: 100.
        #[oai(name = "limit")]
        _limit: Query<Option<String>>,
        /// Newer jobs to leave out. Left out: 0.
        #[oai(name = "offset")]
        _offset: Query<Option<String>>,
    ) -> Result<JsonText<JobList>, ApiError> {
        let mut reader = query.reader();
        let filter = JobFilter {
            owner: Some(caller.0.name.clone()),
            status: reader.word("status", &STATUSES),
            language: self.language(&mut reader),
        };
        let limit = reader.number("limit", 1, PAGE_AT_MOST).unwrap_or(PAGE);
        let offset = reader.number("offset", 0, OFFSET_AT_MOST).unwrap_or(0);
        reader.end()?;
        let count = usize::try_from(limit).unwrap_or(usize::MAX);
        let found = self.state.in_time(self.state.core.jobs(filter, count, offset)).await??;
        let jobs = found.jobs.iter().map(view::listed).collect();
        Ok(JsonText(JobList { jobs, total: found.total, limit, offset }))
    }

    /// Show a job
    #[oai(path = "/v1/jobs/:job_id", method = "get", operation_id = "get_job")]
    async fn job(
        &self,
        caller: Caller,
        /// Names the job, as `job_id` of its answer does.
        job_id: Path<String>,
    ) -> Result<JsonText<JobBody>, ApiError> {
        let record = self.state.readable(&caller.0, &job_id.0).await?;
        Ok(JsonText(self.state.shown(&record).await?))
    }

    /// Cancel a job
    ///
    /// Waits up to 2 s for its end.
    #[oai(path = "/v1/jobs/:job_id", method = "delete", operation_id = "cancel_job")]
    async fn cancel(
        &self,
        caller: Caller,
        /// Names the job.
        job_id: Path<String>,
    ) -> Result<Cancelled, ApiError> {
        let state = &self.state;
        let (record, permit) = state.permitted(&caller.0, Action::Write, &job_id.0).await?;
        state.in_time(state.core.cancel(record.id, permit)).await??;
        let record = state.core.wait(record.id, CANCEL_WAIT).await?;
        let job = JsonText(state.shown(&record).await?);
        Ok(match record.observed {
            State::Ended { .. } => Cancelled::Ended(job),
            State::Queued | State::Running { .. } => Cancelled::Ending(job),
        })
    }

    /// Remove an ended job with all that it printed
    #[oai(path = "/v1/jobs/:job_id/data", method = "delete", operation_id = "delete_job_data")]
    async fn delete(
        &self,
        caller: Caller,
        /// Names the job.
        job_id: Path<String>,
    ) -> Result<Removed, ApiError> {
        let (record, permit) = self.state.permitted(&caller.0, Action::Write, &job_id.0).await?;
        self.state.in_time(self.state.core.delete(&record, permit)).await??;
        Ok(Removed::Gone)
    }

    /// Show what is or was in force for a job
    ///
    /// In the form of the OCI runtime specification (runtime-spec, config.md); what that has no word for stands in annotations that begin with `kiln.`. The ids of the host are known once the job has started.
    #[oai(path = "/v1/jobs/:job_id/spec", method = "get", operation_id = "get_job_spec")]
    async fn spec(
        &self,
        caller: Caller,
        /// Names the job.
        job_id: Path<String>,
        query: RawQuery,
        /// Which phase. Left out: run.
        #[oai(name = "phase")]
        _phase: Query<Option<String>>,
    ) -> Result<JsonText<Any<Value>>, ApiError> {
        let mut reader = query.reader();
        let phase = reader.word("phase", &PHASES).unwrap_or(Phase::Run);
        reader.end()?;
        let record = self.state.readable(&caller.0, &job_id.0).await?;
        let nothing = || ApiError::new(Kind::NotFound, "the job has no such phase");
        let spec = self.state.core.spec(&record, phase).map_err(|reason| ApiError::new(Kind::Conflict, reason))?;
        spec.map(|spec| JsonText(Any(spec))).ok_or_else(nothing)
    }

    /// Read what a job printed
    ///
    /// Every byte of its last attempt; of a job that runs, those so far. Each stream is in the order in which it was printed; between both the order is that in which kiln read them. `Range` of one range of bytes, `If-None-Match` and `If-Range` are honoured (RFC 9110).
    #[oai(path = "/v1/jobs/:job_id/output", method = "get", operation_id = "get_job_output")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn output(
        &self,
        caller: Caller,
        /// Names the job.
        job_id: Path<String>,
        query: RawQuery,
        /// Which stream. Left out: both.
        #[oai(name = "stream")]
        _stream: Query<Option<String>>,
        /// Which phase. Left out: run.
        #[oai(name = "phase")]
        _phase: Query<Option<String>>,
        /// `bytes=FROM-TO`, `bytes=FROM-` or `bytes=-COUNT`.
        #[oai(name = "Range")]
        range: Header<Option<String>>,
        /// The `ETag` of bytes that the client has.
        #[oai(name = "If-None-Match")]
        if_none_match: Header<Option<String>>,
        /// The `ETag` for which the range is meant; for another, the whole bytes are given.
        #[oai(name = "If-Range")]
        if_range: Header<Option<String>>,
    ) -> Result<Printed, ApiError> {
        let mut reader = query.reader();
        let stream = reader.word("stream", &STREAMS).flatten();
        let selection = Selection { phase: reader.word("phase", &PHASES).unwrap_or(Phase::Run), stream };
        reader.end()?;
        let state = &self.state;
        let record = state.readable(&caller.0, &job_id.0).await?;
        let bytes = state.in_time(state.core.output_bytes(&record, selection)).await??;
        let tag = entity_tag(&record, selection, bytes);
        if if_none_match.0.is_some_and(|tags| names(&tags, &tag)) {
            return Ok(Printed::Same(tag));
        }
        let meant = if_range.0.is_none_or(|other| other.trim() == tag);
        let text = range.0.filter(|_| meant);
        let unit = String::from("bytes");
        let body = |range: std::ops::Range<u64>| {
            let chunks = state.core.output(&record, selection, range).map_err(std::io::Error::other);
            Binary(Body::from_bytes_stream(chunks))
        };
        match range::read(text.as_deref(), bytes) {
            Asked::Whole => Ok(Printed::Whole(body(0..bytes), tag, unit, bytes)),
            Asked::Part(part) => {
                let last = part.end.saturating_sub(1);
                let (length, shown) =
                    (part.end.saturating_sub(part.start), format!("bytes {}-{last}/{bytes}", part.start));
                Ok(Printed::Part(body(part), tag, unit, length, shown))
            }
            Asked::Nothing => {
                let message = format!("there are {bytes} bytes");
                Err(ApiError { bytes: Some(bytes), ..ApiError::new(Kind::RangeNotSatisfiable, message) })
            }
        }
    }
}

impl Jobs {
    fn language(&self, reader: &mut QueryReader<'_>) -> Option<String> {
        let name = reader.text("language")?;
        let offer = self.state.core.offer();
        let found = offer.languages.iter().find(|known| known.is_called(name)).map(|known| known.id.clone());
        if found.is_none() {
            let known = offer.language_ids().join(", ");
            reader.fault("language", format!("unknown language `{}`; known: {known}", shown(name)));
        }
        found
    }
}

/// A strong one: the log of an attempt only grows, so that the number of bytes names them.
fn entity_tag(record: &Record, selection: Selection, bytes: u64) -> String {
    let phase = match selection.phase {
        Phase::Compile => 'c',
        Phase::Run => 'r',
    };
    let stream = match selection.stream {
        Some(Stream::Stdout) => '1',
        Some(Stream::Stderr) => '2',
        None => 'b',
    };
    let attempt = record.attempts.last().map_or(0, |attempt| attempt.number);
    format!("\"{}-{attempt}{phase}{stream}-{bytes}\"", record.log)
}

/// Whether one of the tags is this one, by the weak comparison (RFC 9110, section 13.1.2).
fn names(tags: &str, tag: &str) -> bool {
    let mut tags = tags.split(',').map(str::trim);
    tags.any(|other| other == "*" || other.strip_prefix("W/").unwrap_or(other) == tag)
}
