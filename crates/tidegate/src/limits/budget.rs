//! Memory for request bodies in progress, over all workers (SPEC LOAD-8), and each client's share of it: who only begins
//! uploads must not keep all others from theirs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::ClientKey;
use crate::sync::{Arc, Mutex, lock};

/// What part of the memory one client may have: one in so many.
const PARTS: u64 = 4;

/// A number of bytes that bodies in progress may hold in all; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    book: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    used: u64,
    /// Bytes of each client that is counted and has any.
    shares: HashMap<ClientKey, u64>,
}

/// Bytes taken from a [`Budget`], given back on drop.
#[derive(Debug)]
pub struct Reserved {
    bytes: u64,
    client: Option<ClientKey>,
    book: Arc<Mutex<Book>>,
}

/// What there is to take from. These are arguments, since a reload may change them while bodies are in progress.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes for all bodies.
    pub all: u64,
    /// Bytes of the largest body; each client may have one of these.
    pub body: u64,
}

/// Why there is nothing to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// All of it is in use.
    All,
    /// The client has its share.
    Share,
}

impl Budget {
    /// Takes `bytes` for a body of `client`, who has no bound of its own where that is `None`.
    ///
    /// # Errors
    /// [`Spent`] where then more would be used than may be.
    pub fn take(&self, bytes: u64, bounds: Bounds, client: Option<ClientKey>) -> Result<Reserved, Spent> {
        let mut book = lock(&self.book);
        let within = |used: u64, most: u64| used.checked_add(bytes).filter(|total| *total <= most);
        let used = within(book.used, bounds.all).ok_or(Spent::All)?;
        if let Some(client) = client {
            let share = (bounds.all / PARTS).max(bounds.body);
            let has = book.shares.get(&client).copied().unwrap_or(0);
            let has = within(has, share).ok_or(Spent::Share)?;
            book.shares.insert(client, has);
        }
        book.used = used;
        Ok(Reserved { bytes, client, book: Arc::clone(&self.book) })
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        lock(&self.book).used
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut book = lock(&self.book);
        book.used -= self.bytes;
        let Some(Entry::Occupied(mut share)) = self.client.map(|client| book.shares.entry(client)) else {
            return;
        };
        *share.get_mut() -= self.bytes;
        if *share.get() == 0 {
            share.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { all: 100, body: 30 };

    #[test]
    fn load_8_a_budget_is_never_overdrawn_and_gives_back() {
        let budget = Budget::default();
        let first = budget.take(60, BOUNDS, None).unwrap();
        assert_eq!(budget.take(41, BOUNDS, None).unwrap_err(), Spent::All);
        let second = budget.take(40, BOUNDS, None).unwrap();
        drop(first);
        assert_eq!(budget.used(), 40);
        drop(second);
        assert_eq!(budget.used(), 0);
        assert_eq!(budget.take(u64::MAX, BOUNDS, None).unwrap_err(), Spent::All);
    }

    #[test]
    fn load_8_a_client_has_a_share_and_one_body_at_least() {
        let [one, other] = [ClientKey::UNIX, ClientKey::of([192, 0, 2, 1].into())].map(Some);
        let budget = Budget::default();
        let first = budget.take(20, BOUNDS, one).unwrap();
        assert_eq!(budget.take(11, BOUNDS, one).unwrap_err(), Spent::Share);
        let _empty = budget.take(0, BOUNDS, one).unwrap();
        let _largest = budget.take(30, BOUNDS, other).unwrap();
        drop(first);
        let _again = budget.take(30, BOUNDS, one).unwrap();
        assert_eq!(budget.used(), 60);
        assert_eq!(lock(&budget.book).shares.len(), 2);
    }
}
