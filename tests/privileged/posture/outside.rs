//! What root on the host sees of init and of a program: of init nothing can be seen from inside.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::{Value, json};

use super::golden::Found;
use crate::host;

/// Of `/proc/PID/status`: counts of use, and numbers of processes.
const COUNTS: [&str; 15] = [
    "Vm",
    "Rss",
    "voluntary",
    "nonvoluntary",
    "Hugetlb",
    "Pid",
    "Tgid",
    "NSpid",
    "NStgid",
    "NSpgid",
    "NSsid",
    "PPid",
    "State",
    "FDSize",
    "SigQ",
];

fn read(process: u32, name: &str) -> String {
    String::from_utf8(fs::read(format!("/proc/{process}/{name}")).unwrap()).unwrap()
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The lines of `/proc/PID/status` that are no counts.
pub(super) fn status(process: u32) -> BTreeMap<String, String> {
    let text = read(process, "status");
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let kept = lines.filter(|(name, _)| !COUNTS.iter().any(|count| name.starts_with(count)));
    kept.map(|(name, value)| (name.to_owned(), words(value))).collect()
}

/// The limits of a process, each as its soft and hard value.
pub(super) fn limits(process: u32) -> BTreeMap<String, Value> {
    let text = read(process, "limits");
    // Columns of proc_pid_limits(5): 26, 21 and 21 characters, then the unit.
    let limit = |line: &str| (line[..26].trim().to_owned(), json!([line[26..47].trim(), line[47..68].trim()]));
    text.lines().skip(1).map(limit).collect()
}

fn stat(process: u32) -> Vec<String> {
    let text = read(process, "stat");
    text.rsplit_once(") ").unwrap().1.split_whitespace().map(str::to_owned).collect()
}

/// The first id of the block that a process has its ids from.
fn first_id(process: u32) -> u32 {
    read(process, "uid_map").split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn descriptors(process: u32) -> BTreeMap<String, String> {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).unwrap().map(Result::unwrap);
    let target = |path: &Path| fs::read_link(path).unwrap().to_string_lossy().into_owned();
    let kind = |target: String| target.split_once(":[").map_or(target.clone(), |(kind, _)| kind.to_owned());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), kind(target(&entry.path())))).collect()
}

/// Kinds of memory that init has: how it may be used, and what it is.
fn memory(process: u32) -> BTreeSet<String> {
    let text = read(process, "maps");
    let kind = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        words(&format!("{} {}", columns[1], columns[5..].join(" ")))
    };
    text.lines().map(kind).collect()
}

/// Everything of init.
pub(super) fn init(process: u32, instance: &str) -> Found {
    let base = first_id(process);
    let mut found = Found::new();
    let mut tell = |name: &str, value: Value| assert_eq!(found.insert(name.to_owned(), value), None, "{name}");
    for (name, value) in status(process) {
        let value = match name.as_str() {
            "Uid" | "Gid" => {
                let ids = value.split(' ').map(|id| id.parse::<u32>().unwrap() - base);
                json!(ids.collect::<Vec<_>>())
            }
            _ => json!(value),
        };
        tell(&format!("status/{name}"), value);
    }
    for (name, value) in limits(process) {
        tell(&format!("limit/{name}"), value);
    }
    for (name, value) in descriptors(process) {
        tell(&format!("descriptor/{name}"), json!(value));
    }
    for link in ["exe", "cwd", "root"] {
        tell(link, json!(fs::read_link(format!("/proc/{process}/{link}")).unwrap()));
    }
    for name in ["environ", "cmdline", "oom_score_adj", "timerslack_ns", "coredump_filter", "personality", "setgroups"]
    {
        tell(name, json!(read(process, name).trim_end_matches('\n')));
    }
    let stat = stat(process);
    // Fields of proc_pid_stat(5), counted from the third.
    for (name, field) in [("terminal", 4), ("priority", 15), ("nice", 16), ("real time priority", 37), ("policy", 38)] {
        tell(name, json!(stat[field]));
    }
    tell("leads its session", json!(stat[3] == process.to_string() && stat[2] == stat[3]));
    // An undumpable process does not own what is in its folder: root does (proc(5), /proc/PID).
    tell("owner of its files in /proc", json!(fs::metadata(format!("/proc/{process}/environ")).unwrap().uid()));
    for kind in memory(process) {
        tell(&format!("memory/{kind}"), json!(true));
    }
    let own = format!("/kiln-{instance}/");
    let groups = read(process, "cgroup");
    let of_instance = groups.lines().filter(|line| line.contains(&own)).count();
    let controllers = ["memory", "pids", "cpu", "cpuacct", "blkio"];
    let has = |controller: &&str| {
        groups
            .lines()
            .any(|line| line.contains(&own) && line.split(':').nth(1).unwrap().split(',').any(|c| c == *controller))
    };
    let unified = groups.lines().any(|line| line.starts_with("0::") && line.contains(&own));
    let lacking: Vec<_> = controllers.iter().filter(|controller| !unified && !has(controller)).collect();
    tell("controllers that do not hold it", json!(lacking));
    assert!(of_instance > 0, "{groups}");
    found
}

/// What the golden structure may refer to.
pub(super) fn facts() -> Found {
    let own = std::process::id();
    let mut facts: Found =
        status(own).into_iter().map(|(name, value)| (format!("status/{name}"), json!(value))).collect();
    facts.extend(limits(own).into_iter().map(|(name, value)| (format!("limit/{name}"), value)));
    let processes = limits(own)["Max processes"].clone();
    let number = |text: &Value| text.as_str().unwrap().parse::<i64>().unwrap_or(-1);
    facts.insert(String::from("RLIMIT_NPROC"), json!([number(&processes[0]), number(&processes[1])]));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    facts.insert(String::from("release"), json!(release.trim_end()));
    facts.insert(String::from("processors"), json!(list(&host::status(own, "Cpus_allowed_list"))));
    // The kernel keeps what a process with CAP_SYS_RESOURCE set as the least (proc_pid_oom_score_adj(5)).
    let capable = u64::from_str_radix(&host::status(own, "CapEff"), 16).unwrap() & (1 << 24) != 0;
    facts.insert(String::from("out of memory"), json!(if capable { "EACCES" } else { "OK" }));
    facts.insert(String::from("filters of a job"), json!(host::filters_of_a_job()));
    facts
}

/// `0-2,4` as numbers.
fn list(text: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse::<u32>().unwrap()..=last.parse().unwrap()
    };
    text.split(',').flat_map(range).collect()
}

/// The namespaces of a process, by kind (namespaces(7)).
pub(super) fn namespaces(process: u32) -> BTreeMap<String, String> {
    let entries = fs::read_dir(format!("/proc/{process}/ns")).unwrap().map(Result::unwrap);
    let link = |path: &Path| fs::read_link(path).unwrap().to_string_lossy().into_owned();
    entries.map(|entry| (entry.file_name().into_string().unwrap(), link(&entry.path()))).collect()
}
