//! The pool of threads for everything that may block: opening and reading files that are not in memory, checking and
//! storing uploads.
//!
//! Work waits in one bounded queue. When it is full a submission fails at once ([`Full`]); nothing on a worker ever
//! waits for a place. A panic in one job is that job's result; its thread goes on.
//!
//! ```text
//! crew    the decisions, without threads: who gets a job, who is started, who leaves, what is refused
//! status  the pool at one moment
//! ```
//!
//! A pool with a range keeps one thread free while it may grow: whoever takes a job and leaves nobody free starts
//! another thread first. So no worker ever starts a thread, which costs it more (some 60 µs) than ten cached answers,
//! and the system is asked without the lock.

mod crew;
mod status;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::config::ThreadRange;
use crate::isolate;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, lock, thread};
use crew::{Crew, Job, Next};
pub use status::{BOUNDS_SECONDS, Status, ThreadStatus, WaitHistogram};

/// A thread above the least leaves after it had nothing to do for this long: a burst that comes back within seconds
/// finds its threads, and what they cost (stack and bookkeeping) is not kept for longer than anybody would notice.
const SHRINK_AFTER: Duration = Duration::from_secs(10);

/// A handle to the pool; clones share it.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// A thread has left, or somebody has done with starting one.
    changed: Condvar,
}

struct State {
    crew: Crew<Run>,
    /// How to call each thread; `None` before it runs, when it looks without being called.
    handles: Vec<Option<thread::Thread>>,
}

type Run = Box<dyn FnOnce() + Send>;

/// The queue is full: answer 503 now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// The job ended without a result: it panicked, or the pool was shut down first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost;

/// A job's result, to be awaited.
#[derive(Debug)]
pub struct Pending<T>(oneshot::Receiver<T>);

impl<T> Future for Pending<T> {
    type Output = Result<T, Lost>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(|_| Lost)
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.status().fmt(f)
    }
}

