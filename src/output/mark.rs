//! kiln's own notes inside a log, in the same numbering as what the program printed.
use serde::{Deserialize, Serialize};

use super::frame::{Frame, Stream};
use crate::job::state::Status;

/// A note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mark", rename_all = "snake_case")]
pub enum Mark {
    /// A try at the job begins; what was printed before belongs to an earlier one.
    Attempt {
        /// Counts from 1.
        number: u32,
    },
    /// Nothing more is printed.
    Ended {
        /// What became of the job.
        status: Status,
    },
}

impl Mark {
    /// The note that this entry is, if it is one that this version knows.
    pub fn of(frame: &Frame) -> Option<Self> {
        match frame.stream {
            Stream::Mark => serde_json::from_slice(&frame.payload).ok(),
            Stream::Stdout | Stream::Stderr => None,
        }
    }
}
