//! The rules of the packet filter, as nft(8) reads them: made of numbers that were checked, never of text that came.
//!
//! ```text
//! from a job ─> pieces: of a datagram ─> dropped
//!            ├> spoofed: another source than its own ─> dropped
//!            ├> own: to another job ─> refused
//!            ├> inbound (to this host): answers, name servers that are here ─> counted; all else ─> refused
//!            └> outward: other jobs, denied ─> refused; name servers, allowed ─> counted;
//!                        private, link-local, metadata, mail ─> refused; else counted
//!            counted: known connections ─> accepted; too many connections ─> refused; else accepted
//! to a job ──> from elsewhere: only what belongs to a connection that it began
//!          └─> outbound (from this host): for many ─> dropped; amid a connection that is not known ─> refused
//! ```
//!
//! What is refused is so whether the connection is known or not: one that was begun while the rules were not in force, or
//! that a helper of the host expects (`nf_conntrack_ftp` and its like), ends here as well. Pieces are dropped before the
//! kernel puts them together: the space for that is the host's, and one job could fill it. The port that a connection has
//! outside is out of [`OUTER_PORTS`], by chance: none of a service of the host, whose callers would else reach the job.
//!
//! What is refused is told at once (a reset, or an error of ICMP), so that nobody waits for a time-out. An isolated port
//! of a bridge reaches no other (bridge(8)): all that a job sends passes these chains. Not here: who puts them in force.
use std::fmt::Write as _;
use std::net::IpAddr;

use super::names::{self, Names, Place};
use crate::plan::network::{MAIL_PORTS, NEVER, PRIVATE, Policy, SPECIAL};
use crate::plan::prefix::{Destination, Prefix};

/// Ports that connections of jobs have on the host's own address. The kernel gives those below to the host's own
/// connections (ip-sysctl, `ip_local_port_range`).
const OUTER_PORTS: &str = "61000-65535";

/// Replaces the table, whatever is in it.
pub(super) fn table(names: &Names, policy: &Policy) -> String {
    let (name, bridge) = (&names.table, &names.bridge);
    let sets = sets(policy);
    let chains = chains(bridge, policy);
    format!("table inet {name}\ndelete table inet {name}\ntable inet {name} {{\n{sets}{chains}}}\n")
}

/// Takes the table away, whether it is there or not.
pub(super) fn no_table(names: &Names) -> String {
    let name = &names.table;
    format!("table inet {name}\ndelete table inet {name}\n")
}

/// The two versions of IP: what each is called, and the type of its addresses.
const VERSIONS: [(&str, &str, &str); 2] = [("4", "ip", "ipv4_addr"), ("6", "ip6", "ipv6_addr")];

fn sets(policy: &Policy) -> String {
    let closed: Vec<Prefix> = NEVER.iter().chain(PRIVATE).chain(SPECIAL).copied().collect();
    let mut text = String::new();
    for (version, _, kind) in VERSIONS {
        let of_version = |prefixes: &[Prefix]| {
            let those = prefixes.iter().filter(|prefix| prefix.is_v4() == (version == "4"));
            those.map(ToString::to_string).collect::<Vec<_>>()
        };
        let subnet = if version == "4" { Some(policy.subnet) } else { policy.subnet6 };
        let source = |place: Place, subnet| format!("{} . {}", hardware(place), place.address(subnet));
        let sources = subnet.map(|subnet| Place::all(policy).map(|place| source(place, subnet)).collect::<Vec<_>>());
        let sources = sources.unwrap_or_default();
        set(&mut text, &format!("sources{version}"), &format!("ether_addr . {kind}"), &sources);
        let ranges = format!("{kind}; flags interval; auto-merge");
        set(&mut text, &format!("denied{version}"), &ranges, &of_version(&policy.deny));
        set(&mut text, &format!("closed{version}"), &ranges, &of_version(&closed));
        let counted = format!("{kind}; size 65535; flags dynamic");
        set(&mut text, &format!("counted{version}"), &counted, &[]);
    }
    text
}

