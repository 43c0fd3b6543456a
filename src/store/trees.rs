//! Which keys hold what, and the one transaction that every change of a record is.
//!
//! | tree | key | value |
//! | --- | --- | --- |
//! | `jobs` | job id | the record without its request, JSON |
//! | `requests` | job id, part number (u32) | at most [`PART_BYTES`] of the request (`codec.rs`) |
//! | `unfinished` | job id | nothing |
//! | `index` | where an ended job stands in a list (`index.rs`) | seq of the change that put it there |
//! | `counters` | the part of an index key that many jobs share | how many do, u64 |
//! | `feed` | seq (u64) | the entry, JSON |
//! | `keys` | unique keys, by name, job and expiry (`keys.rs`) | what a key stands for, JSON |
//! | `doomed` | log id of a removed job | nothing |
//! | `readers` | name of a reader of the feed | seq that it has reached |
//!
//! Numbers in keys are big-endian, so that they sort. The request never changes, so that it is
//! written once; it is cut in parts because sled keeps up to 16 values in a page and writes a page
//! above 128 KiB to a file of its own that it never syncs (`pagecache/blob_io.rs`).
//!
//! What was written last is in memory, above sled, until `settle.rs` brings it down: [`Table::get`]
//! sees it, a walk over [`Table::settled`] does not.
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sled::transaction::{ConflictableTransactionError, TransactionError};
use sled::{Batch, IVec, Transactional as _, Tree};

use super::fault::StoreError;
use super::steps::{Step, Steps, TREES, Writes};
use crate::base::id::JobId;

/// Largest value that sled gets for a part of a request.
pub(super) const PART_BYTES: usize = 4096;

/// The trees of one database.
#[derive(Clone, Debug)]
pub(super) struct Trees {
    pub(super) jobs: Table,
    pub(super) requests: Table,
    pub(super) unfinished: Table,
    pub(super) index: Table,
    pub(super) counters: Table,
    pub(super) feed: Table,
    pub(super) keys: Table,
    pub(super) doomed: Table,
    pub(super) readers: Table,
    pending: Arc<RwLock<Pending>>,
}

/// One tree, with what is not in it yet.
#[derive(Clone)]
pub(super) struct Table {
    tree: Tree,
    steps_of: fn(&Writes) -> &Steps,
    pending: Arc<RwLock<Pending>>,
}

/// What was written and is not in sled yet, or not in its file.
#[derive(Debug, Default)]
struct Pending {
    /// Since the last time that it was brought down.
    newer: Writes,
    /// What is being brought down.
    older: Writes,
    /// What sled has in its buffers. When its disk fails it can be unable to read that.
    sunk: Writes,
    /// The last change of `newer`, or the last there was.
    seq: u64,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}

impl Table {
    /// What a key stands for now.
    pub(super) fn get(&self, key: impl AsRef<[u8]>) -> sled::Result<Option<IVec>> {
        let key = key.as_ref();
        {
            let pending = read(&self.pending);
            for layer in [&pending.newer, &pending.older] {
                match (self.steps_of)(layer).of(key) {
                    Step::None => {}
                    Step::Removed => return Ok(None),
                    Step::Value(value) => return Ok(Some(value.clone())),
                }
            }
        }
        self.tree.get(key).or_else(|error| match (self.steps_of)(&read(&self.pending).sunk).of(key) {
            Step::None => Err(error),
            Step::Removed => Ok(None),
            Step::Value(value) => Ok(Some(value.clone())),
        })
    }

    /// Whether a key stands for something now.
    pub(super) fn contains_key(&self, key: impl AsRef<[u8]>) -> sled::Result<bool> {
        self.get(key).map(|found| found.is_some())
    }

    /// The tree itself, which may lag behind: whoever walks it calls [`super::Store::settled`] first.
    pub(super) const fn settled(&self) -> &Tree {
        &self.tree
    }
}

impl Trees {
    /// Opens or makes the trees.
    pub(super) fn open(db: &sled::Db) -> Result<Self, StoreError> {
        let pending = Arc::<RwLock<Pending>>::default();
        let table = |name: &str, steps_of| {
            Ok::<_, StoreError>(Table { tree: db.open_tree(name)?, steps_of, pending: Arc::clone(&pending) })
        };
        Ok(Self {
            jobs: table("jobs", |writes| &writes.jobs)?,
            requests: table("requests", |writes| &writes.requests)?,
            unfinished: table("unfinished", |writes| &writes.unfinished)?,
            index: table("index", |writes| &writes.index)?,
            counters: table("counters", |writes| &writes.counters)?,
            feed: table("feed", |writes| &writes.feed)?,
            keys: table("keys", |writes| &writes.keys)?,
            doomed: table("doomed", |writes| &writes.doomed)?,
            readers: table("readers", |writes| &writes.readers)?,
            pending,
        })
    }

