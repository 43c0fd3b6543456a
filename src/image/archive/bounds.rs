//! How much an archive may ask for. Each bound has a default with which every image of Debian fits, and an option.
use crate::base::size::ByteSize;

/// What an archive may ask for at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The archive uncompressed, and so the files in it.
    pub size: ByteSize,
    /// Files, links and directories.
    pub entries: u64,
    /// Directories above an entry, with itself.
    pub depth: usize,
    /// Bytes of a path.
    pub path: usize,
    /// The archive uncompressed, divided by what was read of it: beyond this it is a bomb.
    pub ratio: u64,
}

impl Bounds {
    /// Those that are in force where nothing else is asked for.
    pub const STANDARD: Self =
        Self { size: ByteSize::mib(16 * 1024), entries: 1_000_000, depth: 64, path: 1024, ratio: 200 };
}
