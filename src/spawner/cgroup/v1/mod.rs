//! Controllers that are bound to cgroup v1 (kernel: admin-guide/cgroup-v1). A group is one directory in each hierarchy.
//!
//! Not here: what a group has counted (`counted`).
mod counted;

use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use cgroups_rs::fs::cgroup::Cgroup;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::hierarchies::V1;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use cgroups_rs::fs::{Controllers, MaxValue};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use self::counted::{Counted, Files};
use super::{CPU_PERIOD_US, OWN_PROCESSES, file, instance_name};
use crate::base::id::InstanceId;
use crate::plan::limits::Limits;
use crate::spawner::number::Number;
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
        if !group.files.is_empty()? {
            return Err(Errno::EBUSY.into());
        }
        group.forget_memory_events()?;
        if group.files.charged()? > SMALL_CHARGE {
            return Ok(false);
        }
        if group.files.peak_processes()?.is_some_and(|peak| peak > ONE_PROGRAM) {
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
        self.files.forget_peak()?;
        self.before = self.files.count()?;
        Ok(())
    }

    pub(super) fn cpu_time_us(&self) -> io::Result<u64> {
        self.files.cpu_time_us(&self.before)
    }

    pub(super) fn oom_kills(&self) -> io::Result<u64> {
        self.files.oom_kills(&self.before)
    }

    pub(super) fn counters(&self) -> Counters {
        self.files.since(&self.before).unwrap_or_else(|error| {
            tracing::error!(group = self.number.0, %error, "what a sandbox used could not be read");
            Counters::default()
        })
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        self.folders.iter().try_for_each(|(_, folder)| file::remove_folder(folder))
    }
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
    fn the_own_group_is_found_by_controller() {
        let text = "4:memory:/a/b\n3:cpu,cpuacct:/c\n0::/d\n";
        assert_eq!(own_group(text, "cpuacct"), Some("/c"));
        assert_eq!(own_group(text, "memory"), Some("/a/b"));
        assert_eq!(own_group(text, "pids"), None);
    }
}
