//! Why a store or an image could not be changed, and what to do.
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::base::fault::Faults;

/// Why nothing was done. Its text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The archive is none that an image is made of. Every fault with the entry that has it.
    #[error("the archive is refused: {0}")]
    Archive(Faults),
    /// Others than its owner could change what jobs run in.
    #[error("{}: {message}", .path.display())]
    NotOurs {
        /// Where.
        path: PathBuf,
        /// What it is, and what to do.
        message: &'static str,
    },
    /// A program that makes images is not installed.
    #[error("{program} is not installed: apt-get install {package}")]
    NoProgram {
        /// Its name.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// Such a program ended otherwise than well.
    #[error("{program} failed: {said}")]
    Program {
        /// Its name.
        program: &'static str,
        /// The end of what it said.
        said: String,
    },
    /// There is no room for it.
    #[error("{what}: the disk is full. Nothing was kept of it; make room, for example by: kiln image gc")]
    Full {
        /// What was being done.
        what: String,
    },
    /// The file system said no.
    #[error("{what}: {error}")]
    Failed {
        /// What was being done.
        what: String,
        /// What it said.
        error: io::Error,
    },
}

impl ImageError {
    /// What went wrong while something was done.
    pub(crate) fn failed(what: impl Into<String>, error: impl Into<io::Error>) -> Self {
        let (what, error) = (what.into(), error.into());
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOSPC | Errno::EDQUOT) => Self::Full { what },
            Some(_) | None => Self::Failed { what, error },
        }
    }

    /// The same, with a path.
    pub(crate) fn at(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.display().to_string();
        move |error| Self::failed(path.clone(), error)
    }

    /// One fault of a whole archive.
    pub(crate) fn archive(message: impl Into<String>) -> Self {
        let mut faults = Faults::default();
        faults.add("archive", message);
        Self::Archive(faults)
    }
}
