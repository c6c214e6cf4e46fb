//! One sync for all who wait for one, as tidegate has it, without its care for failures: the first one ends the run.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub(crate) struct Group {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Who came so far, and of whom the change is durable.
    asked: u64,
    synced: u64,
    running: bool,
}

impl Group {
    /// Returns when a sync that began after this call has ended. `sync` is one, should it be this caller's turn.
    pub(crate) fn wait(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.lock();
        state.asked += 1;
        let mine = state.asked;
        while state.running && state.synced < mine {
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.synced >= mine {
            return Ok(());
        }
        state.running = true;
        let covered = state.asked;
        drop(state);
        let done = sync();
        let mut state = self.lock();
        (state.running, state.synced) = (false, covered);
        self.news.notify_all();
        done
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