impl Pool {
    /// Starts the least threads of `range`, named `pool-0`, `pool-1`, …, that share a queue of `queue_limit` jobs. More
    /// are started while all are busy, and leave when they had nothing to do for 10 s.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(range: ThreadRange, queue_limit: usize) -> io::Result<Self> {
        Self::with_patience(range, queue_limit, SHRINK_AFTER)
    }

    fn with_patience(range: ThreadRange, queue_limit: usize, patience: Duration) -> io::Result<Self> {
        let state = State { crew: Crew::new(range, queue_limit, patience), handles: Vec::new() };
        let pool = Self { shared: Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() }) };
        pool.resize(range, queue_limit)?;
        Ok(pool)
    }

    /// Changes the number of threads and the bound of the queue, keeping the jobs in it.
    ///
    /// # Errors
    /// When the system refuses one of the least threads; the pool then keeps the threads it has, and its new bounds.
    pub fn resize(&self, range: ThreadRange, queue_limit: usize) -> io::Result<()> {
        let mut state = self.shared.lock();
        // What somebody else starts is as good as here, or is not to be had: the least is counted from there.
        while state.crew.is_starting() {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let now = Instant::now();
        state.crew.resize(range, queue_limit, now);
        let start = state.crew.begin_start(now);
        let everybody = state.handles.clone();
        drop(state);
        everybody.iter().flatten().for_each(thread::Thread::unpark);
        start.map_or(Ok(()), |number| self.shared.start(number))
    }

    /// Gives `work` to the pool; `what` says in a few words what it is, for the status line.
    ///
    /// # Errors
    /// [`Full`] when no thread is free, the queue is at its bound and no thread is to come.
    pub fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Pending<T>, Full> {
        let (send, receive) = oneshot::channel();
        let run = Box::new(move || {
            let _ = send.send(work());
        });
        let now = Instant::now();
        let mut state = self.shared.lock();
        match state.crew.push(Job { what, since: Some(now), run }, now) {
            Ok(number) => {
                unlock_and_call(state, number);
                Ok(Pending(receive))
            }
            Err(job) => {
                state.refuse(now);
                drop(state);
                drop(job);
                Err(Full)
            }
        }
    }

    /// Gives `work`, which nobody waits for, to a thread that has nothing else to do; false where there is none. That
    /// is no refusal.
    pub fn run_spare(&self, what: &'static str, work: impl FnOnce() + Send + 'static) -> bool {
        let job = Job { what, since: None, run: Box::new(work) as Run };
        let mut state = self.shared.lock();
        match state.crew.push_spare(job, Instant::now()) {
            Ok(number) => {
                unlock_and_call(state, Some(number));
                true
            }
            Err(job) => {
                drop(state);
                drop(job);
                false
            }
        }
    }

    /// Gives the pool work that must be done some time, but for which nobody waits; it takes no place from others. The
    /// caller bounds it: there is one such job for each file that was open.
    pub fn run_later(&self, what: &'static str, work: impl FnOnce() + Send + 'static) {
        let job = Job { what, since: None, run: Box::new(work) as Run };
        let mut state = self.shared.lock();
        let number = state.crew.push_later(job, Instant::now());
        unlock_and_call(state, number);
    }

    /// Whether a thread has nothing to do.
    pub fn has_spare(&self) -> bool {
        self.shared.lock().crew.has_spare()
    }

    /// Whether [`Pool::run`] would take a job now. Where it says no, this counts as a refusal.
    ///
    /// # Errors
    /// [`Full`] as `run` would say it.
    pub fn check_room(&self) -> Result<(), Full> {
        let now = Instant::now();
        let mut state = self.shared.lock();
        if state.crew.has_room(now) {
            return Ok(());
        }
        state.refuse(now);
        Err(Full)
    }

    /// Whether a job would be refused now; asking counts as nothing.
    pub fn is_saturated(&self) -> bool {
        !self.shared.lock().crew.has_room(Instant::now())
    }

    /// The pool as it is now.
    pub fn status(&self) -> Status {
        self.shared.lock().crew.status(Instant::now())
    }

    /// Lets queued jobs finish, then ends the threads and waits for them until `deadline`.
    pub fn shut_down(&self, deadline: Instant) {
        let mut state = self.shared.lock();
        state.crew.close();
        state.handles.iter().flatten().for_each(thread::Thread::unpark);
        while !state.crew.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl State {
    fn set_handle(&mut self, number: usize, handle: Option<thread::Thread>) {
        if self.handles.len() <= number {
            self.handles.resize(number + 1, None);
        }
        if let Some(place) = self.handles.get_mut(number) {
            *place = handle;
        }
    }

    fn refuse(&mut self, now: Instant) {
        if self.crew.refuse(now) {
            let status = self.crew.status(now);
            log::warn!(
                "thread pool saturated: busy {}/{}, queue {}/{}; further work is refused with 503",
                status.busy(),
                status.size(),
                status.queued,
                status.queue_limit
            );
        }
    }
}

impl Shared {
    /// Jobs run outside this lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Starts the thread of this number, and those that are wanted behind it.
    fn start(self: &Arc<Self>, mut number: usize) -> io::Result<()> {
        loop {
            let shared = Arc::clone(self);
            let named = thread::Builder::new().name(format!("pool-{number}"));
            let spawned = named.spawn(move || shared.work(number));
            let mut state = self.lock();
            self.changed.notify_all();
            if let Err(error) = spawned {
                let (news, call) = state.crew.start_refused(Instant::now());
                unlock_and_call(state, call);
                if news {
                    log::warn!(
                        "the system refuses the thread pool-{number}: {error}; the pool stays as it is"
                    );
                }
                return Err(error);
            }
            match state.crew.started(number, Instant::now()) {
                Some(next) => number = next,
                None => return Ok(()),
            }
        }
    }

    fn work(self: &Arc<Self>, number: usize) {
        let mut state = self.lock();
        state.set_handle(number, Some(thread::current()));
        loop {
            match state.crew.next(number, Instant::now()) {
                Next::Run(job, start) => {
                    drop(state);
                    if let Some(start) = start {
                        // Refused: it was said, and this job runs all the same.
                        let _ = self.start(start);
                    }
                    run(number, job);
                }
                Next::Wait(patience) => {
                    drop(state);
                    patience.map_or_else(thread::park, thread::park_timeout);
                }
                Next::Leave(call) => {
                    state.set_handle(number, None);
                    unlock_and_call(state, call);
                    self.changed.notify_all();
                    return;
                }
            }
            state = self.lock();
        }
    }
}

/// Calls a thread to look for its job, when the lock is free for it. One that does not sleep yet will not: the call
/// stays with it until it tries.
fn unlock_and_call(state: MutexGuard<'_, State>, number: Option<usize>) {
    let handle = number.and_then(|number| state.handles.get(number).cloned().flatten());
    drop(state);
    if let Some(thread) = handle {
        thread.unpark();
    }
}

/// Runs a job; a panic ends with it.
fn run(number: usize, job: Job<Run>) {
    log::debug!("pool-{number}: {}", job.what);
    let ran = isolate::run(|| {
        crate::failpoint!("job");
        (job.run)();
    });
    if ran.is_err() {
        log::error!("pool-{number}: a job panicked while {}; the thread goes on", job.what);
    }
    log::debug!("pool-{number}: idle");
}

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod shuttle_tests;
#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests;
