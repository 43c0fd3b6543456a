//! Signals: their numbers (signal(7)).
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
