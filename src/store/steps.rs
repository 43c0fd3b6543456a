//! What one change writes, and its form in the journal.
//!
//! ```text
//! step: tree 1 │ key length 4 │ value length 4, or all ones for a removal │ key │ value
//! ```
use std::collections::BTreeMap;

use sled::{Batch, IVec};

/// How many trees there are.
pub(super) const TREES: usize = 9;
/// In place of the length of a value: the key is removed.
const REMOVED: u32 = u32::MAX;

/// What is written to one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// Nothing: it is as it was.
    None,
    /// It is no more.
    Removed,
    /// This.
    Value(&'a IVec),
}

/// What is written to each tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Writes {
    pub(super) jobs: Steps,
    pub(super) requests: Steps,
    pub(super) unfinished: Steps,
    pub(super) index: Steps,
    pub(super) counters: Steps,
    pub(super) feed: Steps,
    pub(super) keys: Steps,
    pub(super) doomed: Steps,
    pub(super) readers: Steps,
}

/// What is written to one tree; the last word on a key counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Steps(BTreeMap<IVec, Option<IVec>>);

impl Steps {
    pub(super) fn insert(&mut self, key: impl Into<IVec>, value: impl Into<IVec>) {
        self.0.insert(key.into(), Some(value.into()));
    }

    pub(super) fn remove(&mut self, key: impl Into<IVec>) {
        self.0.insert(key.into(), None);
    }

    /// What is written to a key.
    pub(super) fn of(&self, key: &[u8]) -> Step<'_> {
        match self.0.get(key) {
            None => Step::None,
            Some(None) => Step::Removed,
            Some(Some(value)) => Step::Value(value),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same for sled.
    pub(super) fn batch(&self) -> Batch {
        let mut batch = Batch::default();
        for (key, value) in &self.0 {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        batch
    }
}

impl Writes {
    /// Takes over what a later change writes.
    pub(super) fn follow(&mut self, later: Self) {
        for (steps, later) in self.all_mut().into_iter().zip(later.all()) {
            steps.0.extend(later.0);
        }
    }

    /// As it is in the journal.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (tree, steps) in (0u8..).zip(self.each()) {
            for (key, value) in &steps.0 {
                bytes.push(tree);
                bytes.extend_from_slice(&length(key).to_le_bytes());
                bytes.extend_from_slice(&value.as_deref().map_or(REMOVED, length).to_le_bytes());
                bytes.extend_from_slice(key);
                bytes.extend_from_slice(value.as_deref().unwrap_or_default());
            }
        }
        bytes
    }

    /// Nothing where these are not the bytes of a change.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut writes = Self::default();
        while let Some((tree, rest)) = bytes.split_first() {
            let (key, rest) = rest.split_first_chunk()?;
            let (value, rest) = rest.split_first_chunk()?;
            let value = u32::from_le_bytes(*value);
            let length = if value == REMOVED { 0 } else { usize::try_from(value).ok()? };
            let (key, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*key)).ok()?)?;
            let (content, rest) = rest.split_at_checked(length)?;
            let all = writes.all_mut();
            let steps = all.into_iter().nth(usize::from(*tree))?;
            steps.0.insert(key.into(), (value != REMOVED).then(|| content.into()));
            bytes = rest;
        }
        Some(writes)
    }

    /// The order is that of the numbers in the journal.
    const fn each(&self) -> [&Steps; TREES] {
        let Self { jobs, requests, unfinished, index, counters, feed, keys, doomed, readers } = self;
        [jobs, requests, unfinished, index, counters, feed, keys, doomed, readers]
    }

    const fn all_mut(&mut self) -> [&mut Steps; TREES] {
        let Self { jobs, requests, unfinished, index, counters, feed, keys, doomed, readers } = self;
        [jobs, requests, unfinished, index, counters, feed, keys, doomed, readers]
    }

    fn all(self) -> [Steps; TREES] {
        let Self { jobs, requests, unfinished, index, counters, feed, keys, doomed, readers } = self;
        [jobs, requests, unfinished, index, counters, feed, keys, doomed, readers]
    }
}

/// Values are records and parts of requests: far below 4 GiB.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(REMOVED - 1)
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;

    use super::*;

    fn step() -> impl Strategy<Value = (usize, Vec<u8>, Option<Vec<u8>>)> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..9);
        (0..TREES, bytes(), prop::option::of(bytes()))
    }

    proptest! {
        #[test]
        fn a_change_comes_back_from_its_bytes_and_half_of_them_are_none(
            steps in prop::collection::vec(step(), 0..20),
        ) {
            let mut writes = Writes::default();
            for (tree, key, value) in steps {
                writes.all_mut()[tree].0.insert(key.into(), value.map(IVec::from));
            }
            let bytes = writes.encode();
            prop_assert_eq!(Writes::decode(&bytes), Some(writes));
            if let Some((_, less)) = bytes.split_last() {
                prop_assert!(Writes::decode(less).is_none());
            }
        }
    }

    #[test]
    fn the_last_word_on_a_key_counts() {
        let (mut first, mut second) = (Writes::default(), Writes::default());
        first.jobs.insert(b"a", b"1");
        first.jobs.insert(b"b", b"1");
        second.jobs.remove(b"a");
        second.feed.insert(b"a", b"2");
        first.follow(second);
        assert_eq!(first.jobs.of(b"a"), Step::Removed);
        assert_eq!(first.jobs.of(b"b"), Step::Value(&IVec::from(b"1")));
        assert_eq!((first.jobs.of(b"c"), first.feed.of(b"a")), (Step::None, Step::Value(&IVec::from(b"2"))));
    }
}
