//! Brings into the database what the journal has, behind everybody's back, many changes at once.
//!
//! ```text
//! change ─► journal, memory ─► (PAUSE) ─► one transaction of sled ─► (half full) ─► flush, fdatasync
//! ```
//!
//! A job that begins and ends within the pause costs the database one write instead of three. Whoever
//! walks a tree asks for this first ([`Settler::settle`]).
use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::fault::StoreError;
use super::health::Health;
use super::trees::Trees;

/// From the first change that is only in the journal to the transaction that takes it along.
const PAUSE: Duration = Duration::from_millis(50);

/// The database, and the thread that writes to it.
#[derive(Debug)]
pub(super) struct Settler {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread works on, and whoever cannot wait for it.
pub(super) struct Database {
    pub(super) db: sled::Db,
    /// The file of `db`.
    pub(super) file: File,
    pub(super) trees: Trees,
    pub(super) health: Arc<Health>,
}

struct Shared {
    database: Database,
    settled: Mutex<Settled>,
    wish: Mutex<Wish>,
    wished: Condvar,
}

/// How far the database is. The lock is held by whoever brings it further.
struct Settled {
    /// It has everything up to this change, and would after a power loss.
    flushed: u64,
    /// The half of the journal that takes no entries has some that the database may lack.
    behind: bool,
}

/// What is asked of the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Nothing,
    Settle,
    Flush,
    Stop,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Settler {
    /// Starts the thread. The database has everything up to `flushed`.
    pub(super) fn start(database: Database, flushed: u64) -> io::Result<Self> {
        let settled = Mutex::new(Settled { flushed, behind: false });
        let (wish, wished) = (Mutex::new(Wish::Nothing), Condvar::new());
        let shared = Arc::new(Shared { database, settled, wish, wished });
        let work = Arc::clone(&shared);
        let thread = thread::Builder::new().name(String::from("kiln-settle")).spawn(move || work.serve())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// There is something to bring down, when it suits.
    pub(super) fn wake(&self) {
        self.shared.ask(Wish::Settle);
    }

    /// Brings down what was written before the call. After a fault nothing is brought down: then a walk
    /// lacks the last changes, and whoever asks for one key still sees them.
    pub(super) fn settle(&self) -> Result<(), StoreError> {
        let mut settled = self.shared.settled();
        if self.shared.database.health.fault().is_some() {
            return Ok(());
        }
        self.shared.settle(&mut settled).map(drop)
    }

    /// The same, and waits for the disk; gives the last change that is there for certain.
    pub(super) fn flush(&self) -> Result<u64, StoreError> {
        self.shared.flush(&mut self.shared.settled())
    }

    /// Waits until no half of the journal but the current one is needed; from here on that one is.
    /// Gives the last change that the database has for certain.
    pub(super) fn turn(&self) -> Result<u64, StoreError> {
        let mut settled = self.shared.settled();
        if settled.behind {
            self.shared.flush(&mut settled)?;
        }
        settled.behind = true;
        self.shared.ask(Wish::Flush);
        Ok(settled.flushed)
    }

    /// Ends the thread.
    pub(super) fn stop(&mut self) {
        self.shared.ask(Wish::Stop);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("store: the thread that brings changes into the database panicked");
        }
    }
}

impl Drop for Settler {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn serve(&self) {
        loop {
            let wish = self.next();
            let mut settled = self.settled();
            // What fails is remembered, and refuses every later write.
            let done = match wish {
                Wish::Settle => self.settle(&mut settled).map(drop),
                Wish::Flush if settled.behind => self.flush(&mut settled).map(drop),
                // Whoever wrote did not want to wait for it.
                Wish::Flush | Wish::Nothing => Ok(()),
                Wish::Stop => return,
            };
            if done.is_err() {
                return;
            }
        }
    }

    /// The next wish, after a pause in which more may come together.
    fn next(&self) -> Wish {
        let lock = self.wish.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = self.wished.wait_while(lock, |wish| *wish == Wish::Nothing);
        let lock = idle.unwrap_or_else(PoisonError::into_inner);
        let pause = self.wished.wait_timeout_while(lock, PAUSE, |wish| *wish == Wish::Settle);
        let (mut wish, _) = pause.unwrap_or_else(PoisonError::into_inner);
        match *wish {
            Wish::Stop => Wish::Stop,
            Wish::Nothing | Wish::Settle | Wish::Flush => std::mem::replace(&mut *wish, Wish::Nothing),
        }
    }

    fn ask(&self, wanted: Wish) {
        let mut wish = self.wish.lock().unwrap_or_else(PoisonError::into_inner);
        let more = match (*wish, wanted) {
            (Wish::Stop, _)
            | (_, Wish::Nothing)
            | (Wish::Settle, Wish::Settle)
            | (Wish::Flush, Wish::Settle | Wish::Flush) => false,
            (_, Wish::Settle | Wish::Flush | Wish::Stop) => true,
        };
        if more {
            *wish = wanted;
            drop(wish);
            self.wished.notify_one();
        }
    }

    fn settled(&self) -> MutexGuard<'_, Settled> {
        // A panic in sled is caught; one elsewhere left the store refusing writes.
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, _alone: &mut Settled) -> Result<u64, StoreError> {
        let Database { trees, health, .. } = &self.database;
        health.writing(|| trees.bring_down())
    }

    fn flush(&self, settled: &mut Settled) -> Result<u64, StoreError> {
        let seq = self.settle(settled)?;
        let Database { db, file, trees, health } = &self.database;
        health.writing(|| {
            db.flush()?;
            file.sync_data().map_err(|error| StoreError::of_io(&error))
        })?;
        // Nothing was brought down meanwhile: `settled` is held.
        trees.flushed();
        *settled = Settled { flushed: seq, behind: false };
        Ok(seq)
    }
}
