//! A folder in memory for readers that take a path. Each process has one; it goes with the process.
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();

/// The folder.
pub(crate) fn folder() -> &'static Path {
    let make = || {
        // run.sh gives a folder that it removes; a crash leaves no time to.
        let parent = std::env::var_os("SCRATCH").map_or_else(std::env::temp_dir, PathBuf::from);
        tempfile::tempdir_in(parent).expect("a folder")
    };
    FOLDER.get_or_init(make).path()
}

/// A file in it with this content.
pub(crate) fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = folder().join(name);
    std::fs::write(&path, content).expect("a file");
    path
}
