//! The records, in sled. The only folder that names it.
//!
//! A change is one transaction: the record, its place in the index of unfinished jobs, counters and
//! a feed entry are written together or not at all. A change that was written survives the end of
//! this process only once [`Store::commit`] returned; then it survives a power loss too.
//!
//! Reads and writes are short work in memory (tens of microseconds; a cold page is one pread), so
//! that they may be called from async code. Only the commit thread waits for the disk.
//!
//! Not here: who may see a record, what a transition means, what a job printed.
mod codec;
mod commit;
mod fault;
mod feed;
mod opening;
mod trees;

#[cfg(test)]
mod test;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::base::id::JobId;
use crate::base::time::Clock;
use crate::job::record::Record;
use crate::job::state::Status;
use commit::Committer;
pub use fault::StoreError;
pub use feed::{Entry, Subject};
use trees::{Applied, Change, Trees};

/// Most feed entries that one call gives.
pub const FEED_PAGE: usize = 1000;

/// The records of one data directory.
pub struct Store {
    // Dropped first: its thread holds the database open.
    committer: Committer,
    trees: Trees,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("committer", &self.committer).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the records in `dir`, which is made when it is not there. Blocks: up to a second when
    /// another process holds the directory.
    ///
    /// # Errors
    /// When the directory is in use, or cannot be opened.
    pub fn open(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let opening::Opened { db, file } = opening::open(dir)?;
        let trees = Trees::open(&db)?;
        let committer = Committer::start(db, file).map_err(|error| {
            let message = format!("cannot start the commit thread: {error}");
            StoreError::Unopenable { dir: dir.to_path_buf(), message }
        })?;
        Ok(Self { committer, trees, clock })
    }

    /// Waits until everything that was written before the call is durable.
    ///
    /// # Errors
    /// When the disk failed, now or at any time since the store was opened.
    pub async fn commit(&self) -> Result<(), StoreError> {
        self.committer.commit().await
    }

    /// Writes a new job.
    ///
    /// # Errors
    /// `Conflict` when there is one with this id.
    pub fn create_job(&self, record: &Record) -> Result<(), StoreError> {
        let request = codec::request(record)?;
        let length = request.len().try_into().unwrap_or(u64::MAX);
        let change = self.change(record, codec::body(record, length)?);
        match self.trees.apply(&Change { request, ..change })? {
            Applied::Written => Ok(()),
            Applied::Overtaken => Err(self.conflict(record)?),
        }
    }

    /// Writes a changed job; its request never changes.
    ///
    /// # Errors
    /// `Conflict` unless the stored revision is the one just before the record's.
    pub fn update_job(&self, record: &Record) -> Result<(), StoreError> {
        let missing = StoreError::Missing { id: record.id };
        let expected = self.trees.jobs.get(record.id.as_bytes())?.ok_or(missing)?;
        let stored = codec::stored(record.id, &expected)?;
        if stored.revision.checked_add(1) != Some(record.head.revision) {
            return Err(conflict(record, stored.revision));
        }
        let change = self.change(record, codec::body(record, stored.request_bytes)?);
        let old = Some(stored.observed.status());
        match self.trees.apply(&Change { old, expected: Some(expected), ..change })? {
            Applied::Written => Ok(()),
            Applied::Overtaken => Err(self.conflict(record)?),
        }
    }

    /// The job, if there is one.
    ///
    /// # Errors
    /// When the record cannot be read; the error names it.
    pub fn job(&self, id: JobId) -> Result<Option<Record>, StoreError> {
        let Some(body) = self.trees.jobs.get(id.as_bytes())? else {
            return Ok(None);
        };
        let mut request = Vec::new();
        for part in self.trees.requests.scan_prefix(id.as_bytes()) {
            request.extend_from_slice(&part?.1);
        }
        codec::decode(id, &body, &request).map(Some)
    }

    /// The ids of all jobs that have not ended, oldest first.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn unfinished_ids(&self) -> Result<Vec<JobId>, StoreError> {
        self.trees.unfinished.iter().keys().map(|key| id_of(&key?)).collect()
    }

    /// All jobs that have not ended, oldest first.
    ///
    /// # Errors
    /// When one of them cannot be read; the error names it.
    pub fn unfinished_jobs(&self) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::new();
        for id in self.unfinished_ids()? {
            records.push(self.job(id)?.ok_or(StoreError::Missing { id })?);
        }
        Ok(records)
    }

    /// How many jobs have this status, exactly.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn count(&self, status: Status) -> Result<u64, StoreError> {
        self.trees.count(status)
    }

    /// The changes after `seq`, oldest first, at most `limit` of them and at most [`FEED_PAGE`].
    ///
    /// # Errors
    /// When an entry cannot be read; the error names it.
    pub fn feed_after(&self, seq: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let from = seq.saturating_add(1).to_be_bytes();
        let page = self.trees.feed.range(from..).take(limit.min(FEED_PAGE));
        page.map(|pair| {
            let (key, value) = pair?;
            serde_json::from_slice(&value).map_err(|error| {
                let seq = key.as_ref().try_into().map_or(0, u64::from_be_bytes);
                let record = format!("feed entry {seq}");
                StoreError::Damaged { record, message: error.to_string() }
            })
        })
        .collect()
    }

    /// The change that writes `body` as a new record.
    fn change(&self, record: &Record, body: Vec<u8>) -> Change {
        Change {
            id: record.id,
            owner: record.head.ownership.owner.clone(),
            at: self.clock.now(),
            old: None,
            new: record.observed.status(),
            body,
            expected: None,
            request: Vec::new(),
        }
    }

    /// Why the record was not the expected one.
    fn conflict(&self, record: &Record) -> Result<StoreError, StoreError> {
        let id = record.id;
        let body = self.trees.jobs.get(id.as_bytes())?.ok_or(StoreError::Missing { id })?;
        Ok(conflict(record, codec::stored(id, &body)?.revision))
    }
}

const fn conflict(record: &Record, stored: u64) -> StoreError {
    StoreError::Conflict { id: record.id, stored, offered: record.head.revision }
}

fn id_of(key: &[u8]) -> Result<JobId, StoreError> {
    let bytes = key.try_into().map_err(|_length| {
        let record = String::from("the index of unfinished jobs");
        StoreError::Damaged { record, message: format!("a key has {} bytes", key.len()) }
    })?;
    Ok(JobId::from_bytes(bytes))
}
