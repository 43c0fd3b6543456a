//! What is left of a job that was removed: its log, until somebody says that it is gone.
use tempfile::TempDir;

use super::{ended, killed, open, queued, started};
use crate::base::id::LogId;
use crate::job::request::{SourceFile, Work};
use crate::store::StoreError;

#[test]
fn the_log_of_a_removed_job_is_known_until_it_is_gone() {
    let dir = TempDir::new().unwrap();
    let record = ended(started(queued("1")));
    {
        let store = open(dir.path()).unwrap();
        store.create_job(&queued_again(&record)).unwrap();
        assert_eq!(store.doomed_logs().unwrap(), Vec::<LogId>::new());
        assert!(matches!(store.delete_job(record.id, 1), Err(StoreError::Unfinished { .. })));
        store.update_job(&started(queued_again(&record))).unwrap();
        store.update_job(&record).unwrap();
        store.delete_job(record.id, record.head.revision).unwrap();
    }
    let store = open(dir.path()).unwrap();
    assert_eq!((store.job(record.id).unwrap(), store.doomed_logs().unwrap()), (None, vec![record.log]));
    store.forget_log(record.log).unwrap();
    assert_eq!(store.doomed_logs().unwrap(), Vec::<LogId>::new());
}

/// The record before anything happened to it.
fn queued_again(record: &crate::job::record::Record) -> crate::job::record::Record {
    let mut first = queued("1");
    (first.id, first.log) = (record.id, record.log);
    first
}

#[tokio::test]
async fn a_program_of_several_files_comes_back_whole() {
    let dir = TempDir::new().unwrap();
    let file = |path: &str, content: &[u8], executable: bool| SourceFile {
        path: path.to_owned(),
        content: content.to_vec(),
        executable,
    };
    let mut record = queued("1");
    let files =
        vec![file("a/b.c", &[0, 255, 10], true), file("empty", b"", false), file("large", &[7; 100_000], false)];
    record.request.work = Work::Files { language: "c".to_owned(), files, entrypoint: "a/b.c".to_owned() };
    let store = open(dir.path()).unwrap();
    store.create_job(&record).unwrap();
    store.commit().await.unwrap();
    assert_eq!(store.job(record.id).unwrap(), Some(record.clone()));
    let again = open(killed(dir.path()).path()).unwrap();
    assert_eq!(again.job(record.id).unwrap(), Some(record.clone()));
    let listed = store.list_jobs(&crate::store::JobFilter::default(), 10, 0).unwrap();
    assert_eq!(listed.jobs, [super::shown(record)]);
}
