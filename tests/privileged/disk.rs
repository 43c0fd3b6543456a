//! Data directories that cannot be written, or not any more: full, read-only, damaged, somebody else's
//! (`docs/OPERATIONS.md`, "When the store fails").
//!
//! What is mounted here is seen by one thread of the test and by the daemons that it starts.
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, chown};
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Daemon, assert_ended_by, bash, data_directory, printed, python, seconds, serve, timeout, until, until_equal, with,
};
use crate::held::Held;
use crate::host;
use crate::http;

/// Runs a test where it may mount. Both end together.
#[track_caller]
pub(crate) fn with_own_mounts(test: impl FnOnce() + Send + 'static) {
    let inside = move || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        test();
    };
    let thread = std::thread::Builder::new().name(String::from("own mounts")).spawn(inside).unwrap();
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

pub(crate) fn mount_small(place: &Path, size: &str) {
    let options = format!("size={size},mode=0755");
    mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).unwrap();
}

/// What is opened from here on cannot be written.
fn mount_read_only(place: &Path) {
    mount(Some(place), place, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, place, None::<&str>, flags, None::<&str>).unwrap();
}

/// A file that takes all the room there is.
fn fill(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("filling");
    let mut file = File::create(&path).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    path
}

fn path_of(job: &Value) -> &str {
    job["_links"]["self"]["href"].as_str().unwrap()
}

/// The start fails, and says all of these.
#[track_caller]
fn assert_refused(data: &Path, code: i32, words: &[&str]) {
    let mut child = serve(data, &[]).spawn().unwrap();
    let status = until(seconds(30), "it ends", || child.try_wait().unwrap());
    let said = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert_eq!(status.code(), Some(code), "{said}");
    let last = said.lines().rfind(|line| line.contains("kiln: ")).unwrap_or_else(|| panic!("{said}"));
    for word in words {
        assert!(last.contains(word), "{word} is not said: {said}");
    }
    assert!(!said.contains("panic"), "{said}");
}

/// Stops a daemon whose store has failed.
#[track_caller]
fn stop_with_failed_store(daemon: &mut Daemon) {
    Daemon::signal(daemon.server(), Signal::SIGTERM);
    let status = daemon.wait();
    assert_eq!(status.code(), Some(69), "{}", daemon.log());
    assert!(!daemon.log().contains("panic"), "{}", daemon.log());
    daemon.assert_gone();
}

/// Sends jobs until one cannot be recorded; gives the paths of those that were acknowledged.
fn submit_until_refused(daemon: &Daemon) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0..3000 {
        let request = with(bash(&format!("echo {number}; # {}", "x".repeat(8000))), json!({"async": true}));
        let answer = daemon.post(&request);
        match answer.status {
            202 => acknowledged.push(answer.header("location").unwrap().to_owned()),
            503 if answer.body["error"]["message"] == "the queue is full" => {}
            status => {
                assert_eq!(
                    (status, &answer.body["error"]["code"]),
                    (500, &json!("INTERNAL_ERROR")),
                    "{:#}",
                    answer.body
                );
                return acknowledged;
            }
        }
    }
    panic!("the disk is not full")
}

#[track_caller]
fn assert_not_ready(daemon: &Daemon, words: &[&str]) {
    let ready = daemon.get("/readyz");
    assert_eq!((ready.status, &ready.body["error"]["code"]), (503, &json!("SERVICE_UNAVAILABLE")), "{:#}", ready.body);
    let detail = daemon.get("/healthz/detail").body;
    assert_eq!((&detail["status"], &detail["checks"]["store"]["status"]), (&json!("unhealthy"), &json!("unhealthy")));
    for said in [&ready.body["error"]["message"], &detail["checks"]["store"]["message"]] {
        assert!(words.iter().all(|word| said.as_str().unwrap().contains(word)), "{said}");
    }
}

