//! Whether the images of a store are what they are named by: the SHA-256 of each file is computed anew.
//!
//! As fast as the disk reads: several files at once, in large pieces, which the kernel is told to read ahead.
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Mutex;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use sha2::{Digest as _, Sha256};

use crate::base::digest::Digest;
use crate::image::fault::ImageError;
use crate::image::manifest;
use crate::image::store::{ImageStore, named};

/// What is read at once.
const PIECE: usize = 1 << 20;

/// What was found of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What its files are named by.
    pub digest: Digest,
    /// Bytes that were read.
    pub size: u64,
    /// How it is.
    pub condition: Condition,
}

/// How an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// As it was when it was made.
    Whole,
    /// Its file has another digest.
    Changed,
    /// Its manifest is missing, or says something else.
    Manifest(String),
    /// There is a manifest and no file.
    NoFile,
    /// It cannot be read.
    Unreadable(String),
}

/// Verifies those images that `wanted` has, by so many threads at once; each is told as soon as it was read.
///
/// # Errors
/// When the store cannot be listed.
pub fn verify(
    store: &ImageStore,
    wanted: &BTreeSet<Digest>,
    threads: usize,
    told: &(dyn Fn(&Verified) + Sync),
) -> Result<Vec<Verified>, ImageError> {
    let mut order: Vec<Digest> = wanted.iter().copied().collect();
    // The largest first, so that none is left when the others are done.
    order.sort_by_key(|digest| size_of_file(store, digest));
    let left = Mutex::new(order);
    let found = Mutex::new(Vec::new());
    let next = || left.lock().ok().and_then(|mut left| left.pop());
    let work = || {
        while let Some(digest) = next() {
            let verified = one(store, digest);
            told(&verified);
            if let Ok(mut found) = found.lock() {
                found.push(verified);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.clamp(1, wanted.len().max(1)) {
            std::thread::Builder::new().name(String::from("verify")).spawn_scoped(scope, work)?;
        }
        work();
        Ok(())
    })
    .map_err(|error: io::Error| ImageError::failed("starting a thread", error))?;
    let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    found.sort_by_key(|verified| verified.digest);
    Ok(found)
}

/// Every image of which there is a file or a manifest.
///
/// # Errors
/// When the store cannot be listed.
pub fn everything(store: &ImageStore) -> Result<BTreeSet<Digest>, ImageError> {
    let names = store.folder().names().map_err(ImageError::at(store.path()))?;
    Ok(names.iter().filter_map(|name| named(name)).map(|(digest, _)| digest).collect())
}

fn one(store: &ImageStore, digest: Digest) -> Verified {
    let digits = digest.digits();
    let read = || {
        let file = store.folder().read(&format!("{digits}.erofs"))?;
        Ok((file.metadata()?.len(), digest_of(&file)?))
    };
    let (size, condition) = match read() {
        Err(error) => (0, unreadable(&error)),
        Ok((size, found)) if found != digest => (size, Condition::Changed),
        Ok((size, _)) => (size, described(store, &digest, size)),
    };
    Verified { digest, size, condition }
}

/// Nothing where there is no file, which is told when it is read.
fn size_of_file(store: &ImageStore, digest: &Digest) -> u64 {
    std::fs::symlink_metadata(store.folder().path(&format!("{}.erofs", digest.digits()))).map_or(0, |found| found.len())
}

fn unreadable(error: &io::Error) -> Condition {
    if error.kind() == io::ErrorKind::NotFound { Condition::NoFile } else { Condition::Unreadable(error.to_string()) }
}

fn described(store: &ImageStore, digest: &Digest, size: u64) -> Condition {
    match manifest::read(&store.folder().path(&format!("{}.json", digest.digits()))) {
        Err(error) => Condition::Manifest(error.to_string()),
        Ok(manifest) if manifest.digest != *digest || manifest.size != size => {
            Condition::Manifest(String::from("it is that of another image"))
        }
        Ok(_) => Condition::Whole,
    }
}

/// SHA-256 of all that is in a file.
///
/// # Errors
/// When it cannot be read.
pub fn digest_of(mut file: &File) -> io::Result<Digest> {
    posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL)?;
    let mut sum = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        let count = file.read(&mut piece)?;
        let read = piece.get(..count).unwrap_or_default();
        if read.is_empty() {
            return Ok(Digest(sum.finalize().into()));
        }
        sum.update(read);
    }
}
