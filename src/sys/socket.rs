//! Packets with descriptors beside them (unix(7): `SOCK_SEQPACKET`, `SCM_RIGHTS`).
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind,
    getsockname, recvmsg, sendmsg, socket, socketpair,
};

/// Two connected ends.
///
/// # Errors
/// What the kernel says.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}

fn new() -> io::Result<OwnedFd> {
    Ok(socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?)
}

/// Listens at a path that is free.
///
/// # Errors
/// What bind(2) says.
pub fn listen(path: &Path) -> io::Result<OwnedFd> {
    let listener = new()?;
    bind(listener.as_raw_fd(), &UnixAddr::new(path)?)?;
    nix::sys::socket::listen(&listener, Backlog::MAXCONN)?;
    Ok(listener)
}

/// Connects to who listens at a path; waits while too many others do.
///
/// # Errors
/// What connect(2) says.
pub fn connect(path: &Path) -> io::Result<OwnedFd> {
    let socket = new()?;
    nix::sys::socket::connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket)
}

/// The next one that connected, if one has. Does not wait.
///
/// # Errors
/// What accept(2) says.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let mut waiting = [PollFd::new(listener, PollFlags::POLLIN)];
    if poll(&mut waiting, PollTimeout::ZERO)? == 0 {
        return Ok(None);
    }
    match accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
        // SAFETY: the kernel just made this descriptor for us and nobody else knows it.
        Ok(number) => Ok(Some(unsafe { OwnedFd::from_raw_fd(number) })),
        Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNABORTED) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Where a socket listens.
///
/// # Errors
/// When it has no path.
pub fn path_of(socket: &impl AsFd) -> io::Result<PathBuf> {
    let address: UnixAddr = getsockname(socket.as_fd().as_raw_fd())?;
    address.path().map(Path::to_path_buf).ok_or_else(|| io::Error::other("the socket has no path"))
}

/// What a receive brought.
#[derive(Debug)]
pub enum Received {
    /// A packet of so many bytes, with its descriptors.
    Packet {
        /// How many bytes of the buffer are filled.
        length: usize,
        /// The descriptors, close-on-exec.
        descriptors: Vec<OwnedFd>,
    },
    /// The other end is closed.
    Closed,
    /// Nothing is there yet.
    Nothing,
}

/// Receives a packet without waiting.
///
/// # Errors
/// What the kernel says; a packet or its descriptors that did not fit.
pub fn receive<const MOST: usize>(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut space = nix::cmsg_space!([RawFd; MOST]);
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = match recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags) {
        Ok(message) => message,
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Received::Nothing),
        Err(Errno::ECONNRESET) => return Ok(Received::Closed),
        Err(errno) => return Err(errno.into()),
    };
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            // SAFETY: the kernel just put these descriptors into our table and nobody else knows them.
            descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    if message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) {
        return Err(io::Error::other("a packet was longer than any that is allowed"));
    }
    if message.bytes == 0 && descriptors.is_empty() {
        return Ok(Received::Closed);
    }
    Ok(Received::Packet { length: message.bytes, descriptors })
}

/// Sends a packet without waiting.
///
/// # Errors
/// `EAGAIN` when the other end has not read what was sent before, `EPIPE` when it is closed.
pub fn send(socket: BorrowedFd<'_>, packet: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let beside: &[ControlMessage<'_>] = if numbers.is_empty() { &[] } else { &rights };
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(packet)], beside, flags, None)?;
    Ok(())
}

/// Takes a descriptor that this process inherited under a known number.
///
/// # Errors
/// When it is not open.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointer is passed; the call only asks whether the number is open, and sets close-on-exec.
    let result = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, and the caller is the one place of the program that takes this number.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
