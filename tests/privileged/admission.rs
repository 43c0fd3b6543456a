//! What the daemon takes in and what it refuses, and the privileges that it gives up before it listens.
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{
    Daemon, bash, data_directory, printed, seconds, serve, shared, timeout, until, until_equal, with,
};
use crate::held::Held;
use crate::host;

const NO_CAPABILITY: &str = "0000000000000000";

#[test]
fn a_request_that_does_not_wait_is_answered_with_202_and_where_to_look() {
    let daemon = shared();
    let answer = daemon.post(&with(bash("echo later"), json!({"async": true, "timeout": timeout(30)})));
    assert_eq!(answer.status, 202, "{:#}", answer.body);
    let path = answer.header("location").unwrap();
    assert_eq!(path, format!("/v1/jobs/{}", answer.body["job_id"].as_str().unwrap()));
    assert!(["pending", "running"].map(Value::from).contains(&answer.body["status"]), "{:#}", answer.body);
    assert_eq!(printed(&daemon.wait_for_status(path, "completed")), "later\n");
}

#[test]
fn a_full_queue_is_a_503_that_says_when_to_come_again() {
    let daemon = Daemon::start(&[("KILN_API_JOB_MAX_CONCURRENT", "1"), ("KILN_API_JOB_MAX_QUEUED", "1")]);
    let held = Held::start(&daemon, "", "");
    let waiting = daemon.submit(&bash("echo waited"));
    assert_eq!(daemon.get(&waiting).body["status"], "pending");
    let answer = daemon.post(&bash("echo refused"));
    assert_eq!((answer.status, &answer.body["error"]["code"]), (503, &json!("SERVICE_UNAVAILABLE")));
    assert_eq!(answer.body["error"]["message"], "the queue is full");
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    held.release();
    assert_eq!(printed(&daemon.wait_for_status(&waiting, "completed")), "waited\n");
    assert_eq!(printed(&daemon.execute(&bash("echo again"))), "again\n");
}

#[test]
fn not_more_jobs_run_at_once_than_are_allowed() {
    let daemon = Daemon::start(&[("KILN_API_JOB_MAX_CONCURRENT", "2"), ("KILN_SANDBOX_READY", "0")]);
    let (first, second) = (Held::start(&daemon, "", ""), Held::start(&daemon, "", ""));
    let third = daemon.submit(&bash("echo third"));
    let load = daemon.get("/v1/status").body;
    assert_eq!((&load["jobs_running"], &load["jobs_queued"]), (&json!(2), &json!(1)));
    // Two times init and a program; those that looked for the languages may just be ending.
    until_equal(seconds(30), &4, || host::descendants(daemon.spawner()).len());
    first.release();
    assert_eq!(printed(&daemon.wait_for_status(&third, "completed")), "third\n");
    second.release();
}

/// Each with a ceiling that differs from the default, so that it is the setting that is in force.
#[test]
fn a_limit_above_its_ceiling_is_a_400_that_names_limit_asked_and_ceiling() {
    let table = [
        ("timeout", "MAX_TIMEOUT", 41, " s"),
        ("memory_limit", "MAX_MEMORY", 43, " MiB"),
        ("limits.cpu_time", "MAX_CPU_TIME", 47, " s"),
        ("limits.cpus", "MAX_CPUS", 3, ""),
        ("limits.processes", "MAX_PROCESSES", 53, ""),
        ("limits.open_files", "MAX_OPEN_FILES", 59, ""),
        ("limits.file_size", "MAX_FILE_SIZE", 61, " MiB"),
        ("limits.disk", "MAX_DISK", 13, " MiB"),
        ("limits.output", "MAX_OUTPUT", 17, " MiB"),
        ("limits.compile_timeout", "MAX_COMPILE_TIMEOUT", 19, " s"),
        ("limits.compile_memory", "MAX_COMPILE_MEMORY", 67, " MiB"),
    ];
    let settings = table.map(|(_, key, ceiling, _)| (format!("KILN_API_JOB_{key}"), ceiling.to_string()));
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let daemon = Daemon::start(&settings);
    for (name, _, ceiling, unit) in table {
        let of = |amount: i32| match name.strip_prefix("limits.") {
            Some(inside) => json!({"limits": {inside: amount}}),
            None => json!({name: amount}),
        };
        for refused in [ceiling + 1, 0, -1] {
            let answer = daemon.post(&with(bash(":"), of(refused)));
            assert_eq!((answer.status, &answer.body["error"]["code"]), (400, &json!("INVALID_REQUEST")), "{name}");
            let details = &answer.body["error"]["details"];
            assert_eq!((details.as_array().unwrap().len(), &details[0]["field"]), (1, &json!(name)), "{details}");
            let message = details[0]["message"].as_str().unwrap();
            let told = format!("{refused}{unit} was asked for, the ceiling is {ceiling}{unit}");
            assert!(message.starts_with(&told), "{name}: {message}");
        }
        let answer = daemon.post(&with(with(bash(":"), of(ceiling)), json!({"async": true})));
        assert_eq!(answer.status, 202, "{name} at its ceiling: {:#}", answer.body);
        daemon.wait_for_status(answer.header("location").unwrap(), "completed");
    }
}