fn set(text: &mut String, name: &str, kind: &str, elements: &[String]) {
    let elements =
        if elements.is_empty() { String::new() } else { format!(" elements = {{ {} }};", elements.join(", ")) };
    line(text, &format!("set {name} {{ type {kind};{elements} }}"));
}

fn chains(bridge: &str, policy: &Policy) -> String {
    let mut text = String::new();
    let mut chain = |name: &str, rules: &[String]| {
        let rules = rules.iter().map(|rule| format!("    {rule}\n")).collect::<Vec<_>>().concat();
        line(&mut text, &format!("chain {name} {{\n{rules}  }}"));
    };
    let begins = |hook: &str, priority: &str| format!("type {hook} priority {priority}; policy accept;");
    let rule = |text: &str| text.to_owned();
    chain(
        "pieces",
        &[
            begins("filter hook prerouting", "-450"),
            format!("iifname \"{bridge}\" ip frag-off & 0x3fff != 0 drop"),
            format!("iifname \"{bridge}\" exthdr frag exists drop"),
        ],
    );
    let known = |(version, ip, _): (&str, &str, &str)| format!("ether saddr . {ip} saddr @sources{version} goto own");
    let spoofed = [begins("filter hook prerouting", "raw"), format!("iifname != \"{bridge}\" accept")];
    chain("spoofed", &[spoofed.as_slice(), &VERSIONS.map(known), &[rule("drop")]].concat());
    // Before there is a route: the kernel would first tell of a shorter one, and then no more for a second (icmp(7)).
    let others = names::subnets(policy).map(|subnet| {
        let ip = if subnet.is_v4() { "ip" } else { "ip6" };
        format!("{ip} daddr {subnet} {ip} daddr != {} goto refused", names::gateway(subnet))
    });
    chain("own", &others.chain([rule("accept")]).collect::<Vec<_>>());
    let mut inbound = vec![
        begins("filter hook input", "filter"),
        format!("iifname != \"{bridge}\" accept"),
        rule("ct direction reply ct state established,related accept"),
    ];
    inbound.extend(policy.dns.iter().map(|server| format!("{} goto counted", to_name_server(*server))));
    inbound.push(rule("goto refused"));
    chain("inbound", &inbound);
    chain(
        "forwarded",
        &[
            begins("filter hook forward", "filter"),
            format!("iifname \"{bridge}\" goto outward"),
            format!("oifname != \"{bridge}\" accept"),
            rule("ct state established,related accept"),
            rule("drop"),
        ],
    );
    chain("outward", &outward(bridge, policy));
    chain(
        "outbound",
        &[
            begins("filter hook output", "filter"),
            format!("oifname != \"{bridge}\" accept"),
            rule("fib daddr type { broadcast, multicast } drop"),
            // The kernel would take it for one that this host began (nf_conntrack-sysctl, `nf_conntrack_tcp_loose`).
            rule("meta l4proto tcp ct state new tcp flags & (fin | syn | rst | ack) != syn goto refused"),
        ],
    );
    let count = |(version, ip, _): (&str, &str, &str)| {
        format!("add @counted{version} {{ {ip} saddr ct count over {} }} goto refused", policy.connections)
    };
    let known = rule("ct state established accept");
    chain("counted", &[&[known], VERSIONS.map(count).as_slice(), &[rule("accept")]].concat());
    chain(
        "refused",
        &[rule("meta l4proto tcp reject with tcp reset"), rule("reject with icmpx type admin-prohibited")],
    );
    let outside = format!("iifname \"{bridge}\" oifname != \"{bridge}\"");
    let masquerade = format!("{outside} meta l4proto {{ tcp, udp }} masquerade to :{OUTER_PORTS} fully-random");
    chain("masqueraded", &[begins("nat hook postrouting", "srcnat"), masquerade]);
    text
}

