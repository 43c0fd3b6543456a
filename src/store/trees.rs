//! Which keys hold what, and the one transaction that every change of a record is.
//!
//! | tree | key | value |
//! | --- | --- | --- |
//! | `jobs` | job id | the record without its request, JSON |
//! | `requests` | job id, part number (u32) | at most [`PART_BYTES`] of the request's JSON |
//! | `unfinished` | job id | nothing |
//! | `counters` | name | u64 |
//! | `feed` | seq (u64) | the entry, JSON |
//!
//! Numbers in keys are big-endian, so that they sort. The request never changes, so that it is
//! written once; it is cut in parts because sled keeps up to 16 values in a page and writes a page
//! above 128 KiB to a file of its own that it never syncs (`pagecache/blob_io.rs`).
//!
//! Unique keys and ordered indexes will be further trees that [`Trees::apply`] writes.
use sled::transaction::{ConflictableTransactionError, TransactionError, TransactionalTree};
use sled::{Transactional as _, Tree};

use super::feed::{Entry, Subject};
use crate::base::id::JobId;
use crate::base::time::Timestamp;
use crate::job::state::Status;

use super::fault::StoreError;

/// Largest value that sled gets for a part of a request.
pub(super) const PART_BYTES: usize = 4096;
const FEED_SEQ: &[u8] = b"feed.seq";

/// One change of one job, as it is written.
pub(super) struct Change {
    pub(super) id: JobId,
    pub(super) owner: String,
    pub(super) at: Timestamp,
    pub(super) old: Option<Status>,
    pub(super) new: Status,
    /// The record without its request.
    pub(super) body: Vec<u8>,
    /// Exactly these bytes must be stored for the change to happen; none for a new record.
    pub(super) expected: Option<sled::IVec>,
    /// The request of a new record; empty where it is stored already.
    pub(super) request: Vec<u8>,
}

/// Whether a change was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// All of it.
    Written,
    /// Nothing: the record is not the expected one.
    Overtaken,
}

/// The trees of one database.
#[derive(Clone, Debug)]
pub(super) struct Trees {
    pub(super) jobs: Tree,
    pub(super) requests: Tree,
    pub(super) unfinished: Tree,
    pub(super) counters: Tree,
    pub(super) feed: Tree,
}

type Step<T> = Result<T, ConflictableTransactionError<Abort>>;

enum Abort {
    Overtaken,
    Unreadable(serde_json::Error),
}

impl Trees {
    /// Opens or makes the trees.
    pub(super) fn open(db: &sled::Db) -> Result<Self, StoreError> {
        Ok(Self {
            jobs: db.open_tree("jobs")?,
            requests: db.open_tree("requests")?,
            unfinished: db.open_tree("unfinished")?,
            counters: db.open_tree("counters")?,
            feed: db.open_tree("feed")?,
        })
    }

    /// Writes record, index, counters and feed entry, or nothing.
    pub(super) fn apply(&self, change: &Change) -> Result<Applied, StoreError> {
        let trees = (&self.jobs, &self.requests, &self.unfinished, &self.counters, &self.feed);
        let outcome = trees.transaction(|(jobs, requests, unfinished, counters, feed)| {
            let key = change.id.as_bytes();
            if jobs.get(key)? != change.expected {
                return Err(ConflictableTransactionError::Abort(Abort::Overtaken));
            }
            jobs.insert(key, change.body.as_slice())?;
            for (index, part) in (0u32..).zip(change.request.chunks(PART_BYTES)) {
                requests.insert(part_key(change.id, index).as_slice(), part)?;
            }
            if is_over(change.new) {
                unfinished.remove(key)?;
            } else {
                unfinished.insert(key, &[])?;
            }
            if change.old != Some(change.new) {
                if let Some(old) = change.old {
                    add(counters, &counter_of(old), u64::wrapping_sub(0, 1))?;
                }
                add(counters, &counter_of(change.new), 1)?;
            }
            let seq = add(counters, FEED_SEQ, 1)?;
            feed.insert(&seq.to_be_bytes(), entry(seq, change)?)?;
            Ok(())
        });
        match outcome {
            Ok(()) => Ok(Applied::Written),
            Err(TransactionError::Abort(Abort::Overtaken)) => Ok(Applied::Overtaken),
            Err(TransactionError::Abort(Abort::Unreadable(error))) => {
                Err(StoreError::Failed { message: error.to_string() })
            }
            Err(TransactionError::Storage(error)) => Err(error.into()),
        }
    }

    /// How many jobs have this status.
    pub(super) fn count(&self, status: Status) -> Result<u64, StoreError> {
        Ok(number(self.counters.get(counter_of(status))?.as_deref()))
    }
}

/// Key of a part of a request.
fn part_key(id: JobId, index: u32) -> [u8; 20] {
    let mut key = [0; 20];
    let (name, number) = key.split_at_mut(16);
    name.copy_from_slice(id.as_bytes());
    number.copy_from_slice(&index.to_be_bytes());
    key
}

const fn is_over(status: Status) -> bool {
    match status {
        Status::Queued | Status::Running => false,
        Status::Completed | Status::Failed | Status::Cancelled | Status::TimedOut => true,
    }
}

fn counter_of(status: Status) -> Vec<u8> {
    let name = match status {
        Status::Queued => "queued",
        Status::Running => "running",
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
        Status::TimedOut => "timed_out",
    };
    format!("jobs.{name}").into_bytes()
}

/// Adds to a counter, wrapping, and gives the sum.
fn add(counters: &TransactionalTree, name: &[u8], amount: u64) -> Step<u64> {
    let sum = number(counters.get(name)?.as_deref()).wrapping_add(amount);
    counters.insert(name, &sum.to_be_bytes())?;
    Ok(sum)
}

/// The counter's value; a counter that was never written is 0.
fn number(bytes: Option<&[u8]>) -> u64 {
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

fn entry(seq: u64, change: &Change) -> Step<Vec<u8>> {
    let entry = Entry {
        seq,
        at: change.at,
        subject: Subject::Job(change.id),
        owner: change.owner.clone(),
        old: change.old,
        new: change.new,
    };
    serde_json::to_vec(&entry).map_err(|error| ConflictableTransactionError::Abort(Abort::Unreadable(error)))
}
