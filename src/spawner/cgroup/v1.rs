//! Controllers that are bound to cgroup v1 (kernel: admin-guide/cgroup-v1). A group is one directory in each hierarchy.
use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cgroups_rs::fs::cgroup::Cgroup;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::hierarchies::V1;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use cgroups_rs::fs::{Controllers, MaxValue};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{CPU_PERIOD_US, OWN_PROCESSES, file, instance_name};
use crate::base::id::InstanceId;
use crate::plan::limits::Limits;
use crate::spawner::sandbox::Number;
use crate::wire::reply::Counters;

const MEMORY: &str = "memory";
const PIDS: &str = "pids";
const CPU: &str = "cpu";
const CPUACCT: &str = "cpuacct";
const BLKIO: &str = "blkio";

/// The limit of what TCP and UDP sockets buffer.
const SOCKETS: &str = "memory.kmem.tcp.limit_in_bytes";

/// Part of the memory limit that socket buffers may take beside it.
const SOCKET_SHARE: u64 = 8;

/// Most groups that are kept.
const KEPT: usize = 128;

/// Memory that may still be charged to a group which is used again: what each processor has in advance.
const SMALL_CHARGE: u64 = 1 << 20;

/// Most processes at once that a group has seen which is used again: init and one program.
const ONE_PROGRAM: u64 = 2;

/// Where this spawner makes its groups: below its own group in each hierarchy.
#[derive(Debug)]
pub(in crate::spawner) struct Base {
    hierarchies: V1,
    places: Vec<Place>,
    instance: InstanceId,
    /// Empty groups of sandboxes that have ended. A memory group takes a quarter of a millisecond and a megabyte of the
    /// kernel's to make (docs/PERFORMANCE.md).
    kept: RefCell<Vec<Group>>,
}

/// One controller.
#[derive(Clone, Debug)]
struct Place {
    controller: &'static str,
    /// Mount point of its hierarchy.
    mount: PathBuf,
    /// This instance's group, below the mount point.
    own: PathBuf,
}

impl Place {
    fn folder(&self) -> PathBuf {
        self.mount.join(&self.own)
    }
}

impl Base {
    pub(super) fn prepare(instance: InstanceId) -> io::Result<Self> {
        let hierarchies = V1::new();
        let membership = fs::read_to_string("/proc/self/cgroup")?;
        let controllers = [
            (MEMORY, Controllers::Mem),
            (PIDS, Controllers::Pids),
            (CPU, Controllers::Cpu),
            (CPUACCT, Controllers::CpuAcct),
            (BLKIO, Controllers::BlkIo),
        ];
        let mut places = Vec::new();
        for (name, controller) in controllers {
            let (mount, root) = hierarchies.get_mount_point(controller).ok_or_else(|| missing(name))?;
            let group = own_group(&membership, name).ok_or_else(|| missing(name))?;
            let below = Path::new(group).strip_prefix(&root).map_err(|_outside| missing(name))?;
            let own = below.join(instance_name(instance));
            places.push(Place { controller: name, mount, own });
        }
        let base = Self { hierarchies, places, instance, kept: RefCell::default() };
        for place in &base.places {
            file::make_folder(&place.folder())?;
            file::sweep(&place.folder())?;
        }
        base.check_swap()?;
        base.check_sockets()?;
        Ok(base)
    }

    /// Without swap accounting a limit on memory could be passed by swapping (`swapaccount=1`).
    fn check_swap(&self) -> io::Result<()> {
        let folder = self.place(MEMORY)?.folder();
        if folder.join("memory.memsw.limit_in_bytes").exists() {
            return Ok(());
        }
        Err(io::Error::other("the memory controller does not count swap: boot with swapaccount=1"))
    }

    /// Without this file nothing would bound what a job's sockets buffer.
    fn check_sockets(&self) -> io::Result<()> {
        let folder = self.place(MEMORY)?.folder();
        if folder.join(SOCKETS).exists() {
            return Ok(());
        }
        Err(file::about(&folder, SOCKETS, format_args!("is missing: the kernel cannot limit what sockets buffer")))
    }

