//! Sandboxes that stand before anybody asks for them: how many, what for, and when none is made.
//!
//! Each is used once, as one that was made on request. Not here: how one is made (`spawner::create`).
use std::time::Duration;

use super::number::Number;
use super::tree::Size;
use crate::base::time::Instant;
use crate::plan::limits::Limits;

/// After one that could not be made none is tried for this long: what was wrong then may be wrong still.
const PAUSE: Duration = Duration::from_secs(1);

/// What the next sandbox is made for. Another one can be given other limits, which takes longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) limits: Limits,
    /// Of `/work`.
    pub(super) work: Size,
}

/// What is known beside the sandboxes themselves.
#[derive(Debug)]
pub(super) struct Stock {
    most: usize,
    last: u64,
    wish: Wish,
    paused_until: Option<Instant>,
}

/// Before the first job: about what most ask for.
const FIRST_WISH: Wish = Wish {
    limits: Limits {
        wall_us: 30_000_000,
        cpu_time_us: 30_000_000,
        milli_cpus: 1000,
        memory: 128 << 20,
        processes: 64,
        open_files: 256,
        file_size: 64 << 20,
        temporary: 64 << 20,
        temporary_inodes: 16 << 10,
    },
    work: Size { bytes: 64 << 20, inodes: 16 << 10 },
};

impl Stock {
    /// None stands ready until the server has said how many.
    pub(super) const fn new() -> Self {
        Self { most: 0, last: 0, wish: FIRST_WISH, paused_until: None }
    }

    /// At most so many stand ready.
    pub(super) const fn keep(&mut self, most: usize) {
        self.most = most;
    }

    /// A number that no sandbox or tree had before.
    pub(super) const fn number(&mut self) -> Number {
        self.last = self.last.saturating_add(1);
        Number(self.last)
    }

    /// What the next one is made for.
    pub(super) const fn wish(&self) -> Wish {
        self.wish
    }

    /// What the last job asked for, the next one will.
    pub(super) const fn wish_for(&mut self, limits: Limits) {
        self.wish.limits = limits;
    }

    /// The same, of the size of `/work`.
    pub(super) const fn wish_for_work(&mut self, size: Size) {
        self.wish.work = size;
    }

    /// Whether one more is to be made while so many stand.
    pub(super) fn wants(&self, standing: usize, now: Instant) -> bool {
        standing < self.most && self.paused_until.is_none_or(|until| until <= now)
    }

    /// Whether so many may not last.
    pub(super) const fn is_low(&self, standing: usize) -> bool {
        standing < self.most / 2
    }

    /// One could not be made.
    pub(super) fn pause(&mut self, now: Instant) {
        self.paused_until = Some(now + PAUSE);
    }

    /// When to look again.
    pub(super) fn deadline(&self, standing: usize, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| standing < self.most && *until > now)
    }
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::base::time::instant;

    #[test]
    fn after_a_failure_none_is_made_for_a_while() {
        let (mut stock, now) = (Stock::new(), instant());
        assert!(!stock.wants(0, now));
        stock.keep(2);
        assert!(stock.wants(1, now) && !stock.wants(2, now));
        stock.pause(now);
        assert!(!stock.wants(0, now));
        assert_eq!((stock.deadline(0, now), stock.deadline(2, now)), (Some(now + PAUSE), None));
        assert!(stock.wants(0, now + PAUSE));
        assert_eq!(stock.deadline(0, now + PAUSE), None);
    }

    #[test]
    fn no_number_is_given_twice() {
        let mut stock = Stock::new();
        assert_ne!(stock.number(), stock.number());
    }
}
