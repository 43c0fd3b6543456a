//! The client's side of the HTTP API: one connection, one request at a time, bounded waits.
//!
//! A daemon is asked by its local socket or over TCP. Every failure is a [`ClientError`] whose text says
//! what to do. Proxies are not used, and no redirection is followed. Not here: TLS, what is asked, what
//! is shown of the answer.
mod connect;
mod error;
mod place;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use serde_json::Value;

pub use error::{ClientError, Refusal};
pub use place::{Place, PlaceError};

use crate::config::secret::Secret;

/// For the head of an answer, and for each further piece of its body. The server's own bound is 30 s by default.
const PATIENCE: Duration = Duration::from_secs(90);

/// Bytes of an answer that is read whole: four streams of 1 MiB in their worst encoding, and more.
const ANSWER_AT_MOST: usize = 128 << 20;

/// Somebody to ask.
#[derive(Debug)]
pub struct Client {
    place: Place,
    token: Option<Secret>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: &'a str,
    /// A body, which is JSON.
    pub body: Option<Bytes>,
    /// Names the request, so that it may be sent twice and have its effect once.
    pub key: Option<&'a str>,
    /// Of the bytes only those from here on.
    pub from: Option<u64>,
}

/// What is answered: its head, and the bytes that are still to come.
#[derive(Debug)]
pub struct Answer {
    place: Place,
    response: Response<Incoming>,
}

impl<'a> Question<'a> {
    /// A question without a body.
    pub const fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, body: None, key: None, from: None }
    }
}

impl Client {
    /// Of this daemon. Nothing is connected yet.
    pub const fn new(place: Place, token: Option<Secret>) -> Self {
        Self { place, token, connection: None }
    }

    /// Another one of the same daemon, with a connection of its own.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { place: self.place.clone(), token: self.token.clone(), connection: None }
    }

    /// Asks for JSON.
    ///
    /// # Errors
    /// When there is no answer, or it is none of success.
    pub async fn json(&mut self, question: Question<'_>) -> Result<Value, ClientError> {
        let place = self.place.clone();
        let bytes = self.ask(question).await?.whole().await?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::not_kiln(&place, error))
    }

    /// Asks, and gives the answer as soon as its head is there.
    ///
    /// # Errors
    /// When there is no answer, or it is none of success.
    pub async fn ask(&mut self, question: Question<'_>) -> Result<Answer, ClientError> {
        let request = self.request(question)?;
        let place = self.place.clone();
        let broken = |error: hyper::Error| ClientError::broken(&place, error);
        let connection = self.connected().await?;
        let asked = tokio::time::timeout(PATIENCE, connection.send_request(request));
        let response = asked.await.map_err(|_elapsed| ClientError::Late(place.clone()))?.map_err(broken)?;
        let answer = Answer { place: place.clone(), response };
        if answer.response.status().is_success() {
            return Ok(answer);
        }
        let status = answer.response.status();
        let retry_after = answer.retry_after();
        let body = answer.whole().await?;
        Err(Refusal::read(&place, status, retry_after, &body))
    }

    fn request(&self, question: Question<'_>) -> Result<Request<Full<Bytes>>, ClientError> {
        let Question { method, path, body, key, from } = question;
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, self.place.host());
        request = request.header(header::ACCEPT, "application/json");
        request = request.header(header::USER_AGENT, concat!("kiln/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()))
                .map_err(|_unprintable| ClientError::Token)?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        if let Some(from) = from {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request.body(Full::new(body.unwrap_or_default())).map_err(|error| ClientError::broken(&self.place, error))
    }

    /// The connection, made anew where the last one is gone.
    async fn connected(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, ClientError> {
        let is_ready = match &mut self.connection {
            Some(connection) => tokio::time::timeout(PATIENCE, connection.ready()).await.is_ok_and(|it| it.is_ok()),
            None => false,
        };
        if !is_ready {
            self.connection = None;
        }
        match &mut self.connection {
            Some(connection) => Ok(connection),
            none => Ok(none.insert(connect::connect(&self.place).await?)),
        }
    }
}

impl Answer {
    /// The next bytes; nothing at the end.
    ///
    /// # Errors
    /// When it breaks off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.response.body_mut().frame()).await;
            match frame.map_err(|_elapsed| ClientError::Late(self.place.clone()))? {
                None => return Ok(None),
                Some(Err(error)) => return Err(ClientError::broken(&self.place, error)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// Whether it is a part of the bytes, as was asked for.
    pub fn is_part(&self) -> bool {
        self.response.status() == StatusCode::PARTIAL_CONTENT
    }

    async fn whole(mut self) -> Result<Vec<u8>, ClientError> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.next().await? {
            if whole.len() + bytes.len() > ANSWER_AT_MOST {
                return Err(ClientError::not_kiln(&self.place, "an answer is too long"));
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }

    fn retry_after(&self) -> Option<u64> {
        let value = self.response.headers().get(header::RETRY_AFTER)?;
        value.to_str().ok()?.parse().ok()
    }
}
