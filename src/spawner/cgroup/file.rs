//! The small files of cgroupfs.
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;
use std::{fs, io, thread};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The whole number that the file consists of.
pub(super) fn number(folder: &Path, name: &str) -> io::Result<u64> {
    text(folder, name)?.trim().parse().map_err(|fault| about(folder, name, format_args!("is no number: {fault}")))
}

/// The number after `key` in a file of lines `key number`.
pub(super) fn keyed(folder: &Path, name: &str, key: &str) -> io::Result<u64> {
    find(&text(folder, name)?, key).ok_or_else(|| about(folder, name, format_args!("has no line {key}")))
}

/// The whole text of an open file, as it is now.
pub(super) fn text_of(file: &File) -> io::Result<String> {
    let (mut text, mut part) = (Vec::new(), [0; 512]);
    loop {
        let offset = u64::try_from(text.len()).map_err(io::Error::other)?;
        match file.read_at(&mut part, offset)? {
            0 => return String::from_utf8(text).map_err(io::Error::other),
            count => text.extend_from_slice(part.get(..count).unwrap_or_default()),
        }
    }
}

/// The whole number that an open file consists of.
pub(super) fn number_of(file: &File) -> io::Result<u64> {
    let mut text = [0; 32];
    let count = file.read_at(&mut text, 0)?;
    let text = str::from_utf8(text.get(..count).unwrap_or_default()).map_err(io::Error::other)?;
    text.trim().parse().map_err(|fault| io::Error::other(format!("{text:?} is no number: {fault}")))
}

/// The number after `key` in lines `key number`.
pub(super) fn keyed_in(text: &str, key: &str) -> io::Result<u64> {
    find(text, key).ok_or_else(|| io::Error::other(format!("no line {key}")))
}

fn find(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The text of the file.
pub(super) fn text(folder: &Path, name: &str) -> io::Result<String> {
    fs::read_to_string(folder.join(name)).map_err(|error| about(folder, name, format_args!("cannot be read: {error}")))
}

/// Writes to the file, in one write(2).
#[expect(clippy::disallowed_methods, reason = "a kernel file: one write is one command")]
pub(super) fn write(folder: &Path, name: &str, value: &str) -> io::Result<()> {
    fs::write(folder.join(name), value)
        .map_err(|error| about(folder, name, format_args!("does not take {value:?}: {error}")))
}

/// Fails unless the file says what was asked for.
pub(super) fn expect(folder: &Path, name: &str, wanted: u64) -> io::Result<()> {
    match number(folder, name)? {
        found if found == wanted => Ok(()),
        found => Err(about(folder, name, format_args!("is {found} although {wanted} was set"))),
    }
}

/// An error that names the file.
pub(super) fn about(folder: &Path, name: &str, what: std::fmt::Arguments<'_>) -> io::Error {
    io::Error::other(format!("{}: {what}", folder.join(name).display()))
}

/// Makes a directory; one that is there already is fine.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(about(folder, "", format_args!("cannot be made: {error}")))
        }
        _made => Ok(()),
    }
}

/// Removes a group; one that is gone already is fine.
pub(super) fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _gone => Ok(()),
    }
}

/// How long a killed process may take to leave its group at start-up.
const SWEEP_PAUSE: Duration = Duration::from_millis(5);
const SWEEP_TRIES: u32 = 2000;

/// Kills everything in the groups below `folder` and removes them. Only at start: nobody waits yet.
pub(super) fn sweep(folder: &Path) -> io::Result<()> {
    for _ in 0..SWEEP_TRIES {
        let mut left = false;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                kill_all(&entry.path())?;
                left |= remove_folder(&entry.path()).is_err();
            }
        }
        if !left {
            return Ok(());
        }
        thread::sleep(SWEEP_PAUSE);
    }
    Err(about(folder, "", format_args!("still has processes of an earlier spawner that do not end")))
}

fn kill_all(folder: &Path) -> io::Result<()> {
    for line in text(folder, "cgroup.procs")?.lines() {
        let pid = line.parse().map_err(io::Error::other)?;
        match kill(Pid::from_raw(pid), Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_key_is_found_whole() {
        let text = "oom 1\noom_kill 2\nmax 3\n";
        assert_eq!(find(text, "oom"), Some(1));
        assert_eq!(find(text, "oom_kill"), Some(2));
        assert_eq!(find(text, "kill"), None);
    }
}