/// Every thread: privileges are a thread's own (capabilities(7)).
/// Services are started with 1,024 (systemd.exec(5)), and so is every daemon here. 1,024 connections, two logs each, and
/// 500 jobs with two pipes and a log each need more.
#[test]
fn the_server_may_open_what_its_bounds_allow() {
    let daemon = shared();
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.server())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let soft: u64 = line.split_whitespace().next().unwrap().parse().unwrap();
    assert!(soft >= 3 * 1024 + 3 * 500, "{line}");
}

#[test]
fn the_server_holds_no_privilege() {
    let daemon = shared();
    let user = host::status(daemon.server(), "Uid");
    let ids: Vec<&str> = user.split(' ').collect();
    assert!(ids.len() == 4 && ids.iter().all(|id| *id != "0"), "{user}");
    let threads = fs::read_dir(format!("/proc/{}/task", daemon.server())).unwrap();
    let threads: Vec<u32> =
        threads.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    assert!(threads.len() > 1, "it has a runtime of several threads");
    for thread in threads {
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(host::status(thread, set), NO_CAPABILITY, "{set}");
        }
        assert_eq!((host::status(thread, "Uid"), host::status(thread, "Groups")), (user.clone(), String::new()));
        assert!(!host::status(thread, "Gid").split(' ').any(|id| id == "0"));
        assert_eq!(host::status(thread, "NoNewPrivs"), "1");
    }
}

/// `docs/SECURITY.md`, "The walls": root with 14 capabilities, one thread, no environment, mounts of its own.
#[test]
fn the_spawner_keeps_only_what_it_needs() {
    // CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID, SETPCAP, NET_ADMIN, SYS_CHROOT, SYS_PTRACE,
    // SYS_ADMIN, SYS_RESOURCE, MKNOD, SETFCAP (linux/capability.h).
    const KEPT: [u64; 14] = [0, 1, 3, 5, 6, 7, 8, 12, 18, 19, 21, 24, 27, 31];
    let daemon = Daemon::start(&[("KILN_SANDBOX_READY", "0")]);
    let spawner = daemon.spawner();
    let kept = KEPT.iter().fold(0, |sum, bit| sum | 1_u64 << bit);
    let held = |process, set| u64::from_str_radix(&host::status(process, set), 16).unwrap();
    let ours = held(std::process::id(), "CapPrm");
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(held(spawner, set), kept & ours, "{set}");
    }
    assert_eq!((held(spawner, "CapInh"), held(spawner, "CapAmb")), (0, 0));
    assert_eq!(host::status(spawner, "Threads"), "1");
    assert_eq!(fs::read(format!("/proc/{spawner}/environ")).unwrap(), b"");
    assert_eq!(fs::read_link(format!("/proc/{spawner}/cwd")).unwrap(), Path::new("/"));
    assert_ne!(host::namespaces("mnt", [spawner]), host::namespaces("mnt", [std::process::id()]));
    // The sandboxes of the start end a little after the daemon is ready.
    until(seconds(60), "the server has the spawner below it, and nothing else", || {
        let below = host::descendants(daemon.server());
        (below == BTreeSet::from([spawner])).then_some(())
    });
}

/// The two programs where a user who is not root can start them: the folders above them may be closed.
fn programs(folder: &Path) -> PathBuf {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    for built in [env!("CARGO_BIN_EXE_kiln"), env!("CARGO_BIN_EXE_kiln-spawner")] {
        let copy = folder.join(Path::new(built).file_name().unwrap());
        fs::copy(built, &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder.join("kiln")
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the program under test is started here")]
fn who_is_not_root_gets_69_and_the_lines_of_the_doctor() {
    let folder = data_directory();
    let mut command = Command::new(programs(folder.path()));
    command.arg("serve").env_clear().env("PATH", "/usr/bin:/bin").env("RUST_BACKTRACE", "1").current_dir("/");
    command.envs([("KILN_API_AUTH_ENABLED", "false"), ("KILN_API_PORT", "0"), ("KILN_DATA_DIR", "/nowhere")]);
    let output = command.uid(65534).gid(65534).stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(69), &b""[..]), "{told}");
    let line = |start: &str| told.lines().find(|line| line.starts_with(start)).map(str::to_owned);
    let root = line("FAIL root: ").unwrap();
    assert!(root.contains("uid 65534") && root.contains("run as root (sudo)"), "{root}");
    assert!(line("FAIL capabilities: missing ").unwrap().contains("SYS_ADMIN"), "{told}");
    assert!(line("ok   architecture: x86_64").is_some(), "{told}");
    for word in ["panicked", "backtrace", "src/"] {
        assert!(!told.contains(word), "{told}");
    }
}

#[test]
fn a_second_daemon_on_the_same_data_is_refused_and_disturbs_nothing() {
    let daemon = Daemon::start(&[]);
    let held = Held::start(&daemon, "", "print('undisturbed')");
    let output = serve(daemon.data(), &[]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{told}");
    assert!(!told.contains("panicked"), "{told}");
    assert_eq!(printed(&held.release()), "undisturbed\n");
}

#[test]
fn a_data_directory_of_somebody_else_is_refused() {
    let data = data_directory();
    fs::create_dir(data.path().join("theirs")).unwrap();
    let output = serve(data.path(), &[]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{told}");
    assert!(told.contains("belongs to user 0 and is not empty"), "{told}");
    assert!(told.contains("chown -R"), "it says what to do: {told}");
}
