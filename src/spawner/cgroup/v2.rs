//! The one hierarchy of cgroup v2 (kernel: admin-guide/cgroup-v2.rst), in a subtree that was delegated to us.
//!
//! ```text
//! the unit's group ─┬─ daemon             kiln and kiln-spawner (no group with controllers on may hold processes)
//!                   └─ kiln-<instance> ─┬─ 1
//!                                       └─ 2 …   one for each sandbox
//! ```
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::cgroup::Cgroup;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::hierarchies::V2;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use nix::unistd::{getpid, getppid};

use super::{CPU_PERIOD_US, OWN_PROCESSES, file, instance_name};
use crate::base::id::InstanceId;
use crate::plan::limits::Limits;
use crate::spawner::number::Number;
use crate::sys::attribute;
use crate::sys::cgroup::{self, DAEMON};
use crate::wire::reply::Counters;

const MOUNT: &str = "/sys/fs/cgroup";
const CONTROLLERS: [&str; 4] = ["cpu", "memory", "pids", "io"];

/// How often the processes of the group are listed and moved, 2 s in all: one that forks meanwhile shows in the next
/// list, and one that ends cannot be moved, but is listed until the kernel has freed what it had.
const LEAVE_TRIES: u32 = 400;
const LEAVE_PAUSE: Duration = Duration::from_millis(5);

/// Where this spawner makes its groups.
#[derive(Debug)]
pub(in crate::spawner) struct Base {
    /// This instance's group, below the mount point.
    own: PathBuf,
}

impl Base {
    pub(super) fn prepare(instance: InstanceId) -> io::Result<Self> {
        let delegated = delegated_group()?;
        let folder = Path::new(MOUNT).join(&delegated);
        let available = file::text(&folder, "cgroup.controllers")?;
        for controller in CONTROLLERS {
            if !available.split_whitespace().any(|name| name == controller) {
                return Err(file::about(
                    &folder,
                    "cgroup.controllers",
                    format_args!("lacks {controller}: see `kiln doctor`"),
                ));
            }
        }
        // The root of the hierarchy has no type, and may hold processes beside groups.
        if folder.join("cgroup.type").exists() {
            leave(&folder)?;
        }
        enable(&folder)?;
        let own = delegated.join(instance_name(instance));
        let folder = Path::new(MOUNT).join(&own);
        file::make_folder(&folder)?;
        enable(&folder)?;
        file::sweep(&folder)?;
        Ok(Self { own })
    }

    pub(super) fn create(&self, number: Number, limits: &Limits) -> io::Result<Group> {
        let path = self.own.join(number.to_string());
        let folder = Path::new(MOUNT).join(&path);
        fs::create_dir(&folder).map_err(|error| file::about(&folder, "", format_args!("cannot be made: {error}")))?;
        let (handle, before) = (File::open(&folder)?, Counters::default());
        let mut group = Group { handle, path, folder, limits: None, before, cpu_before: 0 };
        match group.limit(limits) {
            Ok(()) => Ok(group),
            Err(error) => {
                group.remove()?;
                Err(error)
            }
        }
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        file::remove_folder(&Path::new(MOUNT).join(&self.own))
    }
}

fn delegated_group() -> io::Result<PathBuf> {
    let membership = fs::read_to_string("/proc/self/cgroup")?;
    let path = cgroup::delegated(&membership);
    path.map(Path::to_path_buf).ok_or_else(|| io::Error::other("/proc/self/cgroup names no cgroup v2 group"))
}

/// Moves everything in the group into `daemon`, so that controllers can be switched on. In a group that systemd
/// delegated (it marks those by an attribute) all processes are ours; elsewhere only this one and its parent are.
fn leave(folder: &Path) -> io::Result<()> {
    let daemon = folder.join(DAEMON);
    let delegated = is_delegated(folder)?;
    let own = [getpid().to_string(), getppid().to_string()];
    for _ in 0..LEAVE_TRIES {
        let processes = file::text(folder, "cgroup.procs")?;
        if processes.is_empty() {
            return Ok(());
        }
        for pid in processes.lines() {
            if !delegated && !own.iter().any(|known| known == pid) {
                let what = format_args!(
                    "holds process {pid}, which is not kiln's: start kiln in a group of its own, as by `systemd-run -p Delegate=yes`"
                );
                return Err(file::about(folder, "", what));
            }
            file::make_folder(&daemon)?;
            move_into(&daemon, pid)?;
        }
        thread::sleep(LEAVE_PAUSE);
    }
    Err(file::about(folder, "", format_args!("still holds processes after {LEAVE_TRIES} tries to move them")))
}

