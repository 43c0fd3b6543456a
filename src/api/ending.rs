//! How a phase ended and what it used, as every family shows it (contract rules 6, 7).
use std::time::Duration;

use poem_openapi::{Enum, Object};

use crate::api::amount::Amount;
use crate::base::size::ByteSize;
use crate::job::termination::{ExceededLimit, LimitHit, Reason, Termination};
use crate::job::usage::Usage;

/// How it ended.
#[derive(Debug, Object)]
#[oai(rename = "Termination")]
pub(super) struct TerminationBody {
    /// What ended it.
    reason: ReasonWord,
    /// The exit code, where the program exited.
    #[oai(nullable)]
    exit_code: Option<i32>,
    /// The signal's name, where one ended the program.
    #[oai(nullable)]
    signal: Option<String>,
    /// The limit that ended it, where one did.
    #[oai(skip_serializing_if_is_none)]
    limit: Option<LimitBody>,
    /// Limits that made calls fail without ending it.
    limits_hit: Vec<LimitWord>,
    /// What could not be done, and what to do about it.
    #[oai(skip_serializing_if_is_none)]
    message: Option<String>,
}

/// A limit that ended a job.
#[derive(Debug, Object)]
#[oai(rename = "ExceededLimit")]
struct LimitBody {
    /// The member of the request that sets it.
    name: String,
    /// The limit, in the unit of that member.
    limit: Amount,
    /// What was seen, in the same unit; null where the kernel cannot say.
    #[oai(nullable)]
    observed: Option<Amount>,
}

/// What ended a job.
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "Reason", rename_all = "snake_case")]
enum ReasonWord {
    Exited,
    Signaled,
    CpuTimeLimit,
    WallTimeLimit,
    MemoryLimit,
    OutputLimit,
    SeccompDenied,
    CompileFailed,
    Cancelled,
    Preempted,
    QueueTimeout,
    SetupFailed,
    DaemonRestart,
}

/// A limit that made calls fail.
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "LimitHit", rename_all = "snake_case")]
enum LimitWord {
    Memory,
    Swap,
    Processes,
    DiskBytes,
    DiskInodes,
    FileSize,
}

/// What a phase used. A figure that the kernel cannot give is null, never 0.
#[derive(Debug, Object)]
#[oai(rename = "Usage", nullable_all)]
pub(super) struct UsageBody {
    /// Processor time in user mode, microseconds.
    cpu_user_us: Option<u64>,
    /// Processor time in the kernel, microseconds.
    cpu_system_us: Option<u64>,
    /// From start to end, microseconds.
    wall_us: Option<u64>,
    /// From acceptance to the first sandbox, microseconds.
    queue_us: Option<u64>,
    /// Making the sandbox, microseconds.
    setup_us: Option<u64>,
    /// Highest memory, bytes.
    memory_peak_bytes: Option<u64>,
    /// Most processes and threads at once.
    processes_peak: Option<u64>,
    /// Bytes read from block devices; null where the kernel does not count them (cgroup v1).
    io_read_bytes: Option<u64>,
    /// Bytes written to block devices; null where the kernel does not count them (cgroup v1).
    io_write_bytes: Option<u64>,
}

impl From<&Termination> for TerminationBody {
    fn from(end: &Termination) -> Self {
        Self {
            reason: end.reason.into(),
            exit_code: end.exit_code,
            signal: end.signal.clone(),
            limit: end.limit.as_ref().map(LimitBody::from),
            limits_hit: end.limits_hit.iter().copied().map(LimitWord::from).collect(),
            message: end.message.clone(),
        }
    }
}

impl From<&ExceededLimit> for LimitBody {
    /// Records hold microseconds and bytes; clients see the unit in which they asked.
    fn from(exceeded: &ExceededLimit) -> Self {
        let is_time = ["timeout", "limits.cpu_time", "limits.compile_timeout"];
        let shown = |number: u64| {
            if is_time.contains(&exceeded.name.as_str()) {
                Amount::seconds(Duration::from_micros(number))
            } else {
                Amount::mib(ByteSize(number))
            }
        };
        Self { name: exceeded.name.clone(), limit: shown(exceeded.limit), observed: exceeded.observed.map(shown) }
    }
}

impl From<Reason> for ReasonWord {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Exited => Self::Exited,
            Reason::Signaled => Self::Signaled,
            Reason::CpuTimeLimit => Self::CpuTimeLimit,
            Reason::WallTimeLimit => Self::WallTimeLimit,
            Reason::MemoryLimit => Self::MemoryLimit,
            Reason::OutputLimit => Self::OutputLimit,
            Reason::SeccompDenied => Self::SeccompDenied,
            Reason::CompileFailed => Self::CompileFailed,
            Reason::Cancelled => Self::Cancelled,
            Reason::Preempted => Self::Preempted,
            Reason::QueueTimeout => Self::QueueTimeout,
            Reason::SetupFailed => Self::SetupFailed,
            Reason::DaemonRestart => Self::DaemonRestart,
        }
    }
}

impl From<LimitHit> for LimitWord {
    fn from(hit: LimitHit) -> Self {
        match hit {
            LimitHit::Memory => Self::Memory,
            LimitHit::Swap => Self::Swap,
            LimitHit::Processes => Self::Processes,
            LimitHit::DiskBytes => Self::DiskBytes,
            LimitHit::DiskInodes => Self::DiskInodes,
            LimitHit::FileSize => Self::FileSize,
        }
    }
}

impl From<Usage> for UsageBody {
    fn from(usage: Usage) -> Self {
        Self {
            cpu_user_us: usage.cpu_user_us,
            cpu_system_us: usage.cpu_system_us,
            wall_us: usage.wall_us,
            queue_us: usage.queue_us,
            setup_us: usage.setup_us,
            memory_peak_bytes: usage.memory_peak_bytes,
            processes_peak: usage.processes_peak,
            io_read_bytes: usage.io_read_bytes,
            io_write_bytes: usage.io_write_bytes,
        }
    }
}
