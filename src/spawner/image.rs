//! The read-only root of sandboxes: the embedded image `host`, and the one prepared /dev.
//!
//! `host` is the host's own `/usr` and an `/etc` of permitted entries, in a small tmpfs. Whatever is not
//! named here does not exist inside. Everything is built once, in the spawner's own mount namespace.
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::plan::standard::{DEVICES, MOUNT_POINTS, identity};
use crate::sys::mount::{self, Attributes, Depth};

/// What of the host's `/etc` sandboxes see. Nothing of it is secret or says which host this is.
const ETC: &[&str] = &[
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    "ssl/certs",
    "ssl/openssl.cnf",
    "ca-certificates.conf",
    "localtime",
    "timezone",
    "mime.types",
    "protocols",
    "services",
    "gai.conf",
    "host.conf",
    "bash.bashrc",
    "profile",
    "terminfo",
    "java-17-openjdk",
    "java-21-openjdk",
    "python3",
    "python3.11",
    "python3.13",
    "fonts",
    "magic",
    "locale.alias",
    "R/Renviron",
    "R/ldpaths",
    "R/repositories",
    "perl",
    "php/*/cli",
    "php/*/mods-available",
    "ruby",
    "lua",
    "debian_version",
    "os-release",
];

/// Links of a merged `/usr`, where the host has them.
const LINKS: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Directories of `/usr` that belong to the host's own administrator.
const HIDDEN: &[&str] = &["usr/local", "usr/src"];

/// Largest file of `/etc` that is copied.
const LARGEST: u64 = 4 << 20;

/// Links of /dev into the process's own descriptors.
const DEVICE_LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// What every sandbox's file system begins as.
#[derive(Debug)]
pub(super) struct Template {
    root: OwnedFd,
    device: OwnedFd,
}

impl Template {
    /// Builds everything below `stage`, an empty directory of a file system that only this process sees.
    pub(super) fn build(stage: &Path) -> io::Result<Self> {
        let root = build_root(&stage.join("root"))?;
        let device = build_device(&stage.join("device"))?;
        build_masks(&stage.join("masks"))?;
        Ok(Self { root, device })
    }

    /// A detached copy of the root with all that is mounted in it.
    pub(super) fn root(&self) -> io::Result<OwnedFd> {
        mount::copy(self.root.as_fd(), c"", Depth::Tree)
    }

    /// A detached copy of /dev.
    pub(super) fn device(&self) -> io::Result<OwnedFd> {
        mount::copy(self.device.as_fd(), c"", Depth::One)
    }
}

fn build_root(place: &Path) -> io::Result<OwnedFd> {
    let root = small_tmpfs(place, "64m")?;
    for name in MOUNT_POINTS {
        make_folder(&place.join(name))?;
    }
    for name in LINKS {
        adopt_link(name, place)?;
    }
    let usr = mount::copy(File::open("/usr")?.as_fd(), c"", Depth::Tree)?;
    mount::attach(usr.as_fd(), File::open(place.join("usr"))?.as_fd(), c"")?;
    for name in HIDDEN {
        hide(&place.join(name))?;
    }
    for name in ETC.iter().map(|name| all_of(name)).collect::<io::Result<Vec<_>>>()?.concat() {
        copy_entry(&Path::new("/etc").join(&name), &place.join("etc").join(&name))?;
    }
    for (name, text) in identity() {
        write(&place.join("etc"), name, &text)?;
    }
    let attributes = Attributes::READ_ONLY.and(Attributes::NO_SETUID).and(Attributes::NO_DEVICES);
    mount::restrict(root.as_fd(), attributes, Depth::Tree)?;
    Ok(root)
}

/// A tmpfs at `place`, which is made.
fn small_tmpfs(place: &Path, size: &str) -> io::Result<OwnedFd> {
    make_folder(place)?;
    let options = [(c"size", size), (c"mode", "0755")];
    let mounted = mount::create(c"tmpfs", &options, Attributes::NO_SETUID)?;
    mount::attach(mounted.as_fd(), File::open(place)?.as_fd(), c"")?;
    Ok(mounted)
}

