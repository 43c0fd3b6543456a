//! What one attempt prints: a log whose file is made when there is something to keep.
//!
//! Making a file takes the file system longer than all else that the server does for a short job
//! (docs/PERFORMANCE.md), and many jobs print nothing. Where nothing could be kept the attempt is refused
//! before it begins.
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};

use super::fault::LogError;
use super::frame::{Counts, Phase, Seq, Stream};
use super::mark::Mark;
use super::writer::LogWriter;
use super::{LogReader, Policy};
use crate::base::id::LogId;
use crate::base::time::Timestamp;

/// The log of one attempt.
#[derive(Debug)]
pub struct AttemptLog {
    dir: PathBuf,
    id: LogId,
    /// What its entries begin with, and since when.
    begun: (Mark, Timestamp),
    writer: Option<LogWriter>,
}

impl AttemptLog {
    /// Begins with a mark. A file that an earlier attempt left goes on; else there is none yet.
    ///
    /// # Errors
    /// When the disk could keep nothing.
    pub fn begin(dir: &Path, id: LogId, mark: Mark, now: Timestamp) -> Result<Self, LogError> {
        let mut log = Self { dir: dir.to_path_buf(), id, begun: (mark, now), writer: None };
        match LogReader::open(dir, id) {
            Err(LogError::Missing { .. }) => {
                room(dir).map_err(|error| LogError::Disk { id, message: error.to_string() })?;
            }
            Err(error) => return Err(error),
            Ok(_there) => log.writer = Some(marked(LogWriter::reopen(dir, id)?, mark, now)?),
        }
        Ok(log)
    }

    /// Writes an entry, as [`LogWriter::append`].
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn append(&mut self, phase: Phase, stream: Stream, bytes: &[u8], now: Timestamp) -> Result<Seq, LogError> {
        let writer = if let Some(writer) = self.writer.take() {
            writer
        } else {
            let (mark, begun) = self.begun;
            marked(LogWriter::create(&self.dir, self.id, Policy::EndAtLimit)?, mark, begun)?
        };
        self.writer.insert(writer).append(phase, stream, bytes, now)
    }

    /// Writes the last note, where there is a file.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn end(&mut self, mark: Mark, now: Timestamp) -> Result<(), LogError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.append_mark(Phase::Run, mark, now).map(drop)
    }

    /// What a phase has printed.
    pub fn counts(&mut self, phase: Phase) -> Counts {
        self.writer.as_mut().map_or_else(Counts::default, |writer| writer.counts(phase))
    }

    /// Number of the last entry.
    pub fn seq(&self) -> Seq {
        self.writer.as_ref().map_or(Seq::START, LogWriter::seq)
    }
}

fn marked(mut writer: LogWriter, mark: Mark, now: Timestamp) -> Result<LogWriter, LogError> {
    writer.append_mark(Phase::Run, mark, now)?;
    Ok(writer)
}

/// Whether a file could be made (statvfs(3)). No promise: others write too.
fn room(dir: &Path) -> io::Result<()> {
    let found = match statvfs(dir) {
        // The folder comes with the first log.
        Err(nix::errno::Errno::ENOENT) => return dir.parent().map_or(Ok(()), room),
        found => found?,
    };
    if found.flags().contains(FsFlags::ST_RDONLY) {
        return Err(nix::errno::Errno::EROFS.into());
    }
    // A file system that counts no files has no bound on them.
    let files = found.files() == 0 || found.files_available() > 0;
    if found.blocks_available() > 0 && files { Ok(()) } else { Err(nix::errno::Errno::ENOSPC.into()) }
}

#[cfg(test)]
mod test {
    use tempfile::TempDir;

    use super::*;
    use crate::job::state::Status;
    use crate::output::SHOWN_WHOLE;

    const FIRST: Mark = Mark::Attempt { number: 1 };
    const END: Mark = Mark::Ended { status: Status::Completed };

    fn shown(dir: &Path, id: LogId) -> Vec<u8> {
        let mut reader = LogReader::open(dir, id).unwrap();
        reader.read_stream(Phase::Run, Stream::Stdout, SHOWN_WHOLE).unwrap().head
    }

    #[test]
    fn who_prints_nothing_leaves_no_file() {
        let (dir, id) = (TempDir::new().unwrap(), LogId::new());
        let mut log = AttemptLog::begin(dir.path(), id, FIRST, Timestamp(1)).unwrap();
        log.end(END, Timestamp(2)).unwrap();
        assert_eq!((log.seq(), log.counts(Phase::Run)), (Seq::START, Counts::default()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_first_byte_makes_a_log_that_begins_with_its_mark() {
        let (dir, id) = (TempDir::new().unwrap(), LogId::new());
        let mut log = AttemptLog::begin(dir.path(), id, FIRST, Timestamp(1)).unwrap();
        assert_eq!(log.append(Phase::Run, Stream::Stdout, b"a", Timestamp(2)).unwrap(), Seq(2));
        log.end(END, Timestamp(3)).unwrap();
        let mut reader = LogReader::open(dir.path(), id).unwrap();
        let frames: Vec<_> = reader.frames_after(Seq::START).unwrap().map(Result::unwrap).collect();
        assert_eq!(frames.iter().map(Mark::of).collect::<Vec<_>>(), [Some(FIRST), None, Some(END)]);
        assert_eq!(frames.iter().map(|frame| frame.at.0).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn what_an_earlier_attempt_printed_is_not_this_ones() {
        let (dir, id) = (TempDir::new().unwrap(), LogId::new());
        let mut earlier = AttemptLog::begin(dir.path(), id, FIRST, Timestamp(1)).unwrap();
        earlier.append(Phase::Run, Stream::Stdout, b"earlier", Timestamp(2)).unwrap();
        let mut log = AttemptLog::begin(dir.path(), id, FIRST, Timestamp(3)).unwrap();
        assert_eq!(shown(dir.path(), id), b"");
        log.append(Phase::Run, Stream::Stdout, b"now", Timestamp(4)).unwrap();
        assert_eq!(shown(dir.path(), id), b"now");
    }
}
