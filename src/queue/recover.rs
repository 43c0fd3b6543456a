//! What becomes, at the start of a daemon, of the jobs that its predecessor left.
//!
//! A job that ran is ended: its sandbox went with the predecessor, and whether its program ran is
//! not known. A job that waited waits again, in its old order.
use std::path::Path;

use super::Queue;
use super::live::Live;
use crate::base::id::JobId;
use crate::base::time::Timestamp;
use crate::job::record::{Ran, Record};
use crate::job::state::{State, Status};
use crate::job::termination::{Reason, Termination};
use crate::output::{LogError, LogWriter, Mark, Phase};
use crate::store::StoreError;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Jobs that wait again.
    pub queued: usize,
    /// Jobs that were ended with `daemon_restart`.
    pub ended: usize,
    /// Records that cannot be read; they stay as they are.
    pub unreadable: Vec<StoreError>,
}

impl Queue {
    /// Ends what ran and queues what waited when the predecessor went away. To be called once,
    /// before the first [`Queue::submit`].
    ///
    /// # Errors
    /// When the store fails. A record that cannot be read is reported and left alone.
    pub async fn recover(&self) -> Result<Recovered, StoreError> {
        let mut recovered = Recovered::default();
        let mut waiting = Vec::new();
        for id in self.0.store.unfinished_ids()? {
            match self.recover_one(id).await {
                Ok(Some(id)) => waiting.push(id),
                Ok(None) => recovered.ended += 1,
                Err(error @ (StoreError::Damaged { .. } | StoreError::OtherSchema { .. })) => {
                    tracing::error!(%error, "queue: an unfinished job cannot be taken up");
                    recovered.unreadable.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        for log in self.0.store.doomed_logs()? {
            self.remove_log(log).await;
        }
        self.0.store.commit().await?;
        recovered.queued = waiting.len();
        {
            let mut ledger = self.ledger();
            for id in waiting {
                ledger.live.insert(id, Live::queued().into());
                ledger.waiting.push_back(id);
            }
        }
        self.start_waiting();
        Ok(recovered)
    }

    /// Gives the id back when the job is to wait again.
    async fn recover_one(&self, id: JobId) -> Result<Option<JobId>, StoreError> {
        let mut record = self.job(id)?.ok_or(StoreError::Missing { id })?;
        match record.observed {
            State::Queued => return Ok(Some(id)),
            State::Running { .. } => {}
            State::Ended { .. } => {
                let record = format!("job {id}");
                let message = String::from("it has ended and is listed as unfinished");
                return Err(StoreError::Damaged { record, message });
            }
        }
        if let Some(last) = record.attempts.last_mut() {
            last.ran = Ran::Unknown;
        }
        self.close_log(&record).await;
        let message = String::from("the daemon went away while the job ran");
        let termination = Termination::without_exit(Reason::DaemonRestart, Some(message));
        self.record_end(record, termination)?;
        Ok(None)
    }

    /// Cuts off half an entry and notes the end. What was printed stays, even if this fails.
    async fn close_log(&self, record: &Record) {
        let (logs, log, now) = (self.0.logs.clone(), record.log, self.0.clock.now());
        let closed = tokio::task::spawn_blocking(move || close(&logs, log, now)).await;
        match closed {
            Ok(Ok(()) | Err(LogError::Missing { .. })) => {}
            Ok(Err(error)) => tracing::warn!(job = %record.id, %error, "queue: log not closed"),
            Err(error) => tracing::warn!(job = %record.id, %error, "queue: log not closed"),
        }
    }
}

fn close(logs: &Path, log: crate::base::id::LogId, now: Timestamp) -> Result<(), LogError> {
    let mut writer = LogWriter::reopen(logs, log)?;
    writer.append_mark(Phase::Run, Mark::Ended { status: Status::Failed }, now).map(drop)
}
