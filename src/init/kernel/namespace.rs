//! Namespaces: left, made and entered (namespaces(7)).
use super::{Errno, Fd, call, close};

/// CLONE_NEWNS
pub(crate) const MOUNT: usize = 0x2_0000;
/// CLONE_NEWCGROUP
pub(crate) const CGROUP: usize = 0x200_0000;
/// CLONE_NEWUTS
pub(crate) const UTS: usize = 0x400_0000;
/// CLONE_NEWIPC
pub(crate) const IPC: usize = 0x800_0000;
/// CLONE_NEWUSER
pub(crate) const USER: usize = 0x1000_0000;
/// CLONE_NEWNET
pub(crate) const NETWORK: usize = 0x4000_0000;

/// Makes new ones, and enters them (unshare(2)).
pub(crate) fn unshare(kinds: usize) -> Result<(), Errno> {
    call(272, [kinds, 0, 0, 0, 0, 0]).map(drop)
}

/// Enters one that exists (setns(2)).
pub(crate) fn enter(namespace: Fd, kind: usize) -> Result<(), Errno> {
    call(308, [namespace as usize, kind, 0, 0, 0, 0]).map(drop)
}

/// sethostname(2)
pub(crate) fn set_host_name(name: &[u8]) -> Result<(), Errno> {
    call(170, [name.as_ptr() as usize, name.len(), 0, 0, 0, 0]).map(drop)
}

/// Switches `lo` on (netdevice(7), SIOCSIFFLAGS).
pub(crate) fn loopback_up() -> Result<(), Errno> {
    const AF_INET: usize = 2;
    const SOCK_DGRAM_CLOEXEC: usize = 2 | 0o2_000_000;
    const SIOCSIFFLAGS: usize = 0x8914;
    const IFF_UP: u16 = 1;
    /// `struct ifreq`: 40 bytes.
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: u16,
        rest: [u8; 22],
    }
    let mut request = Request { name: [0; 16], flags: IFF_UP, rest: [0; 22] };
    for (place, letter) in request.name.iter_mut().zip(*b"lo") {
        *place = letter;
    }
    let socket = call(41, [AF_INET, SOCK_DGRAM_CLOEXEC, 0, 0, 0, 0])?;
    let done = call(16, [socket, SIOCSIFFLAGS, &raw mut request as usize, 0, 0, 0]).map(drop);
    close(socket as Fd);
    done
}
