//! The network namespace of a sandbox: a new one, or one in which nobody ever used the network.
//!
//! A new one takes the kernel long to make and longer to take away (docs/PERFORMANCE.md). Programs cannot configure it: it
//! belongs to the initial user namespace. What they leave by using it, as a connection in `TIME_WAIT`, comes with a packet
//! or a socket that the kernel counts; so one whose counters all say what they say in a new one is as a new one. Here is
//! what they say in a new one; init compares (`src/init/build/network.rs`).
use std::path::Path;
use std::{fs, io};

use nix::sched::{CloneFlags, setns, unshare};

use crate::plan::protocol::{COUNTER_OWN, COUNTER_WHOLE};
use crate::sys::network;

/// What the kernel counts for each network namespace (`proc_pid_net(5)`), and how it is compared. A packet on `lo` is one of
/// IPv4 or IPv6, as programs have no other sockets that send any, and each of those counts in `snmp` or `snmp6`. What `dev`
/// and `netstat` count comes with such a packet, so they are not read: they take as long as all the others.
const COUNTERS: [(&str, u32); 7] = [
    ("sockstat", COUNTER_OWN),
    ("sockstat6", COUNTER_WHOLE),
    ("ip6_flowlabel", COUNTER_WHOLE),
    ("rt6_stats", COUNTER_WHOLE),
    ("fib_triestat", COUNTER_WHOLE),
    ("snmp", COUNTER_WHOLE),
    ("snmp6", COUNTER_WHOLE),
];

/// A file of /proc/self/net in a new network namespace.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) name: &'static str,
    pub(super) kind: u32,
    /// Empty where this kernel does not have it.
    pub(super) content: String,
}

/// What the counters of a new network namespace say.
#[derive(Debug)]
pub(super) struct Unused(Vec<Counter>);

impl Unused {
    /// Looks at a new one, and comes back to the one where this process was.
    pub(super) fn of_a_new_one() -> io::Result<Self> {
        let own = fs::File::open("/proc/self/ns/net")?;
        unshare(CloneFlags::CLONE_NEWNET)?;
        let counted = network::loopback_up().and_then(|()| COUNTERS.into_iter().map(read).collect());
        setns(&own, CloneFlags::CLONE_NEWNET)?;
        counted.map(Self)
    }

    /// Each of them.
    pub(super) fn counters(&self) -> &[Counter] {
        &self.0
    }
}

/// A kernel without IPv6 has no counters of it.
fn read((name, kind): (&'static str, u32)) -> io::Result<Counter> {
    let content = match fs::read_to_string(Path::new("/proc/self/net").join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other?,
    };
    Ok(Counter { name, kind, content })
}
