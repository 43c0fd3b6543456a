//! What the host itself shows of a daemon, from outside: processes, cgroups, mounts, descriptors.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// Whether there is such a process, other than one that only waits to be reaped.
pub(crate) fn is_alive(process: u32) -> bool {
    state(process).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// The state of a process (`proc_pid_stat(5)`); nothing when there is no such process.
pub(crate) fn state(process: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// A number of `/proc/PID/stat`, by its place in proc(5).
pub(crate) fn stat(process: u32, place: usize) -> i64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The third is the first behind the name.
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(place - 3).unwrap().parse().unwrap()
}

/// What a process calls itself.
pub(crate) fn name(process: u32) -> String {
    let text = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    text.trim_end().to_owned()
}

/// Every process of the host whose command line has this word.
pub(crate) fn processes_with(word: &str) -> BTreeSet<u32> {
    processes().filter(|process| command_line(*process).split(' ').any(|part| part == word)).collect()
}

/// Every process below this one.
pub(crate) fn descendants(of: u32) -> BTreeSet<u32> {
    let parents: BTreeMap<u32, u32> = processes().filter_map(|process| Some((process, parent(process)?))).collect();
    let is_below = |process: &u32| {
        let line = std::iter::successors(parents.get(process), |parent| parents.get(parent));
        line.take(parents.len()).any(|ancestor| *ancestor == of)
    };
    parents.keys().copied().filter(is_below).collect()
}

/// Every process of the host.
pub(crate) fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The parent of a process.
pub(crate) fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(1)?.parse().ok()
}

/// The command line of a process, words parted by spaces.
fn command_line(process: u32) -> String {
    let bytes = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// The namespaces of one kind that these processes are in.
pub(crate) fn namespaces(kind: &str, processes: impl IntoIterator<Item = u32>) -> BTreeSet<PathBuf> {
    let links = processes.into_iter().map(|process| fs::read_link(format!("/proc/{process}/ns/{kind}")));
    links.filter_map(Result::ok).collect()
}

/// Directories of any hierarchy below this instance's group, and that group.
pub(crate) fn cgroups_of(instance: &str) -> Vec<PathBuf> {
    let name = format!("kiln-{instance}");
    let folders = WalkDir::new("/sys/fs/cgroup").into_iter().flatten().filter(|entry| entry.file_type().is_dir());
    let named = |path: &Path| path.components().any(|part| part.as_os_str() == name.as_str());
    folders.map(walkdir::DirEntry::into_path).filter(|path| named(path)).collect()
}

/// The processes in a cgroup.
pub(crate) fn members(group: &Path) -> Vec<u32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// What the open descriptors of a process lead to, by kind: `socket`, `pipe`, a path, …
pub(crate) fn descriptors(process: u32) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten() {
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let target = target.to_string_lossy().into_owned();
        let kind = target.split_once(":[").map_or(target.as_str(), |(kind, _)| kind);
        *found.entry(kind.to_owned()).or_default() += 1;
    }
    found
}

/// Where something is mounted, as a process sees it.
pub(crate) fn mounts(process: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{process}/mountinfo")).unwrap();
    let mut places: Vec<String> = text.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect();
    places.sort();
    places
}

/// Every path below a folder but the folder itself.
pub(crate) fn paths_below(folder: &Path) -> BTreeSet<PathBuf> {
    WalkDir::new(folder).min_depth(1).into_iter().flatten().map(walkdir::DirEntry::into_path).collect()
}

/// A job has one seccomp filter of its own. Those of whoever started kiln, which are this process's, are inherited.
pub(crate) fn filters_of_a_job() -> String {
    let inherited: u32 = status(std::process::id(), "Seccomp_filters").parse().unwrap();
    (inherited + 1).to_string()
}

/// A line of `/proc/<process>/status`.
pub(crate) fn status(process: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}
