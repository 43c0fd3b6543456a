//! Processes: made by clone3(2), known by pidfd, ended and reaped by it.
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::{fs, io, ptr};

use nix::fcntl::AtFlags;
use nix::sched::CloneFlags;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

/// Proof that this process has exactly one thread.
#[derive(Debug)]
pub struct SingleThreaded(());

impl SingleThreaded {
    /// Counts the threads.
    ///
    /// # Errors
    /// When there are several, or `/proc` cannot be read.
    pub fn prove() -> io::Result<Self> {
        if fs::read_dir("/proc/self/task")?.take(2).count() == 1 {
            return Ok(Self(()));
        }
        Err(io::Error::other("this process has more than one thread"))
    }
}

/// Which side of a clone this is.
#[derive(Debug)]
pub enum Clone {
    /// The original, with a descriptor of the copy.
    Parent(OwnedFd),
    /// The copy.
    Child,
}

/// Copies this process into new namespaces and, on cgroup v2, straight into a group.
///
/// The copy gets SIGKILL-proof identity through its pidfd; its end is told by SIGCHLD and the pidfd.
///
/// # Errors
/// What clone3(2) says.
pub fn clone(_: &SingleThreaded, namespaces: CloneFlags, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Clone> {
    // SAFETY: clone_args is a plain structure of integers, of which zero is a valid value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    let mut pidfd: libc::c_int = -1;
    args.flags = flag_bits(namespaces) | flag_bits(CloneFlags::from_bits_retain(libc::CLONE_PIDFD));
    args.pidfd = address(&raw mut pidfd);
    args.exit_signal = u64::try_from(libc::SIGCHLD).unwrap_or(0);
    if let Some(group) = cgroup {
        args.flags |= INTO_CGROUP;
        args.cgroup = u64::try_from(group.as_raw_fd()).unwrap_or(0);
    }
    // SAFETY: `args` and `pidfd` live through the call. The memory is copied, and `SingleThreaded` says that
    // no other thread holds a lock in it, so the copy may allocate.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Clone::Child),
        // SAFETY: the kernel just made this descriptor for us and nobody else knows it.
        _ => Ok(Clone::Parent(unsafe { OwnedFd::from_raw_fd(pidfd) })),
    }
}

/// `CLONE_INTO_CGROUP` (clone3(2)); libc gives it a type that is too narrow.
const INTO_CGROUP: u64 = 0x2_0000_0000;

fn flag_bits(flags: CloneFlags) -> u64 {
    u64::from(flags.bits().cast_unsigned())
}

#[expect(clippy::as_conversions, reason = "clone3 takes addresses as numbers")]
fn address<T>(pointer: *mut T) -> u64 {
    pointer as u64
}

/// Sends a signal to the process behind a pidfd (`pidfd_send_signal(2)`).
///
/// # Errors
/// `ESRCH` when it has ended already.
pub fn signal(pidfd: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    let number = number_of(signal);
    // SAFETY: a null pointer stands for "as kill(2) would"; no other pointer is passed.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), number, ptr::null::<libc::siginfo_t>(), 0)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[expect(clippy::as_conversions, reason = "the enum's values are the numbers of signal(7)")]
const fn number_of(signal: Signal) -> libc::c_int {
    signal as libc::c_int
}

/// The pid behind a pidfd, from /proc/self/fdinfo (`proc_pid_fdinfo(5)`).
///
/// # Errors
/// When it was reaped: the number may be another's by now.
pub fn pid_of(pidfd: BorrowedFd<'_>) -> io::Result<String> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:")).map(str::trim);
    let lives = |pid: &&str| !matches!(*pid, "-1" | "0");
    pid.filter(lives).map(str::to_owned).ok_or_else(|| io::Error::other("a pidfd tells no pid"))
}

/// A namespace of a child that was not reaped yet (namespaces(7)).
///
/// # Errors
/// What the kernel says.
pub fn namespace_of(child: BorrowedFd<'_>, kind: &str) -> io::Result<OwnedFd> {
    Ok(fs::File::open(format!("/proc/{}/ns/{kind}", pid_of(child)?))?.into())
}

/// Whether a signal was not sent because its process had ended.
pub fn has_ended(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ESRCH)
}

/// Takes every capability out of the bounding set (capabilities(7)).
///
/// # Errors
/// What prctl(2) says of the first one that stays.
pub fn drop_bounding_set() -> io::Result<()> {
    for capability in 0..64 {
        // SAFETY: no pointer is passed.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } == -1 {
            return match io::Error::last_os_error() {
                // The kernel knows no capability of this number, and so none above it.
                error if error.raw_os_error() == Some(libc::EINVAL) && capability > 0 => Ok(()),
                error => Err(error),
            };
        }
    }
    Ok(())
}

/// Replaces this process by the program in `program` (`execveat(2)` with `AT_EMPTY_PATH`), without variables.
/// Comes back only when the kernel refuses, with what it says.
pub fn execute(program: BorrowedFd<'_>, name: &CStr) -> io::Error {
    let none: [&CStr; 0] = [];
    match nix::unistd::execveat(program, c"", &[name], &none, AtFlags::AT_EMPTY_PATH) {
        Ok(never) => match never {},
        Err(errno) => errno.into(),
    }
}

/// Lets every descriptor from `first` up close at exec (`close_range(2)`).
///
/// # Errors
/// What the kernel says.
pub fn close_at_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: no pointer is passed.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes `to` a copy of `from` that stays open over exec (`dup3(2)`).
///
/// # Errors
/// When the two are the same number, or what the kernel says.
pub fn duplicate_to(from: BorrowedFd<'_>, to: i32) -> io::Result<()> {
    // SAFETY: no pointer is passed. What `to` was is closed; the caller is about to exec and owns the table.
    let result = unsafe { libc::dup3(from.as_raw_fd(), to, 0) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A process that has nothing but `what` and ends when `until` is at its end of file (pipe(7)).
///
/// # Errors
/// What the kernel says.
pub fn hold_until_end_of_file(
    single: &SingleThreaded,
    what: BorrowedFd<'_>,
    until: BorrowedFd<'_>,
) -> io::Result<OwnedFd> {
    match clone(single, CloneFlags::empty(), None)? {
        Clone::Parent(pidfd) => Ok(pidfd),
        Clone::Child => {
            let held = duplicate_to(until, 0).and_then(|()| duplicate_to(what, 1)).and_then(|()| close_from(2));
            let waited = held.and_then(|()| io::copy(&mut io::stdin(), &mut io::sink()));
            leave(i32::from(waited.is_err()))
        }
    }
}

/// Closes every descriptor from `first` up, whoever thinks to own it.
fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: no pointer is passed; the one caller is a child that uses none of them any more.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets this process have at least so many descriptors open. To raise a hard limit needs a capability that some hosts withhold
/// (getrlimit(2)).
///
/// # Errors
/// Says what to set before the start.
pub fn raise_open_files(wanted: u64) -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(wanted), hard.max(wanted)).map_err(|errno| {
        io::Error::other(format!("from {hard} to {wanted}: {errno}; set LimitNOFILE={wanted} or `ulimit -n`"))
    })
}

/// Ends this process at once, without running anything else.
pub fn leave(code: i32) -> ! {
    // SAFETY: _exit(2) takes no pointer and does not return.
    unsafe { libc::_exit(code) }
}
