//! Archives of root file systems: whatever one says, what comes out stays below the root, and within bounds.
use std::io::{Read, copy, sink};

use kiln::base::size::ByteSize;
use kiln::image::archive::bounds::Bounds;
use kiln::image::archive::{Kind, Member, Refusal, Sink, read};

use crate::memory;

/// Small, so that an input can reach them.
const BOUNDS: Bounds = Bounds { size: ByteSize::kib(64), entries: 8, depth: 8, path: 256, ratio: 200 };
/// What a reader may hold: its buffers, an extended header, the window of a decoder.
const MEMORY: usize = 300 << 20;
const BLOCK: usize = 512;

/// Looks at every member as an image would take it.
#[derive(Default)]
struct Seen {
    members: u64,
    bytes: u64,
}

impl Sink for Seen {
    fn take(&mut self, member: &Member, content: &mut dyn Read) -> Result<(), Refusal> {
        let path = member.path.as_str();
        assert!(!path.starts_with('/') && path.len() <= BOUNDS.path && !path.chars().any(char::is_control));
        assert!(path.is_empty() || path.split('/').all(|name| !["", ".", ".."].contains(&name)));
        assert!(path.split('/').count() <= BOUNDS.depth);
        match &member.kind {
            Kind::HardLink(target) => assert!(!target.as_str().split('/').any(|name| name == "..")),
            Kind::Symlink(target) => assert!(!target.is_empty() && !target.chars().any(char::is_control)),
            Kind::File(size) => {
                if let Ok(count) = copy(content, &mut sink()) {
                    assert!(count <= *size);
                    self.bytes += count;
                }
            }
            Kind::Directory | Kind::Special(_) => {}
        }
        self.members += 1;
        Ok(())
    }
}

fn walk(bytes: &[u8]) {
    let mut seen = Seen::default();
    let result = memory::within(MEMORY, || read(bytes, &BOUNDS, &mut seen));
    assert!(seen.members <= BOUNDS.entries && seen.bytes <= BOUNDS.size.bytes());
    if let Err(error) = result {
        assert!(!error.to_string().chars().any(|letter| letter.is_control()), "{error}");
    }
}

/// Blocks as they are, and with the checksums that make headers of them.
pub(crate) fn archive(bytes: &[u8]) {
    walk(bytes);
    let mut blocks = bytes.to_vec();
    for block in blocks.chunks_exact_mut(BLOCK).filter(|block| block.iter().any(|byte| *byte != 0)) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    walk(&blocks);
    // With an end, so that what stands before it counts.
    blocks.truncate(blocks.len() / BLOCK * BLOCK);
    blocks.resize(blocks.len() + 2 * BLOCK, 0);
    walk(&blocks);
}

/// The same behind each of the compressions.
pub(crate) fn compressed(bytes: &[u8]) {
    walk(bytes);
    for magic in [&[0x1f, 0x8b, 8][..], &[0xfd, b'7', b'z', b'X', b'Z', 0], &[0x28, 0xb5, 0x2f, 0xfd]] {
        walk(&[magic, bytes].concat());
    }
}

/// A header, without its checksum.
fn header(name: &str, kind: u8, link: &str, size: usize) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..108].copy_from_slice(b"0000755\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link.as_bytes());
    block[257..265].copy_from_slice(b"ustar  \0");
    block
}

fn block(text: &[u8]) -> Vec<u8> {
    let mut block = text.to_vec();
    block.resize(BLOCK, 0);
    block
}

pub(crate) fn archive_seeds() -> Vec<Vec<u8>> {
    let ahead = |kind, text: &[u8]| [header("ahead", kind, "", text.len()), block(text)].concat();
    vec![
        [header("./usr/", b'5', "", 0), header("usr/a", b'0', "", 3), block(b"abc")].concat(),
        [header("bin", b'2', "usr/bin", 0), header("bin/x", b'1', "usr/a", 0)].concat(),
        [ahead(b'L', b"a/long/name\0"), header("x", b'0', "", 0)].concat(),
        [ahead(b'x', b"12 path=a/b\n10 size=0\n"), header("x", b'0', "", 0)].concat(),
        [ahead(b'g', b"13 comment=x\n"), header("null", b'3', "", 0), header("s", b'S', "", 0)].concat(),
    ]
}

pub(crate) fn compressed_seeds() -> Vec<Vec<u8>> {
    vec![
        include_bytes!("../../../src/image/archive/test/text.xz").to_vec(),
        include_bytes!("../../../src/image/archive/test/text.zst").to_vec(),
        vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
}
