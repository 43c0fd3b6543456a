//! What jobs that may use the network can reach, and how much of it they get.
//!
//! Addresses, lengths, ports and numbers only: the root side makes its own rules of them (`spawner::egress`), and checks
//! them here again, whoever sent them. What is closed whatever anybody says is [`NEVER`]. Not here: the text forms
//! (`plan::prefix`), the rules themselves.
use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::plan::prefix::{Destination, Prefix};

/// What can never be opened: this host, links, metadata services, many hosts at once, and IPv4 in disguise.
pub const NEVER: &[Prefix] = &[
    Prefix::v4([0, 0, 0, 0], 8),
    Prefix::v4([127, 0, 0, 0], 8),
    Prefix::v4([169, 254, 0, 0], 16),
    Prefix::v4([192, 0, 0, 0], 24),
    Prefix::v4([224, 0, 0, 0], 4),
    Prefix::v4([240, 0, 0, 0], 4),
    Prefix::v6(0, 96),
    Prefix::v6(0xffff << 32, 96),
    Prefix::v6(0x0064_ff9b << 96, 96),
    Prefix::v6(0x0064_ff9b_0001 << 80, 48),
    Prefix::v6(0x2002 << 112, 16),
    Prefix::v6(0xfe80 << 112, 10),
    Prefix::v6(0xff00 << 112, 8),
];

/// What is closed unless the operator opens a part of it: networks that are somebody's own (RFC 1918, RFC 4193), shared
/// (RFC 6598) or for measurements (RFC 2544).
pub const PRIVATE: &[Prefix] = &[
    Prefix::v4([10, 0, 0, 0], 8),
    Prefix::v4([100, 64, 0, 0], 10),
    Prefix::v4([172, 16, 0, 0], 12),
    Prefix::v4([192, 168, 0, 0], 16),
    Prefix::v4([198, 18, 0, 0], 15),
    Prefix::v6(0xfc00 << 112, 7),
    Prefix::v6(0xfec0 << 112, 10),
];

/// What else is no public address, and is closed unless the operator opens a part of it: a host below the virtual machines
/// of a cloud (`WireServer` of Azure), tunnels (RFC 4380), and all of IPv6 but what is given out to be public
/// (RFC 4291, section 2.4; IANA, "IPv6 Global Unicast Address Assignments").
pub const SPECIAL: &[Prefix] = &[
    Prefix::v4([168, 63, 129, 16], 32),
    Prefix::v6(0x2001_0000 << 96, 32),
    Prefix::v6(0, 3),
    Prefix::v6(0x4000 << 112, 2),
    Prefix::v6(0x8000 << 112, 1),
];

/// Ports on which mail is handed in, which an abuser is after first.
pub const MAIL_PORTS: [u16; 3] = [25, 465, 587];

/// Lengths of `subnet`: from sixty to sixteen thousand jobs.
const SUBNET_LENGTHS: RangeInclusive<u8> = 18..=26;
const SUBNET6_LENGTH: u8 = 64;

/// Name servers that resolv.conf(5) takes (`MAXNS`).
pub const NAME_SERVERS: usize = 3;
/// Entries of `allow` and of `deny`.
pub const ENTRIES: usize = 256;
/// Bytes a second.
pub const BANDWIDTH: RangeInclusive<u64> = 16 << 10..=10 << 30;
/// Connections of a job at a time.
pub const CONNECTIONS: RangeInclusive<u32> = 1..=65_535;

/// The whole of it. One holds for all jobs of a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Where jobs have their IPv4 addresses.
    pub subnet: Prefix,
    /// Where they have their IPv6 addresses, if they have any.
    pub subnet6: Option<Prefix>,
    /// Name servers that they ask.
    pub dns: Vec<IpAddr>,
    /// What they reach although it is private, or a port of mail.
    pub allow: Vec<Destination>,
    /// What they do not reach, whatever else is said.
    pub deny: Vec<Prefix>,
    /// Bytes a second of one job, in each direction.
    pub bandwidth: u64,
    /// Connections of one job at a time.
    pub connections: u32,
}

