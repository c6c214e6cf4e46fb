//! What is held against a client: kinds of offences, what each weighs, and one of them as evidence.

use std::time::SystemTime;

use crate::http::reject::Event;

/// What a client did. The names are those of the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OffenceKind {
    /// Asked for a name outside of the root.
    Traversal,
    /// Asked for a host that is not served.
    Host,
    /// Sent what is no HTTP.
    Malformed,
    /// Asked for many names that do not exist (see `scan`).
    Scan,
    /// Did not finish a head in time.
    Slow,
    /// Asked for an admin page with a wrong token.
    Admin,
}

/// One offence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offence {
    /// What it was.
    pub kind: OffenceKind,
    /// When it was.
    pub at: SystemTime,
    /// The id of the exchange.
    pub id: u64,
    /// What was seen, at most [`TEXT_MAX`] bytes.
    pub text: Box<str>,
}

/// Bytes of an offence's text: a request line of the usual length; with them the offences kept have 1 MiB.
pub const TEXT_MAX: usize = 160;

impl OffenceKind {
    /// The offence that a security event is; rates, connections and bans have consequences of their own.
    pub const fn of(event: Event) -> Option<Self> {
        match event {
            Event::Traversal => Some(Self::Traversal),
            Event::Host => Some(Self::Host),
            Event::Malformed => Some(Self::Malformed),
            Event::Slow => Some(Self::Slow),
            Event::Admin => Some(Self::Admin),
            Event::Scan => Some(Self::Scan),
            Event::Rate | Event::Connections | Event::Ban => None,
        }
    }

    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Traversal, Self::Host, Self::Malformed, Self::Scan, Self::Slow, Self::Admin];

    /// Its name in files and labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Traversal => "traversal",
            Self::Host => "host",
            Self::Malformed => "malformed",
            Self::Scan => "scan",
            Self::Slow => "slow",
            Self::Admin => "admin",
        }
    }

    /// Points of 100: how many of its kind in ten minutes an honest client may come to.
    pub(super) fn points(self) -> u64 {
        match self {
            // One is thirty requests already; two may be a site that was moved.
            Self::Scan => 40,
            // A broken link may climb too high, but not five times.
            Self::Traversal => 25,
            // A mistyped or an old token is tried again.
            Self::Admin => 20,
            // Broken clients try again and again; this many are no accident.
            Self::Malformed => 15,
            // Old names in the DNS and bad networks are nobody's intent.
            Self::Host | Self::Slow => 10,
        }
    }
}

impl Offence {
    /// An offence seen; of a longer `text` the beginning is kept.
    pub fn new(kind: OffenceKind, at: SystemTime, id: u64, text: &str) -> Self {
        let end = text.floor_char_boundary(TEXT_MAX);
        Self { kind, at, id, text: text.get(..end).unwrap_or_default().into() }
    }
}
