//! The attempts to use up more than a job's share: each a job of its own, with small limits.
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::attempt::{Attempt, Layer, Stop};
use crate::base::size::ByteSize;
use crate::job::limits::Limits;
use crate::job::termination::{LimitHit, Reason};

/// An attempt and the limits that it meets.
#[derive(Debug)]
pub struct Exhaustion {
    /// The attempt.
    pub attempt: Attempt,
    /// The limits of its job.
    pub limits: Limits,
}

/// Those of every job of the self-test, where the attempt has none of its own: small, and enough for the probe on a
/// slow machine.
pub(super) const LIMITS: Limits = Limits {
    wall: Duration::from_secs(20),
    cpu_time: Duration::from_secs(10),
    milli_cpus: 1000,
    memory: ByteSize::mib(64),
    processes: 16,
    open_files: 64,
    file_size: ByteSize::mib(512),
    disk: ByteSize::mib(4),
    output: ByteSize::mib(1),
    compile_wall: Duration::from_secs(1),
    compile_memory: ByteSize::mib(64),
};

const fn exhaustion(
    (name, tries): (&'static str, &'static str),
    layers: &'static [Layer],
    stops: &'static [Stop],
    limits: Limits,
) -> Exhaustion {
    Exhaustion { attempt: Attempt { name, tries, layers, stops }, limits }
}

const TOO_MANY_PROCESSES: &[Stop] = &[Stop::Limited(Errno::EAGAIN, LimitHit::Processes)];
const NO_SPACE: &[Stop] = &[Stop::Limited(Errno::ENOSPC, LimitHit::DiskBytes)];
const SHORT_MEMORY: Limits = Limits { memory: ByteSize::mib(32), ..LIMITS };

/// All of them.
pub static EXHAUSTION: &[Exhaustion] = &[
    exhaustion(("fork-bomb", "start 256 processes"), &[Layer::ControlGroup], TOO_MANY_PROCESSES, LIMITS),
    exhaustion(("zombies", "leave 256 dead processes"), &[Layer::ControlGroup], TOO_MANY_PROCESSES, LIMITS),
    exhaustion(
        ("memory", "use 256 MiB of memory"),
        &[Layer::ControlGroup],
        &[Stop::Ended(Reason::MemoryLimit)],
        SHORT_MEMORY,
    ),
    exhaustion(
        ("memory-of-files", "use 256 MiB of memory by a file without a name"),
        &[Layer::ControlGroup],
        &[Stop::Ended(Reason::MemoryLimit)],
        SHORT_MEMORY,
    ),
    exhaustion(
        ("processor-time", "compute for 60 seconds"),
        &[Layer::TimeLimits],
        &[Stop::Ended(Reason::CpuTimeLimit)],
        Limits { cpu_time: Duration::from_secs(1), ..LIMITS },
    ),
    exhaustion(
        ("wall-time", "sleep for 60 seconds"),
        &[Layer::TimeLimits],
        &[Stop::Ended(Reason::WallTimeLimit)],
        Limits { wall: Duration::from_secs(1), ..LIMITS },
    ),
    exhaustion(
        ("output", "print 64 MiB on both streams, without a line's end"),
        &[Layer::OutputLimit],
        &[Stop::Ended(Reason::OutputLimit)],
        LIMITS,
    ),
    exhaustion(("disk-work", "write 32 MiB below /work"), &[Layer::FileSystemSize], NO_SPACE, LIMITS),
    exhaustion(("disk-tmp", "write 32 MiB below /tmp"), &[Layer::FileSystemSize], NO_SPACE, LIMITS),
    exhaustion(("disk-shm", "write 32 MiB below /dev/shm"), &[Layer::FileSystemSize], NO_SPACE, LIMITS),
    exhaustion(
        ("inodes", "make 16384 files"),
        &[Layer::FileSystemSize],
        &[Stop::Limited(Errno::ENOSPC, LimitHit::DiskInodes)],
        LIMITS,
    ),
    exhaustion(
        ("file-size", "make a file of 1 TiB without bytes"),
        &[Layer::ResourceLimits],
        &[Stop::Signaled(Signal::SIGXFSZ, LimitHit::FileSize)],
        Limits { file_size: ByteSize::mib(1), ..LIMITS },
    ),
    exhaustion(
        ("descriptors", "open 4096 descriptors"),
        &[Layer::ResourceLimits],
        &[Stop::Refused(Errno::EMFILE)],
        LIMITS,
    ),
];
