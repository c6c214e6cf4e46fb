//! Who a client is: the one name under which it is limited, counted and banned.
//!
//! An IPv4 address is a client. Of an IPv6 address its /64 is: that is what one subscriber is given (RFC 6177), and who
//! has it can speak from 2⁶⁴ addresses. All peers of unix sockets together are one client.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU64;
use std::str::FromStr;

/// A client's name in eight bytes.
///
/// It is the /64 of an IPv6 address. The names of the others lie where no such network is: `::/16` is reserved
/// (RFC 4291 §2.4) and holds no host but `::1`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientKey(NonZeroU64);

/// A text that names no client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address, a /64 network or `unix`, like 203.0.113.7 or 2001:db8:1:2::/64")]
pub struct NoClient;

/// Names below this one are in `::/16`.
const RESERVED_END: u64 = 1 << 48;
/// An IPv4 address follows these bits.
const V4: u64 = 4 << 32;

impl ClientKey {
    /// Every peer of a unix socket.
    pub const UNIX: Self = Self(NonZeroU64::MIN);
    /// `::/64`, where `::1` is, and with it all of `::/16`.
    const LOW: Self = Self(NonZeroU64::MIN.saturating_add(1));

    /// The client that has this address.
    #[inline]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::named(V4 | u64::from(address.to_bits())),
            IpAddr::V6(address) => {
                if let Some(translated) = translated(address) {
                    return Self::of(translated.into());
                }
                let [a, b, c, d, ..] = address.segments();
                let network =
                    [a, b, c, d].into_iter().fold(0, |bits, segment| bits << 16 | u64::from(segment));
                if network < RESERVED_END { Self::LOW } else { Self::named(network) }
            }
        }
    }

    /// The address, or the first one of the network; `None` for peers of unix sockets.
    pub fn address(self) -> Option<IpAddr> {
        let low = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
        match self {
            Self::UNIX => None,
            Self::LOW => Some(Ipv6Addr::UNSPECIFIED.into()),
            Self(name) if name.get() < RESERVED_END => Some(Ipv4Addr::from_bits(low(name.get())).into()),
            Self(name) => Some(Ipv6Addr::from_bits(u128::from(name.get()) << 64).into()),
        }
    }

    /// As a number, which is never 0 and differs for different clients.
    #[inline]
    pub fn number(self) -> u64 {
        self.0.get()
    }

    fn named(name: u64) -> Self {
        NonZeroU64::new(name).map_or(Self::LOW, Self)
    }
}

/// The IPv4 address behind a translator (`64:ff9b::/96`, RFC 6052 §2.1): all of IPv4 must not be one client.
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    }
}

impl fmt::Display for ClientKey {
    /// As operators write it: `203.0.113.7`, `2001:db8:1:2::/64` or `unix`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            None => f.write_str("unix"),
            Some(IpAddr::V4(address)) => write!(f, "{address}"),
            Some(IpAddr::V6(network)) => write!(f, "{network}/64"),
        }
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientKey({self})")
    }
}

impl FromStr for ClientKey {
    type Err = NoClient;

    /// Reads what `Display` writes, and any address of a client.
    fn from_str(text: &str) -> Result<Self, NoClient> {
        if text == "unix" {
            return Ok(Self::UNIX);
        }
        let Some(network) = text.strip_suffix("/64") else {
            return text.parse().map(Self::of).map_err(|_| NoClient);
        };
        let network: Ipv6Addr = network.parse().map_err(|_| NoClient)?;
        let client = Self::of(network.into());
        if client.address() == Some(network.into()) { Ok(client) } else { Err(NoClient) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client(address: &str) -> ClientKey {
        ClientKey::of(address.parse().unwrap())
    }

    #[test]
    fn sec_1_an_ipv6_client_is_its_64_and_an_ipv4_client_its_address() {
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
        assert_eq!(client("192.0.2.1"), client("::ffff:192.0.2.1"));
        assert_eq!(client("2001:db8:1:2::1").to_string(), "2001:db8:1:2::/64");
        assert_eq!(client("203.0.113.7").to_string(), "203.0.113.7");
        assert_eq!(client("64:ff9b::203.0.113.7"), client("203.0.113.7"), "behind a translator");
        assert_ne!(client("64:ff9b:1::203.0.113.7"), client("203.0.113.7"));
        assert_eq!(client("::1").to_string(), "::/64");
        assert_eq!(ClientKey::UNIX.to_string(), "unix");
        assert_eq!(size_of::<Option<ClientKey>>(), 8);
    }

    #[test]
    fn sec_1_no_ipv6_address_passes_for_an_ipv4_client_or_a_unix_socket() {
        for borrowed in [client("203.0.113.7"), client("0.0.0.0"), client("255.255.255.255"), ClientKey::UNIX]
        {
            let address = Ipv6Addr::from_bits(u128::from(borrowed.number()) << 64 | 1);
            assert_ne!(ClientKey::of(address.into()), borrowed);
        }
        assert_ne!(client("::1"), ClientKey::UNIX);
    }

    #[test]
    fn sec_1_a_clients_name_is_read_back_and_nothing_else_is_one() {
        for text in ["203.0.113.7", "0.0.0.0", "2001:db8:1:2::/64", "::/64", "unix"] {
            assert_eq!(text.parse::<ClientKey>().unwrap().to_string(), text);
        }
        assert_eq!("2001:db8:1:2::77".parse(), Ok(client("2001:db8:1:2::")));
        for text in [
            "",
            "UNIX",
            "203.0.113.7/32",
            "203.0.113.7/64",
            "2001:db8::1/64",
            "2001:db8::/63",
            "a",
            "1::/64 ",
        ] {
            assert_eq!(text.parse::<ClientKey>(), Err(NoClient), "{text}");
        }
    }

    proptest! {
        #[test]
        fn sec_1_a_name_leads_back_to_its_client(bits: u128, v4: u32) {
            for address in [IpAddr::from(Ipv6Addr::from_bits(bits)), Ipv4Addr::from_bits(v4).into()] {
                let client = ClientKey::of(address);
                prop_assert_eq!(client.to_string().parse(), Ok(client));
                prop_assert_eq!(client.address().map(ClientKey::of), Some(client));
            }
        }
    }
}