#[test]
fn a_full_disk_refuses_what_is_new_and_loses_nothing() {
    with_own_mounts(|| {
        let data = data_directory();
        mount_small(data.path(), "24m");
        let mut daemon = Daemon::start_on(data.path(), &[]);
        let ended = daemon.execute(&bash("seq 1000"));
        let running = Held::start(&daemon, "print('begun', flush=True)", "").path().to_owned();
        let filling = fill(data.path());
        let acknowledged = submit_until_refused(&daemon);
        assert_not_ready(&daemon, &["full", "make room, then start kiln again"]);
        assert_eq!(daemon.get(path_of(&ended)).body, ended, "what was recorded can be read");
        assert_eq!(daemon.get(&running).body["status"], "running");
        assert_eq!(daemon.get("/healthz").status, 200, "it lives");
        // Their end cannot be recorded, so that it is not shown as if it were.
        let answer = http::ask(daemon.address(), &format!("DELETE {running}"), None, seconds(60)).unwrap();
        assert_eq!(answer.status, 500, "{:#}", answer.body);
        until_equal(seconds(30), &1, || daemon.log().matches("store: nothing more is written").count());
        stop_with_failed_store(&mut daemon);
        fs::remove_file(filling).unwrap();
        let again = Daemon::start_on(data.path(), &[]);
        assert_eq!(again.get("/readyz").status, 200);
        assert_eq!(again.get(path_of(&ended)).body, ended);
        assert_ended_by(&again.get(&running).body, "daemon_restart", "failed");
        for path in acknowledged {
            let job = until(seconds(60), "it ends", || {
                let answer = again.get(&path);
                assert_eq!(answer.status, 200, "{path} was acknowledged");
                answer.body["termination"].is_object().then_some(answer.body)
            });
            let reason = job["termination"]["reason"].as_str().unwrap();
            assert!(["exited", "setup_failed", "output_limit", "daemon_restart"].contains(&reason), "{job:#}");
            let message = job["termination"]["message"].as_str().unwrap_or_default();
            assert!(reason == "exited" || reason == "daemon_restart" || message.contains("No space left"), "{job:#}");
        }
        assert_eq!(printed(&again.execute(&bash("echo works"))), "works\n");
        drop(again);
        umount2(data.path(), MntFlags::empty()).unwrap();
    });
}

/// A start that cannot write says so, and is no fault of kiln's.
#[test]
fn a_start_on_a_full_disk_names_it() {
    with_own_mounts(|| {
        let data = data_directory();
        mount_small(data.path(), "24m");
        let mut daemon = Daemon::start_on(data.path(), &[]);
        let running = Held::start(&daemon, "", "").path().to_owned();
        Daemon::signal(daemon.server(), Signal::SIGKILL);
        daemon.wait();
        let filling = fill(data.path());
        assert_refused(data.path(), 69, &[&data.path().to_string_lossy(), "full", "make room"]);
        fs::remove_file(filling).unwrap();
        let again = Daemon::start_on(data.path(), &[]);
        assert_ended_by(&again.get(&running).body, "daemon_restart", "failed");
    });
}

#[test]
fn output_that_finds_no_room_ends_its_job_and_no_other() {
    with_own_mounts(|| {
        let data = data_directory();
        drop(Daemon::start_on(data.path(), &[]));
        let logs = data.path().join("logs");
        fs::create_dir_all(&logs).unwrap();
        let owner = fs::metadata(data.path()).unwrap();
        mount_small(&logs, "512k");
        chown(&logs, Some(std::os::unix::fs::MetadataExt::uid(&owner)), None).unwrap();
        let daemon = Daemon::start_on(data.path(), &[]);
        let quiet = Held::start(&daemon, "", "print('undisturbed')");
        let full = daemon.execute(&python("import sys\nsys.stdout.write('x' * (2 << 20))"));
        assert_ended_by(&full, "output_limit", "failed");
        let message = full["termination"]["message"].as_str().unwrap();
        assert!(message.contains("the output could not be kept") && message.contains("No space left"), "{message}");
        assert_eq!(full["termination"]["limit"], Value::Null, "no limit of the job's was passed: {full:#}");
        let kept = full["stdout"].as_str().unwrap();
        assert!(!kept.is_empty() && kept.bytes().all(|byte| byte == b'x'), "what was written is shown");
        assert_eq!(daemon.get(path_of(&full)).body, full);
        // The disk is as full as before: nothing can be kept of this one, and it does not run.
        let filling = fill(&logs);
        let job = daemon.execute(&bash("echo lost"));
        assert_ended_by(&job, "setup_failed", "failed");
        let message = job["termination"]["message"].as_str().unwrap();
        assert!(message.contains("No space left") && message.contains("look at the data disk"), "{message}");
        assert_eq!(daemon.get("/readyz").status, 200, "records are written");
        fs::remove_file(filling).unwrap();
        let removed = http::text(daemon.address(), &format!("DELETE {}/data", path_of(&full)), seconds(60));
        assert_eq!(removed.unwrap().0, 204);
        assert_eq!(printed(&daemon.execute(&bash("echo works"))), "works\n");
        assert_eq!(printed(&quiet.release()), "undisturbed\n");
        until(seconds(30), "the log says it", || daemon.log().contains("output cannot be kept").then_some(()));
        let (log, mut daemon) = (daemon.log(), daemon);
        Daemon::signal(daemon.server(), Signal::SIGTERM);
        assert_eq!(daemon.wait().code(), Some(0), "{log}");
        daemon.assert_gone();
    });
}

