//! An image that is being made: unpacked, finished, packed, and only then put into the store.
//!
//! ```text
//! ImageStore::stage -> unpack -> [root(): look what is in it] -> install
//! ```
//!
//! Everything lies in a directory of its own, which is locked as long as somebody works in it. Whatever ends the work
//! before its end, SIGKILL too, leaves that directory and nothing else, which a second process removes (`cleaner`), or,
//! where that was killed as well, the next one to stage an image.
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use uuid::Uuid;

use crate::base::digest::Digest;
use crate::base::size::ByteSize;
use crate::image::archive::bounds::Bounds;
use crate::image::cleaner::{self, Cleaner};
use crate::image::erofs::{self, Form};
use crate::image::fault::ImageError;
use crate::image::finish;
use crate::image::folder::Folder;
use crate::image::manifest::{ImageLanguage, Manifest, SCHEMA};
use crate::image::reference::Reference;
use crate::image::store::ImageStore;
use crate::image::unpack::{self, Unpacked};
use crate::image::verify;

/// What the directories' names begin with.
pub(super) const PREFIX: &str = "staging-";
/// The unpacked tree.
const ROOT: &str = "root";
/// Its file.
const FILE: &str = "image.erofs";
/// Its manifest.
const MANIFEST: &str = "manifest.json";

/// What is being done, for whoever waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The archive is read; so many bytes of files are there.
    Unpacking(ByteSize),
    /// The file is made.
    Packing,
    /// Its digest is computed.
    Reading,
    /// It is put into the store.
    Installing,
}

/// What is said of an image beside what is in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// What it is called.
    pub name: Reference,
    /// What else it is called.
    pub aliases: Vec<Reference>,
    /// The recipe that it was built from.
    pub recipe: Option<Digest>,
    /// When it is made (RFC 3339, UTC).
    pub created: String,
    /// The time that everything in it has, in seconds since the Unix epoch.
    pub epoch: u64,
    /// The languages in it.
    pub languages: Vec<ImageLanguage>,
    /// Tables of languages that are its own.
    pub tables: String,
}

/// A directory in which an image is being made.
#[derive(Debug)]
pub struct Staging<'a> {
    store: &'a ImageStore,
    folder: Folder,
    name: String,
    root: Folder,
    essence: [u8; 16],
    /// Goes last: it finds nothing to do then.
    cleaner: Option<Cleaner>,
}

impl<'a> Staging<'a> {
    /// A new one. Called with the store locked, so that nobody takes it for a dead one before it has its own lock.
    pub(super) fn begin(store: &'a ImageStore) -> Result<Self, ImageError> {
        let name = format!("{PREFIX}{}", Uuid::new_v4().simple());
        let begun = || {
            DirBuilder::new().mode(0o700).create(store.folder().path(&name))?;
            let folder = store.folder().within(&name)?;
            folder.file().lock()?;
            let root = folder.make(ROOT)?;
            Ok((folder, root))
        };
        let (folder, root) = begun().map_err(|error: io::Error| ImageError::failed("making a directory", error))?;
        Ok(Self { store, folder, name, root, essence: [0; 16], cleaner: None })
    }

    /// From now on the directory goes when this process does, however it ends. There must be no other thread.
    ///
    /// # Errors
    /// When there is no process for it.
    pub fn guard(&mut self) -> Result<(), ImageError> {
        let started = Cleaner::start(self.store.folder(), &self.name);
        self.cleaner = Some(started.map_err(|error| ImageError::failed("starting the process that cleans up", error))?);
        Ok(())
    }

    /// Unpacks an archive, plain or compressed, and adds what every image has.
    ///
    /// # Errors
    /// Every fault of the archive, or what the disk says.
    pub fn unpack(
        &mut self,
        archive: impl Read,
        bounds: &Bounds,
        told: &mut dyn FnMut(Step),
    ) -> Result<Unpacked, ImageError> {
        let mut heard = |bytes| told(Step::Unpacking(ByteSize(bytes)));
        let unpacked = unpack::unpack(archive, &self.root, bounds, &mut heard)?;
        finish::finish(&self.root)?;
        self.essence = unpacked.essence;
        Ok(unpacked)
    }

    /// Path of the unpacked tree, for this process and as long as this lives. What is changed in it is in the image.
    pub fn root(&self) -> PathBuf {
        self.folder.path(ROOT)
    }

    /// Whether the unpacked tree has something at this absolute path, as programs in the image see it.
    pub fn has(&self, path: &str) -> bool {
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
        openat2(self.root.as_fd(), path, how).is_ok()
    }

    /// Path of something in the directory, for this process and as long as this lives. It goes with the directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }

    /// Held open by whatever works in the directory: it is not taken for a dead one then.
    pub(super) const fn alive(&self) -> &File {
        self.folder.file()
    }

    /// Makes the file and puts it into the store under all its names. An image of the same content is the same image.
    ///
    /// # Errors
    /// Why it could not; the store is then as it was.
    pub fn install(self, description: &Description, told: &mut dyn FnMut(Step)) -> Result<Manifest, ImageError> {
        told(Step::Packing);
        let form = Form { epoch: description.epoch, id: uuid::Builder::from_custom_bytes(self.essence).into_uuid() };
        let alive = self.folder.file().try_clone().map_err(|error| ImageError::failed("packing the image", error))?;
        erofs::pack(&self.folder, ROOT, FILE, &form, alive)?;
        told(Step::Reading);
        let (digest, size) = self.settle().map_err(|error| ImageError::failed("writing the image", error))?;
        let manifest = described(description, digest, size);
        told(Step::Installing);
        let written = || {
            self.folder.write(MANIFEST, serde_json::to_string_pretty(&manifest)?.as_bytes())?;
            self.folder.sync()
        };
        written().map_err(|error| ImageError::failed("writing the manifest", error))?;
        let names: Vec<&Reference> = std::iter::once(&description.name).chain(&description.aliases).collect();
        self.store.take(&self.folder, (FILE, MANIFEST), &manifest, &names)?;
        Ok(manifest)
    }

    /// Brings the file to the disk, and says what it is called and how long it is.
    fn settle(&self) -> io::Result<(Digest, u64)> {
        let file = self.folder.read(FILE)?;
        file.set_permissions(Permissions::from_mode(0o444))?;
        file.sync_all()?;
        Ok((verify::digest_of(&file)?, file.metadata()?.len()))
    }
}

impl Drop for Staging<'_> {
    /// What cannot be removed now is removed by the next one who stages an image.
    fn drop(&mut self) {
        if let Err(error) = self.store.folder().remove_tree(&self.name) {
            cleaner::left_behind(&self.name, &error);
        }
    }
}

fn described(description: &Description, digest: Digest, size: u64) -> Manifest {
    Manifest {
        schema: SCHEMA,
        name: description.name.to_string(),
        digest,
        size,
        recipe: description.recipe,
        created: description.created.clone(),
        architecture: String::from(std::env::consts::ARCH),
        languages: description.languages.clone(),
        tables: description.tables.clone(),
    }
}
