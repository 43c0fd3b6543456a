//! The records, in sled. The only folder that names it.
//!
//! A change is one entry of the journal and later one transaction: the record, its places in the lists,
//! counters, unique keys and a feed entry are written together or not at all. A change that was written
//! survives the end of this process, SIGKILL too; once [`Store::commit`] returned, it survives a power
//! loss.
//!
//! ```text
//! change ─► journal (write) ─► memory ─► whoever reads
//!              │ commit.rs         │ settle.rs, 50 ms later
//!              ▼                   ▼
//!          fdatasync             sled ─► the journal's half is free again
//! ```
//!
//! Reads and writes are short work in memory (tens of microseconds; a cold page is one pread), so
//! that they may be called from async code. Lists, deleting, sweeping and trimming take
//! milliseconds and belong where blocking is allowed. The commit thread waits for the disk; a writer
//! does only where 4 MiB were written in less time than the database needs to take 2.
//!
//! Changes are made one at a time ([`Store::memory`] is the lock): sled runs one transaction at a
//! time in any case. A list never holds it while it walks an index (`list.rs`).
//!
//! Not here: who may see a record, what a transition means, what a job printed.
mod check;
mod codec;
mod commit;
mod expiry;
mod fault;
mod feed;
mod health;
mod index;
mod jobs;
mod journal;
mod keys;
mod list;
mod mark;
mod opening;
mod replay;
mod settle;
mod steps;
mod trees;

#[cfg(test)]
mod test;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::watch;

use crate::base::id::{JobId, unguessable};
use crate::base::time::Clock;
use commit::Committer;
pub use expiry::EXPIRY_PAGE;
pub use fault::StoreError;
pub use feed::{Became, Entry, Subject};
use health::Health;
use index::Traits;
use journal::{Append, Journal};
pub use keys::{Claim, Claimed, Held, SWEEP_MOST};
pub use list::{JobFilter, LIST_LIMIT, LIST_REACH, Page};
use settle::{Database, Settler};
use steps::Writes;
use trees::Trees;

/// Most feed entries that one call gives or removes.
pub const FEED_PAGE: usize = 1000;

/// The records of one data directory.
pub struct Store {
    // Dropped first: their threads hold the files open.
    committer: Committer,
    settler: Settler,
    trees: Trees,
    clock: Arc<dyn Clock>,
    memory: Mutex<Memory>,
    /// Read while a list is read; written while a job leaves a section of the index.
    lists: RwLock<()>,
    /// The seq of the last change.
    last: watch::Sender<u64>,
    health: Arc<Health>,
}

/// What is known without asking sled, and the right to write.
struct Memory {
    journal: Journal,
    /// The last seq of the feed.
    seq: u64,
    /// The jobs that have not ended, but for those whose record cannot be read.
    unfinished: BTreeMap<JobId, Traits>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { committer, health, .. } = self;
        f.debug_struct("Store").field("committer", committer).field("health", health).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the records in `dir`, which is made when it is not there. Blocks: up to a second when
    /// another process holds the directory.
    ///
    /// # Errors
    /// When the directory is in use, cannot be opened, or lacks what was committed.
    pub fn open(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let opening::Opened { db, file } = opening::open(dir)?;
        let unopenable = |message: String| StoreError::Unopenable { dir: dir.to_path_buf(), message };
        let broken = |path: std::path::PathBuf, error: &io::Error| {
            let because = || unopenable(format!("{}: {}", path.display(), opening::explain(error)));
            StoreError::of_file_system(error).unwrap_or_else(because)
        };
        let (mut journal, left) = Journal::open(dir).map_err(|error| broken(dir.join(journal::NAME), &error))?;
        let (mark, marked) = mark::Mark::open(dir).map_err(|error| broken(mark::path(dir), &error))?;
        let trees = health::guarded(|| {
            let trees = Trees::open(&db)?;
            let flushed = left.flushed;
            let found = trees.last_seq()?;
            let lost = |committed| StoreError::Lost { dir: dir.to_path_buf(), committed, found };
            match (replay::lacking(found, left), marked) {
                (Some(lacking), Some(marked)) if marked > lacking.last => return Err(lost(marked)),
                (Some(lacking), _) => replay::replay(&trees, &lacking)?,
                (None, Some(marked)) => return Err(lost(marked.max(flushed))),
                // Somebody took the mark away: what is left is to be used.
                (None, None) => tracing::warn!(found, "store: the journal does not fit the records and is left out"),
            }
            db.flush()?;
            file.sync_data().map_err(|error| StoreError::of_io(&error))?;
            Ok(trees)
        })
        .map_err(unopenable)??;
        let (seq, unfinished) = health::guarded(|| Memory::read(&trees)).map_err(unopenable)??;
        let began = journal.turn(seq, unguessable()).and_then(|()| journal.file().sync_data());
        began.map_err(|error| broken(dir.join(journal::NAME), &error))?;
        let health = Arc::new(Health::default());
        let last = watch::Sender::new(seq);
        let disk = commit::Disk { file: journal.file(), mark, last: last.subscribe(), health: Arc::clone(&health) };
        let database = Database { db, file, trees: trees.clone(), health: Arc::clone(&health) };
        let unstarted = |error: io::Error| unopenable(format!("cannot start a thread: {error}"));
        let settler = Settler::start(database, seq).map_err(unstarted)?;
        let committer = Committer::start(disk).map_err(unstarted)?;
        let memory = Mutex::new(Memory { journal, seq, unfinished });
        Ok(Self { committer, settler, trees, clock, memory, lists: RwLock::new(()), last, health })
    }

