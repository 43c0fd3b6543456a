//! The self-test: attempts to get out of a sandbox, made on the live host in jobs like any other, and what came of each.
//!
//! ```text
//! table of attempts -> job with the probe (`src/probe`) -> its lines and its end -> judge -> finding -> report
//! ```
//!
//! An attempt is well only when it was stopped in a way that is written down for it. What could not be tried is not well:
//! a test that did not take place has shown nothing. Not here: who may ask for it, how a job is run.
mod attempt;
mod exhaustion;
mod judge;
mod line;
mod run;
mod table;

use crate::base::id::JobId;
use crate::base::time::Timestamp;

pub use attempt::{Attempt, Layer, Stop};
pub use exhaustion::{EXHAUSTION, Exhaustion};
pub use judge::judge;
pub use line::{Line, Outcome, lines};
pub use run::{NotRun, Ran, Runs, run};
pub use table::BRIEF;

/// The program that makes the attempts: static, without a library.
pub static PROBE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kiln-probe"));

/// The argument with which the probe makes all attempts of [`BRIEF`], each in a process of its own.
pub const ALL_BRIEF: &str = "all";

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// One for each attempt, in the order of the tables.
    pub findings: Vec<Finding>,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub attempt: &'static Attempt,
    /// How it is judged.
    pub verdict: Verdict,
    /// What was seen, for people.
    pub how: String,
    /// The job that made it, where one was accepted.
    pub job: Option<JobId>,
}

/// How an attempt is judged, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// In one of the ways that are written down for it.
    Stopped,
    /// It was not made.
    NotTried,
    /// It failed in another way: the wall that should have stopped it may be missing.
    Unexpected,
    /// Nothing stopped it.
    GotThrough,
}

/// What the whole self-test shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// Every attempt was stopped as it should be.
    Holds,
    /// None got through, but not every one was seen to be stopped as it should be.
    Unproven,
    /// At least one got through.
    Broken,
}

impl Report {
    /// What it shows. A report without findings shows nothing.
    pub fn conclusion(&self) -> Conclusion {
        match self.findings.iter().map(|finding| finding.verdict).max() {
            Some(Verdict::Stopped) => Conclusion::Holds,
            None | Some(Verdict::NotTried | Verdict::Unexpected) => Conclusion::Unproven,
            Some(Verdict::GotThrough) => Conclusion::Broken,
        }
    }

    /// How many attempts are judged so.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }
}
