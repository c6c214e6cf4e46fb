//! Locks whose holders never panic; and the one place that says whose threads, locks and atomics these are.
//!
//! With the feature `shuttle` they are those of shuttle, which runs a test under thousands of schedules. Outside of
//! such a test they do not work then: with the feature, only the tests that begin with `shuttle_` can run.

use std::sync::PoisonError;

#[cfg(not(feature = "shuttle"))]
pub use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, RwLock, atomic},
    thread,
};

#[cfg(feature = "shuttle")]
pub use shuttle::{
    sync::{Arc, Condvar, Mutex, MutexGuard, RwLock, atomic},
    thread,
};

/// Takes `mutex`. Nothing in this crate panics while it holds a lock, so even a poisoned one guards a whole state.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
