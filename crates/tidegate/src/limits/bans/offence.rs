//! What is held against a client: one event as evidence, and what each kind weighs.

use crate::http::reject::Event;

/// One thing that a client did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offence {
    /// What it was.
    pub kind: Event,
    /// When it was, in milliseconds since 1970.
    pub at: u64,
    /// The id of the exchange.
    pub id: u64,
    /// What was seen, at most 160 bytes.
    pub text: Box<str>,
}

/// Bytes of an offence's text: a request line of the usual length. All that are kept then have 1 MiB.
pub(super) const TEXT_MAX: usize = 160;

impl Offence {
    /// An offence seen; of a longer `text` the beginning is kept.
    pub fn new(kind: Event, at: u64, id: u64, text: &str) -> Self {
        let end = text.floor_char_boundary(TEXT_MAX);
        Self { kind, at, id, text: text.get(..end).unwrap_or_default().into() }
    }
}

/// Points of 100 in ten minutes: how many of its kind an honest client may come to. 0 is no offence.
pub(super) fn points(kind: Event) -> u64 {
    match kind {
        // One is 31 requests already; two may be a site that was moved.
        Event::Scan => 40,
        // A broken link may climb too high, but not five times.
        Event::Traversal => 25,
        // A mistyped or an old token is tried again.
        Event::Admin => 20,
        // Broken clients try again and again; seven times is no accident.
        Event::Malformed => 15,
        // Old names in the DNS and bad networks are nobody's intent.
        Event::Host | Event::Slow => 10,
        // They are limited already, and that is enough.
        Event::Rate | Event::Connections | Event::Ban => 0,
    }
}
