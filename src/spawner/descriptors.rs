//! The five descriptors beside Start: what each must be before root does anything with it.
//!
//! A server that was taken over can pass whatever it can open. Root changes the owner of three of them, so that none
//! may have a name on the host; and nothing here waits for a file system, as fstat(2) does on one that hangs.
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::statfs::{FsType, fstatfs};
use nix::unistd::{Gid, Uid, fchown};

use super::identity::Block;
use crate::plan::ceiling::Refusal;
use crate::sys::memfd;
use crate::wire::request::START_DESCRIPTORS;

/// Longest program memfd and files memfd.
const PROGRAM_BYTES: u64 = 4 << 20;
const FILES_BYTES: u64 = 256 << 20;

/// Where the kernel keeps pipes that were never given a name (linux/magic.h `PIPEFS_MAGIC`).
const NAMELESS: FsType = FsType(0x5049_5045);

/// Sealed memfds for what init reads; for the program, pipes without a name, each the right end, or sealed memfds.
/// Never a directory, a socket, a device or a file of the host (runc CVE-2024-21626).
pub(super) fn check([program, files, stdin, outputs @ ..]: &[OwnedFd; START_DESCRIPTORS]) -> Result<(), Refusal> {
    check_memfd(program.as_fd(), "program (bytes)", PROGRAM_BYTES)?;
    check_memfd(files.as_fd(), "input files (bytes)", FILES_BYTES)?;
    check_stream(stdin.as_fd(), OFlag::O_RDONLY)?;
    outputs.iter().try_for_each(|output| check_stream(output.as_fd(), OFlag::O_WRONLY))
}

/// So that a program can open /dev/stdin and its like again.
pub(super) fn hand_over(given: &[OwnedFd; START_DESCRIPTORS], block: Block) -> io::Result<()> {
    let [_program, _files, stdio @ ..] = given;
    let owner = block.job_user();
    for file in stdio {
        fchown(file, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))?;
    }
    Ok(())
}

fn check_memfd(file: BorrowedFd<'_>, what: &str, most: u64) -> Result<(), Refusal> {
    if !memfd::is_sealed(file) {
        return Err(refusal("a memfd that is not sealed"));
    }
    let length = memfd::length(file).map_err(|_error| refusal("a memfd that cannot be measured"))?;
    if length > most {
        return Err(Refusal { what: what.to_owned(), asked: length, ceiling: most });
    }
    Ok(())
}

fn check_stream(file: BorrowedFd<'_>, wanted: OFlag) -> Result<(), Refusal> {
    if memfd::is_sealed(file) {
        return Ok(());
    }
    if !is_nameless_pipe(file) {
        return Err(refusal("a descriptor that is neither a pipe without a name nor a sealed memfd"));
    }
    let mode = fcntl(file, FcntlArg::F_GETFL).map(|flags| OFlag::from_bits_truncate(flags) & OFlag::O_ACCMODE);
    if mode == Ok(wanted) { Ok(()) } else { Err(refusal("the other end of a pipe")) }
}

/// Pipes alone answer `F_GETPIPE_SZ` (fcntl(2)), those with a name as well; the latter lie in a file system of the host.
fn is_nameless_pipe(file: BorrowedFd<'_>) -> bool {
    fcntl(file, FcntlArg::F_GETPIPE_SZ).is_ok() && fstatfs(file).is_ok_and(|found| found.filesystem_type() == NAMELESS)
}

fn refusal(what: &str) -> Refusal {
    Refusal { what: what.to_owned(), asked: 0, ceiling: 0 }
}

#[cfg(test)]
mod test {
    use std::fs::{File, OpenOptions};
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;
    use crate::sys::memfd::Kind;
    use crate::sys::socket;

    fn data() -> OwnedFd {
        memfd::sealed(c"test", b"", Kind::Data).unwrap()
    }

    fn pipe() -> (OwnedFd, OwnedFd) {
        let (reader, writer) = io::pipe().unwrap();
        (reader.into(), writer.into())
    }

    #[track_caller]
    fn check_streams(stdin: OwnedFd, stdout: OwnedFd, accepted: bool) {
        let given = [data(), data(), stdin, stdout, pipe().1];
        assert_eq!(check(&given).is_ok(), accepted, "{:?}", check(&given));
    }

    #[test]
    fn a_stream_is_the_right_end_of_a_pipe_or_a_sealed_memfd() {
        check_streams(data(), pipe().1, true);
        check_streams(pipe().0, pipe().1, true);
        check_streams(pipe().1, pipe().1, false);
        check_streams(pipe().0, pipe().0, false);
    }

    #[test]
    fn a_pipe_with_a_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        let both = || OpenOptions::new().read(true).write(true).open(&path).unwrap().into();
        check_streams(data(), both(), false);
        let reader = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&path).unwrap();
        check_streams(data(), OpenOptions::new().write(true).open(&path).unwrap().into(), false);
        check_streams(reader.into(), pipe().1, false);
    }

    #[test]
    fn nothing_else_is_a_stream() {
        let (one, two) = socket::pair().unwrap();
        let named_only =
            OpenOptions::new().read(true).custom_flags(OFlag::O_PATH.bits()).open("/proc/self/exe").unwrap();
        for other in [
            File::open("/").unwrap().into(),
            File::open("/dev/null").unwrap().into(),
            File::open("/proc/self/status").unwrap().into(),
            named_only.into(),
            one,
            two,
        ] {
            check_streams(data(), other, false);
        }
    }

    #[test]
    fn what_init_reads_is_sealed_and_not_too_long() {
        let long = memfd::sealed(c"test", &vec![0; 5 << 20], Kind::Data).unwrap();
        let refused = check(&[long, data(), data(), pipe().1, pipe().1]).unwrap_err();
        assert_eq!((refused.asked, refused.ceiling), (5 << 20, PROGRAM_BYTES));
        assert!(check(&[tempfile::tempfile().unwrap().into(), data(), data(), pipe().1, pipe().1]).is_err());
    }
}
