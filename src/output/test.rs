//! What a log promises, tried on real files.
use std::fs::{self, OpenOptions};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::base::time::Timestamp;
use crate::job::state::Status;

type Piece = (Phase, Stream, Vec<u8>);

fn piece() -> impl Strategy<Value = Piece> {
    let phase = prop_oneof![Just(Phase::Compile), Just(Phase::Run)];
    let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    (phase, stream, prop::collection::vec(any::<u8>(), 1..300))
}

fn write(dir: &Path, id: LogId, pieces: &[Piece]) {
    let mut writer = LogWriter::create(dir, id, Policy::EndAtLimit).unwrap();
    for (phase, stream, bytes) in pieces {
        writer.append(*phase, *stream, bytes, Timestamp(5)).unwrap();
    }
}

fn frames(dir: &Path, id: LogId, after: Seq) -> Vec<Frame> {
    let mut reader = LogReader::open(dir, id).unwrap();
    reader.frames_after(after).unwrap().map(Result::unwrap).collect()
}

fn payloads(frames: &[Frame]) -> Vec<Vec<u8>> {
    frames.iter().map(|frame| frame.payload.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_log_gives_back_what_was_written(
        pieces in prop::collection::vec(piece(), 0..12),
        after in 0_u64..14,
    ) {
        let dir = TempDir::new().unwrap();
        let id = LogId::new();
        write(dir.path(), id, &pieces);
        let from = usize::try_from(after).unwrap().min(pieces.len());
        let frames = frames(dir.path(), id, Seq(after));
        let expected: Vec<_> = pieces[from..].iter().map(|piece| piece.2.clone()).collect();
        prop_assert_eq!(payloads(&frames), expected);
        for (frame, seq) in frames.iter().zip(after + 1..) {
            prop_assert_eq!(frame.seq, Seq(seq));
        }
        let of = |phase, stream| -> Vec<u8> {
            let mine = pieces.iter().filter(|piece| piece.0 == phase && piece.1 == stream);
            mine.flat_map(|piece| piece.2.clone()).collect()
        };
        let mut reader = LogReader::open(dir.path(), id).unwrap();
        for phase in [Phase::Compile, Phase::Run] {
            for stream in [Stream::Stdout, Stream::Stderr] {
                let shown = reader.read_stream(phase, stream, SHOWN_WHOLE).unwrap();
                prop_assert_eq!(shown.head, of(phase, stream));
            }
        }
    }

    #[test]
    fn a_log_cut_anywhere_keeps_a_prefix_and_can_be_continued(
        pieces in prop::collection::vec(piece(), 1..8),
        cut in any::<prop::sample::Index>(),
        garbage in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let dir = TempDir::new().unwrap();
        let id = LogId::new();
        write(dir.path(), id, &pieces);
        let path = path_of(dir.path(), id);
        let whole = fs::read(&path).unwrap();
        let at = cut.index(whole.len() + 1);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(u64::try_from(at).unwrap()).unwrap();
        if at >= 32 {
            std::os::unix::fs::FileExt::write_all_at(&file, &garbage, u64::try_from(at).unwrap())
                .unwrap();
        }
        let kept = frames(dir.path(), id, Seq::START);
        let expected: Vec<_> = pieces[..kept.len()].iter().map(|piece| piece.2.clone()).collect();
        prop_assert_eq!(payloads(&kept), expected);
        let bytes: usize = 32 + kept.iter().map(|frame| 64 + frame.payload.len()).sum::<usize>();
        let next = pieces.get(kept.len()).map_or(usize::MAX, |piece| 64 + piece.2.len());
        prop_assert!(at < 32 || at < bytes.saturating_add(next), "no whole frame is lost");
        let mut writer = LogWriter::reopen(dir.path(), id).unwrap();
        let counts = writer.counts(Phase::Run);
        let last = kept.iter().rfind(|frame| frame.phase == Phase::Run);
        prop_assert_eq!(counts, last.map_or(Counts::default(), |frame| frame.counts));
        let seq = writer.append(Phase::Run, Stream::Stdout, b"more", Timestamp(6)).unwrap();
        let after = frames(dir.path(), id, Seq::START);
        prop_assert_eq!(after.len(), kept.len() + 1);
        prop_assert_eq!(after.last().unwrap().seq, seq);
        prop_assert_eq!(&after.last().unwrap().payload, b"more");
    }

    #[test]
    fn a_changed_byte_is_never_given(
        pieces in prop::collection::vec(piece(), 1..6),
        place in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let dir = TempDir::new().unwrap();
        let id = LogId::new();
        write(dir.path(), id, &pieces);
        let original = frames(dir.path(), id, Seq::START);
        let path = path_of(dir.path(), id);
        let mut bytes = fs::read(&path).unwrap();
        let at = 32 + place.index(bytes.len() - 32);
        bytes[at] ^= flip;
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
        let read = frames(dir.path(), id, Seq::START);
        prop_assert!(read.len() < original.len());
        prop_assert_eq!(&read[..], &original[..read.len()]);
    }
}

#[test]
fn a_reader_follows_the_writer() {
    let dir = TempDir::new().unwrap();
    let id = LogId::new();
    let mut writer = LogWriter::create(dir.path(), id, Policy::EndAtLimit).unwrap();
    let mut reader = LogReader::open(dir.path(), id).unwrap();
    assert_eq!(reader.next_frame().unwrap(), None);
    writer.append(Phase::Run, Stream::Stdout, b"a\nb", Timestamp(1)).unwrap();
    let frame = reader.next_frame().unwrap().unwrap();
    assert_eq!((frame.counts.stdout_bytes, frame.counts.stdout_lines), (3, 1));
    assert_eq!(reader.next_frame().unwrap(), None);
    writer.append(Phase::Run, Stream::Stderr, b"c", Timestamp(2)).unwrap();
    let frame = reader.next_frame().unwrap().unwrap();
    assert_eq!((frame.counts.stdout_bytes, frame.counts.stderr_bytes), (3, 1));
    writer.sync().unwrap();
}

#[test]
fn a_large_piece_becomes_several_entries() {
    let dir = TempDir::new().unwrap();
    let id = LogId::new();
    let bytes = vec![b'x'; PAYLOAD_MAX * 2 + 1];
    let mut writer = LogWriter::create(dir.path(), id, Policy::EndAtLimit).unwrap();
    let seq = writer.append(Phase::Run, Stream::Stdout, &bytes, Timestamp(1)).unwrap();
    assert_eq!(seq, Seq(3));
    let frames = frames(dir.path(), id, Seq::START);
    assert_eq!(payloads(&frames).concat(), bytes);
}

#[test]
fn a_second_attempt_begins_its_counts_anew() {
    let dir = TempDir::new().unwrap();
    let id = LogId::new();
    let mut writer = LogWriter::create(dir.path(), id, Policy::EndAtLimit).unwrap();
    for number in 1..=2 {
        writer.append_mark(Phase::Run, Mark::Attempt { number }, Timestamp(1)).unwrap();
        writer.append(Phase::Run, Stream::Stdout, b"once", Timestamp(2)).unwrap();
    }
    let mark = Mark::Ended { status: Status::Completed };
    writer.append_mark(Phase::Run, mark, Timestamp(3)).unwrap();
    assert_eq!(writer.counts(Phase::Run).stdout_bytes, 4);
    let mut reader = LogReader::open(dir.path(), id).unwrap();
    let shown = reader.read_stream(Phase::Run, Stream::Stdout, SHOWN_WHOLE).unwrap();
    assert_eq!(shown.head, b"once");
    let frames = frames(dir.path(), id, Seq::START);
    assert_eq!(frames.last().and_then(Mark::of), Some(mark));
    assert_eq!(LogWriter::reopen(dir.path(), id).unwrap().counts(Phase::Run).stdout_bytes, 4);
}

#[tokio::test]
async fn what_never_printed_has_printed_nothing() {
    let dir = TempDir::new().unwrap();
    let id = LogId::new();
    assert_eq!(LogReader::open(dir.path(), id).unwrap_err(), LogError::Missing { id });
    let printed = printed(dir.path().to_path_buf(), id, Phase::Run, Stream::Stdout).await.unwrap();
    assert_eq!(printed, Captured::default());
}

#[test]
fn what_is_not_this_log_is_refused() {
    let dir = TempDir::new().unwrap();
    let (id, other) = (LogId::new(), LogId::new());
    let rotate = LogWriter::create(dir.path(), id, Policy::Rotate).unwrap_err();
    assert_eq!(rotate, LogError::NotBuilt { policy: "rotate" });
    write(dir.path(), id, &[]);
    let again = LogWriter::create(dir.path(), id, Policy::EndAtLimit).unwrap_err();
    assert!(matches!(again, LogError::Disk { .. }));
    write(dir.path(), other, &[]);
    fs::copy(path_of(dir.path(), other), path_of(dir.path(), id)).unwrap();
    let error = LogReader::open(dir.path(), id).unwrap_err();
    assert!(matches!(error, LogError::Damaged { .. }));
    assert!(LogWriter::reopen(dir.path(), id).is_err());
}

#[test]
fn after_a_failed_write_nothing_is_written() {
    let dir = TempDir::new().unwrap();
    let id = LogId::new();
    let mut writer = LogWriter::create(dir.path(), id, Policy::EndAtLimit).unwrap();
    writer.append(Phase::Run, Stream::Stdout, b"kept", Timestamp(1)).unwrap();
    writer.file_for_test(fs::File::open(path_of(dir.path(), id)).unwrap());
    let first = writer.append(Phase::Run, Stream::Stdout, b"lost", Timestamp(2)).unwrap_err();
    assert!(matches!(first, LogError::Disk { .. }));
    assert_eq!(writer.append(Phase::Run, Stream::Stdout, b"lost", Timestamp(2)), Err(first));
    assert_eq!(payloads(&frames(dir.path(), id, Seq::START)), [b"kept"]);
}
