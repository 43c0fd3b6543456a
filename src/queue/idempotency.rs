//! A key with which a client asks for the same job twice and gets one (contract rule 11).
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::access::Principal;
use crate::base::time::{Timestamp, micros};
use crate::job::request::Request;
use crate::store::{Claim, StoreError};

/// How long a key stands for its job.
const KEPT: Duration = Duration::from_hours(24);
/// Characters of a key.
const LONGEST: usize = 255;

/// A key of a client, unique among its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// The text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to {LONGEST} visible ASCII characters")]
pub struct NotAKey;

impl TryFrom<&str> for IdempotencyKey {
    type Error = NotAKey;

    fn try_from(text: &str) -> Result<Self, NotAKey> {
        let fits = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text.to_owned())) } else { Err(NotAKey) }
    }
}

/// The claim that stands for this request: two are equal if the requests are.
pub(super) fn claim(
    principal: &Principal,
    IdempotencyKey(key): &IdempotencyKey,
    request: &Request,
    now: Timestamp,
) -> Result<Claim, StoreError> {
    let text = serde_json::to_vec(request).map_err(|error| StoreError::Failed { message: error.to_string() })?;
    let expires = Timestamp(now.0.saturating_add(micros(KEPT)));
    Ok(Claim {
        scope: format!("idempotency:{}", principal.name),
        key: key.clone(),
        value: Sha256::digest(text).to_vec(),
        expires: Some(expires),
    })
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::queue::test::request;

    #[test]
    fn a_key_is_visible_ascii() {
        for text in ["a", "8e03978e-40d5-43e8-bc93-6894a57f9324", "~!@"] {
            assert!(IdempotencyKey::try_from(text).is_ok(), "{text}");
        }
        for text in ["", "a b", "ä", "\n", &"x".repeat(256)] {
            assert_eq!(IdempotencyKey::try_from(text), Err(NotAKey), "{text:?}");
        }
    }

    #[test]
    fn a_claim_is_equal_for_equal_requests_of_one_caller_only() {
        let (admin, now) = (Principal::unauthenticated_admin(), Timestamp(5));
        let key = IdempotencyKey::try_from("k").unwrap();
        let of = |request: &Request| claim(&admin, &key, request, now).unwrap();
        let mut other = request();
        assert_eq!(of(&request()), of(&other));
        other.args.push(String::from("x"));
        assert_ne!(of(&request()).value, of(&other).value);
        let somebody = Principal { name: String::from("somebody"), ..admin };
        assert_ne!(claim(&somebody, &key, &request(), now).unwrap().scope, of(&request()).scope);
    }
}
