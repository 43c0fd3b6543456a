//! What the host itself must have or do so that jobs reach the outside: a free subnet, and forwarding.
//!
//! Not here: what is made for jobs alone (`egress::bridge`).
use std::fs;
use std::io;
use std::path::Path;

use super::names;
use super::netlink::Netlink;
use crate::plan::network::Policy;

const SETTINGS: &str = "/proc/sys/net";
const FORWARDING: &str = "ipv4/ip_forward";
const FORWARDING6: &str = "ipv6/conf/all/forwarding";

/// Marks of a route that the kernel took from a router's advertisement: `RTF_DEFAULT`, `RTF_ADDRCONF`
/// (`linux/ipv6_route.h`).
const ADVERTISED: u32 = 0x0001_0000 | 0x0004_0000;

/// Writes to a setting of the network namespace where this process is.
#[expect(clippy::disallowed_methods, reason = "a kernel file: one write is one command")]
pub(super) fn set(name: &str, value: &str) -> io::Result<()> {
    let named = |error| io::Error::other(format!("{SETTINGS}/{name}: {error}"));
    fs::write(Path::new(SETTINGS).join(name), value).map_err(named)
}

fn is_on(name: &str) -> bool {
    fs::read_to_string(Path::new(SETTINGS).join(name)).is_ok_and(|value| value.trim() == "1")
}

/// A subnet in which the host has something already would cut that off, or lead jobs to it.
pub(super) fn check_subnets(netlink: &Netlink, policy: &Policy) -> io::Result<()> {
    let routes = netlink.routes()?;
    for subnet in names::subnets(policy) {
        if let Some(route) = routes.iter().find(|route| route.overlaps(subnet)) {
            let key = if subnet.is_v4() { "network.subnet" } else { "network.subnet6" };
            let message = format!("{key}: {subnet} is in use: this host has a route to {route}; give another prefix");
            return Err(io::Error::other(message));
        }
    }
    Ok(())
}

/// Whether programs can have IPv6 at all.
pub(super) fn check_version(policy: &Policy) -> io::Result<()> {
    if policy.subnet6.is_some() && !Path::new(SETTINGS).join("ipv6").exists() {
        return Err(io::Error::other("network.subnet6: this kernel has no IPv6: set it to null"));
    }
    Ok(())
}

/// Lets the host pass on what is not for it. It stays so: others may rely on it by then.
pub(super) fn forward(policy: &Policy) -> io::Result<()> {
    if !is_on(FORWARDING) {
        set(FORWARDING, "1")?;
        tracing::info!(setting = "net.ipv4.ip_forward", "switched on, for jobs that use the network");
    }
    if policy.subnet6.is_some() && !is_on(FORWARDING6) {
        keep_advertised_routes()?;
        set(FORWARDING6, "1")?;
        tracing::info!(setting = "net.ipv6.conf.all.forwarding", "switched on, for jobs that use the network");
    }
    Ok(())
}

/// A host that forwards takes no route from a router's advertisement any more (ip-sysctl, `accept_ra`), unless it is told
/// to: it would lose its own way out.
fn keep_advertised_routes() -> io::Result<()> {
    let routes = fs::read_to_string("/proc/net/ipv6_route")?;
    for interface in routes.lines().filter_map(advertised_by) {
        if is_on(&format!("ipv6/conf/{interface}/accept_ra")) {
            let message = format!(
                "network.subnet6: {interface} has its route from a router's advertisement and would lose it with \
                 forwarding: set net.ipv6.conf.{interface}.accept_ra=2, or network.subnet6 to null"
            );
            return Err(io::Error::other(message));
        }
    }
    Ok(())
}

/// The interface of a line of `/proc/net/ipv6_route`, where the route is an advertised one to everywhere.
fn advertised_by(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let interface = words.next_back()?;
    let flags = u32::from_str_radix(words.next_back()?, 16).ok()?;
    (flags & ADVERTISED == ADVERTISED).then_some(interface)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn an_advertised_default_route_is_known_by_its_marks() {
        let line = |flags: &str| format!("0000 00 0000 00 fe80 00000400 00000001 00000000 {flags}     eth1");
        assert_eq!(advertised_by(&line("00450003")), Some("eth1"));
        assert_eq!(advertised_by(&line("00050003")), Some("eth1"));
        assert_eq!(advertised_by(&line("00400003")), None);
        assert_eq!(advertised_by(""), None);
    }
}
