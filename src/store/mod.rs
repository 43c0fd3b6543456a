//! The records, in sled. The only folder that names it.
//!
//! A change is one transaction: the record, its places in the lists, counters, unique keys and a
//! feed entry are written together or not at all. A change that was written survives the end of
//! this process only once [`Store::commit`] returned; then it survives a power loss too.
//!
//! Reads and writes are short work in memory (tens of microseconds; a cold page is one pread), so
//! that they may be called from async code. Lists, deleting, sweeping and trimming take
//! milliseconds and belong where blocking is allowed. Only the commit thread waits for the disk.
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
mod keys;
mod list;
mod mark;
mod opening;
mod trees;

#[cfg(test)]
mod test;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::watch;

use crate::base::id::JobId;
use crate::base::time::Clock;
use commit::Committer;
pub use expiry::EXPIRY_PAGE;
pub use fault::StoreError;
pub use feed::{Became, Entry, Subject};
use health::Health;
use index::Traits;
pub use keys::{Claim, Claimed, Held, SWEEP_MOST};
pub use list::{JobFilter, LIST_LIMIT, LIST_REACH, Page};
use trees::Trees;

/// Most feed entries that one call gives or removes.
pub const FEED_PAGE: usize = 1000;

/// The records of one data directory.
pub struct Store {
    // Dropped first: its thread holds the database open.
    committer: Committer,
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
        let (trees, memory) = health::guarded(|| {
            let trees = Trees::open(&db)?;
            let memory = Memory::read(&trees)?;
            Ok::<_, StoreError>((trees, memory))
        })
        .map_err(unopenable)??;
        let (mark, marked) = mark::Mark::open(dir).map_err(|error| {
            let message = opening::explain(&error);
            unopenable(format!("{}: {message}", mark::path(dir).display()))
        })?;
        if let Some(marked) = marked.filter(|marked| *marked > memory.seq) {
            return Err(StoreError::Lost { dir: dir.to_path_buf(), committed: marked, found: memory.seq });
        }
        let health = Arc::new(Health::default());
        let last = watch::Sender::new(memory.seq);
        let disk = commit::Disk { db, file, mark, last: last.subscribe(), health: Arc::clone(&health) };
        let committer =
            Committer::start(disk).map_err(|error| unopenable(format!("cannot start the commit thread: {error}")))?;
        Ok(Self { committer, trees, clock, memory: Mutex::new(memory), lists: RwLock::new(()), last, health })
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

    /// The right to write, and what is known in memory. A panic while it was held made the store
    /// refuse writes, so that what it left is only read.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn read(trees: &Trees) -> Result<Self, StoreError> {
        let mut unfinished = BTreeMap::new();
        for key in trees.unfinished.iter().keys() {
            let id = trees::id_of("unfinished", &key?)?;
            match jobs::read_outline(trees, id) {
                Ok(Some(record)) => drop(unfinished.insert(id, Traits::of(&record))),
                // Whoever takes up unfinished jobs says so of each one; `check` does too.
                Ok(None) | Err(StoreError::Damaged { .. } | StoreError::OtherSchema { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { seq: trees.last_seq()?, unfinished })
    }
}
