//! Seats for connections (SPEC LOAD-3): at most `cap` at once over all workers; a newcomer over the cap
//! takes the seat of the connection that has been idle longest, and is refused where none is idle.
//!
//! ```text
//!  free ──admit──► busy ──idle()──► idle since t ──busy()──► busy
//!   ▲               │                   │
//!   │               │                   └─ another worker evicts ─► evicted ─ wakes its owner
//!   └──── drop of the Permit ◄──────────┴────────────────────────────┘
//! ```
//! A seat is one atomic, written by its owner on each turn and read by others only when the house is full.
//! Seats and their waiting lists are touched under a lock when a connection comes or goes, never per request.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::clock::Millis;

const FREE: u64 = 0;
const BUSY: u64 = 1;
const EVICTED: u64 = 2;
/// An idle seat holds this plus the moment at which it became idle.
const IDLE: u64 = 3;

/// Connections that the scan for the longest idle remembers at once: one scan serves this many evictions.
const CANDIDATES: usize = 256;

/// The seats of the house; clones share them.
#[derive(Clone, Debug)]
pub struct Admission {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    seats: Box<[Seat]>,
    cap: AtomicUsize,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Seat {
    state: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

#[derive(Debug, Default)]
struct Book {
    free: Vec<u32>,
    taken: usize,
    peak: usize,
    /// Seats seen idle by the last scan with the state seen, longest idle last.
    candidates: Vec<(u64, u32)>,
}

/// A connection's seat, given back on drop.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    seat: u32,
    /// A connection is one task, whose waker never changes: it is left at the seat once.
    waker_left: Cell<bool>,
}

/// Every seat is taken and none is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HouseFull;

impl Admission {
    /// A house of `seats` seats, of which `cap` may be taken.
    pub fn new(seats: usize, cap: usize) -> Self {
        let count = u32::try_from(seats).unwrap_or(u32::MAX);
        let seats =
            (0..count).map(|_| Seat { state: AtomicU64::new(FREE), waker: Mutex::new(None) }).collect();
        let book = Book { free: (0..count).rev().collect(), ..Book::default() };
        Self { shared: Arc::new(Shared { seats, cap: AtomicUsize::new(cap), book: Mutex::new(book) }) }
    }

    /// Changes how many seats may be taken; those over a lower cap leave by themselves.
    pub fn set_cap(&self, cap: usize) {
        self.shared.cap.store(cap.min(self.shared.seats.len()), Ordering::Relaxed);
    }

    /// A seat for a new connection; at the cap, that of the longest-idle one, which is told to leave.
    ///
    /// # Errors
    /// [`HouseFull`] where no connection is idle.
    pub fn admit(&self) -> Result<Permit, HouseFull> {
        let mut book = lock(&self.shared.book);
        if book.taken >= self.shared.cap.load(Ordering::Relaxed) && !self.shared.evict(&mut book) {
            return Err(HouseFull);
        }
        // An evicted connection holds its seat until it has left: seats are kept in reserve for that.
        let seat = book.free.pop().ok_or(HouseFull)?;
        book.taken += 1;
        book.peak = book.peak.max(book.taken);
        drop(book);
        let permit = Permit { shared: Arc::clone(&self.shared), seat, waker_left: Cell::new(false) };
        permit.seat().state.store(BUSY, Ordering::Release);
        Ok(permit)
    }

    /// Connections now, and the most there were.
    pub fn connections(&self) -> (usize, usize) {
        let book = lock(&self.shared.book);
        (book.taken, book.peak)
    }
}

impl Shared {
    /// Evicts the connection that has been idle longest; false where none is idle.
    fn evict(&self, book: &mut Book) -> bool {
        if self.evict_candidate(book) {
            return true;
        }
        book.candidates.clear();
        for (seat, number) in self.seats.iter().zip(0_u32..) {
            let state = seat.state.load(Ordering::Relaxed);
            if state >= IDLE {
                book.candidates.push((state, number));
            }
        }
        book.candidates.sort_unstable_by(|left, right| right.cmp(left));
        let surplus = book.candidates.len().saturating_sub(CANDIDATES);
        book.candidates.drain(..surplus);
        self.evict_candidate(book)
    }

