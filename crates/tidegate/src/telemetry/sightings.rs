//! What one worker has lately refused, so that a page can show it and explain a refusal by its id.
//!
//! ```text
//! refusal ──► all: the newest 4096, found by id ──► its kind, if it is an event: the newest 64 ──► offenders
//! ```
//! The worker writes under a lock that nobody else holds but a reader for some microseconds; an entry is plain memory
//! of a fixed size, so a flood of 404s allocates nothing, and what was never used is never touched.

use std::net::IpAddr;

use super::offenders::{Offender, Offenders};
use crate::clock::Millis;
use crate::http::reject::{Code, Event};
use crate::limits::ClientKey;
use crate::sync::{Mutex, lock};

/// Refusals that a worker remembers. Who was refused and asks why, asks within minutes; at 20 refusals a second this is
/// three of them, and it is 1.4 MiB.
pub const REFUSALS: usize = 4096;
/// Events of each kind that a worker remembers: more than a page shows. Each kind has its own, so that a flood of one
/// does not wash out the others.
pub const EVENTS: usize = 64;
/// Bytes kept of a text; request lines that people write are shorter.
const TEXT: usize = 120;

/// A refusal as it was seen.
#[derive(Clone, Copy, Debug)]
pub struct Sighting {
    /// The exchange's id, which the client has read as well.
    pub id: u64,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Who; `None` for a peer of a unix socket.
    pub client: Option<IpAddr>,
    /// Why.
    pub code: Code,
    /// The event it is, if it is one.
    pub event: Option<Event>,
    /// The status answered; 0 where no answer was sent.
    pub status: u16,
    /// Method and target.
    pub request: Text,
    /// What an operator should know; empty where the code says it all.
    pub evidence: Text,
}

impl Sighting {
    /// What an operator should know, in any case.
    pub fn why(&self) -> String {
        if self.evidence.length == 0 { self.code.row().title.to_owned() } else { self.evidence.shown() }
    }
}

/// The beginning of a text, kept inline. It holds what the client sent: whoever shows it escapes it.
#[derive(Clone, Copy)]
pub struct Text {
    bytes: [u8; TEXT],
    length: u8,
    cut: bool,
}

/// What one worker has lately refused.
#[derive(Debug)]
pub struct Sightings(Mutex<Seen>);

#[derive(Debug)]
struct Seen {
    /// The ids of `refusals`, apart, so that a search walks through 32 KiB.
    ids: Ring<u64>,
    refusals: Ring<Sighting>,
    events: [Ring<Sighting>; Event::COUNT],
    offenders: Offenders<ClientKey>,
}

impl Sightings {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self(Mutex::new(Seen {
            ids: Ring::new(REFUSALS),
            refusals: Ring::new(REFUSALS),
            events: std::array::from_fn(|_| Ring::new(EVENTS)),
            offenders: Offenders::new(),
        }))
    }

    /// Remembers a refusal of `client`.
    pub fn refusal(&self, sighting: &Sighting, client: ClientKey, now: Millis) {
        let mut seen = lock(&self.0);
        seen.ids.push(&sighting.id);
        seen.refusals.push(sighting);
        seen.event(sighting);
        seen.offenders.refused(client, sighting.event, now);
    }

    /// Remembers an event that refused nothing by itself: a scan that was noticed, a ban that began.
    pub fn event(&self, sighting: &Sighting) {
        lock(&self.0).event(sighting);
    }

    /// The refusal with this id, if it is still remembered.
    pub fn find(&self, id: u64) -> Option<Sighting> {
        let seen = lock(&self.0);
        let place = seen.ids.slots.iter().position(|known| *known == id);
        let refusal = place.and_then(|place| seen.refusals.slots.get(place));
        // Events are remembered for longer, for there are fewer of them.
        let mut events = seen.events.iter().flat_map(|kind| &kind.slots);
        refusal.or_else(|| events.find(|event| event.id == id)).copied()
    }

    /// The newest `most` events of each kind, in no order.
    pub fn events(&self, most: usize) -> Vec<Sighting> {
        let seen = lock(&self.0);
        seen.events.iter().flat_map(|kind| kind.newest().take(most)).copied().collect()
    }

    /// The newest `most` refusals, the newest first.
    pub fn refusals(&self, most: usize) -> Vec<Sighting> {
        lock(&self.0).refusals.newest().take(most).copied().collect()
    }

    /// The heaviest clients at `now`, in no order.
    pub fn offenders(&self, now: Millis) -> Vec<Offender<ClientKey>> {
        lock(&self.0).offenders.watched(now)
    }
}