/// `Delegate=yes` (systemd.resource-control(5)) is visible as `trusted.delegate` or `user.delegate`.
fn is_delegated(folder: &Path) -> io::Result<bool> {
    Ok(attribute::has(folder, c"trusted.delegate", b"1")? || attribute::has(folder, c"user.delegate", b"1")?)
}

fn move_into(daemon: &Path, pid: &str) -> io::Result<()> {
    match file::write(daemon, "cgroup.procs", pid) {
        Err(_ended) if !Path::new("/proc").join(pid).exists() => Ok(()),
        other => other,
    }
}

fn enable(folder: &Path) -> io::Result<()> {
    let on = file::text(folder, "cgroup.subtree_control")?;
    for controller in CONTROLLERS {
        if !on.split_whitespace().any(|name| name == controller) {
            file::write(folder, "cgroup.subtree_control", &format!("+{controller}"))?;
        }
    }
    Ok(())
}

fn limit_memory(cgroup: &Cgroup, folder: &Path, limit: u64) -> io::Result<()> {
    let memory: &MemController = cgroup.controller_of().ok_or_else(|| missing("memory"))?;
    memory.set_limit(i64::try_from(limit).map_err(io::Error::other)?).map_err(io::Error::other)?;
    if folder.join("memory.swap.max").exists() {
        memory.set_memswap_limit(0).map_err(io::Error::other)?;
        file::expect(folder, "memory.swap.max", 0)?;
    } else {
        without_swap()?;
    }
    file::expect(folder, "memory.max", limit - limit % 4096)?;
    file::write(folder, "memory.oom.group", "1")?;
    file::expect(folder, "memory.oom.group", 1)
}

fn limit_processes(cgroup: &Cgroup, folder: &Path, limit: u32) -> io::Result<()> {
    let processes = u64::from(limit) + OWN_PROCESSES;
    let pids: &PidController = cgroup.controller_of().ok_or_else(|| missing("pids"))?;
    pids.set_pid_max(MaxValue::Value(i64::try_from(processes).map_err(io::Error::other)?)).map_err(io::Error::other)?;
    file::expect(folder, "pids.max", processes)
}

fn limit_processors(cgroup: &Cgroup, folder: &Path, milli_cpus: u32) -> io::Result<()> {
    let quota = u64::from(milli_cpus) * CPU_PERIOD_US / 1000;
    let cpu: &CpuController = cgroup.controller_of().ok_or_else(|| missing("cpu"))?;
    cpu.set_cfs_quota_and_period(Some(i64::try_from(quota).map_err(io::Error::other)?), Some(CPU_PERIOD_US))
        .map_err(io::Error::other)?;
    let wanted = format!("{quota} {CPU_PERIOD_US}");
    let found = file::text(folder, "cpu.max")?;
    if found.trim() == wanted {
        Ok(())
    } else {
        Err(file::about(folder, "cpu.max", format_args!("is {found:?} although {wanted:?} was set")))
    }
}

/// A kernel without `memory.swap.max` cannot limit swap; that is no weakness only while there is none.
fn without_swap() -> io::Result<()> {
    let swaps = fs::read_to_string("/proc/swaps")?;
    if swaps.lines().count() <= 1 {
        return Ok(());
    }
    Err(io::Error::other("the host has swap and the kernel cannot limit it (CONFIG_SWAP accounting): switch swap off"))
}

fn missing(controller: &str) -> io::Error {
    io::Error::other(format!("the cgroup controller {controller} is missing: see `kiln doctor`"))
}

/// The group of one sandbox.
#[derive(Debug)]
pub(in crate::spawner) struct Group {
    /// Below the mount point.
    path: PathBuf,
    folder: PathBuf,
    handle: File,
    /// Those in force.
    limits: Option<Limits>,
    /// What was counted before the program began.
    before: Counters,
    cpu_before: u64,
}

