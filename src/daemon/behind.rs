//! What stands behind the API: fits its trait to queue, store and output.
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use crate::access::{Permit, Principal};
use crate::api::core::{
    CancelError, Captured, Check, Condition, Core, DeleteError, HostFacts, HostUsage, JobFilter, JobPage, Load, Phase,
    ReadError, RemoveError, Selection, SelfTestError, Stream, SubmitError,
};
use crate::base::id::JobId;
use crate::daemon::offers::Offers;
use crate::daemon::selftest::SelfTests;
use crate::daemon::usage::Usage;
use crate::image::library::Collection;
use crate::image::reference::Reference;
use crate::job::record::{Family, Record};
use crate::job::request::Request;
use crate::job::request::offer::Offer;
use crate::launch::Launcher;
use crate::output;
use crate::queue::{self, IdempotencyKey, Queue, Submitted};
use crate::selftest::Report;
use crate::store;
use crate::telemetry::times::Times;

/// The parts.
#[derive(Debug)]
pub(super) struct Behind {
    pub(super) queue: Queue,
    pub(super) launcher: Launcher,
    pub(super) logs: PathBuf,
    pub(super) selftests: SelfTests,
    pub(super) offers: Offers,
    pub(super) usage: Usage,
}

impl Core for Behind {
    /// In a task of its own: a client that goes away does not stop half-way what was begun.
    fn submit<'a>(
        &'a self,
        principal: &'a Principal,
        request: Request,
        key: Option<IdempotencyKey>,
    ) -> BoxFuture<'a, Result<Submitted, SubmitError>> {
        let (queue, principal) = (self.queue.clone(), principal.clone());
        let submitted = tokio::spawn(async move { queue.submit(&principal, request, key).await });
        async move {
            match submitted.await {
                Ok(Ok(submitted)) => Ok(submitted),
                Ok(Err(error)) => Err(refusal(&error)),
                Err(panicked) => Err(SubmitError::Store(panicked.to_string())),
            }
        }
        .boxed()
    }

    fn wait(&self, job: JobId, patience: Duration) -> BoxFuture<'_, Result<Record, ReadError>> {
        async move {
            let found = self.queue.wait(job, patience).await.map_err(unreadable)?;
            found.ok_or_else(|| ReadError(format!("the record of job {job} is gone")))
        }
        .boxed()
    }

    fn job(&self, job: JobId) -> BoxFuture<'_, Result<Option<Record>, ReadError>> {
        async move { self.queue.job(job).map_err(unreadable) }.boxed()
    }

    fn captured<'a>(
        &'a self,
        record: &'a Record,
        phase: Phase,
        stream: Stream,
    ) -> BoxFuture<'a, Result<Captured, ReadError>> {
        async move {
            if is_silent(record, phase, stream) {
                return Ok(Captured::default());
            }
            let (phase, stream) = (phase_of(phase), stream_of(stream));
            let printed = output::printed(self.logs.clone(), record.log, phase, stream).await;
            printed.map(shown).map_err(unreadable)
        }
        .boxed()
    }

    fn output_bytes<'a>(&'a self, record: &'a Record, selection: Selection) -> BoxFuture<'a, Result<u64, ReadError>> {
        let count = output::selected_bytes(self.logs.clone(), record.log, selected(selection));
        async move { count.await.map_err(unreadable) }.boxed()
    }

    fn output(
        &self,
        record: &Record,
        selection: Selection,
        range: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, ReadError>> {
        output::selected(self.logs.clone(), record.log, selected(selection), range).map_err(unreadable).boxed()
    }

    fn jobs(&self, filter: JobFilter, limit: usize, offset: u64) -> BoxFuture<'_, Result<JobPage, ReadError>> {
        let JobFilter { owner, status, language } = filter;
        let statuses = status.map(|status| vec![status]);
        let filter = store::JobFilter { owner, statuses, language, family: Some(Family::Execution) };
        let queue = self.queue.clone();
        let listed = tokio::task::spawn_blocking(move || queue.jobs(&filter, limit, offset));
        async move {
            let store::Page { jobs, total, unreadable: faults } =
                listed.await.map_err(unreadable)?.map_err(unreadable)?;
            for fault in faults {
                tracing::error!(%fault, "a job is left out of a list");
            }
            Ok(JobPage { jobs, total })
        }
        .boxed()
    }

    fn delete<'a>(&'a self, record: &'a Record, permit: Permit) -> BoxFuture<'a, Result<(), DeleteError>> {
        let (queue, record) = (self.queue.clone(), record.clone());
        let deleted = tokio::spawn(async move { queue.delete(&record, permit).await });
        async move {
            match deleted.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(queue::DeleteError::Unfinished)) => Err(DeleteError::Unfinished),
                Ok(Err(error)) => Err(DeleteError::Store(error.to_string())),
                Err(panicked) => Err(DeleteError::Store(panicked.to_string())),
            }
        }
        .boxed()
    }

    fn spec(&self, record: &Record, phase: Phase) -> Result<Option<Value>, String> {
        let spec = queue::spec::of(record, phase_of(phase), &self.offers.runtimes, self.launcher.isolation());
        let Some(spec) = spec? else { return Ok(None) };
        serde_json::to_value(spec).map(Some).map_err(|error| error.to_string())
    }

    fn cancel(&self, job: JobId, permit: Permit) -> BoxFuture<'_, Result<(), CancelError>> {
        let queue = self.queue.clone();
        let cancelled = tokio::spawn(async move { queue.cancel(job, permit).await });
        async move {
            match cancelled.await {
                Ok(Ok(queue::Cancelled::Ended | queue::Cancelled::Ending)) => Ok(()),
                Ok(Err(queue::CancelError::Over(_))) => Err(CancelError::Over),
                Ok(Err(error)) => Err(CancelError::Store(error.to_string())),
                Err(panicked) => Err(CancelError::Store(panicked.to_string())),
            }
        }
        .boxed()
    }

    fn selftest<'a>(
        &'a self,
        principal: &'a Principal,
        permit: Permit,
    ) -> BoxFuture<'a, Result<Report, SelfTestError>> {
        self.selftests.run(principal, permit)
    }

    fn load(&self) -> Load {
        let load = self.queue.load();
        Load { running: wide(load.running), queued: wide(load.queued) }
    }

    fn checks(&self) -> Vec<Check> {
        let check = |part, condition, message| Check { part, condition, message };
        let healthy = |part, message| check(part, Condition::Healthy, message);
        let store = match self.queue.store_fault() {
            None => healthy("store", String::from("jobs are made durable")),
            Some(error) => check("store", Condition::Unhealthy, format!("{error}; restart kiln once the disk is well")),
        };
        let sandbox = if self.launcher.is_lost() {
            check("sandbox", Condition::Unhealthy, String::from("the spawner is gone"))
        } else {
            healthy("sandbox", format!("the spawner answers; limits by {}", self.launcher.isolation().cgroups))
        };
        let (load, bounds) = (self.queue.load(), self.queue.capacity());
        let used = format!("{} of {} running, {} of {} waiting", load.running, bounds.0, load.queued, bounds.1);
        let full = load.running.saturating_add(load.queued) >= bounds.0.saturating_add(bounds.1);
        let queue =
            if full { check("queue", Condition::Degraded, format!("full: {used}")) } else { healthy("queue", used) };
        vec![store, sandbox, queue]
    }

    fn times(&self) -> Vec<(&'static str, Times)> {
        self.queue.times()
    }

    fn host(&self) -> HostFacts {
        let (max_concurrent, max_queued) = self.queue.capacity();
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        HostFacts {
            kernel: kernel.map(|release| release.trim().to_owned()),
            isolation: self.launcher.isolation().clone(),
            max_concurrent: wide(max_concurrent),
            max_queued: wide(max_queued),
        }
    }

    fn offer(&self) -> Arc<Offer> {
        self.offers.current()
    }

    /// In a task of its own, as a job is submitted.
    fn remove_image(&self, image: String, _permit: Permit) -> BoxFuture<'_, Result<(), RemoveError>> {
        let (queue, launcher) = (self.queue.clone(), self.launcher.clone());
        let collection = self.offers.runtimes.images.collection();
        let removed = tokio::spawn(async move { remove_image_or_tag(&queue, &launcher, &collection, &image).await });
        async move { removed.await.map_err(failed)? }.boxed()
    }

    fn host_usage(&self) -> HostUsage {
        self.usage.last()
    }
}

