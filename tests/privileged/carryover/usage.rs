//! What is counted for a job is its own, and so is what it is held to, whatever ran in its place before.
use serde_json::{Value, json};

use super::one_place;
use crate::harness::{
    Daemon, assert_ended_by, assert_limits_hit, bash, command, printed, python, scale, timeout, with,
};

const MIB: u64 = 1 << 20;

/// What a small job may use more than the first small job did. Each large job uses many times as much.
const MORE_MEMORY: u64 = 4 * MIB;
const MORE_PROCESSOR_US: u64 = 80_000;
const MORE_READ: u64 = 8 * MIB;
const MORE_WALL_US: u64 = 60_000;

/// Usage of one small job. A counter that the kernel does not have is `None`.
#[derive(Clone, Copy, Debug)]
struct Small {
    memory: Option<u64>,
    processes: Option<u64>,
    read: Option<u64>,
    written: Option<u64>,
    processor_us: u64,
    wall_us: u64,
}

impl Small {
    #[track_caller]
    fn run(daemon: &Daemon) -> Self {
        Self::of(&daemon.execute(&command(&["/bin/true"])))
    }

    #[track_caller]
    fn of(job: &Value) -> Self {
        assert_eq!(printed(job), "");
        assert_limits_hit(job, &[]);
        let number = |name: &str| job["usage"][name].as_u64();
        Self {
            memory: number("memory_peak_bytes"),
            processes: number("processes_peak"),
            read: number("io_read_bytes"),
            written: number("io_write_bytes"),
            processor_us: number("cpu_user_us").unwrap() + number("cpu_system_us").unwrap(),
            wall_us: number("wall_us").unwrap(),
        }
    }

    /// Nothing of a larger one is in it.
    #[track_caller]
    fn assert_like(&self, first: &Self, after: &str) {
        let within = |now: Option<u64>, then: Option<u64>, more: u64| match (now, then) {
            (Some(now), Some(then)) => now <= then + more,
            (now, then) => now == then,
        };
        let what = format!("after {after}: {self:?}, at first {first:?}");
        assert_eq!(self.processes, first.processes, "{what}");
        assert!(within(self.memory, first.memory, MORE_MEMORY), "{what}");
        assert!(within(self.read, first.read, MORE_READ), "{what}");
        assert!(within(self.written, first.written, MORE_READ), "{what}");
        assert!(self.processor_us <= first.processor_us + MORE_PROCESSOR_US * scale(), "{what}");
    }
}

/// Reads what is in no cache: what a reader brings into the page cache is charged to the reader's group.
const READ: &str = "
import os
read = 0
for folder, _, names in os.walk('/usr/lib'):
    for name in names:
        path = os.path.join(folder, name)
        if read < 96 << 20 and not os.path.islink(path) and os.path.getsize(path) > 1 << 16:
            with open(path, 'rb', buffering=0) as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                while part := file.read(1 << 20):
                    read += len(part)
";
const SHARED_MEMORY: &str = "
import ctypes
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
ctypes.memset(libc.shmat(libc.shmget(1, 96 << 20, 0o1600), None, 0), 1, 96 << 20)
";
const PROCESSES: &str = "
import os, time
for _ in range(39):
    if os.fork() == 0:
        time.sleep(0.5)
        os._exit(0)
while True:
    try:
        os.fork() or os._exit(0)
    except OSError:
        break
";
/// Packets that nobody reads, and their sockets on their way over a socket that is on its way over itself.
const IN_FLIGHT: &str = "
import array, socket
ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
plugs = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(30)]
for plug in plugs:
    plug.bind(('127.0.0.1', 0))
    plug.setblocking(False)
    for _ in range(200):
        plug.sendto(b'x' * 1000, plug.getsockname())
numbers = array.array('i', [plug.fileno() for plug in plugs + list(ends)])
ends[0].sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)])
";

/// A name, a job that uses much of something, how it ends, and the least memory that it has then used, MiB.
fn large_jobs() -> Vec<(&'static str, Value, &'static str, u64)> {
    let roomy =
        json!({"memory_limit": 256, "limits": {"disk": 128, "file_size": 128, "processes": 40, "cpu_time": 60}});
    let roomy = |request| with(request, roomy.clone());
    let eaten = "kept = b'x' * (128 << 20)";
    let kept = |folder: &str| roomy(bash(&format!("head -c 96M /dev/zero >{folder}/large")));
    vec![
        ("much memory", roomy(python(eaten)), "exited", 128),
        ("a full /work", kept("/work"), "exited", 96),
        ("a full /tmp", kept("/tmp"), "exited", 96),
        ("shared memory", roomy(python(SHARED_MEMORY)), "exited", 96),
        ("reading", roomy(python(READ)), "exited", 64),
        ("refused processes", roomy(python(PROCESSES)), "exited", 8),
        ("sockets in flight", roomy(python(IN_FLIGHT)), "exited", 2),
        ("processor time", with(bash("while :; do :; done"), json!({"limits": {"cpu_time": 1}})), "cpu_time_limit", 0),
        ("too much memory", with(python(eaten), json!({"memory_limit": 32})), "memory_limit", 30),
        ("a killed child", with(bash("tail /dev/zero; :"), json!({"memory_limit": 32})), "memory_limit", 30),
        ("wall time", with(command(&["sleep", "1000"]), json!({"timeout": 1})), "wall_time_limit", 0),
    ]
}

