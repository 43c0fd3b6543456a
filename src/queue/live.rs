//! What is known in memory of a job that has not ended: how far it is, and who wants it to end.
use tokio::sync::watch;

use super::outcome::Asked;
use crate::job::state::Status;
use crate::output::Seq;
use crate::store::StoreError;

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Its status. An end is shown only once it is durable.
    pub status: Status,
    /// Number of the last entry of its log.
    pub seq: Seq,
    /// Why the job's end could not be written, where it could not: nothing more will happen.
    pub fault: Option<StoreError>,
}

impl Progress {
    /// Whether nothing more will happen.
    pub const fn is_over(&self) -> bool {
        match self.status {
            Status::Queued | Status::Running => self.fault.is_some(),
            Status::Completed | Status::Failed | Status::Cancelled | Status::TimedOut => true,
        }
    }
}

/// One job that has not ended.
#[derive(Debug)]
pub(super) struct Live {
    progress: watch::Sender<Progress>,
    asked: watch::Sender<Option<Asked>>,
}

impl Live {
    pub(super) fn queued() -> Self {
        let progress = Progress { status: Status::Queued, seq: Seq::START, fault: None };
        Self { progress: watch::Sender::new(progress), asked: watch::Sender::new(None) }
    }

    /// Follows the progress.
    pub(super) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(super) fn reached(&self, status: Status) {
        self.progress.send_modify(|progress| progress.status = status);
    }

    pub(super) fn printed(&self, seq: Seq) {
        self.progress.send_modify(|progress| progress.seq = seq);
    }

    pub(super) fn lost(&self, fault: StoreError) {
        self.progress.send_modify(|progress| progress.fault = Some(fault));
    }

    /// Asks for the end. Whoever asks first gives the reason.
    pub(super) fn ask(&self, why: Asked) {
        self.asked.send_if_modified(|asked| {
            let first = asked.is_none();
            if first {
                *asked = Some(why);
            }
            first
        });
    }

    /// Whether the end was asked for.
    pub(super) fn asked(&self) -> Option<Asked> {
        *self.asked.borrow()
    }

    /// Waits until the end is asked for.
    pub(super) async fn until_asked(&self) {
        let mut asked = self.asked.subscribe();
        // The sender is in `self`: it cannot be gone.
        let found = asked.wait_for(Option::is_some).await.is_ok();
        debug_assert!(found, "the sender lives as long as this call");
    }
}
