//! What a request may choose from: the images, and the languages in each.
use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::base::size::ByteSize;
use crate::plan::mount::Root;

/// The image that is embedded: the host's own programs.
pub const HOST_IMAGE: &str = "host";

/// What a job runs in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum UsedImage {
    /// [`HOST_IMAGE`]
    #[default]
    Host,
    /// One of the store. Another image may have its name later; the digest says which was meant.
    Stored {
        /// What it was called.
        name: String,
        /// SHA-256 of its file.
        digest: Digest,
    },
}

/// Everything that there is to choose from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The languages in the order in which they are shown; of one language the best image first.
    pub languages: Vec<KnownLanguage>,
    /// The images of the store, in the order of their names.
    pub images: Vec<KnownImage>,
}

/// An image of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownImage {
    /// What a job that names it gets.
    pub image: UsedImage,
    /// All that it may be called, each with its tag.
    pub references: Vec<String>,
    /// Bytes of its file.
    pub size: u64,
    /// When it was made (RFC 3339).
    pub created: String,
    /// Processor that its programs are for.
    pub architecture: String,
    /// SHA-256 of the recipe that it was built from; none of one that was imported.
    pub recipe: Option<Digest>,
}

/// A language in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownLanguage {
    /// Its name in requests.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// Its version, where it is known.
    pub version: Option<String>,
    /// Name of the file that a source text becomes.
    pub file: String,
    /// How its files end.
    pub extensions: Vec<String>,
    /// Name that a file of a program must not have: the compiler writes there. None without a compiler.
    pub reserved: Option<String>,
    /// Below this nothing starts.
    pub least: Least,
    /// Where it is.
    pub image: UsedImage,
}

/// Limits below which a language does not start; 0 where it needs nothing special.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Least {
    /// Memory of the run phase.
    pub memory: ByteSize,
    /// Processes of the run phase.
    pub processes: u32,
    /// Memory of the compile phase.
    pub compile_memory: ByteSize,
}

impl UsedImage {
    /// What it was called.
    pub fn name(&self) -> &str {
        match self {
            Self::Host => HOST_IMAGE,
            Self::Stored { name, .. } => name,
        }
    }

    /// Which it is; none of the embedded one.
    pub const fn digest(&self) -> Option<Digest> {
        match self {
            Self::Host => None,
            Self::Stored { digest, .. } => Some(*digest),
        }
    }

    /// What its sandboxes have at `/`.
    pub const fn root(&self) -> Root {
        match self {
            Self::Host => Root::Host,
            Self::Stored { digest, .. } => Root::Image { digest: *digest },
        }
    }
}

impl Offer {
    /// The image that a request names: by a reference, which has the tag `latest` where it has none, or by digest.
    pub fn image(&self, name: &str) -> Option<UsedImage> {
        if name == HOST_IMAGE {
            return Some(UsedImage::Host);
        }
        let tagged = name.rsplit('/').next().is_some_and(|last| last.contains(':'));
        let reference = if tagged { name.to_owned() } else { format!("{name}:latest") };
        let means = |known: &&KnownImage| {
            known.references.contains(&reference)
                || known.image.digest().is_some_and(|digest| digest.to_string() == name)
        };
        self.images.iter().find(means).map(|known| known.image.clone())
    }

    /// What people call the images.
    pub fn image_names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(HOST_IMAGE).chain(self.images.iter().map(|known| known.image.name()))
    }

    /// The ids of the languages, each once.
    pub fn language_ids(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = Vec::new();
        for language in &self.languages {
            if !ids.contains(&language.id.as_str()) {
                ids.push(&language.id);
            }
        }
        ids
    }
}

impl KnownLanguage {
    /// Whether this is its id or an alias.
    pub fn is_called(&self, name: &str) -> bool {
        self.id == name || self.aliases.iter().any(|alias| alias == name)
    }

    /// Whether this is its version, or the first parts of it: `3.11` is `3.11.2`, `3.1` is not.
    pub fn has_version(&self, asked: &str) -> bool {
        let begins = self.version.as_ref().and_then(|here| here.strip_prefix(asked));
        begins.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}
