//! What the connections of one worker share. Everything here is used by one thread: no locks.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use super::buffer::Buffers;
use super::deadline::Deadlines;
use super::handshake::Lane;
use crate::clock::{Clock, Millis, unix_of};
use crate::exchange::Exchange;
use crate::random::Ids;
use crate::site::Site;
use crate::telemetry::Recorder;

/// One worker's shared things.
pub struct Local {
    /// Time, and the fields that every response carries.
    pub clock: Clock,
    /// Memory for bytes in transit.
    pub buffers: Buffers,
    /// When to give up on whom.
    pub deadlines: Rc<Deadlines>,
    /// Where every exchange ends.
    pub recorder: Recorder,
    /// Ids for exchanges.
    pub ids: Ids,
    /// Connections without a seat that are being told so.
    pub turned_away: Cell<usize>,
    /// TLS handshakes under way.
    pub handshakes: Lane,
    site: RefCell<Rc<Site>>,
    room: Cell<usize>,
    draining: Cell<bool>,
}

impl Local {
    /// A worker that serves `site`.
    pub fn new(site: Site, clock: Clock, recorder: Recorder) -> Self {
        Self {
            clock,
            buffers: Buffers::default(),
            deadlines: Rc::default(),
            recorder,
            ids: Ids::new(),
            turned_away: Cell::new(0),
            handshakes: Lane::default(),
            room: Cell::new(room_for(&site)),
            site: RefCell::new(Rc::new(site)),
            draining: Cell::new(false),
        }
    }

    /// What is served now. A request keeps the site with which it began.
    #[inline]
    pub fn site(&self) -> Rc<Site> {
        Rc::clone(&self.site.borrow())
    }

    /// Serves `site` from the next request on.
    pub fn swap_site(&self, site: Site) {
        self.room.set(room_for(&site));
        *self.site.borrow_mut() = Rc::new(site);
    }

    /// How large a read buffer must be able to grow.
    #[inline]
    pub fn room(&self) -> usize {
        self.room.get()
    }

    /// Writes down how `exchange` ended, which is now, and returns that moment.
    pub fn record(&self, exchange: &Exchange<'_>) -> Millis {
        crate::failpoint!("record");
        let ended = Instant::now();
        let now = self.clock.at(ended);
        self.recorder.record(exchange, ended, now);
        if exchange.refusal.is_some() {
            let wall = self.recorder.wall_time(ended);
            let seen = self.site().guard.witness(exchange, now, unix_of(wall));
            self.recorder.suspect(exchange, &seen, wall, now);
        }
        now
    }

    /// From now on idle connections close, and busy ones after their answer.
    pub fn drain(&self) {
        self.draining.set(true);
        self.deadlines.wake_all();
    }

    /// Whether connections are to close.
    #[inline]
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }
}

/// A head of the largest size, and the empty line that may precede it.
fn room_for(site: &Site) -> usize {
    site.limits.head + b"\r\n".len()
}
