//! One live sandbox: a flat record, and what becomes of it at each event. Decides; the loop acts.
//!
//! ```text
//! Preparing --READY--> Ready --Start--> Setup --STARTED--> Running --EXITED--> Leaving --pidfd--> Gone
//!     \------------------FAILED, limit, End, init died----------------------------^     (group removed, block free)
//! ```
//!
//! It is prepared before anybody asks for it; a Start that comes while it is being prepared waits for READY.
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use super::cgroup::Group;
use super::identity::Lease;
use super::number::Number;
use super::tree::{self, Free, Size, Tree};
use crate::base::id::{SandboxId, TreeId};
use crate::base::time::{Instant, micros};
use crate::plan::Network;
use crate::plan::limits::Limits;
use crate::plan::mount::Root;
use crate::sys::process;
use crate::wire::reply::{Cause, Counters};
use crate::wire::request::LABEL;

/// How long making a sandbox may take before it is ended.
const SETUP_TIME: Duration = Duration::from_secs(30);

/// Many programs end within this time. Nothing else is begun meanwhile that would hold back the answer.
const BRIEF: Duration = Duration::from_millis(3);

/// How soon a group that is still busy is looked at again.
const RETRY: Duration = Duration::from_millis(2);

/// Everything that is known of a sandbox.
#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) number: Number,
    /// What it has at `/`.
    pub(super) root: Root,
    /// Of init; nobody else's until it is reaped.
    pub(super) pid: String,
    pub(super) pidfd: OwnedFd,
    pub(super) channel: OwnedFd,
    pub(super) group: Group,
    pub(super) temporary: OwnedFd,
    pub(super) temporary_size: Size,
    /// What is mounted at `/work`, until a job takes it.
    pub(super) work: Option<Tree>,
    /// Its network namespace, once it stands; until then one that it may take. None of a sandbox that reaches the outside:
    /// that one goes with it.
    pub(super) network: Option<OwnedFd>,
    pub(super) reach: Network,
    pub(super) lease: Rc<Lease>,
    pub(super) begun: Instant,
    /// What it does, once somebody asked.
    pub(super) job: Option<Job>,
    pub(super) phase: Phase,
    /// What ended it, once something did.
    pub(super) cause: Option<Cause>,
    pub(super) counters: Counters,
}

/// What a sandbox was asked to do.
#[derive(Debug)]
pub(super) struct Job {
    /// What the server calls the sandbox.
    pub(super) id: SandboxId,
    /// The server's own words.
    #[expect(dead_code, reason = "a listing gives it back, which comes with adoption")]
    pub(super) label: [u8; LABEL],
    pub(super) limits: Limits,
    pub(super) trees: Vec<TreeId>,
    pub(super) requested: Instant,
    /// The descriptors for init, until it has them.
    pub(super) given: Vec<OwnedFd>,
}

/// Where a sandbox is in its life.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// Init takes its steps.
    Preparing,
    /// Init waits for its order.
    Ready,
    /// Init has its order.
    Setup,
    /// The main program runs.
    Running {
        /// Since when.
        since: Instant,
        /// When the processor time is to be looked at.
        look: Instant,
        /// Whether the kernel told that memory ran out.
        memory_event: bool,
    },
    /// Init is ending.
    Leaving,
    /// Init has ended and was reaped; the group may still be busy.
    Gone {
        /// When to try again to remove the group.
        retry: Instant,
    },
}

impl Sandbox {
    /// It stands. What was counted until now is not the program's.
    pub(super) fn ready(&mut self, made_network: bool) -> io::Result<()> {
        self.group.begin()?;
        if self.reach == Network::Isolated && (made_network || self.network.is_none()) {
            self.network = Some(process::namespace_of(&self.pid, "net")?);
        }
        self.phase = Phase::Ready;
        Ok(())
    }

    /// The main program runs.
    pub(super) fn started(&mut self, now: Instant) {
        let look = now + self.earliest_cpu_end(0);
        self.phase = Phase::Running { since: now, look, memory_event: false };
    }

    /// Notes what ended it, if nothing did before.
    pub(super) fn end_by(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
    }

    /// Reads what the kernel counted. Only init, or nothing, is left.
    pub(super) fn read_counters(&mut self, now: Instant, trees_free: Option<Free>) {
        let own = tree::free_or_tell(&self.temporary);
        let free = own.map(|own| trees_free.map_or(own, |other| own.least(other)));
        let wall_us = match self.phase {
            Phase::Running { since, .. } => Some(micros(now.duration_since(since))),
            Phase::Preparing | Phase::Ready | Phase::Setup | Phase::Leaving | Phase::Gone { .. } => {
                self.counters.wall_us
            }
        };
        self.counters = Counters {
            wall_us,
            disk_free: free.map(|free| free.bytes),
            inodes_free: free.map(|free| free.inodes),
            ..self.group.counters()
        };
        if self.counters.oom_kills.is_some_and(|kills| kills > 0)
            && self.cause.is_none_or(|cause| cause == Cause::Program)
        {
            self.cause = Some(Cause::Memory);
        }
    }

