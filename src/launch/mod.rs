//! Talks to the spawner: trees and sandboxes as values that can be waited for.
//!
//! Dropping a [`Tree`] removes it; dropping a [`Sandbox`] does not end it, [`Ender`] does. When the spawner is
//! gone, whatever waited is told so. Not here: which job runs, and what its end means.
pub mod client;
mod start;

pub use start::plan_of;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};

use crate::base::digest::Digest;
use crate::base::id::{SandboxId, TreeId};
use crate::base::size::ByteSize;
use crate::launch::client::{Client, Event};
use crate::plan::Network;
use crate::plan::ceiling::Refusal;
use crate::plan::isolation::Isolation;
use crate::plan::mount::Root;
use crate::wire::reply::{self, Counters};
use crate::wire::request::Request;

/// The way to the spawner. Clones lead to the same one.
#[derive(Clone, Debug)]
pub struct Launcher(Arc<Client>);

/// A writable tree that the phases of one job share.
#[derive(Debug)]
pub struct Tree {
    id: TreeId,
    made: oneshot::Receiver<Result<u32, Refusal>>,
    client: Arc<Client>,
}

/// What is to be started, and in what.
#[derive(Debug)]
pub struct SandboxRequest<'a> {
    /// The server's own words, kept by the spawner.
    pub label: [u8; 64],
    /// What is mounted at `/`.
    pub root: Root,
    /// What it can reach.
    pub network: Network,
    /// The program.
    pub program: Program,
    /// Files that exist before it starts.
    pub files: Vec<InputFile>,
    /// All that it reads on descriptor 0.
    pub stdin: Vec<u8>,
    /// What is mounted at `/work`.
    pub work: &'a Tree,
    /// What it may use.
    pub limits: SandboxLimits,
}

/// A program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The program and its arguments.
    pub argv: Vec<Vec<u8>>,
    /// `NAME=value`
    pub env: Vec<Vec<u8>>,
    /// Working directory.
    pub cwd: Vec<u8>,
}

/// A file below the working directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFile {
    /// Plain names with `/` between them.
    pub path: String,
    /// Whether it may be executed.
    pub executable: bool,
    /// The bytes.
    pub content: Vec<u8>,
}

/// What one sandbox may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SandboxLimits {
    /// Wall time.
    pub wall: Duration,
    /// Processor time of the tree.
    pub cpu_time: Duration,
    /// Processors, in thousandths.
    pub milli_cpus: u32,
    /// Memory and swap.
    pub memory: ByteSize,
    /// Processes and threads.
    pub processes: u32,
    /// Descriptors of a process.
    pub open_files: u32,
    /// Largest file.
    pub file_size: ByteSize,
    /// Bytes in /tmp.
    pub disk: ByteSize,
    /// Files and directories in /tmp.
    pub disk_inodes: u64,
}

/// A sandbox whose program was started.
#[derive(Debug)]
pub struct Sandbox {
    /// What it prints on descriptor 1.
    pub stdout: pipe::Receiver,
    /// What it prints on descriptor 2.
    pub stderr: pipe::Receiver,
    /// Ends it.
    pub ender: Ender,
    /// Tells its end.
    pub end: EndWaiter,
    /// How long making it took.
    pub setup: Duration,
}

/// Ends a sandbox with everything in it.
#[derive(Clone, Debug)]
pub struct Ender {
    sandbox: SandboxId,
    client: Arc<Client>,
}

impl Ender {
    /// Asks for the end. The caller remembers why. Asking twice, or too late, does nothing.
    pub fn end(&self) {
        self.client.say(Request::End { sandbox: self.sandbox });
    }
}

/// Waits for the end of a sandbox.
#[derive(Debug)]
pub struct EndWaiter {
    sandbox: SandboxId,
    events: mpsc::Receiver<Event>,
    client: Arc<Client>,
}

/// How a sandbox ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// How its main program ended.
    pub exit: Exit,
    /// What ended it.
    pub cause: EndCause,
    /// What it used.
    pub counters: Counters,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// The whole sandbox was ended before the program told.
    Unknown,
}

/// What ended a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// Its program ended.
    Program,
    /// Its wall time was over.
    WallTime,
    /// Its processor time was over.
    CpuTime,
    /// Its memory limit made the kernel kill.
    Memory,
    /// [`Ender::end`]
    Requested,
    /// The spawner is gone, and the sandbox with it.
    SpawnerLost,
}

/// Why something was not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// The spawner may not, or cannot yet, do this.
    #[error("refused: {what}{}", amounts(*asked, *ceiling))]
    Refused {
        /// What.
        what: String,
        /// How much was asked for.
        asked: u64,
        /// How much may be had.
        ceiling: u64,
    },
    /// A step of making the sandbox, or of starting the program, did not work.
    #[error("could not {step}: {message}")]
    Setup {
        /// Which step.
        step: String,
        /// Why.
        message: String,
    },
    /// The sandbox was well; the kernel did not start the program in it.
    #[error("the program could not be started: {message}")]
    Program {
        /// Why.
        message: String,
    },
    /// The spawner is gone.
    #[error("the spawner is gone; kiln has to be started again")]
    Unavailable,
}

