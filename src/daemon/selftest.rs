//! Runs the self-test: its jobs go the way of all jobs, through the queue. One at a time.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use crate::access::{Permit, Principal};
use crate::api::core::SelfTestError;
use crate::base::id::JobId;
use crate::base::time::SystemClock;
use crate::job::record::Record;
use crate::job::request::Request;
use crate::job::state::State;
use crate::output::{self, Phase, Stream};
use crate::queue::Queue;
use crate::selftest::{self, Conclusion, NotRun, Ran, Report, Runs};

/// How long a job may take to end that did not do so in time.
const END_TIME: Duration = Duration::from_secs(5);

/// What a self-test needs, and whether one is under way.
#[derive(Debug)]
pub(super) struct SelfTests {
    queue: Queue,
    logs: PathBuf,
    under_way: Arc<Mutex<()>>,
}

impl SelfTests {
    pub(super) fn new(queue: Queue, logs: PathBuf) -> Self {
        Self { queue, logs, under_way: Arc::default() }
    }

    /// In a task of its own: who goes away does not stop it half-way.
    pub(super) fn run(
        &self,
        principal: &Principal,
        permit: Permit,
    ) -> BoxFuture<'static, Result<Report, SelfTestError>> {
        let Ok(turn) = Arc::clone(&self.under_way).try_lock_owned() else {
            return std::future::ready(Err(SelfTestError::UnderWay)).boxed();
        };
        let jobs = Jobs { queue: self.queue.clone(), logs: self.logs.clone(), principal: principal.clone(), permit };
        let task = tokio::spawn(async move {
            let report = selftest::run(&jobs, &SystemClock, &own_namespaces()).await;
            drop(turn);
            told(&report);
            report
        });
        async move { task.await.map_err(|panicked| SelfTestError::Failed(panicked.to_string())) }.boxed()
    }
}

/// Those of this process. One that cannot be read is not told; the probe then says that it was not told.
fn own_namespaces() -> Vec<String> {
    const KINDS: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];
    let link = |kind| std::fs::read_link(format!("/proc/self/ns/{kind}")).ok()?.into_os_string().into_string().ok();
    KINDS.into_iter().filter_map(link).collect()
}

/// An attempt that was not stopped is for whoever reads the log too.
fn told(report: &Report) {
    for finding in report.findings.iter().filter(|finding| finding.verdict != selftest::Verdict::Stopped) {
        let (attempt, verdict) = (finding.attempt.name, finding.verdict);
        tracing::error!(attempt, ?verdict, how = finding.how, "self-test: an attempt was not stopped as it should be");
    }
    let attempts = report.findings.len();
    match report.conclusion() {
        Conclusion::Holds => tracing::info!(attempts, "self-test: every attempt was stopped"),
        Conclusion::Unproven => tracing::error!(attempts, "self-test: not every attempt was seen to be stopped"),
        Conclusion::Broken => tracing::error!(attempts, "self-test: the sandbox does not hold"),
    }
}

/// Jobs of whoever asked for the self-test.
struct Jobs {
    queue: Queue,
    logs: PathBuf,
    principal: Principal,
    permit: Permit,
}

impl Runs for Jobs {
    fn run(&self, request: Request, longest: Duration) -> BoxFuture<'_, Result<Ran, NotRun>> {
        async move {
            let without_job = |error: &dyn ToString| NotRun { job: None, reason: error.to_string() };
            let submitted = self.queue.submit(&self.principal, request, None).await;
            let job = submitted.map_err(|error| without_job(&error))?.id;
            self.ended(job, longest).await.map_err(|reason| NotRun { job: Some(job), reason })
        }
        .boxed()
    }
}

impl Jobs {
    async fn ended(&self, job: JobId, longest: Duration) -> Result<Ran, String> {
        let record = self.record(job, longest).await?;
        let State::Ended { termination, .. } = &record.observed else {
            self.queue.cancel(job, self.permit).await.map_err(|error| error.to_string())?;
            self.record(job, END_TIME).await?;
            return Err(String::from("its job had not ended when the time of the self-test was over"));
        };
        let end = termination.clone();
        let printed = output::printed(self.logs.clone(), record.log, Phase::Run, Stream::Stdout).await;
        let output::Captured { mut head, tail, .. } = printed.map_err(|error| error.to_string())?;
        head.extend(tail);
        Ok(Ran { job, end, stdout: head })
    }

    async fn record(&self, job: JobId, longest: Duration) -> Result<Record, String> {
        let record = self.queue.wait(job, longest).await.map_err(|error| error.to_string())?;
        record.ok_or_else(|| String::from("the record of its job is gone"))
    }
}
