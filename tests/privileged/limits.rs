//! Every limit, and how a job that goes for it ends (contract rules 5 and 6): what ended it, what
//! else was hit, what the limit was and what was observed.
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Daemon, assert_ended_by, assert_limits_hit, bash, command, execute, printed, python, seconds, timeout, until, with,
};
use crate::host;

const MIB: u64 = 1 << 20;

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// Microseconds that it was computing.
fn processor_time(job: &Value) -> u64 {
    number(&job["usage"]["cpu_user_us"]) + number(&job["usage"]["cpu_system_us"])
}

/// The job was killed, and `termination.limit` says by which limit, in the unit it is asked for in.
#[track_caller]
fn assert_killed_at(job: &Value, name: &str, limit: u64) {
    // The memory controller counts in batches of pages, and may stop a little below.
    let end = &job["termination"];
    assert_eq!((&job["exit_code"], &end["exit_code"]), (&Value::Null, &Value::Null), "{job:#}");
    assert_eq!((&end["limit"]["name"], &end["limit"]["limit"]), (&json!(name), &json!(limit)), "{job:#}");
    let observed = end["limit"]["observed"].as_f64().unwrap();
    assert!(observed >= 0.95 * end["limit"]["limit"].as_f64().unwrap(), "{job:#}");
}

#[test]
fn a_fork_bomb_is_held_by_the_limit_of_processes_and_ended_by_time() {
    let code = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass";
    let limits = json!({"memory_limit": 512, "timeout": timeout(3), "limits": {"processes": 16, "cpu_time": 300}});
    let job = execute(&with(python(code), limits));
    assert_ended_by(&job, "wall_time_limit", "timeout");
    assert_limits_hit(&job, &["processes"]);
    assert_killed_at(&job, "timeout", timeout(3));
    let peak = &job["usage"]["processes_peak"];
    assert!(peak.is_null() || *peak == 16, "{job:#}");
}

#[test]
fn threads_count_as_processes() {
    let code = "
import threading, time
gate = threading.Event()
count = 0
try:
    while True:
        threading.Thread(target=gate.wait, daemon=True).start()
        count += 1
except RuntimeError:
    print(count)
gate.set()
";
    let job = execute(&with(python(code), json!({"limits": {"processes": 10}})));
    assert_eq!(printed(&job), "9\n");
    assert_limits_hit(&job, &["processes"]);
}

#[test]
fn a_memory_bomb_ends_with_memory_limit() {
    let code = "kept = []\nwhile True:\n    kept.append(b'x' * (4 << 20))";
    let job = execute(&with(python(code), json!({"memory_limit": 64})));
    assert_ended_by(&job, "memory_limit", "failed");
    assert_killed_at(&job, "memory_limit", 64);
    assert_limits_hit(&job, &[]);
}

#[test]
fn a_memory_bomb_in_a_child_ends_the_job_too() {
    let code = "/usr/bin/python3 -c \"x = b'x' * (256 << 20)\"; echo survived; sleep 1000";
    let job = execute(&with(bash(code), json!({"memory_limit": 64})));
    assert_ended_by(&job, "memory_limit", "failed");
    assert_killed_at(&job, "memory_limit", 64);
}

#[test]
fn a_tmpfs_counts_as_memory() {
    for folder in ["/work", "/tmp", "/dev/shm"] {
        let request = command(&["dd", "if=/dev/zero", &format!("of={folder}/x"), "bs=1M"]);
        let limits = json!({"memory_limit": 32, "limits": {"disk": 128, "file_size": 1024}});
        let job = execute(&with(request, limits));
        assert_ended_by(&job, "memory_limit", "failed");
        assert_killed_at(&job, "memory_limit", 32);
    }
}

