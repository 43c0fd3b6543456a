//! The one writer of a log.
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::fault::LogError;
use super::frame::{self, Counts, Frame, PAYLOAD_MAX, PREAMBLE_BYTES, Phase, Seq, Stream};
use super::mark::Mark;
use super::reader::LogReader;
use super::{Policy, path_of};
use crate::base::id::LogId;
use crate::base::time::Timestamp;

/// Appends to one log. There is one of it; a failed write is its last.
#[derive(Debug)]
pub struct LogWriter {
    id: LogId,
    file: File,
    /// Where the next frame begins.
    end: u64,
    seq: Seq,
    counts: PhaseCounts,
    failed: Option<LogError>,
}

/// What the phases of the current attempt have printed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PhaseCounts {
    compile: Counts,
    run: Counts,
}

impl PhaseCounts {
    pub(super) const fn of(&mut self, phase: Phase) -> &mut Counts {
        match phase {
            Phase::Compile => &mut self.compile,
            Phase::Run => &mut self.run,
        }
    }
}

impl LogWriter {
    /// Makes a new log under `dir`. Blocks for the time of making a file.
    ///
    /// # Errors
    /// When the policy is not built yet, or the disk refuses.
    pub fn create(dir: &Path, id: LogId, policy: Policy) -> Result<Self, LogError> {
        match policy {
            Policy::EndAtLimit => {}
            Policy::Rotate => return Err(LogError::NotBuilt { policy: "rotate" }),
        }
        let file = new_file(&path_of(dir, id)).and_then(|mut file| {
            file.write_all(&frame::preamble(id))?;
            Ok(file)
        });
        let file = file.map_err(|error| LogError::of_io(id, &error))?;
        Ok(Self::at(id, file, start()))
    }

    /// Opens a log that an earlier process wrote, and cuts off what a crash left half-written.
    /// Blocks for the time of reading the whole log.
    ///
    /// # Errors
    /// When there is no such log, it is not a log, or the disk refuses.
    pub fn reopen(dir: &Path, id: LogId) -> Result<Self, LogError> {
        let disk = |error: io::Error| LogError::of_io(id, &error);
        let mut reader = LogReader::open(dir, id)?;
        let mut file = OpenOptions::new().append(true).open(path_of(dir, id)).map_err(disk)?;
        if file.metadata().map_err(disk)?.len() < start() {
            file.set_len(0).and_then(|()| file.write_all(&frame::preamble(id))).map_err(disk)?;
            return Ok(Self::at(id, file, start()));
        }
        let mut writer = Self::at(id, file, start());
        while let Some(frame) = reader.next_frame()? {
            writer.follow(&frame);
        }
        writer.end = reader.offset();
        writer.file.set_len(writer.end).map_err(disk)?;
        Ok(writer)
    }

    /// Writes an entry, or several when `bytes` is above [`PAYLOAD_MAX`]; gives the last one's
    /// number. A short write(2) to the page cache, which survives the end of this process.
    ///
    /// # Errors
    /// When the disk refuses; then every later call fails too, and what was written before stays.
    pub fn append(&mut self, phase: Phase, stream: Stream, bytes: &[u8], now: Timestamp) -> Result<Seq, LogError> {
        for payload in bytes.chunks(PAYLOAD_MAX) {
            self.append_one(phase, stream, payload, now)?;
        }
        Ok(self.seq)
    }

    /// Writes a note of kiln's own.
    ///
    /// # Errors
    /// As [`LogWriter::append`].
    pub fn append_mark(&mut self, phase: Phase, mark: Mark, now: Timestamp) -> Result<Seq, LogError> {
        let text = serde_json::to_vec(&mark)
            .map_err(|error| LogError::Damaged { id: self.id, message: format!("a mark: {error}") })?;
        self.append(phase, Stream::Mark, &text, now)
    }

    /// Makes everything written so far survive a power loss. Blocks for the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<(), LogError> {
        self.file.sync_data().map_err(|error| LogError::of_io(self.id, &error))
    }

    /// What a phase of the current attempt has printed.
    pub fn counts(&mut self, phase: Phase) -> Counts {
        *self.counts.of(phase)
    }

    /// Number of the last entry.
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    fn append_one(&mut self, phase: Phase, stream: Stream, payload: &[u8], at: Timestamp) -> Result<(), LogError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let counts = self.counts.of(phase).with(stream, payload);
        let payload = payload.to_vec();
        let frame = Frame { seq: self.seq.next(), at, phase, stream, counts, payload };
        let bytes = frame.encode();
        if let Err(error) = self.file.write_all(&bytes) {
            return Err(self.fail(&error));
        }
        self.end = self.end.saturating_add(bytes.len().try_into().unwrap_or(u64::MAX));
        self.follow(&frame);
        Ok(())
    }

    /// Takes over what an entry says about the log so far.
    fn follow(&mut self, frame: &Frame) {
        if let Some(Mark::Attempt { .. }) = Mark::of(frame) {
            self.counts = PhaseCounts::default();
        } else {
            *self.counts.of(frame.phase) = frame.counts;
        }
        self.seq = frame.seq;
    }

    /// Remembers the failure, and takes away the half of a frame that may have been written. If
    /// that fails too, readers stop before it all the same.
    fn fail(&mut self, error: &io::Error) -> LogError {
        let failed = LogError::of_io(self.id, error);
        if let Err(error) = self.file.set_len(self.end) {
            tracing::warn!(log = %self.id, %error, "output: half a frame stays at the end");
        }
        self.failed = Some(failed.clone());
        failed
    }

    #[cfg(test)]
    pub(super) fn file_for_test(&mut self, file: File) {
        self.file = file;
    }

    fn at(id: LogId, file: File, end: u64) -> Self {
        Self { id, file, end, seq: Seq::START, counts: PhaseCounts::default(), failed: None }
    }
}

/// Where the first frame begins.
pub(super) fn start() -> u64 {
    PREAMBLE_BYTES.try_into().unwrap_or(u64::MAX)
}

fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create_new(true).mode(0o600);
    match (options.open(path), path.parent()) {
        // The first log in its folder.
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            options.open(path)
        }
        (opened, _) => opened,
    }
}
