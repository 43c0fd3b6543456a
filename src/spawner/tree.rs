//! Writable trees: `/work` of a job, one tmpfs that each phase gets a copy of, and the private /tmp of a sandbox.
//!
//! Nobody outside follows a name in them; they are sized, mounted and dropped, and nothing else.
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::mount::{MntFlags, umount2};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, mkdirat};
use nix::sys::statfs::fstatfs;

use super::disposal::Disposal;
use super::identity::{Block, Lease};
use super::image::make_folder;
use super::number::Number;
use crate::base::id::TreeId;
use crate::sys::mount::{self, Attributes, Depth};
use crate::sys::process::SingleThreaded;

/// What programs cannot do in a writable tree.
const WRITABLE: Attributes = Attributes::NO_SETUID.and(Attributes::NO_DEVICES);

/// A tree that outlives one sandbox.
#[derive(Debug)]
pub(super) struct Tree {
    place: PathBuf,
    mount: OwnedFd,
    size: Size,
    /// Whose files it holds: all phases of a job have the same ids.
    lease: Rc<Lease>,
}

impl Tree {
    /// A new tmpfs below `stage`, in the spawner's own mount namespace: only what is attached can be copied.
    pub(super) fn create(stage: &Path, number: Number, size: Size, lease: Rc<Lease>) -> io::Result<Self> {
        let place = stage.join(format!("tree-{number}"));
        make_folder(&place)?;
        let mounted = temporary(size, lease.block(), "0755")
            .and_then(|mounted| mount::attach(mounted.as_fd(), File::open(&place)?.as_fd(), c"").map(|()| mounted));
        match mounted {
            Ok(mount) => Ok(Self { place, mount, size, lease }),
            Err(error) => {
                std::fs::remove_dir(&place)?;
                Err(error)
            }
        }
    }

    /// A detached copy.
    pub(super) fn copy(&self) -> io::Result<OwnedFd> {
        mount::copy(self.mount.as_fd(), c"", Depth::One)
    }

    /// Lets it grow to another size than it was made with. It is empty.
    pub(super) fn resize(&mut self, size: Size) -> io::Result<()> {
        resize(&self.mount, &mut self.size, size)
    }

    /// Whose files it holds.
    pub(super) fn lease(&self) -> Rc<Lease> {
        Rc::clone(&self.lease)
    }

    /// What is free.
    pub(super) fn free(&self) -> Option<Free> {
        free_or_tell(&self.mount)
    }

    /// Takes it away. Its pages go with the last sandbox that still has a copy.
    pub(super) fn remove(self, disposal: &Disposal, single: &SingleThreaded) -> io::Result<()> {
        let Self { place, mount, size: _size, lease: _lease } = self;
        disposal.take(single, mount, || Ok(umount2(&place, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?))?;
        std::fs::remove_dir(&place)
    }
}

/// A tree that the server has a name for.
#[derive(Debug)]
pub(super) struct NamedTree {
    pub(super) id: TreeId,
    pub(super) tree: Tree,
    /// The sandbox that was made with it and has no job yet.
    pub(super) prepared: Option<Number>,
}

/// How large a tree may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    /// Bytes of content.
    pub(super) bytes: u64,
    /// Files and directories.
    pub(super) inodes: u64,
}

/// What a tree still has room for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Free {
    /// Bytes.
    pub(super) bytes: u64,
    /// Files and directories.
    pub(super) inodes: u64,
}

impl Free {
    /// The lesser of both.
    pub(super) fn least(self, other: Self) -> Self {
        Self { bytes: self.bytes.min(other.bytes), inodes: self.inodes.min(other.inodes) }
    }
}

/// A detached tmpfs (tmpfs(5)) that belongs to the job's user.
pub(super) fn temporary(size: Size, block: Block, mode: &str) -> io::Result<OwnedFd> {
    let owner = block.job_user().to_string();
    let options = [
        (c"size", &*size.bytes.to_string()),
        (c"nr_inodes", &*size.inodes.to_string()),
        (c"mode", mode),
        (c"uid", &*owner),
        (c"gid", &*owner),
    ];
    mount::create(c"tmpfs", &options, WRITABLE)
}

/// Gives an empty tmpfs another size than `now`, unless it has it.
pub(super) fn resize(mount: &OwnedFd, now: &mut Size, size: Size) -> io::Result<()> {
    if *now != size {
        let options = [(c"size", &*size.bytes.to_string()), (c"nr_inodes", &*size.inodes.to_string())];
        mount::reconfigure(mount.as_fd(), &options)?;
        *now = size;
    }
    Ok(())
}

/// A detached tmpfs with the directories `tmp` and `shm`, which everybody inside may write to.
pub(super) fn private_temporary(size: Size, block: Block) -> io::Result<OwnedFd> {
    let mount = temporary(size, block, "0755")?;
    for name in [c"tmp", c"shm"] {
        let mode = Mode::from_bits_truncate(0o1777);
        mkdirat(&mount, name, mode)?;
        fchmodat(&mount, name, mode, FchmodatFlags::FollowSymlink)?;
    }
    Ok(mount)
}

/// What is free in a mounted tree. Without it `limits_hit` cannot show the disk, which is told.
pub(super) fn free_or_tell(mount: &OwnedFd) -> Option<Free> {
    free(mount).inspect_err(|error| tracing::error!(%error, "what a sandbox used could not be read")).ok()
}

fn free(mount: &OwnedFd) -> io::Result<Free> {
    let stat = fstatfs(mount)?;
    let block = u64::try_from(stat.block_size()).unwrap_or(0);
    Ok(Free { bytes: stat.blocks_free().saturating_mul(block), inodes: stat.files_free() })
}
