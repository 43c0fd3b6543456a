//! The daemon as a unit of a service manager: what it was handed, and what it tells.
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::store::{Store, StoreError};
use crate::sys::supervisor::{self, State, Supervisor};

/// So many signs of life fit into the time that the watchdog gives.
const SIGNS: u32 = 3;

/// What the service manager gave to this process; all of it is absent where none started it.
#[derive(Debug)]
pub struct Service {
    supervisor: Option<Supervisor>,
    /// The local socket, listening.
    pub(super) socket: Option<OwnedFd>,
}

impl Service {
    /// What the variables of this process say.
    ///
    /// # Errors
    /// When they make no sense.
    pub fn find(variable: &dyn Fn(&str) -> Option<String>) -> io::Result<Self> {
        let own = std::process::id();
        let socket = supervisor::handed_over(own, variable)?;
        Ok(Self { supervisor: Supervisor::find(own, variable)?, socket })
    }

    /// Where the manager is told.
    pub(super) fn telling(&self) -> Telling {
        Telling(self.supervisor.clone())
    }
}

/// Tells the manager, where there is one.
#[derive(Clone, Debug)]
pub(super) struct Telling(Option<Supervisor>);

impl Telling {
    /// Requests are answered.
    pub(super) fn ready(&self) {
        self.tell(State::Ready);
    }

    /// The daemon stops.
    pub(super) fn stopping(&self) {
        self.tell(State::Stopping);
    }

    /// Says that all is well as long as the runtime turns and the store makes durable what is written.
    pub(super) fn live(&self, store: Arc<Store>) {
        let Some(time) = self.0.as_ref().and_then(Supervisor::watchdog) else { return };
        let telling = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(time / SIGNS).await;
                match is_writable(&store, time).await {
                    Ok(()) => telling.tell(State::Alive),
                    Err(error) => tracing::error!(%error, "no sign of life for the service manager's watchdog"),
                }
            }
        });
    }

    fn tell(&self, state: State) {
        if let Some(Err(error)) = self.0.as_ref().map(|supervisor| supervisor.tell(state)) {
            tracing::warn!(%error, ?state, "the service manager could not be told");
        }
    }
}

/// A disk that does not answer is none that can be written.
async fn is_writable(store: &Store, within: Duration) -> Result<(), StoreError> {
    let late = |_late| StoreError::Failed { message: String::from("the disk does not answer") };
    tokio::time::timeout(within, store.commit()).await.map_err(late)?
}

#[cfg(test)]
mod test {
    use tokio::net::UnixDatagram;

    use super::*;
    use crate::base::time::SystemClock;

    async fn heard(socket: &UnixDatagram) -> String {
        let mut text = [0; 64];
        let received = tokio::time::timeout(Duration::from_mins(1), socket.recv(&mut text));
        let length = received.await.unwrap().unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    }

    #[tokio::test]
    async fn a_daemon_that_can_write_gives_signs_of_life() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let variable = |name: &str| match name {
            "NOTIFY_SOCKET" => Some(path.display().to_string()),
            "WATCHDOG_USEC" => Some(String::from("3000")),
            _ => None,
        };
        let service = Service::find(&variable).unwrap();
        assert!(service.socket.is_none());
        let telling = service.telling();
        telling.ready();
        assert_eq!(heard(&socket).await, "READY=1");
        telling.live(Arc::new(Store::open(&folder.path().join("db"), Arc::new(SystemClock)).unwrap()));
        assert_eq!(heard(&socket).await, "WATCHDOG=1");
        assert_eq!(heard(&socket).await, "WATCHDOG=1");
    }

    #[tokio::test]
    async fn without_a_manager_nothing_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let service = Service::find(&|_| None).unwrap();
        service.telling().stopping();
        service.telling().live(Arc::new(Store::open(&folder.path().join("db"), Arc::new(SystemClock)).unwrap()));
    }
}
