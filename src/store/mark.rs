//! How far the records were certainly durable, in a file beside the database.
//!
//! A database whose end is cut off or overwritten opens as an older one, and says nothing: its log
//! ends at the first entry that is not whole. The mark is what shows it. It is written after each
//! commit and never synced, so that it may be behind the records after a power loss, never ahead.
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Name of the file in the directory of the database.
pub(super) const NAME: &str = "committed";
/// Digits of the largest seq, and the end of the line: a number overwrites all of another.
const WIDTH: usize = 21;

/// The file.
#[derive(Debug)]
pub(super) struct Mark(File);

impl Mark {
    /// Opens or makes the mark of a directory; gives what it says, if it says something.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Option<u64>)> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path(dir))?;
        let mut bytes = [0; WIDTH];
        let length = file.read_at(&mut bytes, 0)?;
        let text = bytes.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
        Ok((Self(file), text.and_then(|text| text.trim_end().parse().ok())))
    }

    /// Everything up to this change is durable.
    pub(super) fn set(&self, seq: u64) -> io::Result<()> {
        self.0.write_all_at(format!("{seq:020}\n").as_bytes(), 0)
    }
}

/// Where the mark of a directory is.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_mark_says_what_was_set_last() {
        let dir = tempfile::TempDir::new().unwrap();
        let (mark, before) = Mark::open(dir.path()).unwrap();
        assert_eq!(before, None);
        for seq in [u64::MAX, 7] {
            mark.set(seq).unwrap();
            assert_eq!(Mark::open(dir.path()).unwrap().1, Some(seq));
        }
        // What a power loss may leave of a file that was never synced.
        mark.0.write_all_at(&[0; WIDTH], 0).unwrap();
        assert_eq!(Mark::open(dir.path()).unwrap().1, None);
    }
}
