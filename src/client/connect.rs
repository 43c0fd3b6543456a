//! Makes a connection.
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::client::{ClientError, Place};

/// For a connection to be made.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects, and begins to speak HTTP/1.1.
pub(super) async fn connect(place: &Place) -> Result<SendRequest<Full<Bytes>>, ClientError> {
    let late = |_elapsed| ClientError::Late(place.clone());
    match place {
        Place::Socket(path) => {
            let connected = tokio::time::timeout(PATIENCE, UnixStream::connect(path)).await.map_err(late)?;
            begin(place, connected.map_err(|error| no_socket(path, &error))?).await
        }
        Place::Tcp { host, port } => {
            let connecting = TcpStream::connect((host.as_str(), *port));
            let connected = tokio::time::timeout(PATIENCE, connecting).await.map_err(late)?;
            let stream = connected.map_err(|error| unreachable(place, &error))?;
            stream.set_nodelay(true).map_err(|error| unreachable(place, &error))?;
            begin(place, stream).await
        }
    }
}

/// The task of the connection ends with it.
async fn begin(
    place: &Place,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Full<Bytes>>, ClientError> {
    let (sender, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|error| ClientError::broken(place, error))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection broke off");
        }
    });
    Ok(sender)
}

fn no_socket(path: &Path, error: &io::Error) -> ClientError {
    let path = path.to_path_buf();
    if error.kind() == io::ErrorKind::NotFound {
        return ClientError::NoSocket(path);
    }
    if error.kind() == io::ErrorKind::PermissionDenied {
        return ClientError::MayNotConnect(path);
    }
    unreachable(&Place::Socket(path), error)
}

fn unreachable(place: &Place, error: &io::Error) -> ClientError {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return ClientError::NobodyAnswers(place.clone());
    }
    ClientError::Unreachable(place.clone(), error.to_string())
}
