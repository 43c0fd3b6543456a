//! The store as root's command line changes it: installs, tags, removes.
//!
//! Whoever changes it holds its lock, for as long as it takes to rename a few files; what takes long is done before, in
//! a staging directory. The order of the steps makes every moment a good one to be killed at:
//!
//! ```text
//! install:  file -> manifest -> tags          an image is there when its manifest is
//! remove:   tags -> manifest -> file
//! ```
//!
//! Not here: reading it (`catalog`), what is in an image (`staging`), whether a job uses one (`removal`).
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::base::digest::Digest;
use crate::image::fault::ImageError;
use crate::image::folder::Folder;
use crate::image::manifest::{self, Manifest};
use crate::image::reference::Reference;
use crate::image::staging::{PREFIX, Staging};
use crate::image::{FOLDER, TAGS};

/// Locked by whoever changes the store.
pub(super) const LOCK: &str = "lock";
/// Locked, shared, by a spawner that serves images of the store.
const IN_USE: &str = "in-use";
/// What is not the owner's to permit: that others write.
const OTHERS_WRITE: u32 = 0o022;

/// A store that may be changed.
#[derive(Debug)]
pub struct ImageStore {
    path: PathBuf,
    folder: Folder,
    tags: Folder,
}

/// The store's lock. It ends with the value, or with the process.
#[derive(Debug)]
pub struct Changing(#[expect(dead_code, reason = "held, not read")] File);

impl ImageStore {
    /// The store in a data directory; made where there is none.
    ///
    /// # Errors
    /// When it is not ours alone, or cannot be made.
    pub fn open(data: &Path) -> Result<Self, ImageError> {
        let path = data.join(FOLDER);
        let at = ImageError::at(&path);
        let folder = Folder::open(data).and_then(|data| data.make(FOLDER)).map_err(&at)?;
        owned(&path, &folder).map_err(&at)??;
        let tags = folder.make(TAGS).map_err(&at)?;
        folder.lock_file(IN_USE).map_err(&at)?;
        Ok(Self { path, folder, tags })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its directory.
    pub(super) const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The directory of its tags.
    pub(super) const fn tags(&self) -> &Folder {
        &self.tags
    }

    /// A directory to make an image in. What dead ones left is removed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn stage(&self) -> Result<Staging<'_>, ImageError> {
        let changing = self.lock()?;
        self.bury(&changing, &self.dead_stagings(&changing)?)?;
        Staging::begin(self)
    }

    /// Waits until nobody else changes the store.
    pub(super) fn lock(&self) -> Result<Changing, ImageError> {
        let locked = self.folder.lock_file(LOCK).and_then(|file| file.lock().map(|()| file));
        locked.map(Changing).map_err(ImageError::at(&self.path.join(LOCK)))
    }

    /// The lock that keeps every spawner from serving images; nothing where one does. Only who changes the store takes it
    /// otherwise, so that nobody is taken for a spawner who is none.
    pub(super) fn unserved(&self, _: &Changing) -> Result<Option<File>, ImageError> {
        let at = ImageError::at(&self.path.join(IN_USE));
        let file = self.folder.lock_file(IN_USE).map_err(&at)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(at(error)),
        }
    }

    /// Staging directories in which nobody works any more.
    pub(super) fn dead_stagings(&self, _: &Changing) -> Result<Vec<String>, ImageError> {
        let at = ImageError::at(&self.path);
        let mut dead = Vec::new();
        for name in self.folder.names().map_err(&at)? {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            match self.folder.within(name).map(|folder| folder.file().try_lock().is_ok()) {
                Ok(true) => dead.push(name.to_owned()),
                Ok(false) => {}
                // Its owner has just removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(at(error)),
            }
        }
        Ok(dead)
    }

    /// Removes dead staging directories.
    pub(super) fn bury(&self, _: &Changing, dead: &[String]) -> Result<(), ImageError> {
        let remove = |name: &String| self.folder.remove_tree(name).map_err(ImageError::at(&self.path.join(name)));
        dead.iter().try_for_each(remove)
    }

    /// Installs what lies in a staging directory. Both files are on the disk already.
    pub(super) fn take(
        &self,
        staging: &Folder,
        (file, text): (&str, &str),
        manifest: &Manifest,
        names: &[&Reference],
    ) -> Result<(), ImageError> {
        let changing = self.lock()?;
        let digits = manifest.digest.digits();
        let installed = || {
            // Over one of the same content too: that one may have been damaged.
            staging.give(file, &self.folder, &format!("{digits}.erofs"))?;
            self.folder.sync()?;
            if !self.has_equal(manifest) {
                staging.give(text, &self.folder, &format!("{digits}.json"))?;
                self.folder.sync()?;
            }
            names.iter().try_for_each(|name| self.tag(&changing, staging, name, &manifest.digest))
        };
        installed().map_err(|error| ImageError::failed("installing the image", error))
    }

    /// Whether there is a manifest that says the same of the image, but for when it was made and by what name.
    fn has_equal(&self, manifest: &Manifest) -> bool {
        let there = manifest::read(&self.folder.path(&format!("{}.json", manifest.digest.digits())));
        there.is_ok_and(|there| {
            there == Manifest { name: there.name.clone(), created: there.created.clone(), ..manifest.clone() }
        })
    }

    /// Lets a name mean an image, whatever it meant before.
    fn tag(&self, _: &Changing, staging: &Folder, name: &Reference, digest: &Digest) -> io::Result<()> {
        let file = name.file_name();
        staging.write(&file, format!("{}\n", digest.digits()).as_bytes())?;
        staging.give(&file, &self.tags, &file)?;
        self.tags.sync()
    }

    /// Takes names away.
    pub(super) fn untag(&self, _: &Changing, names: &[Reference]) -> Result<(), ImageError> {
        let removed = names.iter().try_for_each(|name| self.tags.remove(&name.file_name()));
        removed.and_then(|()| self.tags.sync()).map_err(ImageError::at(&self.path.join(TAGS)))
    }

    /// Removes both files of an image. No name means it any more.
    pub(super) fn discard(&self, _: &Changing, digest: &Digest) -> Result<(), ImageError> {
        let digits = digest.digits();
        let removed = || {
            self.folder.remove(&format!("{digits}.json"))?;
            self.folder.sync()?;
            self.folder.remove(&format!("{digits}.erofs"))?;
            self.folder.sync()
        };
        removed().map_err(|error| ImageError::failed(format!("removing {digest}"), error))
    }
}

/// Whether only we can change what is in it.
fn owned(path: &Path, folder: &Folder) -> io::Result<Result<(), ImageError>> {
    let found = folder.file().metadata()?;
    let refused = |message| Ok(Err(ImageError::NotOurs { path: path.to_path_buf(), message }));
    if found.uid() != geteuid().as_raw() {
        return refused("belongs to somebody else; images are root's: move it away");
    }
    if found.mode() & OTHERS_WRITE != 0 {
        return refused("others may write to it; images are root's: chmod go-w");
    }
    Ok(Ok(()))
}

/// The digest that a file of the store is named by, and what of the image it is.
pub(super) fn named(name: &OsStr) -> Option<(Digest, &str)> {
    let (digits, end) = name.to_str()?.rsplit_once('.')?;
    Some((Digest::from_digits(digits).ok()?, end))
}
