//! Names of things. An id never says on which host the thing lives.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::base::time::Timestamp;

/// The text was not an id of the kind that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: {expected} expected")]
pub struct NotAnId {
    expected: &'static str,
}

/// Names one job: a UUID of version 7, so that ids sort by the time they were made (RFC 9562).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(Uuid);

impl JobId {
    /// A new id.
    #[expect(clippy::new_without_default, reason = "every call gives another value")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The first of all ids that are made at this moment (RFC 9562, section 5.7).
    pub fn first_at(moment: Timestamp) -> Self {
        let milliseconds = u128::from(moment.0 / 1000);
        Self(Uuid::from_u128(milliseconds << 80))
    }

    /// The sixteen bytes of the id, most significant first.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id that these sixteen bytes are.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_hyphenated())
    }
}

impl FromStr for JobId {
    type Err = NotAnId;

    /// Only the hyphenated lower-case form is an id, so that one job has one name.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let fault = NotAnId { expected: "a lower-case UUID" };
        let uuid = Uuid::try_parse(text).map_err(|_shape| fault)?;
        let id = Self(uuid);
        if id.to_string() == text { Ok(id) } else { Err(fault) }
    }
}

/// Names the log that holds what a job printed. A log has an id of its own; owners refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogId(Uuid);

impl LogId {
    /// A new id.
    #[expect(clippy::new_without_default, reason = "every call gives another value")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id that these sixteen bytes are.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The sixteen bytes of the id, most significant first.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_hyphenated())
    }
}

/// Names one sandbox of one spawner; the server counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SandboxId(pub u64);

/// Names one process inside a sandbox. The main program is [`ProcessId::MAIN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u32);

impl ProcessId {
    /// The first program of a sandbox.
    pub const MAIN: Self = Self(1);
}

/// Names one directory tree that the root side made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeId(pub u64);

/// Names one installation: everything that a daemon leaves on a host carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u64);

impl InstanceId {
    /// An id that no other data directory has.
    pub fn random() -> Self {
        let bytes = Uuid::new_v4().as_u64_pair();
        Self(bytes.0 ^ bytes.1)
    }
}

/// A number that nobody can guess.
pub fn unguessable() -> u32 {
    let (number, ..) = Uuid::new_v4().as_fields();
    number
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for InstanceId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let fault = NotAnId { expected: "sixteen hexadecimal digits" };
        if text.len() != 16 || text.starts_with('+') {
            return Err(fault);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_digits| fault)
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_job_has_one_name() {
        let id = JobId::new();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().to_uppercase().parse::<JobId>().is_err());
        assert!(id.to_string().replace('-', "").parse::<JobId>().is_err());
        assert!("".parse::<JobId>().is_err());
    }

    #[test]
    fn an_instance_id_survives_its_text() {
        let id = InstanceId(0xab);
        assert_eq!(id.to_string(), "00000000000000ab");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("+0000000000000ab".parse::<InstanceId>().is_err());
    }
}