#[test]
fn a_small_job_after_a_large_one_uses_what_it_did_before() {
    let daemon = one_place();
    Small::run(&daemon);
    let first = Small::run(&daemon);
    for (name, request, reason, least) in large_jobs() {
        let job = daemon.execute(&request);
        assert_eq!(job["termination"]["reason"], reason, "{name}: {job:#}");
        let peak = job["usage"]["memory_peak_bytes"].as_u64();
        assert!(peak.is_none_or(|peak| peak >= least * MIB), "{name} was small: {job:#}");
        Small::run(&daemon).assert_like(&first, name);
    }
}

#[test]
fn a_kill_for_memory_is_not_told_of_the_next_job() {
    let daemon = one_place();
    for _ in 0..5 {
        let job = daemon.execute(&with(command(&["tail", "/dev/zero"]), json!({"memory_limit": 16})));
        assert_ended_by(&job, "memory_limit", "failed");
        let job = daemon.execute(&bash("kill -KILL $$"));
        assert_ended_by(&job, "signaled", "failed");
        assert_limits_hit(&job, &[]);
        // The kernel's word that memory ran out would be looked for while this one runs.
        let job = daemon.execute(&bash("sleep 0.1"));
        assert_ended_by(&job, "exited", "completed");
        assert_limits_hit(&job, &[]);
    }
}

/// One after another in the same place, each to its own limit and not beyond.
#[test]
fn lower_and_higher_limits_follow_each_other() {
    let daemon = one_place();
    let eat = |mib: u64| python(&format!("kept = b'x' * ({mib} << 20)"));
    let fork = "
import os, time
count = 0
while count < 100:
    try:
        os.fork() or (time.sleep(1000), os._exit(0))
    except OSError:
        break
    count += 1
print(count + 1)
";
    for round in 0..3 {
        for memory in [512, 24, 256, 32] {
            let limit = json!({"memory_limit": memory});
            assert_ended_by(&daemon.execute(&with(eat(memory - 16), limit.clone())), "exited", "completed");
            let job = daemon.execute(&with(eat(memory + 16), limit));
            assert_ended_by(&job, "memory_limit", "failed");
            assert_eq!(job["termination"]["limit"]["limit"], memory, "{round}: {job:#}");
        }
        for processes in [40, 3, 20, 1] {
            let job = daemon.execute(&with(python(fork), json!({"limits": {"processes": processes}})));
            assert_eq!(printed(&job), format!("{processes}\n"));
            assert_limits_hit(&job, &["processes"]);
        }
    }
}

/// The pages of what an earlier job wrote may be freed later than it ends.
#[test]
fn a_job_with_little_memory_runs_at_once_after_one_that_filled_much() {
    let daemon = one_place();
    let fill = "head -c 150M /dev/zero >/work/a; head -c 150M /dev/zero >/tmp/b";
    let much = json!({"memory_limit": 512, "limits": {"disk": 200, "file_size": 200}});
    for _ in 0..5 {
        assert_eq!(printed(&daemon.execute(&with(bash(fill), much.clone()))), "");
        let job = daemon.execute(&with(command(&["/bin/true"]), json!({"memory_limit": 8})));
        assert_eq!(printed(&job), "");
    }
}

#[test]
fn times_of_an_earlier_job_are_not_held_against_the_next() {
    let daemon = one_place();
    let spin = bash("while :; do :; done");
    for _ in 0..2 {
        let job = daemon.execute(&with(spin.clone(), json!({"limits": {"cpu_time": 10}})));
        assert_ended_by(&job, "cpu_time_limit", "timeout");
        // A moment at which the host stands still may count as used.
        let half = "import time\nwhile time.process_time() < 0.5:\n    pass";
        let job = daemon.execute(&with(python(half), json!({"limits": {"cpu_time": 9}})));
        assert_ended_by(&job, "exited", "completed");
        let job = daemon.execute(&with(command(&["sleep", "1000"]), json!({"timeout": timeout(1)})));
        assert_ended_by(&job, "wall_time_limit", "timeout");
        let later = format!("sleep {}", timeout(1) + 1);
        assert_ended_by(&daemon.execute(&bash(&later)), "exited", "completed");
    }
}

/// The quickest of several: what a group is still to pay back would delay each of them (sched-bwc.rst).
#[test]
fn a_job_is_not_slowed_by_what_the_one_before_overdrew() {
    let daemon = one_place();
    let quickest = |before: Option<&Value>| {
        let run = || {
            if let Some(request) = before {
                assert_ended_by(&daemon.execute(request), "wall_time_limit", "timeout");
            }
            Small::run(&daemon).wall_us
        };
        std::iter::repeat_with(run).take(5).min().unwrap()
    };
    let overdraw = "for i in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done; wait";
    let overdraw = with(bash(overdraw), json!({"timeout": 0.5, "limits": {"cpus": 0.1}}));
    let (alone, after) = (quickest(None), quickest(Some(&overdraw)));
    assert!(after <= alone + MORE_WALL_US * scale(), "alone {alone} µs, after the other {after} µs");
}
