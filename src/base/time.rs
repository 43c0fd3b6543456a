//! Moments and durations, and how they are written. Only [`SystemClock`] asks the kernel.
use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment, in microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment in RFC 3339 with microseconds and `Z`.
    pub fn rfc3339(self) -> String {
        let micros = i64::try_from(self.0).unwrap_or(i64::MAX);
        jiff::Timestamp::from_microsecond(micros)
            .map_or_else(|_beyond_9999| String::from("9999-12-31T23:59:59.999999Z"), |at| format!("{at:.6}"))
    }

    /// How long ago `earlier` was; nothing when the clock was set back in between.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The clock of this host.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }
}

/// A point in time that no clock setting moves, for deadlines and measures.
pub use std::time::Instant;

/// The present instant.
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
pub fn instant() -> Instant {
    Instant::now()
}

/// Whole microseconds of a duration.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A duration in the form that Go prints (`time.Duration.String`): `150ms`, `1.5s`, `2h30m0s`.
///
/// Below a second the unit is `ms` or `µs`; digits after the point are as many as are needed.
pub fn go_duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    if micros == 0 {
        return String::from("0s");
    }
    if micros < 1_000 {
        return format!("{micros}µs");
    }
    if micros < 1_000_000 {
        return format!("{}ms", decimal(micros, 1_000));
    }
    let mut text = String::new();
    let (hours, minutes) = (micros / 3_600_000_000, micros / 60_000_000 % 60);
    let mut put = |part: std::fmt::Arguments<'_>| text.write_fmt(part).is_ok();
    let whole = (hours == 0 || put(format_args!("{hours}h")))
        && (hours == 0 && minutes == 0 || put(format_args!("{minutes}m")));
    debug_assert!(whole, "a String takes every text");
    text + &decimal(micros % 60_000_000, 1_000_000) + "s"
}

/// `number / unit`, without zeros at the end. `unit` is a power of ten.
fn decimal(number: u128, unit: u128) -> String {
    let digits = unit.ilog10();
    let text = format!("{}.{:0width$}", number / unit, number % unit, width = usize::try_from(digits).unwrap_or(0));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod test {
    use super::*;

    #[track_caller]
    fn check(micros: u64, text: &str) {
        assert_eq!(go_duration(Duration::from_micros(micros)), text);
    }

    #[test]
    fn durations_look_as_go_prints_them() {
        check(0, "0s");
        check(15, "15µs");
        check(150_000, "150ms");
        check(1_500, "1.5ms");
        check(1_500_000, "1.5s");
        check(10_000_000, "10s");
        check(90_000_000, "1m30s");
        check(9_000_000_000, "2h30m0s");
    }

    #[test]
    fn a_moment_has_six_digits_and_a_zone() {
        assert_eq!(Timestamp(1_672_574_400_000_000).rfc3339(), "2023-01-01T12:00:00.000000Z");
    }
}
