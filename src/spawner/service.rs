//! The spawner as a unit of its own: the service manager hands it a socket that listens.
//!
//! ```text
//! prepare ─► ready ─► wait for the server ─► serve it ─► end every sandbox, and itself
//! ```
//!
//! One process serves one server, so that no server finds anything of another. The manager keeps the socket: a server
//! that connects meanwhile waits, and a new spawner is started for it.
//!
//! The server must be the owner of the socket's file. The mode of the file lets nobody else but root in, and root is
//! turned away.
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;

use super::life::Life;
use crate::base::id::InstanceId;
use crate::base::time::instant;
use crate::sys::{peer, socket};

/// The socket on which servers connect.
#[derive(Debug)]
pub(super) struct Listener {
    socket: OwnedFd,
    path: PathBuf,
    /// Who the server runs as.
    owner: u32,
}

impl Listener {
    /// # Errors
    /// When it listens at no path, or its file is root's.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        let path = socket::path_of(&socket)?;
        let owner = std::fs::symlink_metadata(&path)?.uid();
        if owner == 0 {
            let what = format!("{} belongs to root: give it to the server's user (SocketUser=)", path.display());
            return Err(io::Error::other(what));
        }
        Ok(Self { socket, path, owner })
    }

    /// The instance that this socket stands for.
    pub(super) fn instance(&self) -> InstanceId {
        instance_of(&self.path)
    }

    /// The first server that connects; nothing when SIGTERM came before.
    pub(super) fn wait(&self, signals: &SignalFd, life: &mut Life) -> io::Result<Option<OwnedFd>> {
        loop {
            let now = instant();
            life.turn(now);
            let left = life.deadline().map(|deadline| deadline.saturating_duration_since(now));
            // Rounded up, so that the time has come when the wait is over.
            let timeout = left.map_or(Ok(PollTimeout::NONE), |left| PollTimeout::try_from(left.as_millis() + 1));
            let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN), signalled(signals)];
            match poll(&mut ready, timeout.unwrap_or(PollTimeout::MAX)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            if signals.read_signal()?.is_some() {
                return Ok(None);
            }
            if let Some(server) = socket::accept(self.socket.as_fd())?
                && self.admits(&server)?
            {
                return Ok(Some(server));
            }
        }
    }

    /// Nobody will be served: whoever waits learns of it now, and is not the reason to start the next spawner at once.
    pub(super) fn turn_away(&self) {
        while let Ok(Some(waiting)) = socket::accept(self.socket.as_fd()) {
            drop(waiting);
        }
    }

    fn admits(&self, server: &OwnedFd) -> io::Result<bool> {
        let peer = peer::of(server)?;
        if peer.uid != self.owner {
            tracing::warn!(uid = peer.uid, server = self.owner, "somebody who is not the server was turned away");
        }
        Ok(peer.uid == self.owner)
    }
}

fn signalled(signals: &SignalFd) -> PollFd<'_> {
    PollFd::new(signals.as_fd(), PollFlags::POLLIN)
}

/// The same for the same path, and another for another, so that two units of one host do not meet: FNV-1a.
fn instance_of(path: &Path) -> InstanceId {
    let bytes = path.as_os_str().as_encoded_bytes();
    let mixed = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    InstanceId(bytes.iter().fold(0xcbf2_9ce4_8422_2325, mixed))
}

#[cfg(test)]
mod test {
    use std::time::Duration;

    use nix::sys::signal::SigSet;
    use nix::sys::signalfd::SfdFlags;

    use super::*;

    fn listening(folder: &Path) -> OwnedFd {
        socket::listen(&folder.join("spawner.sock")).unwrap()
    }

    fn no_signals() -> SignalFd {
        SignalFd::with_flags(&SigSet::empty(), SfdFlags::SFD_NONBLOCK).unwrap()
    }

    #[test]
    fn each_path_has_an_instance_of_its_own() {
        // The published value of FNV-1a for these two letters.
        assert_eq!(instance_of(Path::new("a")), InstanceId(0xaf63_dc4c_8601_ec8c));
        assert_ne!(instance_of(Path::new("/run/a/s")), instance_of(Path::new("/run/b/s")));
    }

    #[test]
    fn the_owner_of_the_socket_is_served_and_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spawner.sock");
        let own = nix::unistd::geteuid().as_raw();
        let socket = listening(folder.path());
        let mut listener = Listener { socket, path: path.clone(), owner: own + 1 };
        let _turned_away = socket::connect(&path).unwrap();
        let accepted = socket::accept(listener.socket.as_fd()).unwrap().unwrap();
        assert!(!listener.admits(&accepted).unwrap());
        listener.owner = own;
        let _server = socket::connect(&path).unwrap();
        let mut life = Life::new(None, instant());
        assert!(listener.wait(&no_signals(), &mut life).unwrap().is_some());
    }

    #[test]
    fn who_waits_for_a_spawner_that_cannot_start_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spawner.sock");
        let (socket, owner) = (listening(folder.path()), nix::unistd::geteuid().as_raw());
        let listener = Listener { socket, path: path.clone(), owner };
        let waiting = socket::connect(&path).unwrap();
        listener.turn_away();
        let told = socket::receive::<1>(waiting.as_fd(), &mut [0; 8]).unwrap();
        assert!(matches!(told, socket::Received::Closed), "{told:?}");
    }

    #[test]
    fn a_socket_of_roots_is_not_served() {
        let folder = tempfile::tempdir().unwrap();
        let found = Listener::new(listening(folder.path()));
        let is_root = nix::unistd::geteuid().is_root();
        assert_eq!(found.is_err(), is_root, "{found:?}");
        let (pair, _other) = socket::pair().unwrap();
        assert!(Listener::new(pair).is_err());
    }

    #[test]
    fn who_waits_for_a_server_still_gives_signs_of_life() {
        let folder = tempfile::tempdir().unwrap();
        let notify = folder.path().join("notify");
        let supervisor = std::os::unix::net::UnixDatagram::bind(&notify).unwrap();
        let variable = |name: &str| match name {
            "NOTIFY_SOCKET" => Some(notify.display().to_string()),
            "WATCHDOG_USEC" => Some(String::from("3000")),
            _ => None,
        };
        let mut life = Life::new(crate::sys::supervisor::Supervisor::find(7, &variable).unwrap(), instant());
        let path = folder.path().join("spawner.sock");
        let socket = listening(folder.path());
        let listener = Listener { socket, path: path.clone(), owner: nix::unistd::geteuid().as_raw() };
        let server = std::thread::Builder::new().spawn(move || {
            let mut text = [0; 64];
            supervisor.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
            let length = supervisor.recv(&mut text).unwrap();
            let connected = socket::connect(&path).unwrap();
            (String::from_utf8_lossy(&text[..length]).into_owned(), connected)
        });
        assert!(listener.wait(&no_signals(), &mut life).unwrap().is_some());
        assert_eq!(server.unwrap().join().unwrap().0, "WATCHDOG=1");
    }
}
