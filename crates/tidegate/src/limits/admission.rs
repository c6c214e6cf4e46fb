//! Seats for connections (SPEC LOAD-3): at most `cap` at once over all workers; a newcomer over the cap
//! takes the seat of the connection that has been idle longest, and is refused where none is idle.
//!
//! ```text
//!  admit ──► busy ──idle()──► idle since t ──busy()──► busy
//!             │                   │
//!             │                   └─ anyone evicts ─► evicted ─ wakes its owner
//!             └─► gone ◄──────────┴──────────────────────┘        by drop of the Permit
//! ```
//! A seat is one atomic, written by its owner on each turn and read by others only when the house is full.
//! Seats and their waiting lists are touched under a lock when a connection comes or goes, never per request.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use crate::clock::Millis;
use crate::sync::lock;

const GONE: u64 = 0;
const BUSY: u64 = 1;
const EVICTED: u64 = 2;
/// An idle seat holds this plus the moment at which it became idle.
const IDLE: u64 = 3;

/// Connections that the scan for the longest idle remembers at once: one scan serves this many evictions.
const CANDIDATES: usize = 256;
/// How long a scan that found nobody idle is believed: a flood must not make each newcomer cost a scan.
const REST: Duration = Duration::from_millis(5);

/// The seats of the house; clones share them.
#[derive(Clone, Debug)]
pub struct Admission {
    house: Arc<House>,
}

