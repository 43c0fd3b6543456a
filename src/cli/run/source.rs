//! Reads what is to run: files, standard input.
use std::fs;
use std::io::{self, IsTerminal as _, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use crate::cli::remote::RemoteError;
use crate::cli::run::request::File;

/// Bytes that are read of one thing. The daemon's own bound on a request is far lower.
const READ_AT_MOST: u64 = 256 << 20;

/// The file name that stands for standard input.
pub(super) const STDIN: &str = "-";

/// The files as the job will see them: relative to the folder of the first one.
pub(super) fn files(paths: &[PathBuf]) -> Result<Vec<File>, RemoteError> {
    let places = places(paths).map_err(RemoteError::Usage)?;
    paths.iter().zip(places).map(|(path, place)| file(path, place)).collect()
}

/// Where each file is in the job.
fn places(paths: &[PathBuf]) -> Result<Vec<String>, String> {
    let absolute = |path: &PathBuf| std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()));
    let first = paths.first().map(absolute).transpose()?.unwrap_or_default();
    let folder = first.parent().unwrap_or(Path::new("/"));
    let place = |path: &PathBuf| {
        let full = absolute(path)?;
        let below = full.strip_prefix(folder).ok().filter(|below| is_plain(below));
        let text = below.and_then(Path::to_str).map(str::to_owned);
        text.ok_or_else(|| {
            let folder = folder.display();
            format!("{}: is not below {folder}, the folder of the first file, by a name in UTF-8", path.display())
        })
    };
    paths.iter().map(place).collect()
}

fn is_plain(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

fn file(path: &Path, place: String) -> Result<File, RemoteError> {
    let named = |what: &dyn std::fmt::Display| RemoteError::Usage(format!("{}: {what}", path.display()));
    let opened = fs::File::open(path).map_err(|error| named(&error))?;
    let found = opened.metadata().map_err(|error| named(&error))?;
    if found.is_dir() {
        return Err(named(&"is a directory; name its files, the entry point first"));
    }
    let content = all(opened).map_err(|error| named(&error))?;
    Ok(File { path: place, content, executable: found.permissions().mode() & 0o111 != 0 })
}

/// Source text from standard input.
pub(super) fn text_from_stdin() -> Result<String, RemoteError> {
    let fault = |what: &dyn std::fmt::Display| RemoteError::Usage(format!("standard input: {what}"));
    let bytes = all(io::stdin()).map_err(|error| fault(&error))?;
    String::from_utf8(bytes).map_err(|_binary| fault(&"the source is no text in UTF-8"))
}

/// What the program will read: all that is there, unless somebody sits before it.
pub(super) fn input() -> Result<Vec<u8>, RemoteError> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Ok(Vec::new());
    }
    all(stdin).map_err(|error| RemoteError::Host(format!("standard input: {error}")))
}

fn all(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let count = from.take(READ_AT_MOST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(count).is_ok_and(|count| count <= READ_AT_MOST) {
        return Ok(bytes);
    }
    Err(io::Error::other(format!("holds more than {READ_AT_MOST} bytes")))
}

#[cfg(test)]
mod test {
    use super::*;

    fn of(paths: &[&str]) -> Result<Vec<String>, String> {
        places(&paths.iter().map(PathBuf::from).collect::<Vec<_>>())
    }

    #[test]
    fn files_are_named_from_the_folder_of_the_first() {
        assert_eq!(of(&["main.py"]).unwrap(), ["main.py"]);
        assert_eq!(of(&["a/main.py", "./a/lib/x.py", "a/y.py"]).unwrap(), ["main.py", "lib/x.py", "y.py"]);
        assert_eq!(of(&["/a/main.py", "/a/x.py"]).unwrap(), ["main.py", "x.py"]);
        assert_eq!(of(&["../a/main.py", "../a/x.py"]).unwrap(), ["main.py", "x.py"]);
    }

    #[test]
    fn a_file_elsewhere_is_refused() {
        for paths in [&["a/main.py", "b/x.py"][..], &["a/main.py", "x.py"], &["/a/main.py", "/a/../b.py"]] {
            assert!(of(paths).unwrap_err().contains("the folder of the first file"), "{paths:?}");
        }
    }
}
