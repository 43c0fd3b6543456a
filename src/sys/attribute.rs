//! Extended attributes (xattr(7)).
use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Whether the file carries the attribute with exactly this value.
///
/// # Errors
/// What the kernel says, but for "there is none" and "no attributes here".
pub fn has(path: &Path, name: &CStr, value: &[u8]) -> io::Result<bool> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut buffer = [0_u8; 64];
    // SAFETY: both strings end with NUL, the buffer is as long as is passed, and all live through the call.
    let length = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
    let Ok(length) = usize::try_from(length) else {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ENODATA | libc::EOPNOTSUPP | libc::ERANGE) => Ok(false),
            _ => Err(error),
        };
    };
    Ok(buffer.get(..length) == Some(value))
}
