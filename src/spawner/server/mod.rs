//! The loop: waits for the socket, the sandboxes and the clock, and acts.
//!
//! `requests` is what the server asks, `sandboxes` what becomes of the sandboxes meanwhile, `networks` what the keeper of
//! networks says.
mod networks;
mod requests;
mod sandboxes;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::sys::wait::{Id, WaitPidFlag, waitid};

use super::Host;
use super::connection::{Connection, Lost};
use super::create;
use super::egress::Egress;
use super::life::Life;
use super::number::Number;
use super::sandbox::{Phase, Sandbox};
use super::stock::{Stock, Wish};
use super::tree::NamedTree;
use crate::base::time::{Instant, instant};
use crate::plan::mount::Root;
use crate::wire::reply::Cause;

/// What an event of epoll is about: the place of a sandbox's number, and which descriptor of it.
const SOCKET: u64 = 0;
const TIMER: u64 = 1;
const CHANNEL: u64 = 2;
const PROCESS: u64 = 3;
const MEMORY: u64 = 4;
const SIGNAL: u64 = 5;
const KEEPER: u64 = 6;
const KINDS: u64 = 8;

/// Events that are taken at once: all that there can be, of the channel, the process and the memory of each sandbox and
/// of what is the spawner's own. A limit is looked at when nothing is left unread that came before.
const EVENTS: usize = 3 * 768 + 16;

/// Requests that are taken before the sandboxes are looked at again.
const REQUESTS_AT_ONCE: usize = 32;

/// So long after the last job, what was kept for others is let go.
const REST: Duration = Duration::from_secs(1);

/// Between two looks at helpers that free large file systems.
const HELPERS_PAUSE: Duration = Duration::from_millis(100);

/// How long all sandboxes may take to end when the server is gone.
pub(super) const FAREWELL: Duration = Duration::from_secs(20);

/// The spawner at work.
#[derive(Debug)]
pub(super) struct Server {
    host: Host,
    epoll: Epoll,
    events: Vec<EpollEvent>,
    timer: TimerFd,
    /// SIGTERM: somebody wants the spawner to end although its server lives.
    signals: SignalFd,
    life: Life,
    connection: Connection,
    sandboxes: Vec<Sandbox>,
    trees: Vec<NamedTree>,
    stock: Stock,
    egress: Egress,
    /// When to let go of what is kept, since the last sandbox ended.
    rest: Option<Instant>,
}