#[test]
fn a_loop_ends_with_cpu_time_limit() {
    let limits = json!({"timeout": timeout(60), "limits": {"cpu_time": 1}});
    let job = execute(&with(bash("while :; do :; done"), limits));
    assert_ended_by(&job, "cpu_time_limit", "timeout");
    assert_killed_at(&job, "limits.cpu_time", 1);
    // What a virtual processor was taken away is counted for whom it was taken from (proc_stat(5), "steal", is not
    // everywhere), so the upper bound is not tight.
    let used = processor_time(&job);
    assert!((1_000_000..30_000_000).contains(&used), "{job:#}");
}

/// A process alone stays below the limit: the tree counts, not one process (`RLIMIT_CPU`).
#[test]
fn processor_time_is_that_of_the_whole_tree() {
    let code = "for i in 1 2 3 4; do (while :; do :; done) & done; wait";
    let limits = json!({"timeout": timeout(60), "limits": {"cpu_time": 2, "cpus": 2}});
    assert_ended_by(&execute(&with(bash(code), limits)), "cpu_time_limit", "timeout");
}

/// A host that stands still for a moment counts that moment as used: without the limit every try uses all of its time.
#[test]
fn half_a_processor_is_half_a_processor() {
    let limits = json!({"timeout": 2, "limits": {"cpu_time": 300, "cpus": 0.5}});
    let request = with(bash("while :; do :; done"), limits);
    let tries: [Value; 3] = std::array::from_fn(|_| execute(&request));
    for job in &tries {
        assert_ended_by(job, "wall_time_limit", "timeout");
    }
    assert!(tries.iter().any(|job| processor_time(job) < 1_500_000), "{tries:#?}");
}

#[test]
fn a_sleep_ends_with_wall_time_limit() {
    let job = execute(&with(bash("echo begun; sleep 1000"), json!({"timeout": timeout(1)})));
    assert_ended_by(&job, "wall_time_limit", "timeout");
    assert_killed_at(&job, "timeout", timeout(1));
    assert_eq!(job["stdout"], "begun\n", "what was printed before is kept");
    assert_limits_hit(&job, &[]);
}

#[test]
fn a_program_that_stops_itself_ends_with_wall_time_limit() {
    let job = execute(&with(bash("kill -STOP $$; echo woken"), json!({"timeout": timeout(1)})));
    assert_ended_by(&job, "wall_time_limit", "timeout");
    assert_eq!(job["stdout"], "");
}

#[test]
fn signals_cannot_be_ignored_for_ever() {
    let code = "trap '' TERM INT HUP QUIT TSTP; while :; do sleep 1000; done";
    assert_ended_by(&execute(&with(bash(code), json!({"timeout": timeout(1)}))), "wall_time_limit", "timeout");
}

#[test]
fn a_flood_of_output_ends_with_output_limit_and_all_of_the_limit_is_kept() {
    let job = execute(&with(command(&["yes"]), json!({"limits": {"output": 1}})));
    assert_ended_by(&job, "output_limit", "failed");
    assert_eq!((number(&job["stdout_bytes"]), number(&job["stderr_bytes"])), (MIB, 0));
    assert_eq!(job["stdout"].as_str().unwrap(), "y\n".repeat(512 << 10));
    let limit = &job["termination"]["limit"];
    assert_eq!((&limit["name"], number(&limit["limit"])), (&json!("limits.output"), 1), "{job:#}");
    assert!(limit["observed"].as_f64().unwrap() > 1.0, "{limit}");
}

#[test]
fn both_streams_share_one_output_limit() {
    let job = execute(&with(bash("yes >&2 & yes"), json!({"limits": {"output": 1}})));
    assert_ended_by(&job, "output_limit", "failed");
    let (out, err) = (number(&job["stdout_bytes"]), number(&job["stderr_bytes"]));
    assert_eq!(out + err, MIB);
}

#[test]
fn output_of_exactly_the_limit_is_no_flood() {
    let job = execute(&with(command(&["head", "-c", "1048576", "/dev/zero"]), json!({"limits": {"output": 1}})));
    assert_ended_by(&job, "exited", "completed");
    assert_eq!(number(&job["stdout_bytes"]), MIB);
}

