//! Extended headers of pax archives: records of `LENGTH KEY=VALUE\n` (pax(1), "pax Extended Header").
//!
//! Only what an image needs of them; extended attributes and times are passed over.

/// What extended headers say of the entry that follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extended {
    /// `path`
    pub(super) path: Option<Vec<u8>>,
    /// `linkpath`
    pub(super) link: Option<Vec<u8>>,
    /// `size`
    pub(super) size: Option<u64>,
    /// Whether it is a file with holes in a form of pax.
    pub(super) is_sparse: bool,
}

impl Extended {
    /// Reads the records of one header. Those of a key that comes twice are the last's.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            let (key, value, rest) = record(bytes).ok_or("has an extended header that is none")?;
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(number(value).ok_or("has a size that is no number")?),
                _ if key.starts_with(b"GNU.sparse.") => self.is_sparse = true,
                _ => {}
            }
            bytes = rest;
        }
        Ok(())
    }
}

/// Key, value, and what follows them.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(number(bytes.get(..space)?)?).ok()?;
    let (whole, rest) = bytes.split_at_checked(length)?;
    let (key, value) = whole.get(space + 1..)?.strip_suffix(b"\n").and_then(split_once)?;
    (!key.is_empty()).then_some((key, value, rest))
}

fn split_once(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = text.iter().position(|byte| *byte == b'=')?;
    Some((text.get(..equals)?, text.get(equals + 1..)?))
}

fn number(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn records_are_read_by_their_length_whatever_is_in_them() {
        let mut found = Extended::default();
        found.read(b"29 SCHILY.xattr.a=\n12 b=\n\n12\n11 path=ab\n14 linkpath=c\n9 size=7\n").unwrap();
        let expected =
            Extended { path: Some(b"ab".to_vec()), link: Some(b"c".to_vec()), size: Some(7), is_sparse: false };
        assert_eq!(found, expected);
        found.read(b"22 GNU.sparse.major=1\n").unwrap();
        assert!(found.is_sparse);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for wrong in [
            b"x".as_slice(),
            b"11 path=a",
            b"99 path=ab\n",
            b"10 path=ab\n",
            b"0 a=b\n",
            b"4 =\n",
            b" a=b\n",
            b"18446744073709551615 a=b\n",
            b"9 size=x\n",
            b"7 path\n",
        ] {
            assert!(Extended::default().read(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
