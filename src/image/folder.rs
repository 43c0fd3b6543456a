//! A directory that is known by its descriptor: what is done in it cannot be led elsewhere by renaming what is above it.
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::statvfs::fstatvfs;

/// A directory.
#[derive(Debug)]
pub(super) struct Folder(File);

impl Folder {
    /// The directory at a path; its last name is not followed when it is a link.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map(Self)
    }

    /// The same one level down.
    pub(super) fn within(&self, name: &str) -> io::Result<Self> {
        Self::open(&self.path(name))
    }

    /// Makes a directory in it where there is none. Only its owner may write there.
    pub(super) fn make(&self, name: &str) -> io::Result<Self> {
        match DirBuilder::new().mode(0o755).create(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.within(name),
            Err(error) => Err(error),
            Ok(()) => {
                let made = self.within(name)?;
                made.0.set_permissions(Permissions::from_mode(0o755))?;
                Ok(made)
            }
        }
    }

    /// A path that leads to `name` in this directory, for this process and as long as this lives (proc(5), `fd`).
    pub(super) fn path(&self, name: &str) -> PathBuf {
        Path::new("/proc/self/fd").join(self.0.as_raw_fd().to_string()).join(name)
    }

    /// The directory itself, as a file: to lock it, to give it on.
    pub(super) const fn file(&self) -> &File {
        &self.0
    }

    /// Opens a file to read; no link is followed, nothing is waited for.
    pub(super) fn read(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        OpenOptions::new().read(true).custom_flags(flags.bits()).open(self.path(name))
    }

    /// A file that is there only to be locked.
    pub(super) fn lock_file(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o644).custom_flags(OFlag::O_NOFOLLOW.bits());
        options.open(self.path(name))
    }

    /// Writes a new file that nobody changes afterwards, to the disk.
    pub(super) fn write(&self, name: &str, text: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o444).open(self.path(name))?;
        file.write_all(text)?;
        file.set_permissions(Permissions::from_mode(0o444))?;
        file.sync_all()
    }

    /// Moves a file of this directory into another, over what is there.
    pub(super) fn give(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        fs::rename(self.path(name), to.path(new))
    }

    /// What is in it, sorted.
    pub(super) fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names =
            fs::read_dir(self.path(""))?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    /// Removes a file; what is not there is as it should be.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        gone(fs::remove_file(self.path(name)))
    }

    /// Removes a directory with all that is in it, following no link.
    pub(super) fn remove_tree(&self, name: &str) -> io::Result<()> {
        gone(fs::remove_dir_all(self.path(name)))
    }

    /// Whether the file system that it is on has no room left.
    pub(super) fn is_full(&self) -> bool {
        fstatvfs(&self.0).is_ok_and(|found| found.blocks_free() == 0 || (found.files() > 0 && found.files_free() == 0))
    }

    /// Waits until its entries are on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
