//! Copies what a sandbox prints from both pipes into its log, up to the end of both.
//!
//! Exactly the first bytes within the limit are kept; what comes after them is read and dropped
//! while the sandbox is being ended, so that its end is seen. Small pieces that follow each other
//! within [`LULL`] become one entry: a program that prints a byte at a time cannot fill the disk
//! with headers.
use std::pin::Pin;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, Sleep, sleep};

use super::live::Live;
use crate::base::size::ByteSize;
use crate::base::time::Clock;
use crate::output::{AttemptLog, Phase, Stream};

/// Entries of one phase follow each other at this distance, unless they are large.
const LULL: Duration = Duration::from_millis(2);
/// What is at least this large is not held back.
const LARGE: usize = 16 << 10;
/// Most that one read takes: what a pipe holds (pipe(7)).
const READ: usize = 64 << 10;

/// Where the output of a phase goes.
pub(super) struct Drain<'a> {
    pub(super) log: &'a mut AttemptLog,
    pub(super) phase: Phase,
    pub(super) limit: ByteSize,
    pub(super) clock: &'a dyn Clock,
    pub(super) live: &'a Live,
    /// Asks for the end of whoever prints.
    pub(super) end: &'a (dyn Fn() + Send + Sync),
    /// What came out of both streams.
    pub(super) printed: u64,
    /// Why output could not be kept.
    pub(super) fault: Option<String>,
}

/// One pipe and what was read from it and not yet written.
struct Source<P> {
    pipe: P,
    stream: Stream,
    pending: BytesMut,
    open: bool,
}

impl<P: AsyncRead + Unpin> Source<P> {
    fn new(pipe: P, stream: Stream) -> Self {
        Self { pipe, stream, pending: BytesMut::new(), open: true }
    }

    /// Reads once; says how much. May be dropped while it waits: nothing is lost.
    async fn fill(&mut self) -> usize {
        self.pending.reserve(READ);
        match self.pipe.read_buf(&mut self.pending).await {
            Ok(count) => {
                self.open = count > 0;
                count
            }
            Err(error) => {
                tracing::warn!(%error, stream = ?self.stream, "queue: a pipe could not be read");
                self.open = false;
                0
            }
        }
    }
}

impl Drain<'_> {
    /// Copies until both pipes end.
    pub(super) async fn both<P: AsyncRead + Unpin>(&mut self, stdout: P, stderr: P) {
        let mut out = Source::new(stdout, Stream::Stdout);
        let mut err = Source::new(stderr, Stream::Stderr);
        let mut lull = std::pin::pin!(sleep(Duration::ZERO));
        while out.open || err.open {
            let held = !out.pending.is_empty() || !err.pending.is_empty();
            tokio::select! {
                count = out.fill(), if out.open => self.came(count, &mut out, lull.as_mut()),
                count = err.fill(), if err.open => self.came(count, &mut err, lull.as_mut()),
                () = lull.as_mut(), if held => {
                    self.keep(&mut out);
                    self.keep(&mut err);
                    lull.as_mut().reset(Instant::now() + LULL);
                }
            }
        }
        self.keep(&mut out);
        self.keep(&mut err);
    }

    /// Counts what was read, and writes it unless it is to wait for more.
    fn came<P>(&mut self, count: usize, source: &mut Source<P>, mut lull: Pin<&mut Sleep>) {
        let within = self.printed <= self.limit.bytes();
        self.printed = self.printed.saturating_add(count.try_into().unwrap_or(u64::MAX));
        if within && self.printed > self.limit.bytes() {
            (self.end)();
        }
        if lull.is_elapsed() || source.pending.len() >= LARGE || !source.open {
            self.keep(source);
            lull.as_mut().reset(Instant::now() + LULL);
        }
    }

    /// Writes what was read, up to the limit, and forgets the rest.
    fn keep<P>(&mut self, source: &mut Source<P>) {
        let counts = self.log.counts(self.phase);
        let kept = counts.stdout_bytes.saturating_add(counts.stderr_bytes);
        let room = usize::try_from(self.limit.bytes().saturating_sub(kept)).unwrap_or(usize::MAX);
        let bytes = source.pending.split();
        let within = bytes.get(..room).unwrap_or(&bytes);
        if within.is_empty() || self.fault.is_some() {
            return;
        }
        // A short write to the page cache; the pipe waits meanwhile, nobody else.
        match self.log.append(self.phase, source.stream, within, self.clock.now()) {
            Ok(seq) => self.live.printed(seq),
            Err(error) => {
                tracing::error!(%error, "queue: output cannot be kept, its job is ended");
                self.fault = Some(format!("the output could not be kept: {error}"));
                (self.end)();
            }
        }
    }
}

