//! The loop: waits for the socket, the sandboxes and the clock, and acts.
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::sys::wait::{Id, WaitPidFlag, waitid};

use super::Host;
use super::child;
use super::connection::{Connection, Lost};
use super::create::{self, CreateError};
use super::sandbox::{Phase, Sandbox};
use super::tree::{Free, Size, Tree};
use crate::base::id::{ProcessId, SandboxId, TreeId};
use crate::base::time::{Instant, instant, micros};
use crate::plan::ceiling::{self, Refusal};
use crate::plan::protocol::{EXITED, FAILED, MESSAGE_BYTES, STARTED, step};
use crate::sys::process;
use crate::sys::socket::{self, Received};
use crate::wire::reply::{Cause, Counters, Reply, START_PROGRAM};
use crate::wire::request::{Request, Start};

/// What an event of epoll is about: the place of a sandbox's number, and which descriptor of it.
const SOCKET: u64 = 0;
const TIMER: u64 = 1;
const CHANNEL: u64 = 2;
const PROCESS: u64 = 3;
const MEMORY: u64 = 4;
const SIGNAL: u64 = 5;
const KINDS: u64 = 8;

/// The highest number of a sandbox that leaves room for the kind of an event.
const LAST_NUMBER: u64 = u64::MAX / KINDS - 1;

/// Events that are taken at once.
const EVENTS: usize = 64;

/// Requests that are taken before the sandboxes are looked at again.
const REQUESTS_AT_ONCE: usize = 32;

/// How long all sandboxes may take to end when the server is gone.
const FAREWELL: Duration = Duration::from_secs(20);

/// Whether a message was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Something,
    Nothing,
}

/// The spawner at work.
#[derive(Debug)]
pub(super) struct Server {
    host: Host,
    epoll: Epoll,
    timer: TimerFd,
    /// SIGTERM: somebody wants the spawner to end although its server lives.
    signals: SignalFd,
    connection: Connection,
    sandboxes: Vec<Sandbox>,
    trees: Vec<(TreeId, Tree)>,
}

