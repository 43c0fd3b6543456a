//! One entry of a log, and how it lies in the file. All numbers are little-endian.
//!
//! ```text
//! file:  preamble (32 bytes), frame, frame, …
//! frame: seq 8 │ wall time µs 8 │ stdout bytes 8 │ stderr bytes 8 │ stdout lines 8 │ stderr lines 8
//!        │ length 4 │ stream 1 │ phase 1 │ zero 6 │ crc 4 = 64 bytes │ payload
//! ```
//!
//! The counts are cumulative in the frame's phase, this frame included. The checksum covers the
//! header before it and the payload.
use crate::base::checksum::Crc32c;
use crate::base::id::LogId;
use crate::base::time::Timestamp;

/// Bytes before the first frame.
pub(super) const PREAMBLE_BYTES: usize = 32;
/// Bytes of a frame before its payload.
pub(super) const HEADER_BYTES: usize = 64;
/// Largest payload of one frame; more is written as several.
pub const PAYLOAD_MAX: usize = 64 << 10;
const CHECKED_BYTES: usize = HEADER_BYTES - 4;
const MAGIC: [u8; 8] = *b"kilnlog\0";
const VERSION: u16 = 1;

/// Number of an entry in its log: the first is 1, none is skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first entry.
    pub const START: Self = Self(0);

    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Where an entry's bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Descriptor 1 of the program.
    Stdout,
    /// Descriptor 2 of the program.
    Stderr,
    /// Not of the program: kiln's own note, JSON (`mark::Mark`).
    Mark,
}

/// The phase of the job that an entry belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The compiler.
    Compile,
    /// The program.
    Run,
}

/// What a phase has printed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes on stdout.
    pub stdout_bytes: u64,
    /// Bytes on stderr.
    pub stderr_bytes: u64,
    /// Line feeds on stdout.
    pub stdout_lines: u64,
    /// Line feeds on stderr.
    pub stderr_lines: u64,
}

impl Counts {
    /// The counts after these bytes too.
    pub(super) fn with(mut self, stream: Stream, bytes: &[u8]) -> Self {
        let (count, lines) = match stream {
            Stream::Stdout => (&mut self.stdout_bytes, &mut self.stdout_lines),
            Stream::Stderr => (&mut self.stderr_bytes, &mut self.stderr_lines),
            Stream::Mark => return self,
        };
        let feeds = bytes.split(|byte| *byte == b'\n').count() - 1;
        *count = count.saturating_add(bytes.len().try_into().unwrap_or(u64::MAX));
        *lines = lines.saturating_add(feeds.try_into().unwrap_or(u64::MAX));
        self
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its number.
    pub seq: Seq,
    /// When it was written.
    pub at: Timestamp,
    /// The phase it belongs to.
    pub phase: Phase,
    /// Where the bytes come from.
    pub stream: Stream,
    /// What the phase has printed, this entry included.
    pub counts: Counts,
    /// The bytes.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The frame as it lies in the file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.payload.len());
        let counts = &self.counts;
        for number in
            [self.seq.0, self.at.0, counts.stdout_bytes, counts.stderr_bytes, counts.stdout_lines, counts.stderr_lines]
        {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.push(stream_code(self.stream));
        bytes.push(phase_code(self.phase));
        bytes.resize(CHECKED_BYTES, 0);
        let checksum = Crc32c::EMPTY.with(&bytes).with(&self.payload).value();
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// A frame's header, not yet checked against its payload.
pub(super) struct Header {
    frame: Frame,
    pub(super) length: usize,
    checked: Crc32c,
    checksum: u32,
}

impl Header {
    /// Reads a header. Nothing when these bytes cannot be one.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let (checked, checksum) = bytes.split_at(CHECKED_BYTES);
        let mut numbers = checked.chunks_exact(8).map(|chunk| chunk.try_into().map_or(0, u64::from_le_bytes));
        let mut number = || numbers.next().unwrap_or(0);
        let (seq, at) = (Seq(number()), Timestamp(number()));
        let counts =
            Counts { stdout_bytes: number(), stderr_bytes: number(), stdout_lines: number(), stderr_lines: number() };
        let &[a, b, c, d, stream, phase, ..] = checked.get(48..)? else { return None };
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
        let frame = Frame { seq, at, phase: phase_of(phase)?, stream: stream_of(stream)?, counts, payload: Vec::new() };
        let checksum = u32::from_le_bytes(checksum.try_into().ok()?);
        let checked = Crc32c::EMPTY.with(checked);
        (length <= PAYLOAD_MAX).then_some(Self { frame, length, checked, checksum })
    }

    /// The whole frame. Nothing when the payload is not the one that was written.
    pub(super) fn complete(self, payload: Vec<u8>) -> Option<Frame> {
        let whole = self.checked.with(&payload).value() == self.checksum;
        whole.then_some(Frame { payload, ..self.frame })
    }
}

/// What a file begins with: version, policy, encryption (none), the log's id.
pub(super) fn preamble(id: LogId) -> [u8; PREAMBLE_BYTES] {
    let mut bytes = [0; PREAMBLE_BYTES];
    let parts = MAGIC.into_iter().chain(VERSION.to_le_bytes()).chain([0; 6]);
    for (to, from) in bytes.iter_mut().zip(parts.chain(*id.as_bytes())) {
        *to = from;
    }
    bytes
}

const fn stream_code(stream: Stream) -> u8 {
    match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
        Stream::Mark => 3,
    }
}

const fn stream_of(code: u8) -> Option<Stream> {
    match code {
        1 => Some(Stream::Stdout),
        2 => Some(Stream::Stderr),
        3 => Some(Stream::Mark),
        _ => None,
    }
}

const fn phase_code(phase: Phase) -> u8 {
    match phase {
        Phase::Compile => 1,
        Phase::Run => 2,
    }
}

const fn phase_of(code: u8) -> Option<Phase> {
    match code {
        1 => Some(Phase::Compile),
        2 => Some(Phase::Run),
        _ => None,
    }
}
