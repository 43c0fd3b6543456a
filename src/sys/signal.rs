//! Signals: their numbers (signal(7)), and defaults for what is about to exec.
use std::io;

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};

/// The kernel's own `sigaction` on x86-64: handler, flags, restorer, mask. All zero is the default disposition.
const DEFAULT: [u64; 4] = [0; 4];

/// Bytes of a signal mask of the kernel, and so its number of signals (signal(7)).
const MASK_BYTES: usize = 8;
const SIGNALS: i32 = 64;

/// Ignores no signal and blocks none: both are inherited over exec. SIGPIPE is ignored by Rust, 32 and 33 by
/// `posix_spawn(3)` of the C library, any other by whoever started kiln (nohup(1), a shell in the background).
///
/// # Errors
/// What the kernel says.
pub fn restore_defaults() -> io::Result<()> {
    let changeable = |signal: &i32| !matches!(*signal, libc::SIGKILL | libc::SIGSTOP);
    (1..=SIGNALS).filter(changeable).try_for_each(restore_default)?;
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    Ok(())
}

/// Ctrl-C of a terminal.
pub const SIGINT: i32 = libc::SIGINT;
/// The usual request to end.
pub const SIGTERM: i32 = libc::SIGTERM;
/// A write that nobody reads.
pub const SIGPIPE: i32 = libc::SIGPIPE;
/// What nothing survives.
pub const SIGKILL: i32 = libc::SIGKILL;
/// A call that the seccomp program ends.
pub const SIGSYS: i32 = libc::SIGSYS;
/// A file that grew beyond its limit.
pub const SIGXFSZ: i32 = libc::SIGXFSZ;
/// Memory that may not be touched.
pub const SIGSEGV: i32 = libc::SIGSEGV;

/// By the system call itself: the C library refuses 32 and 33, which it keeps for itself (nptl(7)).
fn restore_default(signal: i32) -> io::Result<()> {
    let nowhere = std::ptr::null_mut::<u64>();
    // SAFETY: the kernel reads 32 bytes, which DEFAULT has, and writes nothing; the default runs no code of ours.
    let result = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), nowhere, MASK_BYTES) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
