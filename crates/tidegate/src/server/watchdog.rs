//! Looks once a second who stands still: a thread of the pool that is at one job for too long, as on a disk that does not
//! answer, and a worker whose loop does not turn, on which every connection of it waits (SPEC LOAD-1, LOAD-2). Each is
//! told once, and once more when it is over.

use std::time::Duration;

use crate::clock::Millis;
use crate::handlers::overview::Overview;
use crate::pool::ThreadStatus;

/// From so long on. A worker turns ten times a second, and what a pool thread does takes some milliseconds on a disk that
/// is well, or a second of compressing.
const LONG: Duration = Duration::from_secs(2);

/// What the looks so far have shown.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    looked: Option<Millis>,
    /// The job at which each thread of the pool stands, where that was told.
    threads: Vec<Option<Job>>,
    /// Since when each worker stands, where that was told.
    workers: Vec<Option<Millis>>,
}

/// One job of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Job {
    doing: &'static str,
    /// How many the thread has finished before.
    number: u64,
    since: Millis,
}

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// A thread of the pool is at one job for so long.
    ThreadStands(usize, &'static str, Duration),
    /// It is done with that, which took about so long.
    ThreadGoesOn(usize, &'static str, Duration),
    /// A worker has not turned for so long.
    WorkerStands(usize, Duration),
    /// It turns again, after about so long.
    WorkerGoesOn(usize, Duration),
}

impl Watchdog {
    /// Looks at all threads of the server, and tells the log what is new.
    pub(super) fn walk(&mut self, overview: &Overview) {
        let parts = &overview.parts;
        let turned: Vec<_> = parts.board.tallies().iter().map(|tally| tally.turned()).collect();
        let news = self.look(overview.now(), &parts.pool.status().threads, &turned);
        news.into_iter().for_each(News::tell);
    }

    /// Looks at the `threads` of the pool, and at when each worker `turned` last.
    fn look(&mut self, now: Millis, threads: &[ThreadStatus], turned: &[Millis]) -> Vec<News> {
        let slept = self.looked.replace(now).is_some_and(|last| now > last.after(LONG));
        if slept {
            // The whole process stood still; who was late with it is not to blame.
            return Vec::new();
        }
        self.threads.resize(threads.len().max(self.threads.len()), None);
        self.workers.resize(turned.len(), None);
        let mut news = Vec::new();
        for (number, told) in self.threads.iter_mut().enumerate() {
            let stands = threads.get(number).and_then(|thread| Job::too_long(thread, now));
            if let Some(job) = told.filter(|job| stands.is_none_or(|now| now.number != job.number)) {
                news.push(News::ThreadGoesOn(number, job.doing, since(job.since, now)));
                *told = None;
            }
            if let (None, Some(job)) = (&told, stands) {
                news.push(News::ThreadStands(number, job.doing, since(job.since, now)));
                *told = Some(job);
            }
        }
        for ((number, told), &turned) in self.workers.iter_mut().enumerate().zip(turned) {
            match *told {
                None if now > turned.after(LONG) => {
                    news.push(News::WorkerStands(number, since(turned, now)));
                    *told = Some(turned);
                }
                Some(stood) if turned > stood => {
                    news.push(News::WorkerGoesOn(number, since(stood, turned)));
                    *told = None;
                }
                _ => {}
            }
        }
        news
    }
}

impl Job {
    /// The job of `thread`, where it has been at it for too long.
    fn too_long(thread: &ThreadStatus, now: Millis) -> Option<Self> {
        let doing = thread.doing.filter(|_| thread.since > LONG)?;
        let begun = now.0.saturating_sub(u64::try_from(thread.since.as_millis()).unwrap_or(u64::MAX));
        Some(Self { doing, number: thread.served, since: Millis(begun) })
    }
}

impl News {
    /// Writes it to the log.
    fn tell(self) {
        match self {
            Self::ThreadStands(number, doing, time) => {
                log::warn!(
                    "pool-{number} stands: {doing} for {time:?} so far; its place in the pool is missing"
                );
            }
            Self::ThreadGoesOn(number, doing, time) => {
                log::warn!("pool-{number} goes on: {doing} took {time:?}");
            }
            Self::WorkerStands(number, time) => {
                log::error!("worker-{number} stands for {time:?} so far; none of its connections is served");
            }
            Self::WorkerGoesOn(number, time) => log::error!("worker-{number} goes on after {time:?}"),
        }
    }
}

fn since(then: Millis, now: Millis) -> Duration {
    Duration::from_millis(now.0.saturating_sub(then.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENING: &str = "opening a file";

    fn busy(seconds: u64, served: u64) -> ThreadStatus {
        ThreadStatus { doing: Some(OPENING), since: Duration::from_secs(seconds), served }
    }

    fn idle(served: u64) -> ThreadStatus {
        ThreadStatus { doing: None, since: Duration::from_secs(60), served }
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn row_j2_load_2_a_thread_that_stands_is_told_once_and_when_it_goes_on() {
        let mut dog = Watchdog::default();
        let mut look = |at: u64, thread| dog.look(Millis(at * 1000), &[idle(0), thread], &[]);
        assert_eq!(look(10, busy(2, 7)), [], "not yet");
        assert_eq!(look(11, busy(3, 7)), [News::ThreadStands(1, OPENING, seconds(3))]);
        assert_eq!(look(12, busy(4, 7)), [], "once");
        assert_eq!(look(13, busy(0, 8)), [News::ThreadGoesOn(1, OPENING, seconds(5))]);
        assert_eq!(look(14, busy(1, 8)), [], "busy with something else is not standing");
    }

    #[test]
    fn row_j2_load_2_a_thread_that_stands_at_the_next_job_and_one_that_left_are_told_too() {
        let mut dog = Watchdog::default();
        let mut look = |at: u64, threads: &[ThreadStatus]| dog.look(Millis(at * 1000), threads, &[]);
        assert_eq!(look(10, &[busy(3, 0)]), [News::ThreadStands(0, OPENING, seconds(3))]);
        assert_eq!(look(11, &[busy(4, 0)]), []);
        let over = News::ThreadGoesOn(0, OPENING, seconds(5));
        assert_eq!(look(12, &[busy(3, 1)]), [over, News::ThreadStands(0, OPENING, seconds(3))]);
        assert_eq!(look(13, &[]), [News::ThreadGoesOn(0, OPENING, seconds(4))], "it left");
    }

    #[test]
    fn row_j2_load_1_a_worker_that_does_not_turn_is_told_once_and_when_it_does() {
        let mut dog = Watchdog::default();
        let mut look = |at, turned| dog.look(Millis(at), &[], &[Millis(at), Millis(turned)]);
        assert_eq!(look(5_000, 3_000), [], "not yet");
        assert_eq!(look(6_000, 3_000), [News::WorkerStands(1, seconds(3))]);
        assert_eq!(look(7_000, 3_000), []);
        assert_eq!(look(8_000, 7_500), [News::WorkerGoesOn(1, Duration::from_millis(4_500))]);
        assert_eq!(look(9_000, 8_900), []);
    }

    #[test]
    fn row_j2_load_1_a_process_that_was_stopped_blames_nobody() {
        let mut dog = Watchdog::default();
        let mut look = |at, thread| dog.look(Millis(at), &[thread], &[Millis(1_000)]);
        assert_eq!(look(1_000, idle(0)), []);
        assert_eq!(look(60_000, busy(59, 0)), []);
        assert_eq!(look(61_000, busy(60, 0)).len(), 2, "who still stands a second later does");
    }
}
