//! Every byte that a phase of the last attempt printed, or a range of them, in the order of the log.
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;

use super::fault::LogError;
use super::frame::{self, Frame, Phase, Seq};
use super::mark::Mark;
use super::reader::LogReader;
use crate::base::id::LogId;

/// Chunks that are read ahead of whoever takes them.
const AHEAD: usize = 4;

/// Which bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Of this phase.
    pub phase: Phase,
    /// Of this stream; of both outputs where there is none.
    pub stream: Option<frame::Stream>,
}

impl Selection {
    fn takes(self, frame: &Frame) -> bool {
        let output = frame.stream != frame::Stream::Mark;
        frame.phase == self.phase && self.stream.map_or(output, |stream| frame.stream == stream)
    }
}

/// How many selected bytes there are now; none where no log was ever made.
///
/// # Errors
/// When the log cannot be read.
pub async fn selected_bytes(dir: PathBuf, id: LogId, selection: Selection) -> Result<u64, LogError> {
    let count = move || match LogReader::open(&dir, id) {
        Err(LogError::Missing { .. }) => Ok(0),
        Err(error) => Err(error),
        Ok(mut reader) => Ok(last_attempt(&mut reader, selection)?.1),
    };
    let lost = |error: tokio::task::JoinError| LogError::Disk { id, message: error.to_string() };
    tokio::task::spawn_blocking(count).await.map_err(lost)?
}

/// The selected bytes of a range. It ends with an error where the log has fewer.
pub fn selected(
    dir: PathBuf,
    id: LogId,
    selection: Selection,
    range: Range<u64>,
) -> impl Stream<Item = Result<Bytes, LogError>> + Send + 'static {
    let (give, mut taken) = mpsc::channel(AHEAD);
    drop(tokio::task::spawn_blocking(move || {
        let copied = LogReader::open(&dir, id).and_then(|mut reader| copy(&mut reader, selection, range, &give));
        if let Err(error) = copied {
            // Whoever went away does not need the reason.
            drop(give.blocking_send(Err(error)));
        }
    }));
    futures_util::stream::poll_fn(move |context| taken.poll_recv(context))
}

/// The entry before the first of the last attempt, and its selected bytes.
fn last_attempt(reader: &mut LogReader, selection: Selection) -> Result<(Seq, u64), LogError> {
    let (mut begin, mut bytes) = (Seq::START, 0_u64);
    for frame in reader.frames_after(Seq::START)? {
        let frame = frame?;
        if let Some(Mark::Attempt { .. }) = Mark::of(&frame) {
            (begin, bytes) = (frame.seq, 0);
        } else if selection.takes(&frame) {
            bytes = bytes.saturating_add(size(frame.payload.len()));
        }
    }
    Ok((begin, bytes))
}

/// Gives the bytes of the range, until they are given or nobody takes them any more.
fn copy(
    reader: &mut LogReader,
    selection: Selection,
    range: Range<u64>,
    give: &mpsc::Sender<Result<Bytes, LogError>>,
) -> Result<(), LogError> {
    let (begin, _) = last_attempt(reader, selection)?;
    let mut at = 0_u64;
    for frame in reader.frames_after(begin)? {
        let frame = frame?;
        if at >= range.end {
            break;
        }
        if !selection.takes(&frame) {
            continue;
        }
        let chunk = Bytes::from(frame.payload);
        let next = at.saturating_add(size(chunk.len()));
        let wanted = within(&range, at..next);
        at = next;
        if !wanted.is_empty() && give.blocking_send(Ok(chunk.slice(wanted))).is_err() {
            return Ok(());
        }
    }
    let missing = range.end.saturating_sub(at);
    if missing == 0 {
        return Ok(());
    }
    let message = format!("{missing} bytes of those that were asked for are gone: the job was tried again");
    Err(LogError::Disk { id: reader.id(), message })
}

/// The part of a chunk at `chunk` that lies in `range`, counted from the chunk's beginning.
fn within(range: &Range<u64>, chunk: Range<u64>) -> Range<usize> {
    let from = range.start.clamp(chunk.start, chunk.end);
    let to = range.end.clamp(from, chunk.end);
    let inside = |at: u64| usize::try_from(at.saturating_sub(chunk.start)).unwrap_or(0);
    inside(from)..inside(to)
}

fn size(length: usize) -> u64 {
    length.try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod test {
    use futures_util::TryStreamExt as _;
    use proptest::prelude::*;

    use super::*;
    use crate::base::time::Timestamp;
    use crate::output::{LogWriter, Policy};

    const BOTH: Selection = Selection { phase: Phase::Run, stream: None };

    fn log(dir: &std::path::Path, pieces: &[&[u8]]) -> LogId {
        let id = LogId::new();
        let mut writer = LogWriter::create(dir, id, Policy::EndAtLimit).unwrap();
        for number in [1, 2] {
            writer.append_mark(Phase::Run, Mark::Attempt { number }, Timestamp(0)).unwrap();
            writer.append(Phase::Compile, frame::Stream::Stdout, b"compiler", Timestamp(0)).unwrap();
            for (piece, stream) in pieces.iter().zip([frame::Stream::Stdout, frame::Stream::Stderr].iter().cycle()) {
                writer.append(Phase::Run, *stream, piece, Timestamp(0)).unwrap();
            }
        }
        id
    }

    async fn taken(
        dir: &std::path::Path,
        id: LogId,
        selection: Selection,
        range: Range<u64>,
    ) -> Result<Vec<u8>, LogError> {
        let chunks: Vec<Bytes> = selected(dir.to_path_buf(), id, selection, range).try_collect().await?;
        Ok(chunks.concat())
    }

    #[tokio::test]
    async fn streams_and_phases_of_the_last_attempt_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let id = log(dir.path(), &[b"out", b"err", b"more"]);
        for (phase, stream, expected) in [
            (Phase::Run, None, "outerrmore"),
            (Phase::Run, Some(frame::Stream::Stdout), "outmore"),
            (Phase::Run, Some(frame::Stream::Stderr), "err"),
            (Phase::Compile, None, "compiler"),
        ] {
            let (selection, bytes) = (Selection { phase, stream }, size(expected.len()));
            assert_eq!(selected_bytes(dir.path().to_path_buf(), id, selection).await.unwrap(), bytes);
            assert_eq!(taken(dir.path(), id, selection, 0..bytes).await.unwrap(), expected.as_bytes());
        }
    }

    #[tokio::test]
    async fn a_log_that_was_never_made_has_no_bytes() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(selected_bytes(dir.path().to_path_buf(), LogId::new(), BOTH).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn bytes_that_are_not_there_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let id = log(dir.path(), &[b"out"]);
        assert!(taken(dir.path(), id, BOTH, 0..4).await.is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_range_is_cut_out_of_whatever_pieces(from in 0_u64..12, to in 0_u64..12) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let dir = tempfile::tempdir().unwrap();
            let id = log(dir.path(), &[b"abc", b"d", b"", b"efgh", b"ijk"]);
            let range = from.min(to)..from.max(to).min(11);
            let expected: Vec<u8> = (b'a'..=b'k').collect();
            let inside = usize::try_from(range.start.min(range.end)).unwrap()..usize::try_from(range.end).unwrap();
            let bytes = runtime.block_on(taken(dir.path(), id, BOTH, range)).unwrap();
            prop_assert_eq!(bytes, expected.get(inside).unwrap());
        }
    }
}
