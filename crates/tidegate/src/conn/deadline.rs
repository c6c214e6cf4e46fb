//! When to give up on a connection (SPEC LOAD-5). Times are arguments here; nothing reads a clock.
//!
//! A worker keeps the deadlines of all its connections in one table that a ticker scans ([`Deadlines`]): to
//! move a deadline is one store, and an idle connection costs eight bytes. The paces say what a deadline is.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use crate::clock::Millis;

/// From the handshake to the first byte; then the connection is closed without a word.
pub const FIRST_BYTE: Duration = Duration::from_secs(10);
/// From accepting a connection to the end of its TLS handshake, if it has sent anything.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long an idle connection is kept when the server ends: what its client has just sent is answered, where a close at
/// once would lose it. With a tick this stays below the 200 ms that an idle server may take to end.
pub const LAST_CALL: Duration = Duration::from_millis(50);
/// For how long input is read and dropped after the last answer (SPEC H1-9).
pub const LINGER: Duration = Duration::from_secs(2);
/// Bytes that a peer must take in each such time to be waited for longer.
pub const LINGER_PACE: u64 = LEAST_PACE * LINGER.as_secs();
/// How often the table is scanned: how late a deadline may be noticed.
pub const TICK: Duration = Duration::from_millis(100);

/// Grace before the pace of a body counts.
const BODY_GRACE: Duration = Duration::from_secs(10);
/// Slowest pace of a body or an answer, in bytes per second.
const LEAST_PACE: u64 = 1024;
/// Over which time the pace of an answer is averaged.
const WRITE_WINDOW: Duration = Duration::from_secs(30);

/// The latest moment by which more of a body must be there: ten seconds, and one more per KiB received.
pub fn body_deadline(started: Millis, received: u64) -> Millis {
    Millis(started.after(BODY_GRACE).0.saturating_add(received.saturating_mul(1000) / LEAST_PACE))
}

/// The pace of an answer: in each window of 30 s the peer must take 1 KiB per second.
#[derive(Clone, Copy, Debug)]
pub struct WritePace {
    window: Millis,
    taken: i64,
}

impl WritePace {
    /// Begins a window at `now` with `taken` bytes already at the peer. Only differences count: the number is
    /// negative while answers from before are still on their way.
    pub fn new(now: Millis, taken: i64) -> Self {
        Self { window: now, taken }
    }

    /// When this window ends.
    pub fn deadline(&self) -> Millis {
        self.window.after(WRITE_WINDOW)
    }

    /// The window ended with `taken` bytes at the peer in all: true if that is enough, and a new window
    /// begins.
    pub fn go_on(&mut self, now: Millis, taken: i64) -> bool {
        let came = u64::try_from(taken.saturating_sub(self.taken)).unwrap_or(0);
        let enough = came >= LEAST_PACE * WRITE_WINDOW.as_secs();
        *self = Self { window: now, taken };
        enough
    }
}

/// The deadlines of one worker's connections.
#[derive(Debug, Default)]
pub struct Deadlines {
    table: RefCell<Table>,
}

#[derive(Debug, Default)]
struct Table {
    at: Vec<Millis>,
    wakers: Vec<Option<Waker>>,
    free: Vec<u32>,
    /// Slots of streams, of which a connection may have many.
    streams: usize,
}

/// A deadline that has passed.
const FIRED: Millis = Millis(0);

/// One connection's deadline, given back on drop.
#[derive(Debug)]
pub struct Slot {
    owner: Rc<Deadlines>,
    index: u32,
    /// The task whose waker was left: mostly there is one, whose waker never changes, and it is left once. (A stream of
    /// HTTP/2 begins in the task of its connection and goes on in one of its own.)
    waker_of: Cell<*const ()>,
    /// Whether it is that of one stream among others.
    of_stream: bool,
}

impl Deadlines {
    /// A connection's slot, without deadline.
    pub fn slot(self: &Rc<Self>) -> Slot {
        self.slot_for(false)
    }

    /// A slot for one of the streams of a connection.
    pub fn stream_slot(self: &Rc<Self>) -> Slot {
        self.slot_for(true)
    }

    fn slot_for(self: &Rc<Self>, of_stream: bool) -> Slot {
        let mut table = self.table.borrow_mut();
        let index = table.free.pop().unwrap_or_else(|| {
            table.at.push(Millis::NEVER);
            table.wakers.push(None);
            u32::try_from(table.at.len() - 1).unwrap_or(u32::MAX)
        });
        table.streams += usize::from(of_stream);
        Slot { owner: Rc::clone(self), index, waker_of: Cell::new(std::ptr::null()), of_stream }
    }

    /// Wakes every connection whose deadline is not after `now`.
    pub fn tick(&self, now: Millis) {
        let table = &mut *self.table.borrow_mut();
        for (at, waker) in table.at.iter_mut().zip(&table.wakers) {
            if *at <= now && *at != FIRED {
                *at = FIRED;
                if let Some(waker) = waker {
                    waker.wake_by_ref();
                }
            }
        }
    }

    /// Wakes every connection, to let it see that something has changed.
    pub fn wake_all(&self) {
        for waker in self.table.borrow().wakers.iter().flatten() {
            waker.wake_by_ref();
        }
    }

