//! The system calls that init needs (x86-64, syscalls(2)). The only `unsafe` of this program but for
//! the entry point.
pub(crate) mod landlock;
pub(crate) mod mount;
pub(crate) mod namespace;
pub(crate) mod privilege;

use core::arch::asm;

use crate::protocol::{BUILD_DESCRIPTORS, EXEC_DESCRIPTORS, MESSAGE_BYTES};

/// A descriptor.
pub(crate) type Fd = i32;

/// Why a call failed (errno(3)).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

impl Errno {
    pub(crate) const NOT_PERMITTED: Self = Self(1);
    pub(crate) const NO_ENTRY: Self = Self(2);
    pub(crate) const ACCESS: Self = Self(13);
    pub(crate) const NO_DEVICE: Self = Self(19);
    pub(crate) const INVALID: Self = Self(22);
    pub(crate) const PIPE: Self = Self(32);
    pub(crate) const PROTO: Self = Self(71);
    const INTERRUPTED: i32 = 4;
}

/// One call. Retried when a signal came in between.
fn call(number: usize, arguments: [usize; 6]) -> Result<usize, Errno> {
    loop {
        let [a, b, c, d, e, f] = arguments;
        let result: isize;
        // SAFETY: every pointer that a caller in this file passes is to memory that lives through the call
        // and is as long as the length passed beside it.
        unsafe {
            asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
                in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
        }
        match result {
            0.. => return Ok(result as usize),
            _ if result == -(Errno::INTERRUPTED as isize) => {}
            _ => return Err(Errno(-result as i32)),
        }
    }
}

/// For calls whose failure has nobody to be told and changes nothing of what follows.
fn unanswered(_: Result<usize, Errno>) {}

/// The little-endian word at `offset`.
pub(crate) fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

pub(crate) fn exit(code: i32) -> ! {
    loop {
        unanswered(call(231, [code as usize, 0, 0, 0, 0, 0]));
    }
}

/// PR_SET_DUMPABLE 0: /proc/1/mem and ptrace are closed to the job, which has the same ids.
pub(crate) fn set_not_dumpable() -> Result<(), Errno> {
    call(157, [4, 0, 0, 0, 0, 0]).map(drop)
}

/// PR_SET_PDEATHSIG SIGKILL.
pub(crate) fn set_parent_death_signal() -> Result<(), Errno> {
    call(157, [1, 9, 0, 0, 0, 0]).map(drop)
}

/// Whether the other end of `fd` is closed (poll(2), POLLHUP).
pub(crate) fn has_hung_up(fd: Fd) -> Result<bool, Errno> {
    const POLLHUP: u16 = 0x10;
    #[repr(C)]
    struct PollFd {
        fd: i32,
        events: u16,
        revents: u16,
    }
    let mut entry = PollFd { fd, events: 0, revents: 0 };
    call(7, [&raw mut entry as usize, 1, 0, 0, 0, 0])?;
    Ok(entry.revents & POLLHUP != 0)
}

#[repr(C)]
struct IoVec {
    base: *mut u8,
    len: usize,
}

#[repr(C)]
struct MsgHdr {
    name: usize,
    name_len: u32,
    iov: *mut IoVec,
    iov_len: usize,
    control: *mut u8,
    control_len: usize,
    flags: i32,
}

/// `cmsghdr` and room for descriptors (cmsg(3), unix(7) SCM_RIGHTS).
#[repr(C)]
struct Rights<const MOST: usize> {
    len: usize,
    level: i32,
    kind: i32,
    fds: [Fd; MOST],
}

/// Receives one packet and the descriptors beside it, all born close-on-exec. Gives the lengths of both.
fn receive_with<const MOST: usize>(
    channel: Fd,
    packet: &mut [u8],
    descriptors: &mut [Fd; MOST],
) -> Result<(usize, usize), Errno> {
    const MSG_CMSG_CLOEXEC: usize = 0x4000_0000;
    const MSG_TRUNC: i32 = 0x20;
    const MSG_CTRUNC: i32 = 0x8;
    const HEAD: usize = 16;
    let mut iov = IoVec { base: packet.as_mut_ptr(), len: packet.len() };
    let mut rights = Rights { len: 0, level: 0, kind: 0, fds: [-1; MOST] };
    let mut header = MsgHdr {
        name: 0,
        name_len: 0,
        iov: &raw mut iov,
        iov_len: 1,
        control: (&raw mut rights).cast(),
        control_len: size_of::<Rights<MOST>>(),
        flags: 0,
    };
    let count = call(47, [channel as usize, &raw mut header as usize, MSG_CMSG_CLOEXEC, 0, 0, 0])?;
    if header.flags & (MSG_TRUNC | MSG_CTRUNC) != 0 {
        return Err(Errno::PROTO);
    }
    if header.control_len == 0 {
        return Ok((count, 0));
    }
    if rights.level != 1 || rights.kind != 1 {
        return Err(Errno::PROTO);
    }
    *descriptors = rights.fds;
    Ok((count, rights.len.saturating_sub(HEAD) / size_of::<Fd>()))
}

