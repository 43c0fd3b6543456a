//! What the store promises, tried on a real directory.
mod claims;
mod crash;
mod damage;
mod deleting;
mod expiry;
mod feed;
mod lists;
mod model;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::access::Ownership;
use crate::base::id::LogId;
use crate::base::size::ByteSize;
use crate::base::time::Timestamp;
use crate::job::limits::Limits;
use crate::job::record::{Family, Head, Record, SCHEMA, Wanted};
use crate::job::request::offer::UsedImage;
use crate::job::request::{Reach, Request, Work};
use crate::job::state::{State, Status};
use crate::job::termination::{Reason, Termination};

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp(7)
    }
}

fn open(dir: &Path) -> Result<Store, StoreError> {
    Store::open(dir, Arc::new(FixedClock))
}

fn limits() -> Limits {
    Limits {
        wall: Duration::from_millis(1500),
        cpu_time: Duration::from_secs(1),
        milli_cpus: 1000,
        memory: ByteSize::mib(128),
        processes: 64,
        open_files: 256,
        file_size: ByteSize::mib(16),
        disk: ByteSize::mib(64),
        output: ByteSize::mib(16),
        compile_wall: Duration::from_secs(10),
        compile_memory: ByteSize::mib(512),
    }
}

fn queued(code: &str) -> Record {
    Record {
        head: Head {
            schema: SCHEMA,
            ownership: Ownership { owner: String::from("ann"), grants: Vec::new() },
            family: Family::Execution,
            node: String::from("here"),
            revision: 1,
            created: Timestamp(1),
        },
        id: JobId::new(),
        request: Request {
            image: UsedImage::Host,
            work: Work::Source { language: String::from("c"), code: String::from(code) },
            args: Vec::new(),
            stdin: vec![0, 255, 10],
            environment: Vec::new(),
            limits: limits(),
            reach: Reach::Nothing,
        },
        wanted: Wanted::Run,
        observed: State::Queued,
        attempts: Vec::new(),
        log: LogId::new(),
    }
}

fn started(mut record: Record) -> Record {
    record.head.revision += 1;
    record.observed = record.observed.start(Timestamp(2)).unwrap();
    record
}

fn ended(record: Record) -> Record {
    ended_by(record, Reason::Cancelled)
}

fn ended_by(mut record: Record, reason: Reason) -> Record {
    record.head.revision += 1;
    let termination = Termination::without_exit(reason, None);
    record.observed = record.observed.end(Timestamp(3), termination).unwrap();
    record
}

/// A job of this owner in this language; none is a command.
fn queued_of(owner: &str, language: Option<&str>, created: u64) -> Record {
    let mut record = queued("1");
    record.head.ownership.owner = String::from(owner);
    record.head.created = Timestamp(created);
    record.request.work = match language {
        Some(language) => Work::Source { language: String::from(language), code: String::from("1") },
        None => Work::Command { command: vec![String::from("true")] },
    };
    record
}

/// As a list shows it.
fn shown(mut record: Record) -> Record {
    record.request.stdin.clear();
    match &mut record.request.work {
        Work::Source { code, .. } => code.clear(),
        Work::Files { files, .. } => files.iter_mut().for_each(|file| file.content.clear()),
        Work::Command { .. } | Work::Probe { .. } => {}
    }
    record
}

