//! What the service manager hears of the spawner, where one wants to hear anything.
//!
//! The loop says that it is alive each time it has turned, often enough for the manager's watchdog: a loop that hangs
//! says nothing, and is ended and started anew.
use std::time::Duration;

use crate::base::time::Instant;
use crate::sys::supervisor::{State, Supervisor};

/// So many signs of life fit into the time that the watchdog gives.
const SIGNS: u32 = 3;

/// The manager, and when it hears of us next.
#[derive(Debug)]
pub(super) struct Life {
    supervisor: Option<Supervisor>,
    /// The pause between two signs, and when the next is due.
    signs: Option<(Duration, Instant)>,
}

impl Life {
    /// Nobody wants to hear anything where there is no manager.
    pub(super) fn new(supervisor: Option<Supervisor>, now: Instant) -> Self {
        let pause = supervisor.as_ref().and_then(Supervisor::watchdog).map(|time| time / SIGNS);
        Self { supervisor, signs: pause.map(|pause| (pause, now + pause)) }
    }

    /// When the next sign is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.signs.map(|(_, due)| due)
    }

    /// Gives a sign where one is due.
    pub(super) fn turn(&mut self, now: Instant) {
        if let Some((pause, due)) = self.signs
            && due <= now
        {
            self.signs = Some((pause, now + pause));
            self.tell(State::Alive);
        }
    }

    /// The start is done.
    pub(super) fn ready(&self) {
        self.tell(State::Ready);
    }

    /// The end has begun. No sign is expected any more.
    pub(super) fn stopping(&mut self) {
        self.signs = None;
        self.tell(State::Stopping);
    }

    /// A manager that does not hear loses patience by itself.
    fn tell(&self, state: State) {
        if let Some(Err(error)) = self.supervisor.as_ref().map(|supervisor| supervisor.tell(state)) {
            tracing::warn!(%error, ?state, "the service manager could not be told");
        }
    }
}

#[cfg(test)]
mod test {
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::base::time::instant;

    #[test]
    fn a_sign_is_given_when_it_is_due_and_none_after_the_end_has_begun() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let variable = |name: &str| match name {
            "NOTIFY_SOCKET" => Some(path.display().to_string()),
            "WATCHDOG_USEC" => Some(String::from("3000000")),
            _ => None,
        };
        let heard = || {
            let mut text = [0; 64];
            socket.recv(&mut text).ok().map(|length| String::from_utf8_lossy(&text[..length]).into_owned())
        };
        let (begin, second) = (instant(), Duration::from_secs(1));
        let mut life = Life::new(Supervisor::find(7, &variable).unwrap(), begin);
        assert_eq!(life.deadline(), Some(begin + second));
        life.turn(begin);
        assert_eq!(heard(), None);
        life.turn(begin + 2 * second);
        assert_eq!((heard().as_deref(), heard()), (Some("WATCHDOG=1"), None));
        assert_eq!(life.deadline(), Some(begin + 3 * second));
        life.stopping();
        assert_eq!(heard().as_deref(), Some("STOPPING=1"));
        life.turn(begin + 9 * second);
        assert_eq!((heard(), life.deadline()), (None, None));
    }

    #[test]
    fn without_a_manager_nothing_is_due() {
        let mut life = Life::new(None, instant());
        life.turn(instant());
        assert_eq!(life.deadline(), None);
    }
}
