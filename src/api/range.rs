//! `Range: bytes=…` (RFC 9110, section 14): one range of it; several, or another unit, count as none.
use std::ops::Range;

/// What a request asks for of something with so many bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of it: there is no range, or none that is understood.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes that are not there.
    Nothing,
}

/// Reads the header's text.
pub(super) fn read(text: Option<&str>, bytes: u64) -> Asked {
    match text.and_then(bounds) {
        None => Asked::Whole,
        Some(Bounds::FromTo(from, to)) if from < bytes => Asked::Part(from..to.saturating_add(1).min(bytes)),
        Some(Bounds::From(from)) if from < bytes => Asked::Part(from..bytes),
        Some(Bounds::Last(count)) if count > 0 && bytes > 0 => Asked::Part(bytes.saturating_sub(count)..bytes),
        Some(Bounds::FromTo(..) | Bounds::From(_) | Bounds::Last(_)) => Asked::Nothing,
    }
}

enum Bounds {
    FromTo(u64, u64),
    From(u64),
    Last(u64),
}

fn bounds(text: &str) -> Option<Bounds> {
    let (unit, range) = text.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    match (unit.trim().eq_ignore_ascii_case("bytes"), first, last) {
        (true, "", count) => number(count).map(Bounds::Last),
        (true, from, "") => number(from).map(Bounds::From),
        (true, from, to) => {
            let (from, to) = (number(from)?, number(to)?);
            (from <= to).then_some(Bounds::FromTo(from, to))
        }
        (false, ..) => None,
    }
}

/// Digits; a number that is too large is beyond the end of everything.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod test {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &Asked) {
        assert_eq!(read(Some(text), 10), *expected, "{text}");
    }

    #[test]
    fn the_forms_of_rfc_9110_are_read() {
        assert_eq!(read(None, 10), Asked::Whole);
        check("bytes=0-0", &Asked::Part(0..1));
        check("bytes=2-4", &Asked::Part(2..5));
        check("Bytes=9-", &Asked::Part(9..10));
        check("bytes=-3", &Asked::Part(7..10));
        check("bytes=-30", &Asked::Part(0..10));
        check("bytes=5-99999999999999999999", &Asked::Part(5..10));
    }

    #[test]
    fn bytes_that_are_not_there_are_nothing() {
        for text in ["bytes=10-", "bytes=10-11", "bytes=99999999999999999999-", "bytes=-0"] {
            check(text, &Asked::Nothing);
        }
        assert_eq!(read(Some("bytes=0-"), 0), Asked::Nothing);
        assert_eq!(read(Some("bytes=-1"), 0), Asked::Nothing);
    }

    #[test]
    fn what_is_not_understood_is_ignored() {
        for text in
            ["", "bytes", "bytes=", "bytes=-", "bytes=4-2", "bytes=a-b", "lines=0-1", "bytes=0-1,3-4", "bytes=+1-2"]
        {
            check(text, &Asked::Whole);
        }
    }
}
