//! The one feed of changes: every change of a record appends an entry in the same transaction.
//!
//! Streams, webhooks, audit and metrics read it, each from its own position; nothing is called
//! from the code that makes a change. An entry that can be read is not durable yet: a reader that
//! tells somebody outside waits for [`Store::commit`] first.
//!
//! An entry is kept until every reader has passed it, or until it is too old, whichever comes
//! first; [`Store::trim_feed`] says how old, and a reader that was left behind is told so
//! ([`StoreError::FeedTrimmed`]). A reader exists from the first position it sets until it is
//! forgotten. The last entry is always kept.
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::fault::StoreError;
use super::steps::{Steps, Writes};
use super::trees::number;
use super::{FEED_PAGE, Store};
use crate::base::id::JobId;
use crate::base::time::Timestamp;
use crate::job::state::Status;

/// One change of one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place in the feed: the first entry is 1, none is skipped.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// What changed.
    #[serde(flatten)]
    pub subject: Subject,
    /// Who owns the record.
    pub owner: String,
    /// The status before; absent when the record is new.
    pub old: Option<Status>,
    /// What it is now.
    pub new: Became,
}

/// The record that changed: its kind and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Subject {
    /// A job.
    Job(JobId),
}

/// What a record is after a change, as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// It is no more.
    Deleted,
    /// It has this status.
    #[serde(untagged)]
    Status(Status),
}

impl Store {
    /// The changes after `seq`, oldest first, at most `limit` of them and at most [`FEED_PAGE`].
    ///
    /// # Errors
    /// `FeedTrimmed` when some of them are gone. When an entry cannot be read, the error names it.
    pub fn feed_after(&self, seq: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.settler.settle()?;
        self.health.guarded(|| {
            let from = seq.saturating_add(1);
            let page = self.trees.feed.settled().range(from.to_be_bytes()..).take(limit.min(FEED_PAGE));
            let entries = page.zip(from..).map(|(pair, expected)| {
                let (key, value) = pair?;
                let found = number(Some(&key));
                // The feed may be trimmed while it is read.
                if found != expected {
                    return Err(StoreError::FeedTrimmed { first: found });
                }
                serde_json::from_slice(&value).map_err(|error| damaged(found, &error))
            });
            entries.collect()
        })
    }

    /// Follows the seq of the last change, so that no reader has to poll.
    pub fn feed_watch(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// How far a reader has come; `None` when nobody of this name reads.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn feed_position(&self, reader: &str) -> Result<Option<u64>, StoreError> {
        self.health.guarded(|| Ok(self.trees.readers.get(reader)?.map(|position| number(Some(&position)))))
    }

    /// Notes that a reader has done everything up to `seq`, or up to the last entry if that is
    /// less. Durable with the next [`Store::commit`]: a reader may see entries twice, and misses none.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn set_feed_position(&self, reader: &str, seq: u64) -> Result<(), StoreError> {
        let mut memory = self.memory();
        let (mut writes, last) = (Writes::default(), memory.seq);
        writes.readers.insert(reader.as_bytes(), &seq.min(last).to_be_bytes());
        self.write(&mut memory, last, writes)
    }

    /// No entry is kept for this reader any more.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn forget_feed_reader(&self, reader: &str) -> Result<(), StoreError> {
        let mut memory = self.memory();
        let (mut writes, last) = (Writes::default(), memory.seq);
        writes.readers.remove(reader.as_bytes());
        self.write(&mut memory, last, writes)
    }

    /// Removes entries that every reader has passed, and those from before `oldest` whoever has not
    /// seen them; [`FEED_PAGE`] at most. Gives how many; when it gives as many, there may be more.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn trim_feed(&self, oldest: Timestamp) -> Result<usize, StoreError> {
        let mut memory = self.settled()?;
        let (mut writes, last) = (Writes::default(), memory.seq);
        let trimmed = self.health.guarded(|| self.put_trim(&mut writes.feed, last, oldest))?;
        if trimmed > 0 {
            self.write(&mut memory, last, writes)?;
        }
        Ok(trimmed)
    }

    fn put_trim(&self, feed: &mut Steps, last: u64, oldest: Timestamp) -> Result<usize, StoreError> {
        let mut passed = last;
        for position in self.trees.readers.settled().iter().values() {
            passed = passed.min(number(Some(&position?)));
        }
        let mut trimmed = 0;
        for pair in self.trees.feed.settled().range(..last.to_be_bytes()).take(FEED_PAGE) {
            let (key, value) = pair?;
            let seq = number(Some(&key));
            // Entries are in the order of time as far as the clock was; trimming stops at the first to keep.
            if seq > passed && moment(seq, &value) >= oldest {
                break;
            }
            feed.remove(key);
            trimmed += 1;
        }
        Ok(trimmed)
    }
}

/// When an entry was written. One that cannot be read, and that no reader could pass, is old.
fn moment(seq: u64, value: &[u8]) -> Timestamp {
    serde_json::from_slice::<Entry>(value).map_or_else(
        |error| {
            tracing::warn!(error = %damaged(seq, &error), "store: trimmed with the entries before it");
            Timestamp(0)
        },
        |entry| entry.at,
    )
}

/// An entry cannot be read.
pub(super) fn damaged(seq: u64, error: &serde_json::Error) -> StoreError {
    StoreError::Damaged { record: format!("feed entry {seq}"), message: error.to_string() }
}
