//! The images as a daemon offers them: the catalog, the languages in each, and whether a file still is what it was.
//!
//! What is added to the store is seen at the next look, without a restart. A file is hashed when it is first needed or was
//! touched since; in between one stat(2) says that it was not. Not here: who uses an image.
use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use crate::base::digest::Digest;
use crate::base::time::{Clock, Timestamp};
use crate::image::TAGS;
use crate::image::catalog::{self, Catalog};
use crate::image::manifest::Manifest;
use crate::lang::Languages;

/// A folder that was changed this short a time ago may be changed again without a new time (the kernel's clock tick).
const UNSURE: Duration = Duration::from_millis(50);
/// What is read at once.
const BLOCK: usize = 1 << 20;

/// The images of one store. Shared by all who ask.
pub struct Library {
    store: PathBuf,
    tables: Languages,
    clock: Arc<dyn Clock>,
    seen: Mutex<Option<Seen>>,
    intact: Mutex<HashMap<Digest, Identity>>,
    hashing: tokio::sync::Mutex<()>,
}

/// The images at one moment.
#[derive(Debug, Default)]
pub struct Collection {
    /// All of them.
    pub catalog: Catalog,
    /// The languages in each, at their places.
    languages: HashMap<Digest, Arc<Languages>>,
}

/// Why a job does not get an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It was removed.
    #[error("it is not in the store any more; build or import it again")]
    Gone,
    /// Its file has another digest.
    #[error("its file was changed: `kiln image verify` names what is wrong; remove it, then build or import it again")]
    Changed,
    /// Its file cannot be read.
    #[error("its file cannot be read: {0}")]
    Unreadable(String),
}

#[derive(Debug)]
struct Seen {
    collection: Arc<Collection>,
    signature: Signature,
    at: Timestamp,
}

/// What changes with the entries of the store's folders.
type Signature = [Option<(u64, Duration)>; 2];

/// What changes with a file.
type Identity = (u64, u64, u64, i64, i64, i64, i64);

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Library {
    /// The images below `store`, where languages are as in `tables` unless an image brings its own.
    pub fn new(store: PathBuf, tables: Languages, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            tables,
            clock,
            seen: Mutex::default(),
            intact: Mutex::default(),
            hashing: tokio::sync::Mutex::default(),
        }
    }

    /// The images as they are now. A store that cannot be read is told, and offers what it did before.
    pub fn collection(&self) -> Arc<Collection> {
        let mut seen = unpoisoned(&self.seen);
        let signature = signature(&self.store);
        if let Some(known) = seen.as_ref()
            && known.signature == signature
            && is_sure(&known.signature, known.at)
        {
            return Arc::clone(&known.collection);
        }
        let at = self.clock.now();
        match Catalog::read(&self.store) {
            Ok(catalog) => {
                if seen.as_ref().is_none_or(|known| known.collection.catalog != catalog) {
                    catalog.faults().iter().for_each(|fault| {
                        tracing::warn!(path = %fault.path.display(), message = fault.message, "left out of the images");
                    });
                    let collection = Arc::new(Collection { languages: languages(&catalog, &self.tables), catalog });
                    *seen = Some(Seen { collection, signature, at });
                } else if let Some(known) = seen.as_mut() {
                    (known.signature, known.at) = (signature, at);
                }
            }
            Err(error) => tracing::error!(store = %self.store.display(), %error, "the images cannot be listed"),
        }
        seen.as_ref().map(|known| Arc::clone(&known.collection)).unwrap_or_default()
    }

    /// The languages in an image; nothing when it is gone.
    pub fn languages(&self, image: Digest) -> Option<Arc<Languages>> {
        self.collection().languages.get(&image).cloned()
    }

    /// Makes sure that an image is what its digest says.
    ///
    /// # Errors
    /// Why nothing may run in it.
    pub async fn check(&self, image: Digest) -> Result<(), Unfit> {
        let path = catalog::file_of(&self.store, &image);
        if self.is_known(image, identity(&path)?) {
            return Ok(());
        }
        // One at a time: whoever waits here mostly waits for the same file.
        let _turn = self.hashing.lock().await;
        let before = identity(&path)?;
        if self.is_known(image, before) {
            return Ok(());
        }
        let hashed = tokio::task::spawn_blocking(move || hash(&path).map(|found| (found, identity(&path))));
        let (found, after) = hashed.await.map_err(unreadable)?.map_err(unreadable)?;
        if found != image || after? != before {
            return Err(Unfit::Changed);
        }
        unpoisoned(&self.intact).insert(image, before);
        Ok(())
    }

    fn is_known(&self, image: Digest, identity: Identity) -> bool {
        unpoisoned(&self.intact).get(&image) == Some(&identity)
    }
}

