//! Taking file systems away without waiting for it.
//!
//! Whoever lets go of a tmpfs last frees what is in it: 200,000 links that a job made took two seconds, in which the loop
//! would watch no limit of another job. A large one is therefore held by a helper process until the spawner has let go of
//! it; the helper then ends, and the kernel does the work in its time.
use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::statfs::fstatfs;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use crate::sys::process::{self, SingleThreaded};

/// Up to this much is freed by the spawner itself, within a few milliseconds.
const FEW_BLOCKS: u64 = 1024;
const FEW_INODES: u64 = 256;

/// Helpers at once. Beyond, the spawner waits.
const HELPERS: usize = 64;

/// Where large file systems go.
#[derive(Debug, Default)]
pub(super) struct Disposal {
    helpers: RefCell<Vec<OwnedFd>>,
}

impl Disposal {
    /// Lets go of `mount` after `detach`.
    pub(super) fn take<F>(&self, single: &SingleThreaded, mount: OwnedFd, detach: F) -> io::Result<()>
    where
        F: FnOnce() -> io::Result<()>,
    {
        self.reap();
        if self.helpers.borrow().len() >= HELPERS || !is_large(&mount) {
            drop(mount);
            return detach();
        }
        let (held, release) = io::pipe()?;
        let helper = process::hold_until_end_of_file(single, mount.as_fd(), held.as_fd())?;
        self.helpers.borrow_mut().push(helper);
        drop(mount);
        let detached = detach();
        drop(release);
        detached
    }

    /// Whether a helper is to be reaped, now or later.
    pub(super) fn is_busy(&self) -> bool {
        !self.helpers.borrow().is_empty()
    }

    /// Forgets the helpers that have ended.
    pub(super) fn reap(&self) {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
        let lives = |helper: &OwnedFd| waitid(Id::PIDFd(helper.as_fd()), flags) == Ok(WaitStatus::StillAlive);
        self.helpers.borrow_mut().retain(lives);
    }
}

/// What cannot be measured is taken for large.
fn is_large(mount: &OwnedFd) -> bool {
    fstatfs(mount).map_or(true, |found| {
        found.blocks().saturating_sub(found.blocks_free()) > FEW_BLOCKS
            || found.files().saturating_sub(found.files_free()) > FEW_INODES
    })
}
