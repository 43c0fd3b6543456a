//! What becomes of the sandboxes: what init says, what the kernel tells of them, and how each is ended.
//!
//! Not here: when a limit is passed (`spawner::sandbox`), what init's words mean (`plan::protocol`).
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid};

use super::{CHANNEL, KINDS, MEMORY, PROCESS, REST, Server};
use crate::base::id::{ProcessId, SandboxId};
use crate::base::time::{Instant, micros};
use crate::plan::protocol::{EXITED, FAILED, MAP, MAPPED, MESSAGE_BYTES, READY, STARTED, message, step};
use crate::spawner::connection::Lost;
use crate::spawner::number::Number;
use crate::spawner::sandbox::{Phase, Sandbox};
use crate::spawner::tree::Free;
use crate::spawner::{create, identity, mold};
use crate::sys::process;
use crate::sys::socket::{self, Received};
use crate::wire::reply::{Cause, Reply, START_PROGRAM};

/// Whether a message was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Something,
    Nothing,
}

/// What init told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// Its user ids are to be mapped.
    Map,
    /// Init waits for its order.
    Ready { made_network: bool },
    /// The program runs.
    Started,
    /// A step did not work.
    Failed { step: u32, errno: u32 },
    /// The program ended.
    Exited { status: u32, wall_us: [u32; 2] },
    /// Nothing that is said before the program runs.
    NonsenseAtFirst,
    /// Nothing that is said while it runs.
    NonsenseLater,
    /// It was told to end, whatever it says.
    TooLate,
}

/// The table of what may be said when. Each is said once: a second Started would begin the wall time again.
const fn hear(phase: Phase, words: [u32; 5]) -> Heard {
    match (phase, words) {
        (Phase::Preparing, [MAP, ..]) => Heard::Map,
        (Phase::Preparing, [READY, made, ..]) => Heard::Ready { made_network: made != 0 },
        (Phase::Setup, [STARTED, ..]) => Heard::Started,
        (Phase::Preparing | Phase::Setup, [FAILED, _, step, errno, _]) => Heard::Failed { step, errno },
        (Phase::Preparing | Phase::Ready | Phase::Setup, _) => Heard::NonsenseAtFirst,
        (Phase::Running { .. }, [EXITED, _, status, low, high]) => Heard::Exited { status, wall_us: [low, high] },
        (Phase::Running { .. }, _) => Heard::NonsenseLater,
        (Phase::Leaving | Phase::Gone { .. }, _) => Heard::TooLate,
    }
}

impl Server {
    pub(super) fn watch(&self, sandbox: &Sandbox) -> io::Result<()> {
        let event = |kind| EpollEvent::new(EpollFlags::EPOLLIN, sandbox.number.0 * KINDS + kind);
        self.epoll.add(&sandbox.channel, event(CHANNEL))?;
        self.epoll.add(&sandbox.pidfd, event(PROCESS))?;
        if let Some(memory) = sandbox.group.memory_event() {
            self.epoll.add(memory, event(MEMORY))?;
        }
        Ok(())
    }

    pub(super) fn end(&mut self, number: Number, cause: Cause) {
        if let Some(sandbox) = self.sandboxes.iter_mut().find(|sandbox| sandbox.number == number) {
            end(sandbox, cause);
        }
    }

    /// The same, by what the server calls it.
    pub(super) fn end_job(&mut self, id: SandboxId, cause: Cause) {
        let is_it = |sandbox: &&mut Sandbox| sandbox.job.as_ref().is_some_and(|job| job.id == id);
        if let Some(sandbox) = self.sandboxes.iter_mut().find(is_it) {
            end(sandbox, cause);
        }
    }

