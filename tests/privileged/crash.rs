//! Ends that nobody planned, at any of the processes, and the start after them (`docs/OPERATIONS.md`,
//! "When something is killed").
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use walkdir::WalkDir;

use crate::harness::{Daemon, assert_ended_by, bash, data_directory, printed, seconds, serve, until, until_equal};
use crate::held::{Held, new_mark, program};
use crate::host;

const ONE_AT_A_TIME: &[(&str, &str)] = &[("KILN_API_JOB_MAX_CONCURRENT", "1")];

/// Waits until the server has written what a job printed, and not only read it. Gives the file.
#[track_caller]
fn wait_until_logged(data: &Path, text: &str) -> PathBuf {
    let has_text = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap_or_default();
        bytes.windows(text.len()).any(|part| part == text.as_bytes())
    };
    until(seconds(30), "the output is in the log", || {
        let files = WalkDir::new(data.join("logs")).into_iter().flatten().filter(|entry| entry.file_type().is_file());
        files.map(walkdir::DirEntry::into_path).find(has_text)
    })
}

/// Everything of a daemon that the host shows while a job runs, to be looked for afterwards.
pub(crate) struct Traces {
    processes: BTreeSet<u32>,
    namespaces: BTreeSet<PathBuf>,
    /// Kept open: the number of a namespace that is gone is given to the next one.
    _open: Vec<fs::File>,
}

/// Not pid: it is told of a zombie too, until whoever inherited it has reaped it.
const KINDS: [&str; 2] = ["mnt", "net"];

impl Traces {
    fn of(daemon: &Daemon) -> Self {
        let mut processes = host::descendants(daemon.spawner());
        assert!(processes.len() >= 2, "init and a program: {processes:?}");
        assert!(!host::cgroups_of(daemon.instance()).is_empty());
        processes.insert(daemon.spawner());
        Self::of_processes(processes)
    }

    /// Whatever is there at this moment, while jobs begin and end.
    pub(crate) fn now(daemon: &Daemon) -> Self {
        let mut processes = host::descendants(daemon.spawner());
        processes.insert(daemon.spawner());
        Self::of_processes(processes)
    }

    fn of_processes(processes: BTreeSet<u32>) -> Self {
        let open = |process: &u32| KINDS.map(|kind| fs::File::open(format!("/proc/{process}/ns/{kind}")).ok());
        let open = processes.iter().flat_map(open).flatten().collect();
        let the_hosts = namespaces([std::process::id()]);
        let namespaces = namespaces(processes.clone()).difference(&the_hosts).cloned().collect();
        Self { processes, namespaces, _open: open }
    }

    /// What is mounted in a namespace goes with the last process in it (`mount_namespaces(7)`).
    #[track_caller]
    pub(crate) fn assert_gone(&self) {
        until(seconds(30), "every process ends", || self.processes.iter().all(|p| !host::is_alive(*p)).then_some(()));
        // Who was begun after the list of processes was made ends with them, a little later.
        let left = || namespaces(host::processes()).intersection(&self.namespaces).count();
        until_equal(seconds(30), &0, left);
    }
}

fn namespaces(processes: impl IntoIterator<Item = u32>) -> BTreeSet<PathBuf> {
    let processes: Vec<u32> = processes.into_iter().collect();
    KINDS.into_iter().flat_map(|kind| host::namespaces(kind, processes.clone())).collect()
}

/// The daemon has ended by itself because its spawner was lost, and said so.
#[track_caller]
fn assert_spawner_lost(daemon: &mut Daemon) {
    let status = daemon.wait();
    assert_eq!((status.code(), status.signal()), (Some(75), None), "{}", daemon.log());
    until(seconds(30), "the log says why", || daemon.log().contains("the spawner is gone").then_some(()));
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}

#[track_caller]
fn assert_restarted(job: &Value) {
    assert_ended_by(job, "daemon_restart", "failed");
    assert_eq!((&job["exit_code"], &job["termination"]["signal"]), (&Value::Null, &Value::Null), "{job:#}");
}

