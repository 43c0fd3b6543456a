//! Puts the members of an archive into a directory that only root can reach.
//!
//! Each is made new, below a parent that is found without following a link (openat2(2), `RESOLVE_BENEATH` and
//! `RESOLVE_NO_SYMLINKS`): nothing of the archive decides where another part of it goes. What is taken of a member is its
//! name, its content, its target and its permissions without the bits that change who a program is; owner, times and
//! extended attributes are not. What lies below a directory that kiln covers in every sandbox is left out.
//!
//! Not here: what kiln adds (`finish`), the bounds (`archive`).
use std::fs::{File, Permissions};
use std::io::{Read, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstatat, mkdirat};
use nix::unistd::{linkat, symlinkat};
use sha2::{Digest as _, Sha256};

use crate::image::archive::bounds::Bounds;
use crate::image::archive::path::Inside;
use crate::image::archive::{self, Kind, Member, Refusal, Sink, damaged};
use crate::image::fault::ImageError;
use crate::image::folder::Folder;

/// Directories over which something is mounted in every sandbox, or whose content is a running system's.
const COVERED: &[&str] = &["dev", "proc", "sys", "tmp", "work"];
/// What else must be a directory of the image itself.
const REAL: &[&str] = &["etc", "usr"];

/// Permissions that a member keeps: without set-user-id, set-group-id and sticky bits, written to by its owner only.
const KEPT: u32 = 0o755;
/// Its owner may always look into a directory and fill it.
const OWNED: u32 = 0o700;

/// What was unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Members that were taken.
    pub entries: u64,
    /// Members below directories that are covered in every sandbox.
    pub left_out: u64,
    /// Members that would have run as another user than the one who starts them.
    pub tamed: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// Depends on what was taken and on nothing else, in whatever order it came.
    pub essence: [u8; 16],
}

/// Unpacks an archive. `told` hears from time to time how many bytes of files there are.
///
/// # Errors
/// Every fault of the archive; or that the disk is full, or says no. The directory then holds a part of it.
pub(super) fn unpack(
    input: impl Read,
    root: &Folder,
    bounds: &Bounds,
    told: &mut dyn FnMut(u64),
) -> Result<Unpacked, ImageError> {
    let mut unpacking = Unpacking { root, parent: None, found: Unpacked::default(), told };
    archive::read(input, bounds, &mut unpacking)?;
    if unpacking.found.entries == 0 {
        return Err(ImageError::archive("has nothing in it"));
    }
    Ok(unpacking.found)
}

struct Unpacking<'a> {
    root: &'a Folder,
    /// The directory of the last member: mostly that of the next one too.
    parent: Option<(String, OwnedFd)>,
    found: Unpacked,
    told: &'a mut dyn FnMut(u64),
}

impl Sink for Unpacking<'_> {
    fn take(&mut self, member: &Member, content: &mut dyn Read) -> Result<(), Refusal> {
        let (top, is_below) = member.path.top();
        if is_below && COVERED.contains(&top) {
            self.found.left_out += 1;
            return Ok(());
        }
        let must_be_real = !is_below && (COVERED.contains(&top) || REAL.contains(&top));
        if must_be_real && member.kind != Kind::Directory {
            return fault("is no directory of the image itself, as it must be");
        }
        let Some((folder, name)) = member.path.split() else {
            return if member.kind == Kind::Directory { Ok(()) } else { fault("is the root, and no directory") };
        };
        let mut essence = Sha256::new();
        for part in [member.path.as_str(), member.kind.word(), &format!("{:o}", member.mode & KEPT)] {
            essence.update(part);
            essence.update([0]);
        }
        self.put(member, (folder, name), (content, &mut essence))?;
        self.found.entries += 1;
        self.found.tamed += u64::from(member.mode & 0o6000 != 0 && matches!(member.kind, Kind::File(_)));
        for (sum, byte) in self.found.essence.iter_mut().zip(essence.finalize()) {
            *sum ^= byte;
        }
        Ok(())
    }
}