    /// Init says something. Tells whether it did.
    pub(super) fn on_channel(&mut self, number: Number, now: Instant) -> Result<Said, Lost> {
        let Some(index) = self.position(number) else { return Ok(Said::Nothing) };
        let Some(sandbox) = self.sandboxes.get(index) else { return Ok(Said::Nothing) };
        let mut message = [0_u8; MESSAGE_BYTES];
        match socket::receive::<0>(sandbox.channel.as_fd(), &mut message) {
            Ok(Received::Nothing) => Ok(Said::Nothing),
            Ok(Received::Packet { length: MESSAGE_BYTES, .. }) => {
                let heard = hear(sandbox.phase, words(&message));
                self.on_message(index, heard, now).map(|()| Said::Something)
            }
            // Init has ended; its pidfd tells the rest.
            Ok(Received::Closed) => forget(&self.epoll, sandbox.channel.as_fd()).map(|()| Said::Nothing),
            Ok(Received::Packet { .. }) => self.on_nonsense(index, now).map(|()| Said::Something),
            // Too long, or with descriptors. Nothing that one sandbox says is a reason to end the others.
            Err(error) => {
                tracing::warn!(sandbox = number.0, %error, "init does not keep to the protocol");
                forget(&self.epoll, sandbox.channel.as_fd())?;
                self.on_nonsense(index, now).map(|()| Said::Nothing)
            }
        }
    }

    fn on_nonsense(&mut self, index: usize, now: Instant) -> Result<(), Lost> {
        let Some(sandbox) = self.sandboxes.get(index) else { return Ok(()) };
        let heard = hear(sandbox.phase, [0; 5]);
        self.on_message(index, heard, now)
    }

    fn on_message(&mut self, index: usize, heard: Heard, now: Instant) -> Result<(), Lost> {
        match heard {
            Heard::Map => self.on_map(index, now),
            Heard::Ready { made_network } => {
                self.on_ready(index, made_network, now);
                Ok(())
            }
            Heard::Started => self.on_started(index, now),
            Heard::Failed { step, errno } => self.on_failed(index, name_of(step), errno, now),
            Heard::Exited { status, wall_us } => self.on_exited(index, status, wall_us, now),
            Heard::NonsenseAtFirst => self.on_failed(index, "understand init", 0, now),
            Heard::NonsenseLater => {
                self.leave(index, Cause::Setup, None, now);
                Ok(())
            }
            Heard::TooLate => Ok(()),
        }
    }

