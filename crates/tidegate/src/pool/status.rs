//! The pool as others see it: one moment of its threads and its queue, and what was counted since the start.

use std::time::Duration;

use crate::config::ThreadRange;

/// Upper bounds of how long a job waited for its thread, in seconds; those of the other durations that are measured.
pub const BOUNDS_SECONDS: [f64; 14] =
    [50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1.0, 5.0];

/// The pool at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// How many threads there may be.
    pub range: ThreadRange,
    /// Every thread there is, by its number.
    pub threads: Vec<ThreadStatus>,
    /// Most threads that there were at a time.
    pub largest: usize,
    /// Jobs that wait.
    pub queued: usize,
    /// Most jobs that may wait.
    pub queue_limit: usize,
    /// Jobs finished since the start, also those that panicked.
    pub finished: u64,
    /// Jobs refused since the start.
    pub refused: u64,
    /// Episodes in which jobs were refused.
    pub saturations: u64,
    /// How long jobs waited for their thread; without those that nobody waits for.
    pub waits: WaitHistogram,
}

/// One thread at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadStatus {
    /// What it does; `None` where it has nothing to do.
    pub doing: Option<&'static str>,
    /// For how long.
    pub since: Duration,
    /// Jobs that it has finished.
    pub served: u64,
}

impl Status {
    /// Threads that there are.
    pub fn size(&self) -> usize {
        self.threads.len()
    }

    /// Threads at work.
    pub fn busy(&self) -> usize {
        self.threads.iter().filter(|thread| thread.doing.is_some()).count()
    }
}

/// How many jobs waited for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitHistogram {
    /// Upper bounds of the buckets in seconds, ascending; the last bucket has none.
    pub bounds_seconds: &'static [f64],
    /// Jobs in each bucket alone, one more than there are bounds.
    pub counts: [u64; BOUNDS_SECONDS.len() + 1],
    /// All waits together, in seconds.
    pub sum_seconds: f64,
}

impl WaitHistogram {
    /// Nobody has waited yet.
    pub(super) const EMPTY: Self =
        Self { bounds_seconds: &BOUNDS_SECONDS, counts: [0; BOUNDS_SECONDS.len() + 1], sum_seconds: 0.0 };

    /// A job waited so long.
    pub(super) fn record(&mut self, waited: Duration) {
        let seconds = waited.as_secs_f64();
        let bucket = self.bounds_seconds.partition_point(|&bound| bound < seconds);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum_seconds += seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obs_2_a_wait_counts_in_the_first_bucket_whose_bound_it_does_not_pass() {
        let mut waits = WaitHistogram::EMPTY;
        for micros in [0, 50, 51, 5_000_000, 5_000_001] {
            waits.record(Duration::from_micros(micros));
        }
        let expected = [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1];
        assert_eq!(waits.counts, expected);
        assert!((waits.sum_seconds - 10.000_102).abs() < 1e-9);
        assert!(waits.bounds_seconds.is_sorted());
    }
}