    /// Init measures the program's wall time more closely than the loop, which may be late to hear of its
    /// start. It cannot be longer than the sandbox is there.
    pub(super) fn tell_wall_time(&mut self, told: Option<u64>, now: Instant) {
        if let Some(told) = told {
            self.counters.wall_us = Some(told.min(micros(now.duration_since(self.requested()))));
        }
    }

    /// When this sandbox has to be looked at next, whatever happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Preparing | Phase::Setup => Some(self.requested() + SETUP_TIME),
            Phase::Running { since, look, .. } => Some(look.min(since + self.wall())),
            Phase::Ready | Phase::Leaving => None,
            Phase::Gone { retry } => Some(retry),
        }
    }

    /// Whether a limit is passed at `now`. Sets the next look.
    pub(super) fn check_limits(&mut self, now: Instant) -> Option<Cause> {
        match self.phase {
            Phase::Preparing | Phase::Setup => (now >= self.requested() + SETUP_TIME).then_some(Cause::Setup),
            Phase::Running { since, look, memory_event } => {
                let out_of_time = now.duration_since(since) >= self.wall();
                if now < look && !out_of_time {
                    return None;
                }
                // First: whoever looks late finds both, and the kernel killed before.
                if (memory_event || out_of_time) && self.group.oom_kills().is_ok_and(|kills| kills > 0) {
                    return Some(Cause::Memory);
                }
                if out_of_time {
                    return Some(Cause::WallTime);
                }
                let used = match self.group.cpu_time_us() {
                    Ok(used) if used >= self.cpu_limit() => return Some(Cause::CpuTime),
                    Ok(used) => used,
                    Err(error) => {
                        tracing::error!(sandbox = self.number.0, %error, "a limit that cannot be watched ends the sandbox");
                        return Some(Cause::Setup);
                    }
                };
                let pause = if memory_event { RETRY } else { self.earliest_cpu_end(used) };
                self.phase = Phase::Running { since, look: now + pause, memory_event };
                None
            }
            Phase::Ready | Phase::Leaving | Phase::Gone { .. } => None,
        }
    }

    /// Whether it waits for whatever job comes.
    pub(super) const fn is_in_stock(&self) -> bool {
        self.work.is_some() && self.can_take_a_job()
    }

    /// Whether nobody asked for it yet, and nothing went wrong.
    pub(super) const fn can_take_a_job(&self) -> bool {
        self.job.is_none() && self.cause.is_none() && matches!(self.phase, Phase::Preparing | Phase::Ready)
    }

    /// Whether a job waits for its program to begin in it.
    pub(super) const fn is_beginning(&self) -> bool {
        match self.phase {
            Phase::Preparing | Phase::Ready => self.job.is_some(),
            Phase::Setup => true,
            Phase::Running { .. } | Phase::Leaving | Phase::Gone { .. } => false,
        }
    }

    /// When its program, which has only just begun, has run for more than a moment.
    pub(super) fn settles(&self, now: Instant) -> Option<Instant> {
        match self.phase {
            Phase::Running { since, .. } => Some(since + BRIEF).filter(|settled| *settled > now),
            Phase::Preparing | Phase::Ready | Phase::Setup | Phase::Leaving | Phase::Gone { .. } => None,
        }
    }

    /// When the time for its set-up began.
    fn requested(&self) -> Instant {
        self.job.as_ref().map_or(self.begun, |job| job.requested)
    }

    fn wall(&self) -> Duration {
        Duration::from_micros(self.job.as_ref().map_or(0, |job| job.limits.wall_us))
    }

    fn cpu_limit(&self) -> u64 {
        self.job.as_ref().map_or(0, |job| job.limits.cpu_time_us)
    }

    /// The kernel told that memory ran out: the counter of kills will follow.
    pub(super) fn memory_ran_out(&mut self, now: Instant) {
        if let Phase::Running { since, .. } = self.phase {
            self.phase = Phase::Running { since, look: now, memory_event: true };
        }
    }

    /// The group could not be removed yet.
    pub(super) fn retry_later(&mut self, now: Instant) {
        self.phase = Phase::Gone { retry: now + RETRY };
    }

    /// With all its processors busy the tree cannot use up what is left any sooner.
    fn earliest_cpu_end(&self, used_us: u64) -> Duration {
        let left = self.cpu_limit().saturating_sub(used_us);
        let milli_cpus = self.job.as_ref().map_or(1, |job| job.limits.milli_cpus);
        let at_full_speed = left.saturating_mul(1000) / u64::from(milli_cpus.max(1));
        Duration::from_micros(at_full_speed).max(RETRY)
    }
}