    fn evict_candidate(&self, book: &mut Book) -> bool {
        while let Some((seen, number)) = book.candidates.pop() {
            let Some(seat) = self.seats.get(number as usize) else { continue };
            let gone = seat.state.compare_exchange(seen, EVICTED, Ordering::AcqRel, Ordering::Relaxed);
            if gone.is_ok() {
                // From here on it counts no more, though it needs a moment to leave.
                book.taken -= 1;
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
        let seat = self.seat();
        if !self.waker_left.replace(true) {
            *lock(&seat.waker) = Some(waker.clone());
        }
        let state = now.0.saturating_add(IDLE);
        // Only a busy seat becomes idle: an evicted one stays evicted, an idle one keeps its time.
        let _ = seat.state.compare_exchange(BUSY, state, Ordering::Release, Ordering::Relaxed);
    }

    /// Marks the connection busy; false when it was evicted meanwhile and must leave.
    #[inline]
    pub fn busy(&self) -> bool {
        let seat = self.seat();
        let state = seat.state.load(Ordering::Acquire);
        state == BUSY
            || (state != EVICTED
                && seat.state.compare_exchange(state, BUSY, Ordering::AcqRel, Ordering::Acquire).is_ok())
    }

    /// Whether the connection was told to leave.
    #[inline]
    pub fn evicted(&self) -> bool {
        self.seat().state.load(Ordering::Acquire) == EVICTED
    }

    fn seat(&self) -> &Seat {
        &self.shared.seats[self.seat as usize]
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        lock(&self.seat().waker).take();
        let mut book = lock(&self.shared.book);
        if self.seat().state.swap(FREE, Ordering::AcqRel) != EVICTED {
            book.taken -= 1;
        }
        book.free.push(self.seat);
    }
}

/// Nothing panics while one of these locks is held, so a poisoned one is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;

    #[derive(Default)]
    struct Bell(AtomicU32);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn load_3_the_longest_idle_connection_makes_room() {
        let house = Admission::new(8, 3);
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let seats: Vec<_> = (0..3).map(|_| house.admit().unwrap()).collect();
        assert_eq!(house.admit().unwrap_err(), HouseFull, "all are busy");
        seats[2].idle(Millis(10), &waker);
        seats[0].idle(Millis(20), &waker);
        let newcomer = house.admit().unwrap();
        assert!(seats[2].evicted() && !seats[0].evicted() && !seats[1].evicted());
        assert_eq!(bell.0.load(Ordering::Relaxed), 1, "it was woken");
        assert!(!seats[2].busy(), "and may not serve on");
        assert_eq!(house.connections().0, 3);
        assert!(seats[0].busy(), "the other one may");
        assert_eq!(house.admit().unwrap_err(), HouseFull);
        drop((seats, newcomer));
        assert_eq!(house.connections(), (0, 3));
    }

    #[test]
    fn load_3_idle_keeps_its_first_time_until_busy_again() {
        let house = Admission::new(4, 2);
        let waker = Waker::noop();
        let (first, second) = (house.admit().unwrap(), house.admit().unwrap());
        first.idle(Millis(5), waker);
        second.idle(Millis(6), waker);
        first.idle(Millis(50), waker);
        let _third = house.admit().unwrap();
        assert!(first.evicted() && !second.evicted());
    }

    #[test]
    fn load_3_seats_return_whatever_the_order() {
        let house = Admission::new(6, 4);
        for round in 0..100_u64 {
            let permits: Vec<_> = (0..4).map(|_| house.admit().unwrap()).collect();
            permits[1].idle(Millis(round), Waker::noop());
            let fifth = house.admit().unwrap();
            drop(permits);
            drop(fifth);
            assert_eq!(house.connections().0, 0);
        }
    }
}
