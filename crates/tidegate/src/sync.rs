//! Locks whose holders never panic; and the one place that says whose threads, locks and atomics these are.
//!
//! With the feature `shuttle` they are those of shuttle, which runs a test under thousands of schedules. Outside of
//! such a test they do not work then: with the feature, only the tests that begin with `shuttle_` can run. Shuttle takes
//! every atomic for sequentially consistent: which order an access needs is for ThreadSanitizer to judge, not for it.

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

/// Runs `test` in `few` orders of events, or in as many as `SHUTTLE_ITERATIONS` says, for a long run: half of them chosen
/// at random, half by priorities that change twice (PCT), which meets sooner what takes a few steps at the wrong moment.
#[cfg(test)]
#[cfg(feature = "shuttle")]
pub(crate) fn in_many_orders(few: usize, test: impl Fn() + Send + Sync + 'static) {
    use shuttle::scheduler::{PctScheduler, RandomScheduler};

    let asked = std::env::var("SHUTTLE_ITERATIONS").ok();
    let orders = asked.map_or(few, |number| number.parse().expect("SHUTTLE_ITERATIONS is a number"));
    let mut config = shuttle::Config::new();
    // A thread of shuttle's has 32 KiB of stack, and a compressor more on it than that.
    config.stack_size = 512 * 1024;
    let (test, again) = (std::sync::Arc::new(test), config.clone());
    let half = std::sync::Arc::clone(&test);
    shuttle::Runner::new(RandomScheduler::new(orders - orders / 2), config).run(move || half());
    shuttle::Runner::new(PctScheduler::new(3, orders / 2), again).run(move || test());
}