/// What a SIGKILL leaves: the files as they are at this moment, without anything in memory.
fn killed(dir: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in walkdir::WalkDir::new(dir).min_depth(1) {
        let entry = entry.unwrap();
        let to = copy.path().join(entry.path().strip_prefix(dir).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir(to).unwrap();
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
    copy
}

#[test]
fn a_change_that_no_half_of_the_journal_holds_survives_a_kill() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let (small, large) = (queued("x"), queued(&"x".repeat(journal::HALF_BYTES)));
    store.create_job(&small).unwrap();
    store.create_job(&large).unwrap();
    store.update_job(&started(small.clone())).unwrap();
    let after = open(killed(dir.path()).path()).unwrap();
    assert_eq!(after.job(large.id).unwrap(), Some(large));
    assert_eq!(after.job(small.id).unwrap(), Some(started(small)));
    assert_eq!(after.check().unwrap(), Vec::<String>::new());
}

#[test]
fn what_fills_the_journal_again_and_again_survives_a_kill() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let records: Vec<_> = (0..40).map(|number| queued(&number.to_string().repeat(150_000))).collect();
    for record in &records {
        store.create_job(record).unwrap();
    }
    let after = open(killed(dir.path()).path()).unwrap();
    for record in records {
        assert_eq!(after.job(record.id).unwrap(), Some(record));
    }
    assert_eq!(after.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let record = queued("int main() { return 0; }");
    store.create_job(&record).unwrap();
    assert_eq!(store.job(record.id).unwrap(), Some(record.clone()));
    assert_eq!(store.job(JobId::new()).unwrap(), None);
    let record = ended(record);
    store.update_job(&record).unwrap();
    assert_eq!(store.job(record.id).unwrap(), Some(record));
}

#[tokio::test]
async fn what_was_committed_survives_a_kill() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let records: Vec<_> = (0..50).map(|n| queued(&"x".repeat(n * 100))).collect();
    for record in &records {
        store.create_job(record).unwrap();
    }
    store.update_job(&started(records[0].clone())).unwrap();
    store.commit().await.unwrap();
    let copy = killed(dir.path());
    let store = open(copy.path()).unwrap();
    for record in &records[1..] {
        assert_eq!(store.job(record.id).unwrap().as_ref(), Some(record));
    }
    assert_eq!(store.job(records[0].id).unwrap(), Some(started(records[0].clone())));
    assert_eq!(store.feed_after(0, 100).unwrap().len(), 51);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_waiters_share_commits_and_all_get_an_answer() {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(open(dir.path()).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            store.create_job(&queued("true")).unwrap();
            store.commit().await
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap().unwrap();
    }
    let copy = killed(dir.path());
    assert_eq!(open(copy.path()).unwrap().unfinished_ids().unwrap().len(), 200);
}

#[test]
fn a_change_needs_the_revision_just_before_it() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let record = queued("");
    let missing = store.update_job(&started(record.clone()));
    assert_eq!(missing, Err(StoreError::Missing { id: record.id }));
    store.create_job(&record).unwrap();
    let again = store.create_job(&record);
    assert_eq!(again, Err(StoreError::Conflict { id: record.id, stored: 1, offered: 1 }));
    store.update_job(&started(record.clone())).unwrap();
    let late = store.update_job(&ended(record.clone()));
    assert_eq!(late, Err(StoreError::Conflict { id: record.id, stored: 2, offered: 2 }));
    assert_eq!(store.feed_after(0, 10).unwrap().len(), 2, "a refused change leaves no entry");
}

#[test]
fn every_change_has_one_feed_entry_in_order() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let record = queued("");
    store.create_job(&record).unwrap();
    store.update_job(&started(record.clone())).unwrap();
    store.update_job(&ended(started(record.clone()))).unwrap();
    let entries = store.feed_after(0, 10).unwrap();
    let steps: Vec<_> = entries.iter().map(|entry| (entry.seq, entry.old, entry.new)).collect();
    let (queued, running) = (Status::Queued, Status::Running);
    let became = Became::Status;
    let expected =
        [(1, None, became(queued)), (2, Some(queued), became(running)), (3, Some(running), became(Status::Cancelled))];
    assert_eq!(steps, expected);
    assert!(entries.iter().all(|entry| entry.subject == Subject::Job(record.id)));
    assert_eq!(store.feed_after(2, 10).unwrap(), entries[2..]);
    assert_eq!(store.feed_after(0, 1).unwrap(), entries[..1]);
    assert_eq!(store.feed_after(3, 10).unwrap(), []);
}

#[test]
fn unfinished_jobs_and_counts_follow_the_records() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let (first, second, third) = (queued("1"), queued("2"), queued("3"));
    for record in [&first, &second, &third] {
        store.create_job(record).unwrap();
    }
    store.update_job(&started(second.clone())).unwrap();
    store.update_job(&ended(first)).unwrap();
    let mut expected = vec![started(second), third];
    expected.sort_by_key(|record| record.id);
    let found = store.unfinished_ids().unwrap().into_iter().map(|id| store.job(id).unwrap().unwrap());
    assert_eq!(found.collect::<Vec<_>>(), expected);
    let count = |status| store.count(status).unwrap();
    assert_eq!((count(Status::Queued), count(Status::Running)), (1, 1));
    assert_eq!((count(Status::Cancelled), count(Status::Failed)), (1, 0));
}

#[tokio::test]
async fn a_large_request_needs_no_file_of_its_own() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let records: Vec<_> = (0..4).map(|_| queued(&"é".repeat(700_000))).collect();
    for record in &records {
        store.create_job(record).unwrap();
        store.update_job(&started(record.clone())).unwrap();
    }
    store.commit().await.unwrap();
    assert_eq!(fs::read_dir(dir.path().join("blobs")).unwrap().count(), 0);
    let copy = killed(dir.path());
    let store = open(copy.path()).unwrap();
    for record in records {
        assert_eq!(store.job(record.id).unwrap(), Some(started(record)));
    }
}
