//! What a program was given and what came out: bytes exactly, ends truly.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{assert_ended_by, assert_limits_hit, bash, command, execute, printed, python, shared, with};

#[test]
fn an_exit_code_is_shown_whatever_it_is() {
    for code in [0, 1, 42, 255] {
        let job = execute(&bash(&format!("exit {code}")));
        assert_ended_by(&job, "exited", "completed");
        assert_eq!((&job["exit_code"], &job["termination"]["exit_code"]), (&json!(code), &json!(code)));
        assert_limits_hit(&job, &[]);
    }
}

#[test]
fn a_signal_that_ended_the_program_is_named() {
    for name in ["SIGSEGV", "SIGABRT", "SIGKILL", "SIGTERM", "SIGBUS"] {
        let job = execute(&bash(&format!("kill -{name} $$")));
        assert_ended_by(&job, "signaled", "failed");
        assert_eq!((&job["termination"]["signal"], &job["exit_code"]), (&json!(name), &Value::Null), "{job:#}");
    }
}

#[test]
fn a_null_pointer_is_a_sigsegv() {
    let job = execute(&python("import ctypes\nctypes.string_at(0)"));
    assert_eq!(job["termination"]["signal"], "SIGSEGV", "{job:#}");
}

#[test]
fn a_program_that_is_not_there_is_a_failed_setup() {
    let programs =
        [("/nowhere/program", "ENOENT"), ("no-such-program", "ENOENT"), ("/etc/passwd", "EACCES"), ("/work", "EACCES")];
    for (program, errno) in programs {
        let job = execute(&command(&[program]));
        assert_ended_by(&job, "setup_failed", "failed");
        assert_eq!((&job["exit_code"], &job["termination"]["signal"]), (&Value::Null, &Value::Null), "{job:#}");
        let message = job["termination"]["message"].as_str().unwrap();
        assert!(message.contains("could not be started") && message.contains(errno), "{program}: {message}");
    }
}

#[test]
fn both_streams_are_kept_apart() {
    let job = execute(&bash("echo out; echo err >&2; printf more"));
    assert_eq!((&job["stdout"], &job["stderr"]), (&json!("out\nmore"), &json!("err\n")));
    assert_eq!((&job["stdout_bytes"], &job["stderr_bytes"]), (&json!(8), &json!(4)));
    assert!(job.get("stdout_base64").is_none(), "{job:#}");
}

#[test]
fn output_that_is_not_utf8_is_kept_byte_for_byte() {
    let all: Vec<u8> = (0..=255).collect();
    let job = execute(&python("import os\nos.write(1, bytes(range(256)))\nos.write(2, b'\\xff')"));
    assert_eq!(STANDARD.decode(job["stdout_base64"].as_str().unwrap()).unwrap(), all);
    assert_eq!((&job["stdout_bytes"], &job["stdout"]), (&json!(256), &json!(String::from_utf8_lossy(&all))));
    assert_eq!((&job["stderr_base64"], &job["stderr"]), (&json!("/w=="), &json!("\u{fffd}")));
}

#[test]
fn long_output_shows_its_head_and_tail() {
    let job = execute(&python("import sys\nsys.stdout.write('a' + 'x' * (3 << 20) + 'z')"));
    assert_eq!((&job["stdout_truncated"], &job["stdout_bytes"]), (&json!(true), &json!((3 << 20) + 2)));
    let shown = job["stdout"].as_str().unwrap();
    assert!(shown.starts_with("ax") && shown.ends_with("xz") && shown.len() <= 1 << 20, "{}", shown.len());
}

#[test]
fn output_of_a_child_that_is_still_there_at_the_end_is_kept() {
    let job = execute(&bash("(echo child) & wait; (sleep 1000; echo late) & echo parent"));
    assert_eq!(printed(&job), "child\nparent\n");
}

#[test]
fn without_stdin_there_is_end_of_file_at_once() {
    assert_eq!(printed(&execute(&command(&["cat"]))), "");
}

#[test]
fn stdin_arrives_byte_for_byte() {
    assert_eq!(printed(&execute(&with(command(&["cat"]), json!({"stdin": "äöü\nno end"})))), "äöü\nno end");
    let bytes: Vec<u8> = (0..=255).cycle().take(700_000).collect();
    let coded = STANDARD.encode(&bytes);
    let job = execute(&with(command(&["cat"]), json!({"stdin_base64": coded})));
    assert_eq!(STANDARD.decode(job["stdout_base64"].as_str().unwrap()).unwrap(), bytes);
}

#[test]
fn stdin_need_not_be_read() {
    let text = "x".repeat(2 << 20);
    assert_eq!(printed(&execute(&with(bash("echo done"), json!({"stdin": text})))), "done\n");
}

#[test]
fn stdin_can_be_opened_again_by_its_name() {
    assert_eq!(printed(&execute(&with(command(&["cat", "/dev/stdin"]), json!({"stdin": "in"})))), "in");
    assert_eq!(printed(&execute(&bash("echo out >/dev/stdout"))), "out\n");
}

#[test]
fn arguments_arrive_as_they_were_given() {
    let args = json!({"args": ["one", "", "two words", "$HOME *", "ä\n"]});
    let job = execute(&with(python("import sys\nprint(sys.argv[1:])"), args.clone()));
    assert_eq!(printed(&job), "['one', '', 'two words', '$HOME *', 'ä\\n']\n");
    let job = execute(&with(command(&["printf", "<%s>"]), args));
    assert_eq!(printed(&job), "<one><><two words><$HOME *><ä\n>");
}

#[test]
fn the_environment_is_what_was_asked_for_and_four_variables() {
    let job = execute(&with(command(&["env"]), json!({"environment": {"B": "2 words", "A": ""}})));
    let mut lines: Vec<&str> = printed(&job).lines().collect();
    lines.sort_unstable();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(lines, ["A=", "B=2 words", "HOME=/work", "LANG=C.UTF-8", path, "USER=kiln"]);
}

#[test]
fn usage_is_counted() {
    let job = execute(&python("import time\nx = b'x' * (20 << 20)\ntime.sleep(0.1)"));
    let of = |name: &str| job["usage"][name].as_u64();
    assert!(of("wall_us").unwrap() >= 100_000, "{job:#}");
    assert!(of("cpu_user_us").unwrap() + of("cpu_system_us").unwrap() > 0, "{job:#}");
    assert!(of("memory_peak_bytes").is_none_or(|bytes| bytes >= 20 << 20), "{job:#}");
    assert!(of("setup_us").unwrap() > 0 && of("queue_us").is_some(), "{job:#}");
}

#[test]
fn a_job_that_was_accepted_can_be_followed_to_its_end() {
    let daemon = shared();
    let path = daemon.submit(&bash("echo followed"));
    let job = daemon.wait_for_status(&path, "completed");
    assert_eq!(printed(&job), "followed\n");
    assert_eq!(job["_links"]["self"]["href"], path);
}
