//! What each kind of client got.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::weather::Failed;

/// So many faults of a kind are told in words; their number says the rest.
const MOST_TOLD: usize = 5;

/// One kind of client.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) name: &'static str,
    right: AtomicU64,
    /// Failures and refusals that what was done to the server explains.
    explained: AtomicU64,
    wrong: AtomicU64,
    told: Mutex<Vec<String>>,
}

/// What came of one request: `Ok` where all was right.
pub(super) type Outcome = Result<(), Failed>;

impl Counts {
    pub(super) fn new(name: &'static str) -> Self {
        let zero = || AtomicU64::new(0);
        Self { name, right: zero(), explained: zero(), wrong: zero(), told: Mutex::default() }
    }

    pub(super) fn add(&self, outcome: Outcome) {
        match outcome {
            Ok(()) => _ = self.right.fetch_add(1, Ordering::Relaxed),
            Err(Failed::Explained) => _ = self.explained.fetch_add(1, Ordering::Relaxed),
            Err(Failed::Cut(what) | Failed::Wrong(what)) => self.wrong(what),
        }
    }

    pub(super) fn wrong(&self, what: String) {
        self.wrong.fetch_add(1, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < MOST_TOLD {
            eprintln!("wrong, {}: {what}", self.name);
            told.push(what);
        }
    }

    /// Right, explained and wrong ones.
    pub(super) fn sums(&self) -> [u64; 3] {
        [&self.right, &self.explained, &self.wrong].map(|count| count.load(Ordering::Relaxed))
    }
}

/// An outcome that nothing explains.
pub(super) fn wrong<T>(what: impl Into<String>) -> Result<T, Failed> {
    Err(Failed::Wrong(what.into()))
}
