//! Files without a name, sealed so that nobody can change them (`memfd_create(2)`, fcntl(2) `F_ADD_SEALS`).
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};

/// What the seals forbid: to write, to change the length, to take a seal off.
fn all_seals() -> SealFlag {
    SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL
}

/// Whether the content may be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes to read.
    Data,
    /// A program, which its user may execute and not read: the kernel then makes it undumpable.
    Program,
}

/// A sealed file with this content, its offset at 0.
///
/// # Errors
/// What the kernel says.
pub fn sealed(name: &CStr, content: &[u8], kind: Kind) -> io::Result<OwnedFd> {
    let mut file = File::from(create(name, kind)?);
    file.write_all(content)?;
    file.seek(SeekFrom::Start(0))?;
    let mode = match kind {
        Kind::Data => 0o444,
        Kind::Program => 0o511,
    };
    nix::sys::stat::fchmod(file.as_fd(), nix::sys::stat::Mode::from_bits_truncate(mode))?;
    fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(all_seals()))?;
    Ok(OwnedFd::from(file))
}

/// Whether nobody can change the content any more.
pub fn is_sealed(file: BorrowedFd<'_>) -> bool {
    fcntl(file, FcntlArg::F_GET_SEALS).is_ok_and(|seals| SealFlag::from_bits_truncate(seals).contains(all_seals()))
}

/// Kernels since 6.3 want to know whether a memfd may be executed; older ones know neither flag.
fn create(name: &CStr, kind: Kind) -> io::Result<OwnedFd> {
    let wish = match kind {
        Kind::Data => libc::MFD_NOEXEC_SEAL,
        Kind::Program => libc::MFD_EXEC,
    };
    let base = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    match raw_create(name, base | wish) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => raw_create(name, base),
        other => other,
    }
}

fn raw_create(name: &CStr, flags: libc::c_uint) -> io::Result<OwnedFd> {
    // SAFETY: `name` ends with NUL and lives through the call.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), flags) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Length of a file.
///
/// # Errors
/// What fstat(2) says.
pub fn length(file: BorrowedFd<'_>) -> io::Result<u64> {
    let stat = nix::sys::stat::fstat(file)?;
    u64::try_from(stat.st_size)
        .map_err(|_negative| io::Error::other(format!("descriptor {} has a negative size", file.as_raw_fd())))
}

#[cfg(test)]
mod test {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_sealed_file_keeps_its_content() {
        let fd = sealed(c"test", b"abc", Kind::Data).unwrap();
        assert!(is_sealed(fd.as_fd()));
        assert_eq!(length(fd.as_fd()).unwrap(), 3);
        let mut file = File::from(fd);
        assert!(file.write_all(b"x").is_err());
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
    }
}
