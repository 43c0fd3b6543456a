//! Three hundred jobs of every ending leave nothing behind: what the host shows of the daemon is the
//! same before and after them.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Daemon, assert_ended_by, bash, command, python, scale, seconds, until, until_equal, with};
use crate::host;

/// Twenty-five of twelve jobs, and fewer on a slow machine.
fn rounds() -> usize {
    usize::try_from(25_u64.div_ceil(scale())).unwrap()
}

/// Twelve requests, and how each of them ends.
fn endings() -> Vec<(Value, &'static str)> {
    let flood = "import sys\nsys.stdout.write('x' * (2 << 20))";
    let abi = "import ctypes\nctypes.CDLL(None).syscall(ctypes.c_long(39 | 0x40000000))";
    let files = "mkdir /work/d /tmp/d; for i in $(seq 50); do echo $i >/work/d/$i; done; ln -s / /bait /tmp/d";
    let daemon = "trap '' TERM HUP INT; for i in 1 2 3; do setsid sleep 1000 & done";
    vec![
        (command(&["true"]), "exited"),
        (bash("exit 3"), "exited"),
        (with(command(&["cat"]), json!({"stdin": "x".repeat(100_000)})), "exited"),
        (bash(files), "exited"),
        (bash(daemon), "exited"),
        (bash("sleep 1000 & kill -STOP $!; kill -KILL $$"), "signaled"),
        (command(&["no-such-program"]), "setup_failed"),
        (with(command(&["sleep", "1000"]), json!({"timeout": 0.2})), "wall_time_limit"),
        (with(bash("while :; do :; done"), json!({"limits": {"cpu_time": 0.1}})), "cpu_time_limit"),
        (with(command(&["tail", "/dev/zero"]), json!({"memory_limit": 16})), "memory_limit"),
        (with(python(flood), json!({"limits": {"output": 1}})), "output_limit"),
        (python(abi), "seccomp_denied"),
    ]
}

/// What the host shows of a daemon at rest.
#[derive(Debug, PartialEq, Eq)]
struct Footprint {
    descendants: BTreeSet<u32>,
    server_descriptors: BTreeMap<String, usize>,
    spawner_descriptors: BTreeMap<String, usize>,
    spawner_mounts: Vec<String>,
    spawner_stage: BTreeSet<PathBuf>,
    host_mounts: Vec<String>,
    cgroups: Vec<PathBuf>,
    networks: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    data: BTreeSet<PathBuf>,
}

impl Footprint {
    fn of(daemon: &Daemon) -> Self {
        let (server, spawner) = (daemon.server(), daemon.spawner());
        let own_and_below = host::descendants(server).into_iter().chain([server]);
        // What is below `logs` and `db` is the record of the jobs, and grows.
        let is_record = |path: &PathBuf| ["logs", "db"].iter().any(|name| path.starts_with(daemon.data().join(name)));
        let stage = format!("/proc/{spawner}/root/run/kiln/stage");
        let of_kiln = |place: &String| place.contains("kiln");
        let mut cgroups = host::cgroups_of(daemon.instance());
        cgroups.sort();
        Self {
            descendants: host::descendants(server),
            server_descriptors: host::descriptors(server),
            spawner_descriptors: host::descriptors(spawner),
            spawner_mounts: host::mounts(&spawner.to_string()),
            spawner_stage: entries(Path::new(&stage)),
            host_mounts: host::mounts("self").into_iter().filter(of_kiln).collect(),
            cgroups,
            networks: host::namespaces("net", own_and_below),
            locks: entries(Path::new("/run/kiln"))
                .into_iter()
                .filter(|path| !is_another_daemons(path, daemon))
                .collect(),
            data: host::paths_below(daemon.data()).into_iter().filter(|path| !is_record(path)).collect(),
        }
    }
}

/// The names in a folder.
fn entries(folder: &Path) -> BTreeSet<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Daemons of other tests begin and end meanwhile.
fn is_another_daemons(lock: &Path, daemon: &Daemon) -> bool {
    let name = lock.file_name().unwrap().to_str().unwrap();
    name.starts_with("ids-") || name.starts_with("instance-") && !name.contains(daemon.instance())
}

fn run_one(daemon: &Daemon, (request, reason): &(Value, &str)) {
    let status = match *reason {
        "exited" => "completed",
        "wall_time_limit" | "cpu_time_limit" => "timeout",
        _ => "failed",
    };
    assert_ended_by(&daemon.execute(request), reason, status);
}

/// Every ending `rounds` times, by four clients at once. Gives the number of jobs.
fn run(daemon: &Daemon, rounds: usize) -> usize {
    let endings = endings();
    // No divisor of the number of endings: every client meets all of them.
    let clients = 5;
    std::thread::scope(|scope| {
        for client in 0..clients {
            let mine = (0..rounds * endings.len()).filter(move |number| number % clients == client);
            let endings = &endings;
            scope.spawn(move || mine.for_each(|number| run_one(daemon, &endings[number % endings.len()])));
        }
    });
    rounds * endings.len()
}

/// Connections that clients have closed and trees that are dropped take a moment after the answer.
#[track_caller]
fn at_rest(daemon: &Daemon) -> Footprint {
    until(seconds(30), "the daemon is at rest", || {
        let (found, again) = (Footprint::of(daemon), Footprint::of(daemon));
        let is_alone = found.descendants == BTreeSet::from([daemon.spawner()]);
        let has_no_tree = !found.spawner_stage.iter().any(|path| path.to_string_lossy().contains("tree-"));
        (is_alone && has_no_tree && found == again).then_some(found)
    })
}

#[test]
fn three_hundred_jobs_leave_nothing_behind() {
    let daemon = Daemon::start(&[]);
    // What is opened at the first use and kept is opened now.
    let first = run(&daemon, 1);
    let before = at_rest(&daemon);
    let second = run(&daemon, rounds());
    until_equal(seconds(30), &before, || Footprint::of(&daemon));
    assert_eq!(first + second, 12 + 12 * rounds());
    let logs = walkdir::WalkDir::new(daemon.data().join("logs")).into_iter().flatten();
    assert_eq!(logs.filter(|entry| entry.file_type().is_file()).count(), first + second, "one log a job");
    assert_eq!(daemon.log().matches(" ERROR ").count(), 0, "{}", daemon.log());
}
