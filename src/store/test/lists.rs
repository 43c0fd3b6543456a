//! Pages, totals and deleting.
use super::*;

fn ids(page: &Page) -> Vec<JobId> {
    page.jobs.iter().map(|job| job.id).collect()
}

#[test]
fn a_page_has_the_newest_first_and_the_exact_total() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let mut expected = Vec::new();
    for created in 0..10 {
        let record = queued_of("ann", Some("c"), created / 2);
        store.create_job(&record).unwrap();
        let record = if created % 3 == 0 { record } else { ended(record) };
        if created % 3 != 0 {
            store.update_job(&record).unwrap();
        }
        expected.push(shown(record));
    }
    expected.sort_by_key(|record| std::cmp::Reverse((record.head.created, record.id)));
    let all = JobFilter::default();
    let page = |limit, offset| store.list_jobs(&all, limit, offset).unwrap();
    assert_eq!(page(100, 0), Page { jobs: expected.clone(), total: 10, unreadable: Vec::new() });
    assert_eq!(page(3, 4).jobs, expected[4..7]);
    assert_eq!(page(3, 9).jobs, expected[9..]);
    assert_eq!((page(3, 10).jobs, page(0, 0).jobs), (Vec::new(), Vec::new()));
    assert_eq!(page(3, LIST_REACH + 1).total, 10, "beyond the end there is nothing, however far");
}

#[test]
fn a_filter_may_name_several_statuses_or_none() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let waiting = queued_of("ann", None, 1);
    let failed = ended_by(queued_of("ann", Some("c"), 2), Reason::MemoryLimit);
    let late = ended_by(queued_of("bob", Some("c"), 3), Reason::WallTimeLimit);
    for record in [&waiting, &failed, &late] {
        store.create_job(record).unwrap();
    }
    let of = |statuses: &[Status]| {
        let filter = JobFilter { statuses: Some(statuses.to_vec()), ..JobFilter::default() };
        ids(&store.list_jobs(&filter, 10, 0).unwrap())
    };
    assert_eq!(of(&[Status::Queued, Status::TimedOut]), [late.id, waiting.id]);
    assert_eq!(of(&[Status::Failed, Status::TimedOut]), [late.id, failed.id]);
    assert_eq!(of(&[]), []);
    let filter =
        JobFilter { owner: Some(String::from("ann")), language: Some(String::from("c")), ..JobFilter::default() };
    assert_eq!(ids(&store.list_jobs(&filter, 10, 0).unwrap()), [failed.id]);
}

#[test]
fn a_deleted_job_leaves_nothing_but_a_feed_entry() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    let record = queued("x");
    let claim = Claim { scope: String::from("ann"), key: String::from("k"), value: vec![1], expires: None };
    store.create_job_keyed(&record, &claim).unwrap();
    let refused = store.delete_job(record.id, 1);
    assert_eq!(refused, Err(StoreError::Unfinished { id: record.id, status: Status::Queued }));
    store.update_job(&ended(record.clone())).unwrap();
    let late = store.delete_job(record.id, 1);
    assert_eq!(late, Err(StoreError::Conflict { id: record.id, stored: 2, offered: 1 }));
    store.delete_job(record.id, 2).unwrap();
    assert_eq!(store.delete_job(record.id, 2), Err(StoreError::Missing { id: record.id }));
    assert_eq!(store.job(record.id).unwrap(), None);
    assert_eq!(store.held("ann", "k").unwrap(), None);
    let trees = &store.trees;
    for table in [&trees.jobs, &trees.requests, &trees.unfinished, &trees.index, &trees.counters, &trees.keys] {
        let tree = table.settled();
        assert!(tree.is_empty());
    }
    let last = store.feed_after(2, 1).unwrap().remove(0);
    assert_eq!((last.old, last.new), (Some(Status::Cancelled), Became::Deleted));
    assert_eq!(serde_json::to_value(last.new).unwrap(), "deleted");
    assert_eq!(serde_json::to_value(Became::Status(Status::TimedOut)).unwrap(), "timed_out");
}
