//! Pages of the operator's own for refusals: `404.html` and `50x.html` in the root (SPEC FILE-9).
//!
//! A refusal waits for nothing, least of all for a pool that is saturated: what was known last is shown, and a pool
//! thread looks meanwhile.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::cache::{Entry, Room};
use super::shelf::{Find, Known, Shelf};
use crate::clock::Millis;

/// Enough for two files of any size.
pub(super) const ROOM: Room = Room { memory: 4 * 1024 * 1024, descriptors: 2 };

/// The pages of one folder, as one worker knows them.
#[derive(Debug)]
pub struct Pages {
    /// Of their own: nothing that visitors ask for drives the pages out, and nobody asks for them in a coding.
    shelf: Rc<Shelf>,
    missing: Page,
    trouble: Page,
}

#[derive(Debug)]
struct Page {
    name: &'static str,
    last: RefCell<Option<Arc<[u8]>>>,
}

impl Pages {
    pub(super) fn new(shelf: Rc<Shelf>) -> Self {
        let page = |name| Page { name, last: RefCell::default() };
        Self { shelf, missing: page("404.html"), trouble: page("50x.html") }
    }

    /// Reads the pages now, whatever it takes: for a worker that serves nobody yet.
    pub fn read(&self, now: Millis) {
        for page in [&self.missing, &self.trouble] {
            if let Known::File(entry) = self.shelf.look_and_wait(page.name, now) {
                page.keep(&entry);
            }
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
            Find::File(entry) => page.keep(&entry),
            Find::Missing | Find::Absent(_) => *page.last.borrow_mut() = None,
            Find::Ask(_) => self.shelf.look_ahead(page.name, now),
        }
        page.last.borrow().clone()
    }
}

impl Page {
    /// What is larger than 64 KiB is no page for a refusal.
    fn keep(&self, entry: &Entry) {
        *self.last.borrow_mut() = entry.plain.in_memory();
    }
}