impl Group {
    /// Each limit that is another than the one in force.
    pub(super) fn limit(&mut self, limits: &Limits) -> io::Result<()> {
        // Half-changed limits are not taken for those in force.
        let before = self.limits.take();
        let differs = |value: fn(&Limits) -> u64| before.is_none_or(|before| value(&before) != value(limits));
        let controllers = CONTROLLERS.iter().map(|&name| name.to_owned()).collect();
        let cgroup = Cgroup::load_with_specified_controllers(Box::new(V2::new()), &self.path, controllers);
        if differs(|limits| limits.memory) {
            limit_memory(&cgroup, &self.folder, limits.memory)?;
        }
        if differs(|limits| limits.processes.into()) {
            limit_processes(&cgroup, &self.folder, limits.processes)?;
        }
        if differs(|limits| limits.milli_cpus.into()) {
            limit_processors(&cgroup, &self.folder, limits.milli_cpus)?;
        }
        self.limits = Some(*limits);
        Ok(())
    }

    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// The highest memory cannot be forgotten before Linux 6.12, and the highest number of processes never.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.cpu_before = file::keyed(&self.folder, "cpu.stat", "usage_usec")?;
        self.before = self.counted();
        Ok(())
    }

    pub(super) fn cpu_time_us(&self) -> io::Result<u64> {
        Ok(file::keyed(&self.folder, "cpu.stat", "usage_usec")?.saturating_sub(self.cpu_before))
    }

    /// Kills while this group was at its own limit. `oom_kill` alone counts the host's need as well.
    pub(super) fn oom_kills(&self) -> io::Result<u64> {
        if file::keyed(&self.folder, "memory.events.local", "oom")? == 0 {
            return Ok(0);
        }
        file::keyed(&self.folder, "memory.events.local", "oom_kill")
    }

    pub(super) fn counters(&self) -> Counters {
        self.counted().since(&self.before)
    }

    /// From when the group was made. What this kernel does not count has no file, or no line in it.
    fn counted(&self) -> Counters {
        let processor = self.maybe("cpu.stat");
        let memory = self.maybe("memory.events.local");
        let keyed = |text: &Option<String>, key| file::keyed_in(text.as_ref()?, key).ok();
        let number = |name| self.maybe(name)?.trim().parse().ok();
        let io = self.maybe("io.stat");
        let kills =
            keyed(&memory, "oom").and_then(|times| if times == 0 { Some(0) } else { keyed(&memory, "oom_kill") });
        Counters {
            cpu_user_us: keyed(&processor, "user_usec"),
            cpu_system_us: keyed(&processor, "system_usec"),
            memory_peak: number("memory.peak"),
            processes_peak: number("pids.peak").map(|peak: u64| peak.saturating_sub(OWN_PROCESSES)),
            io_read: io.as_deref().map(|text| sum_of(text, "rbytes=")),
            io_write: io.as_deref().map(|text| sum_of(text, "wbytes=")),
            oom_kills: kills,
            memory_denied: keyed(&memory, "oom"),
            swap_denied: keyed(&self.maybe("memory.swap.events"), "max"),
            processes_denied: keyed(&self.maybe("pids.events"), "max"),
            ..Counters::default()
        }
    }

    fn maybe(&self, name: &str) -> Option<String> {
        match fs::read_to_string(self.folder.join(name)) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let file = self.folder.join(name);
                tracing::error!(file = %file.display(), %error, "what a sandbox used could not be read");
                None
            }
        }
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        file::write(&self.folder, "cgroup.kill", "1")
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        file::remove_folder(&self.folder)
    }
}

/// Sum over all devices of words `key=number`.
fn sum_of(text: &str, key: &str) -> u64 {
    text.split_whitespace().filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn bytes_of_all_devices_are_added() {
        let text = "8:0 rbytes=10 wbytes=5 rios=1\n8:16 rbytes=1 wbytes=0 rios=1\n";
        assert_eq!((sum_of(text, "rbytes="), sum_of(text, "wbytes=")), (11, 5));
    }
}
