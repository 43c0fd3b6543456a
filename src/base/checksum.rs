//! CRC-32C (Castagnoli), the checksum of iSCSI (RFC 3720, appendix B.4).

/// The polynomial with its bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;
const TABLE: [u32; 256] = table();

/// A checksum that grows with the bytes that are put in.
#[derive(Clone, Copy, Debug)]
pub struct Crc32c(u32);

impl Crc32c {
    /// The checksum of nothing.
    pub const EMPTY: Self = Self(u32::MAX);

    /// The checksum after these bytes too.
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |sum, byte| {
            let [low, ..] = sum.to_le_bytes();
            let entry = TABLE.get(usize::from(low ^ byte)).copied().unwrap_or(0);
            entry ^ (sum >> 8)
        }))
    }

    /// The number.
    pub const fn value(self) -> u32 {
        !self.0
    }
}

#[expect(
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "computed while compiling: a fault here is a compile error"
)]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut sum = index as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_the_standard() {
        assert_eq!(Crc32c::EMPTY.with(b"123456789").value(), 0xe306_9283);
        assert_eq!(Crc32c::EMPTY.with(&[0; 32]).value(), 0x8a91_36aa);
        assert_eq!(Crc32c::EMPTY.with(b"1234").with(b"56789").value(), 0xe306_9283);
    }
}
