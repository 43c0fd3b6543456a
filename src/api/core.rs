//! What the API needs of the parts behind it: one trait, so that a test can stand in for them.
//!
//! Not here: how any of it is done. `daemon` fits the trait to queue, store and output.
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use serde_json::Value;

use crate::access::{Permit, Principal};
use crate::base::id::JobId;
use crate::base::size::ByteSize;
use crate::job::record::Record;
use crate::job::request::Request;
use crate::job::request::offer::Offer;
use crate::job::state::Status;
use crate::plan::isolation::Isolation;
pub use crate::queue::{IdempotencyKey, Submitted};
use crate::selftest::Report;
use crate::telemetry::times::Times;

/// Bytes of one stream that an answer shows at most (contract rule 8).
pub const SHOWN_AT_MOST: ByteSize = ByteSize::mib(1);

/// Everything behind the API.
///
/// A future may be dropped at any moment, when a client goes away: what was begun goes on.
pub trait Core: Send + Sync + 'static {
    /// Accepts a job, or finds the one that was accepted under this key; it is durable when its id is given.
    fn submit<'a>(
        &'a self,
        principal: &'a Principal,
        request: Request,
        key: Option<IdempotencyKey>,
    ) -> BoxFuture<'a, Result<Submitted, SubmitError>>;

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

    /// How many bytes of a phase of the last attempt there are now.
    fn output_bytes<'a>(&'a self, record: &'a Record, selection: Selection) -> BoxFuture<'a, Result<u64, ReadError>>;

    /// Those bytes from `range`, in the order in which they were printed. The stream ends with an error
    /// where there are fewer.
    fn output(
        &self,
        record: &Record,
        selection: Selection,
        range: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, ReadError>>;

    /// The jobs that fit, newest first, and how many fit in all.
    fn jobs(&self, filter: JobFilter, limit: usize, offset: u64) -> BoxFuture<'_, Result<JobPage, ReadError>>;

    /// Removes an ended job with all that it printed.
    fn delete<'a>(&'a self, record: &'a Record, permit: Permit) -> BoxFuture<'a, Result<(), DeleteError>>;

    /// What is or was in force for a phase, in the form of the OCI runtime specification; nothing where the
    /// job has no such phase.
    ///
    /// # Errors
    /// Why this daemon cannot say, for people.
    fn spec(&self, record: &Record, phase: Phase) -> Result<Option<Value>, String>;

    /// Asks for the end of a job.
    fn cancel(&self, job: JobId, permit: Permit) -> BoxFuture<'_, Result<(), CancelError>>;

    /// Makes every attempt of the self-test, as jobs of this principal.
    fn selftest<'a>(&'a self, principal: &'a Principal, permit: Permit)
    -> BoxFuture<'a, Result<Report, SelfTestError>>;

    /// How many jobs there are.
    fn load(&self) -> Load;

    /// The parts that a job needs, and how each of them is. A job could run now if none is unhealthy.
    fn checks(&self) -> Vec<Check>;

    /// How long the parts of a job took since the start, by their names.
    fn times(&self) -> Vec<(&'static str, Times)>;

    /// What the host and the build can do.
    fn host(&self) -> HostFacts;

    /// The languages and images that a request may choose from.
    fn offer(&self) -> Arc<Offer>;

    /// Removes an image: a tag where it has several, else the image with all its tags.
    fn remove_image(&self, image: String, permit: Permit) -> BoxFuture<'_, Result<(), RemoveError>>;

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

/// Which jobs are listed. What is absent does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Name of their owner.
    pub owner: Option<String>,
    /// Their status.
    pub status: Option<Status>,
    /// Id of their language.
    pub language: Option<String>,
}

/// A part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobPage {
    /// The jobs of this part.
    pub jobs: Vec<Record>,
    /// How many jobs the whole list has.
    pub total: u64,
}

/// Bytes of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Of this phase.
    pub phase: Phase,
    /// Of this stream; of both where there is none.
    pub stream: Option<Stream>,
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

/// How a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name: `store`, `sandbox`, `queue`.
    pub part: &'static str,
    /// How it is.
    pub condition: Condition,
    /// What is wrong and what to do, or how it is used.
    pub message: String,
}

/// How well a part works, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// As it should.
    Healthy,
    /// It works, and will not for long or not for everybody.
    Degraded,
    /// It does not work.
    Unhealthy,
}

/// What does not change while the daemon runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// `uname -r`
    pub kernel: Option<String>,
    /// What keeps jobs apart.
    pub isolation: Isolation,
    /// Jobs that run at once at most.
    pub max_concurrent: u64,
    /// Jobs that wait at most.
    pub max_queued: u64,
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
    /// The idempotency key stands for another request.
    #[error("the idempotency key was used for another request")]
    KeyTaken,
    /// The daemon takes no more jobs.
    #[error("the daemon is stopping")]
    Stopping,
    /// The job could not be made durable.
    #[error("store: {0}")]
    Store(String),
}

/// Why a job was not removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteError {
    /// It has not ended.
    #[error("the job has not ended; cancel it first")]
    Unfinished,
    /// The record could not be removed.
    #[error("store: {0}")]
    Store(String),
}

/// Why a job is not being ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// It had ended before.
    #[error("the job had ended before")]
    Over,
    /// Its end could not be made durable.
    #[error("store: {0}")]
    Store(String),
}

/// Why an image was not removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoveError {
    /// There is none that is called so.
    #[error("there is no such image")]
    Unknown,
    /// A job that has not ended is to run in it.
    #[error("a job that has not ended runs in it, or will; wait for it or cancel it")]
    InUse,
    /// It could not be removed.
    #[error("the image could not be removed: {0}")]
    Failed(String),
}

/// Why there is no report of a self-test.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelfTestError {
    /// Another one has not ended.
    #[error("a self-test is under way")]
    UnderWay,
    /// It failed itself.
    #[error("the self-test failed: {0}")]
    Failed(String),
}

/// A record or an output could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReadError(pub String);
