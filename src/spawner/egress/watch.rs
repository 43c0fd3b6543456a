//! Notices what changes on the host that concerns jobs: somebody takes the rules away, as whoever reloads a firewall by
//! `flush ruleset` does; and links go, as that of a job does some time after its end.
//!
//! The kernel tells of every change of nftables and of links to whoever listens, and which table there is to whoever
//! asks (nft(8), `nft monitor`; rtnetlink(7)). Not here: what is done then (`egress::keeper`).
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

use super::links::is;
use super::netfilter::{self, Answer};

/// Changes of nftables (`linux/netfilter/nfnetlink.h`, `NFNLGRP_NFTABLES`).
const RULES: u32 = 7;
/// Changes of links (`linux/rtnetlink.h`, `RTNLGRP_LINK`).
const LINKS: u32 = 1;

/// A question for a table: the subsystem, and `NFT_MSG_GETTABLE` (`linux/netfilter/nf_tables.h`).
const ASK_TABLE: u16 = 10 << 8 | 1;
/// `NFPROTO_INET`
const INET: u8 = 1;
/// `NFTA_TABLE_NAME` and `NFTA_TABLE_HANDLE`
const NAME: u16 = 1;
const HANDLE: u16 = 4;

/// Longest that is read of one message.
const LENGTH: usize = 4096;

/// The sockets.
#[derive(Debug)]
pub(super) struct Watch {
    rules: Socket,
    links: Socket,
    questions: Socket,
}

impl Watch {
    /// In the network namespace where this process is now.
    pub(super) fn open() -> io::Result<Self> {
        let questions = Socket::new(NETLINK_NETFILTER)?;
        questions.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { rules: listener(NETLINK_NETFILTER, RULES)?, links: listener(NETLINK_ROUTE, LINKS)?, questions })
    }

    /// Becomes readable when any rule changed.
    pub(super) fn rules(&self) -> BorrowedFd<'_> {
        self.rules.as_fd()
    }

    /// Becomes readable when any link changed.
    pub(super) fn links(&self) -> BorrowedFd<'_> {
        self.links.as_fd()
    }

    /// Forgets what was told: what holds now is asked for.
    pub(super) fn drain(&self) -> io::Result<()> {
        drain(&self.rules)?;
        drain(&self.links)
    }

    /// The number that the kernel gave the table of this name when it was made, and gives no other; nothing where there is
    /// no such table.
    pub(super) fn table(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let name = netfilter::attribute(NAME, &[name.as_bytes(), &[0]].concat())?;
        self.questions.send(&netfilter::request(ASK_TABLE, 0, INET, &name)?, 0)?;
        let mut answer = Vec::with_capacity(LENGTH);
        self.questions.recv(&mut answer, 0)?;
        let unfinished = || io::Error::from(io::ErrorKind::UnexpectedEof);
        match netfilter::answers(&answer).next() {
            Some(Answer::Thing(table)) => {
                netfilter::value(table, HANDLE).map(<[u8]>::to_vec).map(Some).ok_or_else(unfinished)
            }
            Some(Answer::Error(Errno::ENOENT)) => Ok(None),
            Some(Answer::Error(errno)) => Err(errno.into()),
            Some(Answer::Done) | None => Err(unfinished()),
        }
    }
}

fn listener(protocol: isize, group: u32) -> io::Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.add_membership(group)?;
    socket.set_non_blocking(true)?;
    Ok(socket)
}

fn drain(socket: &Socket) -> io::Result<()> {
    loop {
        match socket.recv(&mut Vec::with_capacity(LENGTH), 0) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // More was told than was read.
            Err(error) if is(&error, Errno::ENOBUFS) => {}
            Err(error) => return Err(error),
        }
    }
}
