//! Jobs by their ids, and what is refused.
use std::io;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::cli::{Local, assert_fails, ended, told};
use crate::harness::{Daemon, seconds, timeout, until};
use crate::held;

#[test]
fn a_job_that_is_left_running_is_looked_after_by_its_id() {
    let local = Local::shared();
    let mark = held::new_mark();
    let program = held::program(&mark, "print('begun', flush=True)", "print('over')");
    let code = program["code"].as_str().unwrap();
    let arguments = ["run", "--detach", "-l", "python", "-c", code, "-t", "300", "--cpu-time", "300", "--arg", &mark];
    let id = local.printed(&arguments);
    let id = id.trim();
    let process = until(seconds(60), "the program is held", || held::process_called("held", &mark));
    assert!(local.printed(&["jobs", "--status", "running"]).contains(id));
    assert!(local.printed(&["job", id]).contains("running"));
    assert_eq!(local.printed(&["logs", id]), "begun\n");
    assert_fails(&mut local.kiln(&["rm", id]), 1, &["CONFLICT", "cancel it first"]);
    let mut following = local.kiln(&["logs", "--follow", id]).spawn().unwrap();
    Daemon::signal(process, Signal::SIGUSR1);
    assert_eq!(ended(&mut following), Some(0));
    assert_eq!(io::read_to_string(following.stdout.take().unwrap()).unwrap(), "begun\nover\n");
    assert_eq!(local.printed(&["logs", "--stream", "stderr", id]), "");
    assert_fails(&mut local.kiln(&["cancel", id]), 1, &["CONFLICT"]);
    assert_eq!(local.printed(&["rm", id]), "");
    assert_fails(&mut local.kiln(&["job", id]), 1, &["NOT_FOUND"]);
}

#[test]
fn a_job_is_cancelled_by_its_id() {
    let local = Local::shared();
    let id = local.printed(&["run", "-d", "-l", "bash", "-c", "sleep 300", "-t", "300"]);
    let cancelled = local.json(&["cancel", "--json", id.trim()]);
    assert_eq!(cancelled["job_id"], id.trim());
    until(seconds(60), "the job has ended", || local.printed(&["job", id.trim()]).contains("cancelled").then_some(()));
}

#[test]
fn json_is_the_job_and_nothing_else() {
    let local = Local::shared();
    let seconds = timeout(30).to_string();
    let output = local.kiln(&["run", "--json", "-t", &seconds, "-l", "bash", "-c", "echo a; exit 3"]).output().unwrap();
    let job: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((job["stdout"].as_str(), job["exit_code"].as_u64()), (Some("a\n"), Some(3)));
    assert_eq!((output.status.code(), told(&output).as_str()), (Some(3), ""));
    for (command, member) in [("languages", "runtimes"), ("status", "health"), ("jobs", "jobs")] {
        assert!(local.json(&[command, "--json"]).get(member).is_some(), "{command}");
    }
}

#[test]
fn tables_have_no_colours_where_nobody_sees_them() {
    let local = Local::shared();
    local.printed(&["run", "-l", "bash", "-c", ":"]);
    for command in ["jobs", "status", "languages"] {
        let text = local.printed(&[command]);
        assert!(text.lines().count() > 1 && !text.contains('\u{1b}'), "{command}: {text}");
    }
}

#[test]
fn a_faulty_request_is_answered_with_every_fault() {
    let local = Local::shared();
    let mut command = local.kiln(&["run", "-l", "python", "-c", "1", "-m", "99999999", "--disk", "0", "-e", "=x"]);
    assert_fails(&mut command, 125, &["INVALID_REQUEST", "\n  memory_limit: ", "\n  limits.disk: ", "\n  environment"]);
    assert_fails(&mut local.kiln(&["run", "-l", "cobol", "-c", "1"]), 125, &["unknown language `cobol`; known: "]);
    assert_fails(&mut local.kiln(&["jobs", "--limit", "0"]), 1, &["limit"]);
    assert_fails(&mut local.kiln(&["job", "../status"]), 2, &["no id of a job", "kiln jobs"]);
    assert_fails(&mut local.kiln(&["job", "job_1"]), 1, &["NOT_FOUND"]);
}
