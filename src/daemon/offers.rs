//! What requests may choose from: the host's languages and images of the store, put together when either changes.
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::digest::Digest;
use crate::image::library::Collection;
use crate::job::request::offer::{KnownImage, KnownLanguage, Least, Offer, UsedImage};
use crate::lang::{Language, probe};
use crate::queue::Runtimes;

/// The offer, and what it was made from.
#[derive(Debug)]
pub(super) struct Offers {
    pub(super) runtimes: Runtimes,
    made: Mutex<Option<Made>>,
}

#[derive(Debug)]
struct Made {
    offer: Arc<Offer>,
    versions: u64,
    collection: Arc<Collection>,
}

impl Offers {
    pub(super) const fn new(runtimes: Runtimes) -> Self {
        Self { runtimes, made: Mutex::new(None) }
    }

    /// The offer as it is now.
    pub(super) fn current(&self) -> Arc<Offer> {
        let (versions, collection) = (self.runtimes.versions.changes(), self.runtimes.images.collection());
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.as_ref()
            && known.versions == versions
            && Arc::ptr_eq(&known.collection, &collection)
        {
            return Arc::clone(&known.offer);
        }
        let offer = Arc::new(self.put_together(&collection));
        *made = Some(Made { offer: Arc::clone(&offer), versions, collection });
        offer
    }

    fn put_together(&self, collection: &Collection) -> Offer {
        let Runtimes { languages, versions, .. } = &self.runtimes;
        let mut images: Vec<KnownImage> = collection.catalog.images().map(image).collect();
        images.sort_by(|one, other| one.image.name().cmp(other.image.name()));
        let mut ranked: Vec<Ranked> = Vec::new();
        for found in &images {
            let Some(digest) = found.image.digest() else { continue };
            ranked.extend(in_image(collection, digest, found));
        }
        let host = languages.iter().filter_map(|language| Some((language, versions.of(&language.id)?)));
        ranked.extend(
            host.map(|(language, version)| Ranked { known: known(language, version, UsedImage::Host), size: 0 }),
        );
        ranked.sort_by(Ranked::best_first);
        let order: Vec<String> = languages.iter().map(|language| language.id.clone()).collect();
        let place = |known: &KnownLanguage| order.iter().position(|id| *id == known.id).unwrap_or(order.len());
        let mut languages: Vec<KnownLanguage> = ranked.into_iter().map(|ranked| ranked.known).collect();
        languages.sort_by(|one, other| (place(one), &one.id).cmp(&(place(other), &other.id)));
        Offer { languages, images }
    }
}

/// A language, and what decides which image is the best for it.
struct Ranked {
    known: KnownLanguage,
    size: u64,
}

impl Ranked {
    /// An image before the host, which may change under a job; the newest version; and of equals the smallest, which has
    /// least beside the language.
    fn best_first(&self, other: &Self) -> std::cmp::Ordering {
        let host = |ranked: &Self| ranked.known.image.digest().is_none();
        let version = |ranked: &Self| ranked.known.version.clone().unwrap_or_default();
        host(self)
            .cmp(&host(other))
            .then_with(|| probe::compare(&version(other), &version(self)))
            .then_with(|| self.size.cmp(&other.size))
            .then_with(|| self.known.image.name().cmp(other.known.image.name()))
    }
}

fn in_image(collection: &Collection, digest: Digest, image: &KnownImage) -> Vec<Ranked> {
    let languages = collection.languages(digest).into_iter().flat_map(crate::lang::Languages::iter);
    let ranked = |language: &Language| {
        let version = collection.version(digest, &language.id)?;
        Some(Ranked { known: known(language, version, image.image.clone()), size: image.size })
    };
    languages.filter_map(ranked).collect()
}

fn image(image: &crate::image::catalog::Image) -> KnownImage {
    let manifest = &image.manifest;
    KnownImage {
        image: UsedImage::Stored { name: image.name(), digest: manifest.digest },
        references: image.tags.iter().map(ToString::to_string).collect(),
        size: manifest.size,
        created: manifest.created.clone(),
        architecture: manifest.architecture.clone(),
        recipe: manifest.recipe,
    }
}

fn known(language: &Language, version: String, image: UsedImage) -> KnownLanguage {
    let (needs, compile_needs) = (language.needs, language.compile_needs);
    KnownLanguage {
        id: language.id.clone(),
        name: language.name.clone(),
        aliases: language.aliases.clone(),
        version: Some(version),
        file: language.file.clone(),
        extensions: language.extensions.clone(),
        reserved: language.reserved().map(str::to_owned),
        least: Least { memory: needs.memory, processes: needs.processes, compile_memory: compile_needs.memory },
        image,
    }
}
