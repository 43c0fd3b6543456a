//! Sockets to the kernel's rarer parts, and ways out of the network namespace. The addresses are those of documentation
//! (RFC 5737, RFC 3849): no host has them.
use crate::kernel::call;
use crate::outcome::Outcome;
use crate::{Attempt, attempt};

const STREAM: usize = 1;
const DATAGRAM: usize = 2;
const RAW: usize = 3;
/// SOCK_NONBLOCK: who finds a route is told EINPROGRESS at once.
const AT_ONCE: usize = 0o4000;
const INET: usize = 2;
const INET6: usize = 10;

pub(crate) static ATTEMPTS: [Attempt; 15] = [
    attempt(c"socket-raw", || socket(INET, RAW, 1)),
    attempt(c"socket-icmp", || socket(INET, DATAGRAM, 1)),
    attempt(c"socket-packet", || socket(17, RAW, 0)),
    attempt(c"socket-alg", || socket(38, 5, 0)),
    attempt(c"socket-vsock", || socket(40, STREAM, 0)),
    attempt(c"socket-netfilter", || socket(16, RAW, 12)),
    attempt(c"socket-audit", || socket(16, RAW, 9)),
    attempt(c"socket-bluetooth", || socket(31, RAW, 1)),
    attempt(c"socket-tipc", || socket(30, STREAM, 0)),
    attempt(c"socket-sctp", || socket(INET, STREAM, 132)),
    attempt(c"tcp-ulp", tcp_ulp),
    attempt(c"connect-out", || connect(INET, STREAM, &PEER)),
    attempt(c"send-out", || connect(INET, DATAGRAM, &PEER)),
    attempt(c"connect-out-ipv6", || connect(INET6, STREAM, &PEER6)),
    attempt(c"daemon-socket", || connect(1, STREAM, &DAEMON)),
];

/// 192.0.2.1, port 80.
const PEER: [u8; 16] = [2, 0, 0, 80, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0];
/// 2001:db8::1, port 80.
const PEER6: [u8; 28] = [10, 0, 0, 80, 0, 0, 0, 0, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
/// Where the daemon listens unless told otherwise.
const DAEMON: [u8; 25] = *b"\x01\x00/run/kiln/kiln.sock\0\0\0\0";

fn socket(family: usize, kind: usize, protocol: usize) -> Outcome {
    call(41, [family, kind, protocol, 0, 0, 0]).into()
}

/// A connection that is handed to a module of the kernel.
fn tcp_ulp() -> Outcome {
    let module = *b"tls";
    match call(41, [INET, STREAM, 0, 0, 0, 0]) {
        Ok(socket) => call(54, [socket, 6, 31, module.as_ptr() as usize, module.len(), 0]).into(),
        Err(errno) => Outcome::Untried(errno),
    }
}

/// A host without the family has no way out by it.
fn connect(family: usize, kind: usize, address: &[u8]) -> Outcome {
    match call(41, [family, kind | AT_ONCE, 0, 0, 0, 0]) {
        Ok(socket) => call(42, [socket, address.as_ptr() as usize, address.len(), 0, 0, 0]).into(),
        Err(errno) => Outcome::Refused(errno),
    }
}
