//! The store of images, as the spawner sees it: what it mounts by digest, and what it removes when asked.
//!
//! The folder is root's and nobody else may write to it, so what lies in it was put there by root; whoever may rename it
//! can take it away, and not change it. An image is mounted once, in the spawner's own mount namespace, and copied into
//! sandboxes. While this process lives, a shared lock on [`IN_USE`] keeps others from removing images.
//!
//! Not here: what an image is called, and whether its digest is right (`image`).
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat};
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use super::image::make_folder;
use crate::base::digest::Digest;
use crate::sys::loop_device::LoopDevice;
use crate::sys::mount::{self, Attributes, Depth};

/// Locked as long as images of the store may be in use.
const IN_USE: &str = "in-use";
/// Directory of the tags.
const TAGS: &str = "tags";
/// What no program can do with a file of an image.
const ATTRIBUTES: Attributes = Attributes::READ_ONLY.and(Attributes::NO_SETUID).and(Attributes::NO_DEVICES);
/// Onto these something is mounted, and nothing that is mounted follows a link.
const MOUNT_POINTS: [&str; 4] = ["proc", "dev", "tmp", "work"];

/// The store, and what of it is mounted.
#[derive(Debug)]
pub(super) struct Images {
    folder: OwnedFd,
    /// Where images are mounted; nobody else sees it.
    stage: PathBuf,
    mounted: RefCell<HashMap<Digest, OwnedFd>>,
    _in_use: Flock<File>,
}

impl Images {
    /// Opens the store, and makes its folder where there is none.
    ///
    /// # Errors
    /// When the folder is not root's, others may write to it, or somebody removes images at this moment.
    pub(super) fn open(folder: &Path, stage: &Path) -> io::Result<Self> {
        match make_folder(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened = nix::fcntl::open(folder, flags, Mode::empty())?;
        check(&File::from(opened.try_clone()?))
            .map_err(|what| io::Error::other(format!("{}: {what}", folder.display())))?;
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let in_use = File::from(openat(&opened, IN_USE, flags, Mode::from_bits_truncate(0o600))?);
        let in_use = Flock::lock(in_use, FlockArg::LockSharedNonblock).map_err(|(_file, errno)| {
            if errno == Errno::EWOULDBLOCK {
                io::Error::other(format!("{}: images are being removed; start again", folder.display()))
            } else {
                errno.into()
            }
        })?;
        let stage = stage.join("images");
        make_folder(&stage)?;
        Ok(Self { folder: opened, stage, mounted: RefCell::default(), _in_use: in_use })
    }

    /// A detached copy of an image's root, which is mounted where it was not yet.
    pub(super) fn root(&self, digest: Digest) -> io::Result<OwnedFd> {
        let mut mounted = self.mounted.borrow_mut();
        if let Some(root) = mounted.get(&digest) {
            return mount::copy(root.as_fd(), c"", Depth::One);
        }
        let root = self.mount(digest).map_err(|error| io::Error::other(format!("image {digest}: {error}")))?;
        let copy = mount::copy(root.as_fd(), c"", Depth::One);
        mounted.insert(digest, root);
        copy
    }

    fn mount(&self, digest: Digest) -> io::Result<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = match openat(&self.folder, image_file(digest).as_str(), flags, Mode::empty()) {
            Err(Errno::ENOENT) => return Err(io::Error::other("it is not in the store any more")),
            other => File::from(other?),
        };
        check(&file).map_err(io::Error::other)?;
        let mounted = from_file(&file)?;
        let place = self.stage.join(digest.digits());
        make_folder(&place)?;
        let whole = mount::attach(mounted.as_fd(), File::open(&place)?.as_fd(), c"")
            .and_then(|()| check_mount_points(mounted.as_fd()));
        if let Err(error) = whole {
            self.forget(digest)?;
            return Err(error);
        }
        Ok(mounted)
    }

    /// Takes away what was mounted. Sandboxes that have a copy keep it.
    fn forget(&self, digest: Digest) -> io::Result<()> {
        self.mounted.borrow_mut().remove(&digest);
        let place = self.stage.join(digest.digits());
        match umount2(&place, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            // It was not attached.
            Ok(()) | Err(Errno::EINVAL) => {}
            Err(errno) => return Err(errno.into()),
        }
        fs::remove_dir(&place)
    }

    /// Removes an image, whose tags are nobody's from then on. Without its manifest it is no image, so that goes first.
    pub(super) fn remove(&self, digest: Digest) -> io::Result<()> {
        if self.mounted.borrow().contains_key(&digest) {
            self.forget(digest)?;
        }
        Self::unlink(&self.folder, &format!("{}.json", digest.digits()))?;
        Self::unlink(&self.folder, &image_file(digest))
    }

    /// Removes a tag.
    pub(super) fn remove_tag(&self, file: &str) -> io::Result<()> {
        if file.is_empty() || file.starts_with('.') || file.contains(['/', '\0']) {
            return Err(io::Error::other("no name of a tag's file"));
        }
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let tags = openat(&self.folder, TAGS, flags, Mode::empty())?;
        Self::unlink(&tags, file)
    }

    /// What is gone already is as good as removed.
    fn unlink(folder: &OwnedFd, name: &str) -> io::Result<()> {
        match unlinkat(folder, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn image_file(digest: Digest) -> String {
    format!("{}.erofs", digest.digits())
}

/// Whether only root may change it.
fn check(file: &File) -> Result<(), String> {
    let found = file.metadata().map_err(|error| error.to_string())?;
    let kind = if found.is_dir() { "folder" } else { "file" };
    if !found.is_dir() && !found.is_file() {
        return Err(String::from("is neither file nor folder"));
    }
    if found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(format!("a {kind} of images must belong to root, and nobody else may write to it: chown root and chmod go-w"))
}

/// Linux 6.12 mounts a file; an older one wants a block device.
fn from_file(file: &File) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    match erofs(&path) {
        Err(error) if is(&error, Errno::ENOTBLK) => {
            let device = LoopDevice::show(file.as_fd())?;
            erofs(&device.path.to_string_lossy())
        }
        other => other,
    }
    .map_err(|error| {
        let is_missing = is(&error, Errno::ENODEV);
        if is_missing { io::Error::other("this kernel has no EROFS: load its module (modprobe erofs)") } else { error }
    })
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error().is_some_and(|raw| Errno::from_raw(raw) == errno)
}

fn erofs(source: &str) -> io::Result<OwnedFd> {
    mount::create(c"erofs", &[(c"source", source), (c"ro", "")], ATTRIBUTES)
}

/// A link, or something else, in their place would have a sandbox mount its own things elsewhere.
fn check_mount_points(root: BorrowedFd<'_>) -> io::Result<()> {
    for name in MOUNT_POINTS {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(root, name, flags, Mode::empty())
            .map_err(|errno| io::Error::other(format!("/{name} is no directory in it ({errno}): import it again")))?;
    }
    Ok(())
}
