//! Where a daemon is.
use std::fmt;
use std::path::PathBuf;

use http::Uri;

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this host.
    Socket(PathBuf),
    /// On the network.
    Tcp {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
    },
}

/// Why a text names no daemon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// It wants encryption.
    #[error("{0}: https is not built yet: use http to a proxy on this host that encrypts, or the local socket")]
    Encrypted(String),
    /// It is something else.
    #[error("{0}: http://HOST:PORT or the absolute path of a socket is expected")]
    Unknown(String),
}

/// Where an `http` URL without a port leads (RFC 9110, section 4.2.1).
const HTTP_PORT: u16 = 80;

impl Place {
    /// Reads `http://HOST[:PORT]`, `unix:PATH` or an absolute path.
    ///
    /// # Errors
    /// Says what is expected.
    pub fn parse(text: &str) -> Result<Self, PlaceError> {
        let unknown = || PlaceError::Unknown(text.to_owned());
        let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or(text);
        if path.starts_with('/') {
            return Ok(Self::Socket(PathBuf::from(path)));
        }
        let uri: Uri = text.parse().map_err(|_invalid| unknown())?;
        if uri.scheme_str() == Some("https") {
            return Err(PlaceError::Encrypted(text.to_owned()));
        }
        let is_plain = uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none();
        let authority = uri.authority().filter(|it| is_plain && !it.as_str().contains('@')).ok_or_else(unknown)?;
        let host = authority.host();
        // What is no number of a port counts as absent there.
        let port = match authority.as_str().strip_prefix(host) {
            Some("") => HTTP_PORT,
            rest => rest.and_then(|rest| rest.strip_prefix(':')?.parse().ok()).ok_or_else(unknown)?,
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() { Err(unknown()) } else { Ok(Self::Tcp { host: host.to_owned(), port }) }
    }

    /// The value of the Host header.
    pub(super) fn host(&self) -> String {
        match self {
            Self::Socket(_) => String::from("localhost"),
            Self::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port } => format!("{host}:{port}"),
        }
    }

    /// Whether what is sent leaves this host, as far as the name tells.
    pub fn is_remote(&self) -> bool {
        match self {
            Self::Socket(_) => false,
            Self::Tcp { host, .. } => {
                let is_loopback = host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
                !is_loopback && host != "localhost"
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Tcp { .. } => write!(f, "http://{}", self.host()),
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        assert_eq!(Place::parse(text).map(|place| place.to_string()).as_deref(), Ok(shown), "{text}");
    }

    #[test]
    fn urls_and_paths_are_read() {
        check("http://127.0.0.1:8080", "http://127.0.0.1:8080");
        check("http://kiln.example", "http://kiln.example:80");
        check("http://[::1]:8080/", "http://[::1]:8080");
        check("/run/kiln/kiln.sock", "/run/kiln/kiln.sock");
        check("unix:/tmp/a", "/tmp/a");
        check("unix:///tmp/a", "/tmp/a");
    }

    #[test]
    fn what_would_send_elsewhere_or_in_vain_is_refused() {
        for text in ["", "kiln", "127.0.0.1:8080", "http://", "http://a/b", "http://a?b", "http://u:p@a", "ftp://a"] {
            assert!(matches!(Place::parse(text), Err(PlaceError::Unknown(_))), "{text}");
        }
        for text in ["http://a:99999", "http://a:", "http://a:b", "http://:80", "http://[::1]x"] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn https_is_refused_by_name() {
        let refused = Place::parse("https://127.0.0.1:8080").unwrap_err();
        assert!(refused.to_string().contains("https is not built yet"), "{refused}");
    }

    #[test]
    fn loopback_is_not_remote() {
        let is_remote = |text| Place::parse(text).unwrap().is_remote();
        assert!(!is_remote("/a") && !is_remote("http://[::1]:1") && !is_remote("http://localhost"));
        assert!(is_remote("http://10.0.0.1") && is_remote("http://kiln.example"));
    }
}
