//! Taking images out of a store: by name or digest, or all that nobody can name.
//!
//! Which is decided from what is there, by pure functions; the files go in the order that `store` draws. An image that a
//! job uses stays: while a spawner serves images of the store, only the daemon knows, and says so. What is damaged can be
//! removed like anything else: nothing is read here but names.
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use crate::base::digest::Digest;
use crate::image::fault::ImageError;
use crate::image::reference::Reference;
use crate::image::store::{Changing, ImageStore, named};

/// Digits by which an image may be named instead of all 64.
const DIGITS_AT_LEAST: usize = 12;

/// What is in a store by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Digests of which there is a file, a manifest, or both.
    files: BTreeMap<Digest, Parts>,
    /// What each tag means.
    tags: BTreeMap<Reference, Digest>,
}

/// Which files of an image there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parts {
    Half,
    Both,
}

/// What a removal does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Only a name goes; others mean the image too.
    Name(Reference),
    /// The image goes, with these names.
    Image(Digest, Vec<Reference>),
}

/// What is of no use in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Images that no name means.
    pub images: Vec<Digest>,
    /// Digests of which there is one file without the other.
    pub halves: Vec<Digest>,
    /// Tags of images that are not there.
    pub tags: Vec<Reference>,
    /// Directories of builds that were interrupted.
    pub stagings: Vec<String>,
}

/// How an attempt to remove an image went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It is gone.
    Removed,
    /// A spawner serves images of the store, perhaps this one: its daemon must be asked.
    Served,
}

impl Holdings {
    /// The names that mean an image.
    pub fn names(&self, digest: &Digest) -> Vec<Reference> {
        self.tags.iter().filter(|(_, meant)| *meant == digest).map(|(name, _)| name.clone()).collect()
    }

    /// The image that a name means, or a digest, or its first digits where no other begins so.
    pub fn find(&self, text: &str) -> Option<Digest> {
        if let Some(digest) = text.parse().ok().and_then(|name: Reference| self.tags.get(&name)) {
            return Some(*digest);
        }
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let mut alike = self.files.keys().filter(|digest| digest.digits().starts_with(digits));
        let only = alike.next().filter(|_| digits.len() >= DIGITS_AT_LEAST)?;
        alike.next().is_none().then_some(*only)
    }

    /// What a text of the command line asks to remove: nothing where it means no image.
    pub fn asked(&self, text: &str) -> Option<Removal> {
        let digest = self.find(text)?;
        let names = self.names(&digest);
        match text.parse() {
            Ok(name) if names.contains(&name) && names.len() > 1 => Some(Removal::Name(name)),
            Ok(_) | Err(_) => Some(Removal::Image(digest, names)),
        }
    }

    fn garbage(&self, stagings: Vec<String>) -> Garbage {
        let of =
            |wanted: Parts| self.files.iter().filter(move |(_, parts)| **parts == wanted).map(|(digest, _)| *digest);
        let named: BTreeSet<&Digest> = self.tags.values().collect();
        let is_whole = |digest: &Digest| self.files.get(digest) == Some(&Parts::Both);
        Garbage {
            images: of(Parts::Both).filter(|digest| !named.contains(digest)).collect(),
            halves: of(Parts::Half).collect(),
            tags: self.tags.iter().filter(|(_, meant)| !is_whole(meant)).map(|(name, _)| name.clone()).collect(),
            stagings,
        }
    }
}

impl Garbage {
    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.images.is_empty() && self.halves.is_empty() && self.tags.is_empty() && self.stagings.is_empty()
    }
}