#[test]
fn a_read_only_data_directory_is_named_at_start() {
    with_own_mounts(|| {
        let data = data_directory();
        let daemon = Daemon::start_on(data.path(), &[]);
        let ended = daemon.execute(&bash("echo kept"));
        drop(daemon);
        mount_read_only(data.path());
        let path = data.path().to_string_lossy().into_owned();
        assert_refused(data.path(), 69, &[&path, "read-only", "make it writable"]);
        umount2(data.path(), MntFlags::empty()).unwrap();
        let again = Daemon::start_on(data.path(), &[]);
        assert_eq!(again.get(path_of(&ended)).body, ended);
        drop(again);
        let fresh = data_directory();
        mount_read_only(fresh.path());
        assert_refused(fresh.path(), 69, &[&fresh.path().to_string_lossy(), "Read-only file system"]);
        umount2(fresh.path(), MntFlags::empty()).unwrap();
    });
}

/// The kernel makes nothing read-only in which a file is open for writing (mount(2), EBUSY), so that the records stay
/// writable. The logs have no open file while no job runs.
#[test]
fn logs_that_become_read_only_end_jobs_before_they_run() {
    with_own_mounts(|| {
        let data = data_directory();
        let daemon = Daemon::start_on(data.path(), &[]);
        let ended = daemon.execute(&bash("echo kept"));
        let logs = data.path().join("logs");
        mount_read_only(&logs);
        let job = daemon.execute(&bash("echo lost"));
        assert_ended_by(&job, "setup_failed", "failed");
        let message = job["termination"]["message"].as_str().unwrap();
        assert!(message.contains("Read-only file system") && message.contains("look at the data disk"), "{message}");
        assert_eq!(daemon.get(path_of(&ended)).body, ended);
        umount2(&logs, MntFlags::empty()).unwrap();
        assert_eq!(printed(&daemon.execute(&bash("echo works"))), "works\n");
    });
}

/// A directory in which a daemon ran two jobs and was stopped.
fn used() -> tempfile::TempDir {
    let data = data_directory();
    let daemon = Daemon::start_on(data.path(), &[]);
    for _ in 0..2 {
        daemon.execute(&with(bash("echo kept"), json!({"timeout": timeout(30)})));
    }
    drop(daemon);
    data
}

#[test]
fn records_that_are_damaged_are_not_served() {
    let data = used();
    let records = data.path().join("db/db");
    let file = fs::OpenOptions::new().write(true).open(&records).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all_at(&vec![0xa5; usize::try_from(length).unwrap()], 0).unwrap();
    assert_refused(data.path(), 69, &[&data.path().to_string_lossy(), "end at change 0", "cut off or overwritten"]);
}

#[test]
fn a_database_without_its_own_settings_is_not_served() {
    let data = used();
    let settings = fs::OpenOptions::new().write(true).open(data.path().join("db/conf")).unwrap();
    settings.write_all_at(&[0xa5; 64], 0).unwrap();
    assert_refused(data.path(), 69, &[&data.path().to_string_lossy(), "damaged", "put a copy in its place"]);
}

#[test]
fn records_whose_end_is_missing_are_not_served() {
    let data = used();
    let folder = data.path().join("db");
    for path in host::paths_below(&folder) {
        if path.file_name().unwrap().to_str().unwrap().starts_with("snap.") {
            fs::remove_file(path).unwrap();
        }
    }
    let file = fs::OpenOptions::new().write(true).open(folder.join("db")).unwrap();
    // The first segment has the names of the trees, and some of what was written.
    file.set_len(file.metadata().unwrap().len().min(4096)).unwrap();
    assert_refused(data.path(), 69, &[&folder.to_string_lossy(), "cut off or overwritten", "committed"]);
}

#[test]
fn a_directory_of_somebody_else_is_not_taken() {
    let data = used();
    chown(data.path(), Some(54_321), Some(54_321)).unwrap();
    let path = data.path().to_string_lossy().into_owned();
    assert_refused(data.path(), 69, &[&path, "belongs to user 54321 and is not empty", "chown -R"]);
}

/// As after a tool that root ran on the records.
#[test]
fn records_of_somebody_else_are_named_with_the_remedy() {
    let data = used();
    for path in host::paths_below(&data.path().join("db")) {
        chown(&path, Some(0), Some(0)).unwrap();
    }
    let path = data.path().join("db").to_string_lossy().into_owned();
    assert_refused(data.path(), 69, &[&path, "Permission denied", "chown -R"]);
}
