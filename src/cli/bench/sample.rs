//! What was measured, and what is said of it: quantiles, rates, medians. Pure.
use std::time::Duration;

use crate::telemetry::times::Times;

/// How long the parts of jobs took, as a daemon tells it, by their names.
pub(super) type Parts = Vec<(String, Times)>;

/// What one contestant did in one round.
#[derive(Clone, Debug, Default)]
pub(super) struct Slice {
    /// One for each job that went well.
    pub(super) latencies: Vec<Duration>,
    /// Jobs that did not.
    pub(super) failed: usize,
    /// Why the first of them did not.
    pub(super) fault: Option<String>,
    /// From the first begin to the last end.
    pub(super) elapsed: Duration,
    /// Of a daemon.
    pub(super) parts: Parts,
}

impl Slice {
    /// Notes one job.
    pub(super) fn note(&mut self, took: Duration, went: Result<(), String>) {
        match went {
            Ok(()) => self.latencies.push(took),
            Err(fault) => {
                self.failed = self.failed.saturating_add(1);
                self.fault.get_or_insert(fault);
            }
        }
    }

    /// Puts together what several did at the same time, or one after another.
    pub(super) fn joined<'a>(slices: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        for slice in slices {
            all.latencies.extend(&slice.latencies);
            all.failed = all.failed.saturating_add(slice.failed);
            all.elapsed = all.elapsed.saturating_add(slice.elapsed);
            all.fault = all.fault.or_else(|| slice.fault.clone());
            for (name, times) in &slice.parts {
                match all.parts.iter_mut().find(|(known, _)| known == name) {
                    Some((_, known)) => times.buckets().for_each(|bucket| known.add(bucket)),
                    None => all.parts.push((name.clone(), times.clone())),
                }
            }
        }
        all
    }

    /// Jobs a second.
    pub(super) fn rate(&self) -> Option<f64> {
        let seconds = self.elapsed.as_secs_f64();
        (seconds > 0.0 && !self.latencies.is_empty()).then(|| number(self.latencies.len()) / seconds)
    }

    /// So many of a hundred took no longer, milliseconds.
    pub(super) fn percentile_ms(&self, percent: u32) -> Option<f64> {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        percentile(&sorted, percent).map(|latency| latency.as_secs_f64() * 1000.0)
    }
}

/// The smallest value that so many of a hundred do not pass (nearest rank).
fn percentile(sorted: &[Duration], percent: u32) -> Option<Duration> {
    let percent = usize::try_from(percent).unwrap_or(100);
    let rank = sorted.len().saturating_mul(percent).div_ceil(100).max(1);
    sorted.get(rank.saturating_sub(1)).copied()
}

/// The value in the middle; between the two in the middle where they are two.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
    Some(f64::midpoint(*sorted.get(low)?, *sorted.get(high)?))
}

/// A count as a number that can be divided.
pub(super) fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::telemetry::times::Bucket;

    fn of(millis: &[u64]) -> Slice {
        let mut slice = Slice { elapsed: Duration::from_secs(1), ..Slice::default() };
        for milli in millis {
            slice.note(Duration::from_millis(*milli), Ok(()));
        }
        slice
    }

    #[track_caller]
    fn check(slice: &Slice, percent: u32, expected: Option<u32>) {
        let found = slice.percentile_ms(percent).map(f64::round);
        assert_eq!(found, expected.map(f64::from), "p{percent}");
    }

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let hundred = of(&(1..=100).rev().collect::<Vec<_>>());
        check(&hundred, 50, Some(50));
        check(&hundred, 99, Some(99));
        check(&hundred, 100, Some(100));
        check(&of(&[7]), 1, Some(7));
        check(&of(&[7]), 99, Some(7));
        check(&of(&[1, 9]), 50, Some(1));
        check(&of(&[]), 50, None);
    }

    #[test]
    fn a_median_stands_in_the_middle() {
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 8.0]), Some(3.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_job_that_failed_has_no_latency_and_keeps_the_first_reason() {
        let mut slice = of(&[1, 1, 1, 1]);
        slice.note(Duration::ZERO, Err(String::from("first")));
        slice.note(Duration::ZERO, Err(String::from("second")));
        assert_eq!((slice.latencies.len(), slice.failed, slice.fault.as_deref()), (4, 2, Some("first")));
        assert_eq!(slice.rate(), Some(4.0));
        assert_eq!(Slice::default().rate(), None);
    }

    #[test]
    fn rounds_are_put_together_with_their_parts() {
        let with = |us| {
            let mut times = Times::default();
            times.add(Bucket { us, count: 1 });
            Slice { parts: vec![(String::from("run"), times)], ..of(&[us]) }
        };
        let all = Slice::joined(&[with(1), with(3)]);
        assert_eq!((all.latencies.len(), all.elapsed), (2, Duration::from_secs(2)));
        assert_eq!(all.parts[0].1.count(), 2);
    }
}
