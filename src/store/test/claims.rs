//! Unique keys.
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

#[derive(Default)]
struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

fn claim(scope: &str, value: u8, expires: Option<u64>) -> Claim {
    let (scope, key) = (String::from(scope), String::from("key"));
    Claim { scope, key, value: vec![value], expires: expires.map(Timestamp) }
}

#[test]
fn a_key_is_taken_once_in_each_scope() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let (first, second, third) = (queued("1"), queued("2"), queued("3"));
    assert_eq!(store.create_job_keyed(&first, &claim("ann", 1, None)).unwrap(), Claimed::New);
    let held = Held { value: vec![1], job: Some(first.id), expires: None };
    let again = store.create_job_keyed(&second, &claim("ann", 2, None)).unwrap();
    assert_eq!(again, Claimed::Taken(held.clone()));
    assert_eq!(store.job(second.id).unwrap(), None, "nothing is written");
    assert_eq!(store.create_job_keyed(&third, &claim("bob", 3, None)).unwrap(), Claimed::New);
    drop(store);
    let store = open(dir.path()).unwrap();
    assert_eq!(store.claim(&claim("ann", 4, None)).unwrap(), Claimed::Taken(held));
    assert_eq!((store.release("ann", "key").unwrap(), store.release("ann", "key").unwrap()), (true, false));
    assert_eq!(store.claim(&claim("ann", 4, None)).unwrap(), Claimed::New);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn an_expired_key_is_free_and_is_swept() {
    let dir = TempDir::new().unwrap();
    let clock = Arc::new(SetClock::default());
    let own: Arc<dyn Clock> = clock.clone();
    let store = Store::open(dir.path(), own).unwrap();
    assert_eq!(store.create_job_keyed(&queued("1"), &claim("ann", 1, Some(10))).unwrap(), Claimed::New);
    assert_eq!(store.claim(&claim("bob", 1, Some(20))).unwrap(), Claimed::New);
    clock.0.store(9, Ordering::Relaxed);
    assert_eq!(store.sweep_keys().unwrap(), 0);
    assert!(store.held("ann", "key").unwrap().is_some());
    clock.0.store(10, Ordering::Relaxed);
    assert_eq!(store.held("ann", "key").unwrap(), None);
    assert_eq!(store.create_job_keyed(&queued("2"), &claim("ann", 2, Some(30))).unwrap(), Claimed::New);
    assert_eq!(store.check().unwrap(), Vec::<String>::new(), "nothing of the old holder is left");
    clock.0.store(25, Ordering::Relaxed);
    assert_eq!((store.sweep_keys().unwrap(), store.sweep_keys().unwrap()), (1, 0));
    assert_eq!(store.held("ann", "key").unwrap().unwrap().value, [2]);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}
