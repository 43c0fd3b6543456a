//! Tries to get out of the sandbox that it runs in, and says how each attempt was stopped.
//!
//! ```text
//! probe all [NAMESPACE...]    every attempt that is made by a few calls, each in a child of its own
//! probe NAME [NAMESPACE...]   this one; what uses up a limit is always alone
//! ```
//!
//! A NAMESPACE is what a link below /proc/PID/ns of the host says: one that the sandbox must not share.
//!
//! No attempt harms the host where a wall is missing: its arguments are such that the kernel would refuse them once it
//! has let the caller pass, or what it does stays in the sandbox. Whether an outcome is well is judged by who reads it
//! (`src/selftest`). It needs no file of the image and no library.
#![no_std]
#![no_main]

mod exhaustion;
mod kernel;
mod machine;
#[path = "../init/memory.rs"]
mod memory;
mod mounts;
mod names;
mod namespaces;
mod neighbours;
mod network;
mod outcome;
mod rights;

use core::arch::global_asm;
use core::ffi::CStr;

use kernel::Argument;
use outcome::{Outcome, tell};

// The x86-64 psABI (3.4.1) gives the stack pointer at entry; the arguments lie there.
global_asm!(
    ".globl _start", "_start:", "xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {start}", "ud2",
    start = sym start
);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    kernel::exit(125)
}

/// Something that must not go well.
pub(crate) struct Attempt {
    name: &'static CStr,
    act: fn() -> Outcome,
}

pub(crate) const fn attempt(name: &'static CStr, act: fn() -> Outcome) -> Attempt {
    Attempt { name, act }
}

/// Those that leave the limits of the job alone.
static BRIEF: [&[Attempt]; 7] = [
    &rights::ATTEMPTS,
    &namespaces::ATTEMPTS,
    &mounts::ATTEMPTS,
    &neighbours::ATTEMPTS,
    &names::ATTEMPTS,
    &machine::ATTEMPTS,
    &network::ATTEMPTS,
];

extern "C" fn start(stack: *const usize) -> ! {
    kernel::begun_at(stack);
    let Some(name) = Argument::at(1) else { kernel::exit(2) };
    let brief = || BRIEF.iter().flat_map(|attempts| attempts.iter());
    if name.is(c"all") {
        brief().for_each(apart);
        kernel::exit(0)
    }
    if let Some(attempt) = exhaustion::ATTEMPTS.iter().find(|attempt| name.is(attempt.name)) {
        tell(attempt.name, (attempt.act)());
        kernel::exit(0)
    }
    let Some(attempt) = brief().find(|attempt| name.is(attempt.name)) else { kernel::exit(2) };
    apart(attempt);
    kernel::exit(0)
}

/// In a child, which a signal may end, and whose rights nobody else has afterwards.
fn apart(attempt: &Attempt) {
    let child = match kernel::fork() {
        Ok(0) => {
            tell(attempt.name, (attempt.act)());
            kernel::exit(0)
        }
        Ok(child) => child,
        Err(errno) => return tell(attempt.name, Outcome::Untried(errno)),
    };
    match kernel::wait(child) {
        Ok(status) => {
            let signal = (status & 0x7f) as usize;
            if signal != 0 {
                tell(attempt.name, Outcome::Killed(signal));
            }
        }
        Err(errno) => tell(attempt.name, Outcome::Untried(errno)),
    }
}
