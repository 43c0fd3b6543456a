//! Signals: their numbers (signal(7)), and defaults for what is about to exec.
use std::io;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};

/// Gives SIGPIPE, which Rust ignores, its default again and blocks nothing: both are inherited over exec.
///
/// # Errors
/// What the kernel says.
pub fn restore_defaults() -> io::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default disposition runs no code of ours.
    unsafe { sigaction(Signal::SIGPIPE, &default) }?;
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    Ok(())
}

/// What nothing survives.
pub const SIGKILL: i32 = libc::SIGKILL;
/// A call that the seccomp program ends.
pub const SIGSYS: i32 = libc::SIGSYS;
/// A file that grew beyond its limit.
pub const SIGXFSZ: i32 = libc::SIGXFSZ;
/// Memory that may not be touched.
pub const SIGSEGV: i32 = libc::SIGSEGV;
