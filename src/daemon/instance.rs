//! The id of this installation, kept in its data directory.
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

use crate::base::id::InstanceId;

const FILE: &str = "instance";

/// More than an id and a line end are long.
const LONGEST: u64 = 64;

/// The id in the data directory; made at the first start.
///
/// # Errors
/// When the file cannot be read or written, or holds something else.
pub(super) fn load_or_make(data: &Path) -> io::Result<InstanceId> {
    let path = data.join(FILE);
    let named = |error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
    match read(&path) {
        Ok(text) => text.trim().parse().map_err(|fault| {
            io::Error::other(format!("{}: {fault}; remove the file if no kiln runs on this directory", path.display()))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(data, &path).map_err(named),
        Err(error) => Err(named(error)),
    }
}

/// Root reads it in a directory of the service user's: no link is followed, nothing is waited for, little is read.
fn read(path: &Path) -> io::Result<String> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("is no regular file"));
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
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

    #[test]
    fn nothing_but_a_file_of_its_own_is_read() {
        let data = tempfile::tempdir().unwrap();
        let (path, other) = (data.path().join(FILE), data.path().join("other"));
        load_or_make(data.path()).unwrap();
        fs::rename(&path, &other).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(load_or_make(data.path()).is_err());
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        assert!(load_or_make(data.path()).is_err());
    }
}
