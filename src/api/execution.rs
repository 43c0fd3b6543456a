//! `POST /v1/execute` and `POST /v1/execute/file`: run code.
use std::time::Duration;

use poem_openapi::param::Header;
use poem_openapi::{ApiResponse, OpenApi, Tags};
use serde_json::Value;

use crate::access::Principal;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::form::FormBody;
use crate::api::payload::{JsonBody, JsonText};
use crate::api::prefer::Preference;
use crate::api::schema::{ExecuteForm, ExecuteRequest};
use crate::api::state::ApiState;
use crate::api::view::{self, JobBody};
use crate::job::limits::Limits;
use crate::job::request;
use crate::job::state::State;

/// What an answer may come late by, after every limit of a job has passed.
const SLACK: Duration = Duration::from_secs(10);

#[derive(Tags)]
enum Tag {
    /// Run code, and see what came of it
    Execution,
}

/// The operations that make jobs.
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
        self.execute(&caller.0, &prefer.0.unwrap_or_default(), &body.value).await
    }

    /// Run uploaded files
    ///
    /// Takes a form instead of JSON; otherwise as `POST /v1/execute`.
    #[oai(path = "/v1/execute/file", method = "post", operation_id = "create_file_execution")]
    async fn create_from_files(
        &self,
        caller: Caller,
        /// `respond-async`, `wait=N` (seconds), or both (RFC 7240).
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        body: FormBody<ExecuteForm>,
    ) -> Result<Executed, ApiError> {
        self.execute(&caller.0, &prefer.0.unwrap_or_default(), &body.value).await
    }
}

impl Execution {
    async fn execute(&self, principal: &Principal, prefer: &str, body: &Value) -> Result<Executed, ApiError> {
        let state = &self.state;
        let asked = request::read(body, &state.policy, &state.core.languages())?;
        let preference = Preference::parse(prefer);
        let patience = preference.patience(asked.answer, self.longest(&asked.request.limits));
        let id = state.in_time(state.core.submit(principal, asked.request)).await??;
        let record = state.core.wait(id, patience).await?;
        let job = JsonText(state.shown(&record).await?);
        let applied = preference.applied(asked.answer);
        Ok(match record.observed {
            State::Ended { .. } => Executed::Ended(job, applied),
            State::Queued | State::Running { .. } => Executed::Accepted(job, view::path(id), applied),
        })
    }

    /// As long as a job can take, from its acceptance.
    fn longest(&self, limits: &Limits) -> Duration {
        self.state.settings.queue_time + limits.compile_wall + limits.wall + SLACK
    }
}
