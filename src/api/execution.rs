//! `POST /v1/execute` and `GET /v1/jobs/{job_id}`.
use std::time::Duration;

use poem_openapi::param::{Header, Path};
use poem_openapi::{ApiResponse, OpenApi, Tags};

use crate::access::{self, Action, Principal};
use crate::api::caller::Caller;
use crate::api::core::{Captured, Phase, Stream};
use crate::api::error::{ApiError, Kind};
use crate::api::payload::{JsonBody, JsonText};
use crate::api::prefer::Preference;
use crate::api::schema::ExecuteRequest;
use crate::api::state::ApiState;
use crate::api::view::{self, JobBody, Output, Streams};
use crate::job::limits::Limits;
use crate::job::record::Record;
use crate::job::request;
use crate::job::state::State;

/// What an answer may come late by, after every limit of a job has passed.
const SLACK: Duration = Duration::from_secs(10);

#[derive(Tags)]
enum Tag {
    /// Run code, and see what came of it
    Execution,
}

/// The operations on executions.
#[derive(Debug)]
pub(super) struct Execution {
    pub(super) state: ApiState,
}

/// The answer to a new job.
#[derive(ApiResponse)]
enum Executed {
    /// The job has ended.
    #[oai(status = 200)]
    Ended(
        JsonText<JobBody>,
        /// The preference that counted.
        #[oai(header = "Preference-Applied")]
        Option<String>,
    ),
    /// The job is accepted and goes on.
    #[oai(status = 202)]
    Accepted(
        JsonText<JobBody>,
        /// Path of the job.
        #[oai(header = "Location")]
        String,
        /// The preference that counted.
        #[oai(header = "Preference-Applied")]
        Option<String>,
    ),
}

#[OpenApi(tag = "Tag::Execution")]
impl Execution {
    /// Run code
    ///
    /// Waits for the end unless `Prefer: respond-async`, `Prefer: wait=N` or `"async": true` says otherwise. A client that goes away does not end its job.
    #[oai(path = "/v1/execute", method = "post", operation_id = "create_execution")]
    async fn create(
        &self,
        caller: Caller,
        /// `respond-async`, `wait=N` (seconds), or both (RFC 7240).
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        body: JsonBody<ExecuteRequest>,
    ) -> Result<Executed, ApiError> {
        let languages = self.state.core.languages();
        let asked = request::read(&body.value, &self.state.policy, &languages)?;
        let preference = Preference::parse(&prefer.0.unwrap_or_default());
        let longest = self.longest(&asked.request.limits);
        let patience = preference.patience(asked.answer, longest);
        let id = self.state.in_time(self.state.core.submit(&caller.0, asked.request)).await??;
        let record = self.state.core.wait(id, patience).await?;
        let job = JsonText(self.shown(&record).await?);
        let applied = preference.applied(asked.answer);
        Ok(match record.observed {
            State::Ended { .. } => Executed::Ended(job, applied),
            State::Queued | State::Running { .. } => Executed::Accepted(job, view::path(id), applied),
        })
    }

    /// Show a job
    #[oai(path = "/v1/jobs/:job_id", method = "get", operation_id = "get_job")]
    async fn job(
        &self,
        caller: Caller,
        /// Names the job, as `job_id` of its answer does.
        job_id: Path<String>,
    ) -> Result<JsonText<JobBody>, ApiError> {
        let record = self.readable(&caller.0, &job_id.0).await?;
        Ok(JsonText(self.shown(&record).await?))
    }
}

impl Execution {
    /// As long as a job can take, from its acceptance.
    fn longest(&self, limits: &Limits) -> Duration {
        self.state.settings.queue_time + limits.compile_wall + limits.wall + SLACK
    }

    /// The record, where there is one that the principal may read. Somebody else's is not there
    /// (contract rule 40).
    async fn readable(&self, principal: &Principal, text: &str) -> Result<Record, ApiError> {
        let nothing = || ApiError::new(Kind::NotFound, "there is no such job");
        let id = view::parse_job_id(text).ok_or_else(nothing)?;
        let found = self.state.in_time(self.state.core.job(id)).await??;
        let record = found.ok_or_else(nothing)?;
        match access::decide(principal, Action::Read, &record.head.ownership) {
            Ok(_permit) => Ok(record),
            Err(access::Denied) => Err(nothing()),
        }
    }

    async fn shown(&self, record: &Record) -> Result<JobBody, ApiError> {
        let State::Ended { .. } = record.observed else { return Ok(view::job(record, None)) };
        let compiled = record.attempts.last().is_some_and(|attempt| attempt.compile.is_some());
        let run = self.streams(record, Phase::Run).await?;
        let compile = if compiled { self.streams(record, Phase::Compile).await? } else { Streams::default() };
        Ok(view::job(record, Some(Output { run, compile })))
    }

    async fn streams(&self, record: &Record, phase: Phase) -> Result<Streams, ApiError> {
        let stdout = self.captured(record, phase, Stream::Stdout).await?;
        let stderr = self.captured(record, phase, Stream::Stderr).await?;
        Ok(Streams { stdout, stderr })
    }

    async fn captured(&self, record: &Record, phase: Phase, stream: Stream) -> Result<Captured, ApiError> {
        Ok(self.state.in_time(self.state.core.captured(record, phase, stream)).await??)
    }
}
