//! What every sandbox of a job has, whatever its plan asks for. The spawner puts it in force, and the
//! OCI form of a plan (`oci`) shows it: both read it here.
use std::ffi::CStr;

use crate::plan::JOB_ID;
use crate::plan::limits::{Limits, widen};

/// Name of the host, as programs see it.
pub const HOSTNAME: &str = "kiln";

/// What new files do not permit.
pub const UMASK: u32 = 0o022;

/// A job goes before any service of the host (`proc_pid_oom_score_adj(5)`).
pub const OOM_SCORE_ADJ: i32 = 800;

/// User and group ids of a sandbox: 0 and so many that follow are mapped, onto a block of its own.
pub const ID_BLOCK: u32 = 2048;

/// Namespaces of its own (namespaces(7)), by their names in the OCI runtime specification.
pub const NAMESPACES: &[&str] = &["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"];

/// Character devices: name, major, minor (kernel: admin-guide/devices.txt).
pub const DEVICES: &[(&str, u64, u64)] =
    &[("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9)];

/// Directories in the root of every image, real ones, onto which a sandbox may mount.
pub const MOUNT_POINTS: &[&str] = &["proc", "dev", "tmp", "work", "usr", "etc"];

/// Files of `/etc` in every image, with what is in them: the accounts and names of a sandbox's own little world.
pub fn identity() -> [(&'static str, String); 6] {
    let nobody = "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n";
    let user = format!("kiln:x:{JOB_ID}:{JOB_ID}:kiln job:/work:/bin/sh\n");
    let names = "passwd: files\ngroup: files\nhosts: files\nprotocols: files\nservices: files\n";
    [
        ("passwd", format!("root:x:0:0:root:/:/usr/sbin/nologin\n{user}{nobody}")),
        ("group", format!("root:x:0:\nkiln:x:{JOB_ID}:\nnogroup:x:65534:\n")),
        ("hosts", String::from("127.0.0.1 localhost kiln\n::1 localhost\n")),
        ("hostname", String::from("kiln\n")),
        ("resolv.conf", String::new()),
        ("nsswitch.conf", names.to_owned()),
    ]
}

/// What the OCI runtime specification's users mask by default, and what tells about the host beside it.
pub const MASKED_FILES: &[&CStr] = &[
    c"proc/kcore",
    c"proc/keys",
    c"proc/key-users",
    c"proc/latency_stats",
    c"proc/timer_list",
    c"proc/timer_stats",
    c"proc/sched_debug",
    c"proc/interrupts",
    c"proc/kallsyms",
    c"proc/modules",
    c"proc/cmdline",
    c"proc/config.gz",
    c"proc/kmsg",
    c"proc/slabinfo",
    c"proc/vmallocinfo",
    c"proc/pagetypeinfo",
    c"proc/mdstat",
    c"proc/swaps",
    c"proc/partitions",
    c"proc/diskstats",
    c"proc/iomem",
    c"proc/ioports",
    c"proc/softirqs",
    c"proc/zoneinfo",
    c"proc/buddyinfo",
    c"proc/bootconfig",
    c"proc/schedstat",
    c"proc/vmstat",
    c"proc/consoles",
    c"proc/locks",
    c"proc/sys/kernel/random/boot_id",
];
/// Directories that are hidden.
pub const MASKED_FOLDERS: &[&CStr] = &[
    c"proc/acpi",
    c"proc/asound",
    c"proc/bus",
    c"proc/driver",
    c"proc/dynamic_debug",
    c"proc/fs",
    c"proc/irq",
    c"proc/pressure",
    c"proc/scsi",
    c"proc/tty",
];
/// The program that puts the rules of the packet filter in force, where packages install it.
pub const FILTER: &str = "/usr/sbin/nft";
/// What a sandbox with network sees in place of its image's own, read-only: name, and where.
pub const NETWORK_FILES: [(&CStr, &str); 2] =
    [(c"resolv.conf", "/etc/resolv.conf"), (c"nsswitch.conf", "/etc/nsswitch.conf")];
/// What programs cannot change, whoever they are.
pub const READ_ONLY: &[&CStr] = &[c"proc/sys", c"proc/sysrq-trigger"];

/// A resource limit (getrlimit(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimit {
    /// `RLIMIT_…`
    pub name: &'static str,
    /// What is in force.
    pub soft: u64,
    /// What it can be raised to.
    pub hard: u64,
}

/// The stack of one thread may grow to this.
const STACK: u64 = 64 << 20;
const STACK_AT_FIRST: u64 = 8 << 20;

/// The resource limits of every process of every job.
pub const RESOURCE_LIMITS: [ResourceLimit; 7] = [
    both("RLIMIT_CORE", 0),
    ResourceLimit { name: "RLIMIT_STACK", soft: STACK_AT_FIRST, hard: STACK },
    both("RLIMIT_MEMLOCK", 8 << 20),
    both("RLIMIT_MSGQUEUE", 800 << 10),
    both("RLIMIT_SIGPENDING", 1024),
    both("RLIMIT_NICE", 0),
    both("RLIMIT_RTPRIO", 0),
];

/// Those that a job has its own of. Time and memory are limited for all processes together, by the cgroup.
pub const fn resource_limits_of(limits: &Limits) -> [ResourceLimit; 2] {
    [both("RLIMIT_NOFILE", widen(limits.open_files)), both("RLIMIT_FSIZE", limits.file_size)]
}

const fn both(name: &'static str, limit: u64) -> ResourceLimit {
    ResourceLimit { name, soft: limit, hard: limit }
}
