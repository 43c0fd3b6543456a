//! What is mounted where. A source is one of a closed list; no path of the host comes from the server.
use std::fmt;

use crate::base::digest::Digest;
use crate::base::id::TreeId;

/// What is mounted at `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// The host's own `/usr` and an `/etc` of permitted entries.
    Host,
    /// An image of the store.
    Image {
        /// SHA-256 of its file.
        digest: Digest,
    },
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What.
    pub source: MountSource,
    /// Where, inside the sandbox.
    pub target: BoxPath,
    /// Whether programs may change it.
    pub access: MountAccess,
}

/// What can be mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// A layer of an image, by SHA-256.
    Image {
        /// Of the layer.
        digest: Digest,
    },
    /// A new tmpfs.
    Temporary {
        /// Its size.
        bytes: u64,
        /// Files and directories in it.
        inodes: u64,
    },
    /// A tree that the spawner made before.
    Tree {
        /// Which.
        tree: TreeId,
    },
    /// A directory of the host that the operator configured, by its number in that list.
    HostRoot {
        /// Place in the list.
        index: u32,
    },
    /// A descriptor that came with the request, by its place.
    Descriptor {
        /// Place in the list.
        index: u32,
    },
}

/// Whether programs may change what is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountAccess {
    /// They may.
    ReadWrite,
    /// They may not.
    ReadOnly,
}

/// A path as programs in the sandbox see it: absolute, at most 255 bytes, of plain names.
#[derive(Clone, PartialEq, Eq)]
pub struct BoxPath(String);

/// The text was not a path inside a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an absolute path of plain names, of at most {} bytes", BoxPath::MAX)]
pub struct NotABoxPath;

impl BoxPath {
    /// Longest path, in bytes.
    pub const MAX: usize = 255;

    /// The path without its leading `/`, as openat2(2) below a root wants it.
    pub fn below_root(&self) -> &str {
        self.0.trim_start_matches('/')
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BoxPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<&str> for BoxPath {
    type Error = NotABoxPath;

    fn try_from(text: &str) -> Result<Self, NotABoxPath> {
        let names = text.strip_prefix('/').ok_or(NotABoxPath)?;
        let plain = |name: &str| !name.is_empty() && name != "." && name != "..";
        let whole = names.split('/').all(plain) && !text.contains('\0') && text.len() <= Self::MAX;
        if whole { Ok(Self(text.to_owned())) } else { Err(NotABoxPath) }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[track_caller]
    fn check(text: &str, accepted: bool) {
        assert_eq!(BoxPath::try_from(text).is_ok(), accepted, "{text:?}");
    }

    #[test]
    fn a_path_is_absolute_and_of_plain_names() {
        check("/work", true);
        check("/srv/data", true);
        check("/", false);
        check("work", false);
        check("/work/../etc", false);
        check("/work//x", false);
        check("/work/", false);
        check("/wo\0rk", false);
        check(&format!("/{}", "x".repeat(255)), false);
    }
}