#[test]
fn the_end_of_the_spawner_ends_its_jobs_and_the_daemon() {
    let data = data_directory();
    let mut daemon = Daemon::start_on(data.path(), &[]);
    let held = Held::start(&daemon, "print('begun', MARK, flush=True)\n", "");
    let (path, mark) = (held.path().to_owned(), held.mark().to_owned());
    wait_until_logged(data.path(), &mark);
    let traces = Traces::of(&daemon);
    Daemon::signal(daemon.spawner(), Signal::SIGKILL);
    assert_spawner_lost(&mut daemon);
    traces.assert_gone();
    let again = Daemon::start_on(data.path(), &[("KILN_SANDBOX_READY", "0")]);
    assert_eq!(again.instance(), daemon.instance());
    let job = again.get(&path).body;
    assert_restarted(&job);
    assert_eq!(job["stdout"], format!("begun {mark}\n"));
    // Those in which the languages were looked for are kept for a moment.
    let swept = || !host::cgroups_of(again.instance()).iter().any(|path| is_a_sandboxs(path));
    until(seconds(30), "all groups are removed", || swept().then_some(()));
    assert_eq!(printed(&again.execute(&bash("echo works"))), "works\n");
}

/// Its name is the number of a sandbox.
fn is_a_sandboxs(group: &Path) -> bool {
    group.file_name().is_some_and(|name| name.to_str().unwrap().parse::<u64>().is_ok())
}

/// What a client is answered whose job runs when this process gets this signal.
#[track_caller]
fn answered_after(daemon: &Daemon, process: u32, signal: Signal) -> Value {
    let mark = new_mark();
    let request = program(&mark, "", "");
    let answer = std::thread::scope(|scope| {
        let client = scope.spawn(|| daemon.post(&request));
        until(seconds(30), "the job runs", || {
            host::processes_with(&mark).into_iter().find(|process| host::name(*process) == "held")
        });
        Daemon::signal(process, signal);
        client.join().unwrap()
    });
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    answer.body
}

#[test]
fn a_client_that_waits_is_told_of_the_end_of_the_spawner() {
    let mut daemon = Daemon::start(&[]);
    let job = answered_after(&daemon, daemon.spawner(), Signal::SIGKILL);
    assert_restarted(&job);
    assert_spawner_lost(&mut daemon);
    sweep(&daemon);
}

/// The cgroups of a killed spawner stay until the next start on its data.
fn sweep(daemon: &Daemon) {
    drop(Daemon::start_on(daemon.data(), &[]));
    assert_eq!(host::cgroups_of(daemon.instance()).len(), 0);
}

/// Asked to end, it tidies up itself.
#[test]
fn a_spawner_that_is_terminated_leaves_nothing() {
    let mut daemon = Daemon::start(&[]);
    let held = Held::start(&daemon, "", "");
    let path = held.path().to_owned();
    let traces = Traces::of(&daemon);
    Daemon::signal(daemon.spawner(), Signal::SIGTERM);
    assert_spawner_lost(&mut daemon);
    traces.assert_gone();
    daemon.assert_gone();
    let again = Daemon::start_on(daemon.data(), &[]);
    assert_restarted(&again.get(&path).body);
}

#[test]
fn the_end_of_the_server_ends_everything() {
    let mut daemon = Daemon::start(&[]);
    Held::start(&daemon, "", "");
    Held::start(&daemon, "", "");
    let traces = Traces::of(&daemon);
    Daemon::signal(daemon.server(), Signal::SIGKILL);
    assert_eq!(daemon.wait().signal(), Some(9));
    traces.assert_gone();
    daemon.assert_gone();
}

#[test]
fn the_end_of_both_is_swept_at_the_next_start() {
    let mut daemon = Daemon::start(&[]);
    let path = Held::start(&daemon, "", "").path().to_owned();
    let traces = Traces::of(&daemon);
    daemon.kill_both();
    assert_eq!(daemon.wait().signal(), Some(9));
    traces.assert_gone();
    assert!(!host::cgroups_of(daemon.instance()).is_empty(), "nobody was there to remove them");
    let again = Daemon::start_on(daemon.data(), &[]);
    assert_restarted(&again.get(&path).body);
    drop(again);
    daemon.assert_gone();
}

