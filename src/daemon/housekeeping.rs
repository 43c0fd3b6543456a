//! What is looked after now and then: jobs that are kept long enough, keys that expired, the feed.
//!
//! A clock that jumps could make every job old at once. So nothing is removed before the clock has run
//! evenly for [`TRUSTED_AFTER`], counted by the clock that never jumps.
use std::sync::Arc;
use std::time::Duration;

use crate::base::time::{Clock, Instant, Timestamp, instant, micros};
use crate::queue::Queue;
use crate::store::{FEED_PAGE, SWEEP_MOST, Store, StoreError};

/// Between two looks.
const PAUSE: Duration = Duration::from_mins(10);
/// How long the clock must have run evenly.
const TRUSTED_AFTER: Duration = Duration::from_hours(1);
/// A larger difference between both clocks is a jump. Slewing is at most 500 ppm (adjtimex(2)).
const EVEN: Duration = Duration::from_mins(1);
/// How long changes are kept in the feed for readers that are late.
const FEED_KEPT: Duration = Duration::from_hours(24);

/// Looks after the store as long as the daemon runs.
pub(super) fn start(queue: Queue, store: Arc<Store>, clock: Arc<dyn Clock>, retention: Duration) {
    tokio::spawn(async move {
        let mut trust = Trust::begin(clock.now(), instant());
        loop {
            tokio::time::sleep(PAUSE).await;
            let now = clock.now();
            if !trust.look(now, instant()) {
                continue;
            }
            if let Err(error) = look(&queue, &store, now, retention).await {
                // The store says so itself, once, at its first fault.
                tracing::debug!(%error, "housekeeping: not this time");
            }
        }
    });
}

async fn look(queue: &Queue, store: &Arc<Store>, now: Timestamp, retention: Duration) -> Result<(), StoreError> {
    let removed = queue.expire(before(now, retention)).await?;
    if removed > 0 {
        tracing::info!(jobs = removed, "jobs that were kept long enough are removed");
    }
    let store = Arc::clone(store);
    let swept = tokio::task::spawn_blocking(move || {
        while store.sweep_keys()? >= SWEEP_MOST {}
        while store.trim_feed(before(now, FEED_KEPT))? >= FEED_PAGE {}
        Ok(())
    });
    swept.await.map_err(|error| StoreError::Failed { message: error.to_string() })?
}

fn before(now: Timestamp, time: Duration) -> Timestamp {
    Timestamp(now.0.saturating_sub(micros(time)))
}

/// Whether the clock can be trusted.
#[derive(Clone, Copy, Debug)]
struct Trust {
    /// The last look, by both clocks.
    last: (Timestamp, Instant),
    /// Since when it runs evenly.
    since: Instant,
}

impl Trust {
    const fn begin(now: Timestamp, instant: Instant) -> Self {
        Self { last: (now, instant), since: instant }
    }

    /// Compares the clocks; true once they have agreed for long enough.
    fn look(&mut self, now: Timestamp, instant: Instant) -> bool {
        let passed = instant.duration_since(self.last.1);
        let expected = self.last.0.0.saturating_add(micros(passed));
        let jump = Duration::from_micros(now.0.abs_diff(expected));
        if jump > EVEN {
            tracing::warn!(seconds = jump.as_secs(), "the clock jumped: no old job is removed for an hour");
            self.since = instant;
        }
        self.last = (now, instant);
        instant.duration_since(self.since) >= TRUSTED_AFTER
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_clock_that_jumps_is_not_trusted_for_an_hour() {
        let (begin, minute) = (instant(), Duration::from_mins(1));
        let mut trust = Trust::begin(Timestamp(0), begin);
        let mut look = |minutes: u32, ahead: Duration| {
            let passed = minute * minutes;
            trust.look(Timestamp(micros(passed + ahead)), begin + passed)
        };
        assert!(!look(10, Duration::ZERO));
        assert!(look(60, Duration::from_secs(30)));
        let years = Duration::from_hours(24 * 3650);
        assert!(!look(70, years), "forwards");
        assert!(!look(120, years));
        assert!(look(130, years));
        assert!(!look(140, Duration::ZERO), "and back");
    }
}
