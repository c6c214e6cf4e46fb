//! For whom a proxy speaks: the client is the peer or an address that was sent, what stands left of the first hop
//! that is not trusted changes nothing, and a list of addresses reads as it does naively.
//!
//! The input is the lines of a field, read as each of `Forwarded` and `X-Forwarded-For`.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use tidegate::http::forwarded::{MAX_HOPS, client};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

fuzz_target!(|data: &[u8]| fuzz::timely(data, check));

fn check(data: &[u8]) {
    let lines = || data.split(|byte| *byte == b'\n');
    let nothing = || <[&[u8]; 0]>::default();

    // Nobody is believed who is not trusted.
    assert_eq!(client(STRANGER, lines(), lines(), is_trusted), STRANGER);
    // Among strangers the last one counts, and what the line before it says does not.
    let stranger: &[u8] = b"203.0.113.7";
    let list = lines().filter(|line| !line.is_empty());
    assert_eq!(client(PEER, nothing(), list.chain([stranger]), is_trusted), STRANGER);
    // `Forwarded` is malformed as a whole or not at all.
    let element: &[u8] = b"for=203.0.113.7";
    let found = client(PEER, lines().chain([element]), nothing(), is_trusted);
    assert!(found == STRANGER || found == PEER);
    // Where all are trusted the walk ends, at the latest, after so many.
    let asked = std::cell::Cell::new(0);
    client(PEER, lines(), lines(), |_| {
        asked.set(asked.get() + 1);
        true
    });
    assert!(asked.get() <= MAX_HOPS + 1);

    let Ok(text) = str::from_utf8(data) else { return };
    let hops: Vec<&str> = text.split([',', '\n']).map(|hop| hop.trim_matches(BLANK)).collect();
    let named = hops.into_iter().filter(|hop| !hop.is_empty()).rev().take(MAX_HOPS);
    assert_eq!(client(PEER, nothing(), lines(), is_trusted), by_the_list(named));
}

fn is_trusted(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.octets()[0] == 10)
}

/// The first of `hops`, from the right, that is not trusted; the last address before one that is none.
fn by_the_list<'a>(hops: impl Iterator<Item = &'a str>) -> IpAddr {
    let mut client = PEER;
    for hop in hops {
        let Some(address) = address(hop) else { return client };
        client = address.to_canonical();
        if !is_trusted(client) {
            return client;
        }
    }
    client
}

/// An address, bare or with a port, the longer kind then in brackets (RFC 7239 §6).
fn address(hop: &str) -> Option<IpAddr> {
    if let Ok(bare) = hop.parse() {
        return Some(bare);
    }
    let (address, port) = match hop.strip_prefix('[') {
        Some(inner) => inner
            .split_once(']')
            .and_then(|(address, port)| Some((IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), port)))?,
        None => {
            let (address, _) = hop.split_once(':')?;
            (IpAddr::V4(address.parse().ok()?), &hop[address.len()..])
        }
    };
    let is_port = |port: &str| match port.strip_prefix('_') {
        Some(hidden) => {
            !hidden.is_empty()
                && hidden.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
        }
        None => (1..6).contains(&port.len()) && port.chars().all(|letter| letter.is_ascii_digit()),
    };
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(address)
}

/// What is trimmed around an element. In a head there are none of these but space and tab.
const BLANK: [char; 5] = [' ', '\t', '\n', '\r', '\x0c'];