    fn place(&self, controller: &'static str) -> io::Result<&Place> {
        self.places.iter().find(|place| place.controller == controller).ok_or_else(|| missing(controller))
    }

    pub(super) fn create(&self, number: Number, limits: &Limits) -> io::Result<Group> {
        let kept = self.kept.borrow_mut().pop();
        let mut group = match kept {
            Some(group) => group,
            None => self.new_group(number)?,
        };
        match self.limit(&mut group, limits) {
            Ok(()) => Ok(group),
            Err(error) => {
                group.remove()?;
                Err(error)
            }
        }
    }

    fn new_group(&self, number: Number) -> io::Result<Group> {
        let mut folders = Vec::new();
        let made = self.make_folders(number, &mut folders).and_then(|()| {
            let ((files, join), event) = (Files::open(&folders)?, EventFd::from_flags(event_flags())?);
            let (folders, before) = (folders.clone(), Counted::default());
            let group = Group { number, folders, join, files, before, event, limits: None };
            group.watch_memory()?;
            Ok(group)
        });
        if made.is_err() {
            folders.iter().try_for_each(|(_, folder)| file::remove_folder(folder))?;
        }
        made
    }

    fn make_folders(&self, number: Number, folders: &mut Vec<(&'static str, PathBuf)>) -> io::Result<()> {
        for place in &self.places {
            let folder = place.folder().join(number.to_string());
            if !folders.iter().any(|(_, known)| *known == folder) {
                fs::create_dir(&folder)
                    .map_err(|error| file::about(&folder, "", format_args!("cannot be made: {error}")))?;
            }
            folders.push((place.controller, folder));
        }
        Ok(())
    }

    pub(super) fn release(&self, group: &mut Group) -> io::Result<bool> {
        let keeps = self.renew(group)? && self.kept.borrow().len() < KEPT;
        if !keeps {
            group.remove()?;
        }
        Ok(keeps)
    }

    pub(super) fn keep(&self, group: Group) {
        self.kept.borrow_mut().push(group);
    }

    /// Makes the group as a new one. Tells whether it is: what is still charged for a page cache stays so. What
    /// `pids.peak` says cannot be reset (cgroup-v1/pids.rst): that directory alone is made again. Setting the quota gives back what was used of it in this period.
    fn renew(&self, group: &mut Group) -> io::Result<bool> {
        if !group.is_empty()? {
            return Err(Errno::EBUSY.into());
        }
        group.forget_memory_events()?;
        let charged = file::number_of(&group.files.memory)?;
        let peak = group.files.peak_processes.as_ref().map_or(Ok(0), file::number_of)?;
        if charged > SMALL_CHARGE {
            return Ok(false);
        }
        if peak > ONE_PROGRAM {
            let folder = group.folder(PIDS)?;
            file::remove_folder(folder)?;
            file::make_folder(folder)?;
            (group.files, group.join) = Files::open(&group.folders)?;
            group.limits = group.limits.map(|limits| Limits { processes: 0, ..limits });
        }
        if let Some(limits) = group.limits {
            self.limit_processors(group, limits.milli_cpus)?;
        }
        Ok(true)
    }

    /// Each limit that is another than the one in force.
    pub(super) fn limit(&self, group: &mut Group, limits: &Limits) -> io::Result<()> {
        // Half-changed limits are not taken for those in force.
        let before = group.limits.take();
        let differs = |value: fn(&Limits) -> u64| before.is_none_or(|before| value(&before) != value(limits));
        if differs(|limits| limits.memory) {
            self.limit_memory(group, limits.memory, before.is_some_and(|before| before.memory < limits.memory))?;
        }
        if differs(|limits| limits.processes.into()) {
            let processes = u64::from(limits.processes) + OWN_PROCESSES;
            let cgroup = self.cgroup(PIDS, group)?;
            let controller: &PidController = cgroup.controller_of().ok_or_else(|| missing(PIDS))?;
            let most = MaxValue::Value(i64::try_from(processes).map_err(io::Error::other)?);
            controller.set_pid_max(most).map_err(io::Error::other)?;
            file::expect(group.folder(PIDS)?, "pids.max", processes)?;
        }
        if differs(|limits| limits.milli_cpus.into()) {
            self.limit_processors(group, limits.milli_cpus)?;
        }
        group.limits = Some(*limits);
        Ok(())
    }

    fn limit_processors(&self, group: &Group, milli_cpus: u32) -> io::Result<()> {
        let quota = u64::from(milli_cpus) * CPU_PERIOD_US / 1000;
        let cgroup = self.cgroup(CPU, group)?;
        let controller: &CpuController = cgroup.controller_of().ok_or_else(|| missing(CPU))?;
        let signed = i64::try_from(quota).map_err(io::Error::other)?;
        controller.set_cfs_quota_and_period(Some(signed), Some(CPU_PERIOD_US)).map_err(io::Error::other)?;
        file::expect(group.folder(CPU)?, "cpu.cfs_quota_us", quota)
    }

    /// Memory alone is never above memory and swap together, also not between the two writes.
    fn limit_memory(&self, group: &Group, memory: u64, is_raised: bool) -> io::Result<()> {
        let signed = i64::try_from(memory).map_err(io::Error::other)?;
        let cgroup = self.cgroup(MEMORY, group)?;
        let controller: &MemController = cgroup.controller_of().ok_or_else(|| missing(MEMORY))?;
        if is_raised {
            controller.set_memswap_limit(signed).map_err(io::Error::other)?;
        }
        controller.set_limit(signed).map_err(io::Error::other)?;
        controller.set_memswap_limit(signed).map_err(io::Error::other)?;
        let folder = group.folder(MEMORY)?;
        let pages = memory - memory % page_size()?;
        file::expect(folder, "memory.limit_in_bytes", pages)?;
        file::expect(folder, "memory.memsw.limit_in_bytes", pages)?;
        limit_socket_buffers(folder, memory)
    }

    fn cgroup(&self, controller: &'static str, group: &Group) -> io::Result<Cgroup> {
        let path = self.place(controller)?.own.join(group.number.to_string());
        let hierarchies = Box::new(self.hierarchies.clone());
        Ok(Cgroup::load_with_specified_controllers(hierarchies, path, vec![controller.to_owned()]))
    }

    pub(super) fn trim(&self) -> io::Result<()> {
        self.kept.take().iter().try_for_each(Group::remove)
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        self.trim()?;
        self.places.iter().try_for_each(|place| file::remove_folder(&place.folder()))
    }
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cgroup v1 groups of {}", self.instance)
    }
}

