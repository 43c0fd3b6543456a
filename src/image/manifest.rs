//! What is known of an image beside its file. Written once, when it is made.
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;

/// The form that this version writes and reads.
pub const SCHEMA: u32 = 1;

/// Longest manifest.
const BYTES_AT_MOST: u64 = 1 << 20;

/// A manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA`]
    pub schema: u32,
    /// What it was called when it was made, as `python:3.13`; tags say what it is called now.
    pub name: String,
    /// SHA-256 of its file.
    pub digest: Digest,
    /// Bytes of its file.
    pub size: u64,
    /// SHA-256 of the recipe that it was built from; none of one that was imported.
    pub recipe: Option<Digest>,
    /// When it was made (RFC 3339, UTC).
    pub created: String,
    /// Processor that its programs are for, as `x86_64`.
    pub architecture: String,
    /// The languages in it.
    pub languages: Vec<ImageLanguage>,
    /// Tables of languages that are its own, as TOML (docs/LANGUAGES.md); they come before the embedded ones.
    pub tables: String,
}

/// A language in an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageLanguage {
    /// Its id in the table.
    pub id: String,
    /// What its version command said when the image was made.
    pub version: String,
    /// At which of its places it is, counting from 0; 0 where it has one only.
    pub place: usize,
}

/// Reads a manifest.
///
/// # Errors
/// When it cannot be read, or is none that this version knows.
pub fn read(path: &Path) -> io::Result<Manifest> {
    let mut text = String::new();
    File::open(path)?.take(BYTES_AT_MOST + 1).read_to_string(&mut text)?;
    let manifest: Manifest = serde_json::from_str(&text)?;
    if manifest.schema == SCHEMA {
        Ok(manifest)
    } else {
        let found = manifest.schema;
        Err(io::Error::other(format!(
            "its schema is {found}, this kiln reads {SCHEMA}: build or import the image again"
        )))
    }
}
