//! Mounts by descriptor: fsopen(2), fsmount(2), `open_tree(2)`, `mount_setattr(2)`, `move_mount(2)`.
//!
//! A mount is made detached and then put onto a directory that was opened before; no name is looked up twice.
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// What programs cannot do through a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes(u64);

impl Attributes {
    /// Everything may be done.
    pub const NONE: Self = Self(0);
    /// Nothing can be changed.
    pub const READ_ONLY: Self = Self(libc::MOUNT_ATTR_RDONLY);
    /// Set-user-id bits and file capabilities do nothing.
    pub const NO_SETUID: Self = Self(libc::MOUNT_ATTR_NOSUID);
    /// Device nodes cannot be opened.
    pub const NO_DEVICES: Self = Self(libc::MOUNT_ATTR_NODEV);
    /// Nothing can be executed.
    pub const NO_EXECUTION: Self = Self(libc::MOUNT_ATTR_NOEXEC);

    /// As the kernel numbers them (`mount_setattr(2)`).
    ///
    /// # Errors
    /// When they do not fit into 32 bits, which no attribute today needs.
    pub fn bits(self) -> io::Result<u32> {
        u32::try_from(self.0).map_err(io::Error::other)
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A new file system, detached. `options` are those of its own manual page (tmpfs(5), proc(5)); one that takes no value,
/// as `ro`, has an empty one here.
///
/// # Errors
/// What the kernel says.
pub fn create(kind: &CStr, options: &[(&CStr, &str)], attributes: Attributes) -> io::Result<OwnedFd> {
    // SAFETY: `kind` ends with NUL and lives through the call.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), libc::FSOPEN_CLOEXEC) })?;
    for (key, value) in options {
        if value.is_empty() {
            configure(&context, libc::FSCONFIG_SET_FLAG, key.as_ptr(), ptr::null())?;
            continue;
        }
        let value = CString::new(*value)?;
        configure(&context, libc::FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr())?;
    }
    configure(&context, libc::FSCONFIG_CMD_CREATE, ptr::null(), ptr::null())?;
    // SAFETY: no pointer is passed.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), libc::FSMOUNT_CLOEXEC, attributes.0) })
}

/// Changes options of the file system behind a mount (`fspick(2)`).
///
/// # Errors
/// What the kernel says.
pub fn reconfigure(mount: BorrowedFd<'_>, options: &[(&CStr, &str)]) -> io::Result<()> {
    let flags = libc::FSPICK_CLOEXEC | libc::FSPICK_EMPTY_PATH;
    // SAFETY: the path is an empty string.
    let context = owned(unsafe { libc::syscall(libc::SYS_fspick, mount.as_raw_fd(), c"".as_ptr(), flags) })?;
    for (key, value) in options {
        let value = CString::new(*value)?;
        configure(&context, libc::FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr())?;
    }
    configure(&context, libc::FSCONFIG_CMD_RECONFIGURE, ptr::null(), ptr::null())
}

fn configure(
    context: &OwnedFd,
    command: libc::c_uint,
    key: *const libc::c_char,
    value: *const libc::c_char,
) -> io::Result<()> {
    // SAFETY: both pointers are null or to NUL-terminated strings that live through the call.
    done(unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, key, value, 0) })
}

/// Whether what is mounted below comes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Only the mount itself.
    One,
    /// Everything below it too.
    Tree,
}

/// A detached copy of the mount that `path` below `folder` lies in, with that directory or file as its root.
/// The last name is not followed when it is a symbolic link. An empty path is `folder` itself.
///
/// # Errors
/// What the kernel says.
pub fn copy(folder: BorrowedFd<'_>, path: &CStr, depth: Depth) -> io::Result<OwnedFd> {
    let recursive = match depth {
        Depth::One => 0,
        Depth::Tree => libc::AT_RECURSIVE,
    };
    let flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW | recursive;
    let flags = flags.cast_unsigned() | libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: `path` ends with NUL and lives through the call.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, folder.as_raw_fd(), path.as_ptr(), flags) })
}

/// Sets attributes of a mount, and with [`Depth::Tree`] of all below it.
///
/// # Errors
/// What the kernel says.
pub fn restrict(mount: BorrowedFd<'_>, attributes: Attributes, depth: Depth) -> io::Result<()> {
    let change = libc::mount_attr { attr_set: attributes.0, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let recursive = match depth {
        Depth::One => 0,
        Depth::Tree => libc::AT_RECURSIVE,
    };
    set_attributes(mount, recursive, &change)
}

/// Lets nothing that is mounted here or below be seen elsewhere, or the other way round.
///
/// # Errors
/// What the kernel says.
pub fn make_private(mount: BorrowedFd<'_>) -> io::Result<()> {
    let change = libc::mount_attr { attr_set: 0, attr_clr: 0, propagation: libc::MS_PRIVATE, userns_fd: 0 };
    set_attributes(mount, libc::AT_RECURSIVE, &change)
}

fn set_attributes(mount: BorrowedFd<'_>, flags: libc::c_int, change: &libc::mount_attr) -> io::Result<()> {
    // SAFETY: the path is an empty string, `change` lives through the call, and its size is passed.
    done(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            ptr::from_ref(change),
            size_of::<libc::mount_attr>(),
        )
    })
}

/// Puts a detached mount onto `path` below `folder` (itself when empty). No symbolic link is followed at the end.
///
/// # Errors
/// What the kernel says.
pub fn attach(mount: BorrowedFd<'_>, folder: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: both paths end with NUL and live through the call.
    done(unsafe {
        libc::syscall(libc::SYS_move_mount, mount.as_raw_fd(), c"".as_ptr(), folder.as_raw_fd(), path.as_ptr(), flags)
    })
}

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(result).map_err(|_range| io::Error::other("a descriptor beyond 31 bits"))?;
    // SAFETY: the kernel just made this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn done(result: libc::c_long) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
