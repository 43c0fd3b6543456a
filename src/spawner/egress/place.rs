//! The network of one job: a namespace with a link to the bridge, ready before anybody asks for it.
//!
//! It belongs to the initial user namespace, so that no job changes anything in it: addresses, routes, neighbours and the
//! rate are what is set here. With the last process that is in it the kernel takes it away, and its link with it; then what
//! is remembered of its connections is forgotten. Not here: what is filtered (`egress::rules`).
use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};

use super::flows::Flows;
use super::host;
use super::links::{self, Link};
use super::names::{self, INSIDE, Names, Place};
use super::netlink::Netlink;
use crate::plan::network::Policy;
use crate::plan::prefix::Prefix;
use crate::sys::{network, process};

/// What is set in a new namespace before it has a link. Any port may be bound in it, as in one without network; nobody
/// else tells it of ways or routers, and no address but those that it is given comes into being (ip-sysctl).
const SETTINGS: [(&str, &str); 3] = [
    ("ipv4/ip_unprivileged_port_start", "0"),
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv4/conf/default/accept_redirects", "0"),
];
const SETTINGS6: [(&str, &str); 3] = [
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/accept_redirects", "0"),
    ("ipv6/conf/default/addr_gen_mode", "1"),
];

/// Makes such namespaces one after another.
#[derive(Debug)]
pub(super) struct Places {
    names: Names,
    policy: Policy,
    next: Place,
    /// Those that were given and not yet seen to be free again.
    given: BTreeSet<Place>,
    /// In the host's namespace, whichever this process is in.
    outside: Netlink,
    flows: Flows,
    host: File,
}

impl Places {
    /// `outside` was opened in the host's network namespace, in which this process is.
    pub(super) fn new(names: Names, policy: Policy, outside: Netlink) -> io::Result<Self> {
        let host = File::open("/proc/self/ns/net")?;
        Ok(Self { names, policy, next: Place::FIRST, given: BTreeSet::new(), outside, flows: Flows::open()?, host })
    }

    /// What this instance's things are called.
    pub(super) const fn names(&self) -> &Names {
        &self.names
    }

    /// What holds for all of them.
    pub(super) const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// To the host's network namespace.
    pub(super) const fn outside(&self) -> &Netlink {
        &self.outside
    }

    /// Forgets the connections of those that are free again. What could not be done is done when a link changes next, or
    /// before the place is given again. This process is in the host's network namespace.
    pub(super) fn forget_ended(&mut self) -> io::Result<()> {
        let mut ended = BTreeSet::new();
        for place in &self.given {
            if !self.outside.has_link(&self.names.port(*place))? {
                ended.insert(*place);
            }
        }
        if let Err(error) = self.forget(&ended) {
            tracing::warn!(%error, "connections of an ended job are still remembered");
            // Half an answer may be left in the old one.
            self.flows = Flows::open()?;
        }
        Ok(())
    }

    /// Forgets the connections of every job that there was.
    pub(super) fn forget_all(&self) -> io::Result<()> {
        let is_a_jobs = |address| names::subnets(&self.policy).any(|subnet| subnet.contains(Prefix::whole(address)));
        self.flows.forget(is_a_jobs)
    }

    fn forget(&mut self, places: &BTreeSet<Place>) -> io::Result<()> {
        if places.is_empty() {
            return Ok(());
        }
        let of_place =
            |place: &Place| names::subnets(&self.policy).map(|subnet| place.address(subnet)).collect::<Vec<_>>();
        let addresses: HashSet<IpAddr> = places.iter().flat_map(of_place).collect();
        self.flows.forget(|address| addresses.contains(&address))?;
        self.given.retain(|place| !places.contains(place));
        Ok(())
    }

    /// One more. However it ends, this process is in the host's network namespace afterwards, or it ends itself.
    pub(super) fn make(&mut self) -> io::Result<OwnedFd> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let made = self.make_here();
        match setns(&self.host, CloneFlags::CLONE_NEWNET) {
            Ok(()) => made,
            Err(errno) => {
                tracing::error!(%errno, "no way back to the host's network");
                process::leave(1)
            }
        }
    }

    fn make_here(&mut self) -> io::Result<OwnedFd> {
        let namespace = OwnedFd::from(File::open("/proc/self/ns/net")?);
        network::loopback_up()?;
        SETTINGS.iter().try_for_each(|(name, value)| host::set(name, value))?;
        if self.policy.subnet6.is_some() {
            SETTINGS6.iter().try_for_each(|(name, value)| host::set(name, value))?;
        }
        let (place, port) = self.take_place(namespace.as_fd())?;
        let inside = Netlink::open()?;
        let link = inside.link(INSIDE)?;
        self.furnish(&inside, link, place)?;
        self.connect(port, place)?;
        Ok(namespace)
    }

    /// A link at the first place that nobody has. The kernel says which are taken: a port of that name is there as long as
    /// anything of its job is.
    fn take_place(&mut self, namespace: BorrowedFd<'_>) -> io::Result<(Place, Link)> {
        let bridge = self.outside.link(&self.names.bridge)?;
        for _ in 0..Place::count(&self.policy) {
            let place = self.next;
            self.next = place.next(&self.policy);
            let port = self.names.port(place);
            match self.outside.make_pair(&port, bridge, namespace, place.hardware()) {
                Ok(()) => {
                    // It was given before, and became free just now.
                    if self.given.contains(&place) {
                        self.forget(&BTreeSet::from([place]))?;
                    }
                    self.given.insert(place);
                    return Ok((place, self.outside.link(&port)?));
                }
                Err(error) if links::is(&error, Errno::EEXIST) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("every address of network.subnet is in use: make it larger"))
    }

    /// The job's own end: one address of each version, and one way, over the bridge.
    fn furnish(&self, inside: &Netlink, link: Link, place: Place) -> io::Result<()> {
        inside.limit(link, self.policy.bandwidth)?;
        let mut addresses = Vec::new();
        for subnet in names::subnets(&self.policy) {
            let (own, gateway) = (place.address(subnet), names::gateway(subnet));
            inside.add_address(link, own, Prefix::whole(own).length())?;
            addresses.push(gateway);
        }
        inside.switch_on(link)?;
        for gateway in addresses {
            inside.add_host_route(link, gateway)?;
            inside.add_neighbour(link, gateway, names::bridge_hardware())?;
            inside.add_default_route(link, gateway)?;
        }
        Ok(())
    }

    /// The host's end.
    fn connect(&self, port: Link, place: Place) -> io::Result<()> {
        let outside = &self.outside;
        outside.isolate(port)?;
        outside.limit(port, self.policy.bandwidth)?;
        outside.switch_on(port)?;
        outside.add_station(port, place.hardware())?;
        let bridge = outside.link(&self.names.bridge)?;
        names::subnets(&self.policy)
            .try_for_each(|subnet| outside.add_neighbour(bridge, place.address(subnet), place.hardware()))
    }
}
