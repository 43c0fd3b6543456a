//! What the store reads back from its own files: the journal, the changes in it, and records.
#[path = "../../../src/store/codec.rs"]
mod codec;
#[expect(dead_code, reason = "a target does not use all of it")]
#[path = "../../../src/store/fault.rs"]
mod fault;
#[expect(dead_code, reason = "a target does not use all of it")]
#[path = "../../../src/store/journal.rs"]
mod journal;
#[expect(dead_code, reason = "a target does not use all of it")]
#[path = "../../../src/store/mark.rs"]
mod mark;
#[expect(dead_code, reason = "a target does not use all of it")]
#[path = "../../../src/store/steps.rs"]
mod steps;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::Duration;

use journal::{Append, Entry, HALF_BYTES, Journal};
use kiln::access::Ownership;
use kiln::base::checksum::Crc32c;
use kiln::base::digest::Digest;
use kiln::base::id::{JobId, LogId};
use kiln::base::size::ByteSize;
use kiln::base::time::Timestamp;
use kiln::job::limits::Limits;
use kiln::job::record::{Family, Head, Record, SCHEMA, Wanted};
use kiln::job::request::offer::UsedImage;
use kiln::job::request::{Reach, Request, SourceFile, Work};
use kiln::job::state::State;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use steps::Writes;

use crate::{memory, scratch};

/// Of every turn of the journal; no forger knows it.
const LEAP: u32 = 0x9e37_79b9;
const ID: JobId = JobId::from_bytes([5; 16]);

fn path() -> PathBuf {
    scratch::folder().join(journal::NAME)
}

/// What must be left of a journal: the entries of its two halves, the older ones first.
#[derive(Default)]
struct Expected {
    halves: [Vec<Entry>; 2],
    seq: u64,
}

/// A journal in use, with crashes, by a client who knows its form: after each crash exactly what was written since the
/// second last turn is left. What is damaged is left out, with all behind it.
pub(crate) fn journal(bytes: &[u8]) {
    clear();
    match used(&mut Unstructured::new(bytes)) {
        Ok(()) | Err(_) => {} // An input that is too short ends early.
    }
}

/// As new, without the time that it takes to make a file of that size: what a run writes is far shorter than this.
fn clear() {
    const WRITTEN: usize = 16 << 10;
    let Ok(file) = fs::OpenOptions::new().write(true).open(path()) else { return };
    for half in [0, HALF_BYTES] {
        file.write_all_at(&[0; WRITTEN], u64::try_from(half).expect("64 bits")).expect("room");
    }
}

fn used(from: &mut Unstructured<'_>) -> Result<()> {
    let (mut journal, left) = Journal::open(scratch::folder()).expect("a journal");
    assert!(left.entries.is_empty());
    let mut expected = Expected::default();
    turn(&mut journal, &mut expected);
    for _ in 0..from.int_in_range(1..=12)? {
        match from.int_in_range(0..=5)? {
            0 => turn(&mut journal, &mut expected),
            1 => {
                journal = crash(&expected, 0);
                turn(&mut journal, &mut expected);
            }
            2 => {
                let steps = forged(from)?;
                append(&mut journal, &mut expected, steps);
            }
            _ => {
                let length = from.int_in_range(0..=200)?;
                let steps = from.bytes(length.min(from.len()))?.to_vec();
                append(&mut journal, &mut expected, steps);
            }
        }
    }
    drop(crash(&expected, 0));
    damage(from, &expected)
}

fn turn(journal: &mut Journal, expected: &mut Expected) {
    journal.turn(expected.seq, LEAP).expect("room");
    expected.halves.swap(0, 1);
    expected.halves[1].clear();
}

fn append(journal: &mut Journal, expected: &mut Expected, steps: Vec<u8>) {
    let seq = expected.seq + 1;
    match journal.append(seq, &steps).expect("room") {
        Append::Written => {
            expected.halves[1].push(Entry { seq, steps });
            expected.seq = seq;
        }
        Append::Full | Append::TooLarge => {}
    }
}

/// The entries are those that were written, but for the last `lost` of them.
fn crash(expected: &Expected, lost: usize) -> Journal {
    let (journal, left) = memory::within(4 * HALF_BYTES, || Journal::open(scratch::folder())).expect("a journal");
    let all = expected.halves.concat();
    assert_eq!(left.entries, all[..all.len() - lost]);
    assert!(left.flushed <= expected.seq);
    journal
}

/// The text of a request that would itself be entries of the journal, one after another, each for the generation of its
/// half in some turns.
fn forged(from: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut bytes = vec![0; from.int_in_range(0..=40)?];
    for _ in 0..from.int_in_range(1..=4)? {
        let (generation, seq) = (from.int_in_range(0..=12_u64)?, from.int_in_range(0..=12_u64)?);
        let steps = from.bytes(2.min(from.len()))?;
        let sum = Crc32c::EMPTY.with(&generation.to_le_bytes()).with(&seq.to_le_bytes()).with(steps).value();
        bytes.extend(u32::try_from(steps.len()).expect("short").to_le_bytes());
        bytes.extend(sum.to_le_bytes());
        bytes.extend(seq.to_le_bytes());
        bytes.extend(steps);
    }
    Ok(bytes)
}

