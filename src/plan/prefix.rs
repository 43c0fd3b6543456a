//! Parts of the address space, as operators write them: `10.1.0.0/16`, `[fd00::1]:443`.
//!
//! A prefix has no bits beyond its length, so that each has one form. Not here: which are closed (`plan::network`).
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// All addresses that begin alike.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Where a connection may lead: some hosts, and one port of them or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Which hosts.
    pub prefix: Prefix,
    /// Which port; all where there is none.
    pub port: Option<u16>,
}

/// The text, or the pair of numbers, was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address, or a prefix without bits beyond its length")]
pub struct NotAPrefix;

impl Prefix {
    /// Of IPv4. For tables: what is beyond the length is not looked at.
    pub(super) const fn v4([a, b, c, d]: [u8; 4], length: u8) -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), length }
    }

    /// Of IPv6, the same.
    pub(super) const fn v6(segments: u128, length: u8) -> Self {
        Self { address: IpAddr::V6(Ipv6Addr::from_bits(segments)), length }
    }

    /// The addresses that begin with the first `length` bits of this one.
    ///
    /// # Errors
    /// When there are fewer bits, or one beyond the length is set.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, NotAPrefix> {
        let prefix = Self { address, length };
        let beyond = prefix.width().checked_sub(u32::from(length)).ok_or(NotAPrefix)?;
        if prefix.bits().trailing_zeros() < beyond { Err(NotAPrefix) } else { Ok(prefix) }
    }

    /// One address.
    pub const fn whole(address: IpAddr) -> Self {
        let length = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        Self { address, length }
    }

    /// The first address.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits all have in common.
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Whether it is of IPv4.
    pub const fn is_v4(self) -> bool {
        self.address.is_ipv4()
    }

    /// The address that is so many after the first.
    pub fn nth(self, number: u32) -> IpAddr {
        match self.address {
            IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits().wrapping_add(number)).into(),
            IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits().wrapping_add(u128::from(number))).into(),
        }
    }

    /// Whether all of `other` lies in it.
    pub fn contains(self, other: Self) -> bool {
        self.length <= other.length && self.overlaps(other)
    }

    /// Whether any address lies in both.
    pub fn overlaps(self, other: Self) -> bool {
        let common = u32::from(self.length.min(other.length));
        let differing = (self.bits() ^ other.bits()).checked_shr(self.width().saturating_sub(common));
        self.is_v4() == other.is_v4() && differing.is_none_or(|bits| bits == 0)
    }

    const fn width(self) -> u32 {
        if self.is_v4() { 32 } else { 128 }
    }

    fn bits(self) -> u128 {
        match self.address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if u32::from(self.length) == self.width() {
            self.address.fmt(f)
        } else {
            write!(f, "{}/{}", self.address, self.length)
        }
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Prefix {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Self, NotAPrefix> {
        let whole = |text: &str| text.parse().map_err(|_other| NotAPrefix);
        let Some((address, length)) = text.split_once('/') else { return whole(text).map(Self::whole) };
        let digits = length.len() <= 3 && length.bytes().all(|byte| byte.is_ascii_digit());
        let length = length.parse().ok().filter(|_| digits).ok_or(NotAPrefix)?;
        Self::new(whole(address)?, length)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            None => self.prefix.fmt(f),
            Some(port) if self.prefix.is_v4() => write!(f, "{}:{port}", self.prefix),
            Some(port) => write!(f, "[{}]:{port}", self.prefix),
        }
    }
}

impl FromStr for Destination {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Self, NotAPrefix> {
        let (prefix, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once("]:").map(|(prefix, port)| (prefix, Some(port))).ok_or(NotAPrefix)?,
            None => match text.split_once(':') {
                Some((prefix, port)) if !port.contains(':') => (prefix, Some(port)),
                _ => (text, None),
            },
        };
        let port = port.map(|port| port.parse().ok().filter(|port| *port != 0).ok_or(NotAPrefix)).transpose()?;
        Ok(Self { prefix: prefix.parse()?, port })
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_has_one_form() {
        for text in ["10.1.0.0/16", "0.0.0.0/0", "10.1.2.3", "fd00::/8", "::/0", "2001:db8::1"] {
            assert_eq!(prefix(text).to_string(), text);
        }
        assert_eq!(prefix("10.1.2.3/32"), prefix("10.1.2.3"));
        for text in
            ["", "10.1.2.3/16", "10.0.0.0/33", "fd00::/129", "10.0.0.0/", "10.0.0.0/+8", "10.0/8", "::1/64", "x"]
        {
            assert_eq!(text.parse::<Prefix>(), Err(NotAPrefix), "{text}");
        }
    }

    #[test]
    fn a_destination_may_have_a_port() {
        for text in ["10.1.0.0/16", "10.1.2.3:5432", "10.1.0.0/16:443", "fd00::1", "[fd00::1]:443", "[fd00::/8]:22"] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
        assert_eq!("[fd00::/8]:22".parse::<Destination>().unwrap().port, Some(22));
        for text in ["", "10.1.2.3:", "10.1.2.3:0", "10.1.2.3:65536", "[fd00::1]", "fd00::1]:1", "[fd00::1]443", ":80"]
        {
            assert_eq!(text.parse::<Destination>(), Err(NotAPrefix), "{text}");
        }
    }

    #[test]
    fn what_lies_in_what() {
        let check = |one: &str, other: &str, contains: bool, overlaps: bool| {
            let (one, other) = (prefix(one), prefix(other));
            assert_eq!((one.contains(other), one.overlaps(other)), (contains, overlaps), "{one} {other}");
            assert_eq!(other.overlaps(one), overlaps, "{one} {other}");
        };
        check("10.0.0.0/8", "10.1.0.0/16", true, true);
        check("10.1.0.0/16", "10.0.0.0/8", false, true);
        check("10.1.0.0/16", "10.2.0.0/16", false, false);
        check("0.0.0.0/0", "10.2.0.0/16", true, true);
        check("::/0", "10.2.0.0/16", false, false);
        check("::/0", "fd00::1", true, true);
        check("0.0.0.0/0", "0.0.0.0/0", true, true);
    }

    #[test]
    fn addresses_are_counted_from_the_first() {
        assert_eq!(prefix("10.1.0.0/16").nth(258).to_string(), "10.1.1.2");
        assert_eq!(prefix("fd00::/64").nth(1).to_string(), "fd00::1");
    }
}