impl ImageStore {
    /// What is in it.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn holdings(&self) -> Result<Holdings, ImageError> {
        let mut held = Holdings::default();
        for name in &self.folder().names().map_err(ImageError::at(self.path()))? {
            if let Some((digest, "erofs" | "json")) = named(name) {
                held.files.entry(digest).and_modify(|parts| *parts = Parts::Both).or_insert(Parts::Half);
            }
        }
        for name in &self.tags().names().map_err(ImageError::at(self.path()))? {
            let read = name.to_str().and_then(|name| Some((Reference::from_file_name(name).ok()?, self.meant(name)?)));
            held.tags.extend(read);
        }
        Ok(held)
    }

    /// Takes a name away.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn remove_name(&self, name: &Reference) -> Result<(), ImageError> {
        self.untag(&self.lock()?, std::slice::from_ref(name))
    }

    /// Removes an image with these names, unless a spawner serves images of the store.
    ///
    /// # Errors
    /// When the disk says no. What was removed then stays so.
    pub fn remove_unserved(&self, digest: &Digest, names: &[Reference]) -> Result<Attempt, ImageError> {
        let changing = self.lock()?;
        let Some(_kept_from_spawners) = self.unserved(&changing)? else { return Ok(Attempt::Served) };
        self.remove(&changing, digest, names)?;
        Ok(Attempt::Removed)
    }

    /// Removes an image with these names, which no job uses: the daemon has said so.
    ///
    /// # Errors
    /// When the disk says no. What was removed then stays so.
    pub fn remove_released(&self, digest: &Digest, names: &[Reference]) -> Result<(), ImageError> {
        self.remove(&self.lock()?, digest, names)
    }

    /// One that has got another name meanwhile is kept.
    fn remove(&self, changing: &Changing, digest: &Digest, names: &[Reference]) -> Result<(), ImageError> {
        self.untag(changing, names)?;
        if self.holdings()?.names(digest).is_empty() { self.discard(changing, digest) } else { Ok(()) }
    }

    /// What is of no use.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub fn garbage(&self) -> Result<Garbage, ImageError> {
        self.garbage_now(&self.lock()?)
    }

    /// Removes what nobody can use, but no image: halves, tags of nothing, interrupted builds. Says what was there.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn sweep(&self) -> Result<Garbage, ImageError> {
        let changing = self.lock()?;
        let garbage = self.garbage_now(&changing)?;
        self.untag(&changing, &garbage.tags)?;
        for digest in &garbage.halves {
            self.discard(&changing, digest)?;
        }
        self.bury(&changing, &garbage.stagings)?;
        Ok(garbage)
    }

    fn garbage_now(&self, changing: &Changing) -> Result<Garbage, ImageError> {
        Ok(self.holdings()?.garbage(self.dead_stagings(changing)?))
    }

    /// The digest in a tag's file; nothing where there is none.
    fn meant(&self, name: &str) -> Option<Digest> {
        let mut text = String::new();
        self.tags().read(name).ok()?.take(128).read_to_string(&mut text).ok()?;
        Digest::from_digits(text.trim_end()).ok()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    const A: Digest = Digest([0xa; 32]);
    const B: Digest = Digest([0xb; 32]);
    const C: Digest = Digest([0xc; 32]);

    fn name(text: &str) -> Reference {
        text.parse().unwrap()
    }

    fn held() -> Holdings {
        Holdings {
            files: [(A, Parts::Both), (B, Parts::Both), (C, Parts::Half)].into(),
            tags: [(name("a:1"), A), (name("a"), A), (name("c"), C), (name("d"), Digest([0xd; 32]))].into(),
        }
    }

    #[test]
    fn a_name_of_several_goes_alone_and_the_last_takes_the_image_along() {
        let mut held = held();
        assert_eq!(held.asked("a:1"), Some(Removal::Name(name("a:1"))));
        held.tags.remove(&name("a:1"));
        assert_eq!(held.asked("a"), Some(Removal::Image(A, vec![name("a:latest")])));
        assert_eq!(held.asked("a:1"), None);
    }

    #[test]
    fn a_digest_or_its_beginning_means_the_image_with_all_its_names() {
        let held = held();
        let whole = Some(Removal::Image(A, vec![name("a:1"), name("a:latest")]));
        for text in [A.to_string(), A.digits(), A.short(), format!("sha256:{}", A.short())] {
            assert_eq!(held.asked(&text), whole, "{text}");
        }
        for text in ["", "0a0a0a", "sha256:", "0e0e0e0e0e0e", "b"] {
            assert_eq!(held.asked(text), None, "{text}");
        }
        let twin = Digest(std::array::from_fn(|place| if place == 31 { 0xff } else { 0xa }));
        let files = [(A, Parts::Both), (twin, Parts::Both)].into();
        assert_eq!(Holdings { files, ..held }.find(&A.short()), None);
    }

    #[test]
    fn garbage_is_what_no_name_leads_to_and_what_leads_to_nothing() {
        let garbage = held().garbage(vec![String::from("staging-1")]);
        let expected = Garbage {
            images: vec![B],
            halves: vec![C],
            tags: vec![name("c"), name("d")],
            stagings: vec![String::from("staging-1")],
        };
        assert_eq!(garbage, expected);
        assert!(!garbage.is_empty() && Garbage::default().is_empty());
    }
}