#[test]
fn every_acknowledged_job_is_found_again() {
    let mut daemon = Daemon::start(ONE_AT_A_TIME);
    let ended = daemon.execute(&bash("echo ended"));
    let held = Held::start(&daemon, "print('begun', MARK, flush=True)\n", "");
    let (running, mark) = (held.path().to_owned(), held.mark().to_owned());
    wait_until_logged(daemon.data(), &mark);
    let waiting: Vec<String> = (0..20).map(|number| daemon.submit(&bash(&format!("echo {number}")))).collect();
    Daemon::signal(daemon.server(), Signal::SIGKILL);
    daemon.wait();
    let again = Daemon::start_on(daemon.data(), ONE_AT_A_TIME);
    assert_eq!(again.get(ended["_links"]["self"]["href"].as_str().unwrap()).body, ended);
    let job = again.get(&running).body;
    assert_restarted(&job);
    assert_eq!(job["stdout"], format!("begun {mark}\n"));
    let mut starts = Vec::new();
    for (number, path) in waiting.iter().enumerate() {
        let job = again.wait_for_status(path, "completed");
        assert_eq!(printed(&job), format!("{number}\n"));
        starts.push(job["started_at"].as_str().unwrap().to_owned());
    }
    assert!(starts.is_sorted(), "in their old order: {starts:?}");
}

/// A folder with all that is in it, and whose it is.
fn copy_folder(from: &Path, to: &Path) {
    for entry in WalkDir::new(from) {
        let entry = entry.unwrap();
        let copy = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir(&copy).unwrap();
        } else {
            fs::copy(entry.path(), &copy).unwrap();
        }
        let found = entry.metadata().unwrap();
        std::os::unix::fs::chown(&copy, Some(found.uid()), Some(found.gid())).unwrap();
    }
}

/// The end came after the log of a job was made, and before the record said durably that the job runs.
#[test]
fn a_job_that_waits_by_its_record_and_has_a_log_runs() {
    // Bytes of the log that were written: half of its first entry, its head, half of that, nothing.
    for kept in [96, 40, 32, 7, 0] {
        let data = data_directory();
        let (records, earlier) = (data.path().join("db"), data.path().join("earlier"));
        let daemon = Daemon::start_on(data.path(), ONE_AT_A_TIME);
        let (held, text) = (Held::start(&daemon, "", ""), new_mark());
        let waiting = daemon.submit(&bash(&format!("echo {text}")));
        copy_folder(&records, &earlier);
        held.release();
        daemon.wait_for_status(&waiting, "completed");
        drop(daemon);
        let log = wait_until_logged(data.path(), &format!("{text}\n"));
        fs::OpenOptions::new().write(true).open(log).unwrap().set_len(kept).unwrap();
        fs::remove_dir_all(&records).unwrap();
        fs::rename(&earlier, &records).unwrap();
        let again = Daemon::start_on(data.path(), ONE_AT_A_TIME);
        let job = until(seconds(60), "the job ends", || {
            let job = again.get(&waiting).body;
            job.get("termination").is_some().then_some(job)
        });
        assert_eq!(printed(&job), format!("{text}\n"), "{kept} bytes of the log");
    }
}

/// Whatever moment the end comes at: an acknowledged job has an end, and one that was shown stays.
#[test]
fn a_server_that_is_killed_at_work_loses_no_job() {
    let mut daemon = Daemon::start(&[("KILN_API_JOB_MAX_CONCURRENT", "2")]);
    let paths: Vec<String> = (0..40).map(|number| daemon.submit(&bash(&format!("echo {number}; sleep 0.3")))).collect();
    daemon.wait_for_status(&paths[3], "completed");
    let is_over = |path: &String| daemon.get(path).body.get("termination").is_some();
    let over: Vec<&String> = paths.iter().filter(|path| is_over(path)).collect();
    assert!(over.len() < paths.len(), "it is still at work");
    Daemon::signal(daemon.server(), Signal::SIGKILL);
    daemon.wait();
    let again = Daemon::start_on(daemon.data(), &[]);
    for (number, path) in paths.iter().enumerate() {
        let job = until(seconds(60), path, || {
            let answer = again.get(path);
            assert_eq!(answer.status, 200, "{path} was acknowledged");
            answer.body.get("termination").is_some().then_some(answer.body)
        });
        if over.contains(&path) || job["status"] == "completed" {
            assert_eq!(printed(&job), format!("{number}\n"));
        } else {
            assert_restarted(&job);
        }
    }
}

