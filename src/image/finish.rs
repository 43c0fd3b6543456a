//! What kiln adds to the root of every image: the directories that it mounts onto, and who is who inside.
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use crate::image::fault::ImageError;
use crate::image::folder::Folder;
use crate::plan::standard::{MOUNT_POINTS, identity};

/// Makes what is missing, and writes the files of `/etc` that are kiln's anew.
///
/// # Errors
/// When something is in the way, or the disk says no.
pub(super) fn finish(root: &Folder) -> Result<(), ImageError> {
    let named = |name: &str| {
        let what = format!("finishing /{name}");
        move |error: io::Error| ImageError::failed(what, error)
    };
    for name in MOUNT_POINTS {
        root.make(name).map_err(named(name))?;
        fs::set_permissions(root.path(name), fs::Permissions::from_mode(0o755)).map_err(named(name))?;
    }
    let etc = root.within("etc").map_err(named("etc"))?;
    for (name, text) in identity() {
        // A file of the archive may have other names, and a link leads elsewhere: it goes.
        replace(&etc, name, &text).map_err(named(&format!("etc/{name}")))?;
    }
    Ok(())
}

fn replace(etc: &Folder, name: &str, text: &str) -> io::Result<()> {
    let there = fs::symlink_metadata(etc.path(name));
    if there.is_ok_and(|there| there.is_dir()) {
        return Err(io::Error::other("is a directory: the archive must have a file there, or nothing"));
    }
    etc.remove(name)?;
    etc.write(name, text.as_bytes())?;
    fs::set_permissions(etc.path(name), fs::Permissions::from_mode(0o644))
}
