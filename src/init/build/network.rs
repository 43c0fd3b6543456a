//! The network namespace of a sandbox: one in which nobody ever used the network, or a new one; or the one that was made
//! for it, with a link to the outside (`spawner::egress`).
//!
//! What programs leave by using it, as a connection in `TIME_WAIT`, comes with a packet or a socket that the kernel
//! counts; so one whose counters all say what they say in a new one is as a new one. Which are looked at, and why:
//! `spawner::network`.
use super::order::{Counter, Network, Order};
use crate::kernel::{self, Errno, Fd, namespace};
use crate::protocol::{COUNTER_OWN, COUNTER_WHOLE, WORDS_OF_THE_HOST};

/// Longest counter that is compared word by word. A longer one is one that differs.
const WORDS_BYTES: usize = 2048;

pub(super) fn enter(order: &Order<'_>) -> Result<(), Errno> {
    match order.network {
        Network::Given(made) => return namespace::enter(made, namespace::NETWORK),
        Network::Kept(kept) => {
            namespace::enter(kept, namespace::NETWORK)?;
            if is_unused(order)? {
                return Ok(());
            }
        }
        Network::New => {}
    }
    order.made_network.set(true);
    enter_new()
}

/// Any port may be bound in it: it holds nothing but one job (ip(7)).
fn enter_new() -> Result<(), Errno> {
    namespace::unshare(namespace::NETWORK)?;
    namespace::loopback_up()?;
    kernel::write_to(b"/proc/sys/net/ipv4/ip_unprivileged_port_start\0", b"0")
}

fn is_unused(order: &Order<'_>) -> Result<bool, Errno> {
    let folder = kernel::open(b"/proc/self/net\0", kernel::READ)?;
    let mut unused = true;
    let looked = order.mold.counters.each(|counter| {
        unused = unused && says(folder, &counter)?;
        Ok(())
    });
    kernel::close(folder);
    looked.map(|()| unused)
}

/// Whether it says what it says in a new one. A kernel without IPv6 has no counters of it.
fn says(folder: Fd, counter: &Counter) -> Result<bool, Errno> {
    let file = match kernel::open_below(folder, counter.name, kernel::READ) {
        Err(Errno::NO_ENTRY) => return Ok(counter.content.is_empty()),
        other => other?,
    };
    let same = match counter.kind {
        COUNTER_WHOLE => is_the_same(file, counter.content),
        COUNTER_OWN => is_the_same_but_for_the_host(file, counter.content),
        _ => Err(Errno::PROTO),
    };
    kernel::close(file);
    same
}

fn is_the_same(file: Fd, mut expected: &[u8]) -> Result<bool, Errno> {
    let mut buffer = [0_u8; 4096];
    loop {
        let count = kernel::read(file, &mut buffer)?;
        let Some((begin, rest)) = expected.split_at_checked(count) else { return Ok(false) };
        if buffer.get(..count) != Some(begin) {
            return Ok(false);
        }
        if count == 0 {
            return Ok(rest.is_empty());
        }
        expected = rest;
    }
}

fn is_the_same_but_for_the_host(file: Fd, expected: &[u8]) -> Result<bool, Errno> {
    let mut buffer = [0_u8; WORDS_BYTES];
    let mut length = 0;
    loop {
        let room = buffer.get_mut(length..).unwrap_or_default();
        if room.is_empty() {
            return Ok(false);
        }
        match kernel::read(file, room)? {
            0 => break,
            count => length += count,
        }
    }
    let found = buffer.get(..length).unwrap_or_default();
    let (mut found, mut expected) = (words(found), words(expected));
    let mut of_the_host = false;
    loop {
        match (found.next(), expected.next()) {
            (None, None) => return Ok(true),
            (Some(one), Some(other)) if of_the_host || one == other => {
                of_the_host = WORDS_OF_THE_HOST.iter().any(|word| word.as_bytes() == one);
            }
            _ => return Ok(false),
        }
    }
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty())
}