fn outward(bridge: &str, policy: &Policy) -> Vec<String> {
    let each = |rule: &str| VERSIONS.map(|(version, ip, _)| format!("{ip} daddr @{rule}{version} goto refused"));
    let mut rules = vec![format!("oifname \"{bridge}\" goto refused")];
    rules.extend(each("denied"));
    rules.push(String::from("ct state invalid drop"));
    rules.push(String::from("meta l4proto { icmp, icmpv6 } ct state related accept"));
    rules.push(String::from("meta l4proto != { tcp, udp } goto refused"));
    rules.extend(policy.dns.iter().map(|server| format!("{} goto counted", to_name_server(*server))));
    rules.extend(policy.allow.iter().map(|allowed| format!("{} goto counted", to(*allowed))));
    rules.extend(each("closed"));
    let mail = MAIL_PORTS.map(|port| port.to_string()).join(", ");
    rules.push(format!("tcp dport {{ {mail} }} goto refused"));
    rules.push(String::from("goto counted"));
    rules
}

fn to_name_server(server: IpAddr) -> String {
    to(Destination { prefix: Prefix::whole(server), port: Some(53) })
}

fn to(Destination { prefix, port }: Destination) -> String {
    let ip = if prefix.is_v4() { "ip" } else { "ip6" };
    let port = port.map_or_else(String::new, |port| format!(" th dport {port}"));
    format!("{ip} daddr {prefix} meta l4proto {{ tcp, udp }}{port}")
}

fn hardware(place: Place) -> String {
    place.hardware().map(|byte| format!("{byte:02x}")).join(":")
}

/// Writing to a String does not fail.
fn line(text: &mut String, line: &str) {
    if writeln!(text, "  {line}").is_err() {
        text.clear();
    }
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::base::id::InstanceId;
    use crate::plan::network::test::policy;

    fn rules(policy: &Policy) -> String {
        table(&Names::of(InstanceId(7)), policy)
    }

    #[track_caller]
    fn place_of(text: &str, rule: &str) -> usize {
        text.find(rule).unwrap_or_else(|| panic!("no {rule:?} in {text}"))
    }

    #[test]
    fn what_is_denied_comes_before_what_is_allowed_and_that_before_what_is_closed() {
        let text = rules(&policy());
        let outward = &text[place_of(&text, "chain outward")..];
        let order = [
            "oifname \"kiln-0000000007\" goto refused",
            "ip daddr @denied4 goto refused",
            "ip6 daddr @denied6 goto refused",
            "ct state invalid drop",
            "ct state related accept",
            "meta l4proto != { tcp, udp } goto refused",
            "ip daddr 192.168.1.1 meta l4proto { tcp, udp } th dport 53 goto counted",
            "ip daddr 10.1.0.0/16 meta l4proto { tcp, udp } goto counted",
            "ip6 daddr fd00::1 meta l4proto { tcp, udp } th dport 443 goto counted",
            "ip daddr @closed4 goto refused",
            "tcp dport { 25, 465, 587 } goto refused",
        ];
        let places: Vec<usize> = order.iter().map(|rule| place_of(outward, rule)).collect();
        assert!(places.is_sorted(), "{outward}");
    }

    #[test]
    fn every_closed_range_is_in_a_set_of_its_version() {
        let text = rules(&policy());
        let set = |name: &str| text.lines().find(|line| line.contains(&format!("set {name} "))).unwrap();
        for prefix in NEVER.iter().chain(PRIVATE).chain(SPECIAL) {
            let own = if prefix.is_v4() { set("closed4") } else { set("closed6") };
            assert!(own.contains(&format!(" {prefix}")), "{prefix} in {own}");
        }
        assert!(set("denied4").contains("203.0.113.0/24") && !set("denied6").contains("elements"));
        assert!(set("sources4").contains("02:6b:69:6c:00:00 . 10.213.128.2,"));
    }

    #[test]
    fn without_ipv6_no_source_of_it_is_known() {
        let text = rules(&Policy { subnet6: None, ..policy() });
        assert!(text.contains("set sources6 { type ether_addr . ipv6_addr; }"));
    }
}
