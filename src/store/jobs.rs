//! Jobs: made, changed, read and deleted. Every change goes through [`Store::apply`].
use sled::IVec;

use super::Store;
use super::codec::{self, Stored};
use super::fault::StoreError;
use super::feed::{Became, Entry, Subject};
use super::index::{ENDS, FAMILIES, Scope, Traits, is_over, language};
use super::keys::{self, Claim, Claimed, Held};
use super::steps::Writes;
use super::trees::{Trees, id_of, part_keys};
use crate::base::id::{JobId, LogId};
use crate::job::record::Record;
use crate::job::state::Status;

/// One change of one job.
struct Change<'a> {
    id: JobId,
    owner: String,
    /// Exactly these bytes must be stored for the change to happen; none for a new record.
    expected: Option<IVec>,
    /// What it was; absent when it is new.
    old: Option<Traits>,
    /// What it is; absent when it is deleted.
    new: Option<Traits>,
    /// The record itself, and its request.
    writes: Writes,
    /// A key without which the change does not happen.
    claim: Option<&'a Claim>,
}

/// What came of a change.
enum Applied {
    /// All of it was written.
    Written,
    /// Nothing was: the record is not the expected one.
    Overtaken,
    /// Nothing was: somebody has the key.
    Taken(Held),
}

impl Store {
    /// Writes a new job.
    ///
    /// # Errors
    /// `Conflict` when there is one with this id.
    pub fn create_job(&self, record: &Record) -> Result<(), StoreError> {
        self.create(record, None).map(drop)
    }

    /// Writes a new job and claims a key for it, or does neither when somebody has the key.
    ///
    /// # Errors
    /// `Conflict` when there is a job with this id.
    pub fn create_job_keyed(&self, record: &Record, claim: &Claim) -> Result<Claimed, StoreError> {
        self.create(record, Some(claim))
    }

    fn create(&self, record: &Record, claim: Option<&Claim>) -> Result<Claimed, StoreError> {
        let (extent, request) = codec::request(record)?;
        let mut writes = Writes::default();
        writes.jobs.insert(record.id.as_bytes(), codec::body(record, extent)?);
        writes.put_request(record.id, &request);
        let new = Some(Traits::of(record));
        let owner = record.head.ownership.owner.clone();
        let change = Change { id: record.id, owner, expected: None, old: None, new, writes, claim };
        match self.apply(change)? {
            Applied::Written => Ok(Claimed::New),
            Applied::Taken(held) => Ok(Claimed::Taken(held)),
            Applied::Overtaken => Err(self.conflict(record.id, record.head.revision)),
        }
    }

    /// Writes a changed job; its request never changes.
    ///
    /// # Errors
    /// `Conflict` unless the stored revision is the one just before the record's.
    pub fn update_job(&self, record: &Record) -> Result<(), StoreError> {
        let (expected, stored) = self.stored(record.id)?;
        let offered = record.head.revision;
        if stored.head.revision.checked_add(1) != Some(offered) {
            return Err(StoreError::Conflict { id: record.id, stored: stored.head.revision, offered });
        }
        let mut writes = Writes::default();
        writes.jobs.insert(record.id.as_bytes(), codec::body(record, stored.request)?);
        let old = traits_of(record.id, &stored, language(&record.request));
        let owner = record.head.ownership.owner.clone();
        let (expected, old, new) = (Some(expected), Some(old), Some(Traits::of(record)));
        match self.apply(Change { id: record.id, owner, expected, old, new, writes, claim: None })? {
            Applied::Written => Ok(()),
            Applied::Overtaken | Applied::Taken(_) => Err(self.conflict(record.id, offered)),
        }
    }

    /// Removes a job that has ended: its record, its request, and the keys that stand for it. Its log is
    /// among [`Store::doomed_logs`] until [`Store::forget_log`].
    ///
    /// # Errors
    /// `Unfinished` while it has not ended; `Conflict` unless it is at this revision.
    pub fn delete_job(&self, id: JobId, revision: u64) -> Result<(), StoreError> {
        let (expected, stored) = self.stored(id)?;
        if stored.head.revision != revision {
            return Err(StoreError::Conflict { id, stored: stored.head.revision, offered: revision });
        }
        let status = stored.observed.status();
        if !is_over(status) {
            return Err(StoreError::Unfinished { id, status });
        }
        let outline = self.health.guarded(|| outline_of(&self.trees, id, &expected))?;
        let language = language(&outline.request);
        let old = traits_of(id, &stored, language);
        let mut writes = Writes::default();
        writes.jobs.remove(id.as_bytes());
        writes.doomed.insert(stored.log.as_bytes(), &[]);
        for key in part_keys(id, stored.request.whole()) {
            writes.requests.remove(key);
        }
        let owner = stored.head.ownership.owner;
        let change = Change { id, owner, expected: Some(expected), old: Some(old), new: None, writes, claim: None };
        match self.apply(change)? {
            Applied::Written => Ok(()),
            Applied::Overtaken | Applied::Taken(_) => Err(self.conflict(id, revision)),
        }
    }

