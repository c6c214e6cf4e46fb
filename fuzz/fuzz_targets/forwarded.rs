//! For whom a proxy speaks: the client is the peer or an address that was sent, and what stands left of the first hop
//! that is not trusted changes nothing.
//!
//! The input is the lines of a field, read as each of `Forwarded` and `X-Forwarded-For`.

#![no_main]

// The module stands alone, so that the whole server need not be built with a sanitizer.
#[path = "../../crates/tidegate/src/http/forwarded.rs"]
mod forwarded;

use std::net::{IpAddr, Ipv4Addr};

use forwarded::{MAX_HOPS, client};
use libfuzzer_sys::fuzz_target;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

fuzz_target!(|data: &[u8]| {
    let lines = || data.split(|byte| *byte == b'\n');
    let nothing = || <[&[u8]; 0]>::default();
    let trusted = |address: IpAddr| matches!(address, IpAddr::V4(address) if address.octets()[0] == 10);

    // Nobody is believed who is not trusted.
    assert_eq!(client(STRANGER, lines(), lines(), trusted), STRANGER);
    // Among strangers the last one counts, and what the line before it says does not.
    let stranger: &[u8] = b"203.0.113.7";
    let list = lines().filter(|line| !line.is_empty());
    assert_eq!(client(PEER, nothing(), list.chain([stranger]), trusted), STRANGER);
    // `Forwarded` is malformed as a whole or not at all.
    let element: &[u8] = b"for=203.0.113.7";
    let found = client(PEER, lines().chain([element]), nothing(), trusted);
    assert!(found == STRANGER || found == PEER);
    // Where all are trusted the walk ends, at the latest, after so many.
    let asked = std::cell::Cell::new(0);
    client(PEER, lines(), lines(), |_| {
        asked.set(asked.get() + 1);
        true
    });
    assert!(asked.get() <= MAX_HOPS + 1);
});
