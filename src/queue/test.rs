//! What the queue promises, with work that needs no sandbox.
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use tempfile::TempDir;

use super::run::{Outcome, Task};
use super::*;
use crate::access::{Action, decide};
use crate::base::size::ByteSize;
use crate::base::time::{SystemClock, Timestamp};
use crate::job::limits::Limits;
use crate::job::record::{Attempt, Ran};
use crate::job::request::offer::UsedImage;
use crate::job::request::{Reach, Work};
use crate::output::{LogReader, LogWriter, Mark, Phase, Policy, Stream};
use crate::store::JobFilter;

const LONG: Duration = Duration::from_secs(20);

/// A request whose code tells the test's work what to do.
pub(super) fn request() -> Request {
    Request {
        image: UsedImage::Host,
        work: Work::Source { language: String::from("bash"), code: String::from("end") },
        args: Vec::new(),
        stdin: Vec::new(),
        environment: Vec::new(),
        limits: Limits {
            wall: Duration::from_secs(2),
            cpu_time: Duration::from_secs(1),
            milli_cpus: 1500,
            memory: ByteSize::mib(128),
            processes: 4,
            open_files: 256,
            file_size: ByteSize::mib(16),
            disk: ByteSize::mib(64),
            output: ByteSize::mib(16),
            compile_wall: Duration::from_secs(10),
            compile_memory: ByteSize::mib(512),
        },
        reach: Reach::Nothing,
    }
}

/// Does what the code says: `end`, `hang` (until asked to end), `panic`.
#[derive(Default)]
struct TestWork {
    order: Mutex<Vec<JobId>>,
    /// Nothing can be begun.
    broken: AtomicBool,
}

impl Execute for TestWork {
    fn is_able(&self) -> bool {
        !self.broken.load(Ordering::Relaxed)
    }

    fn execute(self: Arc<Self>, task: Task) -> BoxFuture<'static, Outcome> {
        self.order.lock().unwrap().push(task.id);
        Box::pin(async move {
            let Work::Source { code, .. } = &task.request.work else { panic!("no code") };
            let reason = match code.as_str() {
                "hang" => {
                    task.live.until_asked().await;
                    task.live.asked().unwrap().reason()
                }
                "panic" => panic!("asked to"),
                _ => Reason::Exited,
            };
            let attempt =
                Attempt { number: task.number, ran: Ran::Yes, compile: None, run: None, version: None, first_id: None };
            Outcome { attempt, termination: Termination::without_exit(reason, None) }
        })
    }
}

struct Tried {
    queue: Queue,
    work: Arc<TestWork>,
}

fn tried(dir: &Path, max_concurrent: usize, max_queued: usize) -> Tried {
    tried_with(dir, max_concurrent, max_queued, Arc::new(SystemClock))
}

fn tried_with(dir: &Path, max_concurrent: usize, max_queued: usize, clock: Arc<dyn Clock>) -> Tried {
    let config = QueueConfig { max_concurrent, max_queued, node: String::from("here") };
    let store = Arc::new(Store::open(&dir.join("store"), Arc::clone(&clock)).unwrap());
    let work = Arc::new(TestWork::default());
    let doing: Arc<dyn Execute> = work.clone();
    Tried { queue: Queue::with_work(config, store, dir.join("logs"), clock, doing), work }
}

impl Tried {
    async fn submit(&self, code: &str) -> Result<JobId, SubmitError> {
        self.submit_in(UsedImage::Host, code).await
    }

    async fn submit_in(&self, image: UsedImage, code: &str) -> Result<JobId, SubmitError> {
        let work = Work::Source { language: String::from("bash"), code: String::from(code) };
        let request = Request { work, image, ..request() };
        self.queue.submit(&Principal::unauthenticated_admin(), request, None).await.map(|submitted| submitted.id)
    }

    async fn ended(&self, id: JobId) -> Record {
        let record = self.queue.wait(id, LONG).await.unwrap().unwrap();
        assert!(matches!(record.observed, State::Ended { .. }), "{:?}", record.observed);
        record
    }

    async fn running(&self, id: JobId) {
        let mut progress = self.queue.watch(id).unwrap();
        progress.wait_for(|progress| progress.status == Status::Running).await.unwrap();
    }

