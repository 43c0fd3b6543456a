//! A thousand jobs of every ending leave nothing behind: what the host shows of the daemon is the same before and
//! after them.
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::footprint::{Footprint, KernelObjects, resident};
use crate::harness::{
    Daemon, assert_ended_by, bash, command, data_directory, python, scale, seconds, until, until_equal, with,
};
use crate::host;
use crate::http;

/// More than may run at once, so that some wait. No divisor of the number of endings: each meets all of them.
const CLIENTS: usize = 8;
const SETTINGS: &[(&str, &str)] = &[("KILN_API_JOB_MAX_CONCURRENT", "5"), ("KILN_SANDBOX_READY", "0")];
const JOBS: usize = 1000;

/// What the server may have grown by: sled's cache is 32 MiB.
const SERVER_GROWTH_KIB: u64 = 48 << 10;
const SPAWNER_GROWTH_KIB: u64 = 2 << 10;

/// One way to send a job, and how it ends.
#[derive(Clone, Debug)]
enum Ending {
    /// Waited for.
    By(Value, &'static str),
    /// Ended by a client at once, when it may still wait.
    Cancelled,
    /// Ended by a client when it runs.
    CancelledRunning,
    /// The client goes away in the middle of its request: there is no job.
    HalfARequest,
    /// The client goes away before the answer. There is a job where the request was read before.
    NoReader,
    /// The client goes away in the middle of the answer.
    HalfAnAnswer,
}

fn endings(daemon: &Daemon) -> Vec<Ending> {
    let flood = "import sys\nsys.stdout.write('x' * (2 << 20))";
    let abi = "import ctypes\nctypes.CDLL(None).syscall(ctypes.c_long(39 | 0x40000000))";
    let files = "mkdir /work/d /tmp/d; for i in $(seq 50); do echo $i >/work/d/$i; done; ln -s / /bait /tmp/d";
    let daemons = "trap '' TERM HUP INT; for i in 1 2 3; do setsid sleep 1000 & done";
    let forks = "import os, time\nfor _ in range(50):\n    try:\n        os.fork() or time.sleep(1000)\n    except OSError:\n        break";
    let source = |code: &str| json!({"language": "c", "code": code});
    let by = |request, reason| Some(Ending::By(request, reason));
    let compiles = daemon.offers("c");
    let all = [
        by(command(&["true"]), "exited"),
        by(bash("exit 3"), "exited"),
        by(with(command(&["cat"]), json!({"stdin": "x".repeat(100_000)})), "exited"),
        by(bash(files), "exited"),
        by(bash(daemons), "exited"),
        by(with(python(forks), json!({"limits": {"processes": 6}})), "exited"),
        by(with(bash("head -c 20M /dev/zero >/work/full; exit 0"), json!({"limits": {"disk": 8}})), "exited"),
        by(bash("sleep 1000 & kill -STOP $!; kill -KILL $$"), "signaled"),
        by(bash("kill -SEGV $$"), "signaled"),
        by(
            with(bash("ulimit -c 0; exec head -c 4M /dev/zero >large"), json!({"limits": {"file_size": 1}})),
            "signaled",
        ),
        by(command(&["no-such-program"]), "setup_failed"),
        by(with(command(&["sleep", "1000"]), json!({"timeout": 0.2})), "wall_time_limit"),
        by(with(bash("while :; do :; done"), json!({"limits": {"cpu_time": 0.1}})), "cpu_time_limit"),
        by(with(command(&["tail", "/dev/zero"]), json!({"memory_limit": 16})), "memory_limit"),
        by(with(python(flood), json!({"limits": {"output": 1}})), "output_limit"),
        by(python(abi), "seccomp_denied"),
        by(source("int main(void) { return nothing; }"), "compile_failed").filter(|_| compiles),
        by(source("int main(void) { return 0; }"), "exited").filter(|_| compiles),
        Some(Ending::Cancelled),
        Some(Ending::CancelledRunning),
        Some(Ending::HalfARequest),
        Some(Ending::NoReader),
        Some(Ending::HalfAnAnswer),
    ];
    all.into_iter().flatten().collect()
}

impl Ending {
    /// Gives how many jobs came of it for certain.
    fn meet(&self, daemon: &Daemon) -> usize {
        match self {
            Self::By(request, reason) => {
                let status = match *reason {
                    "exited" => "completed",
                    "wall_time_limit" | "cpu_time_limit" => "timeout",
                    _ => "failed",
                };
                assert_ended_by(&daemon.execute(request), reason, status);
            }
            Self::Cancelled => drop(daemon.cancel(&daemon.submit(&command(&["sleep", "1000"])))),
            Self::CancelledRunning => {
                let path = daemon.submit(&bash("echo begun; sleep 1000"));
                let output = format!("GET {path}/output");
                until(seconds(60), "it runs", || {
                    let read = http::text(daemon.address(), &output, seconds(60)).unwrap();
                    (read.1 == "begun\n").then_some(())
                });
                daemon.cancel(&path);
            }
            Self::HalfARequest => {
                go_away(daemon, 1000);
                return 0;
            }
            Self::NoReader => {
                go_away(daemon, 0);
                return 0;
            }
            Self::HalfAnAnswer => read_a_little(daemon, &daemon.execute(&bash("head -c 900K /dev/zero"))),
        }
        1
    }
}

/// Sends a request that lacks so many bytes, and closes the connection.
fn go_away(daemon: &Daemon, missing: usize) {
    let body = bash("sleep 0.1").to_string();
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    let head = "POST /v1/execute HTTP/1.1\r\nhost: kiln\r\ncontent-type: application/json\r\ncontent-length:";
    write!(stream, "{head} {}\r\n\r\n{body}", body.len() + missing).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
}

/// Asks for all output, and closes the connection after a few bytes of it.
fn read_a_little(daemon: &Daemon, job: &Value) {
    let path = job["_links"]["output"]["href"].as_str().unwrap();
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: kiln\r\n\r\n").unwrap();
    stream.read_exact(&mut [0; 1000]).unwrap();
}

/// All endings in turn, by several clients at once. Gives the number of jobs.
fn run(daemon: &Daemon, endings: &[Ending], count: usize) -> usize {
    std::thread::scope(|scope| {
        let client = |client: usize| {
            let mine = (0..count).filter(move |number| number % CLIENTS == client);
            scope.spawn(move || mine.map(|number| endings[number % endings.len()].meet(daemon)).sum::<usize>())
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    })
}

fn total(daemon: &Daemon) -> usize {
    daemon.get("/v1/jobs?limit=1").body["total"].as_u64().unwrap().try_into().unwrap()
}

#[test]
fn a_thousand_jobs_leave_nothing_behind() {
    let data = data_directory();
    let daemon = Daemon::start_on(data.path(), SETTINGS);
    let endings = endings(&daemon);
    // What is opened or reserved at the first use and kept is there now.
    let warm_up = endings.len() * if scale() == 1 { 3 } else { 1 };
    let first = run(&daemon, &endings, warm_up);
    let (before, objects) = (Footprint::at_rest(&daemon), KernelObjects::now());
    let memory = || [resident(daemon.server()), resident(daemon.spawner())];
    let memory_before = memory();
    let count = if scale() == 1 { JOBS } else { endings.len() * 2 };
    let all = first + run(&daemon, &endings, count);
    until_equal(seconds(30), &before, || Footprint::of(&daemon));
    until_equal(seconds(60), &Vec::new(), || KernelObjects::now().leaked_since(&objects, count));
    let memory_after = memory();
    let grown = [0, 1].map(|index| memory_after[index].saturating_sub(memory_before[index]));
    assert!(grown[0] <= SERVER_GROWTH_KIB && grown[1] <= SPAWNER_GROWTH_KIB, "{memory_before:?} {memory_after:?}");
    let recorded = total(&daemon);
    let unread = (warm_up + count).div_ceil(endings.len());
    assert!((all..=all + unread).contains(&recorded), "{recorded} jobs are recorded, {all} were sent");
    assert!(logs(&daemon) <= recorded, "one log a job, none for what never began");
    assert_eq!(daemon.log().matches(" ERROR ").count(), 0, "{}", daemon.log());
    drop(daemon);
    let again = Daemon::start_on(data.path(), SETTINGS);
    assert_eq!(Footprint::at_rest(&again).on_disk(), before.on_disk());
    assert_eq!(total(&again), recorded);
}

fn logs(daemon: &Daemon) -> usize {
    host::paths_below(&daemon.data().join("logs")).iter().filter(|path| path.is_file()).count()
}

/// Made and ended as fast as it goes, which is when the kernel is behind with what is left of each.
#[test]
fn six_hundred_short_jobs_by_eight_clients_leave_nothing_behind() {
    let daemon = Daemon::start(&[("KILN_SANDBOX_READY", "0")]);
    let short = || assert_ended_by(&daemon.execute(&command(&["true"])), "exited", "completed");
    let all = |count: usize| {
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(|| (0..count / 8).for_each(|_| short())))));
    };
    all(80);
    let (before, objects) = (Footprint::at_rest(&daemon), KernelObjects::now());
    let spawner = resident(daemon.spawner());
    let count = if scale() == 1 { 600 } else { 80 };
    all(count);
    until_equal(seconds(30), &before, || Footprint::of(&daemon));
    until_equal(seconds(60), &Vec::new(), || KernelObjects::now().leaked_since(&objects, count));
    let grown = resident(daemon.spawner()).saturating_sub(spawner);
    assert!(grown <= SPAWNER_GROWTH_KIB, "the spawner has {grown} KiB more");
    assert_eq!(total(&daemon), 80 + count);
}

/// A helper frees what is large, and nothing else happens after it that would have it reaped.
#[test]
fn a_large_tree_leaves_no_process_when_nothing_follows() {
    let daemon = Daemon::start(SETTINGS);
    daemon.execute(&bash("head -c 30M /dev/zero >large"));
    Footprint::at_rest(&daemon);
}
