//! Random changes, lists and re-openings against a plain list of records.
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const OWNERS: [&str; 3] = ["ann", "an", ""];
const LANGUAGES: [Option<&str>; 3] = [Some("c"), Some("python"), None];
const STATUSES: [Status; 6] =
    [Status::Queued, Status::Running, Status::Completed, Status::Failed, Status::Cancelled, Status::TimedOut];

#[derive(Clone, Debug)]
enum Step {
    Create { owner: usize, language: usize, created: u64, key: Option<u8> },
    Start(Index),
    End(Index, Reason),
    Delete(Index),
    Trim,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let reason =
        prop::sample::select(vec![Reason::Exited, Reason::Cancelled, Reason::MemoryLimit, Reason::QueueTimeout]);
    let key = prop::option::weighted(0.3, 0..4u8);
    let created = (0..3usize, 0..3usize, 0..5u64, key).prop_map(|(owner, language, created, key)| Step::Create {
        owner,
        language,
        created,
        key,
    });
    let step = prop_oneof![
        6 => created,
        4 => any::<Index>().prop_map(Step::Start),
        6 => (any::<Index>(), reason).prop_map(|(job, reason)| Step::End(job, reason)),
        2 => any::<Index>().prop_map(Step::Delete),
        1 => Just(Step::Trim),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

/// The records as they should be, newest first.
#[derive(Default)]
struct Model {
    records: Vec<Record>,
    keys: Vec<(u8, JobId)>,
    changes: u64,
}

impl Model {
    fn step(&mut self, store: &Store, step: &Step) {
        match step {
            Step::Create { owner, language, created, key } => {
                self.create(store, queued_of(OWNERS[*owner], LANGUAGES[*language], *created), *key);
            }
            Step::Start(job) => {
                self.change(store, *job, |record| (record.observed == State::Queued).then(|| started(record)));
            }
            Step::End(job, reason) => self.change(store, *job, |record| {
                let over = matches!(record.observed, State::Ended { .. });
                (!over).then(|| ended_by(record, *reason))
            }),
            Step::Delete(job) => self.delete(store, *job),
            Step::Trim => drop(store.trim_feed(Timestamp(0)).unwrap()),
            Step::Reopen => {}
        }
    }

    fn create(&mut self, store: &Store, record: Record, key: Option<u8>) {
        let holder = key.and_then(|key| self.keys.iter().find(|(taken, _)| *taken == key));
        match key {
            Some(key) => {
                let claim = Claim { scope: String::from("s"), key: key.to_string(), value: Vec::new(), expires: None };
                let claimed = store.create_job_keyed(&record, &claim).unwrap();
                let job = holder.map(|(_, job)| *job);
                let expected =
                    job.map_or(Claimed::New, |_| Claimed::Taken(Held { value: Vec::new(), job, expires: None }));
                assert_eq!(claimed, expected);
                if holder.is_some() {
                    return;
                }
                self.keys.push((key, record.id));
            }
            None => store.create_job(&record).unwrap(),
        }
        self.changes += 1;
        self.records.push(record);
    }

    fn change(&mut self, store: &Store, job: Index, to: impl Fn(Record) -> Option<Record>) {
        if self.records.is_empty() {
            return;
        }
        let record = job.get_mut(&mut self.records);
        if let Some(changed) = to(record.clone()) {
            store.update_job(&changed).unwrap();
            self.changes += 1;
            *record = changed;
        }
    }

    fn delete(&mut self, store: &Store, job: Index) {
        if self.records.is_empty() {
            return;
        }
        let place = job.index(self.records.len());
        let (id, over) = (self.records[place].id, matches!(self.records[place].observed, State::Ended { .. }));
        let deleted = store.delete_job(id, self.records[place].head.revision);
        assert_eq!(deleted.is_ok(), over);
        if over {
            self.records.remove(place);
            self.keys.retain(|(_, job)| *job != id);
            self.changes += 1;
        }
    }

    fn compare(&self, store: &Store) {
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
        assert_eq!(*store.feed_watch().borrow(), self.changes);
        for record in &self.records {
            assert_eq!(store.job(record.id).unwrap().as_ref(), Some(record));
        }
        for status in STATUSES {
            let filter = JobFilter { statuses: Some(vec![status]), ..JobFilter::default() };
            assert_eq!(store.count(status).unwrap(), self.list(store, &filter));
        }
        for owner in [None, Some("ann"), Some("an"), Some("")] {
            for language in [None, Some("c"), Some("python")] {
                for statuses in [None, Some(vec![Status::Running, Status::Completed, Status::Failed])] {
                    let (owner, language) = (owner.map(String::from), language.map(String::from));
                    self.list(store, &JobFilter { owner, language, statuses, family: Some(Family::Execution) });
                }
            }
        }
    }

    /// Compares two pages of a list, and gives how long the list is.
    fn list(&self, store: &Store, filter: &JobFilter) -> u64 {
        let mut expected: Vec<_> =
            self.records.iter().filter(|record| filter.admits(&Traits::of(record))).cloned().map(shown).collect();
        expected.sort_by_key(|record| std::cmp::Reverse((record.head.created, record.id)));
        let total = u64::try_from(expected.len()).unwrap();
        for (limit, offset) in [(100, 0), (3, 2)] {
            let jobs = expected.iter().skip(offset).take(limit).cloned().collect();
            let page = store.list_jobs(filter, limit, u64::try_from(offset).unwrap()).unwrap();
            assert_eq!(page, Page { jobs, total, unreadable: Vec::new() });
        }
        total
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_a_list_of_records(steps in steps()) {
        let dir = TempDir::new().unwrap();
        let mut store = open(dir.path()).unwrap();
        let mut model = Model::default();
        for step in &steps {
            model.step(&store, step);
            if matches!(step, Step::Reopen) {
                model.compare(&store);
                drop(store);
                store = open(dir.path()).unwrap();
                model.compare(&store);
            }
        }
        model.compare(&store);
    }
}
