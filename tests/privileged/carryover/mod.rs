//! Nothing of a job is found by those after it in the same place.
//!
//! A daemon with one place runs one job at a time, so that whatever it keeps from one sandbox for the next is used by
//! the next. What differs between two jobs and may is named in one table, `MAY_DIFFER` of `probe.py`.
mod phases;
mod share;
mod usage;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::harness::{Daemon, printed, python, with};

/// Prints everything that a program can observe.
const PROBE: &str = include_str!("probe.py");
/// Looks for traces (`look`), or leaves them (`leave`).
const TRACES: &str = include_str!("traces.py");

/// After a job that left everything, this many look.
const FOLLOWERS: usize = 10;
const FEW_FOLLOWERS: usize = 3;
/// Of those that run after it, so many have its place at the latest: a daemon may have several by turns.
const MOST_FOLLOWERS: usize = 100;

/// A daemon that runs one job at a time.
fn one_place() -> Daemon {
    Daemon::start(&[("KILN_API_JOB_MAX_CONCURRENT", "1")])
}

fn traces(what: &str) -> Value {
    with(python(TRACES), json!({"args": [what], "limits": {"processes": 64, "open_files": 1024}}))
}

#[track_caller]
fn object(job: &Value) -> BTreeMap<String, Value> {
    serde_json::from_str(printed(job)).unwrap()
}

/// Names with what they were and what they are, where that is not the same.
fn differences<'a>(
    before: &'a BTreeMap<String, Value>,
    now: &'a BTreeMap<String, Value>,
) -> Vec<(&'a str, Option<&'a Value>, Option<&'a Value>)> {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let both = names.into_iter().map(|name| (name.as_str(), before.get(name), now.get(name)));
    both.filter(|(_, before, now)| before != now).collect()
}

#[track_caller]
fn assert_same(before: &BTreeMap<String, Value>, now: &BTreeMap<String, Value>, which: &str) {
    let found = differences(before, now);
    assert!(found.is_empty(), "{which} differs from the first:\n{found:#?}");
}

/// What each part of `leave` must come to: what is allowed was done, what is refused was tried.
fn left() -> BTreeMap<String, Value> {
    let refused = json!(["EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"]);
    let done = ["survivors", "objects", "files", "sockets", "of_the_process", "quotas"];
    let tried = [("settings", json!([])), ("loopback", refused), ("mount", json!("EPERM")), ("name", json!("EPERM"))];
    let done = done.into_iter().map(|name| (name, json!("OK")));
    done.chain(tried).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What a job told, and in which block of ids it ran.
#[track_caller]
fn run(daemon: &Daemon, request: &Value) -> (BTreeMap<String, Value>, u64) {
    let mut told = object(&daemon.execute(request));
    let block = told.remove("block").unwrap().as_u64().unwrap();
    (told, block)
}

#[track_caller]
pub(crate) fn leave_traces(daemon: &Daemon) -> u64 {
    let (told, block) = run(daemon, &traces("leave"));
    assert_eq!(told, left());
    block
}

/// What `look` says of a new sandbox. Beside it are the quotas, of which each job has all.
fn nothing() -> BTreeMap<String, Value> {
    let way = json!([true, i32::MAX, 10, 3]);
    let same = [
        ("abstract connect", json!("ECONNREFUSED")),
        ("abstract bind", json!("OK")),
        ("flow label", json!("ENOENT")),
        ("keys", json!(["EPERM", "EPERM", "EPERM"])),
        ("ipc", json!(["ENOENT", "ENOENT", "ENOENT"])),
        ("message queue", json!("ENOENT")),
        ("lock", json!(true)),
        ("pids", json!([true, true])),
        ("files", json!([])),
    ];
    let of_each = |address: &str| {
        [
            (format!("listens on {address}"), json!("ECONNREFUSED")),
            (format!("bind {address}"), json!("OK")),
            (format!("way to {address}"), way.clone()),
        ]
    };
    let same = same.into_iter().map(|(name, value)| (name.to_owned(), value));
    same.chain(of_each("127.0.0.1")).chain(of_each("::1")).collect()
}

const QUOTAS: [&str; 5] = ["message queues", "inotify", "signals", "locked memory", "pipes"];

#[track_caller]
fn look(daemon: &Daemon) -> (BTreeMap<String, Value>, u64) {
    run(daemon, &traces("look"))
}

#[track_caller]
fn probe(daemon: &Daemon) -> (BTreeMap<String, Value>, u64) {
    run(daemon, &python(PROBE))
}

/// Sockets that wait (both families), names, objects, files, locks, labels of flows, what TCP remembers of a way, and
/// what one user may have of each.
#[test]
fn what_a_job_leaves_is_not_found_by_the_ten_after_it() {
    let daemon = one_place();
    let (first, _) = look(&daemon);
    let (quotas, rest): (BTreeMap<String, Value>, BTreeMap<String, Value>) =
        first.clone().into_iter().partition(|(name, _)| QUOTAS.contains(&name.as_str()));
    assert_same(&nothing(), &rest, "the first job");
    assert!(quotas.len() == QUOTAS.len() && quotas.values().all(|count| count.as_u64() > Some(0)), "{quotas:#?}");
    let (mut dirty, mut followers) = (BTreeSet::new(), 0);
    for number in 0..MOST_FOLLOWERS {
        // Neither of the two has always the same places.
        if number % 5 < 2 {
            dirty.insert(leave_traces(&daemon));
        } else {
            let (found, block) = look(&daemon);
            assert_same(&first, &found, &format!("job {number}"));
            followers += usize::from(dirty.contains(&block));
        }
        if followers == FOLLOWERS {
            return;
        }
    }
    panic!("of {MOST_FOLLOWERS} jobs {followers} had the place of one that left something");
}

#[test]
fn the_tenth_job_observes_what_the_first_did() {
    let daemon = one_place();
    let (first, _) = probe(&daemon);
    for name in ["self/net/snmp", "links/0", "mount/0", "file/work", "proc/sys/net/core/somaxconn", "status/CapBnd"] {
        assert!(first.contains_key(name), "{name} is not observed");
    }
    for number in 2..=FOLLOWERS {
        leave_traces(&daemon);
        assert_same(&first, &probe(&daemon).0, &format!("job {number}"));
    }
}

/// One kind after the other: whatever tells that a place was used must tell so of each alone.
#[test]
fn what_sends_no_packet_is_not_observed_either() {
    let daemon = one_place();
    let (first, _) = probe(&daemon);
    for kind in ["ways", "names", "groups"] {
        let (mut dirty, mut followers) = (BTreeSet::new(), 0);
        for number in 0..MOST_FOLLOWERS {
            // Neither of the two has always the same places.
            if number % 5 < 2 {
                let (told, block) = run(&daemon, &traces(kind));
                assert_eq!(told["whispered"], "OK", "{kind}");
                dirty.insert(block);
            } else {
                let (found, block) = probe(&daemon);
                assert_same(&first, &found, &format!("a job after {kind}"));
                followers += usize::from(dirty.contains(&block));
            }
            if followers == FEW_FOLLOWERS {
                break;
            }
        }
        assert_eq!(followers, FEW_FOLLOWERS, "jobs in the place of one that was at {kind}");
    }
}

#[test]
fn a_difference_is_found() {
    let before = BTreeMap::from([(String::from("same"), json!(1)), (String::from("gone"), json!(1))]);
    let now = BTreeMap::from([(String::from("same"), json!(1)), (String::from("new"), json!(2))]);
    assert_eq!(differences(&before, &now), [("gone", Some(&json!(1)), None), ("new", None, Some(&json!(2)))]);
}