    /// From here on everybody sees these writes. They are in the journal.
    pub(super) fn put(&self, seq: u64, writes: Writes) {
        let mut pending = write(&self.pending);
        pending.newer.follow(writes);
        pending.seq = seq;
    }

    /// Brings down what was put before the call, as one transaction; gives the seq of the last change
    /// that is in sled. One at a time (`settle.rs`).
    pub(super) fn bring_down(&self) -> Result<u64, StoreError> {
        let (seq, older) = {
            let mut pending = write(&self.pending);
            // Not empty where it could not be written the last time.
            let newer = std::mem::take(&mut pending.newer);
            pending.older.follow(newer);
            (pending.seq, pending.older.clone())
        };
        self.write(&older)?;
        let mut pending = write(&self.pending);
        let older = std::mem::take(&mut pending.older);
        pending.sunk.follow(older);
        Ok(seq)
    }

    /// sled was flushed after what was brought down so far.
    pub(super) fn flushed(&self) {
        write(&self.pending).sunk = Writes::default();
    }

    /// Writes all or nothing to sled.
    pub(super) fn write(&self, writes: &Writes) -> Result<(), StoreError> {
        let tables: [&Table; TREES] = [
            &self.jobs,
            &self.requests,
            &self.unfinished,
            &self.index,
            &self.counters,
            &self.feed,
            &self.keys,
            &self.doomed,
            &self.readers,
        ];
        let touched = tables.into_iter().map(|table| (&table.tree, (table.steps_of)(writes)));
        let touched = touched.filter(|(_, steps)| !steps.is_empty());
        let (trees, batches): (Vec<&Tree>, Vec<Batch>) = touched.map(|(tree, steps)| (tree, steps.batch())).unzip();
        if trees.is_empty() {
            return Ok(());
        }
        let written = trees.as_slice().transaction(|views| {
            for (view, batch) in views.iter().zip(&batches) {
                view.apply_batch(batch)?;
            }
            Ok::<(), ConflictableTransactionError<()>>(())
        });
        match written {
            // Nothing in it aborts.
            Ok(()) | Err(TransactionError::Abort(())) => Ok(()),
            Err(TransactionError::Storage(error)) => Err(error.into()),
        }
    }

    /// The number under a key of the counters; one that was never written is 0.
    pub(super) fn counter(&self, key: &[u8]) -> Result<u64, StoreError> {
        Ok(number(self.counters.get(key)?.as_deref()))
    }

    /// The last seq of the feed. Trimming leaves the last entry, so that this is never forgotten.
    pub(super) fn last_seq(&self) -> Result<u64, StoreError> {
        Ok(self.feed.tree.last()?.map_or(0, |(key, _)| number(Some(&key))))
    }

    /// The first `length` bytes of a request.
    pub(super) fn request(&self, id: JobId, length: usize) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::with_capacity(length.min(PART_BYTES));
        for key in part_keys(id, length) {
            let Some(part) = self.requests.get(key)? else { break };
            bytes.extend_from_slice(&part);
        }
        bytes.truncate(length);
        Ok(bytes)
    }
}

impl Writes {
    /// Puts a new request, in parts.
    pub(super) fn put_request(&mut self, id: JobId, request: &[u8]) {
        for (key, part) in part_keys(id, request.len()).zip(request.chunks(PART_BYTES)) {
            self.requests.insert(key, part);
        }
    }
}

/// The keys of the parts of a request of this length.
pub(super) fn part_keys(id: JobId, length: usize) -> impl Iterator<Item = Vec<u8>> {
    let parts = (0u32..).take(length.div_ceil(PART_BYTES));
    parts.map(move |index| [id.as_bytes().as_slice(), &index.to_be_bytes()].concat())
}

fn read(pending: &RwLock<Pending>) -> RwLockReadGuard<'_, Pending> {
    // Every change under the lock is complete or not begun.
    pending.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(pending: &RwLock<Pending>) -> RwLockWriteGuard<'_, Pending> {
    pending.write().unwrap_or_else(PoisonError::into_inner)
}

/// A big-endian number; 0 where there is none.
pub(super) fn number(bytes: Option<&[u8]>) -> u64 {
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

/// The id that a key of a tree is.
pub(super) fn id_of(tree: &str, key: &IVec) -> Result<JobId, StoreError> {
    let bytes = key.as_ref().try_into().map_err(|_length| StoreError::Damaged {
        record: format!("the tree {tree}"),
        message: format!("a key has {} bytes", key.len()),
    })?;
    Ok(JobId::from_bytes(bytes))
}
