//! The fixed pool of threads for everything that may block: opening and reading files that are not in
//! memory, checking and storing uploads.
//!
//! Work waits in one bounded queue. When it is full a submission fails at once ([`Full`]); nothing on a
//! worker ever waits for a place. A panic in one job is that job's result; its thread goes on.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::sync::lock;

/// An episode of saturation is over when nothing was refused for this long.
const EPISODE_GAP: Duration = Duration::from_secs(10);

/// So much work may be put off while there is other work.
const LATER: usize = 64;

/// A handle to the pool; clones share it.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

struct State {
    queue: VecDeque<Job>,
    /// Work that nobody waits for: done when there is no other, or when it becomes [much](LATER).
    later: VecDeque<Job>,
    queue_limit: usize,
    /// How many threads there should be; a surplus thread leaves when it next looks for work.
    size: usize,
    /// One entry per thread alive; `None` while it waits.
    doing: Vec<Option<&'static str>>,
    threads: Vec<JoinHandle<()>>,
    finished: u64,
    last_refusal: Option<Instant>,
    closed: bool,
}

struct Job {
    what: &'static str,
    run: Box<dyn FnOnce() + Send>,
}

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

/// The pool at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Threads that there should be.
    pub size: usize,
    /// What each thread does now; `None` while it waits.
    pub threads: Vec<Option<&'static str>>,
    /// Jobs that wait.
    pub queued: usize,
    /// Most jobs that may wait.
    pub queue_limit: usize,
    /// Jobs finished since start.
    pub finished: u64,
}

impl Status {
    /// Threads at work.
    pub fn busy(&self) -> usize {
        self.threads.iter().flatten().count()
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.status().fmt(f)
    }
}

