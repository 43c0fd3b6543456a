//! The machine as a whole, and the parts of the kernel that had most of the holes. Who is let pass finds arguments that
//! do nothing: no image to boot, no file to swap to, no clock to set.
use crate::kernel::{self, call, text};
use crate::outcome::Outcome;
use crate::{Attempt, attempt};

const NO_DESCRIPTOR: usize = usize::MAX;
/// Process or session of who asks (keyctl(2)).
const KEY_SPEC_PROCESS_KEYRING: usize = -2_isize as usize;

pub(crate) static ATTEMPTS: [Attempt; 30] = [
    attempt(c"init-module", || call(175, [0, 0, text(c""), 0, 0, 0]).into()),
    attempt(c"finit-module", || call(313, [NO_DESCRIPTOR, text(c""), 0, 0, 0, 0]).into()),
    attempt(c"delete-module", || call(176, [text(c"kiln_probe"), 0o4000, 0, 0, 0, 0]).into()),
    attempt(c"kexec-load", || call(246, [0, 0, 0, usize::MAX, 0, 0]).into()),
    attempt(c"kexec-file-load", || call(320, [NO_DESCRIPTOR, NO_DESCRIPTOR, 0, 0, usize::MAX, 0]).into()),
    attempt(c"reboot", || call(169, [0, 0, 0, 0, 0, 0]).into()), // without its magic numbers
    attempt(c"swapon", || call(167, [text(c"/tmp"), 0, 0, 0, 0, 0]).into()),
    attempt(c"swapoff", || call(168, [text(c"/tmp"), 0, 0, 0, 0, 0]).into()),
    attempt(c"acct", || call(163, [text(c"/tmp"), 0, 0, 0, 0, 0]).into()),
    attempt(c"quotactl", || call(179, [0x80_0004 << 8, text(c"/tmp"), 0, 0, 0, 0]).into()), // Q_GETFMT
    attempt(c"syslog", syslog),
    attempt(c"settimeofday", || call(164, [0; 6]).into()),
    attempt(c"clock-settime", || clock(227)),
    attempt(c"adjtimex", || clock(159)),
    attempt(c"iopl", || call(172, [3, 0, 0, 0, 0, 0]).into()),
    attempt(c"ioperm", || call(173, [0x80, 1, 1, 0, 0, 0]).into()),
    attempt(c"modify-ldt", modify_ldt),
    attempt(c"bpf", bpf),
    attempt(c"perf-event", perf_event),
    attempt(c"userfaultfd", || call(323, [1, 0, 0, 0, 0, 0]).into()), // UFFD_USER_MODE_ONLY
    attempt(c"io-uring", io_uring),
    attempt(c"keyctl", || call(250, [0, KEY_SPEC_PROCESS_KEYRING, 1, 0, 0, 0]).into()),
    attempt(c"add-key", || {
        call(248, [text(c"user"), text(c"probe"), text(c"x"), 1, KEY_SPEC_PROCESS_KEYRING, 0]).into()
    }),
    attempt(c"request-key", || call(249, [text(c"user"), text(c"probe"), 0, 0, 0, 0]).into()),
    attempt(c"move-pages", || call(279, [1, 0, 0, 0, 0, 0]).into()),
    attempt(c"sync", || call(162, [0; 6]).into()),
    attempt(c"syncfs", || call(306, [0; 6]).into()),
    attempt(c"vhangup", || call(153, [0; 6]).into()),
    attempt(c"call-of-x32", || call(0x4000_0000 | 39, [0; 6]).into()), // getpid
    attempt(c"call-of-i386", || kernel::call_by_interrupt().into()),
];

/// SYSLOG_ACTION_READ_ALL (syslog(2)).
fn syslog() -> Outcome {
    let mut bytes = [0_u8; 64];
    call(103, [3, bytes.as_mut_ptr() as usize, bytes.len(), 0, 0, 0]).into()
}

/// A time that is none, of a clock that cannot be set; and a question what the time is corrected by (adjtimex(2)).
fn clock(number: usize) -> Outcome {
    let mut words = [0_u64; 32];
    match number {
        159 => call(number, [words.as_mut_ptr() as usize, 0, 0, 0, 0, 0]).into(),
        _ => call(number, [1, words.as_ptr() as usize, 0, 0, 0, 0]).into(),
    }
}

/// Reads the table (modify_ldt(2)).
fn modify_ldt() -> Outcome {
    let mut bytes = [0_u8; 16];
    call(154, [0, bytes.as_mut_ptr() as usize, bytes.len(), 0, 0, 0]).into()
}

/// BPF_MAP_CREATE of an array with one place (bpf(2)).
fn bpf() -> Outcome {
    let attributes = [2_u32, 4, 4, 1, 0, 0];
    call(321, [0, attributes.as_ptr() as usize, size_of_val(&attributes), 0, 0, 0]).into()
}

/// PERF_COUNT_SW_CPU_CLOCK of this process, in user mode (perf_event_open(2)).
fn perf_event() -> Outcome {
    const TYPE_SOFTWARE_AND_SIZE: u64 = 1 | 112 << 32;
    const EXCLUDE_KERNEL_AND_HYPERVISOR: u64 = 1 << 5 | 1 << 6;
    let mut attributes = [0_u64; 14];
    attributes[0] = TYPE_SOFTWARE_AND_SIZE;
    attributes[5] = EXCLUDE_KERNEL_AND_HYPERVISOR;
    call(298, [attributes.as_ptr() as usize, 0, usize::MAX, usize::MAX, 0, 0]).into()
}

fn io_uring() -> Outcome {
    let mut parameters = [0_u32; 30];
    call(425, [1, parameters.as_mut_ptr() as usize, 0, 0, 0, 0]).into()
}
