//! What a sandbox is: a total description, in which nothing is missing and no absence means "default".
//!
//! A plan names from the beginning what later surfaces need. What the spawner does not build yet it
//! refuses by name; nothing is dropped. Not here: how a plan is carried out (`spawner`).
pub mod ceiling;
pub mod isolation;
pub mod limits;
pub mod mount;
pub mod network;
pub mod prefix;
pub mod process;
#[path = "../init/protocol.rs"]
pub mod protocol;
pub mod standard;

use crate::plan::limits::Limits;
use crate::plan::mount::{Mount, Root};

/// One sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which row of the spawner's table of privileges applies.
    pub class: Class,
    /// When the sandbox ends by itself.
    pub lifetime: Lifetime,
    /// Where the program's descriptors 0, 1 and 2 lead.
    pub stdio: Stdio,
    /// What the sandbox can reach.
    pub network: Network,
    /// Which seccomp program is loaded.
    pub profile: Profile,
    /// What is mounted at `/`, read-only.
    pub root: Root,
    /// What is mounted below `/`, beside /proc, /dev, /dev/shm and /tmp, in this order.
    pub mounts: Vec<Mount>,
    /// What the sandbox may use.
    pub limits: Limits,
}

/// Privilege is a class. It fixes uid block, capabilities, profile, lifetime and every ceiling; the
/// server may ask for less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// One phase of a job: no capability, no root.
    Job,
    /// A batch job in an image of its own.
    Batch,
    /// A long-lived container.
    Container,
    /// A user's workspace.
    Workspace,
    /// Work of kiln itself, such as unpacking an image.
    System,
}

/// When a sandbox ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// With its main program.
    WithMain,
    /// When somebody ends it.
    UntilEnded,
}

/// Where a program's first three descriptors lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdio {
    /// To descriptors that the server passes.
    Pipes,
    /// To a terminal of the sandbox's own devpts.
    Terminal,
}

/// What a sandbox can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Its own loopback interface.
    Isolated,
    /// The outside, through a policy.
    Egress,
    /// A network object.
    Attached,
}

/// Which prebuilt seccomp program is loaded. The server names it and never sends one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// `seccomp-profiles/job.json`
    Job,
}

/// The user and group that programs run as, inside the sandbox's user namespace.
pub const JOB_ID: u32 = 1000;
