//! The id of this installation, kept in its data directory.
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::base::id::InstanceId;

const FILE: &str = "instance";

/// The id in the data directory; made at the first start.
///
/// # Errors
/// When the file cannot be read or written, or holds something else.
pub(super) fn load_or_make(data: &Path) -> io::Result<InstanceId> {
    let path = data.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|fault| {
            io::Error::other(format!("{}: {fault}; remove the file if no kiln runs on this directory", path.display()))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(data, &path),
        Err(error) => Err(io::Error::other(format!("{}: {error}", path.display()))),
    }
}

/// Written whole or not at all: a start that was cut off leaves only a file that the next one replaces.
fn make(data: &Path, path: &Path) -> io::Result<InstanceId> {
    let instance = InstanceId::random();
    let unfinished = data.join("instance.new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _absent => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&unfinished)?;
    writeln!(file, "{instance}")?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    fs::File::open(data)?.sync_all()?;
    Ok(instance)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn an_installation_keeps_its_id() {
        let data = tempfile::tempdir().unwrap();
        let first = load_or_make(data.path()).unwrap();
        assert_eq!(load_or_make(data.path()).unwrap(), first);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(load_or_make(other.path()).unwrap(), first);
    }

    #[test]
    fn a_start_that_was_cut_off_does_not_matter() {
        let data = tempfile::tempdir().unwrap();
        let mut half = fs::File::create(data.path().join("instance.new")).unwrap();
        half.write_all(b"12").unwrap();
        assert!(load_or_make(data.path()).is_ok());
    }

    #[test]
    fn what_is_no_id_is_named() {
        let data = tempfile::tempdir().unwrap();
        fs::File::create(data.path().join(FILE)).unwrap().write_all(b"nonsense").unwrap();
        assert!(load_or_make(data.path()).unwrap_err().to_string().contains("instance"));
    }
}
