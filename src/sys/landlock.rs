//! Whether the kernel has Landlock (landlock(7)).
use std::{io, ptr};

/// `LANDLOCK_CREATE_RULESET_VERSION` (`landlock_create_ruleset(2)`).
const VERSION: u32 = 1;

/// Version of its interface; 0 where it is not built in or switched off at boot.
///
/// # Errors
/// What else the kernel says.
pub fn version() -> io::Result<u32> {
    // SAFETY: with this flag the kernel takes no attributes, a null pointer and the length 0.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<u8>(), 0, VERSION) };
    if version >= 0 {
        return u32::try_from(version).map_err(io::Error::other);
    }
    match io::Error::last_os_error() {
        error if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EOPNOTSUPP)) => Ok(0),
        error => Err(error),
    }
}
