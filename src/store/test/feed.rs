//! Readers of the feed, their positions, and trimming.
use super::*;

/// Ten entries, all at the moment of [`FixedClock`].
fn filled(dir: &Path) -> Store {
    let store = open(dir).unwrap();
    for _ in 0..10 {
        store.create_job(&queued("")).unwrap();
    }
    store
}

#[test]
fn entries_go_when_every_reader_has_passed_them() {
    let dir = TempDir::new().unwrap();
    let store = filled(dir.path());
    store.set_feed_position("slow", 3).unwrap();
    store.set_feed_position("fast", 99).unwrap();
    assert_eq!(store.feed_position("fast").unwrap(), Some(10), "nobody is ahead of the feed");
    assert_eq!((store.trim_feed(Timestamp(0)).unwrap(), store.trim_feed(Timestamp(0)).unwrap()), (3, 0));
    assert_eq!(store.feed_after(2, 1), Err(StoreError::FeedTrimmed { first: 4 }));
    assert_eq!(store.feed_after(3, 100).unwrap().len(), 7);
    store.forget_feed_reader("slow").unwrap();
    assert_eq!(store.trim_feed(Timestamp(0)).unwrap(), 6);
    drop(store);
    let store = open(dir.path()).unwrap();
    assert_eq!(store.feed_position("slow").unwrap(), None);
    store.create_job(&queued("")).unwrap();
    assert_eq!(store.feed_after(9, 100).unwrap().last().unwrap().seq, 11, "the last seq is never forgotten");
}

#[test]
fn entries_that_are_too_old_do_not_wait_for_a_reader() {
    let dir = TempDir::new().unwrap();
    let store = filled(dir.path());
    store.set_feed_position("lost", 0).unwrap();
    assert_eq!(store.trim_feed(FixedClock.now()).unwrap(), 0);
    assert_eq!(store.trim_feed(Timestamp(FixedClock.now().0 + 1)).unwrap(), 9);
}

#[tokio::test]
async fn a_reader_is_woken_by_a_change() {
    let dir = TempDir::new().unwrap();
    let store = filled(dir.path());
    let mut last = store.feed_watch();
    assert_eq!(*last.borrow_and_update(), 10);
    store.create_job(&queued("")).unwrap();
    last.changed().await.unwrap();
    assert_eq!(*last.borrow(), 11);
    drop(store);
    assert!(last.changed().await.is_err(), "the store was closed");
}