impl Server {
    /// `signals` is SIGTERM, as [`terminate_by_descriptor`] has it.
    pub(super) fn new(host: Host, socket: OwnedFd, signals: SignalFd, life: Life) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        let connection = Connection::new(socket);
        epoll.add(connection.socket(), EpollEvent::new(EpollFlags::EPOLLIN, SOCKET))?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNAL))?;
        let (sandboxes, trees, stock) = (Vec::new(), Vec::new(), Stock::new());
        let (events, egress) = (vec![EpollEvent::empty(); EVENTS], Egress::Off);
        Ok(Self { host, epoll, events, timer, signals, life, connection, sandboxes, trees, stock, egress, rest: None })
    }

    /// Serves until the connection ends, then ends every sandbox and removes what this instance has.
    pub(super) fn serve(mut self) -> io::Result<()> {
        let lost = loop {
            if let Err(lost) = self.turn() {
                break lost;
            }
        };
        tracing::info!(reason = %lost, sandboxes = self.sandboxes.len(), "the connection ended; so do its sandboxes");
        let clean = matches!(lost, Lost::Closed | Lost::Terminated);
        self.farewell()?;
        if clean { Ok(()) } else { Err(io::Error::other(lost.to_string())) }
    }

    /// Waits for something and deals with all that has come. While there is nothing else to do, sandboxes are prepared.
    fn turn(&mut self) -> Result<(), Lost> {
        self.set_timer()?;
        let wants = self.may_prepare(instant());
        let timeout = if wants { EpollTimeout::ZERO } else { EpollTimeout::NONE };
        let mut events = std::mem::take(&mut self.events);
        let waited = self.epoll.wait(&mut events, timeout);
        let now = instant();
        let count = match waited {
            // SIGSTOP and SIGCONT. What came meanwhile is seen first, and only then whose time is over.
            Err(Errno::EINTR) => {
                self.events = events;
                return Ok(());
            }
            other => other.map_err(io::Error::from)?,
        };
        if count == 0 && wants {
            self.prepare_one(now);
        }
        let mut socket_event = false;
        for event in events.iter().take(count) {
            let (number, kind) = (event.data() / KINDS, event.data() % KINDS);
            match kind {
                SOCKET => socket_event = true,
                TIMER => self.read_timer()?,
                CHANNEL => drop(self.on_channel(Number(number), now)?),
                PROCESS => self.on_process(Number(number), now)?,
                MEMORY => self.on_memory(Number(number), now),
                SIGNAL => self.on_signal()?,
                KEEPER => self.on_keeper(now)?,
                _ => {}
            }
        }
        self.events = events;
        self.host.disposal.reap();
        self.life.turn(now);
        self.look_at_limits(now)?;
        self.look_at_waiting(now)?;
        self.look_at_rest(now);
        if socket_event { self.on_socket(now) } else { Ok(()) }
    }

    fn on_socket(&mut self, now: Instant) -> Result<(), Lost> {
        self.connection.flush()?;
        for _ in 0..REQUESTS_AT_ONCE {
            match self.connection.receive()? {
                None => break,
                Some((request, descriptors)) => self.handle(request, descriptors, now)?,
            }
        }
        let interest =
            if self.connection.is_behind() { EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
        let mut event = EpollEvent::new(interest, SOCKET);
        self.epoll.modify(self.connection.socket(), &mut event).map_err(|errno| Lost::Socket(errno.into()))
    }

    fn on_signal(&mut self) -> Result<(), Lost> {
        match self.signals.read_signal().map_err(io::Error::from)? {
            Some(_) => Err(Lost::Terminated),
            None => Ok(()),
        }
    }

    fn set_timer(&self) -> io::Result<()> {
        let helpers = self.host.disposal.is_busy().then(|| instant() + HELPERS_PAUSE);
        let stock = self.next_look_at_stock(instant());
        let others = helpers.into_iter().chain(stock).chain(self.rest);
        let others = others.chain(self.life.deadline()).chain(self.egress.deadline());
        match self.sandboxes.iter().filter_map(Sandbox::deadline).chain(others).min() {
            None => self.timer.unset()?,
            Some(deadline) => {
                // A time of zero would switch the timer off (timerfd_settime(2)).
                let left = deadline.saturating_duration_since(instant()).max(Duration::from_micros(1));
                self.timer.set(Expiration::OneShot(TimeSpec::from_duration(left)), TimerSetTimeFlags::empty())?;
            }
        }
        Ok(())
    }

    /// How many sandboxes wait for a job.
    fn standing(&self) -> usize {
        self.sandboxes.iter().filter(|sandbox| sandbox.is_in_stock()).count()
    }

    /// How many of them have this at `/`.
    fn standing_with(&self, root: Root) -> usize {
        self.sandboxes.iter().filter(|sandbox| sandbox.is_in_stock() && sandbox.root == root).count()
    }

    /// Whether one more is wanted, and no job would wait for that: none is about to begin, and, unless few are left, none
    /// has only just begun.
    fn may_prepare(&self, now: Instant) -> bool {
        let standing = self.standing();
        self.stock.wants(standing, now)
            && !self.trees.iter().any(|known| known.prepared.is_some())
            && !self.sandboxes.iter().any(Sandbox::is_beginning)
            && (self.stock.is_low(standing) || self.next_settled(now).is_none())
    }

    fn next_look_at_stock(&self, now: Instant) -> Option<Instant> {
        let standing = self.standing();
        if self.stock.wants(standing, now) { self.next_settled(now) } else { self.stock.deadline(standing, now) }
    }

    /// When the last of the programs that have only just begun is no more likely to end at any moment.
    fn next_settled(&self, now: Instant) -> Option<Instant> {
        self.sandboxes.iter().filter_map(|sandbox| sandbox.settles(now)).max()
    }

    fn look_at_rest(&mut self, now: Instant) {
        if self.rest.is_none_or(|rest| now < rest) {
            return;
        }
        let rests = self.sandboxes.iter().all(Sandbox::is_in_stock);
        self.rest = (!rests).then(|| now + REST);
        if rests {
            self.host.note_left(self.host.layout.trim());
            self.host.blocks.trim();
        }
    }

    /// Makes one for the next job.
    fn prepare_one(&mut self, now: Instant) {
        let wish = self.stock.wish(&|root| self.standing_with(root));
        self.prepare_with(wish.root, now);
    }

    fn prepare_with(&mut self, root: Root, now: Instant) {
        let number = self.stock.number();
        let wish = Wish { root, ..self.stock.wish(&|_root| 0) };
        let made = create::with_work(&self.host, number, &wish, now);
        if let Err(error) = made.and_then(|sandbox| self.take_in(sandbox)) {
            tracing::error!(?error, "no sandbox could be prepared; one is made when a job asks");
            self.stock.pause(now);
        }
    }

    fn read_timer(&self) -> io::Result<()> {
        let mut count = [0_u8; 8];
        match nix::unistd::read(&self.timer, &mut count) {
            Ok(_) | Err(Errno::EAGAIN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Ends everything, without anybody to tell.
    fn farewell(mut self) -> io::Result<()> {
        self.life.stopping();
        for sandbox in &mut self.sandboxes {
            sandboxes::end(sandbox, Cause::Requested);
        }
        let deadline = instant() + FAREWELL;
        for sandbox in &self.sandboxes {
            if !matches!(sandbox.phase, Phase::Gone { .. }) && !has_ended_by(sandbox.pidfd.as_fd(), deadline)? {
                tracing::error!(sandbox = sandbox.number.0, "a process does not end: the next start tries again");
                continue;
            }
            while sandbox.group.remove().is_err() && instant() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        let in_stock = self.sandboxes.iter_mut().filter_map(|sandbox| sandbox.work.take());
        for tree in in_stock.chain(self.trees.drain(..).map(|named| named.tree)) {
            self.host.note_left(tree.remove(&self.host.disposal, &self.host.single));
        }
        if let Err(error) = self.egress.end(self.host.instance, |keeper| has_ended_by(keeper, deadline)) {
            tracing::error!(%error, "the network of jobs is left behind until the next start");
        }
        self.host.layout.remove()
    }
}

/// Waits for the end of a child and reaps it. A process that sleeps in the kernel (proc(5), state D) ends only
/// when what it waits for happens, and holds back the end of its init.
fn has_ended_by(pidfd: BorrowedFd<'_>, deadline: Instant) -> io::Result<bool> {
    let left = deadline.saturating_duration_since(instant());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    let mut ended = [PollFd::new(pidfd, PollFlags::POLLIN)];
    if poll(&mut ended, timeout)? == 0 {
        return Ok(false);
    }
    waitid(Id::PIDFd(pidfd), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG)?;
    Ok(true)
}

/// Init unblocks it again in every sandbox (`src/init/kernel`).
pub(super) fn terminate_by_descriptor() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    set.thread_block()?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}
