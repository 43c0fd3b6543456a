//! `POST /v1/admin/selftest`: attempts to get out of a sandbox, made now, and how each was stopped.
use poem_openapi::{Enum, Object, OpenApi, Tags};

use crate::access::{self, Denied};
use crate::api::caller::Caller;
use crate::api::capabilities::Isolation;
use crate::api::error::{ApiError, Kind};
use crate::api::payload::JsonText;
use crate::api::state::ApiState;
use crate::api::view;
use crate::base::time::go_duration;
use crate::selftest::{Conclusion, Finding, Report, Verdict};

#[derive(Tags)]
enum Tag {
    /// What only who manages the installation may do
    Administration,
}

/// The operation on the self-test.
#[derive(Debug)]
pub(super) struct SelfTest {
    pub(super) state: ApiState,
}

/// What a self-test showed.
#[derive(Debug, Object)]
#[oai(rename = "SelfTest")]
struct SelfTestBody {
    /// What it shows as a whole.
    conclusion: ConclusionWord,
    /// Version of kiln.
    version: String,
    /// Release of the kernel; null where it cannot be read.
    #[oai(nullable)]
    kernel: Option<String>,
    /// What keeps jobs apart.
    isolation: Isolation,
    /// When it began.
    started_at: String,
    /// When it ended.
    completed_at: String,
    /// How long it took, as Go writes it.
    duration: String,
    /// How many attempts are judged how.
    counts: Counts,
    /// Every attempt.
    attempts: Vec<AttemptBody>,
}

/// How many attempts are judged how.
#[derive(Debug, Object)]
#[oai(rename = "SelfTestCounts")]
struct Counts {
    /// Stopped as they should be.
    stopped: u64,
    /// Not made.
    not_tried: u64,
    /// Failed in another way.
    unexpected: u64,
    /// Not stopped.
    got_through: u64,
}

/// An attempt to get out of a sandbox.
#[derive(Debug, Object)]
#[oai(rename = "SelfTestAttempt")]
struct AttemptBody {
    /// Its name.
    name: String,
    /// What it tries.
    tries: String,
    /// How it is judged.
    verdict: VerdictWord,
    /// What was seen.
    how: String,
    /// What stands in its way; the first one is expected to answer.
    layers: Vec<String>,
    /// The job that made it; null where none was accepted.
    #[oai(nullable)]
    job_id: Option<String>,
}

/// `unproven`: none got through, but not every one was seen to be stopped as it should be.
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "SelfTestConclusion", rename_all = "snake_case")]
enum ConclusionWord {
    Holds,
    Unproven,
    Broken,
}

/// `unexpected`: it failed, but in a way that is not written down for it; the wall that should have stopped it may be missing.
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "SelfTestVerdict", rename_all = "snake_case")]
enum VerdictWord {
    Stopped,
    NotTried,
    Unexpected,
    GotThrough,
}

impl From<Conclusion> for ConclusionWord {
    fn from(conclusion: Conclusion) -> Self {
        match conclusion {
            Conclusion::Holds => Self::Holds,
            Conclusion::Unproven => Self::Unproven,
            Conclusion::Broken => Self::Broken,
        }
    }
}

impl From<Verdict> for VerdictWord {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Stopped => Self::Stopped,
            Verdict::NotTried => Self::NotTried,
            Verdict::Unexpected => Self::Unexpected,
            Verdict::GotThrough => Self::GotThrough,
        }
    }
}

#[OpenApi(tag = "Tag::Administration")]
impl SelfTest {
    /// Attack the sandbox, and report how each attempt was stopped
    ///
    /// Takes some seconds, and at most 90: jobs that wait go first. The attempts are jobs like any others and stay in the list. Only one self-test at a time; a second one is answered 409. The answer is 200 also where an attempt got through: `conclusion` says so. A client that goes away does not end it.
    #[oai(path = "/v1/admin/selftest", method = "post", operation_id = "run_selftest")]
    async fn run(&self, caller: Caller) -> Result<JsonText<SelfTestBody>, ApiError> {
        let core = &self.state.core;
        let refused = |Denied| ApiError::new(Kind::Forbidden, "a self-test is for administrators");
        let permit = access::administer(&caller.0).map_err(refused)?;
        let report = core.selftest(&caller.0, permit).await?;
        Ok(JsonText(shown(&report, core.host().kernel, Isolation::of(core.as_ref()))))
    }
}

fn shown(report: &Report, kernel: Option<String>, isolation: Isolation) -> SelfTestBody {
    let count = |verdict| u64::try_from(report.count(verdict)).unwrap_or(u64::MAX);
    SelfTestBody {
        conclusion: report.conclusion().into(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel,
        isolation,
        started_at: view::moment(report.started),
        completed_at: view::moment(report.ended),
        duration: go_duration(report.ended.since(report.started)),
        counts: Counts {
            stopped: count(Verdict::Stopped),
            not_tried: count(Verdict::NotTried),
            unexpected: count(Verdict::Unexpected),
            got_through: count(Verdict::GotThrough),
        },
        attempts: report.findings.iter().map(attempt).collect(),
    }
}

fn attempt(finding: &Finding) -> AttemptBody {
    let Finding { attempt, verdict, how, job } = finding;
    AttemptBody {
        name: attempt.name.to_owned(),
        tries: attempt.tries.to_owned(),
        verdict: (*verdict).into(),
        how: how.clone(),
        layers: attempt.layers.iter().map(|layer| layer.name().to_owned()).collect(),
        job_id: job.map(view::job_id),
    }
}
