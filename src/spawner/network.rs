//! The network namespace of a sandbox: a new one, or one in which nobody ever used the network.
//!
//! A new one takes the kernel long to make and longer to take away (docs/PERFORMANCE.md). Programs cannot configure it: it
//! belongs to the initial user namespace. What they leave by using it, as a connection in `TIME_WAIT`, comes with a packet
//! or a socket that the kernel counts; so one whose counters all say what they say in a new one is as a new one.
use std::fs;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;

use nix::sched::{CloneFlags, setns, unshare};

use crate::sys::network;

/// What the kernel counts for each network namespace (`proc_pid_net(5)`).
const COUNTERS: [&str; 9] =
    ["dev", "sockstat", "sockstat6", "ip6_flowlabel", "rt6_stats", "fib_triestat", "snmp", "snmp6", "netstat"];

/// Words of sockstat that count for the whole host; a number follows each.
const OF_THE_HOST: [&str; 3] = ["orphan", "alloc", "mem"];

/// What the counters of a new network namespace say.
#[derive(Debug)]
pub(super) struct Unused(Vec<String>);

impl Unused {
    /// Looks at a new one, and comes back to the one where this process was.
    pub(super) fn of_a_new_one() -> io::Result<Self> {
        let own = fs::File::open("/proc/self/ns/net")?;
        enter_new()?;
        let counted = counted();
        setns(&own, CloneFlags::CLONE_NEWNET)?;
        counted.map(Self)
    }

    /// Enters `kept` if nobody ever used it, and a new one else.
    pub(super) fn enter(&self, kept: Option<BorrowedFd<'_>>) -> io::Result<()> {
        if let Some(kept) = kept {
            setns(kept, CloneFlags::CLONE_NEWNET)?;
            if counted()? == self.0 {
                return Ok(());
            }
        }
        enter_new()
    }
}

/// Any port may be bound in it: it holds nothing but one job (ip(7)).
fn enter_new() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    network::loopback_up()?;
    let ports = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    fs::OpenOptions::new().write(true).open(ports)?.write_all(b"0")
}

fn counted() -> io::Result<Vec<String>> {
    COUNTERS.iter().map(|name| read(name)).collect()
}

/// A kernel without IPv6 has no counters of it.
fn read(name: &str) -> io::Result<String> {
    let text = match fs::read_to_string(Path::new("/proc/self/net").join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        other => other?,
    };
    Ok(if name == "sockstat" { of_the_namespace(&text) } else { text })
}

/// Without what counts for the whole host.
fn of_the_namespace(text: &str) -> String {
    let mut words = text.split_whitespace();
    let mut own = Vec::new();
    while let Some(word) = words.next() {
        if OF_THE_HOST.contains(&word) {
            words.next();
        } else {
            own.push(word);
        }
    }
    own.join(" ")
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn what_counts_for_the_host_is_left_out() {
        let text =
            "sockets: used 3\nTCP: inuse 0 orphan 0 tw 1 alloc 9 mem 169\nUDP: inuse 2 mem 0\nFRAG: inuse 0 memory 0\n";
        let own = "sockets: used 3 TCP: inuse 0 tw 1 UDP: inuse 2 FRAG: inuse 0 memory 0";
        assert_eq!(of_the_namespace(text), own);
    }
}
