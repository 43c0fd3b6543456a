//! The network of jobs that may use it, as the spawner's loop sees it: a keeper that makes networks, those that are ready,
//! and the jobs that wait for one.
//!
//! ```text
//! Off ──Network──> Kept ──the keeper ended──> Lost
//! ```
//!
//! Nothing here waits: the keeper is a process of its own. A network is used by one sandbox and never again. Not here: what
//! a sandbox without network has (`spawner::network`), what may be reached (`plan::network`).
mod bridge;
mod files;
mod filter;
mod flows;
mod host;
mod keeper;
mod links;
mod names;
mod netfilter;
mod netlink;
mod place;
mod rules;
mod watch;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::Host;
use crate::base::id::{InstanceId, SandboxId};
use crate::base::time::Instant;
use crate::plan::ceiling::Refusal;
use crate::plan::mount::BoxPath;
use crate::plan::network::Policy;
use crate::sys::mount::Attributes;
use crate::sys::process::{self, Helper};
use crate::sys::socket::{self, Received};
use crate::wire::request::Start;
use files::Files;
use keeper::{FAILED, MADE, MORE, NETWORK, UNABLE, WORDS};
use names::Names;
use netlink::Netlink;

/// How long a job waits for a network at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// The network of jobs.
#[derive(Debug)]
pub(super) enum Egress {
    /// Nobody asked for it: no job has any.
    Off,
    /// Jobs can have it, or will once the keeper says so.
    Kept(Kept),
    /// Its keeper has ended.
    Lost,
}

/// What the spawner has of it.
#[derive(Debug)]
pub(super) struct Kept {
    channel: OwnedFd,
    process: OwnedFd,
    files: Files,
    ready: VecDeque<OwnedFd>,
    waiting: VecDeque<Waiting>,
}

/// The way of one sandbox to the outside.
#[derive(Debug)]
pub(super) struct Outside {
    /// Its network namespace.
    pub(super) namespace: OwnedFd,
    /// What it sees in place of files of its image.
    pub(super) mounts: Vec<(OwnedFd, BoxPath, Attributes)>,
}

/// A request that cannot be begun before its network is made.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) start: Box<Start>,
    pub(super) given: Vec<OwnedFd>,
    pub(super) since: Instant,
}

/// What the keeper said.
#[derive(Debug)]
pub(super) enum Told {
    /// Nothing yet.
    Nothing,
    /// Networks can be made.
    Made,
    /// They cannot.
    Failed(String),
    /// Here is one.
    Network(OwnedFd),
    /// One could not be made.
    Unable(String),
    /// It has ended.
    Ended,
}

/// Takes away what a spawner of this instance left that was killed together with its keeper.
pub(super) fn sweep(instance: InstanceId) -> io::Result<()> {
    let (netlink, names) = (Netlink::open()?, Names::of(instance));
    if netlink.has_link(&names.bridge)? {
        tracing::info!(bridge = names.bridge, "an earlier start left its bridge: it is removed");
    }
    bridge::remove(&netlink, &names)
}

impl Egress {
    /// Starts the keeper; what comes of it, it says.
    ///
    /// # Errors
    /// What the policy must not hold, or what the kernel says.
    pub(super) fn begin(&mut self, host: &Host, policy: Policy) -> Result<(), Refusal> {
        let refuse = |what: String| Refusal { what, asked: 0, ceiling: 0 };
        if !matches!(self, Self::Off) {
            return Err(refuse(String::from("a second network policy")));
        }
        if let Some(fault) = policy.faults().into_iter().next() {
            return Err(refuse(format!("{}: {}", fault.key, fault.message)));
        }
        *self =
            Self::Kept(Kept::begin(host, policy).map_err(|error| refuse(format!("a keeper of networks: {error}")))?);
        Ok(())
    }

