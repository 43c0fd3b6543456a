//! Where a job is in its life. A transition takes the state and gives the next.
use serde::{Deserialize, Serialize};

use crate::base::time::Timestamp;
use crate::job::termination::{Reason, Termination};

/// Where a job is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Waiting for a place.
    Queued,
    /// A sandbox works on it.
    Running {
        /// When the first phase began.
        since: Timestamp,
    },
    /// Nothing more will happen.
    Ended {
        /// When the first phase began; absent when it never ran.
        started: Option<Timestamp>,
        /// When it ended.
        at: Timestamp,
        /// How.
        termination: Termination,
    },
}

/// The five ends and two beginnings that families show in their own words (contract rule 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted, not started.
    Queued,
    /// Started, not ended.
    Running,
    /// The program exited by itself.
    Completed,
    /// Anything else ended it.
    Failed,
    /// Somebody ended it.
    Cancelled,
    /// A time limit ended it.
    TimedOut,
}

/// The job is not in a state that allows this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the job is {status:?}")]
pub struct WrongState {
    /// The state it is in.
    pub status: Status,
}

impl State {
    /// A queued job gets a place.
    ///
    /// # Errors
    /// Only a queued job can start.
    pub fn start(self, now: Timestamp) -> Result<Self, WrongState> {
        match self {
            Self::Queued => Ok(Self::Running { since: now }),
            Self::Running { .. } | Self::Ended { .. } => Err(WrongState { status: self.status() }),
        }
    }

    /// A queued or running job ends.
    ///
    /// # Errors
    /// A job ends once.
    pub fn end(self, now: Timestamp, termination: Termination) -> Result<Self, WrongState> {
        match self {
            Self::Queued => Ok(Self::Ended { started: None, at: now, termination }),
            Self::Running { since } => Ok(Self::Ended { started: Some(since), at: now, termination }),
            Self::Ended { .. } => Err(WrongState { status: self.status() }),
        }
    }

    /// Whether nothing more will happen.
    pub const fn is_over(&self) -> bool {
        match self {
            Self::Queued | Self::Running { .. } => false,
            Self::Ended { .. } => true,
        }
    }

    /// The state without its data.
    pub const fn status(&self) -> Status {
        match self {
            Self::Queued => Status::Queued,
            Self::Running { .. } => Status::Running,
            Self::Ended { termination, .. } => status_of(termination.reason),
        }
    }
}

/// The table of contract rule 5.
pub const fn status_of(reason: Reason) -> Status {
    match reason {
        Reason::Exited => Status::Completed,
        Reason::CpuTimeLimit | Reason::WallTimeLimit | Reason::QueueTimeout => Status::TimedOut,
        Reason::Cancelled => Status::Cancelled,
        Reason::Signaled
        | Reason::MemoryLimit
        | Reason::OutputLimit
        | Reason::SeccompDenied
        | Reason::CompileFailed
        | Reason::Preempted
        | Reason::SetupFailed
        | Reason::DaemonRestart => Status::Failed,
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn ended() -> Termination {
        Termination::without_exit(Reason::Cancelled, None)
    }

    #[test]
    fn a_job_starts_once_and_ends_once() {
        let running = State::Queued.start(Timestamp(1)).unwrap();
        assert!(running.clone().start(Timestamp(2)).is_err());
        let over = running.end(Timestamp(3), ended()).unwrap();
        assert_eq!(over.status(), Status::Cancelled);
        assert_eq!(over.end(Timestamp(4), ended()).unwrap_err().status, Status::Cancelled);
    }

    #[test]
    fn a_job_can_end_before_it_starts() {
        let over = State::Queued.end(Timestamp(3), ended()).unwrap();
        assert!(matches!(over, State::Ended { started: None, .. }));
    }
}
