//! The leaky bucket, kept as one moment: when it will have run dry.
//!
//! A drop moves that moment on by the time in which a drop leaks out; a drop that would move it further from now than
//! the bucket is deep does not fit. This is the generic cell rate algorithm (ITU-T I.371, its virtual scheduling form):
//! exact integers, eight bytes of state, nothing to do while time passes. A token bucket is the same seen from above:
//! its tokens are what still fits. Rates, ban scores and runs of 404s are all kept so.
//!
//! ```text
//!         now                 dry                now + depth
//!   ───────┼───────────────────┼────────────────────┼──────► time
//!          └── in the bucket ──┴─ room for drops ───┘
//! ```

use std::time::Duration;

use crate::clock::Millis;

/// A moment since the server's start in sixteenths of a nanosecond: the drops of 100,000,000 a second are 10 ns apart,
/// and rounding one to a whole nanosecond would be off by up to 5 %. The numbers last for 36 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(pub(super) u64);

/// Ticks of a nanosecond.
pub(super) const TICKS: u64 = 16;

/// A bucket's measures, both in ticks; what is in it is a [`Tick`] kept elsewhere, 0 for one that was never used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    /// In which time one drop leaks out; at least 1.
    pub(super) drop: u64,
    /// In which time a full bucket runs dry.
    pub(super) depth: u64,
}

/// What came of pouring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Poured {
    /// It fitted; the bucket runs dry then.
    Held(Tick),
    /// Nothing was poured: it will fit after so many ticks.
    Over(u64),
}

impl Tick {
    pub(super) fn of_nanos(nanos: u64) -> Self {
        Self(nanos.saturating_mul(TICKS))
    }

    pub(super) fn of_millis(millis: Millis) -> Self {
        Self::of_nanos(millis.0.saturating_mul(1_000_000))
    }

    pub(super) fn after(self, ticks: u64) -> Self {
        Self(self.0.saturating_add(ticks))
    }
}

impl Bucket {
    /// A bucket of `drops`, of which one leaks out in `drop` ticks.
    pub(super) const fn of(drops: u64, drop: u64) -> Self {
        Self { drop, depth: drops.saturating_mul(drop) }
    }

    /// Pours `drops` at once into a bucket that runs dry at `dry`.
    #[inline]
    pub(super) fn pour(&self, dry: Tick, now: Tick, drops: u64) -> Poured {
        let next = dry.max(now).after(drops.saturating_mul(self.drop));
        let brim = now.after(self.depth);
        if next <= brim { Poured::Held(next) } else { Poured::Over(next.0 - brim.0) }
    }

    /// Whole drops that still fit.
    #[inline]
    pub(super) fn room(&self, dry: Tick, now: Tick) -> u64 {
        now.after(self.depth).0.saturating_sub(dry.max(now).0) / self.drop
    }
}

/// `ticks` as a duration, rounded up to a nanosecond.
pub(super) fn duration(ticks: u64) -> Duration {
    Duration::from_nanos(ticks.div_ceil(TICKS))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKET: Bucket = Bucket::of(3, 10);

    #[test]
    fn sec_1_a_bucket_takes_what_fits_and_leaks() {
        let now = Tick(100);
        assert_eq!(BUCKET.room(Tick(0), now), 3, "never used is empty");
        assert_eq!(BUCKET.pour(Tick(0), now, 3), Poured::Held(Tick(130)));
        assert_eq!(BUCKET.pour(Tick(130), now, 1), Poured::Over(10));
        assert_eq!(BUCKET.pour(Tick(130), Tick(109), 1), Poured::Over(1));
        assert_eq!(BUCKET.pour(Tick(130), Tick(110), 1), Poured::Held(Tick(140)));
        assert_eq!(BUCKET.room(Tick(130), Tick(119)), 1);
        assert_eq!(BUCKET.pour(Tick(0), now, 4), Poured::Over(10), "not even into an empty one");
    }

    #[test]
    fn sec_1_numbers_end_without_a_wrap() {
        let last = Tick(u64::MAX);
        assert_eq!(BUCKET.pour(last, last, u64::MAX), Poured::Held(last));
        assert_eq!(BUCKET.room(last, Tick(0)), 0);
        assert_eq!(duration(17), Duration::from_nanos(2));
    }
}