    /// Forgets the end of the table, of which a crowd that has gone made use, and will hand out the lowest slots first.
    pub fn give_memory_back(&self) {
        let Table { at, wakers, free, .. } = &mut *self.table.borrow_mut();
        free.sort_unstable();
        while free.pop_if(|free| *free as usize + 1 == at.len()).is_some() {
            at.pop();
            wakers.pop();
        }
        free.reverse();
        at.shrink_to_fit();
        wakers.shrink_to_fit();
        free.shrink_to_fit();
    }

    /// Connections, and streams that may outlive theirs: who has not ended yet.
    pub fn live(&self) -> usize {
        let table = self.table.borrow();
        table.at.len() - table.free.len()
    }

    /// Connections that have a slot.
    pub fn connections(&self) -> usize {
        self.live() - self.table.borrow().streams
    }
}

impl Slot {
    /// Sets the deadline, also where an earlier one has passed.
    #[inline]
    pub fn set(&self, at: Millis) {
        if let Some(slot) = self.owner.table.borrow_mut().at.get_mut(self.index as usize) {
            *slot = at;
        }
    }

    /// Whether the deadline has passed; the calling task is woken when it does.
    #[inline]
    pub fn is_over(&self, cx: &Context<'_>) -> bool {
        let task = cx.waker().data();
        if self.waker_of.replace(task) != task {
            let mut table = self.owner.table.borrow_mut();
            if let Some(slot) = table.wakers.get_mut(self.index as usize) {
                *slot = Some(cx.waker().clone());
            }
        }
        self.owner.table.borrow().at.get(self.index as usize) == Some(&FIRED)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut table = self.owner.table.borrow_mut();
        if let Some(slot) = table.at.get_mut(self.index as usize) {
            *slot = Millis::NEVER;
        }
        let waker = table.wakers.get_mut(self.index as usize).and_then(Option::take);
        table.free.push(self.index);
        table.streams -= usize::from(self.of_stream);
        drop(table);
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_5_a_trickled_body_is_cut_and_a_steady_one_is_not() {
        let start = Millis(5_000);
        assert_eq!(body_deadline(start, 0), Millis(15_000));
        assert_eq!(body_deadline(start, 10), Millis(15_009), "bytes one by one buy next to nothing");
        assert_eq!(body_deadline(start, 1024 * 60), Millis(75_000), "1 KiB/s may go on");
    }

    #[test]
    fn load_5_an_answer_must_move_in_every_window() {
        let mut pace = WritePace::new(Millis(0), 0);
        assert_eq!(pace.deadline(), Millis(30_000));
        assert!(pace.go_on(Millis(30_000), 30 * 1024));
        assert!(!pace.go_on(Millis(60_000), 60 * 1024 - 1), "past bytes do not count again");
    }

    #[test]
    fn load_5_what_was_queued_before_a_transfer_does_not_hide_its_pace() {
        let mut pace = WritePace::new(Millis(0), -4_000_000);
        assert!(pace.go_on(Millis(30_000), -4_000_000 + 30 * 1024));
        assert!(!pace.go_on(Millis(60_000), -4_000_000 + 31 * 1024));
    }

    #[test]
    fn load_5_h2_1_a_slot_wakes_the_task_that_waits_now() {
        struct Woken(std::sync::atomic::AtomicBool);
        impl std::task::Wake for Woken {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let table = Rc::new(Deadlines::default());
        let slot = table.slot();
        slot.set(Millis(100));
        let tasks = [(); 2].map(|()| std::sync::Arc::new(Woken(false.into())));
        for task in &tasks {
            let waker = Waker::from(std::sync::Arc::clone(task));
            assert!(!slot.is_over(&Context::from_waker(&waker)));
        }
        table.tick(Millis(100));
        let woken = tasks.map(|task| task.0.load(std::sync::atomic::Ordering::Relaxed));
        assert_eq!(woken, [false, true]);
    }

    #[test]
    fn load_5_the_table_fires_once_and_reuses_slots() {
        let table = Rc::new(Deadlines::default());
        let cx = Context::from_waker(Waker::noop());
        let (first, second) = (table.slot(), table.slot());
        first.set(Millis(100));
        assert!(!first.is_over(&cx));
        table.tick(Millis(99));
        assert!(!first.is_over(&cx));
        table.tick(Millis(100));
        assert!(first.is_over(&cx) && !second.is_over(&cx));
        first.set(Millis(200));
        assert!(!first.is_over(&cx), "a new deadline begins anew");
        drop(first);
        let stream = table.stream_slot();
        assert_eq!((table.live(), table.connections()), (2, 1));
        drop(stream);
        assert_eq!((table.live(), table.connections()), (1, 1));
        let third = table.slot();
        assert_eq!(third.index, 0);
        table.tick(Millis(1_000));
        assert!(!third.is_over(&cx));
    }

    #[test]
    fn load_3_the_table_of_a_crowd_shrinks_behind_who_stayed() {
        let table = Rc::new(Deadlines::default());
        let mut crowd: Vec<_> = (0..1_000).map(|_| table.slot()).collect();
        let stayed = crowd.swap_remove(10);
        stayed.set(Millis(100));
        drop(crowd);
        table.give_memory_back();
        assert_eq!((table.table.borrow().at.len(), table.live()), (11, 1));
        let next: Vec<_> = (0..11).map(|_| table.slot()).collect();
        let next: Vec<_> = next.iter().map(|slot| slot.index).collect();
        assert_eq!(next, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11]);
        table.tick(Millis(100));
        assert!(stayed.is_over(&Context::from_waker(Waker::noop())));
    }
}
