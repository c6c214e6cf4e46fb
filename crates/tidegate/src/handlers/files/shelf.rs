//! From a name to what is known of it, by the cache, by a look that does not block, or by a pool thread.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use rustix::io::Errno;

use super::cache::{Coded, Entry, FileCache, Representation, Room};
use super::codings::{Asked, Codings};
use super::dress::Dress;
use super::flight::{Flight, Flights};
use super::resolve::{self, Absent, Effort, Look};
use crate::clock::Millis;
use crate::disk::WouldBlock;
use crate::http::negotiate::Coding;
use crate::http::validators::STAMP_TICK;
use crate::pool::{Full, Pending, Pool};
use crate::telemetry::Tally;

/// How many ticks of the file clock are waited for a writer to be done.
const QUIET_TRIES: usize = 6;

/// One folder, what a worker knows of it, and how it is presented.
#[derive(Debug)]
pub(super) struct Shelf {
    root: Arc<OwnedFd>,
    pub(super) dress: Dress,
    cache: FileCache,
    flights: Flights<Known>,
    means: Means,
}

/// What a shelf works with.
#[derive(Clone, Debug)]
pub struct Means {
    /// What was compressed.
    pub codings: Codings,
    /// Threads for what blocks.
    pub pool: Pool,
    /// Where it counts what it knew, and what it had to look for.
    pub tally: Arc<Tally>,
}

/// What came of looking for a name without blocking.
pub(super) enum Find {
    /// A file.
    File(Rc<Entry>),
    /// Nothing; a listing may still be had.
    Missing,
    /// Something else.
    Absent(Absent),
    /// Only a disk knows; what it was a moment ago may stand for it meanwhile.
    Ask(Option<Rc<Entry>>),
}

/// What a pool thread found.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// A file.
    File(Rc<Entry>),
    /// No file.
    Absent(Absent),
    /// The pool had no place to look once more.
    Saturated,
    /// The job panicked.
    Lost,
}

impl Shelf {
    pub(super) fn new(root: Arc<OwnedFd>, dress: Dress, room: Room, means: Means) -> Self {
        Self { root, dress, cache: FileCache::new(room), flights: Flights::default(), means }
    }

    /// What `name` is, as far as that can be told at once.
    #[inline]
    pub(super) fn find(&self, name: &str, now: Millis) -> Find {
        let known = self.cache.get(name);
        match known {
            Some(entry) if entry.is_fresh(now) && entry.plain.is_as_promised() => {
                self.means.tally.cache_hit();
                Find::File(entry)
            }
            None if self.cache.is_missing(name, now) => {
                self.means.tally.cache_hit();
                Find::Missing
            }
            known => {
                self.means.tally.cache_miss();
                match known {
                    Some(entry) => self.look_again(entry, name, now),
                    None => self.look(name, now),
                }
            }
        }
    }

    /// Lets a pool thread look, unless one does already.
    pub(super) fn ask(self: &Rc<Self>, name: &str, now: Millis) -> Result<Rc<Flight<Known>>, Full> {
        if let Some(flight) = self.flights.get(name) {
            return Ok(flight);
        }
        let found = self.order_look(name, Effort::Blocking)?;
        let flight = self.flights.begin(name);
        tokio::task::spawn_local(Rc::clone(self).land(name.to_owned(), found, now));
        Ok(flight)
    }

    fn order_look(&self, name: &str, effort: Effort) -> Result<Pending<Result<Look, WouldBlock>>, Full> {
        let (name, codings) = (name.to_owned(), self.dress.codings);
        self.in_folder("opening a file", move |root| {
            crate::failpoint!("open");
            resolve::look(root, &name, codings, effort)
        })
    }

    /// Looks at `name` now, whatever it takes: for a thread that serves nobody yet.
    pub(super) fn look_and_wait(&self, name: &str, now: Millis) -> Known {
        match resolve::look(self.root.as_fd(), name, self.dress.codings, Effort::Final) {
            Ok(look) => self.learn(look, name, now),
            Err(WouldBlock) => Known::Lost,
        }
    }

    /// Lets a pool thread look where nobody waits, and only if one has nothing else to do.
    pub(super) fn look_ahead(self: &Rc<Self>, name: &str, now: Millis) -> Option<Rc<Flight<Known>>> {
        if self.means.pool.has_spare() { self.ask(name, now).ok() } else { None }
    }