impl Pool {
    /// Starts `size` threads named `pool-0`, `pool-1`, … that share a queue of `queue_limit` jobs.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(size: usize, queue_limit: usize) -> std::io::Result<Self> {
        let state = State {
            queue: VecDeque::new(),
            later: VecDeque::new(),
            queue_limit,
            size: 0,
            doing: Vec::new(),
            threads: Vec::new(),
            finished: 0,
            last_refusal: None,
            closed: false,
        };
        let pool = Self { shared: Arc::new(Shared { state: Mutex::new(state), work: Condvar::new() }) };
        pool.resize(size, queue_limit)?;
        Ok(pool)
    }

    /// Changes the number of threads and the bound of the queue, keeping the jobs in it.
    ///
    /// # Errors
    /// When the system refuses a thread; the pool then keeps the threads it has.
    pub fn resize(&self, size: usize, queue_limit: usize) -> std::io::Result<()> {
        let mut state = self.shared.lock();
        while state.doing.len() < size {
            let index = state.doing.len();
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new()
                .name(format!("pool-{index}"))
                .spawn(move || shared.work(index))?;
            state.doing.push(None);
            state.threads.push(thread);
            state.size = state.size.max(index + 1);
        }
        state.size = size;
        state.queue_limit = queue_limit;
        drop(state);
        self.shared.work.notify_all();
        Ok(())
    }

    /// Gives `work` to the pool; `what` says in a few words what it is, for the status line.
    ///
    /// # Errors
    /// [`Full`] when no thread is free and the queue is at its bound.
    pub fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Pending<T>, Full> {
        let (send, receive) = oneshot::channel();
        let run = Box::new(move || {
            let _ = send.send(work());
        });
        let mut state = self.shared.lock();
        if state.closed || !state.has_room() {
            state.refuse();
            return Err(Full);
        }
        state.queue.push_back(Job { what, run });
        drop(state);
        self.shared.work.notify_one();
        Ok(Pending(receive))
    }

    /// Gives `work`, which nobody waits for, to a thread that has nothing else to do; false where there is none. That is no
    /// refusal.
    pub fn run_spare(&self, what: &'static str, work: impl FnOnce() + Send + 'static) -> bool {
        let mut state = self.shared.lock();
        let spare = !state.closed && state.free() > state.queue.len();
        if spare {
            state.queue.push_back(Job { what, run: Box::new(work) });
            drop(state);
            self.shared.work.notify_one();
        }
        spare
    }

    /// Gives the pool work that must be done some time, but for which nobody waits; it takes no place from others. The
    /// caller bounds it: there is one such job for each file that was open.
    pub fn run_later(&self, what: &'static str, work: impl FnOnce() + Send + 'static) {
        self.shared.lock().later.push_back(Job { what, run: Box::new(work) });
        self.shared.work.notify_one();
    }

    /// Whether a thread has nothing to do.
    pub fn has_spare(&self) -> bool {
        let state = self.shared.lock();
        state.free() > state.queue.len()
    }

    /// Whether [`Pool::run`] would take a job now. Where it says no, this counts as a refusal.
    ///
    /// # Errors
    /// [`Full`] as `run` would say it.
    pub fn check_room(&self) -> Result<(), Full> {
        let mut state = self.shared.lock();
        if state.has_room() {
            return Ok(());
        }
        state.refuse();
        Err(Full)
    }

    /// Whether a job would be refused now; asking counts as nothing.
    pub fn is_saturated(&self) -> bool {
        !self.shared.lock().has_room()
    }

    /// The pool as it is now.
    pub fn status(&self) -> Status {
        let state = self.shared.lock();
        Status {
            size: state.size,
            threads: state.doing.clone(),
            queued: state.queue.len(),
            queue_limit: state.queue_limit,
            finished: state.finished,
        }
    }

    /// Lets queued jobs finish, then ends the threads and waits for them until `deadline`.
    pub fn shut_down(&self, deadline: Instant) {
        let threads = {
            let mut state = self.shared.lock();
            state.closed = true;
            std::mem::take(&mut state.threads)
        };
        self.shared.work.notify_all();
        for thread in threads {
            while !thread.is_finished() {
                if Instant::now() >= deadline {
                    return;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            let _ = thread.join();
        }
    }
}

impl State {
    fn next(&mut self) -> Option<Job> {
        let later = if self.later.len() > LATER { self.later.pop_front() } else { None };
        later.or_else(|| self.queue.pop_front()).or_else(|| self.later.pop_front())
    }

    /// A free thread takes a job that the queue only passes on.
    fn has_room(&self) -> bool {
        self.queue.len() < self.queue_limit.saturating_add(self.free())
    }

    fn free(&self) -> usize {
        self.doing.iter().filter(|doing| doing.is_none()).count()
    }

    fn refuse(&mut self) {
        let now = Instant::now();
        let news = self.last_refusal.replace(now).is_none_or(|last| now.duration_since(last) > EPISODE_GAP);
        if news {
            let (busy, queued) = (self.doing.iter().flatten().count(), self.queue.len());
            log::warn!(
                "thread pool saturated: busy {busy}/{}, queue {queued}/{}; further work is refused with 503",
                self.size,
                self.queue_limit
            );
        }
    }
}

impl Shared {
    /// Jobs run outside this lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn work(&self, index: usize) {
        let mut state = self.lock();
        loop {
            // Threads leave from the top, so that the names stay 0 to size - 1; also while there is work.
            if state.doing.len() > state.size && index + 1 == state.doing.len() && !state.closed {
                state.doing.pop();
                state.threads.pop();
                self.work.notify_all();
                return;
            }
            if let Some(job) = state.next() {
                if let Some(doing) = state.doing.get_mut(index) {
                    *doing = Some(job.what);
                }
                drop(state);
                log::debug!("pool-{index}: {}", job.what);
                if catch_unwind(AssertUnwindSafe(job.run)).is_err() {
                    log::error!("pool-{index}: a job panicked while {}; the thread goes on", job.what);
                }
                log::debug!("pool-{index}: idle");
                state = self.lock();
                state.finished += 1;
                if let Some(doing) = state.doing.get_mut(index) {
                    *doing = None;
                }
            } else if state.closed {
                return;
            } else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn wait<T>(pending: Pending<T>) -> Result<T, Lost> {
        pending.0.blocking_recv().map_err(|_| Lost)
    }

    /// A job that holds its thread until the sender is dropped.
    fn hold(pool: &Pool) -> (mpsc::Sender<()>, Result<Pending<()>, Full>) {
        let (release, held) = mpsc::channel::<()>();
        let pending = pool.run("holding", move || {
            let _ = held.recv();
        });
        (release, pending)
    }

    fn until(pool: &Pool, what: impl Fn(&Status) -> bool) {
        for _ in 0..2000 {
            if what(&pool.status()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("never came: {:?}", pool.status());
    }

    #[test]
    fn load_3_one_thread_and_a_queue_of_one_take_two_jobs_and_refuse_the_third() {
        let pool = Pool::start(1, 1).unwrap();
        let (release, first) = hold(&pool);
        until(&pool, |status| status.busy() == 1);
        let (_second_release, second) = hold(&pool);
        assert!(second.is_ok());
        assert!(pool.is_saturated());
        assert_eq!(pool.check_room(), Err(Full));
        assert!(hold(&pool).1.is_err());
        drop(release);
        assert_eq!(wait(first.unwrap()), Ok(()));
        until(&pool, |status| status.queued == 0);
        assert!(!pool.is_saturated());
    }

    #[test]
    fn load_2_spare_work_never_waits_in_the_queue() {
        let pool = Pool::start(1, 8).unwrap();
        let (release, held) = hold(&pool);
        until(&pool, |status| status.busy() == 1);
        assert!(!pool.run_spare("tidying", || ()));
        assert_eq!(pool.status().queued, 0);
        drop(release);
        assert_eq!(wait(held.unwrap()), Ok(()));
        until(&pool, |status| status.busy() == 0);
        let (done, finished) = mpsc::channel();
        assert!(pool.run_spare("tidying", move || done.send(()).unwrap()));
        assert_eq!(finished.recv_timeout(Duration::from_secs(10)), Ok(()));
    }

    #[test]
    fn load_2_work_for_later_is_done_though_the_queue_is_full() {
        let pool = Pool::start(1, 1).unwrap();
        let (release, held) = hold(&pool);
        until(&pool, |status| status.busy() == 1);
        let queued = pool.run("waiting", || ()).unwrap();
        let (done, finished) = mpsc::channel();
        pool.run_later("closing", move || done.send(()).unwrap());
        drop(release);
        assert_eq!((wait(held.unwrap()), wait(queued)), (Ok(()), Ok(())));
        assert_eq!(finished.recv_timeout(Duration::from_secs(10)), Ok(()));
    }

    #[test]
    fn load_4_a_panicking_job_is_lost_alone() {
        let pool = Pool::start(1, 8).unwrap();
        let lost: Result<Pending<()>, Full> = pool.run("panicking", || panic!("on purpose"));
        assert_eq!(wait(lost.unwrap()), Err(Lost));
        assert_eq!(wait(pool.run("adding", || 2 + 2).unwrap()), Ok(4));
    }

    #[test]
    fn load_2_the_pool_can_be_resized_while_it_works() {
        let pool = Pool::start(4, 8).unwrap();
        pool.resize(2, 3).unwrap();
        until(&pool, |status| status.threads.len() == 2);
        assert_eq!(pool.status().queue_limit, 3);
        pool.resize(3, 3).unwrap();
        until(&pool, |status| status.threads.len() == 3);
        assert_eq!(wait(pool.run("adding", || 1 + 1).unwrap()), Ok(2));
    }

    #[test]
    fn load_2_the_pool_shrinks_while_there_is_work() {
        let pool = Pool::start(4, 100_000).unwrap();
        let work: Vec<_> =
            (0..2000).map(|_| pool.run("waiting", || std::thread::sleep(Duration::from_millis(1)))).collect();
        pool.resize(1, 100_000).unwrap();
        until(&pool, |status| status.threads.len() == 1);
        assert!(pool.status().queued > 0, "it did not wait for the queue to empty");
        pool.resize(4, 100_000).unwrap();
        for pending in work {
            assert_eq!(wait(pending.unwrap()), Ok(()));
        }
    }

    #[test]
    fn load_1_threads_carry_their_name_for_the_kernel_too() {
        let pool = Pool::start(1, 1).unwrap();
        let name =
            pool.run("reading its name", || std::fs::read_to_string("/proc/thread-self/comm").unwrap());
        assert_eq!(wait(name.unwrap()).unwrap().trim(), "pool-0");
    }
}
