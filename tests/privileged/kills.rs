//! Twenty ends by SIGKILL at random moments while clients work: of the server, of the spawner, of both, of a daemon
//! that is only starting. After each the daemon is started again on the same data.
//!
//! What was acknowledged is found, an end that was shown stays, nothing of a former daemon is left, and a daemon beside
//! it does not notice. `TEST_SEED` repeats the choices of a run.
use std::collections::BTreeSet;
use std::hash::BuildHasher as _;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kiln::base::time::SystemClock;
use kiln::store::{JobFilter, LIST_LIMIT, Store};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::crash::Traces;
use crate::harness::{Daemon, bash, data_directory, printed, scale, seconds, serve, until, until_equal, with};
use crate::held::Held;
use crate::host;
use crate::http::{self, Answer};

const PLACES: usize = 2;
const SETTINGS: &[(&str, &str)] =
    &[("KILN_API_JOB_MAX_CONCURRENT", "2"), ("KILN_API_JOB_MAX_QUEUED", "12"), ("KILN_SANDBOX_READY", "2")];
const READY: usize = 2;
const CLIENTS: u64 = 4;

/// Twenty, and fewer on a slow machine.
fn rounds() -> u64 {
    20_u64.div_ceil(scale()).max(3)
}

/// Numbers that a seed decides (`SplitMix64`).
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(u64::try_from(length).unwrap().max(1))).unwrap()
    }

    fn pause(&mut self, least: u64, most: u64) {
        std::thread::sleep(Duration::from_millis(least + self.below(most - least)));
    }
}

