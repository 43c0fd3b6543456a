//! The queue's decisions, without its actions.
use std::time::Duration;

/// How much may happen at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Jobs that run at the same time.
    pub(super) max_concurrent: usize,
    /// Jobs that wait.
    pub(super) max_queued: usize,
}

/// How much happens now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Jobs that run.
    pub running: usize,
    /// Jobs that wait.
    pub queued: usize,
}

/// What becomes of a job that comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It gets a place, or waits for one.
    Accepted,
    /// There is no room.
    Full {
        /// When there may be room.
        retry_after_s: u64,
    },
}

/// Shortest and longest answer to "when shall I come again".
const RETRY_S: (u64, u64) = (1, 60);

/// Decides on one more job. Jobs take `pace` on average.
pub(super) fn admit(load: Load, bounds: Bounds, pace: Pace) -> Admission {
    let room = bounds.max_concurrent.saturating_add(bounds.max_queued);
    if load.running.saturating_add(load.queued) < room {
        return Admission::Accepted;
    }
    let places = u64::try_from(bounds.max_concurrent.max(1)).unwrap_or(u64::MAX);
    let until_one_ends = pace.mean_us / places;
    let seconds = until_one_ends.div_ceil(1_000_000);
    Admission::Full { retry_after_s: seconds.clamp(RETRY_S.0, RETRY_S.1) }
}

/// Whether the job that waits longest may start.
pub(super) const fn may_start(load: Load, bounds: Bounds) -> bool {
    load.queued > 0 && load.running < bounds.max_concurrent
}

/// How long jobs take: a mean that forgets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pace {
    mean_us: u64,
}

impl Pace {
    /// The pace after a job that took so long.
    pub(super) fn after(self, took: Duration) -> Self {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mean_us = if self.mean_us == 0 { took } else { self.mean_us / 8 * 7 + took / 8 };
        Self { mean_us }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    const BOUNDS: Bounds = Bounds { max_concurrent: 2, max_queued: 3 };

    #[track_caller]
    fn check(running: usize, queued: usize, accepted: bool, starts: bool) {
        let load = Load { running, queued };
        let admission = admit(load, BOUNDS, Pace::default());
        assert_eq!(admission == Admission::Accepted, accepted);
        assert_eq!(may_start(load, BOUNDS), starts);
    }

    #[test]
    fn places_and_waiting_room_are_bounded() {
        check(0, 0, true, false);
        check(1, 1, true, true);
        check(2, 2, true, false);
        check(2, 3, false, false);
        check(0, 5, false, true);
    }

    #[test]
    fn whoever_is_refused_hears_when_a_job_may_have_ended() {
        let load = Load { running: 2, queued: 3 };
        let after = |took| match admit(load, BOUNDS, Pace::default().after(took)) {
            Admission::Full { retry_after_s } => retry_after_s,
            Admission::Accepted => 0,
        };
        assert_eq!(after(Duration::from_millis(3)), 1);
        assert_eq!(after(Duration::from_secs(9)), 5);
        assert_eq!(after(Duration::from_mins(15)), 60);
    }

    #[test]
    fn the_pace_follows_the_jobs() {
        let pace = Pace::default().after(Duration::from_secs(8));
        assert_eq!(pace.after(Duration::ZERO).mean_us, 7_000_000);
    }
}