    async fn cancel(&self, id: JobId) -> Result<Cancelled, CancelError> {
        let owner = Ownership { owner: String::from("admin"), grants: Vec::new() };
        let principal = Principal::unauthenticated_admin();
        let proof = decide(&principal, Action::Write, &owner).unwrap();
        self.queue.cancel(id, proof).await
    }
}

fn reason(record: &Record) -> Reason {
    let State::Ended { termination, .. } = &record.observed else { panic!("not ended") };
    termination.reason
}

#[tokio::test]
async fn a_job_runs_and_many_may_wait_for_it() {
    let dir = TempDir::new().unwrap();
    let tried = tried(dir.path(), 2, 2);
    let id = tried.submit("end").await.unwrap();
    let waits = (0..20).map(|_| tried.queue.wait(id, LONG));
    for record in futures_util::future::join_all(waits).await {
        assert_eq!(reason(&record.unwrap().unwrap()), Reason::Exited);
    }
    let record = tried.ended(id).await;
    assert_eq!((record.head.revision, record.attempts.len()), (3, 1));
    assert_eq!(tried.queue.watch(id).map(|_| ()), None);
    assert_eq!(tried.queue.load(), Load::default());
}

#[tokio::test]
async fn whoever_waits_too_short_sees_the_job_as_it_stands() {
    let dir = TempDir::new().unwrap();
    let tried = tried(dir.path(), 1, 1);
    let id = tried.submit("hang").await.unwrap();
    tried.running(id).await;
    let record = tried.queue.wait(id, Duration::from_millis(1)).await.unwrap().unwrap();
    assert_eq!(record.observed.status(), Status::Running);
    assert_eq!(tried.queue.wait(JobId::new(), LONG).await, Ok(None));
}

#[tokio::test]
async fn jobs_start_in_order_and_a_full_line_refuses() {
    let dir = TempDir::new().unwrap();
    let tried = tried(dir.path(), 1, 2);
    let first = tried.submit("hang").await.unwrap();
    let second = tried.submit("end").await.unwrap();
    let third = tried.submit("end").await.unwrap();
    assert_eq!(tried.queue.load(), Load { running: 1, queued: 2 });
    let refused = tried.submit("end").await.unwrap_err();
    assert!(matches!(refused, SubmitError::Full { retry_after_s: 1..=60 }));
    assert_eq!(tried.cancel(first).await, Ok(Cancelled::Ending));
    for id in [first, second, third] {
        tried.ended(id).await;
    }
    assert_eq!(*tried.work.order.lock().unwrap(), [first, second, third]);
    tried.submit("end").await.unwrap();
}

#[tokio::test]
async fn a_waiting_job_is_cancelled_at_once_and_a_running_one_ends() {
    let dir = TempDir::new().unwrap();
    let tried = tried(dir.path(), 1, 5);
    let running = tried.submit("hang").await.unwrap();
    let waiting = tried.submit("end").await.unwrap();
    assert_eq!(tried.cancel(waiting).await, Ok(Cancelled::Ended));
    let record = tried.ended(waiting).await;
    assert_eq!((reason(&record), record.wanted), (Reason::Cancelled, Wanted::Cancel));
    assert_eq!(record.attempts, []);
    assert_eq!(tried.cancel(running).await, Ok(Cancelled::Ending));
    let record = tried.ended(running).await;
    assert_eq!((reason(&record), record.wanted), (Reason::Cancelled, Wanted::Cancel));
    assert_eq!(*tried.work.order.lock().unwrap(), [running]);
    let again = tried.cancel(running).await;
    assert_eq!(again, Err(CancelError::Over(Status::Cancelled)));
    assert_eq!(tried.cancel(JobId::new()).await, Err(CancelError::Unknown));
}

