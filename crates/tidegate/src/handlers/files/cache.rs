//! What a worker remembers of files: their content in memory where that is small, an open descriptor where it is large,
//! and their encoded fields; and of names that lead nowhere. Bounded in bytes and in entries.
//!
//! ```text
//! age      0 ────── FRESH ────────── STALE ──────────
//!          as it is │ looked at again │ a look is waited for
//!                   │ if that blocks: as it is, for now
//! ```

use std::cell::{Cell, RefCell};
use std::hash::RandomState;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quick_cache::unsync::{Cache, DefaultLifecycle};
use quick_cache::{UnitWeighter, Weighter};

use super::codings::Making;
use crate::clock::Millis;
use crate::disk::{self, Sealed};
use crate::http::negotiate::Coding;
use crate::http::response::OpenFile;
use crate::http::validators::Identity;

/// How long a worker answers from an entry without asking the file system. FILE-7 allows 1 s; the look itself and a
/// busy worker need some of that.
pub const FRESH: Duration = Duration::from_millis(800);
/// The same for a version that may change unseen. It is read anew then, so that a log costs a few looks a second.
const UNSETTLED: Duration = Duration::from_millis(200);
/// How long while a look that would block is under way.
pub const STALE: Duration = Duration::from_millis(900);

/// How often a file that has no coding, and is of a type that hardly ever has one, is asked for one beside it.
const BESIDE: Duration = Duration::from_secs(10);

/// Files that one worker expects to remember.
const FILES: usize = 4096;
/// Names that lead nowhere that one worker remembers. They have a cache of their own: a scan for a million of them
/// drives out no file.
const MISSING: usize = 4096;
/// Longer names, in bytes, are not worth remembering: nobody asks for them twice, and they would fill much memory.
const LONGEST_MISSING: usize = 255;
/// What an entry costs beside its content.
const OVERHEAD: u64 = 1024;

/// A file that was served before. But for the time of the last look it never changes: the cache knows what it weighs.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its bytes as they are.
    pub plain: Rc<Representation>,
    /// Its bytes in each coding, in the order of [`Coding::ALL`].
    pub coded: [Coded; Coding::ALL.len()],
    /// Whether codings are to be made of it.
    pub worth_coding: bool,
    /// Whether what is answered depends on `Accept-Encoding`.
    pub negotiable: bool,
    /// Whether a later change will show in its identity. Else it may be used while it is fresh, and no longer.
    pub settled: bool,
    /// When it was last compared with the file system.
    pub checked: Cell<Millis>,
    /// When the files beside it were.
    pub beside_checked: Cell<Millis>,
}

/// One coding of a file.
#[derive(Clone, Debug)]
pub enum Coded {
    /// There is none, as far as is known.
    Absent,
    /// It is no smaller than the file.
    Useless,
    /// Made by us and kept.
    Made(Rc<Representation>),
    /// A file beside the file.
    Beside(Rc<Representation>),
}

/// Bytes to answer with.
#[derive(Debug)]
pub struct Representation {
    /// Which version of which file they are, or were made of.
    pub identity: Identity,
    /// Bytes.
    pub size: u64,
    /// Strong entity-tag, with quotes.
    pub etag: String,
    /// Modification time in whole seconds.
    pub modified: SystemTime,
    /// The media type.
    pub kind: &'static str,
    /// Fields of a 200, encoded.
    pub fields: Rc<[u8]>,
    /// The bytes.
    pub content: Content,
}

/// Where the bytes are.
#[derive(Clone, Debug)]
pub enum Content {
    /// In memory.
    Memory(Arc<[u8]>),
    /// Behind a descriptor, and sealed in memory too where they are not too many.
    File(Rc<OpenFile>, Option<Rc<Sealed>>),
}

/// The entries of one worker. Not shared: no lock, no contention.
#[derive(Debug)]
pub struct FileCache {
    files: RefCell<Cache<String, Rc<Entry>, Weigh>>,
    /// Whoever asks chooses these names, so they are hashed with care: nobody shall find many that collide.
    missing: RefCell<Cache<String, Millis, UnitWeighter, RandomState>>,
}

/// Bounds of one cache.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Bytes.
    pub memory: u64,
    /// Open descriptors.
    pub descriptors: u64,
}

#[derive(Clone, Debug)]
struct Weigh {
    /// A descriptor is scarcer than memory: each counts as at least so many bytes.
    descriptor: u64,
}

impl Weighter<String, Rc<Entry>> for Weigh {
    fn weight(&self, name: &String, entry: &Rc<Entry>) -> u64 {
        let representations = entry.coded.iter().map(|coded| coded.weight(self.descriptor));
        let content = entry.plain.weight(self.descriptor) + representations.sum::<u64>();
        OVERHEAD + 2 * name.len() as u64 + content
    }
}

impl Coded {
    fn weight(&self, descriptor: u64) -> u64 {
        match self {
            Self::Absent | Self::Useless => 0,
            Self::Made(representation) | Self::Beside(representation) => representation.weight(descriptor),
        }
    }
}

impl Representation {
    fn weight(&self, descriptor: u64) -> u64 {
        match &self.content {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::File(_, None) => descriptor,
            Content::File(_, Some(_)) => self.size.max(2 * descriptor),
        }
    }

