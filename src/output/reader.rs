//! A reader of a log, at a place of its own. There may be many, also while the log is written.
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::capture::{Capture, Captured};
use super::fault::LogError;
use super::frame::{self, Frame, HEADER_BYTES, Header, PREAMBLE_BYTES, Phase, Seq, Stream};
use super::mark::Mark;
use super::path_of;
use super::writer::start;
use crate::base::id::LogId;
use crate::base::size::ByteSize;

/// Reads the entries of one log in order. Its calls block for the time of reading a file.
#[derive(Debug)]
pub struct LogReader {
    id: LogId,
    file: File,
    offset: u64,
    seq: Seq,
}

impl LogReader {
    /// Opens a log at its beginning.
    ///
    /// # Errors
    /// When there is no such log, the file is not a log, or the disk refuses.
    pub fn open(dir: &Path, id: LogId) -> Result<Self, LogError> {
        let file = File::open(path_of(dir, id)).map_err(|error| LogError::of_io(id, &error))?;
        let reader = Self { id, file, offset: start(), seq: Seq::START };
        let mut found = [0; PREAMBLE_BYTES];
        let whole = reader.read_at(&mut found, 0)?;
        if whole && found != frame::preamble(id) {
            let message = String::from("it begins as no log of this id and version does");
            return Err(LogError::Damaged { id, message });
        }
        Ok(reader)
    }

    /// The next entry. Nothing where the log ends for now: a later call may give one. What is not
    /// wholly written, or not what was written, is never given.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, LogError> {
        let mut header = [0; HEADER_BYTES];
        if !self.read_at(&mut header, self.offset)? {
            return Ok(None);
        }
        let Some(header) = Header::decode(&header) else {
            return Ok(None);
        };
        let mut payload = vec![0; header.length];
        let at = self.offset.saturating_add(size(HEADER_BYTES));
        if !self.read_at(&mut payload, at)? {
            return Ok(None);
        }
        let frame = header.complete(payload).filter(|frame| frame.seq == self.seq.next());
        if let Some(frame) = &frame {
            self.seq = frame.seq;
            self.offset = at.saturating_add(size(frame.payload.len()));
        }
        Ok(frame)
    }

    /// Goes behind the entry `seq`, or to the end for now.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn skip_to(&mut self, seq: Seq) -> Result<(), LogError> {
        if seq < self.seq {
            self.rewind();
        }
        while self.seq < seq && self.next_frame()?.is_some() {}
        Ok(())
    }

    /// The entries after `seq`, as many as there are now.
    ///
    /// # Errors
    /// When the disk refuses, also in between.
    pub fn frames_after(&mut self, seq: Seq) -> Result<impl Iterator<Item = Result<Frame, LogError>> + '_, LogError> {
        self.skip_to(seq)?;
        Ok(std::iter::from_fn(|| self.next_frame().transpose()))
    }

    /// What a phase of the last attempt printed on one stream: all of it up to `limit`, beyond
    /// that its first and last halves of `limit`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn read_stream(&mut self, phase: Phase, stream: Stream, limit: ByteSize) -> Result<Captured, LogError> {
        self.rewind();
        let mut capture = Capture::new(limit);
        while let Some(frame) = self.next_frame()? {
            if let Some(Mark::Attempt { .. }) = Mark::of(&frame) {
                capture = Capture::new(limit);
            } else if frame.phase == phase && frame.stream == stream {
                capture.take(&frame.payload);
            }
        }
        Ok(capture.finish())
    }

    /// Number of the entry before the next one.
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// The log's id.
    pub(super) const fn id(&self) -> LogId {
        self.id
    }

    /// Where the next entry begins in the file.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    fn rewind(&mut self) {
        self.offset = start();
        self.seq = Seq::START;
    }

    /// Whether the file had enough bytes to fill the buffer.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<bool, LogError> {
        match self.file.read_exact_at(buffer, offset) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(LogError::of_io(self.id, &error)),
        }
    }
}

fn size(length: usize) -> u64 {
    length.try_into().unwrap_or(u64::MAX)
}
