//! The commands' way to a daemon: which one, with what credential, and how a failure ends the command.
use std::fs::File;
use std::future::Future;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::cli::answer::complain;
use crate::cli::exit::Exit;
use crate::cli::surroundings::Surroundings;
use crate::client::{Client, ClientError, Place};
use crate::config::names::{SERVER_VARIABLE, TOKEN_VARIABLE};
use crate::config::secret::Secret;
use crate::config::table;

/// A token has at most this many bytes; a file that is longer is none.
const TOKEN_AT_MOST: u64 = 16 * 1024;

/// Arguments of every command that asks a daemon.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct RemoteArguments {
    /// The daemon: http://HOST:PORT, or the path of its socket [default: that of `KILN_SERVER`, else the socket
    /// /run/kiln/kiln.sock]
    #[arg(long, value_name = "SERVER")]
    server: Option<String>,
    /// A file with the token to show [default: the variable `KILN_TOKEN`, else none]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Why a command that asks a daemon failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemoteError {
    /// The command line or a variable cannot be.
    #[error("{0}")]
    Usage(String),
    /// The daemon has no answer, or a refusal.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// Something of this host.
    #[error("{0}")]
    Host(String),
}

impl RemoteError {
    /// How a command ends that is not `kiln run`.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Host(_) => Exit::Internal,
            Self::Client(error) => match error {
                ClientError::MayNotConnect(_) => Exit::Denied,
                ClientError::Token => Exit::Usage,
                ClientError::NoSocket(_)
                | ClientError::NobodyAnswers(_)
                | ClientError::Unreachable(..)
                | ClientError::Late(_)
                | ClientError::Broken(..)
                | ClientError::NotKiln(..) => Exit::Unavailable,
                ClientError::Refused(refusal) => match refusal.status {
                    401 | 403 => Exit::Denied,
                    500.. => Exit::Unavailable,
                    _ => Exit::Refused,
                },
            },
        }
    }
}

impl RemoteArguments {
    /// The daemon that is meant. Nothing is connected yet.
    pub(super) fn client(&self, surroundings: &Surroundings) -> Result<Client, RemoteError> {
        let variable = |name: &str| surroundings.environment.get(name).filter(|value| !value.is_empty());
        let default = table::key("api.socket").map_or("", |key| key.default);
        let place = self.server.as_ref().or_else(|| variable(SERVER_VARIABLE)).map_or(default, String::as_str);
        let place = Place::parse(place).map_err(|error| RemoteError::Usage(error.to_string()))?;
        let token = match &self.token_file {
            Some(file) => Some(read_token(file)?),
            None => variable(TOKEN_VARIABLE).map(|token| Secret::new(token.trim().to_owned())),
        };
        if token.is_some() && place.is_remote() {
            let message = format!("warning: the token goes to {place} unencrypted: https is not built yet");
            complain(&message, Exit::Ok);
        }
        Ok(Client::new(place, token))
    }
}

fn read_token(file: &Path) -> Result<Secret, RemoteError> {
    let fault = |what: String| RemoteError::Usage(format!("--token-file {}: {what}", file.display()));
    let mut text = String::new();
    let opened = File::open(file).map_err(|error| fault(error.to_string()))?;
    opened.take(TOKEN_AT_MOST + 1).read_to_string(&mut text).map_err(|error| fault(error.to_string()))?;
    let token = text.trim();
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    if token.is_empty() || length > TOKEN_AT_MOST {
        return Err(fault(format!("holds no token: 1 to {TOKEN_AT_MOST} bytes are expected")));
    }
    Ok(Secret::new(token.to_owned()))
}

/// Runs what asks a daemon. What it leaves running in the background, like a write that nobody reads, is not waited for.
pub(super) fn asking<F>(work: F) -> Exit
where
    F: Future<Output = Result<Exit, RemoteError>>,
{
    waiting(work).unwrap_or_else(|error| complain(&error, error.exit()))
}

/// The same, for a command that has codes of its own for failures.
pub(super) fn waiting<T>(work: impl Future<Output = Result<T, RemoteError>>) -> Result<T, RemoteError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| RemoteError::Host(error.to_string()))?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::client::Refusal;

    fn refusal(status: u16) -> RemoteError {
        let (code, message, request_id) = (String::new(), String::new(), String::new());
        let (details, retry_after, is_local) = (Vec::new(), None, true);
        let refusal = Refusal { status, code, message, details, request_id, retry_after, is_local };
        RemoteError::Client(ClientError::Refused(Box::new(refusal)))
    }

    #[test]
    fn what_failed_decides_the_code() {
        let number = |error: &RemoteError| error.exit().number();
        assert_eq!([400, 404, 409, 413].map(|status| number(&refusal(status))), [1; 4]);
        assert_eq!([401, 403].map(|status| number(&refusal(status))), [77; 2]);
        assert_eq!([500, 503, 504].map(|status| number(&refusal(status))), [69; 3]);
        assert_eq!(number(&RemoteError::Client(ClientError::NoSocket(PathBuf::new()))), 69);
        assert_eq!(number(&RemoteError::Client(ClientError::MayNotConnect(PathBuf::new()))), 77);
        assert_eq!(number(&RemoteError::Usage(String::new())), 2);
    }

    #[test]
    fn argument_variable_and_default_name_the_daemon_in_this_order() {
        let place = |server: Option<&str>, variable: &str| {
            let arguments = RemoteArguments { server: server.map(str::to_owned), token_file: None };
            let environment = [(String::from("KILN_SERVER"), variable.to_owned())].into_iter().collect();
            let surroundings = Surroundings { environment, executable: PathBuf::new() };
            format!("{:?}", arguments.client(&surroundings).unwrap())
        };
        assert!(place(Some("/a"), "/b").contains("\"/a\""));
        assert!(place(None, "/b").contains("\"/b\""));
        assert!(place(None, "").contains("\"/run/kiln/kiln.sock\""));
    }

    #[test]
    fn a_token_is_read_from_a_file_and_not_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(read_token(file.path()).is_err());
        std::io::Write::write_all(&mut file.as_file(), b"kiln_abc\n").unwrap();
        let token = read_token(file.path()).unwrap();
        assert_eq!(token.reveal(), "kiln_abc");
        assert_eq!(format!("{token:?}"), "(secret)");
    }
}
