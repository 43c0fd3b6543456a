//! A file as a block device (loop(4)): what a kernel needs that mounts no file directly.
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

const CONTROL: &str = "/dev/loop-control";

/// `LOOP_CTL_GET_FREE`
const GET_FREE: libc::Ioctl = 0x4C82;
/// `LOOP_CONFIGURE` (Linux 5.8)
const CONFIGURE: libc::Ioctl = 0x4C0A;
/// `LO_FLAGS_READ_ONLY`, `LO_FLAGS_AUTOCLEAR`
const READ_ONLY_UNTIL_CLOSED: u32 = 1 | 4;

/// Others may take a free device first.
const TRIES: usize = 64;

/// `struct loop_config` with `struct loop_info64` in it (linux/loop.h).
#[repr(C)]
struct Configuration {
    file: u32,
    block_size: u32,
    identity: [u64; 3],
    offset: u64,
    size_limit: u64,
    number: u32,
    encryption: [u32; 2],
    flags: u32,
    names: [[u8; 64]; 2],
    key: [u8; 32],
    init: [u64; 2],
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<Configuration>() == 304, "the size that the kernel reads");

/// A device that shows a file, read-only. It is given back when nobody has it open or mounted any more.
#[derive(Debug)]
pub struct LoopDevice {
    /// Of the device.
    pub path: PathBuf,
    _open: File,
}

impl LoopDevice {
    /// Shows `file`.
    ///
    /// # Errors
    /// What the kernel says, with the file that is missing where one is.
    pub fn show(file: BorrowedFd<'_>) -> io::Result<Self> {
        let control = open(Path::new(CONTROL))?;
        for _ in 0..TRIES {
            // SAFETY: no pointer is passed.
            let number = unsafe { libc::ioctl(control.as_raw_fd(), GET_FREE) };
            if number < 0 {
                return Err(io::Error::last_os_error());
            }
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device = open(&path)?;
            let configuration = Configuration {
                file: file.as_raw_fd().cast_unsigned(),
                block_size: 0,
                identity: [0; 3],
                offset: 0,
                size_limit: 0,
                number: 0,
                encryption: [0; 2],
                flags: READ_ONLY_UNTIL_CLOSED,
                names: [[0; 64]; 2],
                key: [0; 32],
                init: [0; 2],
                reserved: [0; 8],
            };
            // SAFETY: the kernel reads the structure that lives through the call, whose size is asserted above.
            let done = unsafe { libc::ioctl(device.as_raw_fd(), CONFIGURE, &raw const configuration) };
            if done == 0 {
                return Ok(Self { path, _open: device });
            }
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::EBUSY) {
                return Err(error);
            }
        }
        Err(io::Error::other(format!("{TRIES} times somebody else took the free loop device first")))
    }
}

/// For reading: a device that is read-only needs no more.
fn open(path: &Path) -> io::Result<File> {
    File::open(path).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
}
