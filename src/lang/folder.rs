//! The operator's own languages: every `*.toml` of one directory, in the order of the names.
//!
//! A table that cannot be read is a fault like one with a fault in it. Not here: what a table may hold.
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::base::fault::Faults;
use crate::lang::merge::{self, Part};
use crate::lang::{EMBEDDED, Languages};

/// The directory where no setting names one. Only this one need not be there.
pub const DEFAULT: &str = "/etc/kiln/languages.d";

/// Tables of the directory.
const FILES_AT_MOST: usize = 256;
/// Bytes of one table.
const BYTES_AT_MOST: u64 = 1 << 20;

/// The embedded languages and those of a directory.
///
/// # Errors
/// Everything that is wrong with any of the tables, each fault with its file.
pub fn load(directory: &Path) -> Result<Languages, Faults> {
    let mut faults = Faults::default();
    let mut parts = vec![Part { path: String::new(), text: EMBEDDED.to_owned() }];
    for path in tables(directory, &mut faults) {
        match text(&path) {
            Ok(text) => parts.push(Part { path: path.display().to_string(), text }),
            Err(error) => faults.add(path.display().to_string(), error.to_string()),
        }
    }
    let unreadable = faults.into_vec();
    match merge::merged(parts) {
        Ok(languages) if unreadable.is_empty() => Ok(Languages(languages)),
        merged => {
            let mut all = Faults::default();
            let found = merged.err().map(Faults::into_vec).unwrap_or_default();
            unreadable.into_iter().chain(found).for_each(|fault| all.add(fault.field, fault.message));
            Err(all)
        }
    }
}

/// The paths of the tables, by name.
fn tables(directory: &Path, faults: &mut Faults) -> Vec<PathBuf> {
    let listed = fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>());
    let mut paths = match listed {
        Ok(paths) => paths,
        Err(error) if error.kind() == io::ErrorKind::NotFound && directory == Path::new(DEFAULT) => Vec::new(),
        Err(error) => {
            faults.add("languages_dir", format!("{}: {error}", directory.display()));
            Vec::new()
        }
    };
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    if paths.len() > FILES_AT_MOST {
        let message = format!("{} holds more than {FILES_AT_MOST} tables", directory.display());
        faults.add("languages_dir", message);
        paths.clear();
    }
    paths
}

fn text(path: &Path) -> io::Result<String> {
    // Before it is opened: to open a pipe would wait for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("is no file"));
    }
    let mut text = String::new();
    let read = File::open(path)?.take(BYTES_AT_MOST + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read > BYTES_AT_MOST) {
        return Err(io::Error::other(format!("has more than {BYTES_AT_MOST} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod test {
    use super::*;

    const ZIG: &str = "[[language]]\nid = \"zig\"\nname = \"Zig\"\nfile = \"main.zig\"\nrun = [\"/usr/bin/zig\"]\n\
                       version = { command = [\"/usr/bin/zig\"], after = \"\" }\n";

    #[expect(clippy::disallowed_methods, reason = "files of the test's own, which nobody else reads")]
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn faults(folder: &tempfile::TempDir) -> Vec<String> {
        let path = format!("{}/", folder.path().display());
        let faults = load(folder.path()).unwrap_err().into_vec();
        faults.into_iter().map(|fault| format!("{}: {}", fault.field, fault.message).replace(&path, "")).collect()
    }

    #[test]
    fn an_operator_adds_and_replaces_languages() {
        let python = ZIG.replace("zig", "python");
        let folder = folder(&[("20-python.toml", &python), ("10-zig.toml", ZIG), ("note.txt", "no table")]);
        let languages = load(folder.path()).unwrap();
        assert_eq!(languages.find("python").unwrap().file, "main.python");
        assert_eq!(languages.find("py"), None, "nothing of the replaced language is left");
        let ids: Vec<_> = languages.ids().collect();
        assert_eq!((ids.first(), ids.last()), (Some(&"python"), Some(&"zig")));
    }

    #[test]
    fn later_names_come_later() {
        let other = ZIG.replace("Zig", "Other");
        let folder = folder(&[("b.toml", &other), ("a.toml", ZIG)]);
        assert_eq!(load(folder.path()).unwrap().find("zig").unwrap().name, "Other");
    }

    #[test]
    fn every_fault_is_told_with_its_file() {
        let clash = ZIG.replace("\"zig\"", "\"js\"");
        let files = [("a.toml", "id = 1\n"), ("b.toml", &clash), ("c.toml", &ZIG.replace("run", "walk"))];
        let folder = folder(&files);
        fs::create_dir(folder.path().join("d.toml")).unwrap();
        let faults = faults(&folder);
        assert_eq!(faults[0], "d.toml: is no file");
        assert!(faults.contains(&String::from("a.toml: id: unknown; the table has [[language]] entries only")));
        assert!(faults.contains(&String::from("c.toml: language[0].run: is missing")));
        let clash = "b.toml: language[0]: the name \"js\" is taken by the language \"javascript\"";
        assert_eq!(faults.last().unwrap(), clash);
    }

    #[test]
    fn a_directory_that_was_named_must_be_there() {
        let missing = tempfile::tempdir().unwrap().path().join("missing");
        let faults = load(&missing).unwrap_err().into_vec();
        assert_eq!(faults[0].field, "languages_dir");
        assert!(faults[0].message.contains("missing: No such file"), "{}", faults[0].message);
    }

    #[test]
    fn a_table_has_a_bound() {
        let long = format!("#{}", "x".repeat(1 << 20));
        assert_eq!(faults(&folder(&[("long.toml", &long)])), ["long.toml: has more than 1048576 bytes"]);
    }
}
