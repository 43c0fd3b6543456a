//! Who is at the other end of a local connection (unix(7): `SO_PEERCRED`, `SO_PEERGROUPS`).
//!
//! The kernel noted both when the connection was made; a peer cannot change them. Numbers are those
//! of this process's user namespace.
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};

/// Groups of one process at most (`NGROUPS_MAX`, credentials(7)).
const GROUPS_AT_MOST: usize = 65_536;
/// Few processes have more.
const GROUPS_USUALLY: usize = 64;

/// A process, as it was when it connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its effective user.
    pub uid: u32,
    /// Its effective group and its supplementary ones.
    pub groups: Vec<u32>,
}

/// The peer of a connected socket of family `AF_UNIX`.
///
/// # Errors
/// What getsockopt(2) says.
pub fn of(socket: &impl AsFd) -> io::Result<Peer> {
    let credentials = getsockopt(socket, sockopt::PeerCredentials)?;
    let mut groups = supplementary(socket)?;
    groups.push(credentials.gid());
    Ok(Peer { uid: credentials.uid(), groups })
}

fn supplementary(socket: &impl AsFd) -> io::Result<Vec<u32>> {
    let mut room = vec![0; GROUPS_USUALLY];
    match read_groups(socket, &mut room) {
        Err(error) if error.raw_os_error() == Some(libc::ERANGE) => {
            room.resize(GROUPS_AT_MOST, 0);
            read_groups(socket, &mut room)
        }
        other => other,
    }
}

/// The groups that fit into `room`; `ERANGE` where they do not.
fn read_groups(socket: &impl AsFd, room: &mut [libc::gid_t]) -> io::Result<Vec<u32>> {
    let mut bytes = libc::socklen_t::try_from(size_of_val(room)).map_err(io::Error::other)?;
    let number = socket.as_fd().as_raw_fd();
    let (level, name) = (libc::SOL_SOCKET, libc::SO_PEERGROUPS);
    // SAFETY: the kernel writes at most `bytes` bytes to `room`, which are its own, and the length to `bytes`;
    // both are borrowed for the whole call. Any number is a group.
    let result = unsafe { libc::getsockopt(number, level, name, room.as_mut_ptr().cast(), &raw mut bytes) };
    Errno::result(result)?;
    let count = usize::try_from(bytes).map_err(io::Error::other)? / size_of::<libc::gid_t>();
    Ok(room.iter().copied().take(count).collect())
}

#[cfg(test)]
mod test {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_peer_of_our_own_is_us() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let peer = of(&ours).unwrap();
        assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
        let mut expected: Vec<u32> = nix::unistd::getgroups().unwrap().iter().map(|group| group.as_raw()).collect();
        expected.push(nix::unistd::getegid().as_raw());
        assert_eq!(peer.groups, expected);
    }
}