    /// Logs of removed jobs that may still be on the disk.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn doomed_logs(&self) -> Result<Vec<LogId>, StoreError> {
        let _alone = self.settled()?;
        self.health.guarded(|| {
            let ids = self.trees.doomed.settled().iter().keys().map(|key| {
                let bytes = key?.as_ref().try_into().map_err(|_length| StoreError::Damaged {
                    record: String::from("a log of a removed job"),
                    message: String::from("its key is no id"),
                })?;
                Ok(LogId::from_bytes(bytes))
            });
            ids.collect()
        })
    }

    /// The log of a removed job is gone.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn forget_log(&self, id: LogId) -> Result<(), StoreError> {
        let mut memory = self.memory();
        let mut writes = Writes::default();
        writes.doomed.remove(id.as_bytes());
        let seq = memory.seq;
        self.write(&mut memory, seq, writes)
    }

    /// The job, if there is one.
    ///
    /// # Errors
    /// When the record cannot be read; the error names it.
    pub fn job(&self, id: JobId) -> Result<Option<Record>, StoreError> {
        self.health.guarded(|| {
            let Some(body) = self.trees.jobs.get(id.as_bytes())? else {
                return Ok(None);
            };
            let stored = codec::stored(id, &body)?;
            let request = self.trees.request(id, stored.request.whole())?;
            // Deleted in between: then the request went with the record.
            if request.is_empty() && self.trees.jobs.get(id.as_bytes())?.is_none() {
                return Ok(None);
            }
            stored.whole(&request).map(Some)
        })
    }

    /// The ids of all jobs that have not ended, oldest first.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn unfinished_ids(&self) -> Result<Vec<JobId>, StoreError> {
        let _alone = self.settled()?;
        let keys = || self.trees.unfinished.settled().iter().keys().map(|key| id_of("unfinished", &key?)).collect();
        self.health.guarded(keys)
    }

    /// How many jobs have this status, exactly.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn count(&self, status: Status) -> Result<u64, StoreError> {
        let memory = self.memory();
        if !ENDS.contains(&status) {
            let count = memory.unfinished.values().filter(|traits| traits.status == status).count();
            return Ok(u64::try_from(count).unwrap_or(u64::MAX));
        }
        let everything = Scope { owner: None, language: None };
        self.health
            .guarded(|| FAMILIES.iter().map(|family| self.trees.counter(&everything.section(*family, status))).sum())
    }

    /// Writes a change with everything that follows from it, or nothing.
    fn apply(&self, change: Change<'_>) -> Result<Applied, StoreError> {
        let Change { id, owner, expected, old, new, mut writes, claim } = change;
        let moves = Moves::between(old.as_ref(), new.as_ref());
        // A list that is being read counts on what it has counted.
        let unread = moves.takes_out().then(|| self.lists.write());
        // Whether keys stand for the job that goes is found by a walk.
        let mut memory = if new.is_none() { self.settled()? } else { self.memory() };
        let now = self.clock.now();
        let taken = self.health.guarded(|| {
            if self.trees.jobs.get(id.as_bytes())? != expected {
                return Ok(Some(Applied::Overtaken));
            }
            let held = claim.map(|claim| keys::put(&self.trees.keys, &mut writes.keys, claim, (Some(id), now)));
            Ok(held.transpose()?.flatten().map(Applied::Taken))
        })?;
        if let Some(refused) = taken {
            return Ok(refused);
        }
        let seq = memory.seq.saturating_add(1);
        let status = |traits: &Traits| traits.status;
        let became = new.as_ref().map_or(Became::Deleted, |new| Became::Status(new.status));
        let entry =
            Entry { seq, at: now, subject: Subject::Job(id), owner, old: old.as_ref().map(status), new: became };
        let entry = serde_json::to_vec(&entry).map_err(|error| codec::damaged(id, &error))?;
        writes.feed.insert(&seq.to_be_bytes(), entry);
        self.health.guarded(|| {
            if new.is_none() {
                keys::put_end_of(&self.trees.keys, &mut writes.keys, id)?;
            }
            moves.put(&self.trees, &mut writes, seq)
        })?;
        put_unfinished(&mut writes, id, old.as_ref(), new.as_ref());
        self.write(&mut memory, seq, writes)?;
        memory.seq = seq;
        match new.filter(|new| !is_over(new.status)) {
            Some(new) => drop(memory.unfinished.insert(id, new)),
            None => drop(memory.unfinished.remove(&id)),
        }
        self.last.send_replace(seq);
        if unread.is_some() {
            // Before a list is read again.
            self.settler.settle()?;
        }
        Ok(Applied::Written)
    }

    fn stored(&self, id: JobId) -> Result<(IVec, Stored), StoreError> {
        self.health.guarded(|| {
            let body = self.trees.jobs.get(id.as_bytes())?.ok_or(StoreError::Missing { id })?;
            let stored = codec::stored(id, &body)?;
            Ok((body, stored))
        })
    }

    /// Why the record was not the expected one.
    fn conflict(&self, id: JobId, offered: u64) -> StoreError {
        match self.stored(id) {
            Ok((_, stored)) => StoreError::Conflict { id, stored: stored.head.revision, offered },
            Err(error) => error,
        }
    }
}

