//! What the keeper of networks says, and the jobs that wait for it.
//!
//! Not here: what the keeper does (`spawner::egress`).
use std::io;
use std::os::fd::OwnedFd;

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::{KEEPER, Server};
use crate::base::id::SandboxId;
use crate::base::time::Instant;
use crate::plan::ceiling::Refusal;
use crate::plan::network::Policy;
use crate::spawner::connection::Lost;
use crate::spawner::create::{Asked, CreateError};
use crate::spawner::egress::{Outside, Told, Waiting};
use crate::wire::reply::{Cause, Counters, Reply};
use crate::wire::request::Start;

/// The step of a sandbox that failed, where it got no network.
const STEP: &str = "give it a network";

impl Server {
    /// What comes of it the keeper says.
    pub(super) fn make_network(&mut self, policy: Policy) -> Result<(), Lost> {
        if let Err(refusal) = self.egress.begin(&self.host, policy) {
            return self.connection.send(&Reply::NetworkRefused { refusal });
        }
        match self.egress.channel() {
            Some(channel) => {
                Ok(self.epoll.add(channel, EpollEvent::new(EpollFlags::EPOLLIN, KEEPER)).map_err(io::Error::from)?)
            }
            None => Ok(()),
        }
    }

    /// Begins it with a network that is ready, or lets it wait for one.
    pub(super) fn start_with_network(
        &mut self,
        start: Box<Start>,
        given: Vec<OwnedFd>,
        now: Instant,
    ) -> Result<(), Lost> {
        let id = start.sandbox;
        match self.egress.take() {
            Ok(Some(outside)) => self.start_outside(Waiting { start, given, since: now }, outside, now),
            Ok(None) => {
                let waits = self.egress.wait(Waiting { start, given, since: now });
                self.answer_start(id, waits.map_err(no_network))
            }
            Err(error) => self.answer_start(id, Err(no_network(error))),
        }
    }

    fn start_outside(&mut self, waiting: Waiting, outside: Outside, now: Instant) -> Result<(), Lost> {
        let Waiting { start, given, .. } = waiting;
        let started = self.try_start(Asked { start: &start, outside: Some(outside) }, given, now);
        self.answer_start(start.sandbox, started)
    }

    /// All that it has said.
    pub(super) fn on_keeper(&mut self, now: Instant) -> Result<(), Lost> {
        loop {
            match self.egress.hear() {
                Told::Nothing => return Ok(()),
                Told::Made => self.connection.send(&Reply::NetworkMade)?,
                Told::Network(namespace) => match self.egress.give(namespace) {
                    None => {}
                    Some((waiting, Ok(outside))) => self.start_outside(waiting, outside, now)?,
                    Some((waiting, Err(error))) => {
                        self.answer_start(waiting.start.sandbox, Err(no_network(error)))?;
                    }
                },
                Told::Unable(why) => {
                    tracing::error!(why, "a network for a job could not be made");
                    if let Some(waiting) = self.egress.next_waiting() {
                        self.answer_start(waiting.start.sandbox, Err(no_network(io::Error::other(why))))?;
                    }
                }
                Told::Failed(why) => {
                    let refusal = Refusal { what: why, asked: 0, ceiling: 0 };
                    self.connection.send(&Reply::NetworkRefused { refusal })?;
                    return self.lose_keeper();
                }
                Told::Ended => {
                    tracing::error!(
                        "the keeper of networks has ended: jobs that want one fail until kiln is restarted"
                    );
                    return self.lose_keeper();
                }
            }
        }
    }

    /// Jobs that run keep what they have.
    fn lose_keeper(&mut self) -> Result<(), Lost> {
        if let Some(channel) = self.egress.channel() {
            self.epoll.delete(channel).map_err(io::Error::from)?;
        }
        for waiting in self.egress.lose()? {
            let error = io::Error::other("the keeper of networks has ended: restart kiln");
            self.answer_start(waiting.start.sandbox, Err(no_network(error)))?;
        }
        Ok(())
    }

    /// Whoever has waited too long.
    pub(super) fn look_at_waiting(&mut self, now: Instant) -> Result<(), Lost> {
        while self.egress.deadline().is_some_and(|deadline| deadline <= now) {
            let Some(waiting) = self.egress.next_waiting() else { return Ok(()) };
            let error = io::Error::other("its keeper makes none: look at the log, or restart kiln");
            self.answer_start(waiting.start.sandbox, Err(no_network(error)))?;
        }
        Ok(())
    }

    /// Ends a sandbox, or lets its request wait no more.
    pub(super) fn end_request(&mut self, sandbox: SandboxId) -> Result<(), Lost> {
        if self.egress.forget(sandbox) {
            let (cause, counters) = (Cause::Requested, Counters::default());
            return self.connection.send(&Reply::Ended { sandbox, cause, counters });
        }
        self.end_job(sandbox, Cause::Requested);
        Ok(())
    }
}

const fn no_network(source: io::Error) -> CreateError {
    CreateError::Step { name: STEP, source }
}
