//! How long things took: a count per bucket and the sum of all.
//!
//! [`Histogram`] is written by one thread and read by any; [`Durations`] is what was read: plain numbers that add up,
//! subtract, and tell quantiles.

use std::sync::atomic::{AtomicU64, Ordering};

use super::tally::add;

/// The upper ends of the buckets, in nanoseconds, each included in its bucket; above the last one is the bucket of all
/// the rest. What is remembered is answered within 50 µs, a durable upload takes 5 to 50 ms, and after 5 s nobody waits
/// any more. Neighbours are at most a factor of 5 apart, and that bounds the error of a quantile.
pub const BOUNDS: [u64; 14] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
    5_000_000_000,
];

/// The bounds and the rest.
pub const BUCKETS: usize = BOUNDS.len() + 1;

/// A histogram that one thread writes. It is two cache lines: the sum and what takes at most 5 ms share the first one,
/// so recording a quick answer touches one line.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Histogram {
    sum: AtomicU64,
    counts: [AtomicU64; BUCKETS],
}

impl Histogram {
    /// Nothing recorded.
    pub const fn new() -> Self {
        Self { sum: AtomicU64::new(0), counts: [const { AtomicU64::new(0) }; BUCKETS] }
    }

    /// Records something that took `nanos`. For its one writer only.
    #[inline]
    pub fn record(&self, nanos: u64) {
        // Most answers are quick: the first comparison or two decide.
        let bucket = BOUNDS.iter().position(|&bound| nanos <= bound).unwrap_or(BOUNDS.len());
        add(&self.sum, nanos);
        if let Some(count) = self.counts.get(bucket) {
            add(count, 1);
        }
    }

    /// What was recorded so far. A record that is made meanwhile may be in one number and not yet in another.
    pub fn read(&self) -> Durations {
        Durations {
            sum: self.sum.load(Ordering::Relaxed),
            counts: std::array::from_fn(|bucket| {
                self.counts.get(bucket).map_or(0, |count| count.load(Ordering::Relaxed))
            }),
        }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// What a [`Histogram`] held when it was read, or several of them together, or what came in between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// All of them together, in nanoseconds.
    pub sum: u64,
    /// How many fell into each bucket.
    pub counts: [u64; BUCKETS],
}

impl Durations {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds `other`.
    pub fn absorb(&mut self, other: &Self) {
        self.sum += other.sum;
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }

    /// What came after `earlier` was read.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.counts;
        for (count, before) in counts.iter_mut().zip(earlier.counts) {
            *count = count.saturating_sub(before);
        }
        Self { sum: self.sum.saturating_sub(earlier.sum), counts }
    }

    /// The duration that `permille` thousandths of them (at most 1000) did not exceed, in nanoseconds; `None` where
    /// there were none.
    ///
    /// The true one lies in the same bucket; within it they count as spread evenly, as Prometheus does it. So the
    /// error is less than the bucket is wide: 50 µs at the lower end, else a factor below 5. What lies above the last
    /// bound is told as that bound.
    pub fn quantile(&self, permille: u32) -> Option<u64> {
        let rank = u128::from(permille.min(1000)) * u128::from(self.count());
        let (mut below, mut lower) = (0, 0);
        for (&count, upper) in self.counts.iter().zip(BOUNDS) {
            let up_to = below + u128::from(count) * 1000;
            if count > 0 && rank <= up_to {
                let within = u128::from(upper - lower) * (rank - below) / (up_to - below);
                return Some(lower + u64::try_from(within).unwrap_or(0));
            }
            (below, lower) = (up_to, upper);
        }
        self.counts.last().filter(|&&rest| rest > 0).map(|_| lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn recorded(all: &[u64]) -> Durations {
        let histogram = Histogram::new();
        all.iter().for_each(|&nanos| histogram.record(nanos));
        histogram.read()
    }

    #[test]
    fn obs_2_a_bound_belongs_to_the_bucket_below_it() {
        for (bucket, bound) in BOUNDS.into_iter().enumerate() {
            let counts = recorded(&[bound, bound + 1]).counts;
            assert_eq!((counts[bucket], counts[bucket + 1]), (1, 1), "{bound}");
        }
        let ends = recorded(&[0, u64::MAX / 2]);
        assert_eq!((ends.counts[0], ends.counts[BUCKETS - 1], ends.sum), (1, 1, u64::MAX / 2));
    }

    #[test]
    fn obs_2_a_quick_answer_touches_one_cache_line() {
        assert_eq!((size_of::<Histogram>(), align_of::<Histogram>()), (128, 64));
        assert_eq!(std::mem::offset_of!(Histogram, sum), 0);
        assert!(BOUNDS[6] == 5_000_000, "the seventh bucket is the last one in the first line");
    }

    #[test]
    fn obs_2_quantiles_are_interpolated_and_end_at_the_last_bound() {
        assert_eq!(Durations::default().quantile(500), None);
        let even = recorded(&[60_000; 10]);
        assert_eq!(even.quantile(500), Some(75_000), "the middle of 50 to 100 µs");
        assert_eq!((even.quantile(0), even.quantile(1000)), (Some(50_000), Some(100_000)));
        assert_eq!(recorded(&[9_000_000_000]).quantile(500), Some(5_000_000_000));
    }

    proptest! {
        #[test]
        fn obs_2_a_quantile_lies_in_the_bucket_of_the_true_one(
            mut all in prop::collection::vec(0_u64..4_000_000_000, 1..200),
            permille in 1_u32..=1000,
        ) {
            let told = recorded(&all).quantile(permille).unwrap();
            all.sort_unstable();
            let rank = (permille as usize * all.len()).div_ceil(1000);
            let true_one = all[rank - 1];
            let upper = BOUNDS.into_iter().find(|&bound| true_one <= bound).unwrap();
            let lower = BOUNDS.into_iter().rfind(|&bound| bound < true_one).unwrap_or(0);
            prop_assert!((lower..=upper).contains(&told), "{told} is not within {lower}..={upper}");
        }

        #[test]
        fn obs_2_what_came_since_and_what_was_before_make_the_whole(
            before in prop::collection::vec(0_u64..9_000_000_000, 0..50),
            after in prop::collection::vec(0_u64..9_000_000_000, 0..50),
        ) {
            let earlier = recorded(&before);
            let whole = recorded(&[before, after.clone()].concat());
            prop_assert_eq!(whole.since(&earlier), recorded(&after));
            let mut sum = earlier;
            sum.absorb(&recorded(&after));
            prop_assert_eq!(sum, whole);
        }
    }
}
