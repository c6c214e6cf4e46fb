//! Counters of one worker, summed when somebody asks.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::Histogram;
use super::labels::{self, CELLS};
use super::totals::Totals;
use crate::clock::Millis;
use crate::http::reject::{Code, Event};
use crate::http::request::Method;

/// What one worker has done since start. Only its worker writes, so an addition is a load and a store, with
/// no locked instruction; anyone may read. Recording a common answer touches two cache lines: the first one here, and
/// that of its method and status.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Tally {
    requests: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    cache_hits: AtomicU64,
    cache_misses: AtomicU64,
    active: AtomicU64,
    connections: AtomicU64,
    turned: AtomicU64,
    durations: [Histogram; CELLS],
    http2: AtomicU64,
    handshakes: [AtomicU64; Handshake::ALL.len()],
    uploads: [AtomicU64; Upload::ALL.len()],
    refusals: [AtomicU64; Code::ALL.len()],
    events: [AtomicU64; Event::COUNT],
}

/// What became of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    /// It is durable, and its client was told so if it was still there.
    Stored,
    /// It was turned down: by a rule, or for want of room or of threads.
    Refused,
    /// It was begun and is not stored: an error of ours, or its client left.
    Failed,
}

impl Upload {
    /// All outcomes, each at the place of its number.
    pub const ALL: [Self; 3] = [Self::Stored, Self::Refused, Self::Failed];

    /// What an answer of `status` to an upload means; 0 where none was sent.
    pub const fn of(status: u16) -> Self {
        match status {
            201 => Self::Stored,
            0 | 499 | 500 => Self::Failed,
            _ => Self::Refused,
        }
    }

    /// The value of the label `outcome`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What became of a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Both sides agreed.
    Ok,
    /// They did not, or the client left amid it.
    Failed,
    /// It was not done in its time, or had to make way for another.
    Late,
}

impl Handshake {
    /// All outcomes, each at the place of its number.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Failed, Self::Late];

    /// The value of the label `outcome`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Late => "late",
        }
    }
}

impl Tally {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            requests: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            cache_hits: AtomicU64::new(0),
            cache_misses: AtomicU64::new(0),
            active: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            turned: AtomicU64::new(0),
            durations: [const { Histogram::new() }; CELLS],
            http2: AtomicU64::new(0),
            handshakes: [const { AtomicU64::new(0) }; Handshake::ALL.len()],
            uploads: [const { AtomicU64::new(0) }; Upload::ALL.len()],
            refusals: [const { AtomicU64::new(0) }; Code::ALL.len()],
            events: [const { AtomicU64::new(0) }; Event::COUNT],
        }
    }

    /// Counts a request that took `nanos`, or a connection that was refused before it sent one. `method` is `None`
    /// where it is not known, `status` 0 where no answer was sent; `received` and `sent` are bytes of payload.
    #[inline]
    pub fn record(&self, method: Option<Method>, status: u16, nanos: u64, received: u64, sent: u64) {
        add(&self.requests, 1);
        add(&self.received, received);
        add(&self.sent, sent);
        if let Some(durations) = self.durations.get(labels::cell(method, status)) {
            durations.record(nanos);
        }
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Requests now that wait for a file, a body or a thread.
    pub fn active_now(&self) -> u64 {
        self.active.load(Ordering::Relaxed)
    }

    /// Connections that the worker had when it last said so.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Says how many connections the worker has now.
    pub fn set_connections(&self, count: usize) {
        self.connections.store(count as u64, Ordering::Relaxed);
    }

    /// Says that the worker's loop turns.
    pub fn turn(&self, now: Millis) {
        self.turned.store(now.0, Ordering::Relaxed);
    }

    /// When it last said so.
    pub fn turned(&self) -> Millis {
        Millis(self.turned.load(Ordering::Relaxed))
    }

    /// Counts a request as active until the guard is dropped. It is for requests that wait for something: who is
    /// answered at once is never seen at it.
    pub fn active(self: &Arc<Self>) -> Active {
        add(&self.active, 1);
        Active { tally: Arc::clone(self), owner: PhantomData }
    }

    /// Counts a refusal, and the event it is, if it is one.
    pub fn refusal(&self, code: Code, event: Option<Event>) {
        add_at(&self.refusals, code as usize);
        if let Some(event) = event {
            self.event(event);
        }
    }

    /// Counts an event that refuses nothing by itself.
    pub fn event(&self, event: Event) {
        add_at(&self.events, event as usize);
    }

    /// Counts what became of an upload.
    pub fn upload(&self, outcome: Upload) {
        add_at(&self.uploads, outcome as usize);
    }

    /// Counts what became of a TLS handshake.
    pub fn handshake(&self, outcome: Handshake) {
        add_at(&self.handshakes, outcome as usize);
    }

    /// Counts that a request, which is recorded beside, came by HTTP/2.
    #[inline]
    pub fn by_http2(&self) {
        add(&self.http2, 1);
    }

    /// Counts a name that was answered from what is remembered.
    #[inline]
    pub fn cache_hit(&self) {
        add(&self.cache_hits, 1);
    }

    /// Counts a name that had to be looked for.
    #[inline]
    pub fn cache_miss(&self) {
        add(&self.cache_misses, 1);
    }

    /// The sum of `tallies`.
    pub fn sum<'a>(tallies: impl IntoIterator<Item = &'a Self>) -> Totals {
        let mut totals = Totals::default();
        for tally in tallies {
            tally.add_to(&mut totals);
        }
        totals
    }

    fn add_to(&self, totals: &mut Totals) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        totals.requests += read(&self.requests);
        totals.received += read(&self.received);
        totals.sent += read(&self.sent);
        totals.cache_hits += read(&self.cache_hits);
        totals.cache_misses += read(&self.cache_misses);
        totals.active += read(&self.active);
        totals.connections += read(&self.connections);
        for (sum, durations) in totals.durations.iter_mut().zip(&self.durations) {
            sum.absorb(&durations.read());
        }
        totals.http2 += read(&self.http2);
        let (handshakes, uploads) = (&mut totals.handshakes, &mut totals.uploads);
        let sums = handshakes.iter_mut().chain(uploads).chain(&mut totals.refusals).chain(&mut totals.events);
        let counters = self.handshakes.iter().chain(&self.uploads).chain(&self.refusals).chain(&self.events);
        sums.zip(counters).for_each(|(sum, counter)| *sum += read(counter));
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

