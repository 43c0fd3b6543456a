//! Judges facts. Each check says what is the case and, where it is not well, what to do.
use std::fmt;

use crate::cli::doctor::cgroup::Cgroups;
use crate::cli::doctor::facts::{Facts, NetworkFacts};

/// `mount_setattr` and `cgroup.kill` came with 5.12 and 5.14; the others are older.
const OLDEST_KERNEL: (u32, u32) = (5, 14);
/// From here on kiln is tested.
const TESTED_KERNEL: (u32, u32) = (6, 1);

/// Capabilities of the spawner by number (`linux/capability.h`).
const CAPABILITIES: [(u32, &str); 12] = [
    (0, "CHOWN"),
    (1, "DAC_OVERRIDE"),
    (3, "FOWNER"),
    (5, "KILL"),
    (6, "SETGID"),
    (7, "SETUID"),
    (8, "SETPCAP"),
    (12, "NET_ADMIN"),
    (18, "SYS_CHROOT"),
    (21, "SYS_ADMIN"),
    (27, "MKNOD"),
    (31, "SETFCAP"),
];

/// A controller of version 2, and what does the same in version 1.
const CONTROLLERS: [(&str, &[&str]); 4] =
    [("cpu", &["cpu", "cpuacct"]), ("memory", &["memory"]), ("pids", &["pids"]), ("io", &["blkio"])];

const SECCOMP_ACTIONS: [&str; 3] = ["kill_process", "errno", "allow"];

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Sandboxes run, something else is missing.
    Warn,
    /// No sandbox can be made.
    Fail,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What is the case.
    pub fact: String,
    /// What to do; empty where nothing is.
    pub fix: String,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        write!(f, "{verdict} {}: {}", self.name, self.fact)?;
        if self.fix.is_empty() { Ok(()) } else { write!(f, " — {}", self.fix) }
    }
}

fn check(name: &str, verdict: Verdict, fact: impl Into<String>, fix: &str) -> Check {
    let fix = if verdict == Verdict::Ok { "" } else { fix };
    Check { name: name.to_owned(), verdict, fact: fact.into(), fix: fix.to_owned() }
}

const fn ok_if(condition: bool) -> Verdict {
    if condition { Verdict::Ok } else { Verdict::Fail }
}

/// All checks, in the order in which a person would repair.
pub fn judge(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![
        architecture(facts),
        kernel(facts),
        root(facts),
        capabilities(facts),
        user_namespaces(facts),
        seccomp(facts),
        landlock(facts),
        unified(&facts.cgroups),
    ];
    checks.extend(CONTROLLERS.map(|(name, v1)| controller(&facts.cgroups, name, v1)));
    checks.push(swap(facts));
    checks.push(spawner(facts));
    checks.extend(facts.network.iter().flat_map(network));
    checks.extend(tools(facts));
    checks
}

fn architecture(facts: &Facts) -> Check {
    let verdict = ok_if(facts.architecture == "x86_64");
    check("architecture", verdict, &*facts.architecture, "kiln is built for x86_64 only")
}

fn kernel(facts: &Facts) -> Check {
    let version = facts.kernel.as_deref().and_then(version);
    let fact = facts.kernel.clone().unwrap_or_else(|| String::from("unknown"));
    let verdict = match version {
        Some(version) if version >= TESTED_KERNEL => Verdict::Ok,
        Some(version) if version >= OLDEST_KERNEL => Verdict::Warn,
        Some(_) | None => Verdict::Fail,
    };
    let fix = "Linux 6.1 or newer is tested, 5.14 the oldest that can work \
               (clone3 into a cgroup, openat2, mount_setattr, cgroup.kill)";
    check("kernel", verdict, fact, fix)
}

/// Major and minor number of a release like `6.1.0-18-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn root(facts: &Facts) -> Check {
    let fact = facts.uid.map_or_else(|| String::from("unknown user"), |uid| format!("uid {uid}"));
    let fix = "run as root (sudo): the spawner needs it, the server drops it";
    check("root", ok_if(facts.uid == Some(0)), fact, fix)
}

fn capabilities(facts: &Facts) -> Check {
    const NAME: &str = "capabilities";
    const FIX: &str = "grant them: AmbientCapabilities and CapabilityBoundingSet of the unit, \
                       or the container's options";
    let Some(held) = facts.capabilities else {
        return check(NAME, Verdict::Fail, "unknown: /proc/self/status has no CapEff", "mount /proc");
    };
    let missing = CAPABILITIES.iter().filter(|(bit, _name)| held >> bit & 1 == 0);
    let missing: Vec<_> = missing.map(|(_bit, name)| *name).collect();
    if missing.is_empty() {
        return check(NAME, Verdict::Ok, "all that the spawner needs", "");
    }
    check(NAME, Verdict::Fail, format!("missing {}", missing.join(", ")), FIX)
}

fn user_namespaces(facts: &Facts) -> Check {
    let most = facts.user_namespaces;
    let fact = most.map_or_else(|| String::from("not there"), |most| format!("at most {most}"));
    let fix = "sysctl user.max_user_namespaces=10000, and a kernel with CONFIG_USER_NS";
    check("user namespaces", ok_if(most.is_some_and(|most| most > 0)), fact, fix)
}

