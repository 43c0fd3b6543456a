//! Who the processes of a sandbox are: a block of user ids that nobody else has, mapped in a user namespace.
//!
//! The ids `0x4000_0000–0x7fff_ffff` are divided into areas; a spawner holds one by a lock and gives each live
//! sandbox a block of it. A block is given again only after its sandbox was seen to be gone.
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

use crate::base::id::InstanceId;
use crate::plan::JOB_ID;
use crate::plan::standard::ID_BLOCK;

/// First id that jobs can have on the host.
const FIRST: u32 = 0x4000_0000;
/// Ids of one job: 0 to 2,047 inside.
const BLOCK: u32 = ID_BLOCK;
/// Sandboxes that one spawner can have alive.
pub(super) const BLOCKS: u32 = 768;
/// Areas there are.
const AREAS: u32 = (0x8000_0000 - FIRST) / (BLOCK * BLOCKS);

/// The ids of one sandbox, on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Block(u32);

impl Block {
    /// The id that is `id` inside, on the host.
    pub(super) const fn outside(self, id: u32) -> u32 {
        self.0.saturating_add(id)
    }

    /// The user that programs run as, on the host.
    pub(super) const fn job_user(self) -> u32 {
        self.outside(JOB_ID)
    }
}

/// The blocks that nobody has, each with the network namespace that is kept for it (`spawner::network`).
type Free = Rc<RefCell<BTreeMap<Block, Option<OwnedFd>>>>;

/// A block that a tree or a sandbox has. It comes back when the last of them is gone.
#[derive(Debug)]
pub(super) struct Lease {
    block: Block,
    network: RefCell<Option<OwnedFd>>,
    free: Free,
}

impl Lease {
    /// The block.
    pub(super) const fn block(&self) -> Block {
        self.block
    }

    /// The network namespace of an earlier sandbox. Whoever takes it has it alone.
    pub(super) fn take_network(&self) -> Option<OwnedFd> {
        self.network.take()
    }

    /// For the next sandbox: no process is in it any more.
    pub(super) fn keep_network(&self, network: OwnedFd) {
        self.network.replace(Some(network));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.free.borrow_mut().insert(self.block, self.network.take());
    }
}

/// The blocks of this spawner.
#[derive(Debug)]
pub(super) struct Blocks {
    free: Free,
    /// Held as long as the spawner lives.
    _area: Flock<File>,
}

impl Blocks {
    /// Takes the first free area, beginning where the instance id points.
    pub(super) fn reserve(folder: &Path, instance: InstanceId) -> io::Result<Self> {
        let wish = u32::try_from(instance.0 % u64::from(AREAS)).unwrap_or(0);
        for step in 0..AREAS {
            let area = (wish + step) % AREAS;
            if let Some(lock) = try_lock(&folder.join(format!("ids-{area}.lock")))? {
                let first = FIRST + area * BLOCK * BLOCKS;
                let free = (0..BLOCKS).map(|index| (Block(first + index * BLOCK), None)).collect();
                return Ok(Self { free: Rc::new(RefCell::new(free)), _area: lock });
            }
        }
        Err(io::Error::other("all areas of user ids are held by other spawners"))
    }

    /// Lets go of the network namespaces that nobody uses.
    pub(super) fn trim(&self) {
        self.free.borrow_mut().values_mut().for_each(|network| *network = None);
    }

    /// A block that nobody has.
    pub(super) fn take(&self) -> Option<Rc<Lease>> {
        let (block, network) = self.free.borrow_mut().pop_first()?;
        Some(Rc::new(Lease { block, network: RefCell::new(network), free: Rc::clone(&self.free) }))
    }
}

/// Opens and locks a file that is never removed: a lock on a removed file would hold nothing. Whoever may read a file may
/// lock it (flock(2)), so that nobody else may; and what somebody else put there is neither followed nor waited for.
pub(super) fn try_lock(path: &Path) -> io::Result<Option<Flock<File>>> {
    let named = |error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut options = fs::OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags.bits());
    let file = file.open(path).map_err(named)?;
    if !file.metadata()?.is_file() {
        return Err(named(io::Error::other("is no regular file")));
    }
    file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(named)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_file, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_file, errno)) => Err(errno.into()),
    }
}

/// Maps 0–2,047 to the ids of `block` in the user namespace of a child that was not reaped yet, and nothing else.
pub(super) fn map(pid: &str, block: Block) -> io::Result<()> {
    let folder = Path::new("/proc").join(pid);
    let line = format!("0 {} {BLOCK}\n", block.0);
    ["uid_map", "gid_map"]
        .iter()
        .try_for_each(|name| fs::OpenOptions::new().write(true).open(folder.join(name))?.write_all(line.as_bytes()))
}

#[cfg(test)]
mod test {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_sandboxes_share_an_id() {
        let folder = tempfile::tempdir().unwrap();
        let first = Blocks::reserve(folder.path(), InstanceId(5)).unwrap();
        let second = Blocks::reserve(folder.path(), InstanceId(5)).unwrap();
        let leases: Vec<Rc<Lease>> =
            (0..BLOCKS).flat_map(|_| [first.take().unwrap(), second.take().unwrap()]).collect();
        assert!(first.take().is_none());
        let starts: BTreeSet<u32> = leases.iter().map(|lease| lease.block().outside(0)).collect();
        assert_eq!(starts.len(), leases.len());
        assert!(starts.iter().zip(starts.iter().skip(1)).all(|(one, next)| next - one >= BLOCK));
        assert!(starts.iter().all(|start| (FIRST..=0x8000_0000 - BLOCK).contains(start)));
    }

    #[test]
    fn a_lock_is_a_file_that_nobody_else_can_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = try_lock(&path).unwrap().unwrap();
        assert_eq!(lock.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(try_lock(&path).unwrap().is_none());
    }

    #[test]
    fn what_somebody_else_put_in_place_of_a_lock_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (link, fifo, target) =
            (folder.path().join("link"), folder.path().join("fifo"), folder.path().join("target"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
        assert!(try_lock(&link).is_err());
        assert!(!target.exists());
        assert!(try_lock(&fifo).is_err());
    }

    #[test]
    fn a_block_comes_back_when_its_last_holder_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let blocks = Blocks::reserve(folder.path(), InstanceId(0)).unwrap();
        let tree = blocks.take().unwrap();
        let (block, sandbox) = (tree.block(), Rc::clone(&tree));
        drop(tree);
        assert_ne!(blocks.take().unwrap().block(), block);
        drop(sandbox);
        assert_eq!(blocks.take().unwrap().block(), block);
    }
}