/// Something in a policy that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFault {
    /// The setting.
    pub key: &'static str,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Policy {
    /// All that must not be.
    pub fn faults(&self) -> Vec<PolicyFault> {
        let mut faults = Faults(Vec::new());
        self.check_subnets(&mut faults);
        self.check_name_servers(&mut faults);
        self.check_lists(&mut faults);
        faults.within("network.bandwidth", &self.bandwidth, &BANDWIDTH);
        faults.within("network.connections", &self.connections, &CONNECTIONS);
        faults.0
    }

    fn check_subnets(&self, faults: &mut Faults) {
        let own = |prefix: Prefix| PRIVATE.iter().any(|private| private.contains(prefix));
        let subnet = self.subnet;
        if !subnet.is_v4() || !SUBNET_LENGTHS.contains(&subnet.length()) || !own(subnet) {
            let (least, most) = (SUBNET_LENGTHS.start(), SUBNET_LENGTHS.end());
            let message =
                format!("{subnet} is no IPv4 prefix of a private network with a length from {least} to {most}");
            faults.add("network.subnet", message);
        }
        if let Some(subnet6) = self.subnet6
            && (subnet6.is_v4() || subnet6.length() != SUBNET6_LENGTH || !own(subnet6))
        {
            let message = format!("{subnet6} is no IPv6 prefix of length {SUBNET6_LENGTH} below fc00::/7");
            faults.add("network.subnet6", message);
        }
    }

    fn check_name_servers(&self, faults: &mut Faults) {
        if self.dns.is_empty() || self.dns.len() > NAME_SERVERS {
            let message = format!("{} addresses are too few or too many: give 1 to {NAME_SERVERS}", self.dns.len());
            faults.add("network.dns", message);
        }
        for server in &self.dns {
            let whole = Prefix::whole(*server);
            if NEVER.iter().any(|never| never.contains(whole)) || self.is_of_jobs(whole) {
                faults.add("network.dns", format!("{server} is no address that jobs could reach: give another"));
            } else if server.is_ipv6() && self.subnet6.is_none() {
                faults.add("network.dns", format!("{server} is IPv6, which jobs have not: set network.subnet6"));
            }
        }
    }

    fn check_lists(&self, faults: &mut Faults) {
        for (key, count) in [("network.allow", self.allow.len()), ("network.deny", self.deny.len())] {
            if count > ENTRIES {
                faults.add(key, format!("{count} entries are too many: {ENTRIES} are taken"));
            }
        }
        for Destination { prefix, .. } in &self.allow {
            if let Some(never) = NEVER.iter().find(|never| never.overlaps(*prefix)) {
                faults.add("network.allow", format!("{prefix} has addresses of {never}, which cannot be opened"));
            } else if self.is_of_jobs(*prefix) {
                faults.add("network.allow", format!("{prefix} has addresses of jobs, which never reach one another"));
            }
        }
    }

    fn is_of_jobs(&self, prefix: Prefix) -> bool {
        self.subnet.overlaps(prefix) || self.subnet6.is_some_and(|subnet6| subnet6.overlaps(prefix))
    }
}

/// Collects them.
struct Faults(Vec<PolicyFault>);

impl Faults {
    fn add(&mut self, key: &'static str, message: String) {
        self.0.push(PolicyFault { key, message });
    }

    fn within<T: PartialOrd + std::fmt::Display>(&mut self, key: &'static str, value: &T, range: &RangeInclusive<T>) {
        if !range.contains(value) {
            self.add(key, format!("{value} is not from {} to {}", range.start(), range.end()));
        }
    }
}

#[cfg(test)]
pub(crate) mod test {
    use super::*;

