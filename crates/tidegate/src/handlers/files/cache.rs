//! What a worker remembers of files: small ones whole, larger ones as an open descriptor, each with its
//! encoded fields. Bounded in bytes; entries are looked at again before they are [`FRESH`] old.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use super::resolve;
use crate::clock::Millis;
use crate::http::response::OpenFile;
use crate::http::validators::Identity;

/// How long a worker may answer from an entry without asking the file system. FILE-7 allows 1 s; the look
/// itself and a busy worker need some of that.
pub const FRESH: Duration = Duration::from_millis(500);

/// Memory for one worker's entries.
const CAPACITY: u64 = 32 * 1024 * 1024;
/// What an entry costs beside its content.
const OVERHEAD: u64 = 512;

/// A file that was served before.
#[derive(Debug)]
pub struct Entry {
    /// Which version of the file.
    pub identity: Identity,
    /// Its strong entity-tag, with quotes.
    pub etag: String,
    /// Its modification time in whole seconds.
    pub modified: SystemTime,
    /// Fields of a 200, encoded.
    pub fields: Rc<[u8]>,
    /// The content.
    pub content: Content,
    /// When it was last compared with the file system.
    pub checked: Cell<Millis>,
}

/// Where the bytes of a file are.
#[derive(Clone, Debug)]
pub enum Content {
    /// In memory.
    Memory(Rc<[u8]>),
    /// Behind a descriptor.
    File(Rc<OpenFile>),
}

/// The entries of one worker. Not shared: no lock, no contention.
#[derive(Debug)]
pub struct FileCache {
    entries: RefCell<Cache<String, Rc<Entry>, Weigh>>,
}

#[derive(Clone, Debug)]
struct Weigh {
    /// A descriptor is scarcer than memory: each counts as this many bytes.
    descriptor: u64,
}

impl Weighter<String, Rc<Entry>> for Weigh {
    fn weight(&self, name: &String, entry: &Rc<Entry>) -> u64 {
        let content = match &entry.content {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::File(_) => self.descriptor,
        };
        OVERHEAD + 2 * name.len() as u64 + content
    }
}

impl FileCache {
    /// An empty cache that holds at most about `descriptors` open files.
    pub fn new(descriptors: u64) -> Self {
        let weigh = Weigh { descriptor: CAPACITY / descriptors.max(1) };
        Self { entries: RefCell::new(Cache::with_weighter(4096, CAPACITY, weigh)) }
    }

    /// The entry of `name`, however old.
    #[inline]
    pub fn get(&self, name: &str) -> Option<Rc<Entry>> {
        self.entries.borrow().get(name).cloned()
    }

    /// Keeps `entry` under `name`.
    pub fn put(&self, name: &str, entry: Rc<Entry>) {
        self.entries.borrow_mut().insert(name.to_owned(), entry);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.entries.borrow_mut().clear();
    }

    /// Forgets `name`.
    pub fn remove(&self, name: &str) {
        self.entries.borrow_mut().remove(name);
    }
}

impl Entry {
    /// Whether it may be used at `now` without another look.
    #[inline]
    pub fn is_fresh(&self, now: Millis) -> bool {
        now < self.checked.get().after(FRESH)
    }

    /// Whether the bytes are still those of this version. What is in memory is; a descriptor is asked, since
    /// a file that is written to would be cut on the way.
    #[inline]
    pub fn is_as_promised(&self) -> bool {
        match &self.content {
            Content::Memory(_) => true,
            Content::File(file) => resolve::identity_of(&file.fd).is_ok_and(|now| now == self.identity),
        }
    }
}
