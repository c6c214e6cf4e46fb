//! One `fsync` for all who wait for one.
//!
//! Who comes while a sync runs cannot rely on it, for it may have begun before his change; he waits for the next,
//! which one of those waiting performs for all. A failed sync fails everyone who waits, then and later: the kernel
//! tells a write-back error once, and the next sync of the same descriptor would claim success.

use std::sync::PoisonError;

use rustix::io::Errno;

use crate::sync::{Condvar, Mutex, lock};

/// The syncs of one descriptor.
#[derive(Debug, Default)]
pub struct GroupSync {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Changes made so far; each caller's own is counted when it comes.
    asked: u64,
    /// Changes known to be durable.
    synced: u64,
    running: bool,
    failed: Option<Errno>,
}

impl GroupSync {
    /// Returns when a sync that began after this call has succeeded. `sync` performs one, if it is this caller's
    /// turn.
    ///
    /// # Errors
    /// The error of the first sync that ever failed here.
    pub fn wait(&self, sync: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        state.asked += 1;
        let mine = state.asked;
        while state.running && state.failed.is_none() && state.synced < mine {
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(errno) = state.failed {
            return Err(errno);
        }
        if state.synced >= mine {
            return Ok(());
        }
        state.running = true;
        let covered = state.asked;
        drop(state);
        let _turn = Turn(self);
        let done = sync();
        let mut state = lock(&self.state);
        match done {
            Ok(()) => state.synced = covered,
            Err(errno) => state.failed = Some(errno),
        }
        done
    }
}

/// Whose turn it is to sync, until this is dropped: also by a panic, after which the next one syncs.
struct Turn<'g>(&'g GroupSync);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).running = false;
        self.0.news.notify_all();
    }
}

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod shuttle_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[test]
    fn up_4_many_share_a_sync_and_none_relies_on_one_that_began_before() {
        let group = GroupSync::default();
        let (begun, syncs) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    let before = begun.load(Ordering::SeqCst);
                    group
                        .wait(|| {
                            begun.fetch_add(1, Ordering::SeqCst);
                            std::thread::sleep(Duration::from_millis(5));
                            syncs.fetch_add(1, Ordering::SeqCst);
                            Ok(())
                        })
                        .unwrap();
                    assert!(syncs.load(Ordering::SeqCst) > before, "one that began later has ended");
                });
            }
        });
        assert!(begun.into_inner() < 32, "some shared");
    }

    #[test]
    fn up_5_a_failed_sync_fails_all_who_wait_and_is_never_tried_again() {
        let group = GroupSync::default();
        let tries = AtomicU32::new(0);
        let fail = || {
            tries.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            Err(Errno::IO)
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(group.wait(fail), Err(Errno::IO)));
            }
        });
        assert_eq!(group.wait(|| Ok(())), Err(Errno::IO));
        assert_eq!(tries.into_inner(), 1);
    }
}
