//! The form of a network [`Policy`] in a message.
use std::net::IpAddr;

use crate::plan::network::Policy;
use crate::plan::prefix::{Destination, Prefix};
use crate::wire::codec::{Malformed, Reader, Writer};

/// Puts a policy into a message.
pub fn put(writer: &mut Writer, policy: &Policy) {
    put_prefix(writer, policy.subnet);
    put_list(writer, policy.subnet6.as_slice(), |writer, prefix| put_prefix(writer, *prefix));
    put_list(writer, &policy.dns, |writer, server| put_address(writer, *server));
    put_list(writer, &policy.allow, |writer, Destination { prefix, port }| {
        put_prefix(writer, *prefix);
        // No connection leads to port 0.
        writer.u16(port.unwrap_or(0));
    });
    put_list(writer, &policy.deny, |writer, prefix| put_prefix(writer, *prefix));
    writer.u64(policy.bandwidth);
    writer.u32(policy.connections);
}

/// Takes a policy off a message.
///
/// # Errors
/// When it is not one.
pub fn take(reader: &mut Reader<'_>) -> Result<Policy, Malformed> {
    Ok(Policy {
        subnet: take_prefix(reader)?,
        subnet6: match take_list(reader, take_prefix)?.as_slice() {
            [] => None,
            [only] => Some(*only),
            more => return Err(unknown("number of IPv6 subnets", more.len())),
        },
        dns: take_list(reader, take_address)?,
        allow: take_list(reader, |reader| {
            let (prefix, port) = (take_prefix(reader)?, reader.u16()?);
            Ok(Destination { prefix, port: Some(port).filter(|port| *port != 0) })
        })?,
        deny: take_list(reader, take_prefix)?,
        bandwidth: reader.u64()?,
        connections: reader.u32()?,
    })
}

fn put_address(writer: &mut Writer, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            writer.u8(4);
            writer.bytes(&address.octets());
        }
        IpAddr::V6(address) => {
            writer.u8(6);
            writer.bytes(&address.octets());
        }
    }
}

fn take_address(reader: &mut Reader<'_>) -> Result<IpAddr, Malformed> {
    match reader.u8()? {
        4 => reader.array::<4>().map(IpAddr::from),
        6 => reader.array::<16>().map(IpAddr::from),
        other => Err(Malformed::Unknown { field: "version of IP", value: other.into() }),
    }
}

fn put_prefix(writer: &mut Writer, prefix: Prefix) {
    put_address(writer, prefix.address());
    writer.u8(prefix.length());
}

fn take_prefix(reader: &mut Reader<'_>) -> Result<Prefix, Malformed> {
    let (address, length) = (take_address(reader)?, reader.u8()?);
    Prefix::new(address, length).map_err(|_prefix| Malformed::Unknown { field: "prefix length", value: length.into() })
}

fn put_list<T>(writer: &mut Writer, list: &[T], put: impl Fn(&mut Writer, &T)) {
    let count = u16::try_from(list.len()).unwrap_or(u16::MAX);
    writer.u16(count);
    for member in list.iter().take(count.into()) {
        put(writer, member);
    }
}

fn take_list<T>(
    reader: &mut Reader<'_>,
    take: impl Fn(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    (0..reader.u16()?).map(|_| take(reader)).collect()
}

fn unknown(field: &'static str, count: usize) -> Malformed {
    Malformed::Unknown { field, value: u64::try_from(count).unwrap_or(u64::MAX) }
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::plan::network::ENTRIES;
    use crate::plan::network::test::policy;
    use crate::wire::MAX_MESSAGE;
    use crate::wire::request::Request;

    #[test]
    fn the_longest_policy_fits_into_a_message() {
        let longest = Policy {
            allow: vec!["[fd00::1]:443".parse().unwrap(); ENTRIES],
            deny: vec!["fd00::1".parse().unwrap(); ENTRIES],
            ..policy()
        };
        let message = Request::Network(Box::new(longest.clone())).encode();
        assert!(message.len() <= MAX_MESSAGE, "{}", message.len());
        assert_eq!(Request::decode(&message), Ok(Request::Network(Box::new(longest))));
    }

    #[test]
    fn a_prefix_with_bits_beyond_its_length_is_none() {
        let mut writer = Writer::open(1);
        put_address(&mut writer, IpAddr::from([10, 0, 0, 1]));
        writer.u8(8);
        let message = writer.finish();
        let (_, mut reader) = Reader::open(&message).unwrap();
        assert!(matches!(take_prefix(&mut reader), Err(Malformed::Unknown { value: 8, .. })));
    }
}
