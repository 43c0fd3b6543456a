//! The two files that a job with network sees in place of its image's: whom it asks for names, and that it may ask.
//!
//! Made once, in the spawner's own mount namespace; a job gets each as a mount of its own. Not here: how it is mounted
//! (`src/init/build/mounts.rs`).
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::plan::mount::BoxPath;
use crate::plan::standard::NETWORK_FILES;
use crate::spawner::image::make_folder;
use crate::sys::mount::{self, Attributes, Depth};

/// Names are looked for in files first, as without network, and then asked for (nsswitch.conf(5)).
const SWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\nprotocols: files\nservices: files\n";

/// Where the files lie.
#[derive(Debug)]
pub(super) struct Files(File);

impl Files {
    /// Writes them below `stage`.
    pub(super) fn make(stage: &Path, servers: &[IpAddr]) -> io::Result<Self> {
        let folder = stage.join("network");
        make_folder(&folder)?;
        let servers = servers.iter().map(|server| format!("nameserver {server}\n")).collect::<Vec<_>>().concat();
        for ((name, _), text) in NETWORK_FILES.iter().zip([servers.as_str(), SWITCH]) {
            write(&folder.join(name.to_string_lossy().as_ref()), text)?;
        }
        Ok(Self(File::open(folder)?))
    }

    /// A detached copy of each, and where it belongs.
    pub(super) fn mounts(&self) -> io::Result<Vec<(OwnedFd, BoxPath, Attributes)>> {
        let attributes = Attributes::READ_ONLY.and(Attributes::NO_SETUID).and(Attributes::NO_DEVICES);
        let attributes = attributes.and(Attributes::NO_EXECUTION);
        let copies = NETWORK_FILES.iter().map(|(name, target)| {
            let copy = mount::copy(self.0.as_fd(), name, Depth::One)?;
            Ok((copy, BoxPath::try_from(*target).map_err(io::Error::other)?, attributes))
        });
        copies.collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "a new file in a tree that nobody else sees")]
fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}
