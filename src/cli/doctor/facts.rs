//! Looks at the host, by reading files only. What cannot be read is absent, never guessed.
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::cli::doctor::cgroup::{self, Cgroups};
use crate::config::{Network, Sandbox};
use crate::lang::Languages;
use crate::plan::standard::FILTER;

/// What was found on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The processor that this program is built for.
    pub architecture: String,
    /// `uname -r`.
    pub kernel: Option<String>,
    /// Effective user id.
    pub uid: Option<u32>,
    /// Effective capabilities, one bit each (capabilities(7)).
    pub capabilities: Option<u64>,
    /// `user.max_user_namespaces`.
    pub user_namespaces: Option<u64>,
    /// Words of `seccomp/actions_avail`.
    pub seccomp_actions: Vec<String>,
    /// Version of Landlock's interface, 0 where there is none; absent where the kernel does not tell.
    pub landlock: Option<u32>,
    /// Control groups.
    pub cgroups: Cgroups,
    /// Swap that the host has, KiB.
    pub swap_kib: Option<u64>,
    /// The spawner's program.
    pub spawner: Program,
    /// What jobs with network need, where the operator wants them to have it.
    pub network: Option<NetworkFacts>,
    /// Programs that languages need, with the language's id.
    pub tools: Vec<(String, Program)>,
}

/// What jobs with network need of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkFacts {
    /// The program that sets the packet filter.
    pub filter: Program,
    /// Whether the host passes on what is not for it, by each version of IP that jobs have; absent where the kernel has
    /// no such version.
    pub forwarding: Vec<(&'static str, Option<bool>)>,
}

/// A path, and whether a program is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Where it should be.
    pub path: PathBuf,
    /// Whether a file that may be executed is there.
    pub found: bool,
}

/// Gathers the facts.
pub fn gather(sandbox: &Sandbox, network: &Network, languages: &Languages) -> Facts {
    let status = text("/proc/self/status").unwrap_or_default();
    let mounts = text("/proc/self/mountinfo").unwrap_or_default();
    let own = text("/proc/self/cgroup").unwrap_or_default();
    Facts {
        architecture: std::env::consts::ARCH.to_owned(),
        kernel: text("/proc/sys/kernel/osrelease").map(|release| release.trim().to_owned()),
        uid: field(&status, "Uid:", 1).and_then(|uid| uid.parse().ok()),
        capabilities: field(&status, "CapEff:", 0).and_then(|hex| u64::from_str_radix(hex, 16).ok()),
        user_namespaces: text("/proc/sys/user/max_user_namespaces").and_then(|number| number.trim().parse().ok()),
        seccomp_actions: words("/proc/sys/kernel/seccomp/actions_avail"),
        landlock: crate::sys::landlock::version().ok(),
        cgroups: cgroups(&mounts, &own),
        swap_kib: text("/proc/meminfo").and_then(|info| field(&info, "SwapTotal:", 0)?.parse().ok()),
        spawner: program(&sandbox.spawner_path),
        network: network.egress.then(|| network_facts(network)),
        tools: tools(languages),
    }
}

fn network_facts(network: &Network) -> NetworkFacts {
    let is_on = |path: &str| text(path).map(|value| value.trim() == "1");
    let mut forwarding = vec![("net.ipv4.ip_forward", is_on("/proc/sys/net/ipv4/ip_forward"))];
    if network.policy.subnet6.is_some() {
        forwarding.push(("net.ipv6.conf.all.forwarding", is_on("/proc/sys/net/ipv6/conf/all/forwarding")));
    }
    NetworkFacts { filter: program(Path::new(FILTER)), forwarding }
}

fn cgroups(mounts: &str, own: &str) -> Cgroups {
    let mut cgroups = cgroup::mounted(mounts, own);
    if let Some(unified) = &mut cgroups.unified {
        unified.controllers = words(unified.delegated.join("cgroup.controllers"));
    }
    cgroups.swap_limit = cgroup::swap_files(&cgroups).iter().any(|file| file.exists());
    cgroups
}

fn tools(languages: &Languages) -> Vec<(String, Program)> {
    let of = |language: &crate::lang::Language| {
        let programs = language.tools().into_iter().filter_map(|places| at_one_of(&places));
        programs.map(|program| (language.id.clone(), program)).collect::<Vec<_>>()
    };
    languages.iter().flat_map(of).collect()
}

/// The program at the first place where it is; where it is nowhere, at the best one.
fn at_one_of(places: &[String]) -> Option<Program> {
    let mut programs = places.iter().map(|place| program(Path::new(place)));
    let best = programs.next()?;
    Some(if best.found { best } else { programs.find(|program| program.found).unwrap_or(best) })
}

fn program(path: &Path) -> Program {
    let runs = |data: fs::Metadata| data.is_file() && data.permissions().mode() & 0o111 != 0;
    Program { path: path.to_owned(), found: fs::metadata(path).is_ok_and(runs) }
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn words(path: impl AsRef<Path>) -> Vec<String> {
    text(path).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// The word at `index` of the line that begins with `name` (`proc_pid_status(5)`, `proc_meminfo(5)`).
fn field<'a>(text: &'a str, name: &str, index: usize) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().nth(index)
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::config::Config;
    use crate::config::layers::Sources;

    #[test]
    fn a_field_is_found_by_the_name_of_its_line() {
        let status = "Name:\tkiln\nUid:\t1\t2\t3\t4\nCapEff:\t000001ff\n";
        assert_eq!(field(status, "Uid:", 1), Some("2"));
        assert_eq!(field(status, "CapEff:", 0), Some("000001ff"));
        assert_eq!(field(status, "Gid:", 0), None);
    }

    #[test]
    fn this_host_has_a_kernel_and_no_spawner_in_nowhere() {
        let config =
            Config::load(&Sources { executable: PathBuf::from("/nowhere/kiln"), ..Sources::default() }).unwrap();
        let facts = gather(&config.sandbox, &config.network, &Languages::embedded().unwrap());
        assert_eq!(facts.network, None);
        assert!(facts.kernel.is_some() && facts.uid.is_some() && facts.capabilities.is_some());
        assert!(!facts.spawner.found);
        assert!(facts.tools.iter().any(|(language, _)| language == "python"));
    }

    #[test]
    fn a_directory_is_no_program() {
        assert!(!program(Path::new("/")).found);
        assert!(program(Path::new("/proc/self/exe")).found);
    }
}