    fn on_map(&mut self, index: usize, now: Instant) -> Result<(), Lost> {
        let Some(sandbox) = self.sandboxes.get(index) else { return Ok(()) };
        let mapped = identity::map(&sandbox.pid, sandbox.lease.block())
            .and_then(|()| socket::send(sandbox.channel.as_fd(), &message([MAPPED]), &[]));
        match mapped {
            Ok(()) => Ok(()),
            // It is being ended already.
            Err(_) if sandbox.cause.is_some() => Ok(()),
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(0).cast_unsigned();
                self.on_failed(index, "map the user ids", errno, now)
            }
        }
    }

    /// A job that came before is begun now.
    fn on_ready(&mut self, index: usize, made_network: bool, now: Instant) {
        let Some(sandbox) = self.sandboxes.get_mut(index) else { return };
        if sandbox.cause.is_some() {
            // It is being ended already.
            return;
        }
        let begun = sandbox.ready(made_network).and_then(|()| match sandbox.job.as_mut() {
            None => Ok(()),
            Some(job) => {
                sandbox.phase = Phase::Setup;
                create::send_order(&sandbox.channel, job)
            }
        });
        if let Err(error) = begun {
            tracing::error!(sandbox = sandbox.number.0, %error, "a sandbox that stands cannot be used");
            end(sandbox, Cause::Setup);
            self.stock.pause(now);
        }
    }

    fn on_started(&mut self, index: usize, now: Instant) -> Result<(), Lost> {
        let Some(sandbox) = self.sandboxes.get_mut(index) else { return Ok(()) };
        sandbox.started(now);
        let Some(job) = &sandbox.job else { return Ok(()) };
        let setup_us = micros(now.duration_since(job.requested));
        self.connection.send(&Reply::Started { sandbox: job.id, process: ProcessId::MAIN, setup_us })
    }

    fn on_failed(&mut self, index: usize, step: &str, errno: u32, now: Instant) -> Result<(), Lost> {
        self.leave(index, Cause::Setup, None, now);
        let Some(sandbox) = self.sandboxes.get(index) else { return Ok(()) };
        if let Some(job) = &sandbox.job {
            return self.connection.send(&Reply::Failed { sandbox: job.id, step: step.to_owned(), errno });
        }
        let errno = Errno::from_raw(errno.cast_signed());
        tracing::error!(sandbox = sandbox.number.0, step, %errno, "a sandbox could not be prepared");
        self.stock.pause(now);
        Ok(())
    }

    fn on_exited(&mut self, index: usize, status: u32, wall_us: [u32; 2], now: Instant) -> Result<(), Lost> {
        let [low, high] = wall_us.map(u64::from);
        self.leave(index, Cause::Program, Some(high << 32 | low), now);
        let Some(sandbox) = self.sandboxes.get(index) else { return Ok(()) };
        let Some(job) = &sandbox.job else { return Ok(()) };
        let (cause, counters) = (sandbox.cause.unwrap_or(Cause::Program), sandbox.counters);
        self.connection.send(&Reply::Exited { sandbox: job.id, process: ProcessId::MAIN, status, cause, counters })
    }

    /// Reads what was used, and ends init.
    fn leave(&mut self, index: usize, cause: Cause, wall_us: Option<u64>, now: Instant) {
        let trees_free = self.trees_free(index);
        let Some(sandbox) = self.sandboxes.get_mut(index) else { return };
        sandbox.read_counters(now, trees_free);
        sandbox.tell_wall_time(wall_us, now);
        sandbox.end_by(cause);
        sandbox.phase = Phase::Leaving;
        kill(sandbox);
    }

    fn position(&self, number: Number) -> Option<usize> {
        self.sandboxes.iter().position(|sandbox| sandbox.number == number)
    }

    /// What is free in the fullest of a sandbox's trees.
    fn trees_free(&self, index: usize) -> Option<Free> {
        let ids = &self.sandboxes.get(index)?.job.as_ref()?.trees;
        let mounted = self.trees.iter().filter(|known| ids.contains(&known.id));
        mounted.filter_map(|known| known.tree.free()).reduce(Free::least)
    }

    /// Init has ended, and with it everything in its pid namespace.
    pub(super) fn on_process(&mut self, number: Number, now: Instant) -> Result<(), Lost> {
        let Some(index) = self.position(number) else { return Ok(()) };
        // What init said before it ended comes first.
        while self.on_channel(number, now)? == Said::Something {}
        let trees_free = self.trees_free(index);
        let Some(sandbox) = self.sandboxes.get_mut(index) else { return Ok(()) };
        waitid(Id::PIDFd(sandbox.pidfd.as_fd()), WaitPidFlag::WEXITED).map_err(|errno| Lost::Socket(errno.into()))?;
        forget(&self.epoll, sandbox.pidfd.as_fd())?;
        if sandbox.can_take_a_job() {
            tracing::error!(sandbox = sandbox.number.0, "a sandbox that was prepared ended by itself");
            self.stock.pause(now);
        }
        if matches!(sandbox.phase, Phase::Preparing | Phase::Ready | Phase::Setup | Phase::Running { .. }) {
            sandbox.read_counters(now, trees_free);
            // Nobody ended it and init did not report: the kernel did, for memory that the host lacks, or a step broke.
            sandbox.end_by(if matches!(sandbox.phase, Phase::Running { .. }) { Cause::Program } else { Cause::Setup });
        }
        self.finish(index, now)
    }

    /// Removes the group; when that works, nothing of the sandbox is left.
    fn finish(&mut self, index: usize, now: Instant) -> Result<(), Lost> {
        let Some(sandbox) = self.sandboxes.get_mut(index) else { return Ok(()) };
        if let Some(memory) = sandbox.group.memory_event() {
            forget(&self.epoll, memory)?;
        }
        let keeps = match self.host.layout.release(&mut sandbox.group) {
            Ok(keeps) => keeps,
            Err(error) => {
                tracing::debug!(sandbox = sandbox.number.0, %error, "the group is still busy");
                sandbox.retry_later(now);
                return Ok(());
            }
        };
        let sandbox = self.sandboxes.swap_remove(index);
        if keeps {
            self.host.layout.keep(sandbox.group);
        }
        self.rest = Some(now + REST);
        self.host.note_left(self.host.disposal.take(&self.host.single, sandbox.temporary, || Ok(())));
        if let Some(tree) = sandbox.work {
            self.host.note_left(tree.remove(&self.host.disposal, &self.host.single));
        }
        if let Some(network) = sandbox.network {
            sandbox.lease.keep_network(network);
        }
        let Some(job) = sandbox.job else { return Ok(()) };
        let cause = sandbox.cause.unwrap_or(Cause::Program);
        self.connection.send(&Reply::Ended { sandbox: job.id, cause, counters: sandbox.counters })
    }

    pub(super) fn on_memory(&mut self, number: Number, now: Instant) {
        let Some(sandbox) = self.sandboxes.iter_mut().find(|sandbox| sandbox.number == number) else { return };
        let Some(event) = sandbox.group.memory_event() else { return };
        let mut count = [0_u8; 8];
        if nix::unistd::read(event, &mut count).is_ok() {
            sandbox.memory_ran_out(now);
        }
    }

    pub(super) fn look_at_limits(&mut self, now: Instant) -> Result<(), Lost> {
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
}