impl Server {
    pub(super) fn new(host: Host, socket: OwnedFd) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        let signals = terminate_by_descriptor()?;
        let connection = Connection::new(socket);
        epoll.add(connection.socket(), EpollEvent::new(EpollFlags::EPOLLIN, SOCKET))?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNAL))?;
        Ok(Self { host, epoll, timer, signals, connection, sandboxes: Vec::new(), trees: Vec::new() })
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

    /// Waits for something and deals with all that has come.
    fn turn(&mut self) -> Result<(), Lost> {
        self.set_timer()?;
        let mut events = [EpollEvent::empty(); EVENTS];
        let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => 0,
            other => other.map_err(io::Error::from)?,
        };
        let now = instant();
        let mut socket_event = false;
        for event in events.iter().take(count) {
            let (number, kind) = (event.data() / KINDS, event.data() % KINDS);
            match kind {
                SOCKET => socket_event = true,
                TIMER => self.read_timer()?,
                CHANNEL => drop(self.on_channel(SandboxId(number), now)?),
                PROCESS => self.on_process(SandboxId(number), now)?,
                MEMORY => self.on_memory(SandboxId(number), now),
                SIGNAL => self.on_signal()?,
                _ => {}
            }
        }
        self.look_at_limits(now)?;
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

    /// Every request has its arm: what is not built is refused by name.
    fn handle(&mut self, request: Request, descriptors: Vec<OwnedFd>, now: Instant) -> Result<(), Lost> {
        let (sandbox, name) = match request {
            Request::Hello => {
                let cgroups = self.host.layout.name().to_owned();
                return self.connection.send(&Reply::Welcome { cgroups });
            }
            Request::MakeTree { tree, bytes, inodes } => return self.make_tree(tree, Size { bytes, inodes }),
            Request::DropTree { tree } => {
                self.drop_tree(tree);
                return Ok(());
            }
            Request::Start(start) => return self.start(&start, descriptors, now),
            Request::End { sandbox } => {
                self.end(sandbox, Cause::Requested);
                return Ok(());
            }
            Request::List => (SandboxId(0), "List"),
            Request::Exec { sandbox, .. } => (sandbox, "Exec"),
            Request::Signal { sandbox, .. } => (sandbox, "Signal"),
            Request::Resize { sandbox, .. } => (sandbox, "Resize"),
            Request::CloseStdin { sandbox, .. } => (sandbox, "CloseStdin"),
            Request::Freeze { sandbox, .. } => (sandbox, "Freeze"),
            Request::Update { sandbox } => (sandbox, "Update"),
            Request::Adopt { sandbox } => (sandbox, "Adopt"),
        };
        self.connection.send(&Reply::Refused { sandbox, refusal: Refusal::not_built(name) })
    }

    fn make_tree(&mut self, id: TreeId, size: Size) -> Result<(), Lost> {
        let reply = match self.try_make_tree(id, size) {
            Ok(tree) => {
                self.trees.push((id, tree));
                Reply::TreeMade { tree: id }
            }
            Err(refusal) => Reply::TreeRefused { tree: id, refusal },
        };
        self.connection.send(&reply)
    }

    fn try_make_tree(&self, id: TreeId, size: Size) -> Result<Tree, Refusal> {
        let refuse = |what: &str, asked, ceiling| Refusal { what: what.to_owned(), asked, ceiling };
        if self.trees.iter().any(|(known, _)| *known == id) {
            return Err(refuse("a tree with a name that is in use", id.0, 0));
        }
        if size.bytes == 0 || size.bytes > ceiling::JOB.temporary {
            return Err(refuse("tree (bytes)", size.bytes, ceiling::JOB.temporary));
        }
        if size.inodes == 0 || size.inodes > ceiling::JOB.temporary_inodes {
            return Err(refuse("tree (inodes)", size.inodes, ceiling::JOB.temporary_inodes));
        }
        let most = u64::from(super::identity::BLOCKS);
        let lease = self.host.blocks.take().ok_or_else(|| refuse("jobs alive at once", most + 1, most))?;
        Tree::create(&self.host.stage, id, size, lease)
            .map_err(|error| refuse(&format!("a tree that cannot be made: {error}"), size.bytes, 0))
    }

    fn drop_tree(&mut self, id: TreeId) {
        if let Some(index) = self.trees.iter().position(|(known, _)| *known == id) {
            let (_, tree) = self.trees.swap_remove(index);
            self.host.note_left(tree.remove());
        }
    }

    fn start(&mut self, start: &Start, descriptors: Vec<OwnedFd>, now: Instant) -> Result<(), Lost> {
        let id = start.sandbox;
        if let Err(refusal) = self.check_place(id) {
            return self.connection.send(&Reply::Refused { sandbox: id, refusal });
        }
        match create::create(&self.host, &self.trees, start, descriptors, now) {
            Ok(sandbox) => {
                self.watch(&sandbox).map_err(Lost::Socket)?;
                self.sandboxes.push(sandbox);
                Ok(())
            }
            Err(CreateError::Refused(refusal)) => self.connection.send(&Reply::Refused { sandbox: id, refusal }),
            Err(CreateError::Step { name, source }) => {
                tracing::error!(sandbox = id.0, step = name, error = %source, "a sandbox could not be made");
                let (step, errno) = match source.raw_os_error() {
                    Some(errno) => (name.to_owned(), errno.cast_unsigned()),
                    None => (format!("{name}: {source}"), 0),
                };
                self.connection.send(&Reply::Failed { sandbox: id, step, errno })?;
                let (cause, counters) = (Cause::Setup, Counters::default());
                self.connection.send(&Reply::Ended { sandbox: id, cause, counters })
            }
        }
    }

    /// Whether there may be one more sandbox, of this name.
    fn check_place(&self, id: SandboxId) -> Result<(), Refusal> {
        let most = usize::try_from(super::identity::BLOCKS).unwrap_or(usize::MAX);
        if self.sandboxes.len() >= most {
            let ceiling = u64::from(super::identity::BLOCKS);
            return Err(Refusal { what: String::from("sandboxes alive at once"), asked: ceiling + 1, ceiling });
        }
        if id.0 > LAST_NUMBER || self.sandboxes.iter().any(|sandbox| sandbox.id == id) {
            let what = String::from("a sandbox whose number is in use or too high");
            return Err(Refusal { what, asked: id.0, ceiling: LAST_NUMBER });
        }
        Ok(())
    }

    fn watch(&self, sandbox: &Sandbox) -> io::Result<()> {
        let event = |kind| EpollEvent::new(EpollFlags::EPOLLIN, sandbox.id.0 * KINDS + kind);
        self.epoll.add(&sandbox.channel, event(CHANNEL))?;
        self.epoll.add(&sandbox.pidfd, event(PROCESS))?;
        if let Some(memory) = sandbox.group.memory_event() {
            self.epoll.add(memory, event(MEMORY))?;
        }
        Ok(())
    }

    fn end(&mut self, id: SandboxId, cause: Cause) {
        if let Some(sandbox) = self.sandboxes.iter_mut().find(|sandbox| sandbox.id == id) {
            end(sandbox, cause);
        }
    }

    /// Init, or the child before it, says something. Tells whether it did.
    fn on_channel(&mut self, id: SandboxId, now: Instant) -> Result<Said, Lost> {
        let Some(index) = self.sandboxes.iter().position(|sandbox| sandbox.id == id) else { return Ok(Said::Nothing) };
        let Some(sandbox) = self.sandboxes.get(index) else { return Ok(Said::Nothing) };
        let mut message = [0_u8; MESSAGE_BYTES];
        let received = socket::receive::<1>(sandbox.channel.as_fd(), &mut message).map_err(Lost::Socket)?;
        match received {
            Received::Nothing => Ok(Said::Nothing),
            Received::Closed => {
                // Init has ended; its pidfd tells the rest.
                forget(&self.epoll, sandbox.channel.as_fd()).map(|()| Said::Nothing)
            }
            Received::Packet { .. } => self.on_message(index, &message, now).map(|()| Said::Something),
        }
    }

    fn on_message(&mut self, index: usize, message: &[u8; MESSAGE_BYTES], now: Instant) -> Result<(), Lost> {
        let trees_free = self.trees_free(index);
        let Some(sandbox) = self.sandboxes.get_mut(index) else { return Ok(()) };
        let (id, process) = (sandbox.id, ProcessId::MAIN);
        let reply = match words(message) {
            [STARTED, ..] => {
                sandbox.started(now);
                let setup_us = micros(now.duration_since(sandbox.requested));
                Reply::Started { sandbox: id, process, setup_us }
            }
            [FAILED, _, step, errno] => {
                sandbox.read_counters(now, trees_free);
                end(sandbox, Cause::Setup);
                Reply::Failed { sandbox: id, step: name_of(step).to_owned(), errno }
            }
            [EXITED, _, status, _] => {
                sandbox.end_by(Cause::Program);
                sandbox.read_counters(now, trees_free);
                sandbox.phase = Phase::Leaving;
                kill(sandbox);
                Reply::Exited { sandbox: id, process, status }
            }
            _ => {
                end(sandbox, Cause::Setup);
                Reply::Failed { sandbox: id, step: String::from("understand init"), errno: 0 }
            }
        };
        self.connection.send(&reply)
    }

    /// What is free in the fullest of a sandbox's trees.
    fn trees_free(&self, index: usize) -> Option<Free> {
        let ids = &self.sandboxes.get(index)?.trees;
        let mounted = self.trees.iter().filter(|(id, _)| ids.contains(id));
        mounted.filter_map(|(_, tree)| tree.free().ok()).reduce(Free::least)
    }

    /// Init has ended, and with it everything in its pid namespace.
    fn on_process(&mut self, id: SandboxId, now: Instant) -> Result<(), Lost> {
        let Some(index) = self.sandboxes.iter().position(|sandbox| sandbox.id == id) else { return Ok(()) };
        // What init said before it ended comes first.
        while self.on_channel(id, now)? == Said::Something {}
        let trees_free = self.trees_free(index);
        let Some(sandbox) = self.sandboxes.get_mut(index) else { return Ok(()) };
        waitid(Id::PIDFd(sandbox.pidfd.as_fd()), WaitPidFlag::WEXITED).map_err(|errno| Lost::Socket(errno.into()))?;
        forget(&self.epoll, sandbox.pidfd.as_fd())?;
        if matches!(sandbox.phase, Phase::Setup | Phase::Running { .. }) {
            sandbox.read_counters(now, trees_free);
            // Nobody ended it and init did not report: the kernel did, for memory that the host lacks, or a step broke.
            sandbox.end_by(if matches!(sandbox.phase, Phase::Setup) { Cause::Setup } else { Cause::Program });
        }
        self.finish(index, now)
    }

    /// Removes the group; when that works, nothing of the sandbox is left.
    fn finish(&mut self, index: usize, now: Instant) -> Result<(), Lost> {
        let Some(sandbox) = self.sandboxes.get_mut(index) else { return Ok(()) };
        if let Err(error) = sandbox.group.remove() {
            tracing::debug!(sandbox = sandbox.id.0, %error, "the group is still busy");
            sandbox.retry_later(now);
            return Ok(());
        }
        let sandbox = self.sandboxes.swap_remove(index);
        let cause = sandbox.cause.unwrap_or(Cause::Program);
        self.connection.send(&Reply::Ended { sandbox: sandbox.id, cause, counters: sandbox.counters })
    }

    fn on_memory(&mut self, id: SandboxId, now: Instant) {
        let Some(sandbox) = self.sandboxes.iter_mut().find(|sandbox| sandbox.id == id) else { return };
        let Some(event) = sandbox.group.memory_event() else { return };
        let mut count = [0_u8; 8];
        if nix::unistd::read(event, &mut count).is_ok() {
            sandbox.memory_ran_out(now);
        }
    }

    fn on_signal(&mut self) -> Result<(), Lost> {
        match self.signals.read_signal().map_err(io::Error::from)? {
            Some(_) => Err(Lost::Terminated),
            None => Ok(()),
        }
    }

    fn look_at_limits(&mut self, now: Instant) -> Result<(), Lost> {
        for sandbox in &mut self.sandboxes {
            if let Some(cause) = sandbox.check_limits(now) {
                end(sandbox, cause);
            }
        }
        let due = |sandbox: &Sandbox| matches!(sandbox.phase, Phase::Gone { retry } if retry <= now);
        while let Some(index) = self.sandboxes.iter().position(due) {
            self.finish(index, now)?;
        }
        Ok(())
    }

    fn set_timer(&self) -> io::Result<()> {
        match self.sandboxes.iter().filter_map(Sandbox::deadline).min() {
            None => self.timer.unset()?,
            Some(deadline) => {
                // A time of zero would switch the timer off (timerfd_settime(2)).
                let left = deadline.saturating_duration_since(instant()).max(Duration::from_micros(1));
                self.timer.set(Expiration::OneShot(TimeSpec::from_duration(left)), TimerSetTimeFlags::empty())?;
            }
        }
        Ok(())
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
        for sandbox in &mut self.sandboxes {
            end(sandbox, Cause::Requested);
        }
        let deadline = instant() + FAREWELL;
        for sandbox in &self.sandboxes {
            if !matches!(sandbox.phase, Phase::Gone { .. }) {
                waitid(Id::PIDFd(sandbox.pidfd.as_fd()), WaitPidFlag::WEXITED)?;
            }
            while sandbox.group.remove().is_err() && instant() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        for (_, tree) in self.trees.drain(..) {
            self.host.note_left(tree.remove());
        }
        self.host.layout.remove()
    }
}

