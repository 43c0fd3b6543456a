//! The limits of a job: what applies when nothing is asked for, and what may be asked for at most.
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::size::ByteSize;

/// Everything that is limited in one phase of a job. Nothing is missing: a limit that was not asked for has its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall time of the run phase (`timeout`, seconds).
    pub wall: Duration,
    /// Processor time of the whole tree (`limits.cpu_time`, seconds).
    pub cpu_time: Duration,
    /// Processors, in thousandths (`limits.cpus`, a number of processors).
    pub milli_cpus: u32,
    /// Memory and swap of the whole tree (`memory_limit`, MiB).
    pub memory: ByteSize,
    /// Processes and threads alive at once (`limits.processes`).
    pub processes: u32,
    /// Descriptors of one process (`limits.open_files`).
    pub open_files: u32,
    /// Largest file (`limits.file_size`, MiB).
    pub file_size: ByteSize,
    /// Bytes in `/work`, and as many in `/tmp` (`limits.disk`, MiB).
    pub disk: ByteSize,
    /// Both output streams together (`limits.output`, MiB).
    pub output: ByteSize,
    /// Wall time of the compile phase (`limits.compile_timeout`, seconds).
    pub compile_wall: Duration,
    /// Memory of the compile phase (`limits.compile_memory`, MiB).
    pub compile_memory: ByteSize,
}

/// Defaults and ceilings, from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// What a job gets that asks for nothing.
    pub default: Limits,
    /// What a job may ask for at most.
    pub ceiling: Limits,
}

/// Files and directories in `/work`, and as many in `/tmp`: one for each 4 KiB, at least 1,024 (tmpfs(5)).
pub fn inodes_of(disk: ByteSize) -> u64 {
    (disk.bytes() / 4096).max(1024)
}
