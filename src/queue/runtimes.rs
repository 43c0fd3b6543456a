//! The languages in every image: the host's, which the daemon looked for, and those of the store.
use std::sync::Arc;

use super::Versions;
use crate::image::library::Library;
use crate::job::request::Request;
use crate::job::request::offer::UsedImage;
use crate::lang::Languages;

/// Who knows them.
#[derive(Clone, Debug)]
pub struct Runtimes {
    /// Of the host's image.
    pub languages: Arc<Languages>,
    /// Their versions.
    pub versions: Versions,
    /// The other images.
    pub images: Arc<Library>,
}

impl Runtimes {
    /// The languages in an image.
    ///
    /// # Errors
    /// A message for the owner of a job, when the image is gone.
    pub(super) fn languages(&self, image: &UsedImage) -> Result<Arc<Languages>, String> {
        match image {
            UsedImage::Host => Ok(Arc::clone(&self.languages)),
            UsedImage::Stored { name, digest } => self.images.languages(*digest).ok_or_else(|| {
                format!("the image {name} ({digest}) is not in the store any more; build or import it again")
            }),
        }
    }

    /// Version of the language of a request, where it has one and it is known.
    pub(super) fn version(&self, request: &Request) -> Option<String> {
        let language = request.work.language()?;
        match request.image.digest() {
            None => self.versions.of(language),
            Some(digest) => self.images.collection().version(digest, language),
        }
    }

    /// Makes sure that a job may run in an image.
    ///
    /// # Errors
    /// A message for the owner of a job.
    pub(super) async fn check(&self, image: &UsedImage) -> Result<(), String> {
        let UsedImage::Stored { name, digest } = image else { return Ok(()) };
        self.images.check(*digest).await.map_err(|unfit| format!("the image {name} ({digest}) cannot be used: {unfit}"))
    }
}
