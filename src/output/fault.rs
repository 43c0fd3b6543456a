//! What can go wrong with a log, by what the caller can do about it.
use std::io;

use crate::base::id::LogId;

/// The log could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Nothing was ever printed under this id.
    #[error("there is no log {id}")]
    Missing {
        /// The log.
        id: LogId,
    },
    /// The file is not a log of this version, or another log's.
    #[error("log {id} is damaged: {message}")]
    Damaged {
        /// The log.
        id: LogId,
        /// What is wrong.
        message: String,
    },
    /// The disk refused: full, read-only or failed.
    #[error("log {id}: {message}")]
    Disk {
        /// The log.
        id: LogId,
        /// What the kernel said.
        message: String,
    },
    /// This kind of log cannot be written yet.
    #[error("logs with the policy {policy} are not built yet")]
    NotBuilt {
        /// Name of the policy.
        policy: &'static str,
    },
}

impl LogError {
    /// A failure of the file system.
    pub(super) fn of_io(id: LogId, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            Self::Missing { id }
        } else {
            Self::Disk { id, message: error.to_string() }
        }
    }
}