/// Waits no more for a descriptor; one that is not waited for is fine.
fn forget(epoll: &Epoll, descriptor: BorrowedFd<'_>) -> Result<(), Lost> {
    match epoll.delete(descriptor) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(Lost::Socket(errno.into())),
    }
}

/// Notes the cause, if it is the first, and ends init: the kernel ends everything else (`pid_namespaces(7)`).
pub(super) fn end(sandbox: &mut Sandbox, cause: Cause) {
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
        tracing::error!(sandbox = sandbox.number.0, %error, "a sandbox could not be ended");
    }
}

fn words(message: &[u8; MESSAGE_BYTES]) -> [u32; 5] {
    let mut words = [0; 5];
    for (word, bytes) in words.iter_mut().zip(message.chunks_exact(4)) {
        *word = bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    }
    words
}

fn name_of(number: u32) -> &'static str {
    match number {
        step::GUARD => "tie init to the spawner",
        step::RECEIVE => "receive the order to start",
        step::LIMIT => "set the resource limits",
        step::READ_PROGRAM => "read the program's arguments",
        step::WRITE_FILES => "write the input files",
        step::ENTER_DIRECTORY => "enter the working directory",
        step::FORK => "make the program's process",
        step::EXECUTE => START_PROGRAM,
        other => mold::step_name(other),
    }
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::base::time::instant;

    #[test]
    fn init_says_each_thing_once_and_in_order() {
        let now = instant();
        let running = Phase::Running { since: now, look: now, memory_event: false };
        assert_eq!(hear(Phase::Preparing, [MAP, 0, 0, 0, 0]), Heard::Map);
        assert_eq!(hear(Phase::Ready, [MAP, 0, 0, 0, 0]), Heard::NonsenseAtFirst);
        assert_eq!(hear(Phase::Preparing, [READY, 1, 0, 0, 0]), Heard::Ready { made_network: true });
        assert_eq!(hear(Phase::Preparing, [STARTED, 1, 0, 0, 0]), Heard::NonsenseAtFirst);
        assert_eq!(hear(Phase::Ready, [READY, 0, 0, 0, 0]), Heard::NonsenseAtFirst);
        assert_eq!(hear(Phase::Setup, [STARTED, 1, 0, 0, 0]), Heard::Started);
        assert_eq!(hear(Phase::Setup, [FAILED, 1, 7, 2, 0]), Heard::Failed { step: 7, errno: 2 });
        assert_eq!(hear(Phase::Setup, [EXITED, 1, 0, 0, 0]), Heard::NonsenseAtFirst);
        assert_eq!(hear(running, [EXITED, 1, 256, 0, 0]), Heard::Exited { status: 256, wall_us: [0, 0] });
        assert_eq!(hear(running, [STARTED, 1, 0, 0, 0]), Heard::NonsenseLater);
        assert_eq!(hear(running, [FAILED, 1, 0, 0, 0]), Heard::NonsenseLater);
        assert_eq!(hear(Phase::Leaving, [EXITED, 1, 0, 0, 0]), Heard::TooLate);
        assert_eq!(hear(Phase::Gone { retry: now }, [STARTED, 1, 0, 0, 0]), Heard::TooLate);
    }
}
