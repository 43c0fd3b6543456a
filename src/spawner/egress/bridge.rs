//! What all jobs with network share on the host: the bridge, its addresses, and the rules behind it.
//!
//! ```text
//! make: (earlier remains away) ─> checks ─> bridge ─> rules ─> addresses ─> bridge on ─> forwarding
//! remove:                                     rules ─> bridge
//! ```
//!
//! The bridge comes first and goes last, so that where there is no bridge nothing is left. Until the rules are in force
//! no job has a link. Not here: what one job has (`egress::place`).
use std::io;

use super::names::{self, Names};
use super::netlink::Netlink;
use super::{filter, host, rules};
use crate::plan::network::Policy;

/// Makes it all. Where a step does not work nothing is left.
pub(super) fn make(netlink: &Netlink, names: &Names, policy: &Policy) -> io::Result<()> {
    remove(netlink, names)?;
    host::check_version(policy)?;
    host::check_subnets(netlink, policy)?;
    let made = build(netlink, names, policy);
    if made.is_err()
        && let Err(error) = remove(netlink, names)
    {
        tracing::error!(%error, bridge = names.bridge, "left behind until the next start");
    }
    made
}

fn build(netlink: &Netlink, names: &Names, policy: &Policy) -> io::Result<()> {
    let bridge = &names.bridge;
    netlink.make_bridge(bridge, names::bridge_hardware())?;
    filter::apply(&rules::table(names, policy))?;
    host::set(&format!("ipv4/conf/{bridge}/send_redirects"), "0")?;
    if policy.subnet6.is_some() {
        host::set(&format!("ipv6/conf/{bridge}/accept_ra"), "0")?;
        host::set(&format!("ipv6/conf/{bridge}/addr_gen_mode"), "1")?;
    }
    let link = netlink.link(bridge)?;
    for subnet in names::subnets(policy) {
        netlink.add_address(link, names::gateway(subnet), subnet.length())?;
    }
    netlink.switch_on(link)?;
    host::forward(policy)
}

/// Puts the rules in force again, where somebody took them away. Jobs are not cut off meanwhile: it takes a moment.
pub(super) fn filter_again(names: &Names, policy: &Policy) -> io::Result<()> {
    filter::apply(&rules::table(names, policy))
}

/// Takes away what this instance has; nothing is asked of the host where it has nothing.
pub(super) fn remove(netlink: &Netlink, names: &Names) -> io::Result<()> {
    if !netlink.has_link(&names.bridge)? {
        return Ok(());
    }
    // Where nft is gone meanwhile, the rules stay and name a bridge that is not there.
    let filtered = filter::apply(&rules::no_table(names));
    netlink.remove_link(&names.bridge)?;
    filtered
}
