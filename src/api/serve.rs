//! The connection server: HTTP/1.1 over TCP.
//!
//! Every connection has a place, a time for its headers and an end: [`serve`] returns when all are
//! closed or the time for that is over. Instead of poem's own server, which spins when accept
//! fails and waits for headers for ever. Not here: TLS, HTTP/2 (it comes with TLS and ALPN; told
//! apart by its first bytes it would wait for them without a time).
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Pause after an accept that failed: the usual reason is that no descriptor is left (accept(2)).
const AFTER_A_FAILURE: Duration = Duration::from_millis(50);
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

/// Serves until `stop` is over, then finishes what was begun.
pub async fn serve<E>(
    listener: TcpListener,
    endpoint: E,
    bounds: ConnectionBounds,
    stop: impl Future<Output = ()> + Send,
) where
    E: Endpoint<Output = Response> + 'static,
{
    let endpoint = Arc::new(endpoint);
    let places = Arc::new(Semaphore::new(usize::from(bounds.connections)));
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                begin(stream, peer, place, &endpoint, (&graceful, bounds.header_time));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(AFTER_A_FAILURE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(bounds.drain_time, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were still open when the time to stop was over");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer, place))
}

/// Serves one connection in a task of its own, which ends with the connection.
fn begin<E>(
    stream: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
    endpoint: &Arc<E>,
    (graceful, header_time): (&GracefulShutdown, Duration),
) where
    E: Endpoint<Output = Response> + 'static,
{
    let local = LocalAddr(stream.local_addr().map_or_else(|_closed| unknown(), Addr::from));
    let remote = RemoteAddr(Addr::from(peer));
    let endpoint = Arc::clone(endpoint);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let request = (request, local.clone(), remote.clone(), Scheme::HTTP);
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
