//! What the API needs of the parts behind it: one trait, so that a test can stand in for them.
//!
//! Not here: how any of it is done. `daemon` fits the trait to queue, store and output.
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::access::Principal;
use crate::base::id::JobId;
use crate::base::size::ByteSize;
use crate::job::record::Record;
use crate::job::request::{KnownLanguage, Request};

/// Bytes of one stream that an answer shows at most (contract rule 8).
pub const SHOWN_AT_MOST: ByteSize = ByteSize::mib(1);

/// Everything behind the API.
///
/// A future may be dropped at any moment, when a client goes away: what was begun goes on.
pub trait Core: Send + Sync + 'static {
    /// Accepts a job; it is durable when its id is given.
    fn submit<'a>(&'a self, principal: &'a Principal, request: Request) -> BoxFuture<'a, Result<JobId, SubmitError>>;

    /// The job when it has ended, or as it stands after `patience`.
    fn wait(&self, job: JobId, patience: Duration) -> BoxFuture<'_, Result<Record, ReadError>>;

    /// The job as it stands; nothing when there is none of this id.
    fn job(&self, job: JobId) -> BoxFuture<'_, Result<Option<Record>, ReadError>>;

    /// What a phase of the last attempt printed: all of it up to [`SHOWN_AT_MOST`], else the
    /// first and the last half of that, cut between characters where it is UTF-8.
    fn captured<'a>(
        &'a self,
        record: &'a Record,
        phase: Phase,
        stream: Stream,
    ) -> BoxFuture<'a, Result<Captured, ReadError>>;

    /// How many jobs there are.
    fn load(&self) -> Load;

    /// Whether a job could run now.
    ///
    /// # Errors
    /// What is missing, for people.
    fn ready(&self) -> Result<(), String>;

    /// The languages of the image, in the order in which they are shown.
    fn languages(&self) -> Vec<KnownLanguage>;

    /// What the host and kiln use.
    fn host_usage(&self) -> HostUsage;
}

/// A part of a job that prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The compiler.
    Compile,
    /// The program.
    Run,
}

/// Where it prints to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// What was printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// The bytes that are shown.
    pub bytes: Vec<u8>,
    /// How many were printed.
    pub total: u64,
    /// Whether the middle is left out.
    pub truncated: bool,
}

/// Jobs that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Jobs that run.
    pub running: u64,
    /// Jobs that wait.
    pub queued: u64,
}

/// What is used. A figure that the kernel cannot give is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HostUsage {
    /// Of all processors of the host, per cent.
    pub cpu_percent: Option<f64>,
    /// Memory of kiln and its jobs, MiB.
    pub memory_mib: Option<u64>,
    /// Disk space of kiln and its jobs, MiB.
    pub disk_mib: Option<u64>,
}

/// Why a job was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// As many jobs wait as may.
    #[error("the queue is full")]
    Full {
        /// When to try again, in seconds.
        retry_after_s: u32,
    },
    /// The daemon takes no more jobs.
    #[error("the daemon is stopping")]
    Stopping,
    /// The job could not be made durable.
    #[error("store: {0}")]
    Store(String),
}

/// A record or an output could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReadError(pub String);
