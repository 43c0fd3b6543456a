//! Which control groups are mounted, read from `mountinfo` and `cgroup` of /proc/self (proc(5)).
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::sys::cgroup;

/// The control groups of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroups {
    /// The version 2 hierarchy.
    pub unified: Option<Unified>,
    /// Version 1 hierarchies by controller.
    pub v1: BTreeMap<String, Hierarchy>,
    /// Whether a file that limits swap was found.
    pub swap_limit: bool,
}

/// The version 2 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unified {
    /// Directory of the group in which the spawner would make its own.
    pub delegated: PathBuf,
    /// Whether that is the root of the hierarchy, where no group has limits.
    pub at_root: bool,
    /// Whether it is mounted for writing.
    pub writable: bool,
    /// Controllers that this group may hand on.
    pub controllers: Vec<String>,
}

/// A version 1 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Whether it is mounted for writing.
    pub writable: bool,
}

/// What is mounted; controllers of version 2 and the limit of swap stand in files, not here.
pub(super) fn mounted(mountinfo: &str, own: &str) -> Cgroups {
    let mut cgroups = Cgroups::default();
    for line in mountinfo.lines() {
        let Some(mount) = Mount::parse(line) else { continue };
        match mount.kind {
            "cgroup2" if cgroups.unified.is_none() => cgroups.unified = Some(mount.unified(own)),
            "cgroup" => {
                for controller in mount.super_options.split(',') {
                    let hierarchy = Hierarchy { mount: PathBuf::from(mount.point), writable: mount.writable };
                    cgroups.v1.entry(controller.to_owned()).or_insert(hierarchy);
                }
            }
            _other => {}
        }
    }
    cgroups.v1.remove("rw");
    cgroups.v1.remove("ro");
    cgroups
}

/// Files of which one is there where swap can be limited. The root group of version 2 has none.
pub(super) fn swap_files(cgroups: &Cgroups) -> Vec<PathBuf> {
    let unified = cgroups.unified.iter().map(|unified| unified.delegated.join("memory.swap.max"));
    let v1 = cgroups.v1.get("memory").into_iter();
    unified.chain(v1.map(|memory| memory.mount.join("memory.memsw.limit_in_bytes"))).collect()
}

struct Mount<'a> {
    point: &'a str,
    writable: bool,
    kind: &'a str,
    super_options: &'a str,
}

impl<'a> Mount<'a> {
    /// `36 35 98:0 /root /mount/point rw,noatime master:1 - cgroup2 source rw,options`.
    fn parse(line: &'a str) -> Option<Self> {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(4);
        let (point, options) = (front.next()?, front.next()?);
        let mut back = back.split(' ');
        let (kind, _source, super_options) = (back.next()?, back.next()?, back.next()?);
        let writable = |options: &str| options.split(',').any(|option| option == "rw");
        let writable = writable(options) && writable(super_options);
        Some(Self { point, writable, kind, super_options })
    }

    fn unified(&self, own: &str) -> Unified {
        let group = cgroup::delegated(own).unwrap_or(Path::new(""));
        Unified {
            delegated: Path::new(self.point).join(group),
            at_root: group == Path::new(""),
            writable: self.writable,
            controllers: Vec::new(),
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    const HYBRID: &str = "\
30 20 0:25 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
31 30 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
32 30 0:27 / /sys/fs/cgroup/memory ro,relatime shared:1 - cgroup cgroup rw,memory
33 30 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn both_versions_are_found() {
        let found = mounted(HYBRID, "2:memory:/x\n0::/\n");
        assert_eq!(found.v1.keys().collect::<Vec<_>>(), ["cpu", "memory"]);
        assert!(found.v1["cpu"].writable && !found.v1["memory"].writable);
        let unified = found.unified.unwrap();
        assert_eq!(unified.delegated, Path::new("/sys/fs/cgroup/unified/"));
        assert!(unified.at_root && unified.writable);
    }

    #[test]
    fn the_delegated_group_is_below_the_mount() {
        let line = "33 30 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let unified = mounted(line, "0::/system.slice/kiln.service\n").unified.unwrap();
        assert_eq!(unified.delegated, Path::new("/sys/fs/cgroup/system.slice/kiln.service"));
        assert!(!unified.at_root);
        assert_eq!(mounted(line, "0::/system.slice/kiln.service/daemon\n").unified.unwrap(), unified);
    }

    #[test]
    fn a_broken_line_is_no_mount() {
        assert_eq!(mounted("nonsense\n1 2 - cgroup2\n", ""), Cgroups::default());
    }

    #[test]
    fn swap_is_limited_by_a_file_of_either_version() {
        let files = swap_files(&mounted(HYBRID, "0::/\n"));
        assert_eq!(files[0], Path::new("/sys/fs/cgroup/unified/memory.swap.max"));
        assert_eq!(files[1], Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"));
    }
}