impl Collection {
    /// Version of a language in an image.
    pub fn version(&self, image: Digest, language: &str) -> Option<String> {
        let manifest = &self.catalog.get(&image)?.manifest;
        manifest.languages.iter().find(|known| known.id == language).map(|known| known.version.clone())
    }

    /// The languages in an image, at their places.
    pub fn languages(&self, image: Digest) -> Option<&Languages> {
        self.languages.get(&image).map(Arc::as_ref)
    }
}

/// SHA-256 of a file.
///
/// # Errors
/// When it cannot be read.
pub fn hash(path: &Path) -> io::Result<Digest> {
    let (mut file, mut hasher, mut block) = (File::open(path)?, Sha256::new(), vec![0; BLOCK]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(Digest(hasher.finalize().into())),
            count => hasher.update(block.get(..count).unwrap_or_default()),
        }
    }
}

fn languages(catalog: &Catalog, tables: &Languages) -> HashMap<Digest, Arc<Languages>> {
    let of = |manifest: &Manifest| match in_image(manifest, tables) {
        Ok(languages) => languages,
        Err(message) => {
            tracing::warn!(image = %manifest.digest, name = manifest.name, message, "no languages of an image are offered");
            Languages::of(Vec::new())
        }
    };
    catalog.images().map(|image| (image.manifest.digest, Arc::new(of(&image.manifest)))).collect()
}

/// Each language that the manifest names, at its place.
fn in_image(manifest: &Manifest, tables: &Languages) -> Result<Languages, String> {
    let own = if manifest.tables.is_empty() { Ok(tables.clone()) } else { tables.with(&manifest.tables) };
    let own = own.map_err(|faults| faults.to_string())?;
    let named = manifest.languages.iter().map(|known| {
        let language = own.find(&known.id).filter(|found| found.id == known.id);
        let place = language.and_then(|language| language.at_each_place().into_iter().nth(known.place));
        place.ok_or_else(|| format!("{} is in no table of languages at place {}", known.id, known.place))
    });
    named.collect::<Result<Vec<_>, _>>().map(Languages::of)
}

fn signature(store: &Path) -> Signature {
    [store.to_path_buf(), store.join(TAGS)].map(|folder| {
        let found = fs::metadata(folder).ok()?;
        let changed = found.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some((found.ino(), changed))
    })
}

/// Whether nothing can have changed that the signature does not show.
fn is_sure(signature: &Signature, read: Timestamp) -> bool {
    let settled =
        |changed: Duration| Duration::from_micros(read.0).checked_sub(changed).is_some_and(|since| since > UNSURE);
    signature.iter().flatten().all(|(_, changed)| settled(*changed))
}

fn identity(path: &Path) -> Result<Identity, Unfit> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unfit::Gone),
        other => other.map_err(unreadable)?,
    };
    let (modified, changed) = ((found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec()));
    Ok((found.dev(), found.ino(), found.size(), modified.0, modified.1, changed.0, changed.1))
}

fn unreadable(error: impl fmt::Display) -> Unfit {
    Unfit::Unreadable(error.to_string())
}

/// Nothing that is locked here can be half-changed.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