#[test]
fn a_stop_ends_what_runs_and_keeps_what_waits() {
    let data = data_directory();
    let mut daemon = Daemon::start_on(data.path(), ONE_AT_A_TIME);
    let running = Held::start(&daemon, "", "").path().to_owned();
    let waiting = daemon.submit(&bash("echo waited"));
    let traces = Traces::of(&daemon);
    Daemon::signal(daemon.server(), Signal::SIGTERM);
    let status = daemon.wait();
    let log = daemon.log();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains(" ERROR ") && !log.contains("panicked"), "{log}");
    traces.assert_gone();
    daemon.assert_gone();
    let again = Daemon::start_on(data.path(), &[]);
    let job = again.get(&running).body;
    assert_ended_by(&job, "daemon_restart", "failed");
    assert_eq!(printed(&again.wait_for_status(&waiting, "completed")), "waited\n");
}

#[test]
fn a_stop_answers_who_waits() {
    let mut daemon = Daemon::start(&[]);
    let job = answered_after(&daemon, daemon.server(), Signal::SIGTERM);
    assert_ended_by(&job, "daemon_restart", "failed");
    assert_eq!(daemon.wait().code(), Some(0), "{}", daemon.log());
    daemon.assert_gone();
}

#[test]
fn two_daemons_do_not_disturb_each_other() {
    let other = Daemon::start(&[]);
    let theirs = Held::start(&other, "", "print('undisturbed')");
    for end in [Signal::SIGKILL, Signal::SIGTERM] {
        let mut daemon = Daemon::start(&[]);
        assert_ne!(daemon.instance(), other.instance());
        Held::start(&daemon, "", "");
        let traces = Traces::of(&daemon);
        Daemon::signal(daemon.server(), end);
        daemon.wait();
        traces.assert_gone();
        daemon.assert_gone();
    }
    let mut daemon = Daemon::start(&[]);
    Daemon::signal(daemon.spawner(), Signal::SIGKILL);
    assert_spawner_lost(&mut daemon);
    sweep(&daemon);
    assert!(host::is_alive(theirs.process()));
    assert!(!host::cgroups_of(other.instance()).is_empty(), "its cgroups are there");
    assert_eq!(printed(&theirs.release()), "undisturbed\n");
    assert_eq!(other.log().matches(" ERROR ").count(), 0);
}

/// It would take the turn of the spawner that the next server starts.
#[test]
fn a_spawner_that_waits_for_an_earlier_one_ends_with_its_server() {
    let data = data_directory();
    let instance = Daemon::start_on(data.path(), &[]).instance().to_owned();
    let lock = fs::File::open(format!("/run/kiln/instance-{instance}.lock")).unwrap();
    until(seconds(30), "the first has ended", || lock.try_lock().ok());
    let mut server = serve(data.path(), &[]).spawn().unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
    let word = |line: String| line.split_once("spawner=")?.1.split_whitespace().next().map(str::to_owned);
    let spawner = lines.find_map(word).unwrap().parse().unwrap();
    assert!(host::is_alive(spawner));
    server.kill().unwrap();
    server.wait().unwrap();
    // Sooner than it would give up: 25 s.
    until(Duration::from_secs(15), "the spawner ends", || (!host::is_alive(spawner)).then_some(()));
    drop(lock);
    assert_eq!(printed(&Daemon::start_on(data.path(), &[]).execute(&bash("echo served"))), "served\n");
}
