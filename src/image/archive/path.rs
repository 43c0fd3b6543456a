//! Names in an archive, and which are refused. Nothing is looked up here.
//!
//! A path that got through is relative, has no `..`, and steers no terminal and no tool that reads lines.
use crate::image::archive::bounds::Bounds;

/// Longest name in a directory (`NAME_MAX`).
const NAME_AT_MOST: usize = 255;
/// Longest target of a symbolic link (`PATH_MAX` with its end).
const TARGET_AT_MOST: usize = 4095;
/// How the layers of OCI images say that a file of a layer below is gone.
const WHITEOUT: &str = ".wh.";

/// A path below the root of an image: the names in it, none for the root itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside(String);

impl Inside {
    /// Reads a name of an archive.
    ///
    /// # Errors
    /// Why it is refused, to be read after the name.
    pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Self, String> {
        let text = readable(bytes)?;
        if text.starts_with('/') {
            return Err(String::from("is absolute: archive the root from inside, as by `tar -C ROOT .`"));
        }
        let names: Vec<&str> = text.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
        let path = names.join("/");
        if names.contains(&"..") {
            return Err(String::from("climbs out by `..`"));
        }
        if names.len() > bounds.depth {
            return Err(format!("lies deeper than {} directories", bounds.depth));
        }
        if path.len() > bounds.path || names.iter().any(|name| name.len() > NAME_AT_MOST) {
            let most = bounds.path;
            return Err(format!("is too long: {most} bytes at most, {NAME_AT_MOST} in each part"));
        }
        if names.last().is_some_and(|name| name.starts_with(WHITEOUT)) {
            return Err(String::from(
                "is a mark of a layer: the archive is a part of an image, not a root file system",
            ));
        }
        Ok(Self(path))
    }

    /// Without a slash at the beginning or the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory and the name in it; nothing for the root.
    pub fn split(&self) -> Option<(&str, &str)> {
        if self.0.is_empty() {
            return None;
        }
        Some(self.0.rsplit_once('/').unwrap_or(("", &self.0)))
    }

    /// Its first name, and whether there are more.
    pub fn top(&self) -> (&str, bool) {
        self.0.split_once('/').map_or((self.0.as_str(), false), |(top, _)| (top, true))
    }
}

/// The target of a symbolic link. It may lead anywhere: only programs inside an image follow it, and never leave it.
///
/// # Errors
/// Why it is refused, to be read after the name of the link.
pub fn target(bytes: &[u8]) -> Result<String, String> {
    let text = readable(bytes).map_err(|fault| format!("leads to a name that {fault}"))?;
    match text.len() {
        0 => Err(String::from("is a symbolic link to nothing")),
        1..=TARGET_AT_MOST => Ok(text.to_owned()),
        _ => Err(format!("is a symbolic link to more than {TARGET_AT_MOST} bytes")),
    }
}

fn readable(bytes: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(bytes).map_err(|_other| String::from("is not UTF-8"))?;
    if text.chars().any(char::is_control) { Err(String::from("has control characters")) } else { Ok(text) }
}

#[cfg(test)]
mod test {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Inside, String> {
        Inside::read(bytes, &Bounds::STANDARD)
    }

    #[test]
    fn a_path_is_what_is_left_without_dots_and_doubled_slashes() {
        let path = read(b"./usr//lib/./x/").unwrap();
        assert_eq!((path.as_str(), path.split(), path.top()), ("usr/lib/x", Some(("usr/lib", "x")), ("usr", true)));
        assert_eq!(read(b"./").unwrap().split(), None);
        assert_eq!(read("Fő".as_bytes()).unwrap().split(), Some(("", "Fő")));
        assert_eq!(read(b"etc").unwrap().top(), ("etc", false));
    }

    #[test]
    fn what_climbs_steers_or_is_too_long_is_refused() {
        let deep = "a/".repeat(65);
        let (long, longer) = ("x".repeat(256), "abc/".repeat(300));
        for (name, word) in [
            (b"/etc".as_slice(), "absolute"),
            (b"..", "climbs"),
            (b"a/../../b", "climbs"),
            (b"a\nb", "control"),
            (b"a\x1b[m", "control"),
            (b"\xff", "UTF-8"),
            (deep.as_bytes(), "deeper"),
            (long.as_bytes(), "too long"),
            (longer.as_bytes(), "deeper"),
            (b"a/.wh.b", "layer"),
        ] {
            let refused = read(name).unwrap_err();
            assert!(refused.contains(word), "{refused}");
        }
        let flat = Bounds { path: 8, ..Bounds::STANDARD };
        assert!(Inside::read(b"123456789", &flat).is_err() && Inside::read(b"12345678", &flat).is_ok());
    }

    #[test]
    fn a_link_may_lead_anywhere_but_not_nowhere() {
        assert_eq!(target(b"../../../etc").unwrap(), "../../../etc");
        for wrong in [b"".as_slice(), b"a\nb", &[b'x'; 4096]] {
            assert!(target(wrong).is_err());
        }
    }
}
