//! Whether everything that is derived from the records agrees with them.
use std::collections::BTreeMap;

use sled::Tree;

use super::feed::{Entry, damaged};
use super::index::{Traits, is_over};
use super::jobs::read_outline;
use super::trees::{id_of, number};
use super::{Store, StoreError, keys};
use crate::base::id::JobId;

/// Most findings that are told.
const FINDINGS: usize = 100;

/// What was found, and how often something else was looked for.
#[derive(Default)]
struct Check {
    findings: Vec<String>,
    /// Jobs that have not ended.
    unfinished: usize,
    /// Keys of the index that the records ask for.
    places: usize,
    /// What each counter has to say.
    counts: BTreeMap<Vec<u8>, u64>,
}

impl Store {
    /// Compares every record with lists, counters, keys and feed, and says what does not agree, at
    /// most a hundred things. Reads everything, once; no change is made meanwhile.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn check(&self) -> Result<Vec<String>, StoreError> {
        let memory = self.settled()?;
        let mut check = Check::default();
        self.health.guarded(|| {
            for key in self.trees.jobs.settled().iter().keys() {
                let id = id_of("jobs", &key?)?;
                check.job(self, id)?;
            }
            check.derived(self)?;
            check.requests(self.trees.requests.settled(), self.trees.jobs.settled())?;
            check.keys(self)?;
            let last = check.feed(self.trees.feed.settled())?;
            check.expect(last.is_none_or(|last| last == memory.seq), || {
                format!("the feed ends at {last:?} instead of {}", memory.seq)
            });
            Ok(())
        })?;
        Ok(check.findings)
    }
}

impl Check {
    fn expect(&mut self, holds: bool, finding: impl FnOnce() -> String) {
        if !holds && self.findings.len() < FINDINGS {
            self.findings.push(finding());
        }
    }

    fn job(&mut self, store: &Store, id: JobId) -> Result<(), StoreError> {
        match store.job(id) {
            Ok(Some(_)) => {}
            Ok(None) => self.expect(false, || format!("job {id} cannot be found by its id")),
            Err(error) => self.expect(false, || error.to_string()),
        }
        // A record that cannot be read was told; what belongs to it cannot be known.
        let Ok(Some(record)) = read_outline(&store.trees, id) else { return Ok(()) };
        let traits = Traits::of(&record);
        let unfinished = !is_over(traits.status);
        self.unfinished += usize::from(unfinished);
        let listed = store.trees.unfinished.contains_key(id.as_bytes())?;
        self.expect(listed == unfinished, || format!("job {id} is {:?}; unfinished says {listed}", traits.status));
        for section in traits.sections() {
            let key = [section.as_slice(), &traits.place()].concat();
            let stands = store.trees.index.contains_key(key)?;
            self.expect(stands, || format!("job {id} is missing from a list"));
            self.places += 1;
            let count = self.counts.entry(section).or_default();
            *count = count.saturating_add(1);
        }
        Ok(())
    }

    /// Nothing is in a list or counted that no record asks for.
    fn derived(&mut self, store: &Store) -> Result<(), StoreError> {
        let (unfinished, places) = (store.trees.unfinished.settled().len(), store.trees.index.settled().len());
        let expected = (self.unfinished, self.places);
        self.expect(unfinished == expected.0, || format!("{unfinished} unfinished jobs instead of {}", expected.0));
        self.expect(places == expected.1, || format!("{places} places in lists instead of {}", expected.1));
        let mut found = BTreeMap::new();
        for pair in store.trees.counters.settled() {
            let (key, value) = pair?;
            found.insert(key.to_vec(), number(Some(&value)));
        }
        let wrong: Vec<_> = found.iter().filter(|(key, count)| self.counts.get(*key) != Some(count)).collect();
        let (wrong, first) = (wrong.len(), format!("{:02x?}", wrong.first()));
        let agree = found == self.counts;
        self.expect(agree, || format!("{wrong} of {} counters disagree with the records: {first}", found.len()));
        Ok(())
    }

    fn requests(&mut self, requests: &Tree, jobs: &Tree) -> Result<(), StoreError> {
        for key in requests.iter().keys() {
            let key = key?;
            let owned = match key.first_chunk::<16>() {
                Some(id) => jobs.contains_key(id)?,
                None => false,
            };
            self.expect(owned, || format!("a part of a request belongs to no job: {key:02x?}"));
        }
        Ok(())
    }

    fn keys(&mut self, store: &Store) -> Result<(), StoreError> {
        let tree = &store.trees.keys;
        let (mut references, mut found) = (0, 0);
        for key in tree.settled().iter().keys() {
            let key = key?;
            if !keys::is_name(&key) {
                found += 1;
                continue;
            }
            let Some(held) = keys::read(tree, &key)? else { continue };
            for reference in keys::references(&key, &held) {
                references += 1;
                let leads = tree.contains_key(reference)?;
                self.expect(leads, || format!("nothing leads to unique key {key:02x?}"));
            }
            let alive = held.job.map_or(Ok(true), |job| store.trees.jobs.contains_key(job.as_bytes()))?;
            self.expect(alive, || format!("unique key {key:02x?} stands for a job that is gone"));
        }
        self.expect(references == found, || format!("{found} references to unique keys instead of {references}"));
        Ok(())
    }

    /// The seq of the last entry.
    fn feed(&mut self, feed: &Tree) -> Result<Option<u64>, StoreError> {
        let mut last = None;
        for pair in feed {
            let (key, value) = pair?;
            let seq = number(Some(&key));
            self.expect(last.is_none_or(|last: u64| last.checked_add(1) == Some(seq)), || {
                format!("the feed goes from {last:?} to {seq}")
            });
            match serde_json::from_slice::<Entry>(&value) {
                Ok(entry) => self.expect(entry.seq == seq, || format!("feed entry {seq} says it is {}", entry.seq)),
                Err(error) => self.expect(false, || damaged(seq, &error).to_string()),
            }
            last = Some(seq);
        }
        Ok(last)
    }
}
