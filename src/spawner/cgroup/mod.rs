//! Groups that hold a sandbox's limits and counters: cgroup v2 where it is pure, v1 where controllers are bound to it.
//!
//! cgroups-rs sets the limits; every one is read back, because the crate can succeed without effect.
//! Removal is rmdir(2), retried by the loop. Not here: what a limit may be (`plan::ceiling`).
mod file;
mod v1;
mod v2;

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use super::number::Number;
use crate::base::id::InstanceId;
use crate::plan::limits::Limits;
use crate::wire::reply::Counters;

/// Length of one accounting period of the cpu controller, microseconds (the kernel's default).
const CPU_PERIOD_US: u64 = 100_000;

/// Processes of a sandbox that are not the job's: init.
const OWN_PROCESSES: u64 = 1;

/// Where this spawner makes its groups.
#[derive(Debug)]
pub(super) enum Layout {
    /// Controllers in several hierarchies of version 1.
    V1(v1::Base),
    /// One hierarchy of version 2.
    V2(v2::Base),
}

impl Layout {
    /// Finds the hierarchies, prepares this instance's own group and ends what an earlier spawner of it left.
    ///
    /// # Errors
    /// Names the controller that is missing, or the file that could not be written, and what to do.
    pub(super) fn prepare(instance: InstanceId) -> io::Result<Self> {
        if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            return v2::Base::prepare(instance).map(Self::V2);
        }
        v1::Base::prepare(instance).map(Self::V1)
    }

    /// What the server and `kiln doctor` call it.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::V1(_) => "cgroup v1",
            Self::V2(_) => "cgroup v2",
        }
    }

    /// A new empty group with these limits in force.
    pub(super) fn create(&self, number: Number, limits: &Limits) -> io::Result<Group> {
        match self {
            Self::V1(base) => base.create(number, limits).map(Group::V1),
            Self::V2(base) => base.create(number, limits).map(Group::V2),
        }
    }

    /// Puts other limits in force than those that the group has.
    pub(super) fn limit(&self, group: &mut Group, limits: &Limits) -> io::Result<()> {
        match (self, group) {
            (Self::V1(base), Group::V1(group)) => base.limit(group, limits),
            (Self::V2(_), Group::V2(group)) => group.limit(limits),
            _ => Err(io::Error::other("a group of another layout")),
        }
    }

    /// Makes the group of a sandbox that has ended as a new one, or removes it. Tells whether it can be kept.
    ///
    /// # Errors
    /// `EBUSY` while a process of it is not quite gone.
    pub(super) fn release(&self, group: &mut Group) -> io::Result<bool> {
        match (self, group) {
            (Self::V1(base), Group::V1(group)) => base.release(group),
            (_, group) => group.remove().map(|()| false),
        }
    }

    /// Keeps a group that is as a new one for the next sandbox.
    pub(super) fn keep(&self, group: Group) {
        if let (Self::V1(base), Group::V1(group)) = (self, group) {
            base.keep(group);
        }
    }

    /// Removes the groups that are kept.
    pub(super) fn trim(&self) -> io::Result<()> {
        match self {
            Self::V1(base) => base.trim(),
            Self::V2(_) => Ok(()),
        }
    }

    /// Removes this instance's own group. Every sandbox has ended.
    pub(super) fn remove(&self) -> io::Result<()> {
        match self {
            Self::V1(base) => base.remove(),
            Self::V2(base) => base.remove(),
        }
    }
}

/// The group of one sandbox.
#[derive(Debug)]
pub(super) enum Group {
    /// One directory in each hierarchy.
    V1(v1::Group),
    /// One directory.
    V2(v2::Group),
}

impl Group {
    /// The group that clone3(2) can start a process in.
    pub(super) fn clone_target(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::V1(_) => None,
            Self::V2(group) => Some(group.folder()),
        }
    }

    /// What a process writes `0` to in order to join. Empty where it is started in the group.
    pub(super) fn join_files(&self) -> &[File] {
        match self {
            Self::V1(group) => group.join_files(),
            Self::V2(_) => &[],
        }
    }

    /// Becomes readable when memory ran out, where the group does not end as a whole by itself.
    pub(super) fn memory_event(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::V1(group) => Some(group.memory_event()),
            Self::V2(_) => None,
        }
    }

    /// What is counted from here on is the program's: init stands, and waits.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        match self {
            Self::V1(group) => group.begin(),
            Self::V2(group) => group.begin(),
        }
    }

    /// Processor time of the program and all below it so far, microseconds.
    pub(super) fn cpu_time_us(&self) -> io::Result<u64> {
        match self {
            Self::V1(group) => group.cpu_time_us(),
            Self::V2(group) => group.cpu_time_us(),
        }
    }

    /// How often the group's own limit made the kernel kill.
    pub(super) fn oom_kills(&self) -> io::Result<u64> {
        match self {
            Self::V1(group) => group.oom_kills(),
            Self::V2(group) => group.oom_kills(),
        }
    }

    /// Everything that the group counted. A counter that this kernel does not have is absent.
    pub(super) fn counters(&self) -> Counters {
        match self {
            Self::V1(group) => group.counters(),
            Self::V2(group) => group.counters(),
        }
    }

    /// Kills whatever is left in the group, where the kernel can do that at once.
    pub(super) fn kill(&self) -> io::Result<()> {
        match self {
            Self::V1(_) => Ok(()),
            Self::V2(group) => group.kill(),
        }
    }

    /// Removes the group.
    ///
    /// # Errors
    /// `EBUSY` while a process of it is not quite gone.
    pub(super) fn remove(&self) -> io::Result<()> {
        match self {
            Self::V1(group) => group.remove(),
            Self::V2(group) => group.remove(),
        }
    }
}

/// The name of this instance's own group.
fn instance_name(instance: InstanceId) -> String {
    format!("kiln-{instance}")
}
