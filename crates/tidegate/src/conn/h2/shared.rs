//! What the requests of one HTTP/2 connection share with its driver. One thread uses it: no locks.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::conn::deadline::Slot;
use crate::conn::local::Local;
use crate::net::tls::Agreed;
use crate::pipeline::Caller;

/// Pieces of files of all streams that may wait to be written, in bytes: a client that opens large windows and then
/// does not read costs no more (ATTACKS F6).
const OWED_MOST: usize = 128 * 1024;

/// One connection, as its requests see it.
pub(super) struct Shared {
    pub(super) local: Rc<Local>,
    pub(super) caller: Caller,
    /// What was settled when TLS began; `None` in the clear.
    agreed: Option<Rc<Agreed>>,
    /// Requests that are being answered.
    under_way: Cell<usize>,
    /// Bytes handed to the HTTP/2 layer and not yet on the wire.
    owed: Cell<usize>,
    /// Bytes of payload that have left for the wire, of all streams.
    moved: Cell<i64>,
    driver: RefCell<Option<Waker>>,
    /// Who waits for `owed` to fall.
    waiting: RefCell<Vec<Waker>>,
    /// The driver has panicked.
    over: Cell<bool>,
    /// Tells those who wait for something else.
    ending: Notify,
}

impl Shared {
    pub(super) fn new(local: &Rc<Local>, caller: Caller, agreed: Option<Rc<Agreed>>) -> Self {
        Self {
            local: Rc::clone(local),
            caller,
            agreed,
            under_way: Cell::new(0),
            owed: Cell::new(0),
            moved: Cell::new(0),
            driver: RefCell::default(),
            waiting: RefCell::default(),
            over: Cell::new(false),
            ending: Notify::new(),
        }
    }

    /// What a request is told of TLS.
    pub(super) fn secured(&self) -> Option<&Agreed> {
        self.agreed.as_deref()
    }

    /// Requests that are being answered now.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.get()
    }

    /// Bytes of answers that the client has not been sent yet.
    pub(super) fn owed(&self) -> usize {
        self.owed.get()
    }

    /// Leaves the waker of the driver, for requests that end.
    pub(super) fn watch(&self, cx: &Context<'_>) {
        let mut driver = self.driver.borrow_mut();
        if !driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *driver = Some(cx.waker().clone());
        }
    }

    /// Ends every request, for the driver has panicked: where that was under the lock of the `h2` crate, it wakes nobody.
    pub(super) fn give_up(&self) {
        self.over.set(true);
        self.ending.notify_waiters();
    }

    /// Whether all is over.
    pub(super) fn is_over(&self) -> bool {
        self.over.get()
    }

    /// Waits until all is over.
    pub(super) fn over(&self) -> Notified<'_> {
        self.ending.notified()
    }

    /// Counts a request until what is returned is dropped.
    pub(super) fn begin(self: &Rc<Self>) -> UnderWay {
        self.under_way.set(self.under_way.get() + 1);
        UnderWay { shared: Rc::clone(self), _slot: self.local.deadlines.stream_slot() }
    }

    /// Waits until there is room for one more piece of a file.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if self.owed.get() < OWED_MOST {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Bytes of payload that all streams have sent so far.
    pub(super) fn moved(&self) -> i64 {
        self.moved.get()
    }

    pub(super) fn move_on(&self, count: usize) {
        self.moved.set(self.moved.get().saturating_add(i64::try_from(count).unwrap_or(i64::MAX)));
    }

    pub(super) fn owe(&self, count: usize) {
        self.owed.set(self.owed.get() + count);
    }

    pub(super) fn paid(&self, count: usize) {
        self.owed.set(self.owed.get().saturating_sub(count));
        if self.owed.get() < OWED_MOST {
            self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
        }
    }
}

/// A request that is being answered. A worker ends when all of them have, also those whose client has left.
pub(super) struct UnderWay {
    shared: Rc<Shared>,
    _slot: Slot,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.shared.under_way.set(self.shared.under_way.get().saturating_sub(1));
        if let Some(driver) = &*self.shared.driver.borrow() {
            driver.wake_by_ref();
        }
    }
}
