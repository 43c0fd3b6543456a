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
use sled::transaction::{ConflictableTransactionError, TransactionError};
use sled::{Batch, IVec, Transactional as _, Tree};

use super::fault::StoreError;
use crate::base::id::JobId;

/// Largest value that sled gets for a part of a request.
pub(super) const PART_BYTES: usize = 4096;

/// The trees of one database.
#[derive(Clone, Debug)]
pub(super) struct Trees {
    pub(super) jobs: Tree,
    pub(super) requests: Tree,
    pub(super) unfinished: Tree,
    pub(super) index: Tree,
    pub(super) counters: Tree,
    pub(super) feed: Tree,
    pub(super) keys: Tree,
    pub(super) doomed: Tree,
    pub(super) readers: Tree,
}

/// What one transaction writes. A tree that is not written to takes no part, which makes a change
/// of three trees a tenth cheaper than one of all.
#[derive(Default)]
pub(super) struct Writes {
    pub(super) jobs: Steps,
    pub(super) requests: Steps,
    pub(super) unfinished: Steps,
    pub(super) index: Steps,
    pub(super) counters: Steps,
    pub(super) feed: Steps,
    pub(super) keys: Steps,
    pub(super) doomed: Steps,
}

/// What is written to one tree; the last word on a key counts.
#[derive(Default)]
pub(super) struct Steps(Option<Batch>);

impl Steps {
    pub(super) fn insert(&mut self, key: impl Into<IVec>, value: impl Into<IVec>) {
        self.0.get_or_insert_default().insert(key, value);
    }

    pub(super) fn remove(&mut self, key: impl Into<IVec>) {
        self.0.get_or_insert_default().remove(key);
    }

    /// Writes all or nothing to one tree.
    pub(super) fn write(self, tree: &Tree) -> Result<(), StoreError> {
        Ok(tree.apply_batch(self.0.unwrap_or_default())?)
    }
}

impl Trees {
    /// Opens or makes the trees.
    pub(super) fn open(db: &sled::Db) -> Result<Self, StoreError> {
        Ok(Self {
            jobs: db.open_tree("jobs")?,
            requests: db.open_tree("requests")?,
            unfinished: db.open_tree("unfinished")?,
            index: db.open_tree("index")?,
            counters: db.open_tree("counters")?,
            feed: db.open_tree("feed")?,
            keys: db.open_tree("keys")?,
            doomed: db.open_tree("doomed")?,
            readers: db.open_tree("readers")?,
        })
    }

    /// Writes all or nothing.
    pub(super) fn write(&self, writes: &Writes) -> Result<(), StoreError> {
        let all = [
            (&self.jobs, &writes.jobs),
            (&self.requests, &writes.requests),
            (&self.unfinished, &writes.unfinished),
            (&self.index, &writes.index),
            (&self.counters, &writes.counters),
            (&self.feed, &writes.feed),
            (&self.keys, &writes.keys),
            (&self.doomed, &writes.doomed),
        ];
        let touched = all.into_iter().filter_map(|(tree, steps)| Some((tree, steps.0.as_ref()?)));
        let (trees, batches): (Vec<&Tree>, Vec<&Batch>) = touched.unzip();
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
        Ok(self.feed.last()?.map_or(0, |(key, _)| number(Some(&key))))
    }

    /// The first `length` bytes of a request.
    pub(super) fn request(&self, id: JobId, length: usize) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::with_capacity(length.min(PART_BYTES));
        for part in self.requests.scan_prefix(id.as_bytes()) {
            bytes.extend_from_slice(&part?.1);
            if bytes.len() >= length {
                break;
            }
        }
        bytes.truncate(length);
        Ok(bytes)
    }
}

impl Writes {
    /// Puts a new request, in parts.
    pub(super) fn put_request(&mut self, id: JobId, request: &[u8]) {
        for (index, part) in (0u32..).zip(request.chunks(PART_BYTES)) {
            let key = [id.as_bytes().as_slice(), &index.to_be_bytes()].concat();
            self.requests.insert(key, part);
        }
    }
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
