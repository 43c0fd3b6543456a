//! A job as the store keeps it: the head that every record has, then what only jobs have.
use serde::{Deserialize, Serialize};

use crate::access::Ownership;
use crate::base::id::{JobId, LogId};
use crate::base::time::Timestamp;
use crate::job::request::Request;
use crate::job::state::State;
use crate::job::termination::Termination;
use crate::job::usage::Usage;

/// Version of the shape that is written now. A record of another version is refused by name.
pub const SCHEMA: u32 = 1;

/// What every kind of record begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Version of the shape.
    pub schema: u32,
    /// Who owns it and who else may read.
    pub ownership: Ownership,
    /// API family that made it.
    pub family: Family,
    /// Host that made it; ids never depend on it.
    pub node: String,
    /// Raised by one with every change.
    pub revision: u64,
    /// When it was made.
    pub created: Timestamp,
}

/// The API families of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// `/v1`
    Execution,
}

/// What somebody wants of a job, apart from what is observed of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// That it runs to its end.
    Run,
    /// That it ends now.
    Cancel,
}

/// Everything that is remembered of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What every record has.
    pub head: Head,
    /// The job.
    pub id: JobId,
    /// What was asked for.
    pub request: Request,
    /// What is wanted.
    pub wanted: Wanted,
    /// What is observed.
    pub observed: State,
    /// One entry for each time it was tried, oldest first.
    pub attempts: Vec<Attempt>,
    /// Where its output is: marks inside this log separate attempts and phases.
    pub log: LogId,
}

/// One try at a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Counts from 1.
    pub number: u32,
    /// Whether the program was started: retry and recovery decide on it.
    pub ran: Ran,
    /// The compile phase, where there was one and it ended.
    pub compile: Option<PhaseResult>,
    /// The run phase, where it ended.
    pub run: Option<PhaseResult>,
    /// Version of the language that was used, where it is known.
    pub version: Option<String>,
    /// The id on the host that was 0 in its sandboxes, where there was one.
    #[serde(default)]
    pub first_id: Option<u32>,
}

/// Whether a program was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ran {
    /// Certainly not.
    No,
    /// Certainly.
    Yes,
    /// The daemon went away in between.
    Unknown,
}

/// What came of a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseResult {
    /// How it ended.
    pub termination: Termination,
    /// What it used.
    pub usage: Usage,
    /// Bytes it printed on stdout.
    pub stdout_bytes: u64,
    /// Bytes it printed on stderr.
    pub stderr_bytes: u64,
}
