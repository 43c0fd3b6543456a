//! What one sandbox may use. Every limit is put in force by the kernel or by the spawner's timers.

/// Limits of one sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Wall time from the start of the main program, microseconds.
    pub wall_us: u64,
    /// Processor time of the whole tree, microseconds.
    pub cpu_time_us: u64,
    /// Processors, in thousandths.
    pub milli_cpus: u32,
    /// Memory and swap of the whole tree, bytes.
    pub memory: u64,
    /// Processes and threads alive at once, init not counted.
    pub processes: u32,
    /// Descriptors of one process (`RLIMIT_NOFILE`, getrlimit(2)).
    pub open_files: u32,
    /// Largest file in bytes (`RLIMIT_FSIZE`).
    pub file_size: u64,
    /// Bytes in /tmp and /dev/shm together.
    pub temporary: u64,
    /// Files and directories in /tmp and /dev/shm together.
    pub temporary_inodes: u64,
}

impl Limits {
    /// Each limit with its name, for checks that name what they refuse.
    pub const fn named(&self) -> [(&'static str, u64); 9] {
        [
            ("wall time (µs)", self.wall_us),
            ("processor time (µs)", self.cpu_time_us),
            ("processors (thousandths)", widen(self.milli_cpus)),
            ("memory (bytes)", self.memory),
            ("processes", widen(self.processes)),
            ("open files", widen(self.open_files)),
            ("file size (bytes)", self.file_size),
            ("temporary files (bytes)", self.temporary),
            ("temporary files (inodes)", self.temporary_inodes),
        ]
    }
}

#[expect(clippy::as_conversions, reason = "widening; From is not const")]
pub(super) const fn widen(number: u32) -> u64 {
    number as u64
}
