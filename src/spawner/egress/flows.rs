//! What the kernel remembers of connections (`nf_conntrack`), and that it forgets those of a job when the job has ended.
//!
//! It can remember a connection for minutes after both ends have closed it, and for as long as five days where the end of
//! one was never heard of (nf_conntrack-sysctl, `nf_conntrack_tcp_timeout_established`): the host's table would fill, and
//! what one job left would be counted against the next one at its address. Not here: when a job has ended
//! (`egress::place`).
use std::io;
use std::net::IpAddr;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::libc::{AF_INET, AF_INET6};

use super::netfilter::{self, ACKNOWLEDGED, Answer, DUMP};

/// Requests: the subsystem, and `IPCTNL_MSG_CT_GET` or `IPCTNL_MSG_CT_DELETE` (`linux/netfilter/nfnetlink_conntrack.h`).
const ASK: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;

/// `CTA_TUPLE_ORIG` and `CTA_TUPLE_REPLY`, with `CTA_TUPLE_IP` in each, with one of `CTA_IP_V4_SRC` and `CTA_IP_V6_SRC` in
/// that: who began, and who answers.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ADDRESSES: u16 = 1;
const SOURCE: u16 = 1;
const SOURCE6: u16 = 3;
/// `CTA_ZONE`
const ZONE: u16 = 18;

/// The table of connections of one network namespace.
#[derive(Debug)]
pub(super) struct Flows(Socket);

impl Flows {
    /// In the network namespace where this process is now.
    pub(super) fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_NETFILTER)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    /// Forgets every connection that began at one of these addresses, or that one of them answers. The kernel is asked for
    /// all there are: its filter by address compares those of IPv6 the wrong way round (Linux 6.18 and others,
    /// `ctnetlink_filter_match_tuple`).
    pub(super) fn forget(&self, is_meant: impl Fn(IpAddr) -> bool) -> io::Result<()> {
        [AF_INET, AF_INET6].into_iter().try_for_each(|version| self.forget_of_version(version, &is_meant))
    }

    fn forget_of_version(&self, version: i32, is_meant: &impl Fn(IpAddr) -> bool) -> io::Result<()> {
        let family = u8::try_from(version).map_err(io::Error::other)?;
        let listing = |errno| io::Error::other(format!("listing connections (nf_conntrack_netlink): {errno}"));
        self.0.send(&netfilter::request(ASK, DUMP, family, &[])?, 0)?;
        let mut meant = Vec::new();
        self.hear(|answer| match answer {
            Answer::Thing(flow) => {
                if ends(flow).any(is_meant) {
                    meant.push(key(flow));
                }
                Ok(false)
            }
            Answer::Done => Ok(true),
            Answer::Error(errno) => Err(listing(errno)),
        })?;
        for key in meant {
            self.0.send(&netfilter::request(DELETE, ACKNOWLEDGED, family, &key)?, 0)?;
            self.hear(|answer| match answer {
                Answer::Thing(_) => Ok(false),
                // It ended by itself meanwhile, or is about to: another part of the kernel has it (a flow table).
                Answer::Done | Answer::Error(Errno::ENOENT | Errno::EBUSY) => Ok(true),
                Answer::Error(errno) => Err(io::Error::other(format!("forgetting a connection: {errno}"))),
            })?;
        }
        Ok(())
    }

    /// Until one is told to be the last.
    fn hear(&self, mut each: impl FnMut(Answer<'_>) -> io::Result<bool>) -> io::Result<()> {
        loop {
            let (packet, _) = self.0.recv_from_full()?;
            for answer in netfilter::answers(&packet) {
                if each(answer)? {
                    return Ok(());
                }
            }
        }
    }
}

/// Who began, and who answers.
fn ends(flow: &[u8]) -> impl Iterator<Item = IpAddr> {
    [ORIGINAL, REPLY].into_iter().filter_map(|tuple| {
        let addresses = netfilter::value(netfilter::value(flow, tuple)?, ADDRESSES)?;
        let v4 = || Some(IpAddr::from(*netfilter::value(addresses, SOURCE)?.first_chunk::<4>()?));
        let v6 = || Some(IpAddr::from(*netfilter::value(addresses, SOURCE6)?.first_chunk::<16>()?));
        v4().or_else(v6)
    })
}

/// What names it to the kernel.
fn key(flow: &[u8]) -> Vec<u8> {
    let parts = netfilter::attributes(flow).filter(|(kind, ..)| [ORIGINAL, ZONE].contains(kind));
    let mut key = Vec::new();
    for (_, whole, _) in parts {
        key.extend(whole);
        key.resize(key.len().next_multiple_of(4), 0);
    }
    key
}

#[cfg(test)]
mod test {
    use super::*;

    fn source(address: IpAddr) -> Vec<u8> {
        match address {
            IpAddr::V4(address) => netfilter::attribute(SOURCE, &address.octets()),
            IpAddr::V6(address) => netfilter::attribute(SOURCE6, &address.octets()),
        }
        .unwrap()
    }

    #[test]
    fn both_ends_of_a_flow_are_found_and_its_name_taken_over() {
        for ends_at in [["10.213.128.2", "198.51.100.10"], ["fd6b:696c:6e00::2", "2001:db8::1"]] {
            let [began, answers] = ends_at.map(|address| address.parse::<IpAddr>().unwrap());
            let tuple = |kind, address| {
                netfilter::attribute(kind, &netfilter::attribute(ADDRESSES, &source(address)).unwrap()).unwrap()
            };
            let mark = netfilter::attribute(8, &[0; 4]).unwrap();
            let zone = netfilter::attribute(ZONE, &[0, 7]).unwrap();
            let flow = [tuple(ORIGINAL, began), tuple(REPLY, answers), mark, zone.clone()].concat();
            assert_eq!(ends(&flow).collect::<Vec<_>>(), [began, answers]);
            assert_eq!(key(&flow), [tuple(ORIGINAL, began), zone].concat());
        }
        assert_eq!(ends(&netfilter::attribute(ORIGINAL, &[]).unwrap()).count(), 0);
    }
}
