//! What the store promises, tried on a real directory.
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
use crate::job::record::{Family, Head, SCHEMA, Wanted};
use crate::job::request::{Request, Work};
use crate::job::state::State;
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
            work: Work::Source { language: String::from("c"), code: String::from(code) },
            args: Vec::new(),
            stdin: vec![0, 255, 10],
            environment: Vec::new(),
            limits: limits(),
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

fn ended(mut record: Record) -> Record {
    record.head.revision += 1;
    let termination = Termination::without_exit(Reason::Cancelled, None);
    record.observed = record.observed.end(Timestamp(3), termination).unwrap();
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
    let expected = [(1, None, queued), (2, Some(queued), running), (3, Some(running), Status::Cancelled)];
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
    assert_eq!(store.unfinished_jobs().unwrap(), expected);
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

#[test]
fn a_damaged_or_foreign_record_is_named() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let (record, other) = (queued(""), queued(""));
    let name = format!("job {}", record.id);
    store.create_job(&record).unwrap();
    store.create_job(&other).unwrap();
    let put = |body: &[u8]| drop(store.trees.jobs.insert(record.id.as_bytes(), body).unwrap());
    put(br#"{"head":{"schema":99,"new":true}}"#);
    let found = StoreError::OtherSchema { record: name.clone(), found: 99, known: SCHEMA };
    assert_eq!(store.job(record.id), Err(found.clone()));
    assert_eq!(store.update_job(&started(record.clone())), Err(found));
    for body in [&b"{"[..], b"[]", b"\xff", br#"{"head":{"schema":1}}"#] {
        put(body);
        let error = store.job(record.id).unwrap_err();
        assert!(matches!(&error, StoreError::Damaged { record, .. } if *record == name));
        assert!(store.unfinished_jobs().is_err());
    }
    let request = codec::request(&other).unwrap();
    put(&codec::body(&other, request.len().try_into().unwrap()).unwrap());
    assert!(store.job(record.id).unwrap_err().to_string().contains("another job's"));
    assert_eq!(store.job(other.id).unwrap(), Some(other), "the others can be read");
}

#[test]
fn a_directory_has_one_kiln() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let second = open(dir.path()).unwrap_err();
    assert_eq!(second, StoreError::InUse { dir: dir.path().to_path_buf() });
    assert!(second.to_string().contains("in use by another kiln"));
    drop(store);
    open(dir.path()).unwrap();
}

#[test]
fn damaged_snapshots_do_not_keep_the_store_shut() {
    let dir = TempDir::new().unwrap();
    let record = queued("");
    let store = open(dir.path()).unwrap();
    store.create_job(&record).unwrap();
    drop(store);
    // A snapshot appears when a database that has data is opened.
    drop(open(dir.path()).unwrap());
    let garbage = "snap.00000000FFFFFFFF";
    for name in [format!("{garbage}.generating"), String::from(garbage)] {
        let mut file = fs::File::create(dir.path().join(name)).unwrap();
        std::io::Write::write_all(&mut file, &[1; 5000]).unwrap();
    }
    let store = open(dir.path()).unwrap();
    assert_eq!(store.job(record.id).unwrap(), Some(record));
    assert!(dir.path().join("set-aside").join(garbage).exists());
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = TempDir::new().unwrap();
    fs::File::create(dir.path().join("file")).unwrap();
    let error = open(&dir.path().join("file/store")).unwrap_err();
    assert!(matches!(error, StoreError::Unopenable { .. }), "{error}");
    let full = Path::new("/proc/kiln");
    assert!(matches!(open(full).unwrap_err(), StoreError::Unopenable { .. }));
}
