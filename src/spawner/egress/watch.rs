//! Notices when somebody takes the rules away, as whoever reloads a firewall by `flush ruleset` does.
//!
//! The kernel tells of every change of nftables to whoever listens, and whether a table is there to whoever asks (nft(8),
//! `nft monitor`). Not here: what is done then (`egress::keeper`).
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

use super::links::is;

/// Changes of nftables (`linux/netfilter/nfnetlink.h`, `NFNLGRP_NFTABLES`).
const CHANGES: u32 = 7;

/// A question for a table: the subsystem, and `NFT_MSG_GETTABLE` (`linux/netfilter/nf_tables.h`).
const ASK_TABLE: u16 = 10 << 8 | 1;
const REQUEST: u16 = 1;
/// `NFPROTO_INET`
const INET: u8 = 1;
/// `NFTA_TABLE_NAME`
const NAME: u16 = 1;
/// What an answer begins with that is none: the kind, and where the error's number is.
const ERROR: u16 = 2;
const HEAD: usize = 16;

/// Longest that is read of one message.
const LENGTH: usize = 4096;

/// The two sockets.
#[derive(Debug)]
pub(super) struct Watch {
    changes: Socket,
    questions: Socket,
}

impl Watch {
    /// In the network namespace where this process is now.
    pub(super) fn open() -> io::Result<Self> {
        let mut changes = Socket::new(NETLINK_NETFILTER)?;
        changes.bind_auto()?;
        changes.add_membership(CHANGES)?;
        changes.set_non_blocking(true)?;
        let questions = Socket::new(NETLINK_NETFILTER)?;
        questions.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { changes, questions })
    }

    /// Becomes readable when anything changed.
    pub(super) fn changes(&self) -> BorrowedFd<'_> {
        self.changes.as_fd()
    }

    /// Forgets what was told: what holds now is asked for.
    pub(super) fn drain(&self) -> io::Result<()> {
        loop {
            match self.changes.recv(&mut Vec::with_capacity(LENGTH), 0) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // More was told than was read.
                Err(error) if is(&error, Errno::ENOBUFS) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the table of this name is there.
    pub(super) fn has(&self, table: &str) -> io::Result<bool> {
        self.questions.send(&question(table)?, 0)?;
        let mut answer = Vec::with_capacity(LENGTH);
        self.questions.recv(&mut answer, 0)?;
        let word = |at: usize| answer.get(at..)?.first_chunk().copied().map(i32::from_ne_bytes);
        let kind = answer.get(4..).and_then(<[u8]>::first_chunk).copied().map(u16::from_ne_bytes);
        match (kind, word(HEAD).map(|code| Errno::from_raw(code.saturating_neg()))) {
            (Some(ERROR), Some(Errno::ENOENT)) => Ok(false),
            (Some(ERROR), Some(errno)) => Err(errno.into()),
            (Some(_), Some(_)) => Ok(true),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// netlink(7): the head, `struct nfgenmsg`, and one attribute with the name.
fn question(table: &str) -> io::Result<Vec<u8>> {
    let mut body = vec![INET, 0, 0, 0];
    let named = table.len().saturating_add(5);
    body.extend(u16::try_from(named).map_err(io::Error::other)?.to_ne_bytes());
    body.extend(NAME.to_ne_bytes());
    body.extend(table.bytes());
    body.resize(named.next_multiple_of(4).saturating_add(4), 0);
    let mut message = Vec::new();
    message.extend(u32::try_from(HEAD.saturating_add(body.len())).map_err(io::Error::other)?.to_ne_bytes());
    message.extend(ASK_TABLE.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    // No number of the question, and no port: one is asked at a time, and the kernel knows who asks.
    message.extend([0; 8]);
    message.extend(body);
    Ok(message)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_question_is_as_long_as_it_says_and_ends_on_a_word() {
        for name in ["kiln-0123456789abcdef", "k", "kil"] {
            let message = question(name).unwrap();
            assert_eq!(u32::from_ne_bytes(*message.first_chunk().unwrap()), u32::try_from(message.len()).unwrap());
            assert_eq!(message.len() % 4, 0);
            assert_eq!(message[24..24 + name.len()], *name.as_bytes());
            assert_eq!(message[24 + name.len()], 0);
        }
    }
}
