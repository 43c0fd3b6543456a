//! Makes what was written durable, for everybody who waits at that moment, with one flush and one
//! fdatasync (group commit).
//!
//! ```text
//! writer: transaction ─► ask ─► wait ─┐
//! writer: transaction ─► ask ─► wait ─┼─► committer: flush, fdatasync ─► answer all
//! writer: transaction ─► ask ─► wait ─┘
//! ```
//!
//! sled's `flush` writes without fsync, and its `flush_async` dead-locks (notes-crates.md, 1b).
//! After a failure nothing is called durable any more: the kernel reports a failed write-back
//! once and then forgets it (fsync(2), NOTES).
use std::fs::File;
use std::io;
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, oneshot};

use super::fault::StoreError;

/// Who waits at most; the next one waits for a place to wait.
const WAITERS: usize = 1024;

type Answer = oneshot::Sender<Result<(), StoreError>>;

/// The thread that makes writes durable. It ends, after the last answer, when this is dropped.
#[derive(Debug)]
pub(super) struct Committer {
    ask: Option<mpsc::Sender<Answer>>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread.
    pub(super) fn start(db: sled::Db, file: File) -> io::Result<Self> {
        let (ask, asked) = mpsc::channel(WAITERS);
        let thread =
            thread::Builder::new().name(String::from("kiln-commit")).spawn(move || serve(asked, &db, &file))?;
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

fn serve(mut asked: mpsc::Receiver<Answer>, db: &sled::Db, file: &File) {
    let mut outcome = Ok(());
    let mut waiting = Vec::new();
    while asked.blocking_recv_many(&mut waiting, WAITERS) > 0 {
        if outcome.is_ok() {
            outcome = make_durable(db, file);
            if let Err(error) = &outcome {
                tracing::error!(%error, "store: nothing is durable any more");
            }
        }
        for answer in waiting.drain(..) {
            // Whoever stopped waiting does not need the answer.
            drop(answer.send(outcome.clone()));
        }
    }
}

fn make_durable(db: &sled::Db, file: &File) -> Result<(), StoreError> {
    db.flush()?;
    file.sync_data().map_err(|error| StoreError::of_io(&error))
}
