//! The hostile corpus: every program of `tests/hostile`, run on a live daemon, must end as the manifest says, and leave
//! the host, the daemon, a job beside it and the job after it unharmed.
//!
//! One test a family, each with a daemon of its own. Not here: what a server can do that was taken over (`hostile`), what
//! one job leaves to the next (`carryover`).
mod calls;
mod guard;
mod manifest;
mod programs;

use serde_json::{Value, json};

use self::guard::Guard;
use self::manifest::{Attempt, Family};
use self::programs::Programs;
use crate::harness::{Daemon, scale, with};

/// Of a job without a time of its own; a slow machine takes longer to begin.
const PATIENT: u64 = 60;

fn start() -> Daemon {
    Daemon::start(&[("KILN_API_JOB_MAX_CONCURRENT", "2"), ("KILN_SANDBOX_READY", "0")])
}

fn run_family(family: Family) {
    let attempts: Vec<Attempt> = manifest::attempts().into_iter().filter(|attempt| attempt.family == family).collect();
    assert!(!attempts.is_empty(), "no attempts of {family:?}");
    let programs = Programs::compile();
    let daemon = start();
    let mut guard = Guard::start(&daemon);
    for attempt in attempts {
        let job = daemon.execute(&request(&attempt, &programs, &guard));
        check(&attempt, &job, guard.secret());
        guard.assert_unharmed();
    }
    guard.end();
}

fn request(attempt: &Attempt, programs: &Programs, guard: &Guard<'_>) -> Value {
    let args: Vec<String> = attempt.args.iter().map(|word| guard.argument(word)).collect();
    let mut more = if attempt.request.is_null() { json!({}) } else { attempt.request.clone() };
    let timeout = more["timeout"].as_u64().map_or(PATIENT, |asked| asked * scale().div_ceil(4));
    more["timeout"] = json!(timeout);
    with(with(programs.request(attempt), json!({"args": args})), more)
}

/// How it ended, what it hit and all that it said.
#[track_caller]
fn check(attempt: &Attempt, job: &Value, secret: &str) {
    let name = &attempt.name;
    let end = &job["termination"];
    let reason = end["reason"].as_str().unwrap();
    assert!(attempt.ends.iter().any(|right| right == reason), "{name}: {job:#}");
    if reason == "exited" {
        assert_eq!(job["exit_code"], json!(attempt.exit), "{name}: {job:#}");
    }
    // Of two limits that may both end it, the other one may be hit too.
    let other = |hit: &&str| attempt.ends.contains(&format!("{hit}_limit"));
    let hits: Vec<&str> = end["limits_hit"].as_array().unwrap().iter().map(|hit| hit.as_str().unwrap()).collect();
    assert_eq!(hits.into_iter().filter(|hit| !other(hit)).collect::<Vec<_>>(), attempt.hits, "{name}: {job:#}");
    let output = job["stdout"].as_str().unwrap();
    if let Some(says) = &attempt.says {
        assert_eq!(&output.lines().collect::<Vec<_>>(), says, "{name}: {job:#}");
    }
    let told = |stream: &str| job[stream].as_str().unwrap().contains(secret);
    assert!(!told("stdout") && !told("stderr"), "{name}: what is secret was told");
}

#[test]
fn attempts_by_processes_are_stopped() {
    run_family(Family::Processes);
}

#[test]
fn attempts_by_memory_are_stopped() {
    run_family(Family::Memory);
}

#[test]
fn attempts_by_time_are_stopped() {
    run_family(Family::Time);
}

#[test]
fn attempts_by_output_are_stopped() {
    run_family(Family::Output);
}

#[test]
fn attempts_by_disk_are_stopped() {
    run_family(Family::Disk);
}

#[test]
fn attempts_on_the_kernel_are_stopped() {
    run_family(Family::Kernel);
}

#[test]
fn attempts_by_mounts_and_namespaces_are_stopped() {
    run_family(Family::Mounts);
}

#[test]
fn attempts_on_others_are_stopped() {
    run_family(Family::Others);
}

#[test]
fn attempts_on_the_host_are_stopped() {
    run_family(Family::Host);
}

/// What the API itself refuses: it never comes to a sandbox.
#[test]
fn what_no_program_can_be_given_is_refused() {
    let daemon = start();
    let mut guard = Guard::start(&daemon);
    let many: serde_json::Map<String, Value> =
        (0..100_000).map(|n| (format!("NAME_{n}"), json!("x".repeat(64)))).collect();
    let requests = [
        (400, json!({"args": ["x".repeat(128 << 10)]})),
        (400, json!({"environment": {"NAME": "x".repeat(128 << 10)}})),
        (400, json!({"environment": many})),
        (400, json!({"args": vec!["x".repeat(100 << 10); 50]})),
        (413, json!({"args": vec!["x".repeat(100 << 10); 100]})),
    ];
    for (status, more) in requests {
        let answer = daemon.post(&with(json!({"image": "host", "command": ["true"]}), more));
        assert_eq!(answer.status, status, "{:#}", answer.body);
    }
    guard.assert_unharmed();
    guard.end();
}