/// A request that is active until this is dropped. It stays on the worker that owns the tally.
#[derive(Debug)]
pub struct Active {
    tally: Arc<Tally>,
    owner: PhantomData<*const ()>,
}

impl Drop for Active {
    fn drop(&mut self) {
        let active = &self.tally.active;
        active.store(active.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }
}

/// Adds to a counter that nobody else writes.
#[inline]
pub(super) fn add(counter: &AtomicU64, more: u64) {
    // A counter of nanoseconds lasts for 584 years of them.
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

fn add_at(counters: &[AtomicU64], place: usize) {
    if let Some(counter) = counters.get(place) {
        add(counter, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obs_5_tallies_sum_and_name_only_what_happened() {
        let (one, two) = (Tally::new(), Tally::new());
        one.record(Some(Method::Get), 200, 30_000, 0, 1024);
        two.record(Some(Method::Post), 201, 6_000_000, 512, 80);
        two.refusal(Code::NotFound, None);
        two.refusal(Code::QuotaExceeded, None);
        two.refusal(Code::TraversalRefused, Some(Event::Traversal));
        one.upload(Upload::Stored);
        let totals = Tally::sum([&one, &two]);
        assert_eq!((totals.requests, totals.received, totals.sent), (2, 512, 1104));
        assert_eq!(totals.uploads, [1, 0, 0]);
        let refused: Vec<_> = totals.refused().collect();
        assert_eq!(refused, [("traversal", 1), ("not_found", 1), ("quota_exceeded", 1)]);
        assert_eq!(totals.events[Event::Traversal as usize], 1);
        assert_eq!(totals.all_durations().sum, 6_030_000);
    }

    #[test]
    fn obs_2_active_requests_are_given_back_by_drop() {
        let tally = Arc::new(Tally::new());
        let (first, second) = (tally.active(), tally.active());
        assert_eq!(Tally::sum([&*tally]).active, 2);
        drop(first);
        assert_eq!(Tally::sum([&*tally]).active, 1);
        drop(second);
        assert_eq!(Tally::sum([&*tally]).active, 0);
    }

    #[test]
    fn obs_2_the_busiest_counters_share_one_cache_line() {
        assert_eq!(std::mem::offset_of!(Tally, requests), 0);
        assert_eq!(std::mem::offset_of!(Tally, durations), 64);
        assert_eq!(align_of::<Tally>(), 64);
    }

    #[test]
    fn tls_1_each_outcome_of_a_handshake_is_counted_apart() {
        let (one, two) = (Tally::new(), Tally::new());
        for (tally, outcome) in
            [(&one, Handshake::Ok), (&two, Handshake::Ok), (&two, Handshake::Failed), (&one, Handshake::Late)]
        {
            tally.handshake(outcome);
        }
        two.by_http2();
        let totals = Tally::sum([&one, &two]);
        assert_eq!((totals.handshakes, totals.http2, totals.uploads), ([2, 1, 1], 1, [0; 3]));
        assert!(Handshake::ALL.iter().enumerate().all(|(place, outcome)| *outcome as usize == place));
    }

    #[test]
    fn up_4_only_201_is_stored() {
        let of = |status| Upload::of(status).name();
        assert_eq!(
            [201, 413, 503, 507, 500, 0].map(of),
            ["stored", "refused", "refused", "refused", "failed", "failed"]
        );
        assert!(Upload::ALL.iter().enumerate().all(|(place, outcome)| *outcome as usize == place));
    }
}
