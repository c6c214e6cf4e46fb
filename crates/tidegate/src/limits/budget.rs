//! Memory for request bodies in progress, over all workers (SPEC LOAD-8).

use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// A number of bytes that bodies in progress may hold in all; clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    used: Arc<AtomicU64>,
}

/// Bytes taken from a [`Budget`], given back on drop.
#[derive(Debug)]
pub struct Reserved {
    bytes: u64,
    used: Arc<AtomicU64>,
}

impl Budget {
    /// A budget of which nothing is used.
    pub fn new() -> Self {
        Self { used: Arc::new(AtomicU64::new(0)) }
    }

    /// Takes `bytes` if then no more than `limit` bytes are used. The limit is an argument because a
    /// reload may change it while bodies are in progress.
    pub fn take(&self, bytes: u64, limit: u64) -> Option<Reserved> {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|total| *total <= limit)
            })
            .ok()
            .map(|_| Reserved { bytes, used: Arc::clone(&self.used) })
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_8_a_budget_is_never_overdrawn_and_gives_back() {
        let budget = Budget::new();
        let first = budget.take(60, 100).unwrap();
        assert!(budget.take(41, 100).is_none());
        let second = budget.take(40, 100).unwrap();
        drop(first);
        assert_eq!(budget.used(), 40);
        drop(second);
        assert_eq!(budget.used(), 0);
        assert!(budget.take(u64::MAX, 100).is_none());
    }
}
