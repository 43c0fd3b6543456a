//! Records, files and directories that are not as they were written.
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;

use super::*;

#[test]
fn a_damaged_or_foreign_record_is_named() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let (record, other) = (queued(""), queued(""));
    let name = format!("job {}", record.id);
    store.create_job(&record).unwrap();
    store.create_job(&other).unwrap();
    drop(store.settled().unwrap());
    let put = |body: &[u8]| drop(store.trees.jobs.settled().insert(record.id.as_bytes(), body).unwrap());
    put(br#"{"head":{"schema":99,"new":true}}"#);
    let found = StoreError::OtherSchema { record: name.clone(), found: 99, known: SCHEMA };
    assert_eq!(store.job(record.id), Err(found.clone()));
    assert_eq!(store.update_job(&started(record.clone())), Err(found));
    for body in [&b"{"[..], b"[]", b"\xff", br#"{"head":{"schema":1}}"#] {
        put(body);
        let error = store.job(record.id).unwrap_err();
        assert!(matches!(&error, StoreError::Damaged { record, .. } if *record == name));
    }
    put(&codec::body(&other, codec::request(&other).unwrap().0).unwrap());
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
        io::Write::write_all(&mut file, &[1; 5000]).unwrap();
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

#[test]
fn an_unreadable_record_is_told_of_beside_the_page() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let (bad, good) = (ended(queued("1")), ended(queued("2")));
    for record in [&bad, &good] {
        store.create_job(record).unwrap();
    }
    drop(store.settled().unwrap());
    drop(store.trees.jobs.settled().insert(bad.id.as_bytes(), b"{").unwrap());
    let page = store.list_jobs(&JobFilter::default(), 10, 0).unwrap();
    assert_eq!((page.jobs, page.total), (vec![shown(good)], 2));
    assert!(matches!(page.unreadable.as_slice(), [StoreError::Damaged { .. }]));
    assert!(store.check().unwrap().iter().any(|finding| finding.contains(&bad.id.to_string())));
}

/// A directory with committed jobs, as a SIGKILL leaves it. With a second opening half of
/// them are in a snapshot.
async fn committed(jobs: usize, openings: usize) -> TempDir {
    let dir = TempDir::new().unwrap();
    for _ in 0..openings {
        let store = open(dir.path()).unwrap();
        for _ in 0..jobs / openings {
            store.create_job(&queued("x")).unwrap();
        }
        store.commit().await.unwrap();
    }
    killed(dir.path())
}

#[tokio::test]
async fn a_database_that_was_cut_off_is_refused_until_somebody_decides() {
    let dir = committed(300, 1).await;
    let db = OpenOptions::new().write(true).open(dir.path().join("db")).unwrap();
    db.set_len(db.metadata().unwrap().len() / 2).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Lost { committed: 300, .. }), "{error}");
    assert!(error.to_string().contains("Copy the directory"), "{error}");
    fs::remove_file(mark::path(dir.path())).unwrap();
    let store = open(dir.path()).unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new(), "what is left is whole");
}

#[tokio::test]
async fn a_database_that_is_gone_is_not_an_empty_one() {
    let dir = committed(2, 2).await;
    fs::remove_file(dir.path().join("db")).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Lost { .. } | StoreError::Unopenable { .. }), "{error}");
}

/// Wherever the file is overwritten: the store does not open, says so when it is read, or has all.
#[tokio::test]
async fn a_garbled_database_is_never_a_smaller_one() {
    let whole = committed(100, 2).await;
    let length = fs::metadata(whole.path().join("db")).unwrap().len();
    for part in 0..16 {
        let dir = killed(whole.path());
        let db = OpenOptions::new().write(true).open(dir.path().join("db")).unwrap();
        db.write_all_at(&[0xa5; 3000], length * part / 16).unwrap();
        let Ok(store) = open(dir.path()) else { continue };
        let all = JobFilter::default();
        let Ok(page) = store.list_jobs(&all, LIST_LIMIT, 0) else { continue };
        let found = (page.jobs.len() + page.unreadable.len(), page.total);
        assert!(found == (100, 100) || store.check().is_ok_and(|findings| !findings.is_empty()), "{part}: {found:?}");
    }
}

#[test]
fn a_database_that_cannot_be_written_is_named() {
    let dir = TempDir::new().unwrap();
    fs::create_dir_all(dir.path().join("db")).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Unopenable { .. }), "{error}");
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
}
