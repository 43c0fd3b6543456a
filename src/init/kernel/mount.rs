//! Mounts by descriptor (fsopen(2), fsmount(2), open_tree(2), mount_setattr(2), move_mount(2)). Paths end with NUL.
use super::{Errno, Fd, call, close};

/// MOUNT_ATTR_RDONLY
pub(crate) const READ_ONLY: u64 = 1;
/// MOUNT_ATTR_NOSUID
pub(crate) const NO_SETUID: u64 = 2;
/// MOUNT_ATTR_NODEV
pub(crate) const NO_DEVICES: u64 = 4;
/// MOUNT_ATTR_NOEXEC
pub(crate) const NO_EXECUTION: u64 = 8;

const NOWHERE: &[u8] = b"\0";
const AT_EMPTY_PATH: usize = 0x1000;

/// A new file system without options, detached.
pub(crate) fn create(kind: &[u8], attributes: u64) -> Result<Fd, Errno> {
    const CLOSE_ON_EXEC: usize = 1;
    const FSCONFIG_CMD_CREATE: usize = 6;
    let context = call(430, [kind.as_ptr() as usize, CLOSE_ON_EXEC, 0, 0, 0, 0])?;
    let made = call(431, [context, FSCONFIG_CMD_CREATE, 0, 0, 0, 0])
        .and_then(|_zero| call(432, [context, CLOSE_ON_EXEC, attributes as usize, 0, 0, 0]));
    close(context as Fd);
    made.map(|fd| fd as Fd)
}

/// A detached copy of the one mount that `path` below `folder` lies in, with that directory or file as its root. The last
/// name is not followed when it is a symbolic link.
pub(crate) fn copy(folder: Fd, path: &[u8]) -> Result<Fd, Errno> {
    const AT_SYMLINK_NOFOLLOW: usize = 0x100;
    const OPEN_TREE_CLONE: usize = 1;
    const OPEN_TREE_CLOEXEC: usize = 0o2_000_000;
    let flags = AT_SYMLINK_NOFOLLOW | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    call(428, [folder as usize, path.as_ptr() as usize, flags, 0, 0, 0]).map(|fd| fd as Fd)
}

/// Adds attributes to a mount.
pub(crate) fn restrict(mount: Fd, attributes: u64) -> Result<(), Errno> {
    // struct mount_attr: to set, to clear, propagation, user namespace.
    let change = [attributes, 0, 0, 0];
    let size = size_of_val(&change);
    call(442, [mount as usize, NOWHERE.as_ptr() as usize, AT_EMPTY_PATH, change.as_ptr() as usize, size, 0]).map(drop)
}

/// Puts a detached mount onto `path` below `folder`. No symbolic link is followed at the end.
pub(crate) fn attach(mount: Fd, folder: Fd, path: &[u8]) -> Result<(), Errno> {
    const MOVE_MOUNT_F_EMPTY_PATH: usize = 4;
    let (from, to) = (NOWHERE.as_ptr() as usize, path.as_ptr() as usize);
    call(429, [mount as usize, from, folder as usize, to, MOVE_MOUNT_F_EMPTY_PATH, 0]).map(drop)
}

/// Shows `what` at `target` as well (mount(2), MS_BIND). By names it is one call instead of three.
pub(crate) fn bind(what: &[u8], target: &[u8]) -> Result<(), Errno> {
    const MS_BIND: usize = 4096;
    call(165, [what.as_ptr() as usize, target.as_ptr() as usize, 0, MS_BIND, 0, 0]).map(drop)
}

/// pivot_root(2)
pub(crate) fn pivot_root(new: &[u8], old: &[u8]) -> Result<(), Errno> {
    call(155, [new.as_ptr() as usize, old.as_ptr() as usize, 0, 0, 0, 0]).map(drop)
}

/// Takes a mount and all below it away, whoever still uses it (umount2(2), MNT_DETACH).
pub(crate) fn detach(path: &[u8]) -> Result<(), Errno> {
    const MNT_DETACH: usize = 2;
    call(166, [path.as_ptr() as usize, MNT_DETACH, 0, 0, 0, 0]).map(drop)
}
