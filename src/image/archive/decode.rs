//! What an archive is compressed by, found by its first bytes; and the bytes of the archive itself, within bounds.
//!
//! The decoders are written in Rust without unsafe code of note: they read what nobody trusts, as root.
use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};

use crate::image::archive::bounds::Bounds;

/// So much may be read of the archive before its ratio is looked at: what is small is no bomb.
const RATIO_FROM: u64 = 64 << 20;
/// Memory of a decoder. The highest level of xz needs 64 MiB, of zstd without `--ultra` 8 MiB.
const MEMORY_AT_MOST_KIB: u32 = 130 << 10;
/// What is read at once.
const BUFFER: usize = 256 << 10;

/// The archive has more than its bounds permit.
#[derive(Debug)]
pub(super) struct Excess(pub(super) String);

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Excess {}

/// The bytes of the archive that `input` holds, plain or compressed.
pub(super) fn decoded<'a>(input: impl Read + 'a, bounds: &Bounds) -> io::Result<Box<dyn Read + 'a>> {
    let taken = Rc::new(Cell::new(0));
    let mut input = BufReader::with_capacity(BUFFER, Counted { inner: input, count: Rc::clone(&taken) });
    let first = input.fill_buf()?;
    let plain: Box<dyn Read> = match first {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(input)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(XzReader::new_mem_limit(input, true, MEMORY_AT_MOST_KIB)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(Frames::new(input)?),
        [b'B', b'Z', b'h', ..] => return Err(unknown("bzip2")),
        [b'P', b'K', 3, 4, ..] => return Err(unknown("zip")),
        _ => Box::new(input),
    };
    Ok(Box::new(Bounded { inner: plain, taken, given: 0, bounds: *bounds }))
}

fn unknown(name: &str) -> io::Error {
    io::Error::other(Excess(format!("{name} is not read: a tar archive is, plain or by gzip, xz or zstd")))
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.count.set(self.count.get().saturating_add(length(count)));
        Ok(count)
    }
}

/// Ends with [`Excess`] where more comes out than may.
struct Bounded<R> {
    inner: R,
    taken: Rc<Cell<u64>>,
    given: u64,
    bounds: Bounds,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.given = self.given.saturating_add(length(count));
        let Bounds { size, ratio, .. } = self.bounds;
        if self.given > size.bytes() {
            return Err(io::Error::other(Excess(format!("has more than {size} uncompressed (--max-size)"))));
        }
        if self.given > RATIO_FROM && self.given / self.taken.get().max(1) > ratio {
            let message = format!("is more than {ratio} times as large uncompressed (--max-ratio): a bomb");
            return Err(io::Error::other(Excess(message)));
        }
        Ok(count)
    }
}

fn length(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// All frames of a zstd stream (RFC 8878, section 3.1); those that hold no content are passed over.
struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
    is_over: bool,
}

impl<R: BufRead> Frames<R> {
    fn new(source: R) -> io::Result<Self> {
        let mut frames = Self { source, decoder: FrameDecoder::new(), is_over: false };
        frames.decoder.set_max_window_size(u64::from(MEMORY_AT_MOST_KIB) << 10);
        frames.begin()?;
        Ok(frames)
    }

    /// Goes to the next frame that has content.
    fn begin(&mut self) -> io::Result<()> {
        loop {
            self.is_over = self.source.fill_buf()?.is_empty();
            if self.is_over {
                return Ok(());
            }
            match self.decoder.reset(&mut self.source) {
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.source.by_ref().take(length), &mut io::sink())? != length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                other => return other.map_err(io::Error::other),
            }
        }
    }

    fn end(&self) -> io::Result<()> {
        match self.decoder.get_checksum_from_data() {
            Some(written) if Some(written) != self.decoder.get_calculated_checksum() => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "a checksum is wrong"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        use ruzstd::decoding::BlockDecodingStrategy::UptoBlocks;
        while !self.is_over && !into.is_empty() {
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(into);
            }
            if self.decoder.is_finished() {
                self.end()?;
                self.begin()?;
            } else {
                self.decoder.decode_blocks(&mut self.source, UptoBlocks(1)).map_err(io::Error::other)?;
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod test {
    use std::io::Write as _;

    use super::*;
    use crate::base::size::ByteSize;

    const TEXT: &[u8] = b"kiln runs untrusted code, kiln runs untrusted code\n";

    /// `TEXT` by `zstd --check`.
    const ZSTD: &[u8] = include_bytes!("test/text.zst");
    /// `TEXT` by `xz`.
    const XZ: &[u8] = include_bytes!("test/text.xz");

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(input: &[u8], bounds: &Bounds) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let mut decoded = decoded(input, bounds).map_err(|error| error.to_string())?;
        decoded.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    #[test]
    fn every_compression_gives_what_was_compressed_also_twice() {
        for compressed in [TEXT, &gzip(TEXT), XZ, ZSTD] {
            assert_eq!(read(compressed, &Bounds::STANDARD).unwrap(), TEXT);
            assert_eq!(read(&[compressed, compressed].concat(), &Bounds::STANDARD).unwrap(), [TEXT, TEXT].concat());
        }
        let skippable = [ZSTD, &[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2], ZSTD].concat();
        assert_eq!(read(&skippable, &Bounds::STANDARD).unwrap(), [TEXT, TEXT].concat());
    }

    #[test]
    fn what_is_cut_off_or_changed_is_not_taken_for_whole() {
        for compressed in [gzip(TEXT).as_slice(), XZ, ZSTD] {
            for length in 7..compressed.len() {
                assert!(read(&compressed[..length], &Bounds::STANDARD).is_err(), "{length}");
            }
            let mut changed = compressed.to_vec();
            changed[compressed.len() - 14] ^= 1;
            assert!(read(&changed, &Bounds::STANDARD).is_err());
        }
    }

    #[test]
    fn a_bomb_ends_at_its_bounds() {
        let zeros = vec![0; 80 << 20];
        let bomb = gzip(&zeros);
        assert!(read(&bomb, &Bounds::STANDARD).unwrap_err().contains("a bomb"));
        let small = Bounds { size: ByteSize::mib(1), ..Bounds::STANDARD };
        assert!(read(&bomb, &small).unwrap_err().contains("--max-size"));
        assert_eq!(read(&bomb, &Bounds { ratio: 2000, ..Bounds::STANDARD }).unwrap().len(), zeros.len());
    }

    #[test]
    fn what_is_not_read_is_told_by_name() {
        assert!(read(b"BZh91AY", &Bounds::STANDARD).unwrap_err().contains("bzip2"));
        assert!(read(b"PK\x03\x04", &Bounds::STANDARD).unwrap_err().contains("zip"));
    }
}