/// Receives one message with exactly [`EXEC_DESCRIPTORS`] descriptors.
pub(crate) fn receive(channel: Fd, message: &mut [u8; MESSAGE_BYTES]) -> Result<[Fd; EXEC_DESCRIPTORS], Errno> {
    let mut descriptors = [-1; EXEC_DESCRIPTORS];
    match receive_with(channel, message, &mut descriptors)? {
        (MESSAGE_BYTES, EXEC_DESCRIPTORS) => Ok(descriptors),
        _ => Err(Errno::PROTO),
    }
}

/// Receives one packet with up to [`BUILD_DESCRIPTORS`] descriptors. Gives its length.
pub(crate) fn receive_packet(
    channel: Fd,
    packet: &mut [u8],
    descriptors: &mut [Fd; BUILD_DESCRIPTORS],
) -> Result<usize, Errno> {
    receive_with(channel, packet, descriptors).map(|(length, _count)| length)
}

/// Receives one message without descriptors.
pub(crate) fn receive_message(channel: Fd) -> Result<[u8; MESSAGE_BYTES], Errno> {
    let mut message = [0_u8; MESSAGE_BYTES];
    let count = read(channel, &mut message)?;
    if count == MESSAGE_BYTES { Ok(message) } else { Err(Errno::PROTO) }
}

/// Sends a message whole (unix(7), SOCK_SEQPACKET). Fails when the spawner's end is gone.
pub(crate) fn send(channel: Fd, message: &[u8; MESSAGE_BYTES]) -> Result<(), Errno> {
    const MSG_NOSIGNAL: usize = 0x4000;
    call(44, [channel as usize, message.as_ptr() as usize, message.len(), MSG_NOSIGNAL, 0, 0]).map(|_whole| ())
}

pub(crate) fn read(fd: Fd, into: &mut [u8]) -> Result<usize, Errno> {
    call(0, [fd as usize, into.as_mut_ptr() as usize, into.len(), 0, 0, 0])
}

/// Writes once. Gives how many bytes were taken.
pub(crate) fn write(fd: Fd, bytes: &[u8]) -> Result<usize, Errno> {
    call(1, [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0])
}

/// Writes all at once, as kernel files want it.
pub(crate) fn write_whole(fd: Fd, bytes: &[u8]) -> Result<(), Errno> {
    if write(fd, bytes)? == bytes.len() { Ok(()) } else { Err(Errno::PROTO) }
}

/// Opens to read (open(2)).
pub(crate) const READ: usize = 0;
/// Opens to write.
const WRITE: usize = 0o1;
/// Opens to read and write.
pub(crate) const READ_WRITE: usize = 0o2;

/// Opens to name a file, and nothing else (O_PATH).
pub(crate) const NAME_ONLY: usize = 0o10_000_000;

/// The working directory, where a call takes a directory.
pub(crate) const WORKING_DIRECTORY: Fd = -100;

/// Opens a file that exists, close-on-exec. `path` ends with NUL.
pub(crate) fn open(path: &[u8], access: usize) -> Result<Fd, Errno> {
    open_below(WORKING_DIRECTORY, path, access)
}

/// The same, from `folder`.
pub(crate) fn open_below(folder: Fd, path: &[u8], access: usize) -> Result<Fd, Errno> {
    const CLOEXEC: usize = 0o2_000_000;
    call(257, [folder as usize, path.as_ptr() as usize, access | CLOEXEC, 0, 0, 0]).map(|fd| fd as Fd)
}

/// Writes to a kernel file. `path` ends with NUL.
pub(crate) fn write_to(path: &[u8], text: &[u8]) -> Result<(), Errno> {
    let file = open(path, WRITE)?;
    let written = write_whole(file, text);
    close(file);
    written
}

pub(crate) fn close(fd: Fd) {
    unanswered(call(3, [fd as usize, 0, 0, 0, 0, 0]));
}

/// Words of a stack for a child.
const STACK: usize = 8192;

