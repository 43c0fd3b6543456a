//! Every system call by its number, by the gates of x86-64, x32 and i386, asked for inside a sandbox: what is refused and
//! how is what `seccomp-profiles/job.json` says.
//!
//! The profile is read here once more, by its own rules (`seccomp-profiles/README.md`, "How the rules combine"), and not by
//! the compiler that made the filter.
use std::collections::BTreeMap;

use serde_json::Value;

use super::manifest::{Attempt, Family};
use super::programs::Programs;
use crate::harness::{printed, shared};

const PROFILE: &str = include_str!("../../../seccomp-profiles/job.json");
/// Numbers and names on x86-64 (`arch/x86/entry/syscalls/syscall_64.tbl` of the kernel).
const CALLS: &str = include_str!("../../hostile/calls.txt");

const LAST: u32 = 600;
/// All six arguments of every call.
const ARGUMENT: u64 = u64::MAX;
const KILLED: &str = "SIG31";

/// Allowed, and the kernel's own answer is one that a refusal would give too.
const OWN_ANSWERS: &[(&str, &str, &str)] = &[
    ("futex", "38", "ENOSYS is what it says to an operation that it does not know (futex(2))"),
    ("setgroups", "1", "needs a capability that no job has (setgroups(2))"),
    ("landlock_create_ruleset", "38", "not in every kernel"),
    ("landlock_add_rule", "38", "not in every kernel"),
    ("landlock_restrict_self", "38", "not in every kernel"),
    ("map_shadow_stack", "38", "since Linux 6.6"),
    ("fchmodat2", "38", "since Linux 6.6"),
    ("futex_wake", "38", "since Linux 6.7"),
    ("futex_wait", "38", "since Linux 6.7"),
    ("futex_requeue", "38", "since Linux 6.7"),
    ("mseal", "38", "since Linux 6.10"),
];

/// What the profile says about a call with these arguments: the number of an error, or nothing when it is allowed.
fn refusal(profile: &Value, name: &str) -> Option<u64> {
    let rules = profile["syscalls"].as_array().unwrap();
    let of_call = rules.iter().filter(|rule| rule["names"].as_array().unwrap().iter().any(|named| named == name));
    let (with, without): (Vec<&Value>, Vec<&Value>) = of_call.partition(|rule| rule["args"].is_array());
    let allows = |rule: &&&Value| rule["action"] == "SCMP_ACT_ALLOW";
    let matching: Vec<&Value> = with.into_iter().filter(|rule| matches(rule)).collect();
    let errno = |rule: &Value| rule["errnoRet"].as_u64().unwrap();
    if let Some(refused) = matching.iter().find(|rule| !allows(rule)) {
        return Some(errno(refused));
    }
    if matching.iter().any(|rule| allows(&rule)) || without.iter().any(|rule| allows(&rule)) {
        return None;
    }
    let default = profile["defaultErrnoRet"].as_u64().unwrap();
    Some(without.first().map_or(default, |rule| errno(rule)))
}

fn matches(rule: &Value) -> bool {
    rule["args"].as_array().unwrap().iter().all(|argument| {
        assert_eq!(argument["op"], "SCMP_CMP_MASKED_EQ");
        let number = |name: &str| argument[name].as_u64().unwrap();
        ARGUMENT & number("value") == number("valueTwo")
    })
}

fn names() -> BTreeMap<u32, &'static str> {
    let call = |line: &'static str| line.split_once(' ').map(|(number, name)| (number.parse().unwrap(), name));
    CALLS.lines().filter_map(call).collect()
}

/// What is wrong with the fate of a call by x86-64's own gate.
fn fault(profile: &Value, number: u32, name: &str, fate: &str) -> Option<String> {
    // The kernel's own probes pass every filter since Linux 6.14 and end who calls them by hand.
    if matches!(number, 335 | 336) && fate != "0" {
        return None;
    }
    let right = refusal(profile, name);
    let is_own = OWN_ANSWERS.iter().any(|(call, answer, _)| (*call, *answer) == (name, fate));
    let wrong = match right {
        Some(errno) => fate != errno.to_string(),
        None => matches!(fate, "1" | "38" | KILLED) && !is_own,
    };
    wrong.then(|| format!("{number} {name}: {fate}, and the profile says {right:?}"))
}

/// How each call ended, by gate and number.
fn fates() -> BTreeMap<(String, u32), String> {
    let attempt = Attempt {
        name: String::from("every call"),
        family: Family::Kernel,
        program: String::from("c/every_call.c"),
        args: Vec::new(),
        request: Value::Null,
        ends: Vec::new(),
        exit: 0,
        hits: Vec::new(),
        says: None,
        layers: Vec::new(),
        why: String::new(),
        escapes: Vec::new(),
    };
    let job = shared().execute(&Programs::compile().request(&attempt));
    let parse = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        ((words[0].to_owned(), words[1].parse().unwrap()), words[2].to_owned())
    };
    printed(&job).lines().map(parse).collect()
}

#[test]
fn every_number_by_every_gate_is_answered_as_the_profile_says() {
    let (profile, names, fates) = (serde_json::from_str(PROFILE).unwrap(), names(), fates());
    let mut faults = Vec::new();
    for number in 0..=LAST {
        let of_gate = |gate: &str| fates[&(gate.to_owned(), number)].as_str();
        let name = names.get(&number).copied().unwrap_or("of no call");
        faults.extend(fault(&profile, number, name, of_gate("x86-64")));
        if of_gate("x32") != KILLED {
            faults.push(format!("{number} by x32: {}", of_gate("x32")));
        }
        // A kernel without 32-bit calls has no such gate: the interrupt is a fault then.
        if !matches!(of_gate("i386"), KILLED | "SIG11") {
            faults.push(format!("{number} by i386: {}", of_gate("i386")));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_name_of_the_profile_has_a_number() {
    let profile: Value = serde_json::from_str(PROFILE).unwrap();
    let names = names();
    let rules = profile["syscalls"].as_array().unwrap().iter();
    let used = rules.flat_map(|rule| rule["names"].as_array().unwrap()).map(|name| name.as_str().unwrap());
    let unknown: Vec<&str> = used.filter(|used| !names.values().any(|name| name == used)).collect();
    assert_eq!(unknown, Vec::<&str>::new());
}

#[test]
fn a_call_that_gets_through_or_is_refused_otherwise_is_found() {
    let profile = serde_json::from_str(PROFILE).unwrap();
    for (number, name, fate) in
        [(165, "mount", "14"), (165, "mount", "38"), (0, "read", "38"), (599, "of no call", "0")]
    {
        assert!(fault(&profile, number, name, fate).is_some(), "{name} {fate}");
    }
    for (number, name, fate) in [(165, "mount", "1"), (0, "read", "9"), (599, "of no call", "38"), (56, "clone", "1")] {
        assert_eq!(fault(&profile, number, name, fate), None);
    }
}
