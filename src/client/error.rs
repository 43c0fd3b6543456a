//! Why there is no answer, and what to do.
use std::fmt;
use std::path::PathBuf;

use http::StatusCode;
use serde_json::Value;

use crate::base::fault::Fault;
use crate::client::Place;

/// Why a question has no answer. Its text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// There is no local socket.
    #[error("there is no socket {}: is the daemon running? Start it by: sudo kiln serve. {ELSEWHERE}", .0.display())]
    NoSocket(PathBuf),
    /// The file system does not let us through.
    #[error("{}: permission denied. Use sudo, or see who may enter its folder", .0.display())]
    MayNotConnect(PathBuf),
    /// There was a daemon, or there is none on this port.
    #[error("nobody answers at {0}: the daemon is not running. Start it by: sudo kiln serve. {ELSEWHERE}")]
    NobodyAnswers(Place),
    /// The network says no.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(Place, String),
    /// The answer did not come in time.
    #[error("{0} does not answer in time; its log says more, and so may: kiln doctor")]
    Late(Place),
    /// The connection ended before the answer did.
    #[error("the connection to {0} broke off: {1}. The daemon may have been stopped: see its log")]
    Broken(Place, String),
    /// Something answers that is not kiln, or another version of it.
    #[error("{0} does not answer as kiln does: {1}. Does the address lead to a kiln of this version?")]
    NotKiln(Place, String),
    /// The token cannot be sent.
    #[error("the token has characters that cannot be in one: check KILN_TOKEN or the file of --token-file")]
    Token,
    /// The daemon refused.
    #[error("{0}")]
    Refused(Box<Refusal>),
}

const ELSEWHERE: &str = "If it listens elsewhere: --server http://HOST:PORT, or --server PATH of its socket";
const MEMBERSHIP: &str = "Use sudo, or become a member of that group (sudo usermod -aG GROUP $USER) and log in again";

/// What the daemon said instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status of HTTP.
    pub status: u16,
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// Every fault with its field.
    pub details: Vec<Fault>,
    /// Names the request in the daemon's log.
    pub request_id: String,
    /// When to try again, in seconds.
    pub retry_after: Option<u64>,
    /// Whether it was asked by the local socket.
    pub is_local: bool,
}

impl ClientError {
    /// With its causes, which say more than the first of them.
    pub(super) fn broken(place: &Place, error: impl std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        Self::Broken(place.clone(), text)
    }

    pub(super) fn not_kiln(place: &Place, what: impl fmt::Display) -> Self {
        Self::NotKiln(place.clone(), what.to_string())
    }
}

impl Refusal {
    /// Reads the error format of the execution family.
    pub(super) fn read(place: &Place, status: StatusCode, retry_after: Option<u64>, body: &[u8]) -> ClientError {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let error = body.get("error").cloned().unwrap_or_default();
        let (Some(code), Some(message)) = (text(&error, "code"), text(&error, "message")) else {
            return ClientError::not_kiln(place, format!("status {status} without a reason"));
        };
        let details = error.get("details").and_then(Value::as_array).into_iter().flatten();
        let fault = |fault: &Value| Some(Fault { field: text(fault, "field")?, message: text(fault, "message")? });
        ClientError::Refused(Box::new(Self {
            status: status.as_u16(),
            code,
            message,
            details: details.filter_map(fault).collect(),
            request_id: text(&error, "request_id").unwrap_or_default(),
            retry_after,
            is_local: matches!(place, Place::Socket(_)),
        }))
    }

    /// What to do, where that is not in the message.
    fn remedy(&self) -> Option<String> {
        match (self.status, self.retry_after) {
            (401, _) => Some(String::from("give a token: KILN_TOKEN, or --token-file FILE")),
            (403, _) if self.is_local => Some(MEMBERSHIP.to_owned()),
            (429 | 503, Some(seconds)) => Some(format!("try again in {seconds} s")),
            (500.., _) => Some(format!("the daemon's log has more; the request was {}", self.request_id)),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        if let Some(remedy) = self.remedy() {
            write!(f, ". {remedy}")?;
        }
        for fault in &self.details {
            write!(f, "\n  {}: {}", fault.field, fault.message)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn refused(status: u16, retry_after: Option<u64>, body: &str) -> String {
        let status = StatusCode::from_u16(status).unwrap();
        Refusal::read(&Place::Socket(PathBuf::from("/s")), status, retry_after, body.as_bytes()).to_string()
    }

    #[test]
    fn every_fault_is_shown_with_its_field() {
        let body = r#"{"error":{"code":"INVALID_REQUEST","message":"no","request_id":"req_1","details":[
            {"field":"a","message":"is wrong"},{"field":"b.c","message":"is too"}]}}"#;
        assert_eq!(refused(400, None, body), "INVALID_REQUEST: no\n  a: is wrong\n  b.c: is too");
    }

    #[test]
    fn what_can_be_done_is_said() {
        let body = r#"{"error":{"code":"X","message":"no","request_id":"req_1"}}"#;
        assert!(refused(401, None, body).contains("KILN_TOKEN"));
        assert!(refused(403, None, body).contains("usermod -aG GROUP"));
        assert!(refused(503, Some(7), body).contains("try again in 7 s"));
        assert!(refused(500, None, body).contains("req_1"));
        assert_eq!(refused(404, None, body), "X: no");
    }

    #[test]
    fn an_answer_of_somebody_else_is_told_apart() {
        assert!(refused(404, None, "<html>").contains("does not answer as kiln does"));
    }
}