impl Unpacking<'_> {
    fn put(
        &mut self,
        member: &Member,
        (folder, name): (&str, &str),
        (content, essence): (&mut dyn Read, &mut Sha256),
    ) -> Result<(), Refusal> {
        let failed = failed(&member.path);
        if let Kind::HardLink(target) = &member.kind {
            essence.update(target.as_str());
            return self.link(target, (folder, name), failed);
        }
        let parent = self.parent(folder, &failed)?;
        match &member.kind {
            Kind::Directory => make_directory(parent, name, member.mode).map_err(failed),
            Kind::Symlink(target) => {
                essence.update(target);
                symlinkat(target.as_str(), parent, name).map_err(failed)
            }
            Kind::File(size) => {
                let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let made = openat(parent, name, flags, Mode::S_IRUSR | Mode::S_IWUSR).map_err(failed)?;
                self.fill(File::from(made), member, *size, (content, essence))
            }
            Kind::HardLink(_) => fault("is a hard link"),
            Kind::Special(what) => fault(format!("is {what}: only below /dev may there be one, where it is left out")),
        }
    }

    fn fill(
        &mut self,
        mut file: File,
        member: &Member,
        size: u64,
        (content, essence): (&mut dyn Read, &mut Sha256),
    ) -> Result<(), Refusal> {
        let path = member.path.as_str();
        let written = |error| Refusal::Failed(ImageError::failed(format!("unpacking {path}"), error));
        let mut buffer = vec![0; 128 << 10];
        let mut left = size;
        while left > 0 {
            let count = content.read(&mut buffer).map_err(|error| Refusal::Failed(damaged(&error)))?;
            let bytes = buffer.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                return Err(Refusal::Failed(ImageError::archive(format!("ends in the middle of {path}"))));
            }
            file.write_all(bytes).map_err(written)?;
            essence.update(bytes);
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            left = left.saturating_sub(count);
            self.found.bytes = self.found.bytes.saturating_add(count);
            (self.told)(self.found.bytes);
        }
        file.set_permissions(Permissions::from_mode(member.mode & KEPT)).map_err(written)
    }

    /// Another name of what came before.
    fn link(
        &mut self,
        target: &Inside,
        (folder, name): (&str, &str),
        failed: impl Fn(Errno) -> Refusal,
    ) -> Result<(), Refusal> {
        let missing = || Refusal::Fault(format!("is a hard link to {}, which is no file before it", target.as_str()));
        let (from, old) = target.split().ok_or_else(missing)?;
        let original = beneath(self.root, from).map_err(|_nothing| missing())?;
        let found = fstatat(&original, old, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(|_nothing| missing())?;
        let kind = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT;
        if kind != SFlag::S_IFREG && kind != SFlag::S_IFLNK {
            return Err(missing());
        }
        let parent = self.parent(folder, &failed)?;
        linkat(&original, old, parent, name, AtFlags::empty()).map_err(failed)
    }

    /// The directory of this path; what is missing of it is made.
    fn parent(&mut self, path: &str, failed: &impl Fn(Errno) -> Refusal) -> Result<BorrowedFd<'_>, Refusal> {
        if self.parent.as_ref().is_none_or(|(last, _)| last != path) {
            let found = match beneath(self.root, path) {
                Err(Errno::ENOENT) => make_directories(self.root, path),
                other => other,
            };
            self.parent = Some((path.to_owned(), found.map_err(failed)?));
        }
        self.parent.as_ref().map(|(_, folder)| folder.as_fd()).ok_or_else(|| failed(Errno::ENOENT))
    }
}

impl Kind {
    const fn word(&self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::File(_) => "file",
            Self::Symlink(_) => "symlink",
            Self::HardLink(_) => "link",
            Self::Special(_) => "special",
        }
    }
}

fn fault(message: impl Into<String>) -> Result<(), Refusal> {
    Err(Refusal::Fault(message.into()))
}

/// What an error of the kernel says of the archive, or of the disk.
fn failed(path: &Inside) -> impl Fn(Errno) -> Refusal + use<'_> {
    const FAULTS: [(Errno, &str); 3] = [
        (Errno::EEXIST, "comes twice"),
        (Errno::ELOOP, "lies below a symbolic link of the archive"),
        (Errno::ENOTDIR, "lies below what is no directory"),
    ];
    move |error| match FAULTS.iter().find(|(known, _)| *known == error) {
        Some((_, fault)) => Refusal::Fault((*fault).to_owned()),
        None => Refusal::Failed(ImageError::failed(format!("unpacking {}", path.as_str()), error)),
    }
}

/// Opens a directory below the root; no link is followed on the way.
fn beneath(root: &Folder, path: &str) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS
        | ResolveFlag::RESOLVE_NO_XDEV;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let path = if path.is_empty() { "." } else { path };
    openat2(root.as_fd(), path, OpenHow::new().flags(flags).resolve(resolve))
}

/// Makes those directories of a path that an archive did not name.
fn make_directories(root: &Folder, path: &str) -> Result<OwnedFd, Errno> {
    let mut folder = beneath(root, "")?;
    let mut done = String::new();
    for name in path.split('/') {
        match mkdirat(&folder, name, Mode::S_IRWXU) {
            Ok(()) => permit(folder.as_fd(), name, KEPT)?,
            Err(Errno::EEXIST) => {}
            Err(error) => return Err(error),
        }
        done = if done.is_empty() { name.to_owned() } else { format!("{done}/{name}") };
        folder = beneath(root, &done)?;
    }
    Ok(folder)
}

/// A directory may come twice, or after what is in it: the last says what is permitted.
fn make_directory(parent: BorrowedFd<'_>, name: &str, mode: u32) -> Result<(), Errno> {
    match mkdirat(parent, name, Mode::S_IRWXU) {
        Err(Errno::EEXIST) => {
            let found = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
            if SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT != SFlag::S_IFDIR {
                return Err(Errno::EEXIST);
            }
        }
        other => other?,
    }
    permit(parent, name, mode & KEPT | OWNED)
}

/// Of a directory that was made here, in a tree where nobody else changes anything.
fn permit(parent: BorrowedFd<'_>, name: &str, mode: u32) -> Result<(), Errno> {
    fchmodat(parent, name, Mode::from_bits_truncate(mode), FchmodatFlags::FollowSymlink)
}