impl Default for Sightings {
    fn default() -> Self {
        Self::new()
    }
}

impl Seen {
    fn event(&mut self, sighting: &Sighting) {
        let kind = sighting.event.and_then(|event| self.events.get_mut(event as usize));
        if let Some(kind) = kind {
            kind.push(sighting);
        }
    }
}

impl Text {
    /// The beginning of `parts`, with blanks between them.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut text = Self { bytes: [0; TEXT], length: 0, cut: false };
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                text.push(b" ");
            }
            text.push(part);
        }
        text
    }

    /// It as text, with `…` where it was cut; what is not UTF-8 shows as `�`.
    pub fn shown(&self) -> String {
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        if self.cut {
            // A cut may have gone through a character.
            text.truncate(text.trim_end_matches(char::REPLACEMENT_CHARACTER).len());
            text.push('…');
        }
        text
    }

    /// Becomes `other`, without touching more memory than that has text.
    fn become_like(&mut self, other: &Self) {
        let end = usize::from(other.length);
        if let (Some(room), Some(kept)) = (self.bytes.get_mut(..end), other.bytes.get(..end)) {
            room.copy_from_slice(kept);
        }
        (self.length, self.cut) = (other.length, other.cut);
    }

    fn push(&mut self, part: &[u8]) {
        let start = usize::from(self.length);
        let end = TEXT.min(start + part.len());
        if let (Some(room), Some(kept)) = (self.bytes.get_mut(start..end), part.get(..end - start)) {
            room.copy_from_slice(kept);
        }
        self.cut |= end - start < part.len();
        self.length = u8::try_from(end).unwrap_or(u8::MAX);
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.shown().fmt(f)
    }
}

/// The newest things, at most so many.
#[derive(Debug)]
struct Ring<T> {
    slots: Vec<T>,
    /// Where the next one goes once all slots are taken: the oldest lies there.
    oldest: usize,
    most: usize,
}

/// What lies in a [`Ring`]: a flood writes a ring through again and again, so that an item costs as many cache lines as
/// it changes.
trait Slot: Copy {
    fn become_like(&mut self, other: &Self);
}

impl Slot for u64 {
    fn become_like(&mut self, other: &Self) {
        *self = *other;
    }
}

impl Slot for Sighting {
    fn become_like(&mut self, other: &Self) {
        let Self { id, at, client, code, event, status, request, evidence } = self;
        (*id, *at, *client) = (other.id, other.at, other.client);
        (*code, *event, *status) = (other.code, other.event, other.status);
        request.become_like(&other.request);
        evidence.become_like(&other.evidence);
    }
}

impl<T: Slot> Ring<T> {
    fn new(most: usize) -> Self {
        // Reserved at once, so that a push never copies; the kernel gives the pages when they are first written.
        Self { slots: Vec::with_capacity(most), oldest: 0, most }
    }

    fn push(&mut self, item: &T) {
        if self.slots.len() < self.most {
            self.slots.push(*item);
        } else if let Some(slot) = self.slots.get_mut(self.oldest) {
            slot.become_like(item);
            self.oldest = if self.oldest + 1 < self.most { self.oldest + 1 } else { 0 };
        }
    }

