//! The images of a store as they are at one moment. Only reads; whoever may list the folder may use it.
//!
//! A file that cannot be read is told by name and is no image; the others are.
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::base::digest::Digest;
use crate::image::TAGS;
use crate::image::manifest::{self, Manifest};
use crate::image::reference::Reference;

/// Images that are looked at.
const IMAGES_AT_MOST: usize = 4096;
/// Tags that are looked at.
const TAGS_AT_MOST: usize = 65_536;
/// What a tag is: so many digits, and a line feed.
const DIGITS: usize = 64;
const TAG_BYTES: u64 = 65;

/// An image that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// What is known of it.
    pub manifest: Manifest,
    /// What it is called, sorted.
    pub tags: Vec<Reference>,
}

/// The images, by digest; and what could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    images: BTreeMap<Digest, Image>,
    faults: Vec<Fault>,
}

/// Something in the store that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub message: String,
}

impl Image {
    /// What people call it: its own name where that still means it, else one of its tags, else its digest.
    pub fn name(&self) -> String {
        let own = self.tags.iter().find(|tag| tag.to_string() == self.manifest.name);
        own.or(self.tags.first()).map_or_else(|| self.manifest.digest.to_string(), Reference::to_string)
    }
}

impl Catalog {
    /// Reads the store. One that does not exist has no images.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn read(store: &Path) -> io::Result<Self> {
        let mut catalog = Self::default();
        for path in listed(store, IMAGES_AT_MOST)? {
            let digits = path.file_stem().and_then(|stem| stem.to_str()).map(Digest::from_digits);
            let (Some("json"), Some(Ok(digest))) = (path.extension().and_then(|end| end.to_str()), digits) else {
                continue;
            };
            match image(&path, digest) {
                Ok(manifest) => drop(catalog.images.insert(digest, Image { manifest, tags: Vec::new() })),
                Err(error) => catalog.faults.push(Fault { path, message: error.to_string() }),
            }
        }
        for path in listed(&store.join(TAGS), TAGS_AT_MOST)? {
            match tag(&path) {
                Ok((reference, digest)) => {
                    if let Some(image) = catalog.images.get_mut(&digest) {
                        image.tags.push(reference);
                    }
                }
                Err(error) => catalog.faults.push(Fault { path, message: error.to_string() }),
            }
        }
        catalog.images.values_mut().for_each(|image| image.tags.sort());
        Ok(catalog)
    }

    /// The images, in the order of their digests.
    pub fn images(&self) -> impl Iterator<Item = &Image> {
        self.images.values()
    }

    /// The image of this digest.
    pub fn get(&self, digest: &Digest) -> Option<&Image> {
        self.images.get(digest)
    }

    /// The image that a name, or a digest, means.
    pub fn find(&self, text: &str) -> Option<&Image> {
        if let Ok(digest) = text.parse() {
            return self.images.get(&digest);
        }
        let reference: Reference = text.parse().ok()?;
        self.images.values().find(|image| image.tags.binary_search(&reference).is_ok())
    }

    /// What could not be read.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

/// Path of an image's file.
pub fn file_of(store: &Path, digest: &Digest) -> PathBuf {
    store.join(format!("{}.erofs", digest.digits()))
}

/// Path of an image's manifest.
pub fn manifest_of(store: &Path, digest: &Digest) -> PathBuf {
    store.join(format!("{}.json", digest.digits()))
}

fn image(path: &Path, digest: Digest) -> io::Result<Manifest> {
    let manifest = manifest::read(path)?;
    if manifest.digest != digest {
        return Err(io::Error::other(format!("it is the manifest of {}", manifest.digest)));
    }
    let found = fs::symlink_metadata(path.with_extension("erofs"))?;
    if !found.is_file() || found.size() != manifest.size {
        return Err(io::Error::other(format!("its image has {} bytes instead of {}", found.size(), manifest.size)));
    }
    Ok(manifest)
}

fn tag(path: &Path) -> io::Result<(Reference, Digest)> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let reference = Reference::from_file_name(name).map_err(io::Error::other)?;
    let mut text = String::new();
    File::open(path)?.take(TAG_BYTES + 1).read_to_string(&mut text)?;
    let digits = text.strip_suffix('\n').filter(|digits| digits.len() == DIGITS).unwrap_or_default();
    Ok((reference, Digest::from_digits(digits).map_err(io::Error::other)?))
}

/// What lies in a folder, sorted; nothing where there is none.
fn listed(folder: &Path, most: usize) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut paths = entries.take(most + 1).map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    if paths.len() > most {
        return Err(io::Error::other(format!("{} holds more than {most} entries: remove some", folder.display())));
    }
    paths.sort();
    Ok(paths)
}
