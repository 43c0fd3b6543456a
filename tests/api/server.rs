//! The connection server, over real sockets.
use std::net::SocketAddr;
use std::time::Duration;

use kiln::api::serve::{ConnectionBounds, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::{BODY_AT_MOST, state_with};
use crate::core::FakeCore;

const BOUNDS: ConnectionBounds =
    ConnectionBounds { connections: 2, header_time: Duration::from_millis(300), drain_time: Duration::from_secs(5) };

/// What is too much must have come whole by then, to be answered.
const REQUEST_TIME: Duration = Duration::from_mins(1);

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn server() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let endpoint = kiln::api::endpoint(state_with(FakeCore::default(), REQUEST_TIME));
    let stopping = async move { stopped.await.unwrap_or_default() };
    let task = tokio::spawn(serve(listener, endpoint, BOUNDS, stopping));
    Server { address, stop, task }
}

/// Sends a text and reads until the server closes.
async fn exchange(address: SocketAddr, text: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_request_over_a_socket_is_answered() {
    let server = server().await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = exchange(server.address, request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("x-request-id: req_"), "{answer}");
}

#[tokio::test]
async fn a_client_that_sends_nothing_or_half_a_head_is_closed() {
    let server = server().await;
    assert_eq!(exchange(server.address, b"").await, "");
    let answer = exchange(server.address, b"GET /healthz HTTP/1.1\r\nHost:").await;
    assert!(!answer.contains("200 OK"), "{answer}");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_a_place() {
    let server = server().await;
    let first = TcpStream::connect(server.address).await.unwrap();
    let second = TcpStream::connect(server.address).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = exchange(server.address, request).await;
    assert!(answer.contains("200 OK"), "the idle ones gave way: {answer}");
    drop((first, second));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_in_the_format_of_every_error() {
    let server = server().await;
    let head =
        |path: &str, fields: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n");
    let long = format!("/healthz?{}", "x".repeat(9000));
    let many: String = (0..120).map(|number| format!("X-{number}: 1\r\n")).collect::<Vec<_>>().concat();
    let large = format!("X-Large: {}\r\n", "x".repeat(70_000));
    for (text, status, code) in [
        (head(&long, ""), 414, "URI_TOO_LONG"),
        (head("/healthz", &many), 431, "HEADERS_TOO_LARGE"),
        (head("/healthz", &large), 431, "HEADERS_TOO_LARGE"),
    ] {
        let answer = exchange(server.address, text.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{answer}");
    }
    let beyond = head(&format!("/{}", "x".repeat(70_000)), "");
    assert!(exchange(server.address, beyond.as_bytes()).await.starts_with("HTTP/1.1 414 "));
}

#[tokio::test]
async fn who_sends_too_much_still_reads_the_413() {
    let server = server().await;
    let size = usize::try_from(BODY_AT_MOST.bytes()).unwrap() * 100;
    let head = format!(
        "POST /v1/execute HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    );
    let mut text = head.into_bytes();
    text.resize(text.len() + size, b'x');
    let answer = exchange(server.address, &text).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_server_that_stops_closes_idle_connections_and_refuses_new_ones() {
    let server = server().await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    server.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(2), server.task).await.unwrap().unwrap();
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(server.address).await.is_err());
}
