//! One question to the kernel about links, addresses and routes, and its whole answer (rtnetlink(7)).
//!
//! A socket belongs to the network namespace in which it was opened, wherever its process is later. Not here: what is asked
//! (`egress::links`).
use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// A socket to the kernel.
#[derive(Debug)]
pub(super) struct Netlink(Socket);

impl Netlink {
    /// In the network namespace where this process is now.
    pub(super) fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    /// Has the kernel do something. `flags` are those that go with the kind of request (`NLM_F_CREATE` and its like).
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn act(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.ask(message, NLM_F_ACK | flags).map(drop)
    }

    /// Asks for all there is of a kind.
    pub(super) fn list(&self, message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.ask(message, NLM_F_DUMP)
    }

    /// Asks for one thing.
    pub(super) fn find(&self, message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.ask(message, NLM_F_ACK)
    }

    fn ask(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.0.send(&bytes, 0)?;
        let mut answers = Vec::new();
        while !self.take(&mut answers)? {}
        Ok(answers)
    }

    /// Reads one packet of the answer. Tells whether it was the last.
    fn take(&self, answers: &mut Vec<RouteNetlinkMessage>) -> io::Result<bool> {
        let (packet, _) = self.0.recv_from_full()?;
        let mut rest = packet.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::deserialize(rest).map_err(io::Error::other)?;
            if let NetlinkPayload::Error(error) = &message.payload {
                return if error.code.is_some() { Err(error.to_io()) } else { Ok(true) };
            }
            if let NetlinkPayload::Done(_) = message.payload {
                return Ok(true);
            }
            if let NetlinkPayload::InnerMessage(inner) = message.payload {
                answers.push(inner);
            }
            let length = usize::try_from(message.header.length).map_err(io::Error::other)?;
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(false)
    }
}
