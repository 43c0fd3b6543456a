//! One request, one connection, one answer. HTTP/1.0, so that the answer ends where the connection does.
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Value,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, wanted: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value).next()
    }
}

/// Asks with JSON, and waits `patience` for the whole answer.
pub(crate) fn ask(to: SocketAddr, line: &str, body: Option<&Value>, patience: Duration) -> io::Result<Answer> {
    let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
    ask_with(to, line, body, patience)
}

/// Asks with a body of any type, and waits `patience` for the whole answer.
pub(crate) fn ask_with(
    to: SocketAddr,
    line: &str,
    body: Option<(&str, Vec<u8>)>,
    patience: Duration,
) -> io::Result<Answer> {
    let (content_type, body) = body.unwrap_or(("application/json", Vec::new()));
    let headers = format!("content-type: {content_type}\r\ncontent-length: {}\r\n", body.len());
    let (status, head, body) = exchange(to, line, &headers, &body, patience)?;
    Ok(Answer { status, head, body: serde_json::from_str(&body)? })
}

/// Asks for something that is not JSON: status and body.
pub(crate) fn text(to: SocketAddr, line: &str, patience: Duration) -> io::Result<(u16, String)> {
    text_with(to, line, "", patience)
}

/// The same with further lines of the head.
pub(crate) fn text_with(to: SocketAddr, line: &str, headers: &str, patience: Duration) -> io::Result<(u16, String)> {
    exchange(to, line, headers, &[], patience).map(|(status, _head, body)| (status, body))
}

fn exchange(
    to: SocketAddr,
    line: &str,
    headers: &str,
    body: &[u8],
    patience: Duration,
) -> io::Result<(u16, String, String)> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(patience))?;
    write!(stream, "{line} HTTP/1.0\r\nhost: {to}\r\n{headers}\r\n")?;
    stream.write_all(body)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok((status, head.to_owned(), body.to_owned()))
}