/// Runs `entry` in a child that has the memory of this process, which stands still until the child executes a program or
/// ends (clone(2), CLONE_VM and CLONE_VFORK). Gives its pid.
pub(crate) fn spawn<T>(entry: extern "C" fn(&mut T) -> !, with: &mut T) -> Result<i32, Errno> {
    const FLAGS: usize = 0x100 | 0x4000 | 17; // CLONE_VM CLONE_VFORK SIGCHLD
    let stack = allocate_words(STACK)?.as_mut_ptr_range().end;
    let result: isize;
    // SAFETY: the child begins on a stack of its own, aligned as the psABI wants it at a call, and never comes back from
    // `entry`. Nobody else uses `with` meanwhile: this process has one thread, and that stands still.
    unsafe {
        asm!("syscall", "test rax, rax", "jnz 2f", "xor ebp, ebp", "mov rdi, r12", "call r13", "ud2", "2:",
            inlateout("rax") 56_isize => result, in("rdi") FLAGS, in("rsi") stack, in("rdx") 0, in("r10") 0,
            in("r8") 0, in("r12") &raw mut *with, in("r13") entry as usize, lateout("rcx") _, lateout("r11") _);
    }
    if result < 0 { Err(Errno(-result as i32)) } else { Ok(result as i32) }
}

/// Reaps one child: its pid and wait status. Fails when there is none.
pub(crate) fn wait() -> Result<(i32, i32), Errno> {
    const WALL: usize = 0x4000_0000;
    let mut status = 0_i32;
    let pid = call(61, [usize::MAX, &raw mut status as usize, WALL, 0, 0, 0])?;
    Ok((pid as i32, status))
}

/// Microseconds of the clock that never jumps (clock_gettime(2)).
pub(crate) fn monotonic_us() -> Result<u64, Errno> {
    const CLOCK_MONOTONIC: usize = 1;
    let mut time = [0_u64; 2];
    call(228, [CLOCK_MONOTONIC, time.as_mut_ptr() as usize, 0, 0, 0, 0])?;
    let [seconds, nanoseconds] = time;
    Ok(seconds.wrapping_mul(1_000_000).wrapping_add(nanoseconds / 1000))
}

/// SIGKILL to every process of this pid namespace but init. ESRCH means there is none left.
pub(crate) fn kill_all_others() {
    unanswered(call(62, [usize::MAX, 9, 0, 0, 0, 0]));
}

/// Length of a file, from its end (lseek(2)); the offset is set back to 0.
pub(crate) fn length(fd: Fd) -> Result<usize, Errno> {
    let length = call(8, [fd as usize, 0, 2, 0, 0, 0])?;
    call(8, [fd as usize, 0, 0, 0, 0, 0])?;
    Ok(length)
}

/// The whole file, read-only. It stays mapped for ever: init ends with its job. The memfd is sealed,
/// so that nobody can change or shorten it.
pub(crate) fn map_file(fd: Fd) -> Result<&'static [u8], Errno> {
    let length = length(fd)?;
    if length == 0 {
        return Ok(&[]);
    }
    let address = call(9, [0, length, 1, 2, fd as usize, 0])?;
    // SAFETY: mmap gave `length` readable bytes that nothing unmaps and, by the seals, nothing changes.
    Ok(unsafe { core::slice::from_raw_parts(address as *const u8, length) })
}

/// Zeroed words that live for ever.
pub(crate) fn allocate_words(count: usize) -> Result<&'static mut [usize], Errno> {
    let bytes = count.checked_mul(size_of::<usize>()).ok_or(Errno::INVALID)?;
    let address = call(9, [0, bytes.max(1), 3, 0x22, usize::MAX, 0])?;
    // SAFETY: mmap gave that many fresh zeroed bytes, page-aligned, that nobody else knows.
    Ok(unsafe { core::slice::from_raw_parts_mut(address as *mut usize, count) })
}

/// chdir(2). `path` ends with NUL.
pub(crate) fn change_directory(path: &[u8]) -> Result<(), Errno> {
    call(80, [path.as_ptr() as usize, 0, 0, 0, 0, 0])?;
    let mut buffer = [0_u8; 4096];
    call(79, [buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0, 0])?;
    // getcwd(3) gives "(unreachable)/…" for a directory outside the root: runc CVE-2024-21626.
    if buffer[0] == b'/' { Ok(()) } else { Err(Errno::ACCESS) }
}

/// Makes a directory below the working directory; one that is there already is fine. `path` ends with NUL.
pub(crate) fn make_directory(path: &[u8]) -> Result<(), Errno> {
    const EXISTS: i32 = 17;
    match call(83, [path.as_ptr() as usize, 0o755, 0, 0, 0, 0]) {
        Err(Errno(EXISTS)) => Ok(()),
        other => other.map(drop),
    }
}

