//! What the kernel remembers of connections (`nf_conntrack`), and that it forgets those of a job when the job has ended.
//!
//! It would remember an open connection of a killed program for five days (nf_conntrack-sysctl,
//! `nf_conntrack_tcp_timeout_established`): the host's table would fill, and what one job left would be counted against
//! the next one at its address. Not here: when a job has ended (`egress::place`).
use std::io;
use std::net::IpAddr;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::libc::{AF_INET, AF_INET6};

use super::netfilter::{self, ACKNOWLEDGED, Answer, DUMP};
use crate::plan::prefix::Prefix;

/// Requests: the subsystem, and `IPCTNL_MSG_CT_GET` or `IPCTNL_MSG_CT_DELETE` (`linux/netfilter/nfnetlink_conntrack.h`).
const ASK: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;

/// `CTA_TUPLE_ORIG`, with `CTA_TUPLE_IP` in it, with one of `CTA_IP_V4_SRC` and `CTA_IP_V6_SRC` in that.
const ORIGINAL: u16 = 1;
const ADDRESSES: u16 = 1;
const SOURCE: u16 = 1;
const SOURCE6: u16 = 3;
/// `CTA_ZONE`
const ZONE: u16 = 18;
/// `CTA_FILTER`, with `CTA_FILTER_ORIG_FLAGS` in it: which parts of the tuple beside must be as they are there.
const FILTER: u16 = 25;
const PARTS: u16 = 1;
/// Its source, alone.
const SOURCE_PART: u32 = 1;

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

    /// Forgets every connection that began at this address.
    pub(super) fn forget(&self, address: IpAddr) -> io::Result<()> {
        self.forget_those(address.is_ipv4(), &filter(address)?, |found| found == address)
    }

    /// Forgets every connection that began in this subnet.
    pub(super) fn forget_all(&self, subnet: Prefix) -> io::Result<()> {
        self.forget_those(subnet.is_v4(), &[], |found| subnet.contains(Prefix::whole(found)))
    }

    /// The kernel looks through the whole table, and tells at least of those that are meant.
    fn forget_those(&self, is_v4: bool, filter: &[u8], is_meant: impl Fn(IpAddr) -> bool) -> io::Result<()> {
        let family = u8::try_from(if is_v4 { AF_INET } else { AF_INET6 }).map_err(io::Error::other)?;
        let listing = |errno| io::Error::other(format!("listing connections (nf_conntrack_netlink): {errno}"));
        self.0.send(&netfilter::request(ASK, DUMP, family, filter)?, 0)?;
        let mut meant = Vec::new();
        self.hear(|answer| match answer {
            Answer::Thing(flow) => {
                if began_at(flow).is_some_and(&is_meant) {
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
                // It ended by itself meanwhile.
                Answer::Done | Answer::Error(Errno::ENOENT) => Ok(true),
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

/// Lets what began at this address through, and little else. None of IPv6: kernels are about that have it the wrong way
/// round (6.18, `ctnetlink_filter_match_tuple`).
fn filter(address: IpAddr) -> io::Result<Vec<u8>> {
    if address.is_ipv6() {
        return Ok(Vec::new());
    }
    let tuple = netfilter::nested(ORIGINAL, &netfilter::nested(ADDRESSES, &source(address)?)?)?;
    let parts = netfilter::nested(FILTER, &netfilter::attribute(PARTS, &SOURCE_PART.to_ne_bytes())?)?;
    Ok([tuple, parts].concat())
}

fn source(address: IpAddr) -> io::Result<Vec<u8>> {
    match address {
        IpAddr::V4(address) => netfilter::attribute(SOURCE, &address.octets()),
        IpAddr::V6(address) => netfilter::attribute(SOURCE6, &address.octets()),
    }
}

fn began_at(flow: &[u8]) -> Option<IpAddr> {
    let addresses = netfilter::value(netfilter::value(flow, ORIGINAL)?, ADDRESSES)?;
    let v4 = || Some(IpAddr::from(*netfilter::value(addresses, SOURCE)?.first_chunk::<4>()?));
    let v6 = || Some(IpAddr::from(*netfilter::value(addresses, SOURCE6)?.first_chunk::<16>()?));
    v4().or_else(v6)
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

    #[test]
    fn the_source_of_a_flow_is_found_and_its_name_taken_over() {
        for address in ["10.213.128.2", "fd6b:696c:6e00::2"] {
            let address: IpAddr = address.parse().unwrap();
            let tuple =
                netfilter::nested(ORIGINAL, &netfilter::nested(ADDRESSES, &source(address).unwrap()).unwrap()).unwrap();
            let mark = netfilter::attribute(8, &[0; 4]).unwrap();
            let zone = netfilter::attribute(ZONE, &[0, 7]).unwrap();
            let flow = [tuple.as_slice(), &mark, &zone].concat();
            assert_eq!(began_at(&flow), Some(address));
            assert_eq!(key(&flow), [tuple, zone].concat());
        }
        assert_eq!(began_at(&netfilter::nested(ORIGINAL, &[]).unwrap()), None);
    }
}
