//! How long something took, counted so that any quantile can be told later: an HDR histogram of a fixed size, exact to
//! some six per cent. Not here: what is measured.
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::base::time::micros;

/// Whatever took longer is counted as this long.
const LONGEST_US: u64 = 3_600_000_000;

/// Decimal digits that a time keeps.
const DIGITS: u8 = 1;

/// Times of one kind, with how often each was seen.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

/// So many times between two neighbouring values that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The longest of them.
    pub us: u64,
    /// How many.
    pub count: u64,
}

impl Default for Times {
    #[expect(clippy::expect_used, reason = "constants, and a test makes one of them")]
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect("the bounds of a histogram"))
    }
}

impl Times {
    /// Counts one more.
    pub fn record(&mut self, us: u64) {
        self.0.saturating_record(us);
    }

    /// Counts all of these; the other way round from [`Times::buckets`].
    pub fn add(&mut self, bucket: Bucket) {
        self.0.saturating_record_n(bucket.us, bucket.count);
    }

    /// Those that are not in `earlier`, which was taken of the same ones before.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut later = Self::default();
        for Bucket { us, count } in self.buckets() {
            let count = count.saturating_sub(earlier.0.count_at(us));
            later.add(Bucket { us, count });
        }
        later
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// So many of a hundred took no longer.
    pub fn percentile_us(&self, percent: f64) -> u64 {
        self.0.value_at_percentile(percent)
    }

    /// The longest.
    pub fn max_us(&self) -> u64 {
        self.0.max()
    }

    /// The arithmetic mean.
    pub fn mean_us(&self) -> f64 {
        self.0.mean()
    }

    /// What was counted, shortest first.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.0
            .iter_recorded()
            .map(|step| Bucket { us: step.value_iterated_to(), count: step.count_since_last_iteration() })
    }
}

/// Times that many tasks count. The lock is held for one addition.
#[derive(Debug, Default)]
pub struct Stopwatch(Mutex<Times>);

impl Stopwatch {
    /// Counts one more.
    pub fn record(&self, took: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).record(micros(took));
    }

    /// What was counted so far.
    pub fn times(&self) -> Times {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn of(times: &[u64]) -> Times {
        let watch = Stopwatch::default();
        for us in times {
            watch.record(Duration::from_micros(*us));
        }
        watch.times()
    }

    #[test]
    fn a_quantile_is_exact_to_a_sixteenth() {
        let times = of(&(1..=100_000).collect::<Vec<_>>());
        for (percent, exact) in [(50.0, 50_000), (95.0, 95_000), (99.0, 99_000)] {
            let told = times.percentile_us(percent);
            assert!((exact..=exact + exact / 16).contains(&told), "{percent}: {told}");
        }
        assert_eq!(times.count(), 100_000);
    }

    #[test]
    fn nothing_is_lost_at_either_end() {
        let times = of(&[0, 1, LONGEST_US, u64::MAX]);
        assert_eq!(times.count(), 4);
        assert!(times.max_us() >= LONGEST_US);
    }

    #[test]
    fn buckets_make_the_same_times_again() {
        let times = of(&[3, 3, 1_000, 77_777, 5_000_000]);
        let mut again = Times::default();
        times.buckets().for_each(|bucket| again.add(bucket));
        assert_eq!(again.buckets().collect::<Vec<_>>(), times.buckets().collect::<Vec<_>>());
        assert_eq!(times.buckets().next(), Some(Bucket { us: 3, count: 2 }));
    }

    #[test]
    fn what_was_counted_before_is_taken_away() {
        let (before, after) = (of(&[10, 900]), of(&[10, 900, 900, 40_000]));
        let between = after.since(&before);
        assert_eq!(between.count(), 2);
        assert!(between.percentile_us(50.0) < 1_000 && between.max_us() >= 40_000);
        assert_eq!(before.since(&after).count(), 0);
    }
}
