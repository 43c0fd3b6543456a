//! The socket to the server, and who may say what when.
//!
//! ```text
//! Greeting --Hello--> Serving --closed or malformed--> the loop ends every sandbox
//! ```
//!
//! Replies wait in a bounded queue while the server does not read; a server that never reads loses the connection.
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys::socket::{self, Received};
use crate::wire::codec::Malformed;
use crate::wire::reply::Reply;
use crate::wire::request::{Request, START_DESCRIPTORS};
use crate::wire::{MAX_DESCRIPTORS, MAX_MESSAGE};

/// Replies that may wait for a server that does not read.
const WAITING: usize = 8192;

/// What may be said now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was said yet.
    Greeting,
    /// Everything but a greeting.
    Serving,
}

/// Why the connection ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// The server closed its end.
    #[error("the server closed the connection")]
    Closed,
    /// SIGTERM came.
    #[error("SIGTERM came")]
    Terminated,
    /// Something that is no message.
    #[error("a malformed message")]
    Malformed(#[from] Malformed),
    /// A message that is not permitted now.
    #[error("a message out of its phase: {0}")]
    OutOfPhase(&'static str),
    /// Descriptors beside a message that takes none, or too few beside one that does.
    #[error("{0} descriptors beside a message that takes another number")]
    Descriptors(usize),
    /// Too many replies wait.
    #[error("the server does not read what it is told")]
    NotReading,
    /// The socket itself.
    #[error("the socket failed")]
    Socket(#[from] io::Error),
}

/// The server's end of everything.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    phase: Phase,
    waiting: VecDeque<Vec<u8>>,
}

impl Connection {
    /// A connection on which nothing was said.
    pub(super) const fn new(socket: OwnedFd) -> Self {
        Self { socket, phase: Phase::Greeting, waiting: VecDeque::new() }
    }

    /// The socket, to be waited for.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether replies wait until the socket takes more.
    pub(super) fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The next request that is permitted, if one is there.
    pub(super) fn receive(&mut self) -> Result<Option<(Request, Vec<OwnedFd>)>, Lost> {
        let mut buffer = [0_u8; MAX_MESSAGE];
        match socket::receive::<MAX_DESCRIPTORS>(self.socket.as_fd(), &mut buffer)? {
            Received::Nothing => Ok(None),
            Received::Closed => Err(Lost::Closed),
            Received::Packet { length, descriptors } => {
                let request = Request::decode(buffer.get(..length).unwrap_or_default())?;
                self.phase = permit(self.phase, &request)?;
                check_descriptors(&request, descriptors.len())?;
                Ok(Some((request, descriptors)))
            }
        }
    }

    /// Says something, now or when the server reads again.
    pub(super) fn send(&mut self, reply: &Reply) -> Result<(), Lost> {
        if self.waiting.len() >= WAITING {
            return Err(Lost::NotReading);
        }
        self.waiting.push_back(reply.encode());
        self.flush()
    }

    /// Sends what waits, as far as the socket takes it.
    pub(super) fn flush(&mut self) -> Result<(), Lost> {
        while let Some(message) = self.waiting.front() {
            match socket::send(self.socket.as_fd(), message, &[]) {
                Ok(()) => drop(self.waiting.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(Lost::Closed),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The table of permitted requests. No wildcard: a new request has to be thought about in every phase.
const fn permit(phase: Phase, request: &Request) -> Result<Phase, Lost> {
    match (phase, request) {
        (Phase::Serving, Request::Hello { .. }) => Err(Lost::OutOfPhase("a second Hello")),
        (
            Phase::Greeting,
            Request::MakeTree { .. }
            | Request::DropTree { .. }
            | Request::Start(_)
            | Request::Exec { .. }
            | Request::Signal { .. }
            | Request::Resize { .. }
            | Request::CloseStdin { .. }
            | Request::Freeze { .. }
            | Request::Update { .. }
            | Request::List
            | Request::Adopt { .. }
            | Request::End { .. }
            | Request::DropTag { .. }
            | Request::DropImage { .. }
            | Request::Network(_),
        ) => Err(Lost::OutOfPhase("a request before Hello")),
        (Phase::Greeting, Request::Hello { .. })
        | (
            Phase::Serving,
            Request::MakeTree { .. }
            | Request::DropTree { .. }
            | Request::Start(_)
            | Request::Exec { .. }
            | Request::Signal { .. }
            | Request::Resize { .. }
            | Request::CloseStdin { .. }
            | Request::Freeze { .. }
            | Request::Update { .. }
            | Request::List
            | Request::Adopt { .. }
            | Request::End { .. }
            | Request::DropTag { .. }
            | Request::DropImage { .. }
            | Request::Network(_),
        ) => Ok(Phase::Serving),
    }
}

const fn check_descriptors(request: &Request, count: usize) -> Result<(), Lost> {
    let wanted = if matches!(request, Request::Start(_)) { START_DESCRIPTORS } else { 0 };
    if count == wanted { Ok(()) } else { Err(Lost::Descriptors(count)) }
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::base::id::TreeId;

    fn connected() -> (Connection, OwnedFd) {
        let (ours, theirs) = socket::pair().unwrap();
        (Connection::new(ours), theirs)
    }

    #[track_caller]
    fn say(server: &OwnedFd, message: &[u8]) {
        socket::send(server.as_fd(), message, &[]).unwrap();
    }

    #[test]
    fn hello_comes_first_and_once() {
        let (mut connection, server) = connected();
        say(&server, &Request::List.encode());
        assert!(matches!(connection.receive(), Err(Lost::OutOfPhase(_))));
        say(&server, &Request::Hello { ready: 0 }.encode());
        assert!(matches!(connection.receive(), Ok(Some((Request::Hello { ready: 0 }, _)))));
        say(&server, &Request::Hello { ready: 0 }.encode());
        assert!(matches!(connection.receive(), Err(Lost::OutOfPhase(_))));
    }

    #[test]
    fn garbage_ends_the_connection() {
        let (mut connection, server) = connected();
        say(&server, b"GET / HTTP/1.1");
        assert!(matches!(connection.receive(), Err(Lost::Malformed(_))));
    }

    #[test]
    fn descriptors_that_nobody_asked_for_end_the_connection() {
        let (mut connection, server) = connected();
        let message = Request::Hello { ready: 0 }.encode();
        socket::send(server.as_fd(), &message, &[server.as_fd()]).unwrap();
        assert!(matches!(connection.receive(), Err(Lost::Descriptors(1))));
    }

    #[test]
    fn a_server_that_does_not_read_is_not_waited_for() {
        let (mut connection, _server) = connected();
        let reply = Reply::TreeMade { tree: TreeId(1), first_id: 7 };
        let lost = (0..100_000).find_map(|_| connection.send(&reply).err());
        assert!(matches!(lost, Some(Lost::NotReading)));
    }

    #[test]
    fn a_closed_end_is_noticed() {
        let (mut connection, server) = connected();
        drop(server);
        assert!(matches!(connection.receive(), Err(Lost::Closed)));
    }
}