    fn newest(&self) -> impl Iterator<Item = &T> {
        let (newer, older) = self.slots.split_at_checked(self.oldest).unwrap_or_default();
        newer.iter().rev().chain(older.iter().rev())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn sighting(id: u64, event: Option<Event>) -> Sighting {
        let code = if event.is_some() { Code::TraversalRefused } else { Code::NotFound };
        Sighting {
            id,
            at: 1_795_240_112_000 + id,
            client: Some(Ipv4Addr::new(203, 0, 113, 7).into()),
            code,
            event,
            status: code.row().status,
            request: Text::of(&[b"GET", b"/../etc/passwd"]),
            evidence: Text::of(&[b"the path has a dot segment"]),
        }
    }

    fn client() -> ClientKey {
        ClientKey::of(Ipv4Addr::new(203, 0, 113, 7).into())
    }

    #[test]
    fn obs_4_a_refusal_is_found_by_its_id_until_4096_others_came() {
        let sightings = Sightings::new();
        for id in 0..10_000 {
            sightings.refusal(&sighting(id, None), client(), Millis(0));
        }
        let found = |id| sightings.find(id).map(|found| found.id);
        let oldest = 10_000 - REFUSALS as u64;
        assert_eq!([oldest - 1, oldest, 9999, 10_000].map(found), [None, Some(oldest), Some(9999), None]);
        let newest: Vec<_> = sightings.refusals(3).iter().map(|seen| seen.id).collect();
        assert_eq!(newest, [9999, 9998, 9997]);
        assert_eq!(sightings.refusals(usize::MAX).len(), REFUSALS);
    }

    #[test]
    fn obs_3_no_kind_of_event_washes_out_another() {
        let sightings = Sightings::new();
        sightings.refusal(&sighting(1, Some(Event::Traversal)), client(), Millis(0));
        for id in 2..1000 {
            sightings.refusal(&sighting(id, Some(Event::Host)), client(), Millis(0));
            sightings.refusal(&sighting(id, None), client(), Millis(0));
        }
        sightings.event(&sighting(1000, Some(Event::Scan)));
        let of = |kind: Event| sightings.events(50).iter().filter(|seen| seen.event == Some(kind)).count();
        assert_eq!([Event::Traversal, Event::Host, Event::Scan, Event::Ban].map(of), [1, 50, 1, 0]);
        assert!(sightings.find(1).is_some() && sightings.find(1000).is_some(), "an event is found by its id");
        let offenders = sightings.offenders(Millis(0));
        assert_eq!((offenders.len(), offenders[0].refusals), (1, 1997));
    }

    #[test]
    fn obs_3_a_sighting_is_small_and_the_memory_is_bounded() {
        assert!(size_of::<Sighting>() <= 312, "{}", size_of::<Sighting>());
        let whole = (REFUSALS + Event::COUNT * EVENTS) * size_of::<Sighting>() + REFUSALS * 8;
        assert!(whole < 1536 * 1024, "{whole}");
    }

    #[test]
    fn obs_3_texts_are_cut_and_say_so() {
        let shown = |parts: &[&[u8]]| Text::of(parts).shown();
        assert_eq!(shown(&[b"GET", b"/a"]), "GET /a");
        let exact = "x".repeat(TEXT - 4);
        assert_eq!(shown(&[b"GET", exact.as_bytes()]), format!("GET {exact}"));
        assert_eq!(shown(&[b"GET", format!("{exact}y").as_bytes()]), format!("GET {exact}…"));
        let inside = format!("{}é", "x".repeat(TEXT - 1));
        assert_eq!(shown(&[inside.as_bytes()]), format!("{}…", "x".repeat(TEXT - 1)));
        assert_eq!(shown(&[b"\xff\n<b>"]), "\u{fffd}\n<b>", "it is not escaped here");
    }

    proptest! {
        #[test]
        fn obs_3_a_ring_keeps_the_newest(most in 1_usize..20, pushed in 0_u64..100) {
            let mut ring = Ring::new(most);
            (0..pushed).for_each(|item| ring.push(&item));
            let kept: Vec<_> = ring.newest().copied().collect();
            prop_assert_eq!(kept, (0..pushed).rev().take(most).collect::<Vec<_>>());
        }
    }
}
