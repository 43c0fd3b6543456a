//! The name of one request, on every answer and in every error (contract rules 24, 32).
use poem::http::HeaderMap;
use uuid::Uuid;

/// Header that carries it, both ways.
pub const HEADER: &str = "x-request-id";
/// Characters that a client's own may have.
const AT_MOST: usize = 128;

/// The name of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The client's own where it is well-formed (letters, digits, `-_.:`), else a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(HEADER).and_then(|value| value.to_str().ok());
        given.filter(|text| is_well_formed(text)).map_or_else(Self::new, |text| Self(text.to_owned()))
    }

    fn new() -> Self {
        let (_, low) = Uuid::new_v4().as_u64_pair();
        let (high, _) = Uuid::new_v4().as_u64_pair();
        Self(format!("req_{:016x}", high ^ low))
    }

    /// Its text: never anything that a header could not hold.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_well_formed(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (1..=AT_MOST).contains(&text.len()) && text.bytes().all(plain)
}
