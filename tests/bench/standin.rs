//! A stand-in for `kiln-spawner` that makes nothing and says at once that all went well, so that
//! what is measured is the server's share (`tests/bench/share.py`).
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use kiln::base::id::ProcessId;
use kiln::plan::isolation::Isolation;
use kiln::sys::socket::{self, Received};
use kiln::wire::MAX_MESSAGE;
use kiln::wire::reply::{Cause, Counters, Reply};
use kiln::wire::request::{Request, START_DESCRIPTORS};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_error) => ExitCode::FAILURE,
    }
}

fn serve() -> io::Result<()> {
    let socket = socket::inherited(0)?;
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        match socket::receive::<START_DESCRIPTORS>(socket.as_fd(), &mut buffer)? {
            Received::Closed => return Ok(()),
            Received::Nothing => {}
            Received::Packet { length, descriptors } => {
                let request = Request::decode(buffer.get(..length).unwrap_or_default()).map_err(io::Error::other)?;
                answer(&socket, request, descriptors)?;
            }
        }
    }
}

fn answer(socket: &OwnedFd, request: Request, descriptors: Vec<OwnedFd>) -> io::Result<()> {
    let say = |reply: Reply| socket::send(socket.as_fd(), &reply.encode(), &[]);
    match request {
        Request::Hello { .. } => say(Reply::Welcome { isolation: Isolation::default(), pid: std::process::id() }),
        Request::MakeTree { tree, .. } => say(Reply::TreeMade { tree, first_id: 0 }),
        Request::Start(start) => {
            let (sandbox, process) = (start.sandbox, ProcessId::MAIN);
            say(Reply::Started { sandbox, process, setup_us: 0 })?;
            drop(descriptors);
            let (cause, counters) = (Cause::Program, Counters::default());
            say(Reply::Exited { sandbox, process, status: 0, cause, counters })?;
            say(Reply::Ended { sandbox, cause, counters })
        }
        Request::DropTree { .. } | Request::End { .. } => Ok(()),
        Request::Network(_) => say(Reply::NetworkMade),
        Request::Exec { .. }
        | Request::Signal { .. }
        | Request::Resize { .. }
        | Request::CloseStdin { .. }
        | Request::Freeze { .. }
        | Request::Update { .. }
        | Request::List
        | Request::Adopt { .. }
        | Request::DropTag { .. }
        | Request::DropImage { .. } => Err(io::Error::other("a job that ends by itself does not ask this")),
    }
}
