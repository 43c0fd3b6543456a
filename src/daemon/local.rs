//! The local socket: bound by root, in a folder of root's, before every privilege is dropped.
//!
//! One daemon has it: who holds the lock beside it. What a killed daemon left is replaced; a socket
//! that somebody answers on, and anything that is no socket, is not. It is not removed at the end,
//! because the server may no longer write there; a client then finds that nobody answers.
//! Not here: who may come in (`api::peer`).
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::{Group, Uid};

use crate::api::peer::Admission;
use crate::api::serve::Door;

/// Whoever connects is asked who they are: the mode keeps nobody out, so that everybody gets an answer.
const SOCKET_MODE: u32 = 0o666;

/// The socket, listening.
#[derive(Debug)]
pub(super) struct LocalSocket {
    listener: UnixListener,
    admission: Admission,
    /// Held as long as the socket is served. The service manager's own sockets need none: it hands each to one process.
    lock: Option<Flock<File>>,
}

impl LocalSocket {
    /// Listens at `path`, whose folder belongs to `owner`; members of `group` may come in.
    ///
    /// # Errors
    /// Names the path, and says what to do.
    pub(super) fn bind(path: &Path, owner: Uid, group: &str) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
        let folder = path.parent().filter(|_| path.file_name().is_some());
        let folder = folder.ok_or_else(|| named(io::Error::other("is no path of a socket")))?;
        make_folder(folder, owner)?;
        let lock = lock(path).map_err(named)?;
        remove_stale(path).map_err(named)?;
        let listener = UnixListener::bind(path).map_err(named)?;
        fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE)).map_err(named)?;
        listener.set_nonblocking(true).map_err(named)?;
        Ok(Self { listener, admission: admission(group)?, lock: Some(lock) })
    }

    /// The socket that the service manager made, which must be at `path`.
    ///
    /// # Errors
    /// Says what to do where it is another.
    pub(super) fn given(socket: OwnedFd, path: Option<&Path>, group: &str) -> io::Result<Self> {
        let listener = UnixListener::from(socket);
        let found = listener.local_addr()?;
        if path.is_none() || found.as_pathname() != path {
            let found = found.as_pathname().unwrap_or(Path::new("no path"));
            let what = "but the service manager listens at";
            let to_do = "change one of them: `systemctl edit kiln.socket`, or `systemctl mask kiln.socket` for null";
            let path = path.map_or_else(|| String::from("null"), |path| path.display().to_string());
            return Err(io::Error::other(format!("is {path}, {what} {}; {to_do}", found.display())));
        }
        listener.set_nonblocking(true)?;
        Ok(Self { listener, admission: admission(group)?, lock: None })
    }

    /// For the server, with the lock to keep meanwhile.
    ///
    /// # Errors
    /// When the runtime does not take it.
    pub(super) fn into_door(self) -> io::Result<(Door, Option<Flock<File>>)> {
        let listener = tokio::net::UnixListener::from_std(self.listener)?;
        Ok((Door::Local(listener, self.admission), self.lock))
    }
}

fn admission(group: &str) -> io::Result<Admission> {
    let found = Group::from_name(group)?.map(|group| group.gid.as_raw());
    Ok(Admission { name: group.to_owned(), group: found })
}

/// Root makes and removes files here, so that nobody else may put anything there.
fn make_folder(folder: &Path, owner: Uid) -> io::Result<()> {
    let named = |error: io::Error| io::Error::other(format!("{}: {error}", folder.display()));
    match DirBuilder::new().mode(0o755).create(folder) {
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(0o755)).map_err(named)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(named(error)),
    }
    let found = fs::symlink_metadata(folder).map_err(named)?;
    if found.is_dir() && found.uid() == owner.as_raw() && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(named(io::Error::other("must be a directory of root's, no link, that nobody else may write to")))
}

/// The file is never removed: a lock on a removed file would hold nothing.
fn lock(path: &Path) -> io::Result<Flock<File>> {
    let file: PathBuf = path.with_added_extension("lock");
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags.bits());
    match Flock::lock(options.open(file)?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_file, Errno::EWOULDBLOCK)) => Err(taken()),
        Err((_file, errno)) => Err(errno.into()),
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::other("is there already and no socket; remove it or set another path"));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Ok(_) => Err(taken()),
        Err(error) => Err(error),
    }
}

fn taken() -> io::Error {
    io::Error::other("is served by another kiln; set another path, or null for none")
}

#[cfg(test)]
mod test {
    use nix::unistd::geteuid;

    use super::*;

    fn bind(path: &Path) -> Result<LocalSocket, String> {
        LocalSocket::bind(path, geteuid(), "no-such-group").map_err(|error| error.to_string())
    }

    fn folder() -> tempfile::TempDir {
        tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap()
    }

    #[test]
    fn a_socket_that_is_served_is_not_taken_over() {
        let folder = folder();
        let path = folder.path().join("kiln.sock");
        let first = bind(&path).unwrap();
        assert!(bind(&path).unwrap_err().contains("is served by another kiln"));
        assert!(UnixStream::connect(&path).is_ok());
        drop(first);
    }

    #[test]
    fn one_that_answers_without_a_lock_is_not_taken_over_either() {
        let folder = folder();
        let path = folder.path().join("kiln.sock");
        let _other = UnixListener::bind(&path).unwrap();
        assert!(bind(&path).unwrap_err().contains("is served by another kiln"));
    }

    #[test]
    fn what_a_killed_daemon_left_is_replaced() {
        let folder = folder();
        let path = folder.path().join("kiln.sock");
        drop(bind(&path).unwrap());
        assert!(path.exists());
        let _again = bind(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, SOCKET_MODE);
    }

    #[test]
    fn a_socket_of_the_service_manager_is_taken_where_the_setting_agrees() {
        let folder = folder();
        let path = folder.path().join("kiln.sock");
        let given = |setting: Option<&Path>| {
            let listener = UnixListener::bind(&path).unwrap();
            let taken =
                LocalSocket::given(listener.into(), setting, "no-such-group").map_err(|error| error.to_string());
            fs::remove_file(&path).unwrap();
            taken
        };
        assert!(given(Some(&path)).is_ok());
        for other in [None, Some(Path::new("/run/other.sock"))] {
            assert!(given(other).unwrap_err().contains("systemctl edit kiln.socket"));
        }
    }

    #[test]
    fn what_is_no_socket_stays() {
        let folder = folder();
        let path = folder.path().join("kiln.sock");
        File::create(&path).unwrap();
        assert!(bind(&path).unwrap_err().contains("no socket"));
        assert!(path.is_file());
    }

    #[test]
    fn a_folder_that_others_may_change_is_not_used() {
        let folder = folder();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(bind(&folder.path().join("kiln.sock")).unwrap_err().contains("nobody else may write"));
        let new = folder.path().join("new");
        assert!(bind(&new.join("kiln.sock")).is_ok());
        assert_eq!(fs::metadata(&new).unwrap().mode() & 0o777, 0o755);
    }
}
