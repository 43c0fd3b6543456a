//! What a group of version 1 counts, and what of it is one program's.
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::super::{OWN_PROCESSES, file};
use super::{BLKIO, CPUACCT, MEMORY, PIDS, missing};
use crate::wire::reply::Counters;

/// What is read for every sandbox, opened once.
#[derive(Debug)]
pub(super) struct Files {
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
    pub(super) fn open(folders: &[(&'static str, PathBuf)]) -> io::Result<(Self, Vec<File>)> {
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
pub(super) struct Counted {
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
    /// No process is in the group any more. All of them joined every hierarchy, and none can leave one.
    pub(super) fn is_empty(&self) -> io::Result<bool> {
        Ok(file::text_of(&self.members)?.is_empty())
    }

    /// Memory that counts for the group, bytes.
    pub(super) fn charged(&self) -> io::Result<u64> {
        file::number_of(&self.memory)
    }

    pub(super) fn forget_peak(&self) -> io::Result<()> {
        self.peak_memory.write_all_at(b"0", 0)
    }

    /// Most processes at once since the directory was made.
    pub(super) fn peak_processes(&self) -> io::Result<Option<u64>> {
        self.peak_processes.as_ref().map(file::number_of).transpose()
    }

    pub(super) fn cpu_time_us(&self, before: &Counted) -> io::Result<u64> {
        Ok(file::number_of(&self.cpu)?.saturating_sub(before.cpu) / 1000)
    }

    pub(super) fn oom_kills(&self, before: &Counted) -> io::Result<u64> {
        Ok(self.all_oom_kills()?.saturating_sub(before.oom_kills))
    }

    fn all_oom_kills(&self) -> io::Result<u64> {
        file::keyed_in(&file::text_of(&self.oom)?, "oom_kill")
    }

    /// What is counted up.
    pub(super) fn count(&self) -> io::Result<Counted> {
        let io = self.io.as_ref().map(file::text_of).transpose()?;
        let denied = self.denied_processes.as_ref().map(file::text_of).transpose()?;
        Ok(Counted {
            cpu: file::number_of(&self.cpu)?,
            cpu_user: file::number_of(&self.cpu_user)?,
            cpu_system: file::number_of(&self.cpu_system)?,
            oom_kills: self.all_oom_kills()?,
            io_read: io.as_deref().and_then(|text| sum_of(text, "Read")),
            io_write: io.as_deref().and_then(|text| sum_of(text, "Write")),
            processes_denied: denied.map(|text| file::keyed_in(&text, "max")).transpose()?,
        })
    }

    /// What was used after `before`, and the peaks.
    pub(super) fn since(&self, before: &Counted) -> io::Result<Counters> {
        let now = self.count()?;
        let cpu = now.cpu.saturating_sub(before.cpu) / 1000;
        let (user, system) =
            (now.cpu_user.saturating_sub(before.cpu_user), now.cpu_system.saturating_sub(before.cpu_system));
        let (user, system) = divided(cpu, user, system);
        Ok(Counters {
            cpu_user_us: Some(user),
            cpu_system_us: Some(system),
            memory_peak: Some(file::number_of(&self.peak_memory)?),
            processes_peak: self.peak_processes()?.map(|peak| peak.saturating_sub(OWN_PROCESSES)),
            io_read: since(now.io_read, before.io_read),
            io_write: since(now.io_write, before.io_write),
            oom_kills: Some(now.oom_kills.saturating_sub(before.oom_kills)),
            processes_denied: since(now.processes_denied, before.processes_denied),
            ..Counters::default()
        })
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

/// The sum over all devices. Newer kernels count only where some group of theirs has a limit; the file then names no device,
/// and nothing is known.
fn sum_of(text: &str, direction: &str) -> Option<u64> {
    let of_line = |line: &str| {
        let mut words = line.split(' ').skip(1);
        (words.next()? == direction).then(|| words.next()?.parse::<u64>().ok()).flatten()
    };
    let counted: Vec<u64> = text.lines().filter_map(of_line).collect();
    (!counted.is_empty()).then(|| counted.iter().sum())
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
        assert_eq!((sum_of(text, "Read"), sum_of(text, "Write")), (Some(11), Some(5)));
        assert_eq!(sum_of("Total 0\n", "Read"), None);
    }
}
