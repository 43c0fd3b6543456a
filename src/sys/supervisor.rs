//! The service manager that started this process: what it handed over, and how it is told of us
//! (`sd_notify(3)`, `sd_listen_fds(3)`, `sd_watchdog_enabled(3)`).
//!
//! Both protocols are a variable and a datagram, so that no library of systemd's is linked.
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::sys::socket;

/// The first descriptor that is handed over.
const FIRST: RawFd = 3;

/// The way to the service manager.
#[derive(Clone, Debug)]
pub struct Supervisor {
    address: SocketAddr,
    watchdog: Option<Duration>,
}

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The start is done.
    Ready,
    /// The end has begun.
    Stopping,
    /// All is well: due again within [`Supervisor::watchdog`].
    Alive,
}

impl State {
    const fn text(self) -> &'static str {
        match self {
            Self::Ready => "READY=1",
            Self::Stopping => "STOPPING=1",
            Self::Alive => "WATCHDOG=1",
        }
    }
}

impl Supervisor {
    /// The manager that wants to be told, by the variables of process `own`.
    ///
    /// # Errors
    /// When a variable is there and makes no sense.
    pub fn find(own: u32, variable: &dyn Fn(&str) -> Option<String>) -> io::Result<Option<Self>> {
        let Some(place) = variable("NOTIFY_SOCKET") else { return Ok(None) };
        let address = match place.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&place),
        };
        let address = address.map_err(|error| io::Error::other(format!("NOTIFY_SOCKET {place}: {error}")))?;
        Ok(Some(Self { address, watchdog: watchdog(own, variable)? }))
    }

    /// How long may pass between two [`State::Alive`], where anybody waits for them.
    pub const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Tells it, without waiting.
    ///
    /// # Errors
    /// What the socket says.
    pub fn tell(&self, state: State) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.send_to_addr(state.text().as_bytes(), &self.address).map(drop)
    }
}

fn watchdog(own: u32, variable: &dyn Fn(&str) -> Option<String>) -> io::Result<Option<Duration>> {
    let is_for_us = |pid: Option<String>| pid.is_none_or(|pid| pid == own.to_string());
    let Some(text) = variable("WATCHDOG_USEC").filter(|_| is_for_us(variable("WATCHDOG_PID"))) else { return Ok(None) };
    let microseconds = text.parse().map_err(|fault| io::Error::other(format!("WATCHDOG_USEC {text}: {fault}")))?;
    Ok(Some(Duration::from_micros(microseconds)).filter(|time| !time.is_zero()))
}

/// The one descriptor that was handed over to process `own`, where one was.
///
/// # Errors
/// When it is none, or more than one was.
pub fn handed_over(own: u32, variable: &dyn Fn(&str) -> Option<String>) -> io::Result<Option<OwnedFd>> {
    if variable("LISTEN_PID").is_none_or(|pid| pid != own.to_string()) {
        return Ok(None);
    }
    match variable("LISTEN_FDS").as_deref() {
        None | Some("0") => Ok(None),
        Some("1") => socket::inherited(FIRST).map(Some),
        Some(other) => Err(io::Error::other(format!("LISTEN_FDS is {other}, one socket is expected"))),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    type Variables<'a> = &'a [(&'a str, &'a str)];

    fn find(variables: Variables<'_>) -> io::Result<Option<Supervisor>> {
        Supervisor::find(7, &|name| value(variables, name))
    }

    fn value(variables: Variables<'_>, name: &str) -> Option<String> {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut text = [0; 64];
        let length = socket.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    }

    #[test]
    fn who_was_started_by_nobody_in_particular_tells_nobody() {
        assert!(find(&[]).unwrap().is_none());
        assert!(find(&[("WATCHDOG_USEC", "5")]).unwrap().is_none());
    }

    #[test]
    fn a_manager_hears_each_state_at_a_path_and_at_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("kiln-test-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
        let sockets = [
            (path.to_str().unwrap().to_owned(), UnixDatagram::bind(&path).unwrap()),
            (format!("@{name}"), UnixDatagram::bind_addr(&abstract_address).unwrap()),
        ];
        for (place, socket) in sockets {
            let supervisor = find(&[("NOTIFY_SOCKET", &place)]).unwrap().unwrap();
            for (state, text) in
                [(State::Ready, "READY=1"), (State::Stopping, "STOPPING=1"), (State::Alive, "WATCHDOG=1")]
            {
                supervisor.tell(state).unwrap();
                assert_eq!(heard(&socket), text);
            }
        }
    }

    #[test]
    fn the_watchdog_is_that_of_this_process() {
        let with = |more: Variables<'_>| find(&[&[("NOTIFY_SOCKET", "/n")], more].concat());
        let time = |more: Variables<'_>| with(more).unwrap().unwrap().watchdog();
        assert_eq!(time(&[]), None);
        assert_eq!(time(&[("WATCHDOG_USEC", "3000000")]), Some(Duration::from_secs(3)));
        assert_eq!(time(&[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "7")]), Some(Duration::from_secs(3)));
        assert_eq!(time(&[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "8")]), None);
        assert_eq!(time(&[("WATCHDOG_USEC", "0")]), None);
        assert!(with(&[("WATCHDOG_USEC", "soon")]).unwrap_err().to_string().contains("WATCHDOG_USEC soon"));
    }

    #[test]
    fn descriptors_for_another_process_and_more_than_one_are_not_taken() {
        let take = |variables: Variables<'_>| handed_over(7, &|name| value(variables, name));
        assert!(take(&[]).unwrap().is_none());
        assert!(take(&[("LISTEN_PID", "8"), ("LISTEN_FDS", "1")]).unwrap().is_none());
        assert!(take(&[("LISTEN_PID", "7"), ("LISTEN_FDS", "0")]).unwrap().is_none());
        assert!(take(&[("LISTEN_PID", "7"), ("LISTEN_FDS", "2")]).is_err());
    }
}