fn amounts(asked: u64, ceiling: u64) -> String {
    if asked == 0 && ceiling == 0 { String::new() } else { format!(" (asked {asked}, possible {ceiling})") }
}

impl Launcher {
    /// What keeps jobs apart on this host.
    pub fn isolation(&self) -> &Isolation {
        self.0.isolation()
    }

    /// The process of the spawner.
    pub fn spawner(&self) -> u32 {
        self.0.spawner()
    }

    /// Asks for a new empty tree, for sandboxes that have `root` at `/`. Nobody has to wait for it: the spawner does what it is asked in order, and refuses a
    /// sandbox whose tree it could not make.
    ///
    /// # Errors
    /// When the spawner is gone.
    pub async fn make_tree(&self, bytes: ByteSize, inodes: u64, root: Root) -> Result<Tree, LaunchError> {
        let (id, made) = self.0.expect_tree()?;
        // From here on the tree is removed even when this call is given up half-way.
        let tree = Tree { id, made, client: Arc::clone(&self.0) };
        self.0.ask(Request::MakeTree { tree: id, bytes: bytes.bytes(), inodes, root }, Vec::new()).await?;
        Ok(tree)
    }

    /// Makes a sandbox and starts its program.
    ///
    /// # Errors
    /// When it was not started. Nothing of it is left then.
    pub async fn start(&self, request: SandboxRequest<'_>) -> Result<Sandbox, LaunchError> {
        start::start(&self.0, request).await
    }

    /// Removes a tag from the store of images.
    ///
    /// # Errors
    /// When it could not be removed.
    pub async fn remove_tag(&self, file: String) -> Result<(), LaunchError> {
        self.0.remove(|removal| Request::DropTag { removal, file }).await
    }

    /// Removes an image from the store.
    ///
    /// # Errors
    /// When a job has it, or it could not be removed.
    pub async fn remove_image(&self, digest: Digest) -> Result<(), LaunchError> {
        self.0.remove(|removal| Request::DropImage { removal, digest }).await
    }

    /// Comes back when the spawner is gone.
    pub async fn lost(&self) {
        self.0.lost().await;
    }

    /// Whether the spawner is gone.
    pub fn is_lost(&self) -> bool {
        self.0.is_lost()
    }
}

fn refused(refusal: Refusal) -> LaunchError {
    LaunchError::Refused { what: refusal.what, asked: refusal.asked, ceiling: refusal.ceiling }
}

impl Tree {
    /// Waits until it is made: the id on the host that is 0 in the sandboxes which have it.
    ///
    /// # Errors
    /// When the spawner refuses or is gone.
    pub async fn first_id(mut self) -> Result<u32, LaunchError> {
        match (&mut self.made).await {
            Ok(Ok(first_id)) => Ok(first_id),
            Ok(Err(refusal)) => Err(refused(refusal)),
            Err(oneshot::error::RecvError { .. }) => Err(LaunchError::Unavailable),
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.client.say(Request::DropTree { tree: self.id });
    }
}

impl EndWaiter {
    /// The end: of the program and all that it started, or of the whole sandbox where that came first.
    pub async fn wait(mut self) -> End {
        while let Some(event) = self.events.recv().await {
            let (exit, cause, counters) = match event {
                Event::Exited(status, cause, counters) => (exit_of(status), cause, counters),
                Event::Ended(cause, counters) => (Exit::Unknown, cause, counters),
                Event::Started(_) | Event::Failed { .. } | Event::Refused(_) => continue,
            };
            return End { exit, cause: cause_of(cause), counters };
        }
        End { exit: Exit::Unknown, cause: EndCause::SpawnerLost, counters: Counters::default() }
    }
}

impl Drop for EndWaiter {
    fn drop(&mut self) {
        self.client.forget(self.sandbox);
    }
}

/// wait(2): the low seven bits are the signal, 0 when the program exited; the code is in the next byte.
fn exit_of(status: u32) -> Exit {
    match status & 0x7f {
        0 => Exit::Code(i32::try_from(status >> 8 & 0xff).unwrap_or(0)),
        signal => Exit::Signal(i32::try_from(signal).unwrap_or(0)),
    }
}

const fn cause_of(cause: reply::Cause) -> EndCause {
    match cause {
        // A failed set-up is told before the end; whoever waits for the end asked for nothing else.
        reply::Cause::Program | reply::Cause::Setup => EndCause::Program,
        reply::Cause::WallTime => EndCause::WallTime,
        reply::Cause::CpuTime => EndCause::CpuTime,
        reply::Cause::Memory => EndCause::Memory,
        reply::Cause::Requested => EndCause::Requested,
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_wait_status_is_read_as_wait_2_says() {
        assert_eq!(exit_of(0), Exit::Code(0));
        assert_eq!(exit_of(0x0700), Exit::Code(7));
        assert_eq!(exit_of(9), Exit::Signal(9));
        assert_eq!(exit_of(0x8b), Exit::Signal(11));
    }
}