/// The group of one sandbox.
#[derive(Debug)]
pub(in crate::spawner) struct Group {
    /// What its directories are called.
    number: Number,
    folders: Vec<(&'static str, PathBuf)>,
    join: Vec<File>,
    files: Files,
    before: Counted,
    event: EventFd,
    /// Those in force.
    limits: Option<Limits>,
}

impl Group {
    fn folder(&self, controller: &'static str) -> io::Result<&Path> {
        let found = self.folders.iter().find(|(name, _)| *name == controller);
        found.map(|(_, folder)| folder.as_path()).ok_or_else(|| missing(controller))
    }

    /// `cgroup.event_control` takes `event descriptor, watched descriptor` (memory.rst, OOM control).
    fn watch_memory(&self) -> io::Result<()> {
        let folder = self.folder(MEMORY)?;
        let control = File::open(folder.join("memory.oom_control"))?;
        file::write(folder, "cgroup.event_control", &format!("{} {}", self.event.as_raw_fd(), control.as_raw_fd()))
    }

    /// No process is in it any more. All of them joined every hierarchy, and none can leave one.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(file::text_of(&self.files.members)?.is_empty())
    }

    fn forget_memory_events(&self) -> io::Result<()> {
        match self.event.read() {
            Ok(_) | Err(Errno::EAGAIN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    pub(super) fn join_files(&self) -> &[File] {
        &self.join
    }

    pub(super) fn memory_event(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.files.peak_memory.write_all_at(b"0", 0)?;
        self.before = self.files.count()?;
        Ok(())
    }

    pub(super) fn cpu_time_us(&self) -> io::Result<u64> {
        Ok(file::number_of(&self.files.cpu)?.saturating_sub(self.before.cpu) / 1000)
    }

    pub(super) fn oom_kills(&self) -> io::Result<u64> {
        Ok(self.files.oom_kills()?.saturating_sub(self.before.oom_kills))
    }

    pub(super) fn counters(&self) -> Counters {
        let Ok(counted) = self.files.count() else { return Counters::default() };
        let (before, files) = (&self.before, &self.files);
        let cpu = counted.cpu.saturating_sub(before.cpu) / 1000;
        let user = counted.cpu_user.saturating_sub(before.cpu_user);
        let (user, system) = divided(cpu, user, counted.cpu_system.saturating_sub(before.cpu_system));
        let peak = files.peak_processes.as_ref().and_then(|file| file::number_of(file).ok());
        Counters {
            cpu_user_us: Some(user),
            cpu_system_us: Some(system),
            memory_peak: file::number_of(&files.peak_memory).ok(),
            processes_peak: peak.map(|peak| peak.saturating_sub(OWN_PROCESSES)),
            io_read: since(counted.io_read, before.io_read),
            io_write: since(counted.io_write, before.io_write),
            oom_kills: Some(counted.oom_kills.saturating_sub(before.oom_kills)),
            processes_denied: since(counted.processes_denied, before.processes_denied),
            ..Counters::default()
        }
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        self.folders.iter().try_for_each(|(_, folder)| file::remove_folder(folder))
    }
}

/// What is read for every sandbox, opened once.
#[derive(Debug)]
struct Files {
    members: File,
    cpu: File,
    cpu_user: File,
    cpu_system: File,
    memory: File,
    /// Writing resets it.
    peak_memory: File,
    oom: File,
    /// Absent where the kernel does not count.
    io: Option<File>,
    peak_processes: Option<File>,
    denied_processes: Option<File>,
}

impl Files {
    /// They, and the `tasks` files: a process that writes `0` to an open one moves itself without waiting for an RCU
    /// grace period.
    fn open(folders: &[(&'static str, PathBuf)]) -> io::Result<(Self, Vec<File>)> {
        let folder = |controller: &'static str| {
            let found = folders.iter().find(|(name, _)| *name == controller);
            found.map(|(_, folder)| folder).ok_or_else(|| missing(controller))
        };
        let open = |controller, name: &str| File::open(folder(controller)?.join(name));
        let maybe = |controller, name: &str| match open(controller, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        };
        let mut joined: Vec<&Path> = folders.iter().map(|(_, folder)| folder.as_path()).collect();
        joined.dedup();
        let tasks = |folder: &&Path| OpenOptions::new().write(true).open(folder.join("tasks"));
        let join = joined.iter().map(tasks).collect::<io::Result<_>>()?;
        let peak = folder(MEMORY)?.join("memory.memsw.max_usage_in_bytes");
        let files = Self {
            members: open(MEMORY, "cgroup.procs")?,
            cpu: open(CPUACCT, "cpuacct.usage")?,
            cpu_user: open(CPUACCT, "cpuacct.usage_user")?,
            cpu_system: open(CPUACCT, "cpuacct.usage_sys")?,
            memory: open(MEMORY, "memory.memsw.usage_in_bytes")?,
            peak_memory: OpenOptions::new().read(true).write(true).open(peak)?,
            oom: open(MEMORY, "memory.oom_control")?,
            io: maybe(BLKIO, "blkio.throttle.io_service_bytes")?,
            peak_processes: maybe(PIDS, "pids.peak")?,
            denied_processes: maybe(PIDS, "pids.events")?,
        };
        Ok((files, join))
    }
}

/// What the files of a group said at one moment, from when it was made.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    /// Nanoseconds, by the clock.
    cpu: u64,
    /// Nanoseconds, by looking at each tick what runs.
    cpu_user: u64,
    cpu_system: u64,
    oom_kills: u64,
    io_read: Option<u64>,
    io_write: Option<u64>,
    processes_denied: Option<u64>,
}

impl Files {
    fn count(&self) -> io::Result<Counted> {
        let io = self.io.as_ref().map(file::text_of).transpose()?;
        let denied = self.denied_processes.as_ref().map(file::text_of).transpose()?;
        Ok(Counted {
            cpu: file::number_of(&self.cpu)?,
            cpu_user: file::number_of(&self.cpu_user)?,
            cpu_system: file::number_of(&self.cpu_system)?,
            oom_kills: self.oom_kills()?,
            io_read: io.as_deref().map(|text| sum_of(text, "Read")),
            io_write: io.as_deref().map(|text| sum_of(text, "Write")),
            processes_denied: denied.map(|text| file::keyed_in(&text, "max")).transpose()?,
        })
    }

    fn oom_kills(&self) -> io::Result<u64> {
        file::keyed_in(&file::text_of(&self.oom)?, "oom_kill")
    }
}

fn since(now: Option<u64>, before: Option<u64>) -> Option<u64> {
    Some(now?.saturating_sub(before.unwrap_or(0)))
}

/// The whole is exact; its parts are in the ratio that the ticks tell, as times(2) has it. Without a tick all of it counts
/// as the program's own.
fn divided(whole: u64, user: u64, system: u64) -> (u64, u64) {
    let ticks = u128::from(user) + u128::from(system);
    let part = (u128::from(whole) * u128::from(system)).checked_div(ticks).unwrap_or(0);
    let system = u64::try_from(part).unwrap_or(whole);
    (whole - system, system)
}

fn sum_of(text: &str, direction: &str) -> u64 {
    let of_line = |line: &str| {
        let mut words = line.split(' ').skip(1);
        (words.next()? == direction).then(|| words.next()?.parse::<u64>().ok()).flatten()
    };
    text.lines().filter_map(of_line).sum()
}

/// What TCP and UDP sockets buffer is outside `memory.limit_in_bytes` in version 1, and not counted at all until it has a
/// limit of its own (memory.rst, "Socket Memory").
fn limit_socket_buffers(folder: &Path, memory: u64) -> io::Result<()> {
    let asked = memory / SOCKET_SHARE;
    let pages = asked - asked % page_size()?;
    file::write(folder, SOCKETS, &pages.to_string())?;
    file::expect(folder, SOCKETS, pages)
}

/// Group of this process in the hierarchy of `controller`: lines `number:controller,controller:path` (cgroups(7)).
fn own_group<'a>(membership: &'a str, controller: &str) -> Option<&'a str> {
    membership.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        parts.next()?.split(',').any(|name| name == controller).then(|| parts.next()).flatten()
    })
}

