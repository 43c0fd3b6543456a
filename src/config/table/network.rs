//! The settings of `network`. What they must not hold is in `plan::network`, where the root side looks as well.
use crate::config::kind::{Hosts, Kind, Presence};
use crate::config::table::{Key, count, row};
use crate::plan::network::{BANDWIDTH, CONNECTIONS};

pub(super) const ROWS: &[Key] = &[
    row(
        "network.egress",
        Kind::Switch,
        "false",
        "Whether a job gets the network that it asks for. It needs nft, and switches the host's forwarding on.",
    ),
    row(
        "network.subnet",
        Kind::Prefix(Presence::Required),
        "10.213.128.0/20",
        "Where jobs have their IPv4 addresses: a private prefix of length 18 to 26 that nothing else uses. It bounds \
         how many jobs have network at a time.",
    )
    .with("network.egress"),
    row(
        "network.subnet6",
        Kind::Prefix(Presence::Optional),
        "\"fd6b:696c:6e00::/64\"",
        "Where jobs have their IPv6 addresses: a prefix of length 64 below fc00::/7; null: they have none.",
    )
    .with("network.egress"),
    row(
        "network.dns",
        Kind::Hosts(Hosts::Addresses),
        "[]",
        "The name servers that jobs ask, at most 3. None: those of this host's /etc/resolv.conf.",
    )
    .with("network.egress"),
    row(
        "network.allow",
        Kind::Hosts(Hosts::Destinations),
        "[]",
        "What jobs reach although it is in a private network or a port of mail.",
    )
    .with("network.egress"),
    row(
        "network.deny",
        Kind::Hosts(Hosts::Prefixes),
        "[]",
        "What jobs do not reach although it is public. It comes before network.allow.",
    )
    .with("network.egress"),
    row(
        "network.bandwidth",
        Kind::Bytes { least: *BANDWIDTH.start(), most: *BANDWIDTH.end() },
        "16MiB",
        "What one job sends in a second at most, and what it receives.",
    )
    .with("network.egress"),
    row(
        "network.connections",
        count("connections", *CONNECTIONS.start(), *CONNECTIONS.end()),
        "256",
        "Connections of one job at a time, of each version of IP.",
    )
    .with("network.egress"),
];
