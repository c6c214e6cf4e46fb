//! Networks as operators write them: `10.0.0.0/8`, `2001:db8::/32`, or one address.
//!
//! Addresses have one form throughout: an IPv4 address inside an IPv6 one (`::ffff:10.0.0.1`, RFC 4291 §2.5.5.2) is the
//! IPv4 address, for a socket that takes both reports it so.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network: an address and how many of its first bits count. The other bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

/// Some networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CidrSet(Vec<Cidr>);

/// Why a text is no network; what it says reads on after "expected".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// No address stands before the slash, or there is none at all.
    #[error("an address or a network, like 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32")]
    Address,
    /// What stands behind the slash is no number of bits of that address.
    #[error("0 to {0} bits behind the slash")]
    Bits(u8),
    /// Bits are set outside of the network: which of the two was meant?
    #[error("no bits set behind those of the network: {0}")]
    HostBits(Cidr),
}

/// Bits of an IPv6 address before an IPv4 address in it.
const MAPPED: u8 = 96;

impl Cidr {
    /// Whether `address` lies in the network. An IPv4 address lies in no IPv6 network, also not in `::/0`.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && cut(address, self.bits) == self.address
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    /// Reads `ADDRESS` or `ADDRESS/BITS`. An IPv4 network in its IPv6 form (`::ffff:10.0.0.0/104`) is that IPv4
    /// network.
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| CidrError::Address)?;
        let bits = match bits {
            Some(bits) => bits_of(bits, width(address))?,
            None => width(address),
        };
        let network = Self { address: cut(address, bits), bits };
        if network.address == address {
            Ok(network.canonical())
        } else {
            Err(CidrError::HostBits(network.canonical()))
        }
    }
}

impl Cidr {
    fn canonical(self) -> Self {
        match (self.address.to_canonical(), self.bits.checked_sub(MAPPED)) {
            (address @ IpAddr::V4(_), Some(bits)) if self.address.is_ipv6() => Self { address, bits },
            _ => self,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(self.address) {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.bits)
        }
    }
}

impl CidrSet {
    /// Whether `address` lies in one of the networks.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Whether there is no network.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The networks in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &Cidr> {
        self.0.iter()
    }
}

impl FromIterator<Cidr> for CidrSet {
    fn from_iter<I: IntoIterator<Item = Cidr>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Digits only, without a sign, 0 to `most`.
fn bits_of(text: &str, most: u8) -> Result<u8, CidrError> {
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    let bits = if digits_only { text.parse().ok() } else { None };
    bits.filter(|bits| *bits <= most).ok_or(CidrError::Bits(most))
}

/// `address` with all bits behind the first `bits` zero.
fn cut(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn sec_1_a_network_is_written_back_in_its_one_form() {
        for (text, written) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/32", "192.0.2.7"),
            ("::1", "::1"),
            ("2001:DB8:0::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
        ] {
            assert_eq!(cidr(text).to_string(), written, "{text}");
        }
    }

    #[test]
    fn sec_1_what_is_no_network_is_refused_with_what_would_be_one() {
        for text in
            ["", "/8", "10.0.0", "10.0.0.0.0", "localhost", "10.0.0.1:80", "[::1]", " ::1", "fe80::1%eth0"]
        {
            assert_eq!(text.parse::<Cidr>(), Err(CidrError::Address), "{text}");
        }
        for (text, most) in
            [("10.0.0.0/33", 32), ("10.0.0.0/", 32), ("::/+8", 128), ("::/129", 128), ("::/1/1", 128)]
        {
            let error = text.parse::<Cidr>().unwrap_err();
            assert_eq!(error, CidrError::Bits(most), "{text}");
        }
        for (text, meant) in [("10.1.0.0/8", "10.0.0.0/8"), ("2001:db8::1/64", "2001:db8::/64")] {
            let error = text.parse::<Cidr>().unwrap_err();
            assert_eq!(error, CidrError::HostBits(cidr(meant)), "{text}");
            assert!(error.to_string().ends_with(meant));
        }
    }

    #[test]
    fn sec_1_a_network_holds_its_addresses_in_either_form() {
        let set: CidrSet = ["10.0.0.0/8", "2001:db8::/32", "::1"].into_iter().map(cidr).collect();
        for inside in ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3", "2001:db8:ffff::9", "::1"] {
            assert!(set.contains(ip(inside)), "{inside}");
        }
        for outside in ["9.255.255.255", "11.0.0.0", "2001:db9::", "::2", "127.0.0.1", "::10.0.0.1"] {
            assert!(!set.contains(ip(outside)), "{outside}");
        }
        assert!(cidr("0.0.0.0/0").contains(ip("255.0.0.1")));
        assert!(!cidr("::/0").contains(ip("10.0.0.1")));
        assert!(!CidrSet::default().contains(ip("::")));
    }

    proptest! {
        /// Bit by bit, as the definition says it.
        #[test]
        fn sec_1_contains_agrees_with_bits(network: u32, bits in 0_u8..=32, other: u32, shared in 0_u32..=32) {
            let network = Ipv4Addr::from_bits(network);
            let kept = cut(network.into(), bits);
            let mask = u32::MAX.checked_shl(32 - shared).unwrap_or(0);
            let other = network.to_bits() & mask | other & !mask;
            let same = (0..bits).all(|bit| (other ^ network.to_bits()) << bit >> 31 == 0);
            let cidr: Cidr = format!("{kept}/{bits}").parse().unwrap();
            prop_assert_eq!(cidr.contains(Ipv4Addr::from_bits(other).into()), same);
            prop_assert_eq!(cidr.to_string().parse::<Cidr>().unwrap(), cidr);
        }
    }
}
