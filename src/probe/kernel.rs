//! System calls as an attacker makes them (x86-64, syscalls(2)): any number, any words. The only `unsafe` of this program
//! but for the entry point.
use core::arch::asm;
use core::ffi::CStr;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Why a call failed (errno(3)).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

/// One call, as it is.
pub(crate) fn call(number: usize, arguments: [usize; 6]) -> Result<usize, Errno> {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    // SAFETY: every pointer that this program passes is to memory that lives through the call and is as long as the
    // length passed beside it. Calls that would change this process's own memory are not among its attempts, but for
    // mappings at addresses that the kernel chooses.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    if result < 0 { Err(Errno(-result as i32)) } else { Ok(result as usize) }
}

/// getpid(2) by the door of 32-bit programs: a call whose number another table counts.
pub(crate) fn call_by_interrupt() -> Result<usize, Errno> {
    const GETPID_OF_I386: isize = 20;
    let result: isize;
    // SAFETY: getpid takes nothing. The kernel may clear r8 to r11 on this way.
    unsafe {
        asm!("int 0x80", inlateout("rax") GETPID_OF_I386 => result, lateout("r8") _, lateout("r9") _,
            lateout("r10") _, lateout("r11") _, options(nostack));
    }
    if result < 0 { Err(Errno(-result as i32)) } else { Ok(result as usize) }
}

/// Where a text lies.
pub(crate) fn text(text: &CStr) -> usize {
    text.as_ptr() as usize
}

/// An argument of this program.
#[derive(Clone, Copy)]
pub(crate) struct Argument(*const u8);

/// Where the stack began, once it is known.
static STACK: AtomicUsize = AtomicUsize::new(0);

/// Says where the stack began.
pub(crate) fn begun_at(stack: *const usize) {
    STACK.store(stack as usize, Ordering::Relaxed);
}

impl Argument {
    /// The one at `index` (System V ABI, 3.4.1).
    pub(crate) fn at(index: usize) -> Option<Self> {
        let stack = STACK.load(Ordering::Relaxed) as *const usize;
        if stack.is_null() {
            return None;
        }
        // SAFETY: the kernel put the number of arguments at the beginning of the stack, and nobody changes it.
        let count = unsafe { *stack };
        if index >= count {
            return None;
        }
        // SAFETY: as many pointers follow as were counted.
        let address = unsafe { *stack.add(1 + index) };
        Some(Self(address as *const u8))
    }

    /// Whether it is this text.
    pub(crate) fn is(self, text: &CStr) -> bool {
        self.begins(text.to_bytes_with_nul())
    }

    /// Whether it begins so. `text` has no NUL but at its end.
    pub(crate) fn begins(self, text: &[u8]) -> bool {
        // SAFETY: no byte is read after one that differs, and so none after the NUL of the argument.
        text.iter().enumerate().all(|(place, byte)| *byte == unsafe { *self.0.add(place) })
    }
}

pub(crate) fn exit(code: usize) -> ! {
    loop {
        // It does not come back.
        let _never = call(231, [code, 0, 0, 0, 0, 0]);
    }
}

/// A copy of this process (clone(2), SIGCHLD); 0 is the copy itself.
pub(crate) fn fork() -> Result<usize, Errno> {
    call(56, [17, 0, 0, 0, 0, 0])
}

/// Waits for this child; gives its wait status.
pub(crate) fn wait(child: usize) -> Result<i32, Errno> {
    let mut status = 0_i32;
    call(61, [child, &raw mut status as usize, 0, 0, 0, 0])?;
    Ok(status)
}

/// Stands still until a signal comes.
pub(crate) fn pause() -> Result<usize, Errno> {
    call(34, [0; 6])
}

/// Writes once. Gives how many bytes were taken.
pub(crate) fn write(fd: usize, bytes: &[u8]) -> Result<usize, Errno> {
    call(1, [fd, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0])
}

/// open(2), to read.
pub(crate) const READ: usize = 0;
/// open(2), to write.
pub(crate) const WRITE: usize = 0o1;
/// open(2), to write a new file.
pub(crate) const CREATE: usize = 0o1 | 0o100 | 0o200;

/// Opens a file.
pub(crate) fn open(path: &CStr, flags: usize) -> Result<usize, Errno> {
    const WORKING_DIRECTORY: usize = -100_isize as usize;
    call(257, [WORKING_DIRECTORY, text(path), flags, 0o600, 0, 0])
}

/// Fresh memory of this process that nobody has touched yet.
pub(crate) fn map(bytes: usize) -> Result<&'static mut [u8], Errno> {
    let address = call(9, [0, bytes, 3, 0x4022, usize::MAX, 0])?; // PRIVATE ANONYMOUS NORESERVE
    // SAFETY: mmap gave that many zeroed bytes that nobody else knows, and nothing unmaps them.
    Ok(unsafe { core::slice::from_raw_parts_mut(address as *mut u8, bytes) })
}

/// Seconds of the clock that never jumps (clock_gettime(2)).
pub(crate) fn seconds() -> u64 {
    let mut time = [0_u64; 2];
    match call(228, [1, time.as_mut_ptr() as usize, 0, 0, 0, 0]) {
        Ok(_) => time[0],
        Err(_) => u64::MAX,
    }
}
