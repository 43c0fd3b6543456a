//! Messages to the packet filter and to the table of connections, as the kernel takes and gives them (netlink(7),
//! `linux/netfilter/nfnetlink.h`).
//!
//! Not here: what is asked (`egress::watch`, `egress::flows`).
use std::io;

use nix::errno::Errno;

/// Flags of a request (netlink(7)).
pub(super) const REQUEST: u16 = 1;
/// It is answered, also where it worked.
pub(super) const ACKNOWLEDGED: u16 = 4;
/// All that there is of a kind is asked for.
pub(super) const DUMP: u16 = 0x300;

/// Kinds of messages that are not of a subsystem.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// Bytes of `struct nlmsghdr`, and of `struct nfgenmsg` behind it.
const HEAD: usize = 16;
const FAMILY: usize = 4;
/// Bytes of `struct nlattr`.
const ATTRIBUTE: usize = 4;
/// The bits of a kind that say which it is; the others say that attributes are in it, or in which order its bytes are.
const KIND: u16 = 0x3fff;

/// A request: one is asked at a time, so it has no number, and the kernel knows who asks.
pub(super) fn request(kind: u16, flags: u16, family: u8, attributes: &[u8]) -> io::Result<Vec<u8>> {
    let length = HEAD.saturating_add(FAMILY).saturating_add(attributes.len());
    let mut message = Vec::with_capacity(length);
    message.extend(u32::try_from(length).map_err(io::Error::other)?.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((REQUEST | flags).to_ne_bytes());
    message.extend([0; 8]);
    message.extend([family, 0, 0, 0]);
    message.extend(attributes);
    Ok(message)
}

/// One attribute.
pub(super) fn attribute(kind: u16, value: &[u8]) -> io::Result<Vec<u8>> {
    let length = value.len().saturating_add(ATTRIBUTE);
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u16::try_from(length).map_err(io::Error::other)?.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(length.next_multiple_of(4), 0);
    Ok(bytes)
}

/// A part of what the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    /// The attributes of one thing.
    Thing(&'a [u8]),
    /// There is no more.
    Done,
    /// What it said of the request.
    Error(Errno),
}

/// The parts of one packet. A part that is cut off is none.
pub(super) fn answers(packet: &[u8]) -> impl Iterator<Item = Answer<'_>> {
    pieces(packet, |bytes| {
        let length = bytes.first_chunk().copied().map(u32::from_ne_bytes)?;
        usize::try_from(length).ok().filter(|length| *length >= HEAD)
    })
    .filter_map(|message| {
        let kind = message.get(4..)?.first_chunk().copied().map(u16::from_ne_bytes)?;
        let body = message.get(HEAD..)?;
        let code = || body.first_chunk().copied().map(i32::from_ne_bytes);
        match kind {
            DONE => Some(Answer::Done),
            ERROR => Some(match code()? {
                0 => Answer::Done,
                code => Answer::Error(Errno::from_raw(code.saturating_neg())),
            }),
            _ => body.get(FAMILY..).map(Answer::Thing),
        }
    })
}

/// Kind, whole and value of each.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8], &[u8])> {
    pieces(bytes, |bytes| {
        let length = bytes.first_chunk().copied().map(u16::from_ne_bytes)?;
        Some(usize::from(length)).filter(|length| *length >= ATTRIBUTE)
    })
    .filter_map(|whole| {
        let kind = whole.get(2..)?.first_chunk().copied().map(u16::from_ne_bytes)?;
        Some((kind & KIND, whole, whole.get(ATTRIBUTE..)?))
    })
}

/// The value of the attribute of this kind.
pub(super) fn value(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(kind, _, value)| (kind == wanted).then_some(value))
}

/// Cuts bytes where each piece says how long it is; the next begins on a word.
fn pieces(mut rest: &[u8], length: impl Fn(&[u8]) -> Option<usize>) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = length(rest)?;
        let piece = rest.get(..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(piece)
    })
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_request_is_as_long_as_it_says_and_ends_on_a_word() {
        for name in [b"kiln-0123456789abcdef".as_slice(), b"k", b"kil"] {
            let message = request(7, ACKNOWLEDGED, 1, &attribute(1, name).unwrap()).unwrap();
            assert_eq!(u32::from_ne_bytes(*message.first_chunk().unwrap()), u32::try_from(message.len()).unwrap());
            assert_eq!(message.len() % 4, 0);
            assert_eq!(message[24..24 + name.len()], *name);
            let body: Vec<Answer<'_>> = answers(&message).collect();
            let [Answer::Thing(body)] = body.as_slice() else { panic!("{body:?}") };
            assert_eq!(value(body, 1), Some(name));
        }
    }

    #[test]
    fn nested_attributes_are_found_and_what_is_cut_off_is_none() {
        let bytes =
            [attribute(3, b"abc").unwrap(), attribute(0x8000 | 5, &attribute(1, b"x").unwrap()).unwrap()].concat();
        assert_eq!(value(&bytes, 3), Some(b"abc".as_slice()));
        assert_eq!(value(value(&bytes, 5).unwrap(), 1), Some(b"x".as_slice()));
        for length in 0..bytes.len() - 4 {
            assert_eq!(value(&bytes[..length], 5), None, "{length}");
        }
        assert_eq!(attributes(&[0; 64]).count(), 0);
    }

    #[test]
    fn the_end_and_errors_are_told_apart() {
        let told = |code: i32| {
            let mut message = request(ERROR, 0, 0, &[]).unwrap();
            message[HEAD..].copy_from_slice(&code.to_ne_bytes());
            message
        };
        let packet = [told(0), told(-2), request(DONE, 0, 0, &[]).unwrap()].concat();
        let expected = [Answer::Done, Answer::Error(Errno::ENOENT), Answer::Done];
        assert_eq!(answers(&packet).collect::<Vec<_>>(), expected);
    }
}