/// A tag of several, or the image with all its tags.
async fn remove_image_or_tag(
    queue: &Queue,
    launcher: &Launcher,
    collection: &Collection,
    asked: &str,
) -> Result<(), RemoveError> {
    let image = collection.catalog.find(asked).ok_or(RemoveError::Unknown)?;
    let digest = image.manifest.digest;
    if let (Ok(tag), true) = (asked.parse::<Reference>(), image.tags.len() > 1) {
        return launcher.remove_tag(tag.file_name()).await.map_err(failed);
    }
    if queue.has_use_for(digest).map_err(failed)? {
        return Err(RemoveError::InUse);
    }
    launcher.remove_image(digest).await.map_err(failed)?;
    for tag in &image.tags {
        launcher.remove_tag(tag.file_name()).await.map_err(failed)?;
    }
    Ok(())
}

fn failed(error: impl std::fmt::Display) -> RemoveError {
    RemoveError::Failed(error.to_string())
}

fn shown(captured: output::Captured) -> Captured {
    let output::Captured { mut head, tail, total_bytes, truncated } = captured;
    head.extend(tail);
    Captured { bytes: head, total: total_bytes, truncated }
}

const fn phase_of(phase: Phase) -> output::Phase {
    match phase {
        Phase::Compile => output::Phase::Compile,
        Phase::Run => output::Phase::Run,
    }
}

const fn stream_of(stream: Stream) -> output::Stream {
    match stream {
        Stream::Stdout => output::Stream::Stdout,
        Stream::Stderr => output::Stream::Stderr,
    }
}

fn selected(selection: Selection) -> output::Selection {
    output::Selection { phase: phase_of(selection.phase), stream: selection.stream.map(stream_of) }
}

/// Whether the record says that nothing was printed, so that the log need not be read.
fn is_silent(record: &Record, phase: Phase, stream: Stream) -> bool {
    let result = record.attempts.last().and_then(|attempt| match phase {
        Phase::Compile => attempt.compile.as_ref(),
        Phase::Run => attempt.run.as_ref(),
    });
    let printed = result.map(|result| match stream {
        Stream::Stdout => result.stdout_bytes,
        Stream::Stderr => result.stderr_bytes,
    });
    printed == Some(0)
}

fn refusal(error: &queue::SubmitError) -> SubmitError {
    match error {
        queue::SubmitError::Full { retry_after_s } => {
            SubmitError::Full { retry_after_s: u32::try_from(*retry_after_s).unwrap_or(u32::MAX) }
        }
        queue::SubmitError::KeyTaken => SubmitError::KeyTaken,
        queue::SubmitError::Stopping => SubmitError::Stopping,
        queue::SubmitError::Store(error) => SubmitError::Store(error.to_string()),
    }
}

fn unreadable(error: impl std::fmt::Display) -> ReadError {
    ReadError(error.to_string())
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
