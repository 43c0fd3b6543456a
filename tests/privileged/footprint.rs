//! What the host shows of a daemon at rest, to be compared with what it shows after much work.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::harness::{Daemon, seconds, until};
use crate::host;

/// Every kind of namespace (namespaces(7)) that a sandbox has of its own.
const NAMESPACES: [&str; 7] = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];
/// The first user id on the host that a job may have.
const FIRST_JOB_USER: u32 = 0x4000_0000;

/// What must be as it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Footprint {
    descendants: BTreeSet<u32>,
    server_descriptors: BTreeMap<String, usize>,
    spawner_descriptors: BTreeMap<String, usize>,
    spawner_mounts: Vec<String>,
    spawner_stage: BTreeSet<PathBuf>,
    host_mounts: Vec<String>,
    cgroups: Vec<PathBuf>,
    namespaces: Vec<BTreeSet<PathBuf>>,
    locks: BTreeSet<PathBuf>,
    data: BTreeSet<PathBuf>,
    temporary: BTreeSet<PathBuf>,
}

impl Footprint {
    pub(crate) fn of(daemon: &Daemon) -> Self {
        let (server, spawner) = (daemon.server(), daemon.spawner());
        let own_and_below: BTreeSet<u32> = host::descendants(server).into_iter().chain([server]).collect();
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
            namespaces: NAMESPACES.map(|kind| host::namespaces(kind, own_and_below.clone())).into(),
            locks: entries(Path::new("/run/kiln"))
                .into_iter()
                .filter(|path| !is_another_daemons(path, daemon))
                .collect(),
            data: host::paths_below(daemon.data()).into_iter().filter(|path| !is_record(path)).collect(),
            temporary: ["/tmp", "/var/tmp", "/dev/shm", "/run/kiln"].into_iter().flat_map(of_jobs).collect(),
        }
    }

    /// Connections that clients have closed and trees that are dropped take a moment after the answer, and what is kept for
    /// other jobs is let go a second later. For a daemon that prepares no sandboxes.
    #[track_caller]
    pub(crate) fn at_rest(daemon: &Daemon) -> Self {
        until(seconds(30), "the daemon is at rest", || {
            let (found, again) = (Self::of(daemon), Self::of(daemon));
            let is_alone = found.descendants == BTreeSet::from([daemon.spawner()]);
            let has_no_tree = !found.spawner_stage.iter().any(|path| path.to_string_lossy().contains("tree-"));
            let keeps_nothing = ["net", "user"].iter().all(|kind| !found.spawner_descriptors.contains_key(*kind));
            (is_alone && has_no_tree && keeps_nothing && found == again).then_some(found)
        })
    }

    /// What a later daemon on the same data has in common with this one.
    pub(crate) fn on_disk(&self) -> (&BTreeSet<PathBuf>, &BTreeSet<PathBuf>, &[String]) {
        (&self.data, &self.temporary, &self.host_mounts)
    }
}

/// The names in a folder.
fn entries(folder: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Files of any job in a folder of the host.
fn of_jobs(folder: &str) -> BTreeSet<PathBuf> {
    let found = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_a_jobs = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|found| found.uid() >= FIRST_JOB_USER);
    found.map(|entry| entry.path()).filter(is_a_jobs).collect()
}

/// Daemons of other tests begin and end meanwhile.
fn is_another_daemons(lock: &Path, daemon: &Daemon) -> bool {
    let name = lock.file_name().unwrap().to_str().unwrap();
    name.starts_with("ids-") || name.starts_with("instance-") && !name.contains(daemon.instance())
}

/// Objects of the kernel's own that sandboxes are made of, by how many there are on the whole host.
#[derive(Debug)]
pub(crate) struct KernelObjects(BTreeMap<&'static str, usize>);

/// Where something stays for each sandbox it is at least so many of these (slabinfo(5)).
const OBJECTS: [(&str, usize); 4] =
    [("net_namespace", 1), ("pid_namespace", 1), ("user_namespace", 1), ("mnt_cache", 20)];

impl KernelObjects {
    /// Empty where the host does not tell; a cache that the kernel has merged with another is left out.
    pub(crate) fn now() -> Self {
        let text = fs::read_to_string("/proc/slabinfo").unwrap_or_default();
        let count = |(name, _): (&'static str, usize)| {
            let line = text.lines().find(|line| line.split(' ').next() == Some(name))?;
            Some((name, line.split_whitespace().nth(1)?.parse().ok()?))
        };
        Self(OBJECTS.into_iter().filter_map(count).collect())
    }

    /// What has grown as if half of so many sandboxes had left something. Other daemons come and go meanwhile, and the
    /// kernel frees a namespace some time after its last process.
    pub(crate) fn leaked_since(&self, before: &Self, sandboxes: usize) -> Vec<String> {
        let grown = |(name, each): &(&'static str, usize)| {
            let (now, then) = (self.0.get(name)?, before.0.get(name)?);
            let most = each * (sandboxes / 2).max(250);
            (*now > then + most).then(|| format!("{name}: {then}, now {now}"))
        };
        OBJECTS.iter().filter_map(grown).collect()
    }
}

/// Memory that a process has of its own, KiB.
pub(crate) fn resident(process: u32) -> u64 {
    host::status(process, "VmRSS").trim_end_matches(" kB").parse().unwrap()
}
