//! SHA-256 of some bytes (FIPS 180-4), as a name for them. Not here: how it is computed.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What stands before the digits wherever people or programs read it.
const ALGORITHM: &str = "sha256:";

/// A digest. Shown as `sha256:` and 64 digits; a file is named by the digits alone ([`Digest::digits`]).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest(pub [u8; 32]);

/// The text is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not `sha256:` and 64 lower-case hexadecimal digits")]
pub struct NotADigest;

impl Digest {
    /// The 64 digits.
    pub fn digits(&self) -> String {
        let letter = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
        self.0.iter().flat_map(|byte| [letter(byte >> 4), letter(byte & 0xf)]).collect()
    }

    /// Reads the 64 digits.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn from_digits(text: &str) -> Result<Self, NotADigest> {
        let mut bytes = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(NotADigest);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = pair else { return Err(NotADigest) };
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(bytes))
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> String {
        self.digits().chars().take(12).collect()
    }
}

fn digit(letter: u8) -> Result<u8, NotADigest> {
    match letter {
        b'0'..=b'9' => Ok(letter - b'0'),
        b'a'..=b'f' => Ok(letter - b'a' + 10),
        _ => Err(NotADigest),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{}", self.digits())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        Self::from_digits(text.strip_prefix(ALGORITHM).ok_or(NotADigest)?)
    }
}

impl TryFrom<String> for Digest {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Self, NotADigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_is_shown_and_not_otherwise() {
        let digest = Digest(std::array::from_fn(|place| u8::try_from(place * 8).unwrap()));
        let text = digest.to_string();
        assert_eq!(text.parse(), Ok(digest));
        assert_eq!(Digest::from_digits(&digest.digits()), Ok(digest));
        assert_eq!(digest.short(), "000810182028");
        for wrong in [&digest.digits(), "sha256:", "", &text.to_uppercase(), &text[..70], &format!("{text}0")] {
            assert_eq!(wrong.parse::<Digest>(), Err(NotADigest), "{wrong}");
        }
        assert_eq!(serde_json::from_value::<Digest>(serde_json::json!(text)).unwrap(), digest);
    }
}
