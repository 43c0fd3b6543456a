//! `kiln bench` against a real daemon: what it measures, what it says, and that it leaves nothing.
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{Local, ended, signal, told};
use crate::harness::{Daemon, seconds, until};

fn is_empty(folder: &Path) -> bool {
    folder.read_dir().unwrap().next().is_none()
}

fn cell<'a>(told: &'a Value, workload: &str, load: &Value, who: &str) -> &'a Value {
    let cells = told["cells"].as_array().unwrap();
    let found = cells.iter().find(|cell| cell["workload"] == workload && cell["load"] == *load && cell["who"] == who);
    found.unwrap_or_else(|| panic!("no cell {workload}, {load}, {who}: {told:#}"))
}

#[test]
fn every_job_that_was_asked_for_is_measured() {
    let (local, folder) = (Local::start(), tempfile::tempdir().unwrap());
    let words = "bench --json --workload http,true --clients 1,2 --jobs 4 --rounds 2 --idle 0.01 --burst 3 --half-load \
                 --against bare";
    let mut command = local.kiln(&words.split_whitespace().collect::<Vec<_>>());
    let output = command.env("TMPDIR", folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (load, jobs) in [(json!({"clients": 2}), 8), (json!({"idle_s": 0.01}), 6), (json!({"burst": 3}), 6)] {
        for (workload, who) in [("true", "kiln"), ("true", "bare"), ("http", "kiln")] {
            let cell = cell(&told, workload, &load, who);
            assert_eq!((&cell["jobs"], &cell["failed"]), (&json!(jobs), &json!(0)), "{cell:#}");
            let [p50, p99, max] = ["p50_ms", "p99_ms", "max_ms"].map(|name| cell[name].as_f64().unwrap());
            assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{cell:#}");
        }
        let parts = &cell(&told, "true", &load, "kiln")["parts"];
        for part in ["accept", "queue", "prepare", "setup", "run", "reap", "record", "total"] {
            assert_eq!(parts[part]["count"], jobs, "{part}: {parts:#}");
        }
    }
    let half = told["cells"].as_array().unwrap().last().unwrap();
    assert_eq!((&half["workload"], &half["jobs"]), (&json!("true"), &json!(8)), "{half:#}");
    let goals = told["goals"].as_array().unwrap();
    assert!(goals.iter().any(|goal| goal["name"] == "true: p50 after idleness, to that without"), "{goals:#?}");
    assert!(is_empty(folder.path()));
}

#[test]
fn a_job_that_is_refused_is_said_and_changes_the_code() {
    let daemon = Daemon::start(&[("KILN_API_JOB_MAX_CONCURRENT", "1"), ("KILN_API_JOB_MAX_QUEUED", "1")]);
    let server = format!("http://{}", daemon.address());
    let words = ["bench", "--workload", "true", "--clients", "8", "--jobs", "16", "--rounds", "1"];
    let output = super::kiln(Path::new(&server), &words).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        told(&output).contains("kiln, true, 8 clients: ") && told(&output).contains("queue is full"),
        "{}",
        told(&output)
    );
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("WORKLOAD"));
}

#[test]
fn an_end_before_the_end_leaves_nothing() {
    let (local, folder) = (Local::shared(), tempfile::tempdir().unwrap());
    let words = ["bench", "--workload", "true", "--clients", "1", "--seconds", "600", "--rounds", "1"];
    let mut child = local.kiln(&words).env("TMPDIR", folder.path()).spawn().unwrap();
    until(seconds(30), "it has begun", || (!is_empty(folder.path())).then_some(()));
    signal(&child, Signal::SIGINT);
    assert_eq!(ended(&mut child), Some(130));
    assert!(is_empty(folder.path()));
}

#[test]
fn without_a_folder_or_a_daemon_nothing_is_measured() {
    let (local, folder) = (Local::shared(), tempfile::tempdir().unwrap());
    // Nothing can be made below a file, and nothing was.
    let file = folder.path().join("file");
    std::fs::File::create(&file).unwrap();
    let words = ["bench", "--workload", "true", "--clients", "1", "--jobs", "1", "--rounds", "1"];
    super::assert_fails(local.kiln(&words).env("TMPDIR", &file), 70, &["file"]);
    let elsewhere = folder.path().join("none.sock");
    super::assert_fails(&mut super::kiln(&elsewhere, &words), 69, &["there is no socket"]);
}