#[cfg(test)]
mod test {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tempfile::TempDir;
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::base::id::LogId;
    use crate::base::time::SystemClock;
    use crate::output::{LogReader, Mark, SHOWN_WHOLE, Seq};

    struct Tried {
        stdout: Vec<u8>,
        stderr: Vec<u8>,
        printed: u64,
        ends: usize,
        entries: u64,
    }

    /// Prints pieces on both streams, with a pause after each, and drains them.
    async fn tried(limit: u64, out: &[&[u8]], err: &[&[u8]], pause: Duration) -> Tried {
        let dir = TempDir::new().unwrap();
        let id = LogId::new();
        let mut log = AttemptLog::begin(dir.path(), id, Mark::Attempt { number: 1 }, SystemClock.now()).unwrap();
        let (live, ends) = (Live::queued(), AtomicUsize::new(0));
        let (mut out_in, out_end) = tokio::io::duplex(1 << 16);
        let (mut err_in, err_end) = tokio::io::duplex(1 << 16);
        let end = || {
            ends.fetch_add(1, Ordering::Relaxed);
        };
        let mut drain = Drain {
            log: &mut log,
            phase: Phase::Run,
            limit: ByteSize(limit),
            clock: &SystemClock,
            live: &live,
            end: &end,
            printed: 0,
            fault: None,
        };
        let print = async {
            for index in 0..out.len().max(err.len()) {
                out_in.write_all(out.get(index).unwrap_or(&&b""[..])).await.unwrap();
                err_in.write_all(err.get(index).unwrap_or(&&b""[..])).await.unwrap();
                if pause.is_zero() {
                    tokio::task::yield_now().await;
                } else {
                    sleep(pause).await;
                }
            }
            drop((out_in, err_in));
        };
        tokio::join!(drain.both(out_end, err_end), print);
        let printed = drain.printed;
        let mut reader = LogReader::open(dir.path(), id).unwrap();
        let mut shown = |stream| reader.read_stream(Phase::Run, stream, SHOWN_WHOLE).unwrap().head;
        let (stdout, stderr) = (shown(Stream::Stdout), shown(Stream::Stderr));
        assert_eq!(live.watch().borrow().seq, log.seq());
        let entries = log.seq().0 - 1;
        Tried { stdout, stderr, printed, ends: ends.into_inner(), entries }
    }

    #[tokio::test]
    async fn every_byte_of_both_streams_is_kept() {
        let large = vec![b'x'; 300_000];
        let tried = tried(1 << 20, &[b"a", &large, b"b"], &[b"1", b"2"], Duration::ZERO).await;
        assert_eq!(tried.stdout, [&b"a"[..], &large, b"b"].concat());
        assert_eq!(tried.stderr, b"12");
        assert_eq!((tried.printed, tried.ends), (300_004, 0));
    }

    #[tokio::test]
    async fn exactly_the_limit_is_kept_and_the_end_asked_for_once() {
        let large = vec![b'x'; 100_000];
        let tried = tried(70_000, &[&large, &large], &[b"e"], Duration::ZERO).await;
        assert_eq!(tried.stdout.len() + tried.stderr.len(), 70_000);
        assert_eq!((tried.printed, tried.ends), (200_001, 1));
    }

    #[tokio::test]
    async fn output_of_exactly_the_limit_is_within_it() {
        let tried = tried(5, &[b"abc"], &[b"de"], Duration::ZERO).await;
        assert_eq!((tried.stdout.as_slice(), tried.stderr.as_slice()), (&b"abc"[..], &b"de"[..]));
        assert_eq!(tried.ends, 0);
    }

    #[tokio::test]
    async fn single_bytes_share_entries() {
        let bytes = [&b"x"[..]; 1000];
        let tried = tried(1 << 20, &bytes, &bytes, Duration::ZERO).await;
        assert_eq!(tried.stdout.len() + tried.stderr.len(), 2000);
        assert!(tried.entries < 1000, "{} entries", tried.entries);
    }

    #[tokio::test]
    async fn a_piece_after_a_pause_is_written_at_once() {
        let pause = LULL * 3;
        let tried = tried(1 << 20, &[b"a", b"b", b"c"], &[], pause).await;
        assert_eq!(tried.stdout, b"abc");
        assert_eq!(tried.entries, 3);
        assert!(Seq(tried.entries) > Seq::START);
    }
}
