//! Pages of the operator's own for refusals: `404.html` and `50x.html` in the root (SPEC FILE-9).
//!
//! A refusal waits for nothing, least of all for a pool that is saturated: what was known last is shown, and a pool
//! thread looks meanwhile.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::cache::Room;
use super::resolve::Absent;
use super::shelf::{Find, Known, Shelf};
use crate::clock::Millis;

/// Enough for two files of any size.
pub(super) const ROOM: Room = Room { memory: 4 * 1024 * 1024, descriptors: 2 };

/// The pages of one folder, as one worker knows them.
#[derive(Debug)]
pub struct Pages {
    /// Of their own: nothing that visitors ask for drives the pages out, and nobody asks for them in a coding.
    shelf: Rc<Shelf>,
    missing: Rc<Page>,
    trouble: Rc<Page>,
}

#[derive(Debug)]
struct Page {
    name: &'static str,
    last: RefCell<Option<Arc<[u8]>>>,
    /// Whether a pool thread looks at it now.
    looked_at: Cell<bool>,
}

impl Pages {
    pub(super) fn new(shelf: Rc<Shelf>) -> Self {
        let page = |name| Rc::new(Page { name, last: RefCell::default(), looked_at: Cell::new(false) });
        Self { shelf, missing: page("404.html"), trouble: page("50x.html") }
    }

    /// Reads the pages now, whatever it takes: for a worker that serves nobody yet.
    pub fn read(&self, now: Millis) {
        for page in [&self.missing, &self.trouble] {
            page.learn(&self.shelf.look_and_wait(page.name, now));
        }
    }

    /// The page for a refusal with `status`, if there is one.
    pub fn of(&self, status: u16, now: Millis) -> Option<Arc<[u8]>> {
        let page = match status {
            404 => &self.missing,
            500..=599 => &self.trouble,
            _ => return None,
        };
        match self.shelf.find(page.name, now) {
            Find::File(entry) => page.learn(&Known::File(entry)),
            Find::Missing => page.learn(&Known::Absent(Absent::Nothing)),
            Find::Absent(absent) => page.learn(&Known::Absent(absent)),
            Find::Ask(_) => self.look(page, now),
        }
        page.last.borrow().clone()
    }

    /// Lets a pool thread look, for the next refusal.
    fn look(&self, page: &Rc<Page>, now: Millis) {
        if page.looked_at.get() {
            return;
        }
        if let Some(flight) = self.shelf.look_ahead(page.name, now) {
            page.looked_at.set(true);
            let page = Rc::clone(page);
            tokio::task::spawn_local(async move {
                page.learn(&flight.outcome().await);
                page.looked_at.set(false);
            });
        }
    }
}

impl Page {
    /// What is larger than 64 KiB is no page for a refusal.
    fn learn(&self, known: &Known) {
        match known {
            Known::File(entry) => *self.last.borrow_mut() = entry.plain.in_memory(),
            Known::Absent(_) => *self.last.borrow_mut() = None,
            Known::Saturated | Known::Lost => {}
        }
    }
}
