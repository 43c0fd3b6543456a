//! What can go wrong with the store, by what the caller can do about it.
use std::io;
use std::path::PathBuf;

use crate::base::id::JobId;
use crate::job::state::Status;

/// The store could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process has the same directory open. Use another directory, or end that process.
    #[error("data directory is in use by another kiln: {}", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory cannot be opened. Correct what the message says.
    #[error("cannot open the store in {}: {message}", dir.display())]
    Unopenable {
        /// The directory.
        dir: PathBuf,
        /// What was in the way.
        message: String,
    },
    /// Changes that were committed are not there: the end of the database was cut off or overwritten.
    #[error(
        "the records in {0} end at change {found}, but change {committed} was committed: their end was cut off or \
         overwritten. Copy the directory before anything else; then put a whole copy in its place, or delete {0}/{1} to go on \
         without what is missing",
        dir.display(),
        super::mark::NAME
    )]
    Lost {
        /// The directory.
        dir: PathBuf,
        /// The last change that was durable for certain.
        committed: u64,
        /// The last change that is there.
        found: u64,
    },
    /// The file system is full. Free space, then start again: nothing is accepted before that.
    #[error("the file system of the data directory is full; make room, then start kiln again: {message}")]
    Full {
        /// What the kernel said.
        message: String,
    },
    /// The file system is read-only.
    #[error("the file system of the data directory is read-only; make it writable, then start kiln again: {message}")]
    ReadOnly {
        /// What the kernel said.
        message: String,
    },
    /// The storage below failed. Nothing more is accepted until the daemon starts again.
    #[error("the store failed, and takes nothing more until kiln is started again: {message}")]
    Failed {
        /// What was seen.
        message: String,
    },
    /// Somebody changed the record in between (or made one of the same id). Read it again.
    #[error("job {id} is at revision {stored}, which {offered} does not fit")]
    Conflict {
        /// The job.
        id: JobId,
        /// The revision that is stored.
        stored: u64,
        /// The revision that was to be written, or that was to be deleted.
        offered: u64,
    },
    /// There is no such record.
    #[error("there is no job {id}")]
    Missing {
        /// The job.
        id: JobId,
    },
    /// The job has not ended. Cancel it first.
    #[error("job {id} has not ended: it is {status:?}")]
    Unfinished {
        /// The job.
        id: JobId,
        /// What it is.
        status: Status,
    },
    /// The page begins too far from the newest job. Use a narrower filter.
    #[error("a list can be entered at {most} jobs from the newest at most")]
    TooFar {
        /// The largest offset.
        most: u64,
    },
    /// The entries that were asked for are gone. Say so to whoever reads, and go on from `first`.
    #[error("the feed begins at change {first}; what was before is gone")]
    FeedTrimmed {
        /// The oldest entry that is there.
        first: u64,
    },
    /// The record cannot be read. Others can.
    #[error("{record} is damaged: {message}")]
    Damaged {
        /// Name of the record: `job <id>`, `feed entry <seq>`.
        record: String,
        /// What is wrong with it.
        message: String,
    },
    /// Another version of kiln wrote the record. Run that version, or a newer one.
    #[error("{record} has schema {found}, this kiln knows {known}")]
    OtherSchema {
        /// Name of the record.
        record: String,
        /// The version that was found.
        found: u64,
        /// The version that is known.
        known: u32,
    },
}

impl StoreError {
    /// A failure of the storage, by what can be done about it.
    pub(super) fn of_io(error: &io::Error) -> Self {
        Self::of_file_system(error).unwrap_or_else(|| Self::Failed { message: error.to_string() })
    }

    /// The states of a whole file system that an operator can change.
    pub(super) fn of_file_system(error: &io::Error) -> Option<Self> {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let (kind, message) = (error.kind(), error.to_string());
        if matches!(kind, StorageFull | QuotaExceeded | FileTooLarge) {
            Some(Self::Full { message })
        } else if kind == ReadOnlyFilesystem {
            Some(Self::ReadOnly { message })
        } else {
            None
        }
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(io) => Self::of_io(&io),
            other @ (sled::Error::CollectionNotFound(_)
            | sled::Error::Unsupported(_)
            | sled::Error::ReportableBug(_)
            | sled::Error::Corruption { .. }) => Self::Failed { message: other.to_string() },
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_full_and_a_read_only_disk_are_told_apart() {
        let of = |number| StoreError::of_io(&io::Error::from_raw_os_error(number));
        assert!(matches!(of(libc::ENOSPC), StoreError::Full { .. }));
        assert!(matches!(of(libc::EDQUOT), StoreError::Full { .. }));
        assert!(matches!(of(libc::EROFS), StoreError::ReadOnly { .. }));
        assert!(matches!(of(libc::EIO), StoreError::Failed { .. }));
    }
}
