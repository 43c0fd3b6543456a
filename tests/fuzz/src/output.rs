//! The log of what a job printed: what a reader gives was written so, whatever became of the file.
use std::fs;
use std::path::PathBuf;

use kiln::base::id::LogId;
use kiln::base::size::ByteSize;
use kiln::base::time::Timestamp;
use kiln::output::{Frame, LogError, LogReader, LogWriter, Mark, PAYLOAD_MAX, Phase, Policy, Seq, Stream};
use libfuzzer_sys::arbitrary::{Result, Unstructured};

use crate::{memory, scratch};

const ID: LogId = LogId::from_bytes([7; 16]);
const PREAMBLE: usize = 32;
const HEADER: usize = 64;

/// Where the one log of this process lies.
fn path() -> PathBuf {
    scratch::folder().join("07").join(ID.to_string())
}

fn write(bytes: &[u8]) {
    fs::create_dir_all(scratch::folder().join("07")).expect("a folder");
    fs::write(path(), bytes).expect("a log");
}

/// All entries. A reader that goes round in circles would give more than the file has room for.
fn frames(length: usize) -> std::result::Result<Vec<Frame>, LogError> {
    let mut reader = LogReader::open(scratch::folder(), ID)?;
    let mut frames = Vec::new();
    while let Some(frame) = memory::within(4 * PAYLOAD_MAX, || reader.next_frame())? {
        frames.push(frame);
        assert!(PREAMBLE + frames.len() * HEADER <= length, "more entries than there is room for");
    }
    assert_eq!(reader.next_frame()?, None);
    Ok(frames)
}

/// A file of anything behind its first 32 bytes: every entry lies in it as it is given, and a writer goes on behind
/// the last one.
pub(crate) fn raw(bytes: &[u8]) {
    drop(fs::remove_file(path()));
    drop(LogWriter::create(scratch::folder(), ID, Policy::EndAtLimit).expect("a log"));
    let file = [fs::read(path()).expect("a log"), bytes.to_vec()].concat();
    write(&file);
    let found = frames(file.len()).expect("a log");
    let mut at = PREAMBLE;
    for (frame, number) in found.iter().zip(1..) {
        assert_eq!(frame.seq, Seq(number));
        let payload = file.get(at + HEADER..at + HEADER + frame.payload.len()).expect("in the file");
        assert_eq!(frame.payload, payload);
        at += HEADER + payload.len();
    }
    shown(&found);
    goes_on(&found);
}

/// What is shown of a stream is its first and last bytes in the last attempt.
fn shown(frames: &[Frame]) {
    let begin = frames.iter().rposition(|frame| matches!(Mark::of(frame), Some(Mark::Attempt { .. }))).unwrap_or(0);
    let mut reader = LogReader::open(scratch::folder(), ID).expect("a log");
    for (phase, stream) in [(Phase::Run, Stream::Stdout), (Phase::Compile, Stream::Stderr)] {
        let mine = frames[begin..].iter().filter(|frame| frame.phase == phase && frame.stream == stream);
        let all: Vec<u8> = mine.flat_map(|frame| frame.payload.clone()).collect();
        let shown = reader.read_stream(phase, stream, ByteSize(8)).expect("a log");
        assert_eq!(shown.total_bytes, u64::try_from(all.len()).expect("64 bits"));
        assert!(all.starts_with(&shown.head) && all.ends_with(&shown.tail));
        assert_eq!(shown.truncated, all.len() > 8);
    }
}

/// A writer keeps what can be read, and its own entry is the next.
fn goes_on(before: &[Frame]) {
    let mut writer = LogWriter::reopen(scratch::folder(), ID).expect("a log");
    assert_eq!(writer.seq(), before.last().map_or(Seq::START, |frame| frame.seq));
    let seq = writer.append(Phase::Run, Stream::Stdout, b"more", Timestamp(9)).expect("room");
    let length = usize::try_from(fs::metadata(path()).expect("a log").len()).expect("64 bits");
    let after = frames(length).expect("a log");
    let (last, kept) = after.split_last().expect("an entry");
    assert_eq!(kept, before);
    assert_eq!((last.seq, last.payload.as_slice()), (seq, b"more".as_slice()));
}

