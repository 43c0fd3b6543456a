//! At start: what the journal has and the database lacks is brought into it, in order.
//!
//! sled keeps transactions in the order in which they were made, whole or not at all, so that the last
//! entry of its feed says which changes it has. Entries up to there are passed over. An entry that
//! changes no record has the seq of the change before it; the last of these may be written twice, which
//! changes nothing.
use super::fault::StoreError;
use super::journal::{Entry, Left};
use super::steps::Writes;
use super::trees::Trees;

/// How far the database is, and what it lacks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lacking {
    /// The last change of all.
    pub(super) last: u64,
    /// What is to be written, in order.
    pub(super) entries: Vec<Entry>,
}

/// What a database lacks whose last change is `found`; nothing where it lacks more than the journal
/// has. Then the journal is of no use to it.
pub(super) fn lacking(found: u64, left: Left) -> Option<Lacking> {
    let mut last = found;
    let entries: Vec<_> = left.entries.into_iter().filter(|entry| entry.seq >= found).collect();
    for entry in &entries {
        if entry.seq > last.saturating_add(1) {
            return None;
        }
        last = last.max(entry.seq);
    }
    (left.flushed <= found).then_some(Lacking { last, entries })
}

/// Writes it.
pub(super) fn replay(trees: &Trees, lacking: &Lacking) -> Result<(), StoreError> {
    for entry in &lacking.entries {
        let writes = Writes::decode(&entry.steps).ok_or_else(|| StoreError::Damaged {
            record: format!("entry {} of the journal", entry.seq),
            message: String::from("its checksum is right, and it is no change"),
        })?;
        trees.write(&writes)?;
    }
    Ok(())
}

#[cfg(test)]
mod test {
    use super::*;

    fn left(flushed: u64, seqs: &[u64]) -> Left {
        Left { flushed, entries: seqs.iter().map(|seq| Entry { seq: *seq, steps: Vec::new() }).collect() }
    }

    fn seqs(found: u64, left: Left) -> Option<(u64, Vec<u64>)> {
        lacking(found, left).map(|it| (it.last, it.entries.iter().map(|entry| entry.seq).collect()))
    }

    #[test]
    fn what_the_database_has_is_passed_over() {
        assert_eq!(seqs(0, left(0, &[])), Some((0, vec![])));
        assert_eq!(seqs(2, left(0, &[1, 2, 3, 3, 4])), Some((4, vec![2, 3, 3, 4])));
        assert_eq!(seqs(9, left(2, &[3, 4])), Some((9, vec![])), "a power loss took the end of the journal");
    }

    #[test]
    fn a_gap_is_not_closed() {
        assert_eq!(seqs(2, left(3, &[3, 4])), None, "the database was cut off");
        assert_eq!(seqs(2, left(0, &[2, 4])), None);
    }
}