    /// Whether the bytes are still those of this version. What is in memory is; a descriptor is asked, since a
    /// file that is written to would be cut on the way.
    #[inline]
    pub fn is_as_promised(&self) -> bool {
        match &self.content {
            Content::Memory(_) | Content::File(_, Some(_)) => true,
            Content::File(file, None) => disk::identity_of(&file.fd).is_ok_and(|now| now == self.identity),
        }
    }

    /// The bytes, where they are at hand.
    pub fn in_memory(&self) -> Option<Arc<[u8]>> {
        match &self.content {
            Content::Memory(bytes) => Some(Arc::clone(bytes)),
            Content::File(..) => None,
        }
    }

    /// What a coding is made of.
    pub fn source(&self) -> Making {
        match &self.content {
            Content::Memory(bytes) => Making::OfBytes(Arc::clone(bytes)),
            Content::File(file, _) => Making::OfFile(Arc::clone(&file.fd), file.identity),
        }
    }
}

impl Entry {
    /// Whether it may be used at `now` without another look.
    #[inline]
    pub fn is_fresh(&self, now: Millis) -> bool {
        now < self.checked.get().after(if self.settled { FRESH } else { UNSETTLED })
    }

    /// Whether it may be used at `now` while it is looked at.
    pub fn is_usable(&self, now: Millis) -> bool {
        now < self.checked.get().after(STALE) && self.plain.is_as_promised()
    }

    /// Whether it is time at `now` to look for files beside it again.
    pub fn is_beside_due(&self, now: Millis) -> bool {
        let after = if self.negotiable { FRESH } else { BESIDE };
        now >= self.beside_checked.get().after(after)
    }

    /// `coding`, if it is there.
    pub fn ready(&self, coding: Coding) -> Option<Rc<Representation>> {
        match self.coded.get(coding as usize)? {
            Coded::Made(file) | Coded::Beside(file) => Some(Rc::clone(file)),
            Coded::Absent | Coded::Useless => None,
        }
    }

    /// Whether `found` is what it was beside this file in `coding` when that was last looked at: the same file, or none
    /// that counts.
    pub fn has_beside(&self, coding: Coding, found: Option<Identity>) -> bool {
        let found = found.filter(|coded| coded.is_no_older_than(&self.plain.identity));
        match self.coded.get(coding as usize) {
            Some(Coded::Beside(file)) => found == Some(file.identity),
            _ => found.is_none(),
        }
    }

    /// Whether `coding` is there, or could be made.
    pub fn may_have(&self, coding: Coding) -> bool {
        self.coded.get(coding as usize).is_some_and(|coded| match coded {
            Coded::Made(_) | Coded::Beside(_) => true,
            Coded::Absent => self.worth_coding,
            Coded::Useless => false,
        })
    }

    /// The same file, with what came of asking for `coding`.
    pub fn with(&self, coding: Coding, coded: Coded) -> Self {
        let mut entry = self.clone();
        if let Some(slot) = entry.coded.get_mut(coding as usize) {
            *slot = coded;
        }
        entry
    }
}

impl FileCache {
    /// An empty cache with `room`.
    pub fn new(room: Room) -> Self {
        let weigh = Weigh { descriptor: room.memory / room.descriptors.max(1) };
        Self {
            files: RefCell::new(Cache::with_weighter(FILES, room.memory, weigh)),
            missing: RefCell::new(Cache::with(
                MISSING,
                MISSING as u64,
                UnitWeighter,
                RandomState::new(),
                DefaultLifecycle::default(),
            )),
        }
    }

    /// The entry of `name`, however old.
    #[inline]
    pub fn get(&self, name: &str) -> Option<Rc<Entry>> {
        self.files.borrow().get(name).cloned()
    }

    /// Keeps `entry` under `name`.
    pub fn put(&self, name: &str, entry: Rc<Entry>) {
        self.missing.borrow_mut().remove(name);
        self.files.borrow_mut().insert(name.to_owned(), entry);
    }

    /// Keeps `changed` in the place of `entry`, if that is still kept.
    pub fn replace(&self, name: &str, entry: &Rc<Entry>, changed: Entry) {
        if self.get(name).is_some_and(|kept| Rc::ptr_eq(&kept, entry)) {
            self.files.borrow_mut().insert(name.to_owned(), Rc::new(changed));
        }
    }

    /// Whether `name` was found to lead nowhere, so shortly before `now` that this still holds.
    #[inline]
    pub fn is_missing(&self, name: &str, now: Millis) -> bool {
        self.missing.borrow().get(name).is_some_and(|checked| now < checked.after(FRESH))
    }

    /// Remembers that at `now` there was nothing under `name`.
    pub fn put_missing(&self, name: &str, now: Millis) {
        self.remove(name);
        if name.len() <= LONGEST_MISSING {
            self.missing.borrow_mut().insert(name.to_owned(), now);
        }
    }

    /// Forgets what is under `name`.
    pub fn remove(&self, name: &str) {
        self.files.borrow_mut().remove(name);
    }

    /// Forgets every file.
    pub fn clear(&self) {
        self.files.borrow_mut().clear();
    }
}
