//! The kinds of floods, and what each may cost.

use rustls::ContentType;

use super::attack::Attack;
use super::forge;
use crate::flood::door::Version;

/// One kind of flood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flood {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) attack: Attack,
    /// How much memory may grow, in bytes.
    pub(super) memory_bar: u64,
}

/// What a flood may cost that leaves nothing behind.
const LITTLE: u64 = 2 << 20;

/// Clients that never go on with their handshake, twice what a worker has under way at once; and what the server may
/// hold of 1,024: what each has sent, and its state.
const STALLED: usize = 2048;
const UNDER_WAY: u64 = 48 << 20;

/// Clients that read nothing, and what the server may hold for one: a portion that is sealed, and one to come. With
/// HTTP/2 it is a connection's bound, for as many requests as it may have.
const READERS: usize = 200;
const PORTIONS: u64 = 128 << 10;
const H2_READERS: usize = 20;
const H2_CONNECTION: u64 = 1 << 20;

pub(super) const FLOODS: [Flood; 13] = [
    flood("full", "hellos, answered with a signature, and left", Attack::Hellos(|made| made.full.clone())),
    flood("resumed", "hellos with a ticket, and left", Attack::Hellos(|made| made.resumed.clone())),
    flood("tickets", "hellos with as many spoiled tickets as fit", Attack::Hellos(forge::many_tickets)),
    flood("pieces", "hellos in records of one byte", Attack::Hellos(|made| forge::in_pieces(&made.full))),
    Flood {
        memory_bar: UNDER_WAY,
        ..flood("stalled", "2,048 whole hellos, and no more", Attack::Stalled(STALLED))
    },
    flood("ciphers", "changes of ciphers without end", Attack::Behind(forge::CHANGE_CIPHER_SPEC)),
    flood("warnings", "warnings without end, in the clear", Attack::Behind(forge::WARNING)),
    flood("keys", "changes of keys without end", Attack::Keys),
    flood("empty", "sealed records of nothing", Attack::Sealed(ContentType::ApplicationData, b"")),
    flood("alerts", "sealed warnings", Attack::Sealed(ContentType::Alert, forge::USER_CANCELED)),
    flood("message", "a sealed message of 16 MiB", Attack::Sealed(ContentType::Handshake, forge::ENDLESS)),
    Flood {
        memory_bar: READERS as u64 * PORTIONS,
        ..flood("unread", "200 that ask for files and read nothing", Attack::Unread(Version::Http1, READERS))
    },
    Flood {
        memory_bar: H2_READERS as u64 * H2_CONNECTION,
        ..flood(
            "unread-h2",
            "20 that ask for 100 files each, open all windows and read nothing",
            Attack::Unread(Version::Http2, H2_READERS),
        )
    },
];

const fn flood(name: &'static str, what: &'static str, attack: Attack) -> Flood {
    Flood { name, what, attack, memory_bar: LITTLE }
}
