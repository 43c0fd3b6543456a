//! What a job used (contract rule 7). The unit is in the name; what the kernel cannot say is absent, never 0.
use serde::{Deserialize, Serialize};

/// Resources that one phase of a job used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time in user mode, whole tree, microseconds.
    pub cpu_user_us: Option<u64>,
    /// Processor time in the kernel, whole tree, microseconds.
    pub cpu_system_us: Option<u64>,
    /// From the start of the program to its end, microseconds.
    pub wall_us: Option<u64>,
    /// From acceptance to the start of the first sandbox, microseconds.
    pub queue_us: Option<u64>,
    /// Making the sandbox, microseconds.
    pub setup_us: Option<u64>,
    /// Highest memory of the group, bytes.
    pub memory_peak_bytes: Option<u64>,
    /// Most processes and threads alive at once.
    pub processes_peak: Option<u64>,
    /// Bytes read from block devices.
    pub io_read_bytes: Option<u64>,
    /// Bytes written to block devices.
    pub io_write_bytes: Option<u64>,
}
