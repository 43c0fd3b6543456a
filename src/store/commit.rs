//! Makes what was written survive a power loss, for everybody who waits at that moment, with one
//! fdatasync of the journal (group commit).
//!
//! ```text
//! writer: transaction ─► ask ─► wait ─┐
//! writer: transaction ─► ask ─► wait ─┼─► committer: fdatasync ─► answer all
//! writer: transaction ─► ask ─► wait ─┘
//! ```
//!
//! After a failure nothing is called durable any more: the kernel reports a failed write-back
//! once and then forgets it (fsync(2), NOTES).
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, oneshot, watch};

use super::fault::StoreError;
use super::health::Health;
use super::mark::Mark;

/// Who waits at most; the next one waits for a place to wait.
const WAITERS: usize = 1024;

type Answer = oneshot::Sender<Result<(), StoreError>>;

/// What the thread works on.
pub(super) struct Disk {
    /// The journal.
    pub(super) file: Arc<File>,
    pub(super) mark: Mark,
    /// The seq of the last change.
    pub(super) last: watch::Receiver<u64>,
    pub(super) health: Arc<Health>,
}

/// The thread that makes writes durable. It ends, after the last answer, when this is dropped.
#[derive(Debug)]
pub(super) struct Committer {
    ask: Option<mpsc::Sender<Answer>>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread.
    pub(super) fn start(disk: Disk) -> io::Result<Self> {
        let (ask, asked) = mpsc::channel(WAITERS);
        let thread = thread::Builder::new().name(String::from("kiln-commit")).spawn(move || serve(asked, &disk))?;
        Ok(Self { ask: Some(ask), thread: Some(thread) })
    }

    /// Waits until everything that was written before the call survives a power loss.
    pub(super) async fn commit(&self) -> Result<(), StoreError> {
        let gone = || StoreError::Failed { message: String::from("its commit thread ended") };
        let (answer, answered) = oneshot::channel();
        let ask = self.ask.as_ref().ok_or_else(gone)?;
        ask.send(answer).await.map_err(|_closed| gone())?;
        answered.await.map_err(|_dropped| gone())?
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        drop(self.ask.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("store: the commit thread panicked");
        }
    }
}

fn serve(mut asked: mpsc::Receiver<Answer>, disk: &Disk) {
    let mut waiting = Vec::new();
    while asked.blocking_recv_many(&mut waiting, WAITERS) > 0 {
        let synced = disk.health.writing(|| disk.make_durable());
        let outcome = synced.as_ref().map(|_seq| ()).map_err(Clone::clone);
        for answer in waiting.drain(..) {
            // Whoever stopped waiting does not need the answer.
            drop(answer.send(outcome.clone()));
        }
        // Nobody waits for the mark; a failure is remembered, and told to whoever comes next.
        drop(synced.and_then(|seq| disk.health.writing(|| disk.note(seq))));
    }
}

impl Disk {
    /// Gives the seq of a change that is durable now with all before it.
    fn make_durable(&self) -> Result<u64, StoreError> {
        // A seq is published once its change is in the journal, so that the fdatasync takes it along.
        let seq = *self.last.borrow();
        self.file.sync_data().map_err(|error| StoreError::of_io(&error))?;
        Ok(seq)
    }

    fn note(&self, seq: u64) -> Result<(), StoreError> {
        self.mark.set(seq).map_err(|error| StoreError::of_io(&error))
    }
}
