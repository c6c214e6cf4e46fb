//! Who is refused most, of however many: the Space-Saving counters of Metwally, Agrawal and El Abbadi ("Efficient
//! computation of frequent and top-k elements in data streams", 2005).
//!
//! A client that has no counter takes over the one that weighs least, and its weight as a possible error. So with `N`
//! counters, of a stream that weighs `W` in all:
//!
//! - no weight is told too low: `weight - error <= true weight <= weight`;
//! - no error is above `W / N`;
//! - who truly weighs more than `W / N` has a counter.
//!
//! Weights halve with time, for the question is who attacks now.

use crate::clock::Millis;
use crate::http::reject::Event;

/// Clients watched at a time by each worker. Who makes a 64th of all trouble is found for certain; a page shows twenty.
pub const WATCHED: usize = 64;
/// An event weighs as much as this many other refusals: who tries to leave the root comes before who follows dead
/// links.
const EVENT_WEIGHT: u64 = 10;
/// Weights halve in this time, so that after an hour without trouble a client has all but gone.
const HALF_LIFE_MS: u64 = 10 * 60 * 1000;

/// The heaviest clients of one worker.
#[derive(Clone, Debug)]
pub struct Offenders<K> {
    watched: Vec<Offender<K>>,
    /// How many half-lives had passed when weights were last halved.
    half_lives: u64,
}

/// A client that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offender<K> {
    /// Who.
    pub client: K,
    /// Its weight, or more: what it did, an event as ten, halved every ten minutes.
    pub weight: u64,
    /// By how much the weight may be too high.
    pub error: u64,
    /// Its refusals since it is watched.
    pub refusals: u64,
    /// Its events since it is watched, by [`Event::ALL`].
    pub events: [u64; Event::COUNT],
    /// When it was last refused.
    pub last_seen: Millis,
}

impl<K: Copy + Eq> Offenders<K> {
    /// Nobody.
    pub const fn new() -> Self {
        Self { watched: Vec::new(), half_lives: 0 }
    }

    /// Counts a refusal of `client`, and the event it was.
    pub fn refused(&mut self, client: K, event: Option<Event>, now: Millis) {
        self.age(now);
        let offender = self.watch(client, now);
        offender.refusals += 1;
        offender.weight += if event.is_some() { EVENT_WEIGHT } else { 1 };
        offender.last_seen = now;
        if let Some(count) = event.and_then(|event| offender.events.get_mut(event as usize)) {
            *count += 1;
        }
    }

    /// Those that are watched, as they weigh at `now`; in no order.
    pub fn watched(&self, now: Millis) -> Vec<Offender<K>> {
        let mut present = self.clone();
        present.age(now);
        present.watched
    }

    fn watch(&mut self, client: K, now: Millis) -> &mut Offender<K> {
        let place = match self.watched.iter().position(|offender| offender.client == client) {
            Some(place) => place,
            None => self.take_over(Offender {
                client,
                weight: 0,
                error: 0,
                refusals: 0,
                events: [0; Event::COUNT],
                last_seen: now,
            }),
        };
        // Who is refused is refused again: next time it is found sooner.
        let sooner = place / 2;
        self.watched.swap(place, sooner);
        &mut self.watched[sooner]
    }

    /// Gives `newcomer` a counter of its own, or the lightest one with what it weighs.
    fn take_over(&mut self, newcomer: Offender<K>) -> usize {
        if self.watched.len() < WATCHED {
            self.watched.push(newcomer);
            return self.watched.len() - 1;
        }
        let weights = self.watched.iter().map(|offender| offender.weight).enumerate();
        let (place, weight) = weights.min_by_key(|(_, weight)| *weight).unwrap_or_default();
        self.watched[place] = Offender { weight, error: weight, ..newcomer };
        place
    }

    fn age(&mut self, now: Millis) {
        let half_lives = now.0 / HALF_LIFE_MS;
        let passed = half_lives.saturating_sub(self.half_lives);
        if passed == 0 {
            return;
        }
        self.half_lives = half_lives;
        let halved = |weight: u64| weight.checked_shr(u32::try_from(passed).unwrap_or(u32::MAX)).unwrap_or(0);
        for offender in &mut self.watched {
            offender.weight = halved(offender.weight);
            offender.error = halved(offender.error);
        }
        self.watched.retain(|offender| offender.weight > 0);
    }
}

impl<K: Copy + Eq> Default for Offenders<K> {
    fn default() -> Self {
        Self::new()
    }
}