#[test]
fn a_full_disk_is_enospc_and_does_not_end_the_job() {
    for folder in ["/work", "/tmp", "/dev/shm"] {
        let code = format!("LC_ALL=C dd if=/dev/zero of={folder}/x bs=64k 2>&1 | grep -o 'No space left on device'");
        let job = execute(&with(bash(&code), json!({"memory_limit": 128, "limits": {"disk": 8}})));
        assert_eq!(printed(&job), "No space left on device\n");
        assert_limits_hit(&job, &["disk_bytes"]);
    }
}

/// The default lies below the memory limit, so that a full disk is told as what it is.
#[test]
fn the_default_disk_limit_is_met_before_the_memory_limit() {
    let job = execute(&command(&["dd", "if=/dev/zero", "of=/work/x", "bs=1M"]));
    assert_ended_by(&job, "exited", "completed");
    assert_eq!(job["exit_code"], 1);
    assert_limits_hit(&job, &["disk_bytes"]);
}

#[test]
fn files_without_end_are_enospc_and_do_not_end_the_job() {
    let code = "
import errno
try:
    for number in range(10**9):
        open(f'/work/{number}', 'w').close()
except OSError as error:
    print(errno.errorcode[error.errno], number > 900)
";
    let job = execute(&with(python(code), json!({"limits": {"disk": 4}})));
    assert_eq!(printed(&job), "ENOSPC True\n");
    assert_limits_hit(&job, &["disk_inodes"]);
}

#[test]
fn a_file_that_grows_too_large_ends_the_program_by_sigxfsz() {
    let request = command(&["dd", "if=/dev/zero", "of=/work/x", "bs=64k"]);
    let job = execute(&with(request, json!({"memory_limit": 128, "limits": {"file_size": 2, "disk": 32}})));
    assert_ended_by(&job, "signaled", "failed");
    assert_eq!((&job["termination"]["signal"], &job["exit_code"]), (&json!("SIGXFSZ"), &Value::Null));
    assert_limits_hit(&job, &["file_size"]);
}

#[test]
fn descriptors_are_limited() {
    let code = "
import errno
kept = []
try:
    while True:
        kept.append(open('/dev/null'))
except OSError as error:
    print(errno.errorcode[error.errno], len(kept) + 3)
";
    assert_eq!(printed(&execute(&with(python(code), json!({"limits": {"open_files": 32}})))), "EMFILE 32\n");
}

/// It looks at the time when it wakes, and at what ended meanwhile: more of it than one look took in, once.
#[test]
fn a_spawner_that_stood_still_blames_no_job_for_it() {
    let daemon = Daemon::start(&[("KILN_API_JOB_MAX_CONCURRENT", "80"), ("KILN_SANDBOX_READY", "0")]);
    let (length, wall) = (1 + timeout(1), 2 + 2 * timeout(1));
    let mark = format!("0{length}.{}", std::process::id());
    let request = with(command(&["sleep", &mark]), json!({"timeout": wall}));
    let paths: Vec<String> = (0..80).map(|_| daemon.submit(&request)).collect();
    let is_no_more = |path: &String, status: &str| {
        let job = daemon.get(path).body;
        (job["status"] != status).then_some(job)
    };
    for path in &paths {
        until(seconds(60), "it has begun", || is_no_more(path, "pending"));
    }
    Daemon::signal(daemon.spawner(), Signal::SIGSTOP);
    until(seconds(60), "all programs have ended", || host::processes_with(&mark).is_empty().then_some(()));
    std::thread::sleep(Duration::from_secs(wall));
    Daemon::signal(daemon.spawner(), Signal::SIGCONT);
    for path in &paths {
        assert_ended_by(&until(seconds(60), "it has ended", || is_no_more(path, "running")), "exited", "completed");
    }
}
