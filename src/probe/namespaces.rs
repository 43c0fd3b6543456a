//! Namespaces of one's own, and those of others (namespaces(7)). Whoever owns one has every capability in it.
use core::ffi::CStr;

use crate::kernel::{self, Argument, Errno, call, text};
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

pub(crate) static ATTEMPTS: [Attempt; 22] = [
    attempt(c"share-user", || shared(c"/proc/self/ns/user")),
    attempt(c"share-mount", || shared(c"/proc/self/ns/mnt")),
    attempt(c"share-pid", || shared(c"/proc/self/ns/pid")),
    attempt(c"share-network", || shared(c"/proc/self/ns/net")),
    attempt(c"share-ipc", || shared(c"/proc/self/ns/ipc")),
    attempt(c"share-uts", || shared(c"/proc/self/ns/uts")),
    attempt(c"share-cgroup", || shared(c"/proc/self/ns/cgroup")),
    attempt(c"share-time", || shared(c"/proc/self/ns/time")),
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

/// Whether one of the host's that this program was told of is its own. `net:[4026531840]` is what such a link says
/// (namespaces(7)).
fn shared(link: &CStr) -> Outcome {
    let mut said = [0_u8; 64];
    // One byte is left, so that a NUL follows.
    let length = match call(89, [text(link), said.as_mut_ptr() as usize, said.len() - 1, 0, 0, 0]) {
        Ok(length) => length,
        Err(errno) => return Outcome::Untried(errno),
    };
    let kind = said.iter().position(|byte| *byte == b'[').and_then(|end| said.get(..end)).unwrap_or_default();
    let host = (2..).map_while(Argument::at).find(|argument| argument.begins(kind));
    match (host, said.get(..=length)) {
        (Some(host), Some(own)) if host.begins(own) => Outcome::Through(length),
        (Some(_), Some(_)) => Outcome::Hollow,
        // ENODATA: nobody said what is the host's.
        _ => Outcome::Untried(Errno(61)),
    }
}

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
