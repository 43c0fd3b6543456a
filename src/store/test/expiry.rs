//! Jobs that are kept long enough.
use tempfile::TempDir;

use super::{ended, open, queued, started};
use crate::base::id::JobId;
use crate::base::time::Timestamp;
use crate::job::record::Record;

const DAY: u64 = 86_400_000_000;

/// A job that was made at a moment; the helpers end jobs at moment 3.
fn made_at(moment: Timestamp) -> Record {
    let mut record = queued("1");
    let mut bytes = *JobId::first_at(moment).as_bytes();
    bytes[8..].copy_from_slice(&JobId::new().as_bytes()[8..]);
    record.id = JobId::from_bytes(bytes);
    record
}

#[test]
fn only_jobs_that_ended_long_ago_are_given_and_without_their_code() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let (old, waiting, new) = (made_at(Timestamp(0)), made_at(Timestamp(0)), made_at(Timestamp(DAY)));
    for record in [&old, &waiting, &new] {
        store.create_job(record).unwrap();
    }
    for record in [&old, &new] {
        store.update_job(&started(record.clone())).unwrap();
        store.update_job(&ended(started(record.clone()))).unwrap();
    }
    let found = |moment: u64| -> Vec<JobId> {
        store.ended_before(Timestamp(moment)).unwrap().into_iter().map(|record| record.id).collect()
    };
    assert_eq!(found(3), [], "it ended at 3");
    assert_eq!(found(DAY), [old.id]);
    assert_eq!(found(2 * DAY), [old.id, new.id]);
    assert_eq!(store.ended_before(Timestamp(DAY)).unwrap(), [super::shown(ended(started(old)))]);
}
