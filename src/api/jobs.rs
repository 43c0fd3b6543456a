//! `/v1/jobs`: list, look, end, remove; and every byte that a job printed.
use std::time::Duration;

use futures_util::TryStreamExt as _;
use poem::Body;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Binary;
use poem_openapi::types::Any;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, Tags};

use serde_json::Value;

use crate::access::Action;
use crate::api::caller::Caller;
use crate::api::core::{JobFilter, Phase, Selection, Stream};
use crate::api::error::{ApiError, Kind};
use crate::api::payload::JsonText;
use crate::api::range::{self, Asked};
use crate::api::state::ApiState;
use crate::api::view::{self, JobBody};
use crate::base::fault::Faults;
use crate::job::record::Record;
use crate::job::request::fields::shown;
use crate::job::state::{State, Status};

/// How long cancelling waits for the end (contract rule 23).
const CANCEL_WAIT: Duration = Duration::from_secs(2);
/// Jobs of a page, where nothing is said, and at most.
const PAGE: u64 = 100;
const PAGE_AT_MOST: u64 = 1000;
/// A page begins here at most.
const OFFSET_AT_MOST: u64 = 100_000;

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

/// Which stream.
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "OutputStream", rename_all = "lowercase")]
enum StreamWord {
    Stdout,
    Stderr,
    Both,
}

/// Which phase.
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "OutputPhase", rename_all = "lowercase")]
enum PhaseWord {
    Compile,
    Run,
}

/// A job's status in the words of this family.
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "JobStatus", rename_all = "lowercase")]
enum StatusWord {
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
    Timeout,
}

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
        /// Only jobs of this status.
        status: Query<Option<StatusWord>>,
        /// Only jobs in this language, by its id or alias.
        language: Query<Option<String>>,
        /// Jobs of the answer, 1 to 1000.
        #[oai(validator(minimum(value = "1"), maximum(value = "1000")))]
        limit: Query<Option<u64>>,
        /// Newer jobs to leave out, at most 100000.
        #[oai(validator(maximum(value = "100000")))]
        offset: Query<Option<u64>>,
    ) -> Result<JsonText<JobList>, ApiError> {
        let (limit, offset) = page(limit.0, offset.0)?;
        let filter = JobFilter {
            owner: Some(caller.0.name.clone()),
            status: status.0.map(Status::from),
            language: language.0.map(|name| self.language(&name)).transpose()?,
        };
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
        /// Which phase; left out: run.
        phase: Query<Option<PhaseWord>>,
    ) -> Result<JsonText<Any<Value>>, ApiError> {
        let record = self.state.readable(&caller.0, &job_id.0).await?;
        let phase = selection(None, phase.0).phase;
        let nothing = || ApiError::new(Kind::NotFound, "the job has no such phase");
        self.state.core.spec(&record, phase)?.map(|spec| JsonText(Any(spec))).ok_or_else(nothing)
    }

    /// Read what a job printed
    ///
    /// Every byte of its last attempt, in the order in which it was printed; of a job that runs, those so far. `Range` of one range of bytes, `If-None-Match` and `If-Range` are honoured (RFC 9110).
    #[oai(path = "/v1/jobs/:job_id/output", method = "get", operation_id = "get_job_output")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn output(
        &self,
        caller: Caller,
        /// Names the job.
        job_id: Path<String>,
        /// Which stream; left out: both.
        stream: Query<Option<StreamWord>>,
        /// Which phase; left out: run.
        phase: Query<Option<PhaseWord>>,
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
        let state = &self.state;
        let record = state.readable(&caller.0, &job_id.0).await?;
        let selection = selection(stream.0, phase.0);
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
    fn language(&self, name: &str) -> Result<String, ApiError> {
        let known = self.state.core.languages();
        let found = known.iter().find(|known| known.is_called(name)).map(|known| known.id.clone());
        found.ok_or_else(|| {
            let ids: Vec<&str> = known.iter().map(|known| known.id.as_str()).collect();
            let mut faults = Faults::default();
            faults.add("language", format!("unknown language `{}`; known: {}", shown(name), ids.join(", ")));
            faults.into()
        })
    }
}

/// Limit and offset, each within its bounds (contract rule 13).
fn page(limit: Option<u64>, offset: Option<u64>) -> Result<(u64, u64), ApiError> {
    let (limit, offset) = (limit.unwrap_or(PAGE), offset.unwrap_or(0));
    let mut faults = Faults::default();
    if !(1..=PAGE_AT_MOST).contains(&limit) {
        faults.add("limit", format!("{limit} was asked for, the ceiling is {PAGE_AT_MOST} and the least is 1"));
    }
    if offset > OFFSET_AT_MOST {
        faults.add("offset", format!("{offset} was asked for, the ceiling is {OFFSET_AT_MOST}"));
    }
    if faults.is_empty() { Ok((limit, offset)) } else { Err(faults.into()) }
}

fn selection(stream: Option<StreamWord>, phase: Option<PhaseWord>) -> Selection {
    let stream = match stream {
        None | Some(StreamWord::Both) => None,
        Some(StreamWord::Stdout) => Some(Stream::Stdout),
        Some(StreamWord::Stderr) => Some(Stream::Stderr),
    };
    let phase = match phase {
        None | Some(PhaseWord::Run) => Phase::Run,
        Some(PhaseWord::Compile) => Phase::Compile,
    };
    Selection { phase, stream }
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

impl From<StatusWord> for Status {
    fn from(word: StatusWord) -> Self {
        match word {
            StatusWord::Pending => Self::Queued,
            StatusWord::Running => Self::Running,
            StatusWord::Completed => Self::Completed,
            StatusWord::Failed => Self::Failed,
            StatusWord::Cancelled => Self::Cancelled,
            StatusWord::Timeout => Self::TimedOut,
        }
    }
}
