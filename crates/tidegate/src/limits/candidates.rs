//! Which connection has been idle longest? Asked only when there is no room, and not answered by looking at all seats
//! each time.
//!
//! ```text
//! evict ─► is a candidate still idle? ─► it goes
//!            │ none left
//!            ├─► hunger felt: whoever became idle since the last look has offered itself, and there is none ─► nobody
//!            └─► else: feel hunger, look at every seat, keep the longest idle
//! ```
//! Hunger is felt before the look, and a seat looks for hunger after it has become idle: so one of the two sees the
//! other. It ends when there are more candidates than are kept, for then somebody is idle who is not among them.

use std::collections::VecDeque;
use std::task::Waker;

use super::ClientKey;
use crate::clock::Millis;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};

const GONE: u64 = 0;
const BUSY: u64 = 1;
const EVICTED: u64 = 2;
/// An idle seat holds this plus the moment at which it became idle.
const IDLE: u64 = 3;

/// Candidates kept at once: one look at all seats serves this many evictions, and as many seats that become idle take
/// the lock to offer themselves.
const CANDIDATES: usize = 256;

/// One connection's state.
#[derive(Debug)]
pub(super) struct Seat {
    state: AtomicU64,
    waker: Mutex<Option<Waker>>,
    pub(super) client: Option<ClientKey>,
}

/// Whether a newcomer was turned away since nobody was idle.
#[derive(Debug, Default)]
pub(super) struct Hunger(AtomicBool);

/// Seats seen idle with the state seen, longest idle first.
#[derive(Debug, Default)]
pub(super) struct Candidates(VecDeque<(u64, Arc<Seat>)>);

impl Hunger {
    #[inline]
    pub(super) fn is_felt(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn set(&self, felt: bool) {
        self.0.store(felt, Ordering::SeqCst);
    }
}

impl Candidates {
    /// Evicts the one of `seats` that has been idle longest and tells it so; `None` where none is idle.
    pub(super) fn evict<'a>(
        &mut self,
        hunger: &Hunger,
        seats: impl Iterator<Item = &'a Arc<Seat>>,
    ) -> Option<Arc<Seat>> {
        if let Some(evicted) = self.evict_first() {
            return Some(evicted);
        }
        if hunger.is_felt() {
            return None;
        }
        hunger.set(true);
        let mut idle: Vec<_> = seats.filter_map(|seat| Some((seat.idle_since()?, seat))).collect();
        if idle.len() > CANDIDATES {
            hunger.set(false);
            idle.select_nth_unstable_by_key(CANDIDATES, |(since, _)| *since);
            idle.truncate(CANDIDATES);
        }
        idle.sort_unstable_by_key(|(since, _)| *since);
        self.0 = idle.into_iter().map(|(since, seat)| (since, Arc::clone(seat))).collect();
        self.evict_first()
    }

    /// Takes a seat that has become idle among the candidates, if it is asked for.
    pub(super) fn offer(&mut self, hunger: &Hunger, since: u64, seat: &Arc<Seat>) {
        if hunger.is_felt() && self.0.len() < CANDIDATES {
            self.0.push_back((since, Arc::clone(seat)));
        } else {
            hunger.set(false);
        }
    }

    fn evict_first(&mut self) -> Option<Arc<Seat>> {
        while let Some((since, seat)) = self.0.pop_front() {
            if seat.evict(since) {
                return Some(seat);
            }
        }
        None
    }
}

impl Seat {
    pub(super) fn new(client: Option<ClientKey>) -> Self {
        Self { state: AtomicU64::new(BUSY), waker: Mutex::default(), client }
    }

    /// Becomes idle at `now`: since when, as `evict` wants to hear it. Only a busy seat does: an evicted one stays
    /// evicted, an idle one keeps its time.
    #[inline]
    pub(super) fn idle(&self, now: Millis) -> Option<u64> {
        let since = now.0.saturating_add(IDLE);
        let became = self.state.compare_exchange(BUSY, since, Ordering::SeqCst, Ordering::Relaxed);
        became.is_ok().then_some(since)
    }

    fn idle_since(&self) -> Option<u64> {
        let state = self.state.load(Ordering::SeqCst);
        (state >= IDLE).then_some(state)
    }

    /// Becomes busy; false when it was evicted.
    #[inline]
    pub(super) fn busy(&self) -> bool {
        let state = self.state.load(Ordering::Acquire);
        state == BUSY
            || (state != EVICTED
                && self.state.compare_exchange(state, BUSY, Ordering::AcqRel, Ordering::Acquire).is_ok())
    }

    /// Tells the owner to leave if it is still idle since then.
    fn evict(&self, since: u64) -> bool {
        let evicted =
            self.state.compare_exchange(since, EVICTED, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if evicted && let Some(waker) = lock(&self.waker).as_ref() {
            waker.wake_by_ref();
        }
        evicted
    }

    #[inline]
    pub(super) fn is_evicted(&self) -> bool {
        self.state.load(Ordering::Acquire) == EVICTED
    }

    /// The owner has left; whether the seat counted until now.
    pub(super) fn leave(&self) -> bool {
        self.state.swap(GONE, Ordering::AcqRel) != EVICTED
    }

    pub(super) fn leave_waker(&self, waker: &Waker) {
        *lock(&self.waker) = Some(waker.clone());
    }

    pub(super) fn take_waker(&self) {
        lock(&self.waker).take();
    }
}