    /// What is waited for.
    pub(super) fn channel(&self) -> Option<BorrowedFd<'_>> {
        self.kept().map(|kept| kept.channel.as_fd())
    }

    const fn kept(&self) -> Option<&Kept> {
        match self {
            Self::Kept(kept) => Some(kept),
            Self::Off | Self::Lost => None,
        }
    }

    /// A network for one sandbox; nothing where it has to wait for one.
    ///
    /// # Errors
    /// When there will be none.
    pub(super) fn take(&mut self) -> io::Result<Option<Outside>> {
        match self {
            Self::Off => Err(io::Error::other("network access is switched off: set network.egress to true")),
            Self::Lost => Err(io::Error::other("the keeper of networks has ended: restart kiln")),
            // Whoever waits has a claim on what comes next.
            Self::Kept(kept) if !kept.waiting.is_empty() => Ok(None),
            Self::Kept(kept) => match kept.ready.pop_front() {
                Some(namespace) => {
                    kept.order()?;
                    kept.outside(namespace).map(Some)
                }
                None => Ok(None),
            },
        }
    }

    /// Begins it when a network comes.
    pub(super) fn wait(&mut self, waiting: Waiting) -> io::Result<()> {
        let Self::Kept(kept) = self else { return Err(io::Error::other("nobody makes networks")) };
        kept.waiting.push_back(waiting);
        kept.order()
    }

    /// Whoever waits longest.
    pub(super) fn next_waiting(&mut self) -> Option<Waiting> {
        self.kept_mut()?.waiting.pop_front()
    }

    /// A network came: for whoever waits longest, or for the next that asks.
    pub(super) fn give(&mut self, namespace: OwnedFd) -> Option<(Waiting, io::Result<Outside>)> {
        let kept = self.kept_mut()?;
        if let Some(waiting) = kept.waiting.pop_front() {
            return Some((waiting, kept.outside(namespace)));
        }
        kept.ready.push_back(namespace);
        None
    }

    const fn kept_mut(&mut self) -> Option<&mut Kept> {
        match self {
            Self::Kept(kept) => Some(kept),
            Self::Off | Self::Lost => None,
        }
    }

    /// Those that wait.
    pub(super) fn waiting(&self) -> impl Iterator<Item = SandboxId> {
        self.kept().into_iter().flat_map(|kept| kept.waiting.iter().map(|waiting| waiting.start.sandbox))
    }

    /// One of them waits no more. Tells whether it did.
    pub(super) fn forget(&mut self, id: SandboxId) -> bool {
        let Some(kept) = self.kept_mut() else { return false };
        let before = kept.waiting.len();
        kept.waiting.retain(|waiting| waiting.start.sandbox != id);
        kept.waiting.len() < before
    }

    /// When whoever waits longest has waited too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.kept()?.waiting.front().map(|waiting| waiting.since + PATIENCE)
    }

    /// What the keeper says.
    pub(super) fn hear(&self) -> Told {
        self.kept().map_or(Told::Nothing, Kept::hear)
    }

    /// The keeper has ended, or says nothing that can be understood: gives those that wait in vain.
    pub(super) fn lose(&mut self) -> io::Result<VecDeque<Waiting>> {
        match std::mem::replace(self, Self::Lost) {
            Self::Kept(kept) => bury(&kept.process).map(|()| kept.waiting),
            Self::Off | Self::Lost => Ok(VecDeque::new()),
        }
    }

    /// Lets the keeper remove everything. `ended` waits for the end of a process and tells whether it came.
    pub(super) fn end<F>(self, instance: InstanceId, ended: F) -> io::Result<()>
    where
        F: FnOnce(BorrowedFd<'_>) -> io::Result<bool>,
    {
        match self {
            Self::Off => Ok(()),
            Self::Lost => sweep(instance),
            Self::Kept(Kept { channel, process, ready, .. }) => {
                drop((channel, ready));
                if ended(process.as_fd())? {
                    return Ok(());
                }
                bury(&process)?;
                sweep(instance)
            }
        }
    }
}

impl Kept {
    fn begin(host: &Host, policy: Policy) -> io::Result<Self> {
        let files = Files::make(&host.stage, &policy.dns)?;
        let (channel, far) = socket::pair()?;
        let names = Names::of(host.instance);
        let helper = Helper { name: c"kiln-keeper", channel: far.as_fd(), held: host.instance_lock.as_fd() };
        let process = process::start_helper(&host.single, &helper, |channel| keeper::keep(&channel, names, policy))?;
        Ok(Self { channel, process, files, ready: VecDeque::new(), waiting: VecDeque::new() })
    }

    fn outside(&self, namespace: OwnedFd) -> io::Result<Outside> {
        Ok(Outside { namespace, mounts: self.files.mounts()? })
    }

    fn order(&self) -> io::Result<()> {
        socket::send(self.channel.as_fd(), &[MORE], &[])
    }

    fn hear(&self) -> Told {
        let mut words = [0; WORDS];
        match socket::receive::<1>(self.channel.as_fd(), &mut words) {
            Ok(Received::Nothing) => Told::Nothing,
            Ok(Received::Packet { length, descriptors }) => {
                let Some((kind, text)) = words.get(..length).and_then(<[u8]>::split_first) else { return Told::Ended };
                let text = String::from_utf8_lossy(text).into_owned();
                match (*kind, descriptors.into_iter().next()) {
                    (MADE, None) => Told::Made,
                    (FAILED, None) => Told::Failed(text),
                    (UNABLE, None) => Told::Unable(text),
                    (NETWORK, Some(network)) => Told::Network(network),
                    _ => Told::Ended,
                }
            }
            Ok(Received::Closed) | Err(_) => Told::Ended,
        }
    }
}

/// Ends it, whatever it does, and reaps it.
fn bury(process: &OwnedFd) -> io::Result<()> {
    match process::signal(process.as_fd(), Signal::SIGKILL) {
        Err(error) if !process::has_ended(&error) => return Err(error),
        _ => {}
    }
    process::wait(process.as_fd())
}
