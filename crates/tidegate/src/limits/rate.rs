//! How many requests a client may make (SPEC SEC-1): a token bucket for each, in a table of fixed size.
//!
//! `Rate` is the arithmetic of one bucket, `RateTable` the buckets of all clients. A bucket is one moment (see
//! `bucket`): a request moves it on by the time in which a token comes back; one that is refused takes nothing. Tokens
//! that come back slower than requests are asked for make exactly the rate, and what is left over makes the burst.

use std::time::Duration;

use super::bucket::{Bucket, Poured, TICKS, Tick, duration};
use super::client::ClientKey;
use super::table::Table;
use crate::config::RateLimit;

/// A rate as arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    bucket: Bucket,
    quota: u32,
    window: Duration,
}

/// What a client's bucket says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A token was taken.
    Allowed {
        /// Whole tokens left.
        remaining: u64,
    },
    /// There is no token, and none was taken.
    Limited {
        /// The time until there is one, if no other request takes it.
        retry_after: Duration,
    },
}

/// The buckets of all clients; shared by all workers.
#[derive(Debug)]
pub struct RateTable(Table);

/// A debt that goes beyond a full bucket by more than this comes from a rate that a reload has changed, and is cut. By
/// less it comes from a worker that has read the clock a little later than this one.
const SKEW_MAX: Tick = Tick(100_000_000 * TICKS);

impl Rate {
    /// The rate as configured. A token's time is rounded to 1/16 ns: at 100,000,000 a second the rate is exact to
    /// 0.4 %, at 1,000,000 to 0.004 %.
    pub fn new(limit: &RateLimit) -> Self {
        let (period, tokens) = (limit.period.as_nanos() * u128::from(TICKS), u128::from(limit.tokens.max(1)));
        let drop = u64::try_from((period + tokens / 2) / tokens).unwrap_or(u64::MAX).max(1);
        Self { bucket: Bucket::of(u64::from(limit.burst), drop), quota: limit.tokens, window: limit.period }
    }

    /// Requests allowed in each [window](Self::window), in the long run.
    pub fn quota(&self) -> u32 {
        self.quota
    }

    /// The time to which the quota belongs, whole seconds.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// One request at `now` of a client whose bucket is dry at `dry`: the new moment, and what is said to it.
    #[inline]
    fn take(&self, dry: Tick, now: Tick) -> (Tick, Verdict) {
        let dry = self.cut(dry, now);
        match self.bucket.pour(dry, now, 1) {
            Poured::Held(next) => (next, Verdict::Allowed { remaining: self.bucket.room(next, now) }),
            Poured::Over(ticks) => (dry, Verdict::Limited { retry_after: duration(ticks) }),
        }
    }

    fn cut(&self, dry: Tick, now: Tick) -> Tick {
        let brim = now.after(self.bucket.depth);
        if dry > brim.after(SKEW_MAX.0) { brim } else { dry }
    }

    /// The moment that says under this rate what `dry` said under `old`: as many tokens are missing, but at most all.
    fn of_other(&self, old: &Self, dry: Tick, now: Tick) -> Tick {
        let debt = u128::from(dry.0.saturating_sub(now.0)) * u128::from(self.bucket.drop);
        let debt = u64::try_from(debt.div_ceil(u128::from(old.bucket.drop))).unwrap_or(u64::MAX);
        now.after(debt.min(self.bucket.depth))
    }
}

impl RateTable {
    /// Full buckets for so many clients: 32 bytes for each, rounded up to the next power of two.
    pub fn new(clients: usize) -> Self {
        Self(Table::new(clients))
    }

    /// Takes a token of `client` at `now_nanos` (since start), if there is one.
    #[inline]
    pub fn take(&self, client: ClientKey, now_nanos: u64, rate: &Rate) -> Verdict {
        let now = Tick::of_nanos(now_nanos);
        self.0.update(client, |dry| rate.take(dry, now))
    }

    /// Turns what clients owe under the rate `old` into what they owe under `new`, so that a reload gives no tokens
    /// away and keeps no debt that the new burst does not know. (A worker goes by the old rate until it is given the
    /// new one, some milliseconds at most; a client that asks just then may win one burst by it, and no more.) Reads the whole table, some milliseconds for a million
    /// clients, one 32nd at a time; call it once, before workers are given the new rate.
    pub fn rescale(&self, old: &Rate, new: &Rate, now_nanos: u64) {
        let now = Tick::of_nanos(now_nanos);
        if old.bucket != new.bucket {
            self.0.change_later_than(now, |dry| new.of_other(old, dry, now));
        }
    }

