//! The one feed of changes: every change of a record appends an entry in the same transaction.
//!
//! Streams, webhooks, audit and metrics read it, each from its own position; nothing is called
//! from the code that makes a change.
use serde::{Deserialize, Serialize};

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
    /// The status after.
    pub new: Status,
}

/// The record that changed: its kind and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Subject {
    /// A job.
    Job(JobId),
}