/// A log that was written, and then damaged as a disk or a crash does it: the entries before the damage are given, and
/// none that was not written.
pub(crate) fn damage(bytes: &[u8]) {
    drop(fs::remove_file(path()));
    let mut from = Unstructured::new(bytes);
    let Ok(written) = written(&mut from) else { return };
    let whole = fs::read(path()).expect("a log");
    let mut file = whole.clone();
    let Ok(()) = damaged(&mut from, &mut file) else { return };
    let same = whole.iter().zip(&file).take_while(|(was, is)| was == is).count();
    write(&file);
    let found = match frames(file.len()) {
        Ok(found) => found,
        Err(error) => {
            assert!(matches!(error, LogError::Damaged { .. }) && same < PREAMBLE, "{error}");
            return;
        }
    };
    assert!(written.starts_with(&found), "an entry that was not written");
    let ends = written.iter().scan(PREAMBLE, |at, frame| {
        *at += HEADER + frame.payload.len();
        Some(*at)
    });
    let untouched = if same < PREAMBLE { 0 } else { ends.take_while(|end| *end <= same).count() };
    assert!(found.len() >= untouched, "{} entries of {untouched} that nothing happened to", found.len());
    if same >= PREAMBLE {
        goes_on(&found);
    }
}

fn written(from: &mut Unstructured<'_>) -> Result<Vec<Frame>> {
    let mut writer = LogWriter::create(scratch::folder(), ID, Policy::EndAtLimit).expect("a log");
    for at in 0..from.int_in_range(1..=6)? {
        let phase = *from.choose(&[Phase::Compile, Phase::Run])?;
        if from.ratio(1, 5)? {
            writer.append_mark(phase, Mark::Attempt { number: 1 }, Timestamp(at)).expect("room");
        } else {
            let stream = *from.choose(&[Stream::Stdout, Stream::Stderr])?;
            let length = from.int_in_range(1..=300)?;
            let payload = from.bytes(length.min(from.len()))?;
            writer.append(phase, stream, payload, Timestamp(at)).expect("room");
        }
    }
    drop(writer);
    let length = usize::try_from(fs::metadata(path()).expect("a log").len()).expect("64 bits");
    Ok(frames(length).expect("a log"))
}

/// A cut, some bits of one word, or a block of zeros: no more than a checksum of 32 bits is sure to notice.
fn damaged(from: &mut Unstructured<'_>, file: &mut Vec<u8>) -> Result<()> {
    let at = from.int_in_range(0..=file.len())?;
    match from.int_in_range(0..=2)? {
        0 => file.truncate(at),
        1 => {
            let bits: [u8; 4] = from.arbitrary()?;
            file.iter_mut().skip(at).zip(bits).for_each(|(byte, bits)| *byte ^= bits);
        }
        _ => {
            let length = from.int_in_range(0..=600)?;
            file.iter_mut().skip(at).take(length).for_each(|byte| *byte = 0);
        }
    }
    Ok(())
}

pub(crate) fn raw_seeds() -> Vec<Vec<u8>> {
    drop(fs::remove_file(path()));
    let mut writer = LogWriter::create(scratch::folder(), ID, Policy::EndAtLimit).expect("a log");
    let mut seeds = vec![Vec::new()];
    for (number, text) in [b"a\n".as_slice(), b"two\nlines", &[0xff; 70]].into_iter().enumerate() {
        writer.append_mark(Phase::Run, Mark::Attempt { number: 1 }, Timestamp(1)).expect("room");
        let stream = if number == 0 { Stream::Stderr } else { Stream::Stdout };
        writer.append(Phase::Run, stream, text, Timestamp(2)).expect("room");
        writer.append(Phase::Compile, Stream::Stderr, text, Timestamp(3)).expect("room");
        seeds.push(fs::read(path()).expect("a log")[PREAMBLE..].to_vec());
    }
    seeds
}

pub(crate) fn damage_seeds() -> Vec<Vec<u8>> {
    vec![
        vec![0; 8],
        (0..=255).collect(),
        vec![3; 200],
        b"\x02\x01\x01\x01\x09abcdefghi\x00\x01\x00\x05klmno\x30\x00\x01\x80".to_vec(),
    ]
}