fn seccomp(facts: &Facts) -> Check {
    let there = |action: &str| facts.seccomp_actions.iter().any(|known| known == action);
    let verdict = ok_if(SECCOMP_ACTIONS.iter().all(|action| there(action)));
    let fact =
        if facts.seccomp_actions.is_empty() { String::from("not there") } else { facts.seccomp_actions.join(" ") };
    check("seccomp", verdict, fact, "a kernel with CONFIG_SECCOMP_FILTER is needed")
}

/// Version 2 is the oldest that lets programs move files from one directory into another (landlock(7)).
const OLDEST_LANDLOCK: u32 = 2;

/// A second wall: without it the first stands.
fn landlock(facts: &Facts) -> Check {
    let (verdict, fact) = match facts.landlock {
        Some(version @ OLDEST_LANDLOCK..) => (Verdict::Ok, format!("version {version}")),
        Some(0) | None => (Verdict::Warn, String::from("not there")),
        Some(version) => (Verdict::Warn, format!("version {version}, which is not used")),
    };
    let fix = "Linux 5.19 with CONFIG_SECURITY_LANDLOCK, and landlock among lsm= at boot: a second wall around files";
    check("landlock", verdict, fact, fix)
}

fn unified(cgroups: &Cgroups) -> Check {
    const FIX: &str = "mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified, for writing";
    let fact = match &cgroups.unified {
        None => "not mounted",
        Some(unified) if !unified.writable => "mounted read-only",
        Some(_) if cgroups.v1.is_empty() => "mounted (pure cgroup v2)",
        Some(_) => "mounted (hybrid, beside cgroup v1)",
    };
    let verdict = ok_if(cgroups.unified.as_ref().is_some_and(|unified| unified.writable));
    check("cgroup v2 hierarchy", verdict, fact, FIX)
}

fn controller(cgroups: &Cgroups, name: &str, v1: &[&str]) -> Check {
    let title = format!("cgroup {name}");
    let unified = cgroups.unified.iter().flat_map(|unified| &unified.controllers);
    if unified.into_iter().any(|controller| controller == name) {
        return check(&title, Verdict::Ok, "version 2", "");
    }
    let mounted = |name: &str| cgroups.v1.get(name).is_some_and(|found| found.writable);
    if v1.iter().all(|name| mounted(name)) {
        return check(&title, Verdict::Ok, format!("version 1 ({})", v1.join(", ")), "");
    }
    let fix = "delegate it (systemd-run -p Delegate=yes), or mount the version 1 hierarchies for writing";
    check(&title, Verdict::Fail, "not available to this process", fix)
}

fn swap(facts: &Facts) -> Check {
    let at_root = facts.cgroups.unified.as_ref().is_some_and(|unified| unified.at_root);
    let memory_is_v1 = facts.cgroups.v1.contains_key("memory");
    let (verdict, fact) = match facts.swap_kib {
        _ if facts.cgroups.swap_limit => (Verdict::Ok, "can be limited"),
        Some(0) => (Verdict::Ok, "the host has none"),
        // The root group of version 2 has no memory.swap.max to look at; its children may.
        _ if at_root && !memory_is_v1 => (Verdict::Warn, "not known at the root of the hierarchy"),
        _ => (Verdict::Fail, "cannot be limited"),
    };
    check("swap", verdict, fact, "boot with swapaccount=1, or swapoff -a")
}

fn spawner(facts: &Facts) -> Check {
    let path = facts.spawner.path.display().to_string();
    let fix = "install kiln-spawner beside kiln, or set sandbox.spawner_path";
    if facts.spawner.found {
        return check("spawner", Verdict::Ok, path, "");
    }
    check("spawner", Verdict::Fail, format!("{path} is no program"), fix)
}

/// Only where jobs are to have it.
fn network(facts: &NetworkFacts) -> Vec<Check> {
    let path = facts.filter.path.display().to_string();
    let fact = if facts.filter.found { path } else { format!("{path} is not there") };
    let fix = "apt-get install nftables, or set network.egress to false";
    let mut checks = vec![check("network filter", ok_if(facts.filter.found), fact, fix)];
    for (setting, on) in &facts.forwarding {
        let (verdict, fact) = match on {
            Some(true) => (Verdict::Ok, format!("{setting} is on")),
            Some(false) => (Verdict::Ok, format!("{setting} is off; kiln switches it on when it starts")),
            None => (Verdict::Fail, format!("{setting} is not there")),
        };
        let fix = "the kernel lacks this version of IP: set network.subnet6 to null for IPv6";
        checks.push(check("network forwarding", verdict, fact, fix));
    }
    checks
}

/// The host's own programs serve the `host` image; a missing one only takes its language away.
fn tools(facts: &Facts) -> Vec<Check> {
    let one = |(language, program): &(String, super::facts::Program)| {
        let path = program.path.display().to_string();
        let (verdict, fact) =
            if program.found { (Verdict::Ok, path) } else { (Verdict::Warn, format!("{path} is not there")) };
        check(&format!("language {language}"), verdict, fact, "install its package (apt-get install)")
    };
    facts.tools.iter().map(one).collect()
}