#[expect(clippy::disallowed_methods, clippy::print_stderr, reason = "the seed of a failed run belongs to its report")]
fn seed() -> u64 {
    let given = std::env::var("TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| std::hash::RandomState::new().hash_one(0));
    eprintln!("TEST_SEED={seed}");
    seed
}

/// What a job does when nothing disturbs it.
#[derive(Clone, Debug)]
struct Work {
    request: Value,
    stdout: String,
    reason: &'static str,
}

impl Work {
    fn new(number: u64, random: &mut Random, compiles: bool) -> Self {
        let line = format!("{number}\n");
        let exited = |request, stdout| Self { request, stdout, reason: "exited" };
        match random.below(8) {
            0..3 => exited(bash(&format!("echo {number}")), line),
            3 => exited(bash(&format!("echo {number}; sleep 0.{}", random.below(10))), line),
            4 => {
                let lines: Vec<String> = (number..=number + 20_000).map(|line| format!("{line}\n")).collect();
                exited(bash(&format!("seq {number} {}", number + 20_000)), lines.concat())
            }
            5 if compiles => {
                let code = format!("#include <stdio.h>\nint main(void) {{ printf(\"{number}\\n\"); return 0; }}");
                exited(json!({"language": "c", "code": code}), line)
            }
            6 => exited(with(json!({"image": "host", "command": ["cat"]}), json!({"stdin": line})), line),
            _ => Self { request: bash(&format!("echo {number}; kill -SEGV $$")), stdout: line, reason: "signaled" },
        }
    }
}

/// A job that was acknowledged.
#[derive(Clone, Debug)]
struct Known {
    path: String,
    work: Work,
    /// Its end, once it was shown.
    end: Option<Value>,
}

impl Known {
    /// What is shown of it now fits all that was shown before.
    #[track_caller]
    fn see(&mut self, answer: &Answer) {
        assert_eq!(answer.status, 200, "{} was acknowledged: {:#}", self.path, answer.body);
        match &self.end {
            Some(end) => assert_eq!(answer.body, *end, "an end that was shown stays"),
            None if is_over(&answer.body) => {
                self.judge(&answer.body);
                self.end = Some(answer.body.clone());
            }
            None => {}
        }
    }

    /// It did what it was to do, or a daemon ended while it ran.
    #[track_caller]
    fn judge(&self, job: &Value) {
        let stdout = job["stdout"].as_str().unwrap();
        let reason = &job["termination"]["reason"];
        if reason == "daemon_restart" {
            assert!(job["started_at"].is_string(), "what never ran goes on waiting: {job:#}");
            assert!(self.work.stdout.starts_with(stdout), "{job:#}");
        } else {
            assert_eq!((reason, stdout), (&json!(self.work.reason), self.work.stdout.as_str()), "{job:#}");
        }
    }
}

fn is_over(job: &Value) -> bool {
    job["termination"].is_object()
}

/// What the clients know, and where they ask.
struct Front {
    address: Mutex<Option<SocketAddr>>,
    known: Mutex<Vec<Known>>,
    numbers: AtomicU64,
    over: AtomicBool,
    /// Whether there is a compiler.
    compiles: bool,
}

impl Front {
    fn new(compiles: bool) -> Self {
        let (numbers, over) = (AtomicU64::new(100_000), AtomicBool::new(false));
        Self { address: Mutex::new(None), known: Mutex::default(), numbers, over, compiles }
    }

    fn point_at(&self, address: Option<SocketAddr>) {
        *self.address.lock().unwrap() = address;
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn known(&self) -> Vec<Known> {
        self.known.lock().unwrap().clone()
    }

    fn add(&self, known: Known) {
        self.known.lock().unwrap().push(known);
    }

    fn remember(&self, seen: &Known) {
        let mut known = self.known.lock().unwrap();
        let place = known.iter_mut().find(|known| known.path == seen.path).unwrap();
        assert!(place.end.is_none() || place.end == seen.end, "two ends of {}", seen.path);
        *place = seen.clone();
    }

    /// A client sends jobs, waits for some, looks at others, and is not surprised by a daemon that is gone.
    fn client(&self, mut random: Random) {
        while !self.is_over() {
            let Some(address) = *self.address.lock().unwrap() else {
                random.pause(5, 20);
                continue;
            };
            self.send_one(address, &mut random);
            self.look_at_one(address, &mut random);
        }
    }

    fn send_one(&self, address: SocketAddr, random: &mut Random) {
        let work = Work::new(self.numbers.fetch_add(1, Ordering::Relaxed), random, self.compiles);
        let waits = random.below(3) == 0;
        let request = with(work.request.clone(), json!({"async": !waits, "timeout": 60}));
        let Ok(answer) = http::ask(address, "POST /v1/execute", Some(&request), seconds(120)) else { return };
        match answer.status {
            200 => {
                let path = format!("/v1/jobs/{}", answer.body["job_id"].as_str().unwrap());
                let mut known = Known { path, work, end: None };
                known.see(&answer);
                self.add(known);
            }
            202 => {
                let path = answer.header("location").unwrap().to_owned();
                self.add(Known { path, work, end: None });
            }
            // Full, or stopping.
            503 => random.pause(20, 60),
            other => panic!("{other}: {:#}", answer.body),
        }
    }

    fn look_at_one(&self, address: SocketAddr, random: &mut Random) {
        let known = self.known();
        let Some(mut seen) = known.get(random.index(known.len())).cloned() else {
            return;
        };
        if let Ok(answer) = http::ask(address, &format!("GET {}", seen.path), None, seconds(60)) {
            seen.see(&answer);
            self.remember(&seen);
        }
    }
}

/// Jobs that run and whose program has said something: it runs, and the record says so durably.
fn speaking(daemon: &Daemon) -> Vec<String> {
    let jobs = daemon.get("/v1/jobs?status=running").body;
    let paths = jobs["jobs"].as_array().unwrap().iter().map(|job| job["_links"]["self"]["href"].as_str().unwrap());
    let has_spoken = |path: &String| {
        let output = http::text(daemon.address(), &format!("GET {path}/output"), seconds(60));
        output.is_ok_and(|(status, text)| status == 200 && !text.is_empty())
    };
    paths.map(str::to_owned).filter(has_spoken).collect()
}

/// Every process that belongs to this instance is the spawner or below it, and there are no more sandboxes than places and
/// those that stand ready.
#[track_caller]
fn assert_nothing_of_a_former_daemon(daemon: &Daemon) {
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    until_equal(seconds(30), &(BTreeSet::new(), true), || {
        let groups = host::cgroups_of(daemon.instance());
        let inside = groups.iter().flat_map(|group| host::members(group));
        let named = host::processes_with(daemon.instance());
        let mut strays: BTreeSet<u32> =
            named.into_iter().chain(inside).filter(|found| host::is_alive(*found)).collect();
        let own = host::descendants(daemon.spawner());
        strays.retain(|found| *found != daemon.spawner() && !own.contains(found) && host::is_alive(*found));
        let sandboxes: BTreeSet<u32> = groups.iter().filter_map(number).collect();
        // Of those that have ended the groups are kept for a while.
        (strays, sandboxes.len() <= 2 * (PLACES + READY) + 1)
    });
    let left = host::paths_below(daemon.data());
    let is_half = |path: &&PathBuf| ["generating", "new"].iter().any(|end| path.extension() == Some(end.as_ref()));
    assert_eq!(left.iter().filter(is_half).collect::<Vec<_>>(), Vec::<&PathBuf>::new());
}

/// Kills one or both of them; gives how the server ended.
fn kill(daemon: &mut Daemon, random: &mut Random) {
    let (server, spawner) = (daemon.server(), daemon.spawner());
    match random.below(4) {
        0 => Daemon::signal(server, Signal::SIGKILL),
        1 => Daemon::signal(spawner, Signal::SIGKILL),
        2 => {
            Daemon::signal(spawner, Signal::SIGKILL);
            Daemon::signal(server, Signal::SIGKILL);
        }
        _ => daemon.kill_both(),
    }
    let status = daemon.wait();
    assert!(status.signal() == Some(9) || status.code() == Some(75), "{status}: {}", daemon.log());
    assert!(!daemon.log().contains("panic"), "{}", daemon.log());
}

/// Starts one and kills its server before it is ready, or shortly after.
fn kill_at_start(data: &Path, random: &mut Random) {
    let mut child = serve(data, SETTINGS).spawn().unwrap();
    random.pause(1, 600);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// One daemon's life: gives the next one.
fn round(front: &Front, mut daemon: Daemon, random: &mut Random) -> Daemon {
    front.point_at(Some(daemon.address()));
    random.pause(100, 2500);
    let (speaking, traces) = (speaking(&daemon), Traces::now(&daemon));
    let known = front.known();
    kill(&mut daemon, random);
    front.point_at(None);
    if random.below(3) == 0 {
        kill_at_start(daemon.data(), random);
    }
    let again = Daemon::start_on(daemon.data(), SETTINGS);
    assert!(!again.log().contains(" ERROR ") && !again.log().contains("set aside"), "{}", again.log());
    traces.assert_gone();
    assert_nothing_of_a_former_daemon(&again);
    for mut known in known {
        let answer = again.get(&known.path);
        known.see(&answer);
        front.remember(&known);
        assert!(is_over(&answer.body) || !speaking.contains(&known.path), "it ran: {:#}", answer.body);
    }
    again
}

/// Records, lists, logs and all that is derived from them agree; nothing ran twice.
fn check_records(data: &Path, known: &[Known]) {
    let store = Store::open(&data.join("db"), Arc::new(SystemClock)).unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    let mut logs = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for offset in (0..).step_by(LIST_LIMIT) {
        let page = store.list_jobs(&JobFilter::default(), LIST_LIMIT, offset).unwrap();
        for job in &page.jobs {
            assert!(job.attempts.len() <= 1, "{job:?}");
            logs.insert(job.log.to_string());
            ids.insert(format!("/v1/jobs/job_{}", job.id.to_string().replace('-', "")));
        }
        if page.jobs.len() < LIST_LIMIT {
            break;
        }
    }
    let missing: Vec<&String> = known.iter().map(|known| &known.path).filter(|path| !ids.contains(*path)).collect();
    assert_eq!(missing, Vec::<&String>::new(), "in no list of {}", ids.len());
    let files = host::paths_below(&data.join("logs")).into_iter().filter(|path| path.is_file());
    let strange: Vec<PathBuf> =
        files.filter(|path| !logs.contains(path.file_name().unwrap().to_str().unwrap())).collect();
    assert_eq!(strange, Vec::<PathBuf>::new(), "a log of no job");
}

/// Waits until every acknowledged job has ended as it should.
fn to_the_end(front: &Front, daemon: &Daemon) -> Vec<Known> {
    for mut known in front.known() {
        until(seconds(120), &known.path.clone(), || {
            known.see(&daemon.get(&known.path));
            known.end.is_some().then_some(())
        });
        front.remember(&known);
    }
    front.known()
}

/// Runs jobs the whole time, one after another.
fn neighbour(daemon: &Daemon, front: &Front) -> usize {
    let mut count = 0;
    while !front.is_over() {
        assert_eq!(printed(&daemon.execute(&bash("echo undisturbed"))), "undisturbed\n");
        count += 1;
    }
    count
}

/// Ends the clients however the test ends.
struct Over<'a>(&'a Front);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

#[test]
fn kills_at_random_moments_lose_nothing_and_leave_nothing() {
    let mut random = Random(seed());
    let beside = Daemon::start(&[]);
    let theirs = Held::start(&beside, "", "print('undisturbed')");
    let data = data_directory();
    let front = Front::new(beside.offers("c"));
    let known = std::thread::scope(|scope| {
        let over = Over(&front);
        let neighbour = scope.spawn(|| neighbour(&beside, &front));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let random = Random(random.next());
                scope.spawn(|| front.client(random))
            })
            .collect();
        let mut daemon = Daemon::start_on(data.path(), SETTINGS);
        for _ in 0..rounds() {
            daemon = round(&front, daemon, &mut random);
        }
        drop(over);
        for client in clients {
            client.join().unwrap();
        }
        assert!(neighbour.join().unwrap() > 0);
        to_the_end(&front, &daemon)
    });
    let restarted =
        known.iter().filter(|known| known.end.as_ref().unwrap()["termination"]["reason"] == "daemon_restart");
    let restarted = restarted.count();
    assert!(restarted > 0 && restarted < known.len(), "{restarted} of {}", known.len());
    check_records(data.path(), &known);
    assert_eq!(printed(&theirs.release()), "undisturbed\n");
    assert!(!beside.log().contains(" ERROR "), "{}", beside.log());
}