    /// `entry` in `coding`, made if need be; `None` while it is not there.
    pub(super) fn coded(&self, entry: &Rc<Entry>, name: &str, coding: Coding) -> Option<Rc<Representation>> {
        if let Some(ready) = entry.ready(coding) {
            return Some(ready);
        }
        let source = || entry.plain.source();
        match self.means.codings.ask(&entry.plain.identity, coding, source, &self.means.pool) {
            Asked::NotYet => None,
            Asked::Useless => {
                self.cache.replace(name, entry, entry.with(coding, Coded::Useless));
                None
            }
            Asked::Made(bytes) => {
                let made = Rc::new(self.dress.made(&entry.plain, name, coding, bytes));
                let changed = entry.with(coding, Coded::Made(Rc::clone(&made)));
                self.cache.replace(name, entry, changed);
                Some(made)
            }
        }
    }

    /// Lets a pool thread do something with the folder.
    pub(super) fn in_folder<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(BorrowedFd<'_>) -> T + Send + 'static,
    ) -> Result<Pending<T>, Full> {
        let root = Arc::clone(&self.root);
        self.means.pool.run(what, move || work(root.as_fd()))
    }

    /// Waits for what a pool thread finds. A file that is being written is looked at again: here, not on a thread.
    async fn land(self: Rc<Self>, name: String, found: Pending<Result<Look, WouldBlock>>, now: Millis) {
        // Whatever happens here, nobody waits for ever.
        let _landing = Landing { shelf: Rc::clone(&self), name: name.clone() };
        let mut found = found.await;
        for tries in 1..=QUIET_TRIES {
            if !matches!(found, Ok(Err(WouldBlock))) {
                break;
            }
            tokio::time::sleep(STAMP_TICK).await;
            let effort = if tries < QUIET_TRIES { Effort::Blocking } else { Effort::Final };
            match self.order_look(&name, effort) {
                Ok(pending) => found = pending.await,
                Err(Full) => return self.flights.end(&name, Known::Saturated),
            }
        }
        let known = match found {
            Ok(Ok(look)) => self.learn(look, &name, now),
            // A final look never would block; a lost one panicked.
            Ok(Err(WouldBlock)) | Err(_) => Known::Lost,
        };
        self.flights.end(&name, known);
    }

    /// A stale entry: is the file still what it was?
    fn look_again(&self, entry: Rc<Entry>, name: &str, now: Millis) -> Find {
        if !entry.settled {
            return self.look(name, now);
        }
        match self.is_still(&entry, name, now) {
            Ok(true) => {
                entry.checked.set(now);
                Find::File(entry)
            }
            Ok(false) => self.look(name, now),
            Err(WouldBlock) => Find::Ask(entry.is_usable(now).then_some(entry)),
        }
    }

    fn is_still(&self, entry: &Entry, name: &str, now: Millis) -> Result<bool, WouldBlock> {
        let identify = |name: &str| resolve::identify(self.root.as_fd(), name);
        if identify(&resolve::file_name(name))? != Some(entry.plain.identity) || !entry.plain.is_as_promised()
        {
            return Ok(false);
        }
        if self.dress.codings && entry.is_beside_due(now) {
            for coding in Coding::ALL {
                if !entry.has_beside(coding, identify(&resolve::coded_name(name, coding))?) {
                    return Ok(false);
                }
            }
            entry.beside_checked.set(now);
        }
        Ok(true)
    }

    fn look(&self, name: &str, now: Millis) -> Find {
        let look = || resolve::look(self.root.as_fd(), name, self.dress.codings, Effort::Cached);
        let mut found = look();
        if matches!(found, Ok(Err(Absent::Failed(Errno::MFILE | Errno::NFILE)))) {
            // The descriptors that are remembered here are the first to be spared.
            self.cache.clear();
            found = look();
        }
        match found {
            Err(WouldBlock) => Find::Ask(None),
            Ok(found) => match self.learn(found, name, now) {
                Known::File(entry) => Find::File(entry),
                Known::Absent(Absent::Nothing) | Known::Saturated | Known::Lost => Find::Missing,
                Known::Absent(absent) => Find::Absent(absent),
            },
        }
    }

    /// Remembers what was found.
    fn learn(&self, look: Look, name: &str, now: Millis) -> Known {
        match look {
            Ok(found) => {
                let entry = Rc::new(self.dress.entry(found, name, now, &self.means.pool));
                self.cache.put(name, Rc::clone(&entry));
                Known::File(entry)
            }
            Err(Absent::Nothing) => {
                self.cache.put_missing(name, now);
                Known::Absent(Absent::Nothing)
            }
            Err(absent) => {
                self.cache.remove(name);
                Known::Absent(absent)
            }
        }
    }
}

/// Ends a flight that did not come to its end.
struct Landing {
    shelf: Rc<Shelf>,
    name: String,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.shelf.flights.end(&self.name, Known::Lost);
    }
}
