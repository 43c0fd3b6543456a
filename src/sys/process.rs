//! Processes: made by clone3(2), known by pidfd, ended and reaped by it.
use std::arch::asm;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::{fs, io, ptr};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid};

use crate::sys::socket;

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

/// Copies this process.
///
/// # Errors
/// What clone3(2) says.
pub fn clone(_: &SingleThreaded) -> io::Result<Clone> {
    let mut pidfd: libc::c_int = -1;
    let mut args = clone_arguments(CloneFlags::empty(), None, &mut pidfd);
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

/// A program to start with nothing but a socket.
#[derive(Debug)]
pub struct Program<'a> {
    /// Its content.
    pub file: BorrowedFd<'a>,
    /// What it is called.
    pub name: &'a CStr,
    /// The one descriptor that it gets beside those that this process leaves open over exec.
    pub socket: BorrowedFd<'a>,
    /// What number the socket has in it.
    pub number: i32,
}

/// Starts a program without variables in new namespaces and, on cgroup v2, straight in a group.
///
/// The child has the memory of this process until it executes the program (clone(2), `CLONE_VM` and `CLONE_VFORK`), and
/// this process stands still meanwhile: a copy of the memory takes longer than everything that a small program does.
///
/// # Errors
/// What clone3(2), dup2(2) or execveat(2) says.
pub fn start(
    _: &SingleThreaded,
    program: &Program<'_>,
    namespaces: CloneFlags,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<Child> {
    let mut pidfd: libc::c_int = -1;
    let shared = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    let args = clone_arguments(namespaces | shared, cgroup, &mut pidfd);
    // dup2(2) onto itself would leave it close-on-exec.
    let moved = (program.socket.as_raw_fd() == program.number).then(|| program.socket.try_clone_to_owned());
    let moved = moved.transpose()?;
    let socket = moved.as_ref().map_or(program.socket, OwnedFd::as_fd);
    let arguments = [program.name.as_ptr(), ptr::null()];
    let variables = [ptr::null::<libc::c_char>()];
    let mut launch = Launch {
        socket: i64::from(socket.as_raw_fd()),
        number: i64::from(program.number),
        file: i64::from(program.file.as_raw_fd()),
        path: c"".as_ptr(),
        arguments: arguments.as_ptr(),
        variables: variables.as_ptr(),
        failure: 0,
    };
    let pid: i64;
    // SAFETY: the child runs the three calls below and nothing else: it touches no stack, and of memory only
    // `launch.failure`, while this process, which has one thread, stands still. All that is pointed to lives through it.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 3f",
            "mov rdi, [r12]", // dup2(socket, number)
            "mov rsi, [r12 + 8]",
            "mov eax, 33",
            "syscall",
            "test rax, rax",
            "js 2f",
            "mov rdi, [r12 + 16]", // execveat(file, "", arguments, variables, AT_EMPTY_PATH)
            "mov rsi, [r12 + 24]",
            "mov rdx, [r12 + 32]",
            "mov r10, [r12 + 40]",
            "mov r8d, 0x1000",
            "mov eax, 322",
            "syscall",
            "2:",
            "mov [r12 + 48], rax",
            "mov edi, 127", // exit(127)
            "mov eax, 60",
            "syscall",
            "ud2",
            "3:",
            inlateout("rax") libc::SYS_clone3 => pid,
            in("rdi") &raw const args,
            in("rsi") size_of::<libc::clone_args>(),
            in("r12") &raw mut launch,
            lateout("rcx") _, lateout("rdx") _, lateout("r8") _, lateout("r10") _, lateout("r11") _,
            options(nostack),
        );
    }
    let failed = |number: i64| io::Error::from_raw_os_error(i32::try_from(-number).unwrap_or(libc::EIO));
    if pid < 0 {
        return Err(failed(pid));
    }
    // SAFETY: the kernel just made this descriptor for us and nobody else knows it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    if launch.failure == 0 {
        return Ok(Child { pid: pid.to_string(), pidfd });
    }
    wait(pidfd.as_fd())?;
    Err(failed(launch.failure))
}

/// Waits for the end of a process that was started here, and reaps it.
///
/// # Errors
/// What waitid(2) says.
pub fn wait(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    waitid(Id::PIDFd(pidfd), WaitPidFlag::WEXITED)?;
    Ok(())
}

/// A process that was started here. As long as nobody has reaped it, its pid is its own.
#[derive(Debug)]
pub struct Child {
    /// The pid, as /proc names it.
    pub pid: String,
    /// Tells when it has ended.
    pub pidfd: OwnedFd,
}