    /// Clients that have a bucket here, full ones too: it is kept until another client needs the place, so this number
    /// never falls.
    pub fn tracked(&self) -> usize {
        self.0.taken()
    }

    /// The most clients that have a bucket at once.
    pub fn capacity(&self) -> usize {
        self.0.places()
    }

    /// Bytes of memory set aside. Only what clients have touched of them is used.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicU64, Ordering};

    const SECOND: u64 = 1_000_000_000;
    const START: u64 = 5 * SECOND;

    fn rate(text: &str) -> Rate {
        Rate::new(&text.parse().unwrap())
    }

    fn client(number: u32) -> ClientKey {
        ClientKey::of(Ipv4Addr::from_bits(number).into())
    }

    fn allowed(verdict: Verdict) -> bool {
        matches!(verdict, Verdict::Allowed { .. })
    }

    #[test]
    fn sec_1_a_burst_then_the_rate_then_the_exact_wait() {
        let (table, rate) = (RateTable::new(10), rate("10/s:3"));
        for remaining in [2, 1, 0] {
            assert_eq!(table.take(client(1), START, &rate), Verdict::Allowed { remaining });
        }
        let wait = |millis| Verdict::Limited { retry_after: Duration::from_millis(millis) };
        assert_eq!(table.take(client(1), START, &rate), wait(100));
        assert_eq!(
            table.take(client(1), START + 70_000_000, &rate),
            wait(30),
            "the refused one took nothing"
        );
        assert_eq!(table.take(client(1), START + 100_000_000, &rate), Verdict::Allowed { remaining: 0 });
        assert_eq!(table.take(client(2), START, &rate), Verdict::Allowed { remaining: 2 }, "another client");
        assert_eq!(table.take(client(1), START + 60 * SECOND, &rate), Verdict::Allowed { remaining: 2 });
        assert_eq!(table.tracked(), 2);
    }

    #[test]
    #[allow(clippy::cast_possible_truncation)]
    fn sec_1_ten_seconds_of_asking_too_much_give_the_rate_to_2_percent() {
        for (text, a_second) in [
            ("3/s:5", 3.0_f64),
            ("100/s:200", 100.0),
            ("5000/m:10", 5_000.0 / 60.0),
            ("30000/s:100", 30_000.0),
            ("60000000/m:1000", 1_000_000.0),
            ("95000000/s:1000", 95_000_000.0),
        ] {
            let rate = rate(text);
            // Three times as often as tokens come; at the highest rates for a part of the time.
            let span = (10.0 * a_second).min(1_000_000.0) / a_second;
            let asked = (0..).map(|ask: u32| f64::from(ask) / 3.0 / a_second).take_while(|at| *at < span);
            let mut dry = Tick(0);
            let taken = asked.filter(|at| {
                let now = Tick::of_nanos(START).after((at * 1e9 * TICKS as f64) as u64);
                let (next, verdict) = rate.take(dry, now);
                dry = next;
                allowed(verdict)
            });
            let (taken, burst) = (taken.count() as f64, rate.bucket.room(Tick(0), Tick(0)) as f64);
            let expected = burst + span * a_second;
            assert!(
                (taken - expected).abs() <= (0.02 * expected).max(1.0),
                "{text}: {taken} instead of {expected}"
            );
        }
    }

    #[test]
    fn row_j11_sec_1_the_limited_stay_limited_under_a_flood_of_others() {
        let (table, rate) = (RateTable::new(1_000), rate("1/s:100"));
        let full = |client| (0..100).all(|_| allowed(table.take(client, START, &rate)));
        assert!(full(client(7)) && !allowed(table.take(client(7), START, &rate)));
        // Newcomers, twenty times as many as there are places.
        for number in 100..50_000 {
            table.take(client(number), START, &rate);
        }
        assert!(!allowed(table.take(client(7), START, &rate)));
        assert!(table.tracked() <= table.capacity());
    }

    #[test]
    fn sec_1_a_clock_that_is_behind_the_first_one_finds_one_token_less() {
        let (table, rate) = (RateTable::new(100), rate("1/h:8000"));
        assert!(allowed(table.take(client(1), START + 3_006, &rate)));
        let count = (0..8_000).filter(|_| allowed(table.take(client(1), START, &rate))).count();
        assert_eq!(count, 7_998);
    }

