//! Namespaces of one's own, and those of others (namespaces(7)). Whoever owns one has every capability in it.
use crate::kernel::{self, call, text};
use crate::outcome::{Outcome, needed};
use crate::{Attempt, attempt};

const SIGCHLD: usize = 17;
const TIME: usize = 0x80;
const MOUNT: usize = 0x2_0000;
const CGROUP: usize = 0x200_0000;
const UTS: usize = 0x400_0000;
const IPC: usize = 0x800_0000;
const USER: usize = 0x1000_0000;
const PID: usize = 0x2000_0000;
const NETWORK: usize = 0x4000_0000;

pub(crate) static ATTEMPTS: [Attempt; 14] = [
    attempt(c"unshare-user", || unshare(USER)),
    attempt(c"unshare-mount", || unshare(MOUNT)),
    attempt(c"unshare-pid", || unshare(PID)),
    attempt(c"unshare-network", || unshare(NETWORK)),
    attempt(c"unshare-ipc", || unshare(IPC)),
    attempt(c"unshare-uts", || unshare(UTS)),
    attempt(c"unshare-cgroup", || unshare(CGROUP)),
    attempt(c"unshare-time", || unshare(TIME)),
    attempt(c"clone-user", || clone(USER)),
    attempt(c"clone-all", || clone(USER | MOUNT | PID | NETWORK | IPC | UTS | CGROUP)),
    attempt(c"clone3-user", clone3),
    attempt(c"setns", || setns().unwrap_or_else(|untried| untried)),
    attempt(c"sethostname", || call(170, [text(c"probe"), 5, 0, 0, 0, 0]).into()),
    attempt(c"setdomainname", || call(171, [text(c"probe"), 5, 0, 0, 0, 0]).into()),
];

fn unshare(kinds: usize) -> Outcome {
    call(272, [kinds, 0, 0, 0, 0, 0]).into()
}

fn clone(kinds: usize) -> Outcome {
    match call(56, [kinds | SIGCHLD, 0, 0, 0, 0, 0]) {
        Ok(0) => kernel::exit(0),
        other => other.into(),
    }
}

/// The same by a structure, where no filter can look (clone(2)).
fn clone3() -> Outcome {
    let mut arguments = [0_u64; 11];
    arguments[0] = USER as u64;
    arguments[4] = SIGCHLD as u64;
    match call(435, [arguments.as_ptr() as usize, size_of_val(&arguments), 0, 0, 0, 0]) {
        Ok(0) => kernel::exit(0),
        other => other.into(),
    }
}

/// Its own: what is refused for it is refused for any.
fn setns() -> Result<Outcome, Outcome> {
    let own = needed(kernel::open(c"/proc/self/ns/net", kernel::READ))?;
    Ok(call(308, [own, 0, 0, 0, 0, 0]).into())
}
