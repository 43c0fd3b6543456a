//! `kiln verify`: every attempt is stopped on a live daemon, and what is not stopped is told and has a code of its own.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use kiln::job::termination::{Reason, Termination};
use kiln::selftest::{ALL_BRIEF, BRIEF, EXHAUSTION, PROBE, Verdict, judge, lines};
use serde_json::{Value, json};

use crate::cli::{Local, assert_fails, kiln, open_folder, program, told};
use crate::harness::{seconds, until};

#[test]
fn every_attempt_is_stopped_on_a_live_daemon_and_only_one_self_test_is_made_at_a_time() {
    let local = Local::start();
    let mut first = local.kiln(&["verify", "--json"]);
    let first = first.spawn().unwrap();
    let running = || local.json(&["jobs", "--json"])["total"].as_u64().filter(|total| *total > 0);
    until(seconds(60), "the self-test has a job", running);
    assert_fails(&mut local.kiln(&["verify"]), 1, &["CONFLICT", "under way"]);
    let output = first.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let not_stopped: Vec<&Value> = attempts(&report).filter(|attempt| attempt["verdict"] != "stopped").collect();
    assert!(not_stopped.is_empty(), "{not_stopped:#?}");
    assert_eq!((output.status.code(), told(&output).as_str()), (Some(0), ""));
    let names: Vec<&str> = attempts(&report).map(|attempt| attempt["name"].as_str().unwrap()).collect();
    let alone = EXHAUSTION.iter().map(|row| &row.attempt);
    assert_eq!(names, BRIEF.iter().chain(alone).map(|attempt| attempt.name).collect::<Vec<_>>());
    let jobs: BTreeSet<&str> = attempts(&report).map(|attempt| attempt["job_id"].as_str().unwrap()).collect();
    assert_eq!(jobs.len(), 1 + EXHAUSTION.len());
    assert_eq!(local.json(&["jobs", "--json"])["total"], jobs.len(), "they are jobs like any others");
    let bomb = attempts(&report).find(|attempt| attempt["name"] == "fork-bomb").unwrap();
    let job = local.json(&["job", "--json", bomb["job_id"].as_str().unwrap()]);
    assert_eq!(job["termination"]["limits_hit"], json!(["processes"]), "{job:#}");
    assert_eq!(report["isolation"], local.daemon.get("/v1/capabilities").body["isolation"]);
}

#[test]
fn the_table_ends_with_the_verdict() {
    let local = Local::shared();
    let text = local.printed(&["verify"]);
    let last = text.lines().last().unwrap();
    let all = BRIEF.len() + EXHAUSTION.len();
    assert!(last.starts_with(&format!("The sandbox holds: all {all} attempts were stopped")), "{last}");
    assert!(text.contains("seccomp profile  job\n") && text.contains("limits by        cgroup v"), "{text}");
}

#[test]
fn an_attempt_that_got_through_or_was_not_made_has_a_code_of_its_own() {
    let report = |conclusion: &str, verdict: &str| {
        let attempt = json!({"name": "mount", "tries": "mount a tmpfs", "verdict": verdict, "how": "", "layers": []});
        json!({"conclusion": conclusion, "attempts": [attempt], "counts": {verdict: 1}})
    };
    for (report, code, last) in [
        (report("holds", "stopped"), 0, "The sandbox holds: all 1 attempts"),
        (report("broken", "got_through"), 3, "THE SANDBOX DOES NOT HOLD: 1 of 1 attempts got through."),
        (report("unproven", "unexpected"), 4, "Not shown: of 1 attempts 1 failed in another way"),
        (report("unproven", "not_tried"), 4, "Not shown: of 1 attempts 0 failed in another way"),
    ] {
        for arguments in [&["verify"][..], &["verify", "--json"]] {
            let (status, text) = answered(arguments, &report);
            assert_eq!(status, Some(code), "{text}");
            assert!(arguments.len() > 1 || text.lines().last().unwrap().starts_with(last), "{text}");
        }
    }
}

/// The same program and the same judgement, without a sandbox: what is judged to be a wall is not one everywhere.
#[test]
fn the_same_attempts_get_through_where_there_is_no_sandbox() {
    let folder = open_folder();
    let path = folder.path().join("probe");
    write(&path);
    let mut command = program(&path);
    command.arg(ALL_BRIEF).uid(65534).gid(65534).current_dir("/");
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
        command.arg(fs::read_link(format!("/proc/self/ns/{kind}")).unwrap());
    }
    let output = command.output().unwrap();
    let said = lines(&output.stdout);
    let end = Termination::without_exit(Reason::Exited, None);
    let judged: BTreeMap<&str, Verdict> =
        BRIEF.iter().map(|attempt| (attempt.name, judge(attempt, &said, &end).0)).collect();
    let mut through = vec![("share-", 8), ("sync", 1), ("proc-cmdline", 1)];
    // The tests may themselves run where a filter is in force: in a container, say.
    if own_status("Seccomp") == "0" {
        through.extend([("seccomp-filter", 1), ("personality", 1), ("adjtimex", 1)]);
    }
    if own_status("NoNewPrivs") == "0" {
        through.push(("no-new-privileges", 1));
    }
    for (name, count) in through {
        let got_through =
            judged.iter().filter(|(other, verdict)| other.starts_with(name) && **verdict == Verdict::GotThrough);
        assert!(got_through.count() >= count, "{name}: {judged:#?}");
    }
    let tried = judged.values().filter(|verdict| **verdict != Verdict::NotTried).count();
    assert_eq!((output.status.code(), tried), (Some(0), BRIEF.len()), "{judged:#?}");
}

/// What `/proc/self/status` says of the tests themselves (`proc_pid_status(5)`).
fn own_status(field: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field}: {status}")).trim().to_owned()
}

fn attempts(report: &Value) -> impl Iterator<Item = &Value> {
    report["attempts"].as_array().unwrap().iter()
}

/// How a command ends, and what it prints, that is answered this.
fn answered(arguments: &[&str], report: &Value) -> (Option<i32>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let child = kiln(Path::new(&url), arguments).spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    assert!(request.next().unwrap().starts_with("POST /v1/admin/selftest "));
    assert!(request.any(|line| line.is_empty()), "the request has a head");
    let body = report.to_string();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[expect(clippy::disallowed_methods, reason = "a file of the test's own, which nobody reads yet")]
fn write(path: &Path) {
    fs::write(path, PROBE).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
