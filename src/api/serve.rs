//! The connection server: HTTP/1.1 over TCP, and over a local socket.
//!
//! Every connection has a place, a time for its headers and an end: [`serve`] returns when all are
//! closed or the time for that is over. Instead of poem's own server, which spins when accept
//! fails and waits for headers for ever. Not here: TLS, HTTP/2 (it comes with TLS and ALPN; told
//! apart by its first bytes it would wait for them without a time).
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::peer::{Admission, TurnedAway};
use crate::sys::peer;

/// Pause after an accept that failed: the usual reason is that no descriptor is left (accept(2)).
const AFTER_A_FAILURE: Duration = Duration::from_millis(50);
/// Connections of those who are turned away: they take no place of those who are not.
const TURNED_AWAY_AT_MOST: usize = 16;
/// Header fields that are read; the API itself answers 431 to fewer. Beyond these, and beyond the longest
/// URI of 65534 bytes, hyper answers 431 and 414 by itself, without a body.
const HEADERS_AT_MOST: usize = 512;

type ResponseBody = BoxBody<Bytes, io::Error>;

/// What connections may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionBounds {
    /// Connections open at once; further ones wait in the kernel's queue.
    pub connections: u16,
    /// For the head of a request, and for the next request on an open connection.
    pub header_time: Duration,
    /// For requests that are being answered when the server stops.
    pub drain_time: Duration,
}

/// Where connections come in.
#[derive(Debug)]
pub enum Door {
    /// Over the network.
    Tcp(TcpListener),
    /// From this host.
    Local(UnixListener, Admission),
}

impl From<TcpListener> for Door {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

/// One connection.
enum Connection {
    Tcp(TcpStream, Visitor),
    Local(UnixStream, Visitor),
}

/// Who is at its other end.
#[derive(Clone)]
struct Visitor {
    local: LocalAddr,
    remote: RemoteAddr,
    turned_away: Option<TurnedAway>,
}

impl Visitor {
    /// The place that the connection has for as long as it lasts.
    fn place(&self, place: OwnedSemaphorePermit, turned_away: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        if self.turned_away.is_some() { Arc::clone(turned_away).try_acquire_owned().ok() } else { Some(place) }
    }
}

/// Serves until `stop` is over, then finishes what was begun.
pub async fn serve<E>(
    door: impl Into<Door> + Send,
    endpoint: E,
    bounds: ConnectionBounds,
    stop: impl Future<Output = ()> + Send,
) where
    E: Endpoint<Output = Response> + 'static,
{
    let endpoint = Arc::new(endpoint);
    let places = Arc::new(Semaphore::new(usize::from(bounds.connections)));
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_AT_MOST));
    let graceful = GracefulShutdown::new();
    let (door, mut stop) = (door.into(), pin!(stop));
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&door, &places) => accepted,
        };
        match accepted {
            Ok((Connection::Tcp(stream, visitor), place)) => {
                begin(stream, visitor, place, &endpoint, (&graceful, bounds.header_time));
            }
            Ok((Connection::Local(stream, visitor), place)) => {
                // Without a place the connection is closed.
                if let Some(place) = visitor.place(place, &turned_away) {
                    begin(stream, visitor, place, &endpoint, (&graceful, bounds.header_time));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(AFTER_A_FAILURE).await;
            }
        }
    }
    drop(door);
    if tokio::time::timeout(bounds.drain_time, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were still open when the time to stop was over");
    }
}

async fn accept(door: &Door, places: &Arc<Semaphore>) -> io::Result<(Connection, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let connection = match door {
        Door::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let local = LocalAddr(stream.local_addr().map_or_else(|_closed| unknown(), Addr::from));
            Connection::Tcp(stream, Visitor { local, remote: RemoteAddr(Addr::from(peer)), turned_away: None })
        }
        Door::Local(listener, admission) => {
            let (stream, _unnamed) = listener.accept().await?;
            let peer = peer::of(&stream)?;
            let turned_away = admission.refusal(&peer);
            if turned_away.is_some() {
                // Anybody on this host can cause it, as often as they like.
                tracing::debug!(uid = peer.uid, "a local user was turned away");
            }
            let remote = RemoteAddr(Addr::custom("unix", format!("uid {}", peer.uid)));
            Connection::Local(stream, Visitor { local: LocalAddr(unknown()), remote, turned_away })
        }
    };
    Ok((connection, place))
}

/// Serves one connection in a task of its own, which ends with the connection.
fn begin<E>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    visitor: Visitor,
    place: OwnedSemaphorePermit,
    endpoint: &Arc<E>,
    (graceful, header_time): (&GracefulShutdown, Duration),
) where
    E: Endpoint<Output = Response> + 'static,
{
    let endpoint = Arc::clone(endpoint);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let Visitor { local, remote, turned_away } = visitor.clone();
        if let Some(turned_away) = turned_away {
            request.extensions_mut().insert(turned_away);
        }
        let request = (request, local, remote, Scheme::HTTP);
        let endpoint = Arc::clone(&endpoint);
        async move {
            let response = endpoint.get_response(poem::Request::from(request)).await;
            Ok::<_, Infallible>(hyper::Response::<ResponseBody>::from(response))
        }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(header_time).max_headers(HEADERS_AT_MOST);
    let connection = graceful.watch(server.serve_connection(TokioIo::new(stream), service));
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection broke off");
        }
        drop(place);
    });
}

fn unknown() -> Addr {
    Addr::custom("unknown", "")
}