    #[test]
    fn sec_1_threads_share_one_burst_exactly() {
        let (table, rate) = (RateTable::new(100), rate("1/h:8000"));
        // The first token is taken by the slowest clock: by a faster one, to the slowest the last seems not yet there.
        let taken = AtomicU64::new(u64::from(allowed(table.take(client(1), START, &rate))));
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (table, rate, taken) = (&table, &rate, &taken);
                // Their clocks differ by less than a token's time, as if each had read its own.
                scope.spawn(move || {
                    for ask in 0..4_000 {
                        let verdict = table.take(client(1), START + thread * 1_000 + ask % 7, rate);
                        taken.fetch_add(u64::from(allowed(verdict)), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(taken.load(Ordering::Relaxed), 8_000);
    }

    #[test]
    fn sec_1_a_reload_gives_no_burst_away_and_keeps_no_debt_beyond_the_new_one() {
        let (table, old) = (RateTable::new(100), rate("100/s:10"));
        (0..10).for_each(|_| assert!(allowed(table.take(client(1), START, &old))));
        table.take(client(2), START, &old);
        let slow = rate("1/s:10");
        table.rescale(&old, &slow, START);
        let wait = Duration::from_secs(1);
        assert_eq!(table.take(client(1), START, &slow), Verdict::Limited { retry_after: wait });
        assert_eq!(table.take(client(2), START, &slow), Verdict::Allowed { remaining: 8 });
        let small = rate("1/s:2");
        table.rescale(&slow, &small, START);
        assert_eq!(table.take(client(1), START, &small), Verdict::Limited { retry_after: wait }, "not 9 s");
        // A worker that still had the old rate wrote after the change: what is too much is cut.
        let verdict = small.take(Tick::of_nanos(START + 9 * SECOND), Tick::of_nanos(START)).1;
        assert_eq!(verdict, Verdict::Limited { retry_after: wait });
    }

    /// Tokens as a fraction with the denominator `period`, which is exact.
    struct Model {
        level: u128,
        last: u64,
    }

    proptest! {
        /// Beside a bucket that counts tokens: they agree but for what rounding a token's time does.
        #[test]
        fn sec_1_a_bucket_agrees_with_counted_tokens(
            tokens in 1_u32..=100_000_000, unit in 0_usize..3, burst in 1_u32..50,
            steps in proptest::collection::vec((0_u64..4, 1_u64..100), 1..300),
        ) {
            let limit = RateLimit { tokens, period: Duration::from_secs([1, 60, 3_600][unit]), burst };
            let (rate, period) = (Rate::new(&limit), limit.period.as_nanos());
            let token_nanos = u64::try_from(period / u128::from(tokens)).unwrap();
            let mut model = Model { level: u128::from(burst) * period, last: START };
            let (mut dry, mut now, mut taken) = (Tick(0), START, 0_u64);
            for (scale, part) in steps {
                now += scale * part * token_nanos / 100;
                let (next, verdict) = rate.take(dry, Tick::of_nanos(now));
                dry = next;
                taken += u64::from(allowed(verdict));
                let come = u128::from(now - model.last) * u128::from(tokens);
                model = Model { level: (model.level + come).min(u128::from(burst) * period), last: now };
                // One part in 200 of a token for each token passed is the most that rounding moves.
                let slack = period * u128::from(taken + u64::from(burst)) / 200;
                match verdict {
                    Verdict::Allowed { remaining } => {
                        prop_assert!(model.level + slack >= period, "{} of {period}", model.level);
                        model.level = model.level.saturating_sub(period);
                        prop_assert!(u128::from(remaining) * period <= model.level + slack);
                    }
                    Verdict::Limited { retry_after } => {
                        prop_assert!(model.level < period + slack);
                        let then = Tick::of_nanos(now + u64::try_from(retry_after.as_nanos()).unwrap());
                        prop_assert!(allowed(rate.take(dry, then).1));
                        prop_assert!(!allowed(rate.take(dry, Tick(then.0 - 2 * TICKS)).1));
                    }
                }
            }
            let come = u128::from(now - START) * u128::from(tokens) / period;
            prop_assert!(u128::from(taken) <= u128::from(burst) + come + 1 + u128::from(taken) / 100);
        }
    }
}
