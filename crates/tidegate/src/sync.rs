//! Locks whose holders never panic.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes `mutex`. Nothing in this crate panics while it holds a lock, so even a poisoned one guards a whole state.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
