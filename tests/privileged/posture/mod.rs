//! Everything that can be observed of a sandbox, compared with one golden structure (`golden.json`): from inside, of init
//! from outside, and of a place that was used ten times.
//!
//! A name that the structure does not have is a fault, as is one that is missing. What differs from host to host is there
//! with its reason. Not here: what a program can do (`hostile`, `syscalls`), what another job left (`carryover`).
mod golden;
mod outside;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use self::golden::{Found, Golden};
use crate::carryover;
use crate::harness::{Daemon, command, printed, python, shared, with};
use crate::held::Held;
use crate::host;

/// Prints everything that a program can observe.
const PROBE: &str = include_str!("probe.py");
const PROGRAM: &str = include_str!("golden.json");
const INIT: &str = include_str!("init.json");

/// So many uses of one place.
const USES: usize = 10;
/// A daemon has several places by turns: of so many jobs one place had ten.
const MOST_JOBS: usize = 60;
/// After one that leaves traces so many look.
const OBSERVERS: usize = 8;

/// What `/proc/self/status` of a program says that changes nothing of itself.
#[track_caller]
fn status(daemon: &Daemon) -> String {
    printed(&daemon.execute(&command(&["cat", "/proc/self/status"]))).to_owned()
}

/// What a job finds, and in which block of ids it ran.
#[track_caller]
fn observe(daemon: &Daemon, status: &str) -> (Found, u64) {
    let probe = with(python(PROBE), json!({"stdin": status}));
    let mut found: Found = serde_json::from_str(printed(&daemon.execute(&probe))).unwrap();
    let block = found.remove("block").unwrap().as_u64().unwrap();
    (found, block)
}

#[track_caller]
fn check(golden: &str, found: &Found, of: &str) {
    let faults = Golden::read(golden).faults(found, &outside::facts());
    assert!(faults.is_empty(), "{of}:\n{}", faults.join("\n"));
}

#[test]
fn a_program_finds_what_is_known_and_nothing_else() {
    let daemon = shared();
    let (found, _) = observe(&daemon, &status(&daemon));
    check(PROGRAM, &found, "a program");
}

/// Of ten uses several are by a program that leaves all that it can.
#[test]
fn a_place_that_is_used_for_the_tenth_time_is_as_at_the_first() {
    // One sandbox runs and one stands ready: two blocks by turns.
    let daemon = Daemon::start(&[("KILN_API_JOB_MAX_CONCURRENT", "1"), ("KILN_SANDBOX_READY", "1")]);
    let status = status(&daemon);
    let (mut uses, mut dirty) = (BTreeMap::<u64, usize>::new(), BTreeSet::new());
    for number in 0..MOST_JOBS {
        if number % OBSERVERS == 0 {
            let block = carryover::leave_traces(&daemon);
            *uses.entry(block).or_default() += 1;
            dirty.insert(block);
        }
        let (found, block) = observe(&daemon, &status);
        let count = uses.entry(block).or_default();
        *count += 1;
        if *count >= USES && dirty.contains(&block) {
            return check(PROGRAM, &found, "the tenth use of a place");
        }
    }
    panic!("of {MOST_JOBS} jobs no ten had the same place: {uses:?}");
}

const FAMILY: &str = "
import threading
gate = threading.Event()
threading.Thread(target=gate.wait, daemon=True).start()
if os.fork() == 0:
    os.setsid()
    call_myself('child')
    signal.pause()
";

#[test]
fn init_is_what_is_known_and_nothing_else() {
    let daemon = shared();
    let held = Held::start(&daemon, FAMILY, "");
    let found = outside::init(host::parent(held.process()).unwrap(), daemon.instance());
    check(INIT, &found, "init");
    held.release();
}

/// One namespace of each kind for all processes of a job, and none of the host's. The time namespace is the spawner's.
#[test]
fn each_namespace_is_the_jobs_own_and_the_same_for_all_its_processes() {
    let daemon = shared();
    let held = Held::start(&daemon, FAMILY, "");
    held.called("child");
    let init = host::parent(held.process()).unwrap();
    let (own, hosts) = (outside::namespaces(init), outside::namespaces(std::process::id()));
    let kinds: BTreeSet<&str> = own.keys().map(String::as_str).collect();
    let known = ["cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts"];
    assert_eq!(kinds, BTreeSet::from(known));
    assert!(own.iter().all(|(kind, namespace)| hosts.get(kind) != Some(namespace)), "{own:#?}\n{hosts:#?}");
    let others = host::descendants(init);
    assert!(others.len() >= 2, "{others:?}");
    for process in others {
        assert_eq!(outside::namespaces(process), own, "process {process}");
    }
    held.release();
}

/// What `/proc` shows of the machine is in the document, with the reason.
#[test]
fn what_proc_shows_is_explained_in_the_document() {
    let document = include_str!("../../../docs/SECURITY.md");
    let golden: BTreeMap<String, Value> = serde_json::from_str(PROGRAM).unwrap();
    let shown = golden.iter().filter(|(name, _)| name.strip_prefix("proc/").is_some_and(|rest| !rest.contains('/')));
    let missing = shown.filter_map(|(name, expected)| {
        let (name, why) = (name.strip_prefix("proc/").unwrap(), expected["why"].as_str().unwrap_or_default());
        let row = format!("| `{name}` | {why} |");
        let hidden = why.starts_with("hidden") && document.contains(&format!("`{name}`"));
        (!hidden && !document.contains(&row)).then_some(row)
    });
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<String>::new(), "rows that docs/SECURITY.md lacks");
}
