//! What everything of this instance is called on the host, and which address belongs to which job.
//!
//! A name holds the instance id, so that two daemons do not touch each other's things, and the next start of this one
//! finds what an earlier one left. A port is named by its number: the kernel refuses a name that is taken, and that is how
//! an address is not given twice.
use std::net::IpAddr;

use crate::base::id::InstanceId;
use crate::plan::network::Policy;
use crate::plan::prefix::Prefix;

/// Name of the interface that a job has.
pub(super) const INSIDE: &str = "eth0";

/// Digits of the instance id that fit into the name of an interface, which has 15 characters (`IFNAMSIZ`).
const STEM: u64 = 0xff_ffff_ffff;

/// An Ethernet address.
pub(super) type Hardware = [u8; 6];

/// Locally administered, and then "kil".
const MAKER: [u8; 4] = [0x02, 0x6b, 0x69, 0x6c];

/// Addresses of the subnet that no job has: its own, the bridge's, and the one for all.
const RESERVED: u32 = 3;

/// The address of the bridge is the first after the subnet's own; jobs come behind it.
const BRIDGE: u32 = 1;

/// The names of one instance.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) bridge: String,
    pub(super) table: String,
    stem: String,
}

impl Names {
    pub(super) fn of(instance: InstanceId) -> Self {
        let stem = format!("{:010x}", instance.0 & STEM);
        Self { bridge: format!("kiln-{stem}"), table: format!("kiln-{instance}"), stem }
    }

    /// The end of a job's link that lies on the bridge.
    pub(super) fn port(&self, place: Place) -> String {
        format!("k{}{:04x}", self.stem, place.0)
    }
}

/// Where on the bridge a job is: its number decides its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u16);

impl Place {
    pub(super) const FIRST: Self = Self(0);

    /// How many there are in a subnet.
    pub(super) fn count(policy: &Policy) -> u16 {
        let addresses = 1_u32.checked_shl(32_u32.saturating_sub(policy.subnet.length().into())).unwrap_or(0);
        u16::try_from(addresses.saturating_sub(RESERVED)).unwrap_or(u16::MAX - 1)
    }

    /// All of them.
    pub(super) fn all(policy: &Policy) -> impl Iterator<Item = Self> {
        (0..Self::count(policy)).map(Self)
    }

    /// The next one; after the last the first again.
    pub(super) fn next(self, policy: &Policy) -> Self {
        let next = self.0.saturating_add(1);
        if next < Self::count(policy) { Self(next) } else { Self::FIRST }
    }

    pub(super) const fn hardware(self) -> Hardware {
        let [a, b, c, d] = MAKER;
        let [high, low] = self.0.to_be_bytes();
        [a, b, c, d, high, low]
    }

    /// Its address in a subnet.
    pub(super) fn address(self, subnet: Prefix) -> IpAddr {
        subnet.nth(BRIDGE.saturating_add(1).saturating_add(self.0.into()))
    }
}

/// The bridge's address in a subnet: what jobs send to first.
pub(super) fn gateway(subnet: Prefix) -> IpAddr {
    subnet.nth(BRIDGE)
}

/// The bridge's own.
pub(super) const fn bridge_hardware() -> Hardware {
    Place(u16::MAX).hardware()
}

/// The subnets of a policy.
pub(super) fn subnets(policy: &Policy) -> impl Iterator<Item = Prefix> {
    [Some(policy.subnet), policy.subnet6].into_iter().flatten()
}

#[cfg(test)]
mod test {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plan::network::test::policy;

    #[test]
    fn names_of_two_instances_differ_and_fit() {
        let (one, other) = (Names::of(InstanceId(0x0123_4567_89ab_cdef)), Names::of(InstanceId(7)));
        assert_eq!((one.bridge.as_str(), one.port(Place(0x3ff)).as_str()), ("kiln-6789abcdef", "k6789abcdef03ff"));
        assert_eq!(one.table, "kiln-0123456789abcdef");
        assert!(one.bridge != other.bridge && one.port(Place(1)) != other.port(Place(1)));
        assert!(one.bridge.len() <= 15 && one.port(Place(u16::MAX)).len() <= 15);
    }

    #[test]
    fn every_place_has_addresses_of_its_own_within_the_subnets() {
        let policy = policy();
        let places: Vec<Place> = Place::all(&policy).collect();
        assert_eq!(places.len(), 4093);
        for subnet in subnets(&policy) {
            let addresses: BTreeSet<IpAddr> = places.iter().map(|place| place.address(subnet)).collect();
            assert_eq!(addresses.len(), places.len());
            assert!(addresses.iter().all(|address| subnet.contains(Prefix::whole(*address))));
            assert!(!addresses.contains(&gateway(subnet)) && !addresses.contains(&subnet.address()));
        }
        let last = places[places.len() - 1];
        assert_eq!(last.address(policy.subnet).to_string(), "10.213.143.254");
        assert_eq!((last.next(&policy), Place::FIRST.next(&policy)), (Place::FIRST, Place(1)));
        let hardware: BTreeSet<Hardware> = places.iter().map(|place| place.hardware()).collect();
        assert!(hardware.len() == places.len() && !hardware.contains(&bridge_hardware()));
    }
}
