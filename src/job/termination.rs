//! How a job ended, in words that never lie (contract rule 6).
use serde::{Deserialize, Serialize};

/// What ended the job. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The program exited by itself, with whatever code.
    Exited,
    /// A signal ended the program.
    Signaled,
    /// The tree used up its processor time.
    CpuTimeLimit,
    /// The tree ran longer than it may.
    WallTimeLimit,
    /// The group's own memory limit made the kernel kill.
    MemoryLimit,
    /// The program printed more than it may.
    OutputLimit,
    /// The seccomp filter ended the program (SIGSYS).
    SeccompDenied,
    /// The compiler did not succeed; the program never ran.
    CompileFailed,
    /// Somebody asked for the end.
    Cancelled,
    /// A more urgent job needed the place. Ends an attempt only.
    Preempted,
    /// The job waited longer than it may.
    QueueTimeout,
    /// The sandbox could not be made; the program never ran.
    SetupFailed,
    /// The daemon or its spawner went away while the job ran.
    DaemonRestart,
}

/// A limit that made calls fail. It need not be what ended the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitHit {
    /// The memory limit (`memory.events` max or oom, `memory.failcnt` with a kill).
    Memory,
    /// The swap limit.
    Swap,
    /// The limit on processes (`pids.events` max).
    Processes,
    /// `/work` or `/tmp` was full at the end.
    DiskBytes,
    /// `/work` or `/tmp` had no free inode at the end.
    DiskInodes,
    /// SIGXFSZ ended the program.
    FileSize,
}

/// The limit that ended a job, what it was, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExceededLimit {
    /// Name of the request's field: `timeout`, `memory_limit`, `limits.cpu_time`, `limits.output`.
    pub name: String,
    /// The limit, in the unit that `name` is given in (s, MiB), as microseconds or bytes here.
    pub limit: u64,
    /// What was observed, in the same unit as `limit`; nothing where the kernel cannot say.
    pub observed: Option<u64>,
}

/// How a phase of a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Termination {
    /// What ended it.
    pub reason: Reason,
    /// The exit code, where the program exited.
    pub exit_code: Option<i32>,
    /// The signal's name, where one ended the program.
    pub signal: Option<String>,
    /// The limit, where one ended it.
    pub limit: Option<ExceededLimit>,
    /// Limits that made calls fail.
    pub limits_hit: Vec<LimitHit>,
    /// For `setup_failed`: what could not be put in force, and what to do.
    pub message: Option<String>,
}

impl Termination {
    /// An end without an exit code or signal of the program's own.
    pub const fn without_exit(reason: Reason, message: Option<String>) -> Self {
        Self { reason, exit_code: None, signal: None, limit: None, limits_hit: Vec::new(), message }
    }
}