#[derive(Debug)]
struct House {
    cap: AtomicUsize,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Seat {
    state: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

#[derive(Debug)]
struct Book {
    seats: Vec<Option<Arc<Seat>>>,
    free: Vec<usize>,
    taken: usize,
    peak: usize,
    /// Seats seen idle by the last scan with the state seen, longest idle last.
    candidates: Vec<(u64, Arc<Seat>)>,
    /// No scan before this moment: the last one found nobody.
    rest_until: Millis,
}

/// A connection's seat, given back on drop.
#[derive(Debug)]
pub struct Permit {
    house: Arc<House>,
    seat: Arc<Seat>,
    number: usize,
    /// A connection is one task, whose waker never changes: it is left at the seat once.
    waker_left: Cell<bool>,
}

/// Every seat is taken and none is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HouseFull;

impl Admission {
    /// A house in which `cap` seats may be taken.
    pub fn new(cap: usize) -> Self {
        Self { house: Arc::new(House { cap: AtomicUsize::new(cap), book: Mutex::new(Book::new()) }) }
    }

    /// Changes how many seats may be taken; those over a lower cap leave by themselves.
    pub fn set_cap(&self, cap: usize) {
        self.house.cap.store(cap, Ordering::Relaxed);
    }

    /// A seat for a new connection; at the cap, in place of the longest-idle one, which is told to leave.
    ///
    /// # Errors
    /// [`HouseFull`] where no connection is idle.
    pub fn admit(&self, now: Millis) -> Result<Permit, HouseFull> {
        let mut book = lock(&self.house.book);
        if book.taken >= self.house.cap.load(Ordering::Relaxed) && !book.evict(now) {
            return Err(HouseFull);
        }
        book.taken += 1;
        book.peak = book.peak.max(book.taken);
        let seat = Arc::new(Seat { state: AtomicU64::new(BUSY), waker: Mutex::default() });
        let number = book.seat(&seat);
        drop(book);
        Ok(Permit { house: Arc::clone(&self.house), seat, number, waker_left: Cell::new(false) })
    }

    /// Connections now, and the most there were.
    pub fn connections(&self) -> (usize, usize) {
        let book = lock(&self.house.book);
        (book.taken, book.peak)
    }
}

impl Book {
    fn new() -> Self {
        let (seats, free, candidates) = (Vec::new(), Vec::new(), Vec::new());
        Self { seats, free, taken: 0, peak: 0, candidates, rest_until: Millis(0) }
    }

    /// Writes `seat` down under a free number.
    fn seat(&mut self, seat: &Arc<Seat>) -> usize {
        let number = self.free.pop().unwrap_or_else(|| {
            self.seats.push(None);
            self.seats.len() - 1
        });
        if let Some(place) = self.seats.get_mut(number) {
            *place = Some(Arc::clone(seat));
        }
        number
    }

    /// Evicts the connection that has been idle longest; false where none is idle.
    fn evict(&mut self, now: Millis) -> bool {
        if self.evict_candidate() {
            return true;
        }
        if now < self.rest_until {
            return false;
        }
        let idle = self.seats.iter().flatten().filter_map(|seat| {
            let state = seat.state.load(Ordering::Relaxed);
            (state >= IDLE).then(|| (state, Arc::clone(seat)))
        });
        self.candidates = idle.collect();
        if self.candidates.is_empty() {
            self.rest_until = now.after(REST);
        }
        self.candidates.sort_unstable_by_key(|(state, _)| std::cmp::Reverse(*state));
        let surplus = self.candidates.len().saturating_sub(CANDIDATES);
        self.candidates.drain(..surplus);
        self.evict_candidate()
    }

    fn evict_candidate(&mut self) -> bool {
        while let Some((seen, seat)) = self.candidates.pop() {
            let gone = seat.state.compare_exchange(seen, EVICTED, Ordering::AcqRel, Ordering::Relaxed);
            if gone.is_ok() {
                // From here on it counts no more, though it needs a moment to leave.
                self.taken -= 1;
                if let Some(waker) = lock(&seat.waker).as_ref() {
                    waker.wake_by_ref();
                }
                return true;
            }
        }
        false
    }
}

impl Permit {
    /// Marks the connection idle since `now`: from here on it may be evicted, and is then woken by `waker`.
    #[inline]
    pub fn idle(&self, now: Millis, waker: &Waker) {
        if !self.waker_left.replace(true) {
            *lock(&self.seat.waker) = Some(waker.clone());
        }
        let state = now.0.saturating_add(IDLE);
        // Only a busy seat becomes idle: an evicted one stays evicted, an idle one keeps its time.
        let _ = self.seat.state.compare_exchange(BUSY, state, Ordering::Release, Ordering::Relaxed);
    }

    /// Marks the connection busy; false when it was evicted meanwhile and must leave.
    #[inline]
    pub fn busy(&self) -> bool {
        let seat = &self.seat;
        let state = seat.state.load(Ordering::Acquire);
        state == BUSY
            || (state != EVICTED
                && seat.state.compare_exchange(state, BUSY, Ordering::AcqRel, Ordering::Acquire).is_ok())
    }

    /// Whether the connection was told to leave.
    #[inline]
    pub fn evicted(&self) -> bool {
        self.seat.state.load(Ordering::Acquire) == EVICTED
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        lock(&self.seat.waker).take();
        let mut book = lock(&self.house.book);
        if self.seat.state.swap(GONE, Ordering::AcqRel) != EVICTED {
            book.taken -= 1;
        }
        if let Some(place) = book.seats.get_mut(self.number) {
            *place = None;
        }
        book.free.push(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;

    const NOW: Millis = Millis(1_000);

    #[derive(Default)]
    struct Bell(AtomicU32);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn load_3_the_longest_idle_connection_makes_room() {
        let house = Admission::new(3);
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let seats: Vec<_> = (0..3).map(|_| house.admit(NOW).unwrap()).collect();
        assert_eq!(house.admit(NOW).unwrap_err(), HouseFull, "all are busy");
        seats[2].idle(Millis(10), &waker);
        seats[0].idle(Millis(20), &waker);
        assert_eq!(house.admit(NOW).unwrap_err(), HouseFull, "the last scan is believed for a moment");
        let newcomer = house.admit(NOW.after(REST)).unwrap();
        assert!(seats[2].evicted() && !seats[0].evicted() && !seats[1].evicted());
        assert_eq!(bell.0.load(Ordering::Relaxed), 1, "it was woken");
        assert!(!seats[2].busy(), "and may not serve on");
        assert_eq!(house.connections().0, 3);
        assert!(seats[0].busy(), "the other one may");
        assert_eq!(house.admit(NOW).unwrap_err(), HouseFull);
        drop((seats, newcomer));
        assert_eq!(house.connections(), (0, 3));
    }

    #[test]
    fn load_3_idle_keeps_its_first_time_until_busy_again() {
        let house = Admission::new(2);
        let waker = Waker::noop();
        let (first, second) = (house.admit(NOW).unwrap(), house.admit(NOW).unwrap());
        first.idle(Millis(5), waker);
        second.idle(Millis(6), waker);
        first.idle(Millis(50), waker);
        let _third = house.admit(NOW).unwrap();
        assert!(first.evicted() && !second.evicted());
    }

    #[test]
    fn load_3_seats_return_whatever_the_order() {
        let house = Admission::new(4);
        for round in 0..100_u64 {
            let permits: Vec<_> = (0..4).map(|_| house.admit(NOW).unwrap()).collect();
            permits[1].idle(Millis(round), Waker::noop());
            let fifth = house.admit(NOW).unwrap();
            drop(permits);
            drop(fifth);
            assert_eq!(house.connections().0, 0);
        }
    }
}
