//! Amounts of bytes.
use std::fmt;

use serde::{Deserialize, Serialize};

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// So many KiB (1,024 bytes).
    pub const fn kib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 10))
    }

    /// So many MiB (1,048,576 bytes).
    pub const fn mib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 20))
    }

    /// The number.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Whole MiB, rounded down.
    pub const fn whole_mib(self) -> u64 {
        self.0 >> 20
    }
}

impl fmt::Display for ByteSize {
    /// The largest binary unit that shows the number exactly: `128 MiB`, `1536 KiB`, `17 bytes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0 bytes"),
            n if n % (1 << 20) == 0 => write!(f, "{} MiB", n >> 20),
            n if n % (1 << 10) == 0 => write!(f, "{} KiB", n >> 10),
            n => write!(f, "{n} bytes"),
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_size_is_shown_exactly() {
        assert_eq!(ByteSize::mib(128).to_string(), "128 MiB");
        assert_eq!(ByteSize::kib(1536).to_string(), "1536 KiB");
        assert_eq!(ByteSize(17).to_string(), "17 bytes");
    }
}
