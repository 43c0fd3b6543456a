//! Amounts as people write them in settings: `10MB`, `64 KiB`.
use crate::base::size::ByteSize;

/// A whole number with an optional unit; nothing where it is not one or too large.
///
/// `kB`, `MB`, `GB` are powers of 1,000, `KiB`, `MiB`, `GiB` powers of 1,024; case does not matter.
pub(super) fn byte_size(text: &str) -> Option<ByteSize> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let factor: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _unknown => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).map(ByteSize)
}

/// The largest unit that shows the number exactly, as [`byte_size`] reads it.
pub(super) fn shown(size: ByteSize) -> String {
    const UNITS: [(u64, &str); 6] =
        [(1 << 30, "GiB"), (1_000_000_000, "GB"), (1 << 20, "MiB"), (1_000_000, "MB"), (1 << 10, "KiB"), (1_000, "kB")];
    let bytes = size.bytes();
    let fits = |(factor, _): &&(u64, &str)| bytes >= *factor && bytes.is_multiple_of(*factor);
    UNITS.iter().find(fits).map_or_else(|| bytes.to_string(), |(factor, unit)| format!("{}{unit}", bytes / factor))
}

#[cfg(test)]
mod test {
    use super::*;

    #[track_caller]
    fn check(text: &str, bytes: Option<u64>) {
        assert_eq!(byte_size(text).map(ByteSize::bytes), bytes, "{text}");
    }

    #[test]
    fn sizes_are_read_with_their_unit() {
        check("10MB", Some(10_000_000));
        check("10 mib", Some(10 << 20));
        check("64KiB", Some(65_536));
        check("17", Some(17));
        check("1GB", Some(1_000_000_000));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        check("", None);
        check("MB", None);
        check("-1MB", None);
        check("1.5MB", None);
        check("10M", None);
        check("99999999999999999999", None);
        check("18446744073709551615GB", None);
    }

    #[test]
    fn what_is_shown_reads_as_the_same() {
        for size in [1, 17, 1000, 1024, 10_000_000, 10 << 20, 1 << 30, 1_000_000_001, u64::MAX] {
            assert_eq!(byte_size(&shown(ByteSize(size))), Some(ByteSize(size)));
        }
        assert_eq!(shown(ByteSize(10_000_000)), "10MB");
        assert_eq!(shown(ByteSize(64 << 10)), "64KiB");
        assert_eq!(shown(ByteSize(17)), "17");
    }
}