/// The end of a job is shown as soon as it is recorded; the job is forgotten when that is durable.
#[tokio::test]
async fn an_image_is_in_use_until_its_jobs_are_shown_as_ended() {
    let dir = TempDir::new().unwrap();
    let tried = tried(dir.path(), 1, 1);
    let (one, other) = (Digest([1; 32]), Digest([2; 32]));
    let id = tried.submit_in(UsedImage::Stored { name: String::from("tools"), digest: one }, "hang").await.unwrap();
    tried.running(id).await;
    assert!(tried.queue.has_use_for(one).unwrap() && !tried.queue.has_use_for(other).unwrap());
    let live = Arc::clone(&tried.queue.ledger().live[&id]);
    tried.cancel(id).await.unwrap();
    tried.ended(id).await;
    tried.queue.ledger().live.insert(id, live);
    assert!(!tried.queue.has_use_for(one).unwrap(), "not durable yet, but shown");
}

#[tokio::test]
async fn a_fault_of_our_own_ends_one_job_and_gives_its_place_on() {
    let dir = TempDir::new().unwrap();
    let tried = tried(dir.path(), 1, 5);
    let broken = tried.submit("panic").await.unwrap();
    let next = tried.submit("end").await.unwrap();
    let record = tried.ended(broken).await;
    assert_eq!(reason(&record), Reason::DaemonRestart);
    assert_eq!(record.attempts[0].ran, Ran::Unknown);
    assert_eq!(reason(&tried.ended(next).await), Reason::Exited);
}

#[tokio::test]
async fn stopping_ends_what_runs_and_leaves_what_waits() {
    let dir = TempDir::new().unwrap();
    let (running, waiting) = {
        let tried = tried(dir.path(), 1, 5);
        let running = tried.submit("hang").await.unwrap();
        let waiting = tried.submit("end").await.unwrap();
        tried.running(running).await;
        assert_eq!(tried.queue.stop(LONG).await, 0);
        assert_eq!(tried.submit("end").await, Err(SubmitError::Stopping));
        let record = tried.queue.job(running).unwrap().unwrap();
        assert_eq!(reason(&record), Reason::DaemonRestart);
        (running, waiting)
    };
    let again = tried(dir.path(), 1, 5);
    let expected = Recovered { queued: 1, ..Recovered::default() };
    assert_eq!(again.queue.recover().await, Ok(expected));
    assert_eq!(reason(&again.ended(waiting).await), Reason::Exited);
    assert_eq!(*again.work.order.lock().unwrap(), [waiting]);
    assert_eq!(again.queue.watch(running).map(|_| ()), None);
}

#[tokio::test]
async fn after_a_kill_what_ran_is_ended_and_what_waited_runs() {
    let (before, after) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let first = tried(before.path(), 1, 5);
    let running = first.submit("hang").await.unwrap();
    let waiting = [first.submit("end").await.unwrap(), first.submit("end").await.unwrap()];
    let log = first.queue.job(running).unwrap().unwrap().log;
    let logs = after.path().join("logs");
    let mut writer = LogWriter::create(&logs, log, Policy::EndAtLimit).unwrap();
    let now = SystemClock.now();
    writer.append(Phase::Run, Stream::Stdout, b"partial", now).unwrap();
    first.running(running).await;
    first.queue.0.store.commit().await.unwrap();
    copy(&before.path().join("store"), &after.path().join("store"));
    let second = tried(after.path(), 1, 5);
    let expected = Recovered { queued: 2, ended: 1, unreadable: Vec::new() };
    assert_eq!(second.queue.recover().await, Ok(expected));
    let record = second.ended(running).await;
    assert_eq!(reason(&record), Reason::DaemonRestart);
    assert_eq!(record.attempts[0].ran, Ran::Unknown);
    for id in waiting {
        second.ended(id).await;
    }
    assert_eq!(*second.work.order.lock().unwrap(), waiting);
    let mut reader = LogReader::open(&logs, log).unwrap();
    assert_eq!(reader.next_frame().unwrap().unwrap().payload, b"partial");
    let mark = Mark::of(&reader.next_frame().unwrap().unwrap());
    assert_eq!(mark, Some(Mark::Ended { status: Status::Failed }));
}

/// What a SIGKILL leaves of a directory that is in use.
fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let place = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(place).unwrap();
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}

