//! How long the parts of a job take, measured where each of them happens.
//!
//! ```text
//! request ─► accept ─────────► answered, where nobody waits
//!              └► queue ─► prepare ─► setup ─► run ─► reap ─► record ─► told
//!                                     └─ once a phase ─┘
//! ```
//!
//! Without `accept`, which happens at the same time, the parts make up `total` but for moments between tasks. A spawner
//! that is busy hears late that a program runs: its `setup` and `run` then overlap, and `reap` is too short.
use crate::telemetry::times::{Stopwatch, Times};

/// One stopwatch for each part.
#[derive(Debug, Default)]
pub(super) struct Stopwatches {
    /// From the arrival of the request in the queue until its record is on the disk.
    pub(super) accept: Stopwatch,
    /// From acceptance to a free place.
    pub(super) queue: Stopwatch,
    /// From the free place until tree, log and the record of the start are there.
    pub(super) prepare: Stopwatch,
    /// Making a sandbox, to the exec of its program; measured by the spawner.
    pub(super) setup: Stopwatch,
    /// From the start of a program to its end; measured by the spawner.
    pub(super) run: Stopwatch,
    /// What else a sandbox takes: the end of everything in it, the last output, messages both ways.
    pub(super) reap: Stopwatch,
    /// Until the record of the end is on the disk.
    pub(super) record: Stopwatch,
    /// From acceptance until whoever waits is told.
    pub(super) total: Stopwatch,
}

impl Stopwatches {
    /// What each has counted, by its name.
    pub(super) fn times(&self) -> Vec<(&'static str, Times)> {
        let all = [
            ("accept", &self.accept),
            ("queue", &self.queue),
            ("prepare", &self.prepare),
            ("setup", &self.setup),
            ("run", &self.run),
            ("reap", &self.reap),
            ("record", &self.record),
            ("total", &self.total),
        ];
        all.into_iter().map(|(name, watch)| (name, watch.times())).collect()
    }
}