fn missing(controller: &str) -> io::Error {
    io::Error::other(format!("the cgroup controller {controller} is not mounted: see `kiln doctor`"))
}

fn page_size() -> io::Result<u64> {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?;
    size.and_then(|size| u64::try_from(size).ok()).ok_or_else(|| io::Error::other("the size of a page is not known"))
}

fn event_flags() -> EfdFlags {
    EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn processor_time_is_divided_without_loss() {
        assert_eq!(divided(1000, 4_000_000, 12_000_000), (250, 750));
        assert_eq!(divided(1000, 0, 0), (1000, 0));
        assert_eq!(divided(u64::MAX, 0, u64::MAX), (0, u64::MAX));
    }

    #[test]
    fn bytes_of_all_devices_are_added() {
        let text = "8:0 Read 10\n8:0 Write 5\n8:16 Read 1\n8:0 Total 16\nTotal 16\n";
        assert_eq!((sum_of(text, "Read"), sum_of(text, "Write")), (11, 5));
    }

    #[test]
    fn the_own_group_is_found_by_controller() {
        let text = "4:memory:/a/b\n3:cpu,cpuacct:/c\n0::/d\n";
        assert_eq!(own_group(text, "cpuacct"), Some("/c"));
        assert_eq!(own_group(text, "memory"), Some("/a/b"));
        assert_eq!(own_group(text, "pids"), None);
    }
}
