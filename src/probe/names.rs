//! Names below /proc, /sys, /dev and elsewhere that belong to the host. What is opened for writing is not written to.
use core::ffi::CStr;

use crate::kernel::{self, call, text};
use crate::outcome::Outcome;
use crate::{Attempt, attempt};

pub(crate) static ATTEMPTS: [Attempt; 22] = [
    attempt(c"proc-kcore", || read(c"/proc/kcore")),
    attempt(c"proc-kmsg", || read(c"/proc/kmsg")),
    attempt(c"proc-kallsyms", || read(c"/proc/kallsyms")),
    attempt(c"proc-keys", || read(c"/proc/keys")),
    attempt(c"proc-cmdline", || read(c"/proc/cmdline")),
    attempt(c"proc-sysrq", || write(c"/proc/sysrq-trigger")),
    attempt(c"core-pattern", || write(c"/proc/sys/kernel/core_pattern")),
    attempt(c"modprobe-path", || write(c"/proc/sys/kernel/modprobe")),
    attempt(c"ip-forward", || write(c"/proc/sys/net/ipv4/ip_forward")),
    attempt(c"uevent-helper", || write(c"/sys/kernel/uevent_helper")),
    attempt(c"release-agent", || write(c"/sys/fs/cgroup/release_agent")),
    attempt(c"cgroup-procs", || write(c"/sys/fs/cgroup/cgroup.procs")),
    attempt(c"dev-mem", || read(c"/dev/mem")),
    attempt(c"dev-kmsg", || read(c"/dev/kmsg")),
    attempt(c"dev-disk", || read(c"/dev/sda")),
    attempt(c"dev-kvm", || read(c"/dev/kvm")),
    attempt(c"dev-tty", || read(c"/dev/tty")),
    attempt(c"mknod-block", || node(0o060_600, 8 << 8)),
    attempt(c"mknod-memory", || node(0o020_600, 1 << 8 | 1)),
    attempt(c"host-shadow", || read(c"/etc/shadow")),
    attempt(c"terminal-input", || terminal(0x5412)), // TIOCSTI
    attempt(c"terminal-paste", || terminal(0x541c)), // TIOCLINUX
];

/// What is covered with an empty file can be opened and gives nothing.
fn read(path: &CStr) -> Outcome {
    let mut bytes = [0_u8; 64];
    let read = |file| call(0, [file, bytes.as_mut_ptr() as usize, bytes.len(), 0, 0, 0]);
    match kernel::open(path, kernel::READ | 0o4000).and_then(read) {
        Ok(0) => Outcome::Hollow,
        other => other.into(),
    }
}

fn write(path: &CStr) -> Outcome {
    kernel::open(path, kernel::WRITE).into()
}

/// The first disk, and the host's memory (mknod(2)).
fn node(mode: usize, device: usize) -> Outcome {
    call(133, [text(c"/tmp/node"), mode, device, 0, 0, 0]).into()
}

/// Whatever descriptor 0 is: the request itself is refused, before the kernel looks whether it is a terminal.
fn terminal(request: usize) -> Outcome {
    let letter = b'x';
    call(16, [0, request, &raw const letter as usize, 0, 0, 0]).into()
}