    pub(crate) fn policy() -> Policy {
        Policy {
            subnet: "10.213.128.0/20".parse().unwrap(),
            subnet6: Some("fd6b:696c:6e00::/64".parse().unwrap()),
            dns: vec!["192.168.1.1".parse().unwrap(), "2001:db8::53".parse().unwrap()],
            allow: vec!["10.1.0.0/16".parse().unwrap(), "[fd00::1]:443".parse().unwrap()],
            deny: vec!["203.0.113.0/24".parse().unwrap()],
            bandwidth: 1 << 20,
            connections: 64,
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Policy), expected: &[(&str, &str)]) {
        let mut policy = policy();
        change(&mut policy);
        let faults = policy.faults();
        assert_eq!(faults.len(), expected.len(), "{faults:?}");
        for (fault, (key, message)) in faults.iter().zip(expected) {
            assert_eq!(fault.key, *key);
            assert!(fault.message.contains(message), "{fault:?}");
        }
    }

    #[test]
    fn what_can_be_kept_has_no_fault() {
        check(|_| {}, &[]);
        check(|policy| policy.allow = vec!["203.0.113.7:25".parse().unwrap()], &[]);
    }

    #[test]
    fn jobs_live_in_a_private_network_of_a_size_that_is_known() {
        for subnet in ["10.0.0.0/8", "10.0.0.0/27", "203.0.112.0/20", "127.0.0.0/20", "fd00::/64"] {
            let change = |policy: &mut Policy| {
                policy.subnet = subnet.parse().unwrap();
                policy.allow.clear();
            };
            check(change, &[("network.subnet", "no IPv4 prefix")]);
        }
        for subnet in ["fd00::/48", "2001:db8::/64", "10.0.0.0/20"] {
            let change = |policy: &mut Policy| {
                policy.subnet6 = Some(subnet.parse().unwrap());
                policy.allow.clear();
                policy.dns.truncate(1);
            };
            check(change, &[("network.subnet6", "no IPv6 prefix")]);
        }
    }

    #[test]
    fn what_never_opens_is_not_allowed_whatever_is_around_it() {
        for prefix in ["0.0.0.0/0", "169.254.169.254", "127.0.0.1:80", "::/0", "fe80::/64", "224.0.0.1", "::ffff:a00:1"]
        {
            let allow = vec![prefix.parse().unwrap()];
            check(|policy| policy.allow = allow, &[("network.allow", "cannot be opened")]);
        }
        for prefix in ["10.213.130.0/24", "10.0.0.0/8", "fd6b:696c:6e00::7"] {
            let allow = vec![prefix.parse().unwrap()];
            check(|policy| policy.allow = allow, &[("network.allow", "never reach one another")]);
        }
    }

    #[test]
    fn name_servers_are_few_and_can_be_reached() {
        let with = |servers: &[&str]| servers.iter().map(|server| server.parse().unwrap()).collect::<Vec<IpAddr>>();
        check(|policy| policy.dns.clear(), &[("network.dns", "too few")]);
        check(|policy| policy.dns = with(&["9.9.9.9"; 4]), &[("network.dns", "too many")]);
        check(|policy| policy.dns = with(&["127.0.0.53"]), &[("network.dns", "127.0.0.53")]);
        check(|policy| policy.dns = with(&["10.213.128.1"]), &[("network.dns", "10.213.128.1")]);
        check(|policy| policy.subnet6 = None, &[("network.dns", "is IPv6")]);
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let all = |policy: &mut Policy| {
            policy.subnet = "10.0.0.0/8".parse().unwrap();
            policy.dns.clear();
            policy.allow = vec!["127.0.0.1".parse().unwrap(); 257];
            policy.deny = vec!["127.0.0.1".parse().unwrap(); 257];
            policy.bandwidth = 1;
            policy.connections = 0;
        };
        let mut policy = policy();
        all(&mut policy);
        let mut keys: Vec<&str> = policy.faults().iter().map(|fault| fault.key).collect();
        keys.dedup();
        let lists = ["network.allow", "network.deny", "network.allow"];
        let expected = [&["network.subnet", "network.dns"], &lists[..], &["network.bandwidth", "network.connections"]];
        assert_eq!(keys, expected.concat());
    }
}
