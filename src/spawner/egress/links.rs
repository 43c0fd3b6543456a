//! What is asked of the kernel about links: the bridge, and what one job has on it (ip-link(8), bridge(8), tc-tbf(8)).
//!
//! A function is one request. Not here: in which order (`egress::bridge`, `egress::place`), the packet filter
//! (`egress::rules`).
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcHeader, TcMessage, TcOption};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use super::names::{Hardware, INSIDE};
use super::netlink::Netlink;
use crate::plan::prefix::Prefix;

/// What a new thing is asked for by; one that is there already is an error.
const NEW: u16 = NLM_F_CREATE | NLM_F_EXCL;

/// The number of an interface in its network namespace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link(u32);

impl Netlink {
    pub(super) fn make_bridge(&self, name: &str, hardware: Hardware) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Address(hardware.to_vec()),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
        ];
        self.act(RouteNetlinkMessage::NewLink(message), NEW)
    }

    /// A link with one end, `port`, on the bridge, and the other, [`INSIDE`], in another network namespace. Both are down.
    pub(super) fn make_pair(
        &self,
        port: &str,
        bridge: Link,
        namespace: BorrowedFd<'_>,
        hardware: Hardware,
    ) -> io::Result<()> {
        let mut inside = LinkMessage::default();
        inside.attributes = vec![
            LinkAttribute::IfName(INSIDE.to_owned()),
            LinkAttribute::Address(hardware.to_vec()),
            LinkAttribute::NetNsFd(namespace.as_raw_fd()),
        ];
        let pair = vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(inside)))];
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(port.to_owned()),
            LinkAttribute::Controller(bridge.0),
            LinkAttribute::LinkInfo(pair),
        ];
        self.act(RouteNetlinkMessage::NewLink(message), NEW)
    }

    /// Reaches no other isolated port, gets nothing that is not for it, and learns nothing.
    pub(super) fn isolate(&self, port: Link) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = port.0;
        let flags = vec![
            InfoBridgePort::Isolated(true),
            InfoBridgePort::Learning(false),
            InfoBridgePort::UnicastFlood(false),
            InfoBridgePort::MulticastFlood(false),
            InfoBridgePort::BroadcastFlood(false),
        ];
        message.attributes = vec![LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(flags)),
        ])];
        self.act(RouteNetlinkMessage::NewLink(message), 0)
    }

    pub(super) fn switch_on(&self, link: Link) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = link.0;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.act(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// The interface of this name.
    pub(super) fn link(&self, name: &str) -> io::Result<Link> {
        let found = self.find(RouteNetlinkMessage::GetLink(named(name)))?;
        let number = found.iter().find_map(|message| {
            let RouteNetlinkMessage::NewLink(link) = message else { return None };
            Some(Link(link.header.index))
        });
        number.ok_or_else(|| Errno::ENODEV.into())
    }

    /// Whether there is an interface of this name.
    pub(super) fn has_link(&self, name: &str) -> io::Result<bool> {
        match self.link(name) {
            Ok(_) => Ok(true),
            Err(error) if is(&error, Errno::ENODEV) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the interface of this name; one that is not there is fine. Tells whether it was.
    pub(super) fn remove_link(&self, name: &str) -> io::Result<bool> {
        match self.act(RouteNetlinkMessage::DelLink(named(name)), 0) {
            Err(error) if is(&error, Errno::ENODEV) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// It is there at once, without a search for another that has it (`IFA_F_NODAD`).
    pub(super) fn add_address(&self, link: Link, address: IpAddr, length: u8) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = length;
        message.header.index = link.0;
        if address.is_ipv6() {
            message.header.flags = AddressHeaderFlags::Nodad;
        }
        message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
        self.act(RouteNetlinkMessage::NewAddress(message), NEW)
    }

    /// The way to one host, which is at the other end of the link.
    pub(super) fn add_host_route(&self, link: Link, host: IpAddr) -> io::Result<()> {
        let route = [RouteAttribute::Destination(RouteAddress::from(host)), RouteAttribute::Oif(link.0)];
        self.add_route(host, (Prefix::whole(host).length(), RouteScope::Link), route.to_vec())
    }

    /// The way to everywhere else.
    pub(super) fn add_default_route(&self, link: Link, gateway: IpAddr) -> io::Result<()> {
        let route = [RouteAttribute::Gateway(RouteAddress::from(gateway)), RouteAttribute::Oif(link.0)];
        self.add_route(gateway, (0, RouteScope::Universe), route.to_vec())
    }

    fn add_route(&self, of: IpAddr, (length, scope): (u8, RouteScope), route: Vec<RouteAttribute>) -> io::Result<()> {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: family(of),
            destination_prefix_length: length,
            table: RouteHeader::RT_TABLE_MAIN,
            protocol: RouteProtocol::Static,
            scope,
            kind: RouteType::Unicast,
            ..RouteHeader::default()
        };
        message.attributes = route;
        self.act(RouteNetlinkMessage::NewRoute(message), NEW)
    }

    /// Who has an address, for good: nobody asks, and nobody else can answer.
    pub(super) fn add_neighbour(&self, link: Link, address: IpAddr, hardware: Hardware) -> io::Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.family = family(address);
        message.header.ifindex = link.0;
        message.header.state = NeighbourState::Permanent;
        message.attributes = vec![
            NeighbourAttribute::Destination(address.into()),
            NeighbourAttribute::LinkLayerAddress(hardware.to_vec()),
        ];
        self.act(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Behind which port of its bridge somebody is, for good.
    pub(super) fn add_station(&self, port: Link, hardware: Hardware) -> io::Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        message.header.ifindex = port.0;
        message.header.state = NeighbourState::Noarp;
        message.header.flags = NeighbourFlags::Controller;
        message.attributes = vec![NeighbourAttribute::LinkLayerAddress(hardware.to_vec())];
        self.act(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Lets no more than so many bytes a second out of it.
    pub(super) fn limit(&self, link: Link, rate: u64) -> io::Result<()> {
        let header = TcHeader {
            index: link.0.try_into().map_err(io::Error::other)?,
            handle: TcHandle { major: 1, minor: 0 },
            parent: TcHandle::ROOT,
            ..TcHeader::default()
        };
        let options = token_bucket(rate).into_iter().map(TcOption::Other).collect();
        let attributes = vec![TcAttribute::Kind(String::from("tbf")), TcAttribute::Options(options)];
        self.act(RouteNetlinkMessage::NewQueueDiscipline(TcMessage::from_parts(header, attributes)), NEW)
    }

    /// Every route of the host but those to everywhere, with what it leads to.
    pub(super) fn routes(&self) -> io::Result<Vec<Prefix>> {
        let mut found = Vec::new();
        for version in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = version;
            let listed = self.list(RouteNetlinkMessage::GetRoute(message))?;
            found.extend(listed.iter().filter_map(destination));
        }
        Ok(found)
    }
}

/// Whether the kernel said this.
pub(super) fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error().map(Errno::from_raw) == Some(errno)
}

fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    message
}

fn destination(message: &RouteNetlinkMessage) -> Option<Prefix> {
    let RouteNetlinkMessage::NewRoute(route) = message else { return None };
    let address = route.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Destination(RouteAddress::Inet(address)) = attribute {
            return Some(IpAddr::V4(*address));
        }
        let RouteAttribute::Destination(RouteAddress::Inet6(address)) = attribute else { return None };
        Some(IpAddr::V6(*address))
    })?;
    Prefix::new(address, route.header.destination_prefix_length).ok().filter(|prefix| prefix.length() > 0)
}

const fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

/// What may go out at once although the rate is lower: a link sends segments of up to 64 KiB as one.
const BURST: u32 = 128 << 10;

/// What may wait beside a tenth of a second's worth.
const WAITING: u64 = 256 << 10;

/// The options of a token bucket (`linux/pkt_sched.h`, `struct tc_tbf_qopt`); the crate does not know it.
fn token_bucket(rate: u64) -> [DefaultNla; 3] {
    const PARAMETERS: u16 = 1;
    const RATE: u16 = 4;
    const BURST_BYTES: u16 = 6;
    /// `TC_LINKLAYER_ETHERNET`: the kernel then computes by itself what older tools had to send as a table.
    const ETHERNET: u8 = 1;
    let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let mut parameters = vec![0, ETHERNET, 0, 0, 0, 0, 0, 0];
    parameters.extend(narrow(rate).to_ne_bytes());
    // No peak rate, which would be of the same form.
    parameters.extend([0; 12]);
    // Bytes that wait; then the bucket and the largest packet, which the last option replaces.
    for word in [narrow(WAITING.saturating_add(rate / 10)), 0, 0] {
        parameters.extend(word.to_ne_bytes());
    }
    [
        DefaultNla::new(PARAMETERS, parameters),
        DefaultNla::new(RATE, rate.to_ne_bytes().to_vec()),
        DefaultNla::new(BURST_BYTES, BURST.to_ne_bytes().to_vec()),
    ]
}