/// A new file below the working directory, for writing. `path` ends with NUL.
pub(crate) fn create_file(path: &[u8], mode: u32) -> Result<Fd, Errno> {
    const FLAGS: usize = 0o1 | 0o100 | 0o200 | 0o400_000 | 0o2_000_000; // WRONLY CREAT EXCL NOFOLLOW CLOEXEC
    call(257, [WORKING_DIRECTORY as usize, path.as_ptr() as usize, FLAGS, mode as usize, 0, 0]).map(|fd| fd as Fd)
}

pub(crate) fn set_umask(mask: u32) {
    unanswered(call(95, [mask as usize, 0, 0, 0, 0, 0]));
}

/// getrlimit(2)
pub(crate) const RLIMIT_FSIZE: usize = 1;
/// getrlimit(2)
pub(crate) const RLIMIT_NOFILE: usize = 7;
/// getrlimit(2)
pub(crate) const RLIMIT_MEMLOCK: usize = 8;
/// getrlimit(2)
pub(crate) const RLIMIT_SIGPENDING: usize = 11;
/// getrlimit(2)
pub(crate) const RLIMIT_MSGQUEUE: usize = 12;

/// For this process and all below it, and not to be raised again (prlimit(2)).
pub(crate) fn set_resource_limit(resource: usize, limit: u64) -> Result<(), Errno> {
    set_resource_limits(resource, limit, limit)
}

/// The same; `hard` is what programs may raise it to. `u64::MAX` is no limit.
pub(crate) fn set_resource_limits(resource: usize, soft: u64, hard: u64) -> Result<(), Errno> {
    let both = [soft, hard];
    call(302, [0, resource, both.as_ptr() as usize, 0, 0, 0]).map(drop)
}

/// A session of its own: no terminal, no process group of init's.
pub(crate) fn set_session() -> Result<(), Errno> {
    call(112, [0; 6]).map(drop)
}

/// `to` becomes a copy of `from` that stays open over exec.
pub(crate) fn duplicate(from: Fd, to: Fd) -> Result<(), Errno> {
    call(33, [from as usize, to as usize, 0, 0, 0, 0]).map(drop)
}

/// A copy of `fd`, close-on-exec, numbered `least` or above (fcntl(2) F_DUPFD_CLOEXEC).
pub(crate) fn duplicate_above(fd: Fd, least: Fd) -> Result<Fd, Errno> {
    call(72, [fd as usize, 1030, least as usize, 0, 0, 0]).map(|fd| fd as Fd)
}

/// Closes everything from `first` up (close_range(2)).
pub(crate) fn close_from(first: Fd) -> Result<(), Errno> {
    call(436, [first as usize, u32::MAX as usize, 0, 0, 0, 0]).map(drop)
}

/// Goes to an open directory.
pub(crate) fn enter(folder: Fd) -> Result<(), Errno> {
    call(81, [folder as usize, 0, 0, 0, 0, 0]).map(drop)
}

/// Ignores no signal and blocks none: both are inherited over exec. SIGPIPE is ignored by the spawner, 32 and 33 by the C
/// library that started it, any other by whoever started kiln (nohup(1), a shell in the background).
pub(crate) fn restore_signals() -> Result<(), Errno> {
    const SIGNALS: usize = 64;
    const SIGKILL: usize = 9;
    const SIGSTOP: usize = 19;
    const MASK_BYTES: usize = 8;
    const SIG_SETMASK: usize = 2;
    // The kernel's sigaction: handler, flags, restorer, mask. All zero is the default disposition.
    let default = [0_u64; 4];
    for signal in (1..=SIGNALS).filter(|&signal| signal != SIGKILL && signal != SIGSTOP) {
        call(13, [signal, default.as_ptr() as usize, 0, MASK_BYTES, 0, 0])?;
    }
    let none = 0_u64;
    call(14, [SIG_SETMASK, &raw const none as usize, 0, MASK_BYTES, 0, 0]).map(drop)
}

/// Everything from 3 up closes at exec (close_range(2), CLOSE_RANGE_CLOEXEC).
pub(crate) fn close_others_at_exec() -> Result<(), Errno> {
    call(436, [3, u32::MAX as usize, 4, 0, 0, 0]).map(drop)
}

/// execve(2): comes back only when it failed. Every pointer is to a NUL-terminated string or list.
pub(crate) fn execute(path: &[u8], arguments: &[usize], variables: &[usize]) -> Errno {
    match call(59, [path.as_ptr() as usize, arguments.as_ptr() as usize, variables.as_ptr() as usize, 0, 0, 0]) {
        Ok(_) => Errno::INVALID,
        Err(errno) => errno,
    }
}