/// What the child of [`start`] reads, at offsets that its assembly knows.
#[repr(C)]
struct Launch {
    socket: i64,
    number: i64,
    file: i64,
    path: *const libc::c_char,
    arguments: *const *const libc::c_char,
    variables: *const *const libc::c_char,
    /// What the call that failed gave back.
    failure: i64,
}

fn clone_arguments(flags: CloneFlags, cgroup: Option<BorrowedFd<'_>>, pidfd: &mut libc::c_int) -> libc::clone_args {
    // SAFETY: clone_args is a plain structure of integers, of which zero is a valid value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flag_bits(flags) | flag_bits(CloneFlags::from_bits_retain(libc::CLONE_PIDFD));
    args.pidfd = address(ptr::from_mut(pidfd));
    args.exit_signal = u64::try_from(libc::SIGCHLD).unwrap_or(0);
    if let Some(group) = cgroup {
        args.flags |= INTO_CGROUP;
        args.cgroup = u64::try_from(group.as_raw_fd()).unwrap_or(0);
    }
    args
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

/// A namespace of a child that was not reaped yet (namespaces(7)).
///
/// # Errors
/// What the kernel says.
pub fn namespace_of(pid: &str, kind: &str) -> io::Result<OwnedFd> {
    Ok(fs::File::open(format!("/proc/{pid}/ns/{kind}"))?.into())
}

/// Whether a signal was not sent because its process had ended.
pub fn has_ended(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ESRCH)
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
    match clone(single)? {
        Clone::Parent(pidfd) => Ok(pidfd),
        Clone::Child => {
            let held = duplicate_to(until, 0).and_then(|()| duplicate_to(what, 1)).and_then(|()| close_from(2));
            let waited = held.and_then(|()| io::copy(&mut io::stdin(), &mut io::sink()));
            leave(i32::from(waited.is_err()))
        }
    }
}

/// A copy of this process that works beside it.
#[derive(Debug)]
pub struct Helper<'a> {
    /// What it is called.
    pub name: &'a CStr,
    /// Its end of the channel to this process.
    pub channel: BorrowedFd<'a>,
    /// What it holds open as long as it lives.
    pub held: BorrowedFd<'a>,
}

/// Starts it with nothing but these descriptors and the standard error. It does `work`, to which its end of the channel is
/// given, and ends with the code that this gives.
///
/// # Errors
/// What the kernel says.
pub fn start_helper<F>(single: &SingleThreaded, helper: &Helper<'_>, work: F) -> io::Result<OwnedFd>
where
    F: FnOnce(OwnedFd) -> i32,
{
    match clone(single)? {
        Clone::Parent(pidfd) => Ok(pidfd),
        Clone::Child => {
            let arranged = duplicate_to(helper.channel, 0)
                .and_then(|()| duplicate_to(helper.held, 1))
                .and_then(|()| close_from(3))
                .and_then(|()| Ok(nix::sys::prctl::set_name(helper.name)?))
                .and_then(|()| socket::inherited(0));
            leave(arranged.map_or(1, work))
        }
    }
}

/// Closes every descriptor from `first` up, whoever thinks to own it.
fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: no pointer is passed; the callers are children that use none of them any more.
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
    if soft >= wanted {
        return Ok(());
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).map_err(|errno| {
        io::Error::other(format!("from {hard} to {wanted}: {errno}; set LimitNOFILE={wanted} or `ulimit -n`"))
    })
}

/// Lets what this process starts run with an ordinary priority, whichever the service manager gave this one: neither real
/// time nor a negative nice value is handed down (sched(7), `SCHED_RESET_ON_FORK`). A positive one is.
///
/// # Errors
/// What `sched_setscheduler(2)` says, where there is something to keep.
pub fn keep_priority() -> io::Result<()> {
    // SAFETY: no pointer is passed.
    let policy = Errno::result(unsafe { libc::sched_getscheduler(0) })?;
    // SAFETY: no pointer is passed. An error is -1 as well, and then the flag is set for nothing.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    if nice >= 0 && [libc::SCHED_OTHER, libc::SCHED_BATCH, libc::SCHED_IDLE].contains(&policy) {
        return Ok(());
    }
    let mut parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: `parameters` is as large as the kernel's, and lives through the call.
    Errno::result(unsafe { libc::sched_getparam(0, &raw mut parameters) })?;
    // SAFETY: the same.
    Errno::result(unsafe { libc::sched_setscheduler(0, policy | libc::SCHED_RESET_ON_FORK, &raw const parameters) })?;
    Ok(())
}

/// Ends this process at once, without running anything else.
pub fn leave(code: i32) -> ! {
    // SAFETY: _exit(2) takes no pointer and does not return.
    unsafe { libc::_exit(code) }
}
