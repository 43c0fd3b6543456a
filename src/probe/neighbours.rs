//! Other processes: init, which has the same ids, stands for all of them.
use core::ffi::CStr;

use crate::kernel::{self, call};
use crate::outcome::{Outcome, needed};
use crate::{Attempt, attempt};

const INIT: usize = 1;

pub(crate) static ATTEMPTS: [Attempt; 15] = [
    attempt(c"ptrace", || call(101, [0x4206, INIT, 0, 0, 0, 0]).into()), // PTRACE_SEIZE
    attempt(c"process-vm-readv", || memory_of_init(310)),
    attempt(c"process-vm-writev", || memory_of_init(311)),
    attempt(c"process-madvise", || pidfd(440)),
    attempt(c"pidfd-getfd", || pidfd(438)),
    attempt(c"kcmp", || call(312, [INIT, INIT, 0, 0, 0, 0]).into()),
    attempt(c"init-memory", || opened(c"/proc/1/mem", 0o2)),
    attempt(c"init-root", || opened(c"/proc/1/root/", kernel::READ)),
    attempt(c"init-directory", || opened(c"/proc/1/cwd/", kernel::READ)),
    attempt(c"init-program", || opened(c"/proc/1/exe", kernel::READ)),
    attempt(c"init-descriptors", || opened(c"/proc/1/fd/", kernel::READ)),
    attempt(c"init-channel", || opened(c"/proc/1/fd/3", 0o2)),
    attempt(c"init-environment", || opened(c"/proc/1/environ", kernel::READ)),
    attempt(c"init-namespace", || opened(c"/proc/1/ns/mnt", kernel::READ)),
    attempt(c"kill-init", kill_init),
];

fn opened(path: &CStr, flags: usize) -> Outcome {
    kernel::open(path, flags).into()
}

/// Some bytes at an address that no process has mapped: who may do it is told EFAULT.
fn memory_of_init(number: usize) -> Outcome {
    let mut bytes = [0_u8; 8];
    let here = [bytes.as_mut_ptr() as usize, bytes.len()];
    let there = [0_usize, 8];
    call(number, [INIT, here.as_ptr() as usize, 1, there.as_ptr() as usize, 1, 0]).into()
}

/// By a descriptor of init, of which pidfd_open(2) gives one to everybody.
fn pidfd(number: usize) -> Outcome {
    const CHANNEL: usize = 3;
    let init = match needed(call(434, [INIT, 0, 0, 0, 0, 0])) {
        Ok(init) => init,
        Err(untried) => return untried,
    };
    let nothing = [0_usize, 0];
    match number {
        438 => call(number, [init, CHANNEL, 0, 0, 0, 0]).into(),
        _ => call(number, [init, nothing.as_ptr() as usize, 1, 20, 0, 0]).into(), // MADV_COLD
    }
}

/// SIGKILL to init ends everything in its namespace, unless it comes from there (pid_namespaces(7)). Who can still look
/// has seen that it does not.
fn kill_init() -> Outcome {
    const SIGKILL: usize = 9;
    match call(62, [INIT, SIGKILL, 0, 0, 0, 0]).and_then(|_sent| call(62, [INIT, 0, 0, 0, 0, 0])) {
        Ok(_) => Outcome::Hollow,
        Err(errno) => Outcome::Refused(errno),
    }
}
