//! From root to a service user without any privilege, for ever.
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::{fs, io};

use caps::CapSet;
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, User, geteuid, setgroups, setresgid, setresuid};

use crate::image;
use crate::sys::seccomp;

/// What the server can never do again (`seccomp-profiles/server.json`).
static SERVER_FILTER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/server.bpf"));

/// Who the server runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceUser {
    uid: Uid,
    gid: Gid,
}

/// The account of this name where there is one, else the bare number.
///
/// # Errors
/// When the accounts cannot be read, or the account is root's.
pub fn find(name: &str, fallback: u32) -> io::Result<ServiceUser> {
    let found = User::from_name(name)?;
    let user = found.map_or_else(
        || ServiceUser { uid: Uid::from_raw(fallback), gid: Gid::from_raw(fallback) },
        |user| ServiceUser { uid: user.uid, gid: user.gid },
    );
    if user.uid.is_root() {
        return Err(io::Error::other(format!("the service user {name} is root; set sandbox.user to another")));
    }
    Ok(user)
}

/// Makes the data directory the service user's: a new or empty one is given; one with content must be theirs already,
/// because root changes nothing in a tree that others may have written.
///
/// # Errors
/// Names the path and says what to do.
pub fn give(folder: &Path, user: ServiceUser) -> io::Result<()> {
    let named = |error: io::Error| io::Error::other(format!("{}: {error}", folder.display()));
    if !folder.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(named)?;
    }
    let found = fs::symlink_metadata(folder).map_err(named)?;
    if !found.is_dir() {
        return Err(io::Error::other(format!("{} is no directory", folder.display())));
    }
    if found.uid() == user.uid.as_raw() {
        return Ok(());
    }
    // Root may have put images there before.
    let others = fs::read_dir(folder)
        .map_err(named)?
        .filter(|entry| !entry.as_ref().is_ok_and(|entry| entry.file_name() == image::FOLDER));
    if others.count() > 0 {
        let (path, owner, uid, gid) = (folder.display(), found.uid(), user.uid, user.gid);
        return Err(io::Error::other(format!(
            "{path} belongs to user {owner} and is not empty; if it is kiln's: chown -R {uid}:{gid} {path}"
        )));
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(named)?;
    std::os::unix::fs::lchown(folder, Some(user.uid.as_raw()), Some(user.gid.as_raw())).map_err(named)
}

/// Becomes the user and gives up every capability and every way back. The process has one thread.
///
/// # Errors
/// When anything is left.
pub fn become_for_ever(user: ServiceUser) -> io::Result<()> {
    if geteuid().is_root() {
        caps::clear(None, CapSet::Bounding).map_err(io::Error::other)?;
        setgroups(&[])?;
        setresgid(user.gid, user.gid, user.gid)?;
        setresuid(user.uid, user.uid, user.uid)?;
    }
    prctl::set_no_new_privs()?;
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).map_err(io::Error::other)?;
    }
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        if !caps::read(None, set).map_err(io::Error::other)?.is_empty() {
            return Err(io::Error::other("a capability is left although all were dropped"));
        }
    }
    if geteuid().is_root() {
        return Err(io::Error::other("still root"));
    }
    seccomp::Program::from_bytes(SERVER_FILTER).load()
}