/// Every job's child unblocks it again (`sys::signal`).
fn terminate_by_descriptor() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    set.thread_block()?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

/// Waits no more for a descriptor; one that is not waited for is fine.
fn forget(epoll: &Epoll, descriptor: BorrowedFd<'_>) -> Result<(), Lost> {
    match epoll.delete(descriptor) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(Lost::Socket(errno.into())),
    }
}

/// Notes the cause, if it is the first, and ends init: the kernel ends everything else (`pid_namespaces(7)`).
fn end(sandbox: &mut Sandbox, cause: Cause) {
    sandbox.end_by(cause);
    kill(sandbox);
}

/// A process that has ended already needs no signal.
fn kill(sandbox: &Sandbox) {
    if matches!(sandbox.phase, Phase::Gone { .. }) {
        return;
    }
    let killed = process::signal(sandbox.pidfd.as_fd(), Signal::SIGKILL);
    if let Err(error) = killed.and_then(|()| sandbox.group.kill())
        && !process::has_ended(&error)
    {
        tracing::error!(sandbox = sandbox.id.0, %error, "a sandbox could not be ended");
    }
}

fn words(message: &[u8; MESSAGE_BYTES]) -> [u32; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(message.chunks_exact(4)) {
        *word = bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    }
    words
}

fn name_of(number: u32) -> &'static str {
    match number {
        step::GUARD => "tie init to the spawner",
        step::RECEIVE => "receive the order to start",
        step::READ_PROGRAM => "read the program's arguments",
        step::WRITE_FILES => "write the input files",
        step::ENTER_DIRECTORY => "enter the working directory",
        step::FORK => "make the program's process",
        step::EXECUTE => START_PROGRAM,
        other => child::step_name(other),
    }
}