/// The `most` heaviest of several workers together, the heaviest first: by what they weigh for certain, so that in a
/// stream of strangers, each seen once, the lightest counter handed from one to the next makes nobody look heavy.
pub fn top<K: Copy + Eq + Ord>(all: impl IntoIterator<Item = Offender<K>>, most: usize) -> Vec<Offender<K>> {
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_unstable_by_key(|offender| offender.client);
    all.dedup_by(|next, merged| {
        let same = next.client == merged.client;
        if same {
            merged.absorb(next);
        }
        same
    });
    all.sort_unstable_by_key(|offender| std::cmp::Reverse(offender.weight.saturating_sub(offender.error)));
    all.truncate(most);
    all
}

impl<K> Offender<K> {
    fn absorb(&mut self, other: &Self) {
        self.weight += other.weight;
        self.error += other.error;
        self.refusals += other.refusals;
        self.events.iter_mut().zip(other.events).for_each(|(count, more)| *count += more);
        self.last_seen = self.last_seen.max(other.last_seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const NOW: Millis = Millis(0);

    #[test]
    fn obs_3_two_hundred_thousand_strangers_take_no_more_memory_and_hide_nobody() {
        let mut offenders = Offenders::new();
        for stranger in 0..200_000_u32 {
            offenders.refused(stranger, None, NOW);
            if stranger % 20 == 0 {
                offenders.refused(u32::MAX, None, NOW);
            }
        }
        assert_eq!(offenders.watched.len(), WATCHED);
        assert!(offenders.watched.capacity() <= 2 * WATCHED);
        let top = top(offenders.watched(NOW), 20);
        assert_eq!((top.len(), top[0].client), (20, u32::MAX));
        assert!((9_900..=10_000).contains(&top[0].refusals), "{:?}", top[0]);
    }

    #[test]
    fn obs_3_the_offenders_of_all_workers_come_together() {
        let mut workers = [Offenders::new(), Offenders::new()];
        for (worker, client, event) in [
            (0, 7, Some(Event::Traversal)),
            (1, 7, Some(Event::Host)),
            (1, 8, None),
            (1, 9, None),
            (1, 9, None),
        ] {
            workers[worker].refused(client, event, Millis(client * 100));
        }
        let top = top(workers.iter().flat_map(|worker| worker.watched(NOW)), 2);
        assert_eq!([top[0].client, top[1].client], [7, 9]);
        let mut events = [0; Event::COUNT];
        (events[Event::Traversal as usize], events[Event::Host as usize]) = (1, 1);
        assert_eq!((top[0].weight, top[0].refusals, top[0].events), (2 * EVENT_WEIGHT, 2, events));
        assert_eq!((top[1].weight, top[1].last_seen), (2, Millis(900)));
    }

    #[test]
    fn obs_3_weights_halve_until_a_client_is_forgotten() {
        let mut offenders = Offenders::new();
        (0..8).for_each(|_| offenders.refused(1, None, NOW));
        let weight =
            |half_lives| offenders.watched(Millis(half_lives * HALF_LIFE_MS)).first().map(|o| o.weight);
        assert_eq!([0, 1, 3, 4].map(weight), [Some(8), Some(4), Some(1), None]);
        assert_eq!(weight(200), None, "more half-lives than a weight has bits");
    }

    proptest! {
        #[test]
        fn obs_3_no_client_weighs_less_than_told_and_every_heavy_one_is_watched(
            stream in prop::collection::vec((0_u8..=255, prop::option::weighted(0.2, 0..Event::COUNT)), 0..1000),
            skew in 1_u8..=8,
        ) {
            let (mut offenders, mut truth, mut whole) = (Offenders::new(), HashMap::new(), 0);
            for (client, event) in stream {
                let client = client / skew;
                let event = event.map(|kind| Event::ALL[kind]);
                offenders.refused(client, event, NOW);
                let weight = if event.is_some() { EVENT_WEIGHT } else { 1 };
                *truth.entry(client).or_insert(0) += weight;
                whole += weight;
            }
            for offender in &offenders.watched {
                let true_weight = truth[&offender.client];
                prop_assert!(true_weight <= offender.weight, "{offender:?} weighs {true_weight}");
                prop_assert!(offender.weight - offender.error <= true_weight, "{offender:?} weighs {true_weight}");
                prop_assert!(offender.error <= whole / WATCHED as u64);
            }
            for (client, weight) in truth {
                let watched = offenders.watched.iter().any(|offender| offender.client == client);
                prop_assert!(watched || weight <= whole / WATCHED as u64, "{client} weighs {weight} of {whole}");
            }
        }
    }
}
