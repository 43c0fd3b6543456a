//! The settings of `api.job`. No ceiling is above the spawner's own, which would refuse such a job.
use crate::config::kind::Kind;
use crate::config::policy::LEAST_MEMORY_MIB;
use crate::config::table::{Key, count, row};
use crate::plan::ceiling;

const SECOND_US: u64 = 1_000_000;
const MIB: u64 = 1 << 20;

/// Each job that runs has a block of user ids of its own.
const MOST_CONCURRENT: u32 = 500;

/// A job's output is a file of the server's; the spawner has no ceiling for it.
const MOST_OUTPUT_MIB: u64 = 64 << 10;

const WALL: Kind = seconds(ceiling::JOB.wall_us);
const MEMORY: Kind = Kind::Mebibytes { least: LEAST_MEMORY_MIB, most: ceiling::JOB.memory / MIB };

pub(super) const ROWS: &[Key] = &[
    row("api.job.max_timeout", WALL, "300", "Wall time of a run."),
    row("api.job.max_memory", MEMORY, "1024", "Memory of a run, with what it writes below /work and /tmp."),
    row("api.job.max_cpu_time", seconds(ceiling::JOB.cpu_time_us), "300", "Processor time of all processes together."),
    row(
        "api.job.max_cpus",
        Kind::Processors { least: ceiling::FLOOR.milli_cpus, most: ceiling::JOB.milli_cpus },
        "4",
        "Processors at a time; fractions are allowed.",
    ),
    row("api.job.max_processes", count("processes", 1, ceiling::JOB.processes), "512", "Processes and threads."),
    row(
        "api.job.max_open_files",
        count("descriptors", ceiling::FLOOR.open_files, ceiling::JOB.open_files),
        "4096",
        "Open descriptors of one process.",
    ),
    row("api.job.max_file_size", sized(ceiling::JOB.file_size), "1024", "Size of one file."),
    row("api.job.max_disk", sized(ceiling::JOB.temporary), "512", "Size of /work, which counts as memory."),
    row("api.job.max_output", Kind::Mebibytes { least: 1, most: MOST_OUTPUT_MIB }, "64", "What a job may print."),
    row("api.job.max_compile_timeout", WALL, "120", "Wall time of a compilation."),
    row("api.job.max_compile_memory", MEMORY, "1024", "Memory of a compilation."),
    row(
        "api.job.max_concurrent",
        count("jobs", 1, MOST_CONCURRENT),
        "100",
        "Jobs that run at once; each has a block of user ids.",
    ),
    row("api.job.max_queued", count("jobs", 1, 1_000_000), "1000", "Jobs that wait for a place."),
    row("api.job.retention_days", count("days", 1, 36_500), "7", "How long an ended job is kept."),
];

const fn sized(most: u64) -> Kind {
    Kind::Mebibytes { least: 1, most: most / MIB }
}

/// Whole seconds, in the width of a setting.
const fn seconds(most_us: u64) -> Kind {
    let most = most_us / SECOND_US;
    assert!(most <= 0xffff_ffff, "the ceiling is no number of seconds");
    #[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "checked above; no const conversion")]
    let most = most as u32;
    Kind::Seconds { most }
}
