//! The append-only record of what a job printed: numbered entries in one file.
//!
//! One writer, any number of readers. A reader never sees a byte that was not written: every entry
//! carries its length and checksum, and what a crash left half-written is cut off when the writer
//! opens the log again. Entries survive the end of this process when `append` returned, and a power
//! loss when `sync` did.
//!
//! Not here: who may read, when a job has printed too much.
mod attempt;
mod capture;
mod fault;
mod frame;
mod mark;
mod reader;
mod select;
mod writer;

#[cfg(test)]
mod test;

use std::path::{Path, PathBuf};

pub use attempt::AttemptLog;
pub use capture::Captured;
pub use fault::LogError;
pub use frame::{Counts, Frame, PAYLOAD_MAX, Phase, Seq, Stream};
pub use mark::Mark;
pub use reader::LogReader;
pub use select::{Selection, selected, selected_bytes};
pub use writer::LogWriter;

use crate::base::id::LogId;
use crate::base::size::ByteSize;

/// A stream is shown whole up to this, beyond it by its first and last halves (contract rule 8).
pub const SHOWN_WHOLE: ByteSize = ByteSize::mib(1);

/// What happens when a log reaches its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Whoever writes is ended; what was written stays.
    EndAtLimit,
    /// The oldest entries go. Refused for now.
    Rotate,
}

/// What a phase of the last attempt printed on one stream, as it is shown in JSON; nothing where no log
/// was ever made.
///
/// # Errors
/// When the log cannot be read.
pub async fn printed(dir: PathBuf, id: LogId, phase: Phase, stream: Stream) -> Result<Captured, LogError> {
    let read = move || match LogReader::open(&dir, id) {
        Err(LogError::Missing { .. }) => Ok(Captured::default()),
        Err(error) => Err(error),
        Ok(mut reader) => reader.read_stream(phase, stream, SHOWN_WHOLE),
    };
    let lost = |error: tokio::task::JoinError| LogError::Disk { id, message: error.to_string() };
    tokio::task::spawn_blocking(read).await.map_err(lost)?
}

/// Removes a log; it is no fault when there is none.
///
/// # Errors
/// When the disk refuses.
pub async fn remove(dir: PathBuf, id: LogId) -> Result<(), LogError> {
    match tokio::fs::remove_file(path_of(&dir, id)).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LogError::of_io(id, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Where a log lies: 256 folders by the last byte of its id, which is random (RFC 9562, 5.7).
fn path_of(dir: &Path, id: LogId) -> PathBuf {
    let [.., last] = id.as_bytes();
    dir.join(format!("{last:02x}")).join(id.to_string())
}
