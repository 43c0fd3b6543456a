//! SIGTERM while much goes on: the daemon ends cleanly, in its time, and whoever can be answered is.
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Daemon, assert_ended_by, bash, command, data_directory, measured, scale, seconds, serve, until, until_equal, with,
};
use crate::{host, http};

const WAITING_CLIENTS: u64 = 10;
/// Jobs have ten seconds to end and answers ten to be read (`docs/OPERATIONS.md`), both from the signal on.
const IN_TIME: u64 = 15;

/// A hundred jobs, and fewer on a slow machine.
fn count() -> u64 {
    100_u64.div_ceil(scale()).max(20)
}

fn running(daemon: &Daemon) -> Value {
    daemon.get("/v1/status").body["jobs_running"].clone()
}

/// Asks for much output, takes a little of it, and then nothing more.
fn slow_reader(daemon: &Daemon) -> TcpStream {
    let limits = json!({"limits": {"output": 48}});
    let job = daemon.execute(&with(bash("head -c 40M /dev/zero"), limits));
    let path = job["_links"]["output"]["href"].as_str().unwrap();
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    stream.set_read_timeout(Some(seconds(60))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: kiln\r\n\r\n").unwrap();
    let mut some = [0; 100];
    stream.read_exact(&mut some).unwrap();
    assert!(some.starts_with(b"HTTP/1.1 200"));
    stream
}

#[test]
fn a_stop_with_a_hundred_jobs_is_in_time_and_answers_who_waits() {
    let count = count();
    let text = count.to_string();
    let settings = [("KILN_API_JOB_MAX_CONCURRENT", text.as_str())];
    let mut daemon = Daemon::start(&settings);
    let reader = slow_reader(&daemon);
    let endless = with(command(&["sleep", "1000"]), json!({"timeout": 300}));
    let silent = with(bash("trap '' TERM; echo begun; sleep 1000"), json!({"timeout": 300}));
    let (answers, took) = std::thread::scope(|scope| {
        let ask = || scope.spawn(|| daemon.post(&silent));
        let clients: Vec<_> = (0..WAITING_CLIENTS).map(|_| ask()).collect();
        for _ in WAITING_CLIENTS..count {
            daemon.submit(&endless);
        }
        until(seconds(60), "all of them run", || (running(&daemon) == count).then_some(()));
        Daemon::signal(daemon.server(), Signal::SIGTERM);
        measured(|| clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>())
    });
    for answer in answers {
        assert_eq!(answer.status, 200, "{:#}", answer.body);
        assert_ended_by(&answer.body, "daemon_restart", "failed");
    }
    let (status, rest) = measured(|| daemon.wait());
    let log = daemon.log();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(took + rest <= seconds(IN_TIME), "answers after {took:?}, the end {rest:?} later: {log}");
    assert!(!log.contains(" ERROR ") && !log.contains("panic"), "{log}");
    daemon.assert_gone();
    drop(reader);
    let again = Daemon::start_on(daemon.data(), &settings);
    let restarted = again.get("/v1/jobs?status=failed").body["total"].clone();
    assert_eq!(restarted, count, "every end was recorded before the stop");
    assert!(again.log().contains("queued=0 ended=0"), "{}", again.log());
}

/// What the log of a daemon says after this word.
fn word<'a>(log: &'a str, mark: &str) -> &'a str {
    log.split_once(mark).unwrap().1.split_whitespace().next().unwrap()
}

#[test]
fn a_log_that_nobody_reads_any_more_ends_nothing() {
    let data = data_directory();
    let mut child = serve(data.path(), &[]).spawn().unwrap();
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let mut log = String::new();
    while !log.contains("ready address=") {
        assert!(reader.read_line(&mut log).unwrap() > 0, "{log}");
    }
    drop(reader);
    let address = word(&log, "ready address=").parse().unwrap();
    let answer = http::ask(address, "POST /v1/execute", Some(&bash("echo works")), seconds(60)).unwrap();
    assert_eq!(answer.body["stdout"], "works\n", "{:#}", answer.body);
    Daemon::signal(child.id(), Signal::SIGTERM);
    assert_eq!(until(seconds(30), "it ends", || child.try_wait().unwrap()).code(), Some(0));
    // The spawner says that it ends, and then removes what it has.
    let instance = word(&log, "instance=");
    until_equal(seconds(10), &Vec::new(), || host::cgroups_of(instance));
}
