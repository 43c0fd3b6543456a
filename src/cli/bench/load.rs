//! How jobs are sent: how many at a time, with what pauses, and until when.
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::base::time::{Instant, instant};

/// Jobs after idleness in each round.
const IDLE_JOBS: u32 = 3;

/// How jobs are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Load {
    /// By so many clients, each as soon as its last one was answered.
    Clients(u16),
    /// One at a time, each after so much idleness.
    Idle(Duration),
    /// So many at once.
    Burst(u16),
    /// So many a second, evenly spaced, whatever was answered.
    Rate(f64),
}

/// When a measurement ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// No job begins later.
    Time(Duration),
    /// After so many of all clients together.
    Jobs(u32),
    /// After so many of each client.
    Each(u32),
}

impl Load {
    /// How many ask at the same time.
    pub(super) const fn clients(self) -> u16 {
        match self {
            Self::Clients(count) | Self::Burst(count) => count,
            Self::Idle(_) | Self::Rate(_) => 1,
        }
    }

    /// How long each waits before it asks.
    pub(super) const fn gap(self) -> Duration {
        match self {
            Self::Idle(gap) => gap,
            Self::Clients(_) | Self::Burst(_) | Self::Rate(_) => Duration::ZERO,
        }
    }

    /// When it ends, where others end at `usual`.
    pub(super) const fn bound(self, usual: Bound) -> Bound {
        match self {
            Self::Clients(_) | Self::Rate(_) => usual,
            Self::Idle(_) => Bound::Each(IDLE_JOBS),
            Self::Burst(_) => Bound::Each(1),
        }
    }

    /// In a table.
    pub(super) fn text(self) -> String {
        match self {
            Self::Clients(1) => String::from("1 client"),
            Self::Clients(count) => format!("{count} clients"),
            Self::Idle(gap) => format!("after {} s", gap.as_secs_f64()),
            Self::Burst(count) => format!("burst of {count}"),
            Self::Rate(rate) => format!("{rate:.0} jobs/s"),
        }
    }
}

/// What is left to do; shared by all clients.
#[derive(Debug)]
pub(super) struct Pace {
    bound: Bound,
    begun: Instant,
    taken: AtomicU32,
}

/// One client's part of it.
#[derive(Debug)]
pub(super) struct Turns<'a> {
    pace: &'a Pace,
    taken: u32,
}

impl Pace {
    /// Begins now.
    pub(super) fn begin(bound: Bound) -> Self {
        Self { bound, begun: instant(), taken: AtomicU32::new(0) }
    }

    pub(super) const fn turns(&self) -> Turns<'_> {
        Turns { pace: self, taken: 0 }
    }

    /// From when a job counts that is sent now. Those of a burst count from one moment: whoever starts late has waited.
    pub(super) fn sent(&self, load: Load) -> Instant {
        match load {
            Load::Burst(_) => self.begun,
            Load::Clients(_) | Load::Idle(_) | Load::Rate(_) => instant(),
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Turns<'_> {
    /// From when a job counts that is sent now.
    pub(super) fn sent(&self, load: Load) -> Instant {
        self.pace.sent(load)
    }

    /// Whether there is one more job for this client.
    pub(super) fn next(&mut self) -> bool {
        match self.pace.bound {
            Bound::Time(time) => self.pace.elapsed() < time,
            Bound::Jobs(jobs) => self.pace.taken.fetch_add(1, Ordering::Relaxed) < jobs,
            Bound::Each(jobs) => {
                self.taken = self.taken.saturating_add(1);
                self.taken <= jobs
            }
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn count(turns: &mut Turns<'_>) -> u32 {
        let mut count = 0;
        while turns.next() {
            count += 1;
        }
        count
    }

    #[test]
    fn clients_share_jobs_or_have_their_own() {
        let shared = Pace::begin(Bound::Jobs(5));
        let (mut one, mut other) = (shared.turns(), shared.turns());
        assert!(one.next() && other.next());
        assert_eq!((count(&mut one), count(&mut other)), (3, 0));
        let each = Pace::begin(Bound::Each(2));
        assert_eq!((count(&mut each.turns()), count(&mut each.turns())), (2, 2));
    }

    #[test]
    fn no_job_begins_when_the_time_is_over() {
        assert!(!Pace::begin(Bound::Time(Duration::ZERO)).turns().next());
        assert!(Pace::begin(Bound::Time(Duration::from_mins(1))).turns().next());
    }

    #[test]
    fn all_of_a_burst_count_from_one_moment() {
        let pace = Pace::begin(Bound::Each(1));
        assert_eq!(pace.sent(Load::Burst(2)), pace.sent(Load::Burst(2)));
        assert!(pace.sent(Load::Clients(2)) > pace.sent(Load::Burst(2)));
    }

    #[test]
    fn idleness_and_bursts_have_bounds_of_their_own() {
        let usual = Bound::Jobs(9);
        assert_eq!(Load::Clients(2).bound(usual), usual);
        assert_eq!(Load::Burst(100).bound(usual), Bound::Each(1));
        assert_eq!(Load::Idle(Duration::from_secs(1)).bound(usual), Bound::Each(IDLE_JOBS));
    }
}
