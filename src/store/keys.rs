//! Unique keys: names that one holder at most has, in a scope. They are claimed in the transaction
//! that writes what they stand for, so that two who ask at once cannot both get one.
//!
//! | key in the tree | value |
//! | --- | --- |
//! | `n`, scope, key | [`Held`], JSON |
//! | `j`, job id, name (the key of the first row) | nothing: what a job's end takes with it |
//! | `x`, expiry, name | nothing: what a sweep looks at |
use serde::{Deserialize, Serialize};

use super::fault::StoreError;
use super::index::put_text;
use super::steps::{Steps, Writes};
use super::trees::Table;
use super::{Memory, Store};
use crate::base::id::JobId;
use crate::base::time::Timestamp;

/// Most keys that one sweep removes.
pub const SWEEP_MOST: usize = 1000;

/// A wish for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Where the key is unique: a caller, a kind of name.
    pub scope: String,
    /// The key.
    pub key: String,
    /// What is to be remembered with it.
    pub value: Vec<u8>,
    /// From then on anybody may have it; absent: never.
    pub expires: Option<Timestamp>,
}

/// What a taken key stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What was remembered with it.
    #[serde(with = "crate::base::base64_text")]
    pub value: Vec<u8>,
    /// The job that was made with it; the key goes when the job does.
    pub job: Option<JobId>,
    /// From then on anybody may have it.
    pub expires: Option<Timestamp>,
}

/// What came of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The key is the claimer's, and what was to be written with it is written.
    New,
    /// Somebody has it, perhaps not durably yet ([`Store::commit`]). Nothing was written.
    Taken(Held),
}

impl Held {
    fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

impl Store {
    /// Claims a key that stands for itself.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let mut memory = self.memory();
        let mut keys = Steps::default();
        if let Some(held) = self.health.guarded(|| put(&self.trees.keys, &mut keys, claim, (None, self.clock.now())))? {
            return Ok(Claimed::Taken(held));
        }
        self.write_keys(&mut memory, keys)?;
        Ok(Claimed::New)
    }

    /// What a key stands for, unless it is free or has expired.
    ///
    /// # Errors
    /// When what it stands for cannot be read; the error names it.
    pub fn held(&self, scope: &str, key: &str) -> Result<Option<Held>, StoreError> {
        let held = self.health.guarded(|| read(&self.trees.keys, &name_of(scope, key)))?;
        Ok(held.filter(|held| !held.is_over(self.clock.now())))
    }

    /// Frees a key. Whether somebody had it.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn release(&self, scope: &str, key: &str) -> Result<bool, StoreError> {
        let mut memory = self.memory();
        let mut keys = Steps::default();
        let name = name_of(scope, key);
        let Some(held) = self.health.guarded(|| read(&self.trees.keys, &name))? else {
            return Ok(false);
        };
        remove(&mut keys, &name, &held);
        self.write_keys(&mut memory, keys)?;
        Ok(true)
    }

    /// Removes keys that have expired, [`SWEEP_MOST`] at most; gives how many. When it gives as
    /// many, there may be more.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn sweep_keys(&self) -> Result<usize, StoreError> {
        let mut memory = self.settled()?;
        let mut keys = Steps::default();
        let swept = self.health.guarded(|| put_sweep(&self.trees.keys, &mut keys, self.clock.now()))?;
        if swept > 0 {
            self.write_keys(&mut memory, keys)?;
        }
        Ok(swept)
    }

    fn write_keys(&self, memory: &mut Memory, keys: Steps) -> Result<(), StoreError> {
        let seq = memory.seq;
        self.write(memory, seq, Writes { keys, ..Writes::default() })
    }
}

/// Puts a claim, or gives who has the key. What it takes from an expired holder goes too.
pub(super) fn put(
    tree: &Table,
    keys: &mut Steps,
    claim: &Claim,
    (job, now): (Option<JobId>, Timestamp),
) -> Result<Option<Held>, StoreError> {
    let name = name_of(&claim.scope, &claim.key);
    match read(tree, &name)? {
        Some(held) if !held.is_over(now) => return Ok(Some(held)),
        Some(held) => remove(keys, &name, &held),
        None => {}
    }
    let held = Held { value: claim.value.clone(), job, expires: claim.expires };
    let value = serde_json::to_vec(&held).map_err(|error| damaged(&name, &error))?;
    for reference in references(&name, &held) {
        keys.insert(reference, &[]);
    }
    keys.insert(name, value);
    Ok(None)
}

/// Puts the end of all keys that stand for a job.
pub(super) fn put_end_of(tree: &Table, keys: &mut Steps, job: JobId) -> Result<(), StoreError> {
    let prefix = by_job(job, &[]);
    for reference in tree.settled().scan_prefix(&prefix).keys() {
        let reference = reference?;
        let name = reference.get(prefix.len()..).unwrap_or_default();
        match read(tree, name)? {
            Some(held) => remove(keys, name, &held),
            None => keys.remove(reference),
        }
    }
    Ok(())
}

fn put_sweep(tree: &Table, keys: &mut Steps, now: Timestamp) -> Result<usize, StoreError> {
    let mut swept = 0;
    let end = by_expiry(Timestamp(now.0.saturating_add(1)), &[]);
    for reference in tree.settled().range(by_expiry(Timestamp(0), &[])..end).keys().take(SWEEP_MOST) {
        let reference = reference?;
        let name = reference.get(by_expiry(now, &[]).len()..).unwrap_or_default();
        match read(tree, name)? {
            Some(held) => remove(keys, name, &held),
            None => keys.remove(reference),
        }
        swept += 1;
    }
    Ok(swept)
}

fn remove(keys: &mut Steps, name: &[u8], held: &Held) {
    for reference in references(name, held) {
        keys.remove(reference);
    }
    keys.remove(name);
}

/// What leads to a key beside its name.
pub(super) fn references(name: &[u8], held: &Held) -> impl Iterator<Item = Vec<u8>> + use<> {
    let by_job = held.job.map(|job| by_job(job, name));
    let by_expiry = held.expires.map(|expires| by_expiry(expires, name));
    by_job.into_iter().chain(by_expiry)
}

/// Whether a key of the tree is a name; the others are references.
pub(super) fn is_name(key: &[u8]) -> bool {
    key.first() == Some(&b'n')
}

/// What a name stands for.
pub(super) fn read(tree: &Table, name: &[u8]) -> Result<Option<Held>, StoreError> {
    let Some(bytes) = tree.get(name)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| damaged(name, &error))
}

fn name_of(scope: &str, key: &str) -> Vec<u8> {
    let mut name = vec![b'n'];
    put_text(&mut name, scope);
    name.extend_from_slice(key.as_bytes());
    name
}

fn by_job(job: JobId, name: &[u8]) -> Vec<u8> {
    [b"j", job.as_bytes().as_slice(), name].concat()
}

fn by_expiry(at: Timestamp, name: &[u8]) -> Vec<u8> {
    [b"x", at.0.to_be_bytes().as_slice(), name].concat()
}

fn damaged(name: &[u8], error: &serde_json::Error) -> StoreError {
    let text = String::from_utf8_lossy(name.get(5..).unwrap_or_default()).into_owned();
    StoreError::Damaged { record: format!("unique key {text:?}"), message: error.to_string() }
}
