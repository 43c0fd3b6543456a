//! The keeper: the process that makes networks for jobs, so that the spawner's loop waits for none.
//!
//! ```text
//! begin ─> bridge and rules ─> MADE ─> some networks ahead ─> one more for each MORE ... channel closed ─> all removed ─> end
//!                         │                                  ├─ rules gone ─> rules
//!                         │                                  └─ links gone ─> what is remembered of their connections
//!                         └──> FAILED ─> end
//! ```
//!
//! It is a copy of the spawner that has only its end of a channel, the lock of the instance and two capabilities. It ends
//! when the spawner does, however that ends, and holds the lock until it has removed what it made: the next spawner waits.
//! Not here: what is made (`egress::bridge`, `egress::place`), who takes it (`egress`).
use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::bridge;
use super::names::Names;
use super::netlink::Netlink;
use super::place::Places;
use super::watch::Watch;
use crate::base::time::instant;
use crate::plan::network::Policy;
use crate::sys::socket::{self, Received};

/// First byte of what the keeper says: all stands.
pub(super) const MADE: u8 = 1;
/// It cannot; why follows.
pub(super) const FAILED: u8 = 2;
/// One network, whose descriptor lies beside.
pub(super) const NETWORK: u8 = 3;
/// One network could not be made; why follows.
pub(super) const UNABLE: u8 = 4;

/// What the spawner says: one more.
pub(super) const MORE: u8 = 1;

/// Networks that are ready before anybody asks. One is made for each that is taken.
const READY: usize = 4;

/// So long after a link went, connections of those whose links went are forgotten, all at once: the kernel looks through
/// its whole table for it.
const REST: Duration = Duration::from_secs(1);

/// Longest thing that is said.
pub(super) const WORDS: usize = 1024;

/// What it needs: to set networks up, and to make and enter their namespaces (capabilities(7)).
const KEPT: [Capability; 2] = [Capability::CAP_NET_ADMIN, Capability::CAP_SYS_ADMIN];

/// The whole life of the keeper. Gives its exit code.
pub(super) fn keep(channel: &OwnedFd, names: Names, policy: Policy) -> i32 {
    let made = keep_few_capabilities().and_then(|()| Netlink::open()).and_then(|outside| {
        let watch = Watch::open()?;
        let places = Places::new(names, policy, outside)?;
        bridge::make(places.outside(), places.names(), places.policy())?;
        // What an earlier start left that was killed with its keeper. No job has a link yet, and the subnet is ours.
        match places.forget_all() {
            Ok(()) => Ok((places, watch)),
            Err(error) => bridge::remove(places.outside(), places.names()).and(Err(error)),
        }
    });
    let served = match made {
        Ok((mut places, watch)) => {
            let served = serve(channel, &mut places, &watch);
            // Whatever became of the spawner.
            served.and(bridge::remove(places.outside(), places.names())).and(places.forget_all())
        }
        Err(error) => say(channel, FAILED, &error.to_string()),
    };
    match served {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!(%error, "the keeper of networks");
            1
        }
    }
}

/// Comes back when the spawner is gone, or cannot be told anything, or the rules cannot be kept in force.
fn serve(channel: &OwnedFd, places: &mut Places, watch: &Watch) -> io::Result<()> {
    let mut table = watch.table(&places.names().table)?;
    let mut forget_at = None;
    say(channel, MADE, "")?;
    (0..READY).try_for_each(|_| give(channel, places))?;
    loop {
        let waits = |descriptor| PollFd::new(descriptor, PollFlags::POLLIN);
        let mut wait = [waits(channel.as_fd()), waits(watch.rules()), waits(watch.links())];
        let rest = forget_at.map_or(PollTimeout::NONE, |_| PollTimeout::try_from(REST).unwrap_or(PollTimeout::MAX));
        match poll(&mut wait, rest) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if wait.iter().skip(1).any(|changes| changes.any() == Some(true)) {
            watch.drain()?;
            keep_rules(places, watch, &mut table)?;
            forget_at.get_or_insert_with(|| instant() + REST);
        }
        if forget_at.is_some_and(|then| then <= instant()) {
            forget_at = None;
            places.forget_ended()?;
        }
        let mut word = [0];
        match socket::receive::<0>(channel.as_fd(), &mut word)? {
            Received::Packet { .. } if word == [MORE] => give(channel, places)?,
            Received::Packet { .. } | Received::Nothing => {}
            Received::Closed => return Ok(()),
        }
    }
}

/// A firewall that is loaded anew may begin with taking every table away, and go on with an old copy of ours.
fn keep_rules(places: &Places, watch: &Watch, table: &mut Option<Vec<u8>>) -> io::Result<()> {
    let name = &places.names().table;
    if table.is_some() && watch.table(name)? == *table {
        return Ok(());
    }
    bridge::filter_again(places.names(), places.policy())?;
    *table = watch.table(name)?;
    tracing::warn!(table = name, "somebody took the rules of jobs with network away: they are there again");
    Ok(())
}

fn give(channel: &OwnedFd, places: &mut Places) -> io::Result<()> {
    match places.make() {
        Ok(network) => forgive_the_end(socket::send(channel.as_fd(), &[NETWORK], &[network.as_fd()])),
        Err(error) => say(channel, UNABLE, &error.to_string()),
    }
}

fn say(channel: &OwnedFd, kind: u8, text: &str) -> io::Result<()> {
    let words: Vec<u8> = std::iter::once(kind).chain(text.bytes()).take(WORDS).collect();
    forgive_the_end(socket::send(channel.as_fd(), &words, &[]))
}

/// That the spawner is gone is heard when it is listened to next.
fn forgive_the_end(sent: io::Result<()>) -> io::Result<()> {
    match sent {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn keep_few_capabilities() -> io::Result<()> {
    let kept = HashSet::from(KEPT);
    for capability in caps::read(None, CapSet::Bounding).map_err(io::Error::other)?.difference(&kept) {
        caps::drop(None, CapSet::Bounding, *capability).map_err(io::Error::other)?;
    }
    caps::set(None, CapSet::Effective, &kept).map_err(io::Error::other)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(io::Error::other)
}
