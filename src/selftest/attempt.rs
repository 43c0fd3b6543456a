//! What an attempt is: a name, what it tries, what stands in its way, and how it may be stopped.
use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::job::termination::{LimitHit, Reason};

/// Something that must not go well.
#[derive(Debug, PartialEq, Eq)]
pub struct Attempt {
    /// As the probe knows it.
    pub name: &'static str,
    /// What it tries, for people.
    pub tries: &'static str,
    /// What stands in its way; the first one is expected to answer.
    pub layers: &'static [Layer],
    /// The ways in which it may be stopped. Anything else is not well.
    pub stops: &'static [Stop],
}

/// A wall of the sandbox (`docs/SECURITY.md`, "The walls").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The filter of system calls.
    Seccomp,
    /// The absence of every capability.
    Capabilities,
    /// `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivileges,
    /// What is mounted, what is hidden, and that it is read-only.
    Mounts,
    /// The user namespace.
    UserNamespace,
    /// Landlock, where the kernel has it: never the only one.
    Landlock,
    /// The pid namespace.
    PidNamespace,
    /// The network namespace.
    NetworkNamespace,
    /// The ipc, uts, cgroup and time namespaces.
    OtherNamespaces,
    /// That init can be neither traced nor read.
    UndumpableInit,
    /// That no descriptor is handed on.
    Descriptors,
    /// Resource limits of each process (setrlimit(2)).
    ResourceLimits,
    /// Limits of the control group.
    ControlGroup,
    /// Size and inodes of the file systems that can be written to.
    FileSystemSize,
    /// The spawner's watch over time.
    TimeLimits,
    /// The server's bound on what a job prints.
    OutputLimit,
}

impl Layer {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seccomp => "seccomp",
            Self::Capabilities => "capabilities",
            Self::NoNewPrivileges => "no_new_privs",
            Self::Mounts => "mounts",
            Self::UserNamespace => "user namespace",
            Self::Landlock => "Landlock",
            Self::PidNamespace => "pid namespace",
            Self::NetworkNamespace => "network namespace",
            Self::OtherNamespaces => "namespaces",
            Self::UndumpableInit => "undumpable init",
            Self::Descriptors => "descriptors",
            Self::ResourceLimits => "resource limits",
            Self::ControlGroup => "cgroup",
            Self::FileSystemSize => "file system size",
            Self::TimeLimits => "time limits",
            Self::OutputLimit => "output limit",
        }
    }
}

/// A way in which an attempt is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The call fails with this.
    Refused(Errno),
    /// This signal ends the process that tries; the others go on.
    Killed(Signal),
    /// Every call is answered and nothing is gained: why that is so.
    Hollow(&'static str),
    /// The call fails with this, and the job is seen to have hit that limit.
    Limited(Errno, LimitHit),
    /// The whole job is ended for this reason.
    Ended(Reason),
    /// This signal ends the program, and the job is seen to have hit that limit.
    Signaled(Signal, LimitHit),
}