/// The sections that a job leaves and enters, as keys of the index.
struct Moves {
    leaves: Vec<Vec<u8>>,
    enters: Vec<Vec<u8>>,
    /// Behind the section in the keys that are left and entered.
    places: [Vec<u8>; 2],
}

impl Moves {
    fn between(old: Option<&Traits>, new: Option<&Traits>) -> Self {
        let sections = |traits: Option<&Traits>| traits.map(Traits::sections).unwrap_or_default();
        let place = |traits: Option<&Traits>| traits.map(|traits| traits.place().to_vec()).unwrap_or_default();
        let (mut leaves, mut enters) = (sections(old), sections(new));
        let places = [place(old), place(new)];
        if leaves == enters && places.first() == places.last() {
            leaves.clear();
            enters.clear();
        }
        Self { leaves, enters, places }
    }

    const fn takes_out(&self) -> bool {
        !self.leaves.is_empty()
    }

    fn put(&self, trees: &Trees, writes: &mut Writes, seq: u64) -> Result<(), StoreError> {
        let [left, entered] = &self.places;
        for section in &self.leaves {
            writes.index.remove([section.as_slice(), left].concat());
        }
        for section in &self.enters {
            writes.index.insert([section.as_slice(), entered].concat(), &seq.to_be_bytes());
        }
        for section in self.leaves.iter().filter(|section| !self.enters.contains(section)) {
            let count = trees.counter(section)?.saturating_sub(1);
            match count {
                0 => writes.counters.remove(section.as_slice()),
                _ => writes.counters.insert(section.as_slice(), &count.to_be_bytes()),
            }
        }
        for section in self.enters.iter().filter(|section| !self.leaves.contains(section)) {
            let count = trees.counter(section)?.saturating_add(1);
            writes.counters.insert(section.as_slice(), &count.to_be_bytes());
        }
        Ok(())
    }
}

fn put_unfinished(writes: &mut Writes, id: JobId, old: Option<&Traits>, new: Option<&Traits>) {
    let unfinished = |traits: Option<&Traits>| traits.is_some_and(|traits| !is_over(traits.status));
    match (unfinished(old), unfinished(new)) {
        (false, true) => writes.unfinished.insert(id.as_bytes(), &[]),
        (true, false) => writes.unfinished.remove(id.as_bytes()),
        (true, true) | (false, false) => {}
    }
}

fn traits_of(id: JobId, stored: &Stored, language: Option<String>) -> Traits {
    let head = &stored.head;
    let (owner, status) = (head.ownership.owner.clone(), stored.observed.status());
    Traits { owner, family: head.family, status, language, created: head.created, id }
}

/// A job without code and standard input, if there is one.
pub(super) fn read_outline(trees: &Trees, id: JobId) -> Result<Option<Record>, StoreError> {
    let Some(body) = trees.jobs.get(id.as_bytes())? else { return Ok(None) };
    outline_of(trees, id, &body).map(Some)
}

/// The same, of a record whose bytes are here.
pub(super) fn outline_of(trees: &Trees, id: JobId, body: &[u8]) -> Result<Record, StoreError> {
    let stored = codec::stored(id, body)?;
    let outline = trees.request(id, stored.request.outline)?;
    stored.outline(&outline)
}
