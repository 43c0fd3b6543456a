//! The doctor's judgement on hosts that were made up.
use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::cli::doctor::cgroup::{Cgroups, Hierarchy, Unified};
use crate::cli::doctor::facts::{Facts, NetworkFacts, Program};
use crate::cli::doctor::judge::{Verdict, judge};
use crate::cli::doctor::{healthy, print};

fn program(path: &str) -> Program {
    Program { path: PathBuf::from(path), found: true }
}

/// A host on which all is well: Debian 12, pure cgroup v2, in a delegated group.
fn good() -> Facts {
    Facts {
        architecture: String::from("x86_64"),
        kernel: Some(String::from("6.1.0-18-amd64")),
        uid: Some(0),
        capabilities: Some(u64::MAX),
        user_namespaces: Some(1000),
        landlock: Some(7),
        seccomp_actions: ["kill_process", "errno", "allow"].map(String::from).to_vec(),
        cgroups: Cgroups {
            unified: Some(Unified {
                delegated: PathBuf::from("/sys/fs/cgroup/kiln"),
                at_root: false,
                writable: true,
                controllers: ["cpu", "io", "memory", "pids"].map(String::from).to_vec(),
            }),
            v1: BTreeMap::new(),
            swap_limit: true,
        },
        swap_kib: Some(1024),
        spawner: program("/usr/bin/kiln-spawner"),
        network: Some(NetworkFacts {
            filter: program("/usr/sbin/nft"),
            forwarding: vec![("net.ipv4.ip_forward", Some(false)), ("net.ipv6.conf.all.forwarding", Some(true))],
        }),
        tools: vec![(String::from("c"), program("/usr/bin/gcc"))],
    }
}

fn v1() -> BTreeMap<String, Hierarchy> {
    let hierarchy = Hierarchy { mount: PathBuf::from("/cg"), writable: true };
    let names = ["cpu", "cpuacct", "memory", "pids", "blkio"];
    names.map(|name| (String::from(name), hierarchy.clone())).into()
}

/// Changes the good host; the one check that is not ok then has this name, verdict and fact.
#[track_caller]
fn check(change: impl FnOnce(&mut Facts), name: &str, verdict: Verdict, fact: &str) {
    let mut facts = good();
    change(&mut facts);
    let checks = judge(&facts);
    let ill: Vec<_> = checks.iter().filter(|check| check.verdict != Verdict::Ok).collect();
    assert_eq!(ill.len(), 1, "{ill:?}");
    assert_eq!((ill[0].name.as_str(), ill[0].verdict), (name, verdict));
    assert!(ill[0].fact.contains(fact), "{ill:?}");
    assert!(!ill[0].fix.is_empty());
    assert_eq!(healthy(&checks), verdict == Verdict::Warn);
}

#[track_caller]
fn check_well(change: impl FnOnce(&mut Facts)) {
    let mut facts = good();
    change(&mut facts);
    let checks = judge(&facts);
    assert!(checks.iter().all(|check| check.verdict == Verdict::Ok), "{checks:?}");
}

#[test]
fn a_good_host_is_well() {
    check_well(|_facts| {});
}

#[test]
fn a_hybrid_host_is_well() {
    check_well(|facts| {
        facts.cgroups.v1 = v1();
        facts.cgroups.unified.as_mut().unwrap().controllers.clear();
    });
}

#[test]
fn an_old_or_unknown_kernel_fails_and_an_untested_one_warns() {
    let set = |release: &'static str| move |facts: &mut Facts| facts.kernel = Some(release.into());
    check(set("5.10.0-1-amd64"), "kernel", Verdict::Fail, "5.10.0");
    check(set("5.15.7"), "kernel", Verdict::Warn, "5.15.7");
    check(set("odd"), "kernel", Verdict::Fail, "odd");
    check(|facts| facts.kernel = None, "kernel", Verdict::Fail, "unknown");
    check_well(set("6.18.44-fc"));
}

#[test]
fn another_architecture_fails() {
    check(|facts| facts.architecture = "aarch64".into(), "architecture", Verdict::Fail, "aarch64");
}

#[test]
fn a_user_who_is_not_root_fails() {
    check(|facts| facts.uid = Some(1000), "root", Verdict::Fail, "uid 1000");
}

