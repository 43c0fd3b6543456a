//! What a job gets that asks for nothing (contract rule 21).
use std::time::Duration;

use crate::base::size::ByteSize;
use crate::job::limits::{Limits, Policy};

/// Below this not even a shell starts.
pub(super) const LEAST_MEMORY_MIB: u64 = 8;

/// `disk` is counted as memory, in `/work` and in `/tmp`: both full still leave half for the program.
const DEFAULT: Limits = Limits {
    wall: Duration::from_secs(30),
    cpu_time: Duration::from_secs(30),
    milli_cpus: 1000,
    memory: ByteSize::mib(128),
    processes: 64,
    open_files: 256,
    file_size: ByteSize::mib(64),
    disk: ByteSize::mib(32),
    output: ByteSize::mib(16),
    compile_wall: Duration::from_secs(30),
    compile_memory: ByteSize::mib(512),
};

/// The defaults, lowered where a ceiling is below one.
pub(super) fn under(ceiling: Limits) -> Policy {
    let memory = DEFAULT.memory.min(ceiling.memory);
    let quarter_of_memory = ByteSize(memory.bytes() / 4);
    let default = Limits {
        wall: DEFAULT.wall.min(ceiling.wall),
        cpu_time: DEFAULT.cpu_time.min(ceiling.cpu_time),
        milli_cpus: DEFAULT.milli_cpus.min(ceiling.milli_cpus),
        memory,
        processes: DEFAULT.processes.min(ceiling.processes),
        open_files: DEFAULT.open_files.min(ceiling.open_files),
        file_size: DEFAULT.file_size.min(ceiling.file_size),
        disk: DEFAULT.disk.min(ceiling.disk).min(quarter_of_memory),
        output: DEFAULT.output.min(ceiling.output),
        compile_wall: DEFAULT.compile_wall.min(ceiling.compile_wall),
        compile_memory: DEFAULT.compile_memory.min(ceiling.compile_memory),
    };
    Policy { default, ceiling }
}