#[tokio::test]
async fn without_a_spawner_what_waits_goes_on_waiting() {
    let dir = TempDir::new().unwrap();
    let waiting = {
        let tried = tried(dir.path(), 1, 5);
        let running = tried.submit("hang").await.unwrap();
        let waiting = [tried.submit("end").await.unwrap(), tried.submit("end").await.unwrap()];
        tried.running(running).await;
        tried.work.broken.store(true, Ordering::Relaxed);
        tried.cancel(running).await.unwrap();
        tried.ended(running).await;
        assert_eq!(tried.queue.load(), Load { running: 0, queued: 2 });
        tried.queue.stop(LONG).await;
        waiting
    };
    let again = tried(dir.path(), 1, 5);
    assert_eq!(again.queue.recover().await, Ok(Recovered { queued: 2, ..Recovered::default() }));
    for id in waiting {
        assert_eq!(reason(&again.ended(id).await), Reason::Exited);
    }
}

/// A clock that is set from outside.
struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

const YEAR: u64 = 365 * 24 * 3600 * 1_000_000;

/// Each job is made at one time, begins at another and ends at a third, which lie in any order.
#[tokio::test]
async fn a_clock_that_is_set_disturbs_no_order_and_no_length() {
    let dir = TempDir::new().unwrap();
    let clock = Arc::new(SetClock(AtomicU64::new(0)));
    let set = |years: u64| clock.0.store(years * YEAR, Ordering::Relaxed);
    let tried = tried_with(dir.path(), 1, 20, clock.clone());
    let mut made = Vec::new();
    for (created, started, ended) in [(50, 50, 50), (50, 49, 48), (52, 30, 51), (10, 60, 20), (10, 10, 10)] {
        set(created);
        let first = tried.submit("hang").await.unwrap();
        tried.running(first).await;
        let second = tried.submit("hang").await.unwrap();
        set(started);
        tried.cancel(first).await.unwrap();
        tried.ended(first).await;
        tried.running(second).await;
        set(ended);
        tried.cancel(second).await.unwrap();
        let record = tried.ended(second).await;
        let State::Ended { started: Some(began), at, .. } = record.observed else { panic!("{record:?}") };
        let years = [record.head.created, began, at].map(|moment| moment.0 / YEAR);
        assert_eq!(years, [created, started, ended], "what the clock said is what is recorded");
        assert_eq!(began.since(record.head.created).is_zero(), started <= created);
        assert_eq!(at.since(began).is_zero(), ended <= started);
        made.extend([(created, first), (created, second)]);
    }
    let ids: Vec<JobId> = made.iter().map(|(_, id)| *id).collect();
    assert!(ids.is_sorted(), "ids are in the order in which they were made");
    assert_eq!(*tried.work.order.lock().unwrap(), ids, "and so was the work");
    // Newest first, by the moment that is shown; by the id where that is the same.
    made.sort();
    let newest_first: Vec<JobId> = made.iter().rev().map(|(_, id)| *id).collect();
    let mut listed = Vec::new();
    for offset in (0..10).step_by(3) {
        let page = tried.queue.jobs(&JobFilter::default(), 3, offset).unwrap();
        assert_eq!(page.total, 10);
        listed.extend(page.jobs.iter().map(|job| job.id));
    }
    assert_eq!(listed, newest_first);
    assert_eq!(tried.queue.0.store.check(), Ok(Vec::new()));
    set(0);
    let refused = tried.queue.ledger().pace;
    assert!(matches!(
        decide::admit(Load { running: 1, queued: 20 }, tried.queue.bounds(), refused),
        Admission::Full { retry_after_s: 1..=60 }
    ));
}

#[tokio::test]
async fn a_key_makes_one_job_of_two_requests_and_refuses_another() {
    let dir = TempDir::new().unwrap();
    let tried = tried(dir.path(), 1, 0);
    let submit = async |code: &str| {
        let mut request = request();
        request.work = Work::Source { language: String::from("bash"), code: String::from(code) };
        let key = IdempotencyKey::try_from("once").unwrap();
        tried.queue.submit(&Principal::unauthenticated_admin(), request, Some(key)).await
    };
    let first = submit("hang").await.unwrap();
    assert!(!first.again);
    let second = submit("hang").await.unwrap();
    assert_eq!((second.id, second.again), (first.id, true), "also when the queue is full");
    assert_eq!(submit("end").await.unwrap_err(), SubmitError::KeyTaken);
}