/// `/bin` and its like: a link is made again; a directory of its own is shown read-only.
fn adopt_link(name: &str, place: &Path) -> io::Result<()> {
    let original = Path::new("/").join(name);
    match fs::symlink_metadata(&original) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_symlink() => symlink(fs::read_link(&original)?, place.join(name)),
        Ok(_) => {
            make_folder(&place.join(name))?;
            let copy = mount::copy(File::open(&original)?.as_fd(), c"", Depth::Tree)?;
            mount::attach(copy.as_fd(), File::open(place.join(name))?.as_fd(), c"")
        }
    }
}

/// Puts an empty directory over another.
fn hide(place: &Path) -> io::Result<()> {
    if !place.is_dir() {
        return Ok(());
    }
    let empty =
        mount::create(c"tmpfs", &[(c"size", "4k"), (c"nr_inodes", "2"), (c"mode", "0755")], Attributes::READ_ONLY)?;
    mount::attach(empty.as_fd(), File::open(place)?.as_fd(), c"")
}

/// The entry itself; where a part of it is `*`, one for each folder that lies there.
fn all_of(name: &str) -> io::Result<Vec<String>> {
    let Some((before, after)) = name.split_once("/*/") else { return Ok(vec![name.to_owned()]) };
    let folders = match fs::read_dir(Path::new("/etc").join(before)) {
        Ok(folders) => folders,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let names = folders.map(|folder| Ok(format!("{before}/{}/{after}", folder?.file_name().display())));
    names.collect()
}

/// Copies a file, a link or a directory. What is not there, or is none of these, is left out.
fn copy_entry(from: &Path, to: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(from) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if let Some(parent) = to.parent() {
        make_folders(parent)?;
    }
    if found.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if found.is_dir() {
        make_folder(to)?;
        return fs::read_dir(from)?.try_for_each(|entry| {
            let entry = entry?;
            copy_entry(&entry.path(), &to.join(entry.file_name()))
        });
    }
    let public = found.permissions().mode() & 0o004 != 0;
    if found.is_file() && public && found.len() <= LARGEST {
        fs::copy(from, to)?;
        fs::set_permissions(to, fs::Permissions::from_mode(found.permissions().mode() & 0o755))?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a new file in a tree that nobody else sees yet")]
fn write(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let path = folder.join(name);
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
}

fn build_device(place: &Path) -> io::Result<OwnedFd> {
    let device = small_tmpfs(place, "64k")?;
    for &(name, major, minor) in DEVICES {
        let path = place.join(name);
        mknod(&path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(major, minor))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
    }
    for (name, target) in DEVICE_LINKS {
        symlink(target, place.join(name))?;
    }
    make_folder(&place.join("shm"))?;
    let attributes = Attributes::READ_ONLY.and(Attributes::NO_SETUID).and(Attributes::NO_EXECUTION);
    mount::restrict(device.as_fd(), attributes, Depth::Tree)?;
    Ok(device)
}

/// An empty `file` and an empty `folder` that hide what must not be seen.
fn build_masks(place: &Path) -> io::Result<()> {
    let masks = small_tmpfs(place, "64k")?;
    write(place, "file", "")?;
    make_folder(&place.join("folder"))?;
    let attributes =
        Attributes::READ_ONLY.and(Attributes::NO_SETUID).and(Attributes::NO_DEVICES).and(Attributes::NO_EXECUTION);
    mount::restrict(masks.as_fd(), attributes, Depth::Tree)
}

/// Like mkdir(1), mode 0755 whatever the umask.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o755).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn make_folders(path: &Path) -> io::Result<()> {
    let missing: Vec<PathBuf> = path.ancestors().take_while(|path| !path.exists()).map(Path::to_path_buf).collect();
    missing.iter().rev().try_for_each(|path| make_folder(path))
}
