//! `POST /v1/execute` and `POST /v1/execute/file`: run code.
use std::time::Duration;

use poem_openapi::param::Header;
use poem_openapi::{ApiResponse, OpenApi, Tags};
use serde_json::Value;

use crate::access::Principal;
use crate::api::caller::Caller;
use crate::api::core::{IdempotencyKey, Submitted};
use crate::api::error::{ApiError, Kind};
use crate::api::form::FormBody;
use crate::api::payload::{JsonBody, JsonText};
use crate::api::prefer::Preference;
use crate::api::schema::{ExecuteForm, ExecuteRequest};
use crate::api::state::ApiState;
use crate::api::view::{self, JobBody};
use crate::base::fault::Faults;
use crate::job::limits::Limits;
use crate::job::request::{self, Reach};
use crate::job::state::State;

/// What an answer may come late by, after every limit of a job has passed.
const SLACK: Duration = Duration::from_secs(10);

#[derive(Tags)]
enum Tag {
    /// Run code, and see what came of it
    Execution,
}

/// The request is well, and this installation does not permit it.
fn no_network() -> ApiError {
    let mut faults = Faults::default();
    faults.add("network_access", "leave it out or give false, or have the operator set network.egress to true");
    let message = "programs may not use the network here: network.egress is false";
    ApiError { details: faults.into_vec(), ..ApiError::new(Kind::Forbidden, message) }
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
        /// `true` where the job was accepted before, under the same key.
        #[oai(header = "Idempotency-Replayed")]
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
        /// `true` where the job was accepted before, under the same key.
        #[oai(header = "Idempotency-Replayed")]
        Option<String>,
    ),
}

/// What the head of a request wishes.
struct Wishes {
    prefer: Option<String>,
    key: Option<String>,
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
        /// With the same key and request the same job is answered again, for 24 hours. Visible ASCII characters.
        #[oai(name = "Idempotency-Key", validator(min_length = 1, max_length = 255))]
        idempotency_key: Header<Option<String>>,
        body: JsonBody<ExecuteRequest>,
    ) -> Result<Executed, ApiError> {
        let wishes = Wishes { prefer: prefer.0, key: idempotency_key.0 };
        self.execute(&caller.0, wishes, &body.value).await
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
        /// With the same key and request the same job is answered again, for 24 hours. Visible ASCII characters.
        #[oai(name = "Idempotency-Key", validator(min_length = 1, max_length = 255))]
        idempotency_key: Header<Option<String>>,
        body: FormBody<ExecuteForm>,
    ) -> Result<Executed, ApiError> {
        let wishes = Wishes { prefer: prefer.0, key: idempotency_key.0 };
        self.execute(&caller.0, wishes, &body.value).await
    }
}

impl Execution {
    async fn execute(&self, principal: &Principal, wishes: Wishes, body: &Value) -> Result<Executed, ApiError> {
        let state = &self.state;
        let key = wishes.key.as_deref().map(IdempotencyKey::try_from).transpose();
        let key = key.map_err(|fault| {
            let mut faults = Faults::default();
            faults.add("Idempotency-Key", fault.to_string());
            faults
        })?;
        let asked = request::read(body, &state.policy, &state.core.offer())?;
        if asked.request.reach == Reach::Outside && !state.settings.network_access {
            return Err(no_network());
        }
        let preference = Preference::parse(&wishes.prefer.unwrap_or_default());
        let longest = self.longest(&asked.request.limits);
        let patience = preference.patience(asked.answer, longest);
        let Submitted { id, again } = state.in_time(state.core.submit(principal, asked.request, key)).await??;
        let replayed = again.then(|| String::from("true"));
        let record = state.core.wait(id, patience).await?;
        let job = JsonText(state.shown(&record).await?);
        let applied = preference.applied(asked.answer, longest);
        // Who does not wait for a new job is told where it is, however quick it was.
        let waited = again || !patience.is_zero();
        Ok(match record.observed {
            State::Ended { .. } if waited => Executed::Ended(job, applied, replayed),
            State::Ended { .. } | State::Queued | State::Running { .. } => {
                Executed::Accepted(job, view::path(id), applied, replayed)
            }
        })
    }

    /// As long as a job can take, from its acceptance.
    fn longest(&self, limits: &Limits) -> Duration {
        self.state.settings.queue_time + limits.compile_wall + limits.wall + SLACK
    }
}