    /// Waits until everything that was written before the call is durable.
    ///
    /// # Errors
    /// When the disk failed, now or at any time since the store was opened.
    pub async fn commit(&self) -> Result<(), StoreError> {
        self.committer.commit().await
    }

    /// Why nothing is written any more; `None` while all is well. It stays until the store is
    /// opened again.
    pub fn fault(&self) -> Option<StoreError> {
        self.health.fault().cloned()
    }

    /// The same, and every tree is as it would be if nothing were only in the journal.
    fn settled(&self) -> Result<MutexGuard<'_, Memory>, StoreError> {
        // Most of it while others may write.
        self.settler.settle()?;
        let memory = self.memory();
        self.settler.settle()?;
        Ok(memory)
    }

    /// Writes all or nothing. It survives the end of this process when this returns.
    fn write(&self, memory: &mut Memory, seq: u64, writes: Writes) -> Result<(), StoreError> {
        self.health.writing(|| {
            let steps = writes.encode();
            let full = |error: io::Error| StoreError::of_io(&error);
            let mut append = memory.journal.append(seq, &steps).map_err(full)?;
            if append == Append::Full {
                memory.journal.turn(self.settler.turn()?, unguessable()).map_err(full)?;
                append = memory.journal.append(seq, &steps).map_err(full)?;
            }
            self.trees.put(seq, writes);
            match append {
                Append::Written => self.settler.wake(),
                // No half has room for it: the database itself is its journal.
                Append::TooLarge | Append::Full => drop(self.settler.flush()?),
            }
            Ok(())
        })
    }

    /// Leaves a database that needs no journal.
    fn close(&mut self) -> Result<(), StoreError> {
        self.settler.stop();
        self.health.sound()?;
        let flushed = self.settler.flush()?;
        let mut memory = self.memory();
        let closed = memory.journal.turn(flushed, unguessable()).and_then(|()| memory.journal.file().sync_data());
        closed.map_err(|error| StoreError::of_io(&error))
    }

    /// The right to write, and what is known in memory. A panic while it was held made the store
    /// refuse writes, so that what it left is only read.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "store: the next start reads the journal");
        }
    }
}

impl Memory {
    /// The last seq, and the jobs that have not ended.
    fn read(trees: &Trees) -> Result<(u64, BTreeMap<JobId, Traits>), StoreError> {
        let mut unfinished = BTreeMap::new();
        for key in trees.unfinished.settled().iter().keys() {
            let id = trees::id_of("unfinished", &key?)?;
            match jobs::read_outline(trees, id) {
                Ok(Some(record)) => drop(unfinished.insert(id, Traits::of(&record))),
                // Whoever takes up unfinished jobs says so of each one; `check` does too.
                Ok(None) | Err(StoreError::Damaged { .. } | StoreError::OtherSchema { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((trees.last_seq()?, unfinished))
    }
}
