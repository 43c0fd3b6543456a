//! What an image is called: `name[:tag]`, as `python:3.13` or `registry.example/team/tool:2`.
//!
//! A file of the tags has the reference as its name, with `+` for `/`, which no reference has.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The tag where none is given.
const LATEST: &str = "latest";
/// Longest reference, in bytes: it is the name of a file.
const LONGEST: usize = 200;

/// Name and tag. Always both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Reference {
    name: String,
    tag: String,
}

/// The text is no reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a name like `python:3.13`: lower-case letters and digits, with . _ - or / between them, then perhaps `:` and a \
     tag of letters, digits, . _ -; at most {LONGEST} bytes"
)]
pub struct NotAReference;

impl Reference {
    /// Without the tag.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What stands after the name.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Name of its file among the tags.
    pub fn file_name(&self) -> String {
        self.to_string().replace('/', "+")
    }

    /// Reads the name of a file among the tags.
    ///
    /// # Errors
    /// When no reference has this file.
    pub fn from_file_name(name: &str) -> Result<Self, NotAReference> {
        let reference: Self = name.replace('+', "/").parse()?;
        if reference.file_name() == name { Ok(reference) } else { Err(NotAReference) }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)
    }
}

impl FromStr for Reference {
    type Err = NotAReference;

    fn from_str(text: &str) -> Result<Self, NotAReference> {
        // A port of a registry's host is followed by `/`.
        let (name, tag) = match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (text, LATEST),
        };
        let whole = name.len() + tag.len() < LONGEST && name.split('/').enumerate().all(is_part) && is_tag(tag);
        if whole { Ok(Self { name: name.to_owned(), tag: tag.to_owned() }) } else { Err(NotAReference) }
    }
}

/// Only the first part, a host, may have a port.
fn is_part((place, part): (usize, &str)) -> bool {
    let end = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let within = |byte: &u8| end(byte) || b"._-".contains(byte) || (place == 0 && *byte == b':');
    let bytes = part.as_bytes();
    bytes.first().is_some_and(end) && bytes.last().is_some_and(end) && bytes.iter().all(within)
}

fn is_tag(tag: &str) -> bool {
    let begins = tag.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_');
    begins && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

impl TryFrom<String> for Reference {
    type Error = NotAReference;

    fn try_from(text: String) -> Result<Self, NotAReference> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[track_caller]
    fn check(text: &str, name: &str, tag: &str) {
        let reference: Reference = text.parse().unwrap();
        assert_eq!((reference.name(), reference.tag()), (name, tag));
        assert_eq!(Reference::from_file_name(&reference.file_name()), Ok(reference));
    }

    #[test]
    fn a_reference_has_a_name_and_a_tag() {
        check("python", "python", "latest");
        check("python:3.11-slim", "python", "3.11-slim");
        check("registry.example:5000/team/tool", "registry.example:5000/team/tool", "latest");
        check("registry.example:5000/team/tool:V2", "registry.example:5000/team/tool", "V2");
        check("c-cpp:_", "c-cpp", "_");
    }

    #[test]
    fn nothing_else_is_one() {
        let long = "x".repeat(LONGEST);
        for text in
            ["", ":", "a:", ":b", "A", "a b", "a/../b", "../a", "a//b", "/a", "a/", "-a", "a-", "a:b/c:d:e", &long]
        {
            assert_eq!(text.parse::<Reference>(), Err(NotAReference), "{text:?}");
        }
        for name in ["a", "a/b:1", "..", "a+:1", ".a:1"] {
            assert_eq!(Reference::from_file_name(name), Err(NotAReference), "{name:?}");
        }
    }
}