#[test]
fn each_missing_capability_is_named() {
    let without = !(1_u64 << 21 | 1 << 31);
    let expected = "missing SYS_ADMIN, SETFCAP";
    check(|facts| facts.capabilities = Some(without), "capabilities", Verdict::Fail, expected);
    check(|facts| facts.capabilities = None, "capabilities", Verdict::Fail, "unknown");
}

#[test]
fn namespaces_and_seccomp_must_be_there() {
    check(|facts| facts.user_namespaces = Some(0), "user namespaces", Verdict::Fail, "at most 0");
    check(|facts| facts.user_namespaces = None, "user namespaces", Verdict::Fail, "not there");
    check(|facts| facts.landlock = Some(0), "landlock", Verdict::Warn, "not there");
    check(|facts| facts.landlock = Some(1), "landlock", Verdict::Warn, "not used");
    check(|facts| facts.seccomp_actions.clear(), "seccomp", Verdict::Fail, "not there");
}

#[test]
fn a_missing_controller_is_named() {
    let drop_io = |facts: &mut Facts| {
        facts.cgroups.unified.as_mut().unwrap().controllers.retain(|name| name != "io");
    };
    check(drop_io, "cgroup io", Verdict::Fail, "not available");
}

#[test]
fn version_1_needs_cpuacct_as_well_and_write_access() {
    let without = |facts: &mut Facts| {
        facts.cgroups.unified.as_mut().unwrap().controllers.clear();
        facts.cgroups.v1 = v1();
        facts.cgroups.v1.remove("cpuacct");
    };
    check(without, "cgroup cpu", Verdict::Fail, "not available");
    let read_only = |facts: &mut Facts| {
        facts.cgroups.unified.as_mut().unwrap().controllers.clear();
        facts.cgroups.v1 = v1();
        facts.cgroups.v1.get_mut("pids").unwrap().writable = false;
    };
    check(read_only, "cgroup pids", Verdict::Fail, "not available");
}

#[test]
fn the_unified_hierarchy_must_be_there_for_writing() {
    let none = |facts: &mut Facts| {
        facts.cgroups.v1 = v1();
        facts.cgroups.unified = None;
    };
    check(none, "cgroup v2 hierarchy", Verdict::Fail, "not mounted");
    let read_only = |facts: &mut Facts| facts.cgroups.unified.as_mut().unwrap().writable = false;
    check(read_only, "cgroup v2 hierarchy", Verdict::Fail, "read-only");
}

#[test]
fn swap_must_be_limited_or_absent() {
    check(|facts| facts.cgroups.swap_limit = false, "swap", Verdict::Fail, "cannot be limited");
    let at_root = |facts: &mut Facts| {
        facts.cgroups.swap_limit = false;
        facts.cgroups.unified.as_mut().unwrap().at_root = true;
    };
    check(at_root, "swap", Verdict::Warn, "not known");
    check_well(|facts| {
        facts.cgroups.swap_limit = false;
        facts.swap_kib = Some(0);
    });
}

#[test]
fn a_missing_spawner_fails_and_a_missing_tool_warns() {
    check(|facts| facts.spawner.found = false, "spawner", Verdict::Fail, "/usr/bin/kiln-spawner");
    check(|facts| facts.tools[0].1.found = false, "language c", Verdict::Warn, "/usr/bin/gcc");
}

#[test]
fn a_line_has_verdict_name_fact_and_fix() {
    let mut facts = good();
    facts.uid = Some(7);
    let mut out = Vec::new();
    print(&judge(&facts), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("ok   architecture: x86_64\n"), "{text}");
    assert!(text.contains("FAIL root: uid 7 — run as root"), "{text}");
}

#[test]
fn jobs_with_network_need_the_packet_filter_and_forwarding() {
    let change = |facts: &mut Facts| facts.network.iter_mut().for_each(|network| network.filter.found = false);
    check(change, "network filter", Verdict::Fail, "/usr/sbin/nft is not there");
    let change = |facts: &mut Facts| facts.network.iter_mut().for_each(|network| network.forwarding[1].1 = None);
    check(change, "network forwarding", Verdict::Fail, "net.ipv6.conf.all.forwarding is not there");
    assert!(!judge(&Facts { network: None, ..good() }).iter().any(|check| check.name.starts_with("network")));
}
