//! What stands behind the API: fits its trait to queue, store and output.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::access::Principal;
use crate::api::core::{Captured, Core, HostUsage, Load, Phase, ReadError, Stream, SubmitError};
use crate::base::id::JobId;
use crate::daemon::usage::Usage;
use crate::job::record::Record;
use crate::job::request::{KnownLanguage, Request};
use crate::lang::Languages;
use crate::launch::Launcher;
use crate::output;
use crate::queue::{self, Queue, Versions};

/// The parts.
#[derive(Debug)]
pub(super) struct Behind {
    pub(super) queue: Queue,
    pub(super) launcher: Launcher,
    pub(super) logs: PathBuf,
    pub(super) languages: Arc<Languages>,
    pub(super) versions: Versions,
    pub(super) usage: Usage,
}

impl Core for Behind {
    /// In a task of its own: a client that goes away does not stop half-way what was begun.
    fn submit<'a>(&'a self, principal: &'a Principal, request: Request) -> BoxFuture<'a, Result<JobId, SubmitError>> {
        let (queue, principal) = (self.queue.clone(), principal.clone());
        let submitted = tokio::spawn(async move { queue.submit(&principal, request).await });
        async move {
            match submitted.await {
                Ok(Ok(id)) => Ok(id),
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
        let phase = match phase {
            Phase::Compile => output::Phase::Compile,
            Phase::Run => output::Phase::Run,
        };
        async move {
            let printed = output::printed(self.logs.clone(), record.log, phase).await.map_err(unreadable)?;
            Ok(shown(match stream {
                Stream::Stdout => printed.stdout,
                Stream::Stderr => printed.stderr,
            }))
        }
        .boxed()
    }

    fn load(&self) -> Load {
        let load = self.queue.load();
        Load { running: wide(load.running), queued: wide(load.queued) }
    }

    fn ready(&self) -> Result<(), String> {
        if self.launcher.is_lost() { Err(String::from("the spawner is gone")) } else { Ok(()) }
    }

    fn languages(&self) -> Vec<KnownLanguage> {
        let known = |language: &crate::lang::Language| {
            let version = Some(self.versions.of(&language.id)?);
            Some(KnownLanguage { id: language.id.clone(), aliases: language.aliases.clone(), version })
        };
        self.languages.iter().filter_map(known).collect()
    }

    fn host_usage(&self) -> HostUsage {
        self.usage.last()
    }
}

fn shown(captured: output::Captured) -> Captured {
    let output::Captured { mut head, tail, total_bytes, truncated } = captured;
    head.extend(tail);
    Captured { bytes: head, total: total_bytes, truncated }
}

fn refusal(error: &queue::SubmitError) -> SubmitError {
    match error {
        queue::SubmitError::Full { retry_after_s } => {
            SubmitError::Full { retry_after_s: u32::try_from(*retry_after_s).unwrap_or(u32::MAX) }
        }
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
