//! Makes the attempts, one job after another, within a time.
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::attempt::Attempt;
use super::exhaustion::{EXHAUSTION, LIMITS};
use super::judge::judge;
use super::line::lines;
use super::table::BRIEF;
use super::{ALL_BRIEF, Finding, Report, Verdict};
use crate::base::id::JobId;
use crate::base::time::{Clock, instant};
use crate::job::limits::Limits;
use crate::job::request::{Request, Work};
use crate::job::termination::Termination;

/// The whole self-test. What has not begun by then is not tried: a client waits somewhat longer for an answer.
const LONGEST: Duration = Duration::from_secs(80);

/// Runs jobs as those of any caller are run.
pub trait Runs: Send + Sync {
    /// Runs one to its end, or ends it after `longest`.
    ///
    /// The error says for people why it could not be run.
    fn run(&self, request: Request, longest: Duration) -> BoxFuture<'_, Result<Ran, NotRun>>;
}

/// A job that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Which.
    pub job: JobId,
    /// How it ended.
    pub end: Termination,
    /// What it printed on descriptor 1, or its beginning and its end.
    pub stdout: Vec<u8>,
}

/// A job that has no end to be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRun {
    /// Which, where it was accepted.
    pub job: Option<JobId>,
    /// Why, for people.
    pub reason: String,
}

/// Makes every attempt. `host` are the namespaces that no sandbox may share, as links below /proc/PID/ns say them.
pub async fn run(runs: &impl Runs, clock: &dyn Clock, host: &[String]) -> Report {
    let (started, begin) = (clock.now(), instant());
    let mut findings = Vec::new();
    let all = std::iter::once((ALL_BRIEF, &LIMITS, BRIEF.iter().collect::<Vec<_>>()));
    let alone = EXHAUSTION.iter().map(|row| (row.attempt.name, &row.limits, vec![&row.attempt]));
    for (name, limits, attempts) in all.chain(alone) {
        let left = LONGEST.saturating_sub(begin.elapsed());
        let ran = if left.is_zero() {
            let reason = format!("there was no time left: a self-test takes at most {} s", LONGEST.as_secs());
            Err(NotRun { job: None, reason })
        } else {
            runs.run(request(name, limits, host), left).await
        };
        findings.extend(judged(&attempts, &ran));
    }
    Report { started, ended: clock.now(), findings }
}

fn request(attempt: &str, limits: &Limits, host: &[String]) -> Request {
    let work = Work::Probe { attempt: attempt.to_owned() };
    Request { work, args: host.to_vec(), stdin: Vec::new(), environment: Vec::new(), limits: *limits }
}

fn judged(attempts: &[&'static Attempt], ran: &Result<Ran, NotRun>) -> Vec<Finding> {
    match ran {
        Ok(Ran { job, end, stdout }) => {
            let said = lines(stdout);
            let finding = |attempt: &&'static Attempt| {
                let (verdict, how) = judge(attempt, &said, end);
                Finding { attempt, verdict, how, job: Some(*job) }
            };
            attempts.iter().map(finding).collect()
        }
        Err(NotRun { job, reason }) => {
            let finding = |attempt: &&'static Attempt| Finding {
                attempt,
                verdict: Verdict::NotTried,
                how: reason.clone(),
                job: *job,
            };
            attempts.iter().map(finding).collect()
        }
    }
}