/// The last entry is not whole.
fn damage(from: &mut Unstructured<'_>, expected: &Expected) -> Result<()> {
    let Some(last) = expected.halves[1].last() else { return Ok(()) };
    let file = fs::read(path()).expect("a journal");
    let entry = last.steps.len() + 16;
    let before: usize = expected.halves[1].iter().map(|entry| entry.steps.len() + 16).sum::<usize>() - entry + 28;
    let half = |half: &[u8]| u64::from_le_bytes(half[8..16].try_into().expect("8 bytes"));
    let begin = if half(&file) > half(&file[HALF_BYTES..]) { 0 } else { HALF_BYTES };
    // Not its length: entries of a wrong length may be anything, and are told by the checksum alone.
    let at = begin + before + from.int_in_range(4..=entry - 1)?;
    let changed = file[at] ^ from.int_in_range(1..=255)?;
    let opened = fs::OpenOptions::new().write(true).open(path()).expect("a journal");
    opened.write_all_at(&[changed], u64::try_from(at).expect("64 bits")).expect("room");
    drop(crash(expected, 1));
    Ok(())
}

/// The bytes of a change: what is read has a form that is read as the same.
pub(crate) fn change(bytes: &[u8]) {
    let Some(writes) = memory::within(128 * bytes.len() + 4096, || Writes::decode(bytes)) else { return };
    let written = writes.encode();
    assert!(written.len() <= bytes.len());
    assert_eq!(Writes::decode(&written), Some(writes.clone()));
    let mut twice = writes.clone();
    twice.follow(writes.clone());
    assert_eq!(twice, writes);
}

/// A record and its request, from two halves of an input: what is read is written as the same.
pub(crate) fn record(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk() else { return };
    let (body, request) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
    let read = memory::within(512 * bytes.len() + (1 << 20), || codec::stored(ID, body)?.whole(request));
    let record = match read {
        Ok(record) => record,
        Err(error) => return assert!(error.to_string().contains("job 05050505"), "{error}"),
    };
    assert!(!record.head.created.rfc3339().is_empty());
    let (extent, request) = codec::request(&record).expect("a request has bytes");
    let body = codec::body(&record, extent).expect("a record has bytes");
    assert_eq!(codec::stored(ID, &body).and_then(|stored| stored.whole(&request)), Ok(record));
}

pub(crate) fn journal_seeds() -> Vec<Vec<u8>> {
    // The text of the first request is an entry of the third generation, if generations were counted, and lies where
    // the first entry of that ends.
    let forgery = b"\x03\x02\x05\x00\x03\x03xy\x00\x00\x03\x05abcde\x00\x00\x00\x00".to_vec();
    vec![vec![0; 16], vec![2; 64], (0..=255).collect(), (0..=255).rev().collect(), forgery]
}

pub(crate) fn change_seeds() -> Vec<Vec<u8>> {
    let mut writes = Writes::default();
    let mut seeds = vec![writes.encode()];
    writes.jobs.insert(b"a", b"1");
    writes.jobs.remove(b"b");
    writes.feed.insert(b"", b"");
    writes.readers.insert(b"key", b"value");
    seeds.push(writes.encode());
    seeds
}

pub(crate) fn record_seeds() -> Vec<Vec<u8>> {
    let language = || String::from("c");
    let file = |path: &str| SourceFile { path: path.to_owned(), content: path.as_bytes().to_vec(), executable: true };
    let works = [
        Work::Source { language: language(), code: String::from("int main;") },
        Work::Files { language: language(), files: vec![file("a"), file("b/c")], entrypoint: String::from("a") },
        Work::Command { command: vec![String::from("true")] },
        Work::Probe { attempt: String::from("mount") },
    ];
    let outside = seed(Work::Probe { attempt: String::from("mount") }, Reach::Outside);
    works.map(|work| seed(work, Reach::Nothing)).into_iter().chain([outside]).collect()
}

fn seed(work: Work, reach: Reach) -> Vec<u8> {
    let time = Duration::from_millis(1500);
    let size = ByteSize::mib(16);
    let limits = Limits {
        wall: time,
        cpu_time: time,
        milli_cpus: 1000,
        memory: size,
        processes: 64,
        open_files: 256,
        file_size: size,
        disk: size,
        output: size,
        compile_wall: time,
        compile_memory: size,
    };
    let environment = vec![(String::from("A"), String::from("b"))];
    let ownership = Ownership { owner: String::from("ann"), grants: Vec::new() };
    let node = String::from("n");
    let head = Head { schema: SCHEMA, ownership, family: Family::Execution, node, revision: 1, created: Timestamp(7) };
    let image = UsedImage::Stored { name: String::from("a:1"), digest: Digest([3; 32]) };
    let args = vec![String::from("x")];
    let request = Request { work, image, args, stdin: b"in".to_vec(), environment, limits, reach };
    let (wanted, observed, log) = (Wanted::Run, State::Queued, LogId::from_bytes([1; 16]));
    let record = Record { head, id: ID, request, wanted, observed, attempts: Vec::new(), log };
    let (extent, request) = codec::request(&record).expect("a request has bytes");
    let body = codec::body(&record, extent).expect("a record has bytes");
    let length = u16::try_from(body.len()).expect("short").to_le_bytes();
    [length.as_slice(), &body, &request].concat()
}
