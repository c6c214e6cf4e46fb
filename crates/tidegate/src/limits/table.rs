//! A moment for each of many clients, in memory of a fixed size: who is not in the table is as if never seen.
//!
//! ```text
//! client ─ SipHash, seeded for the process ─► shard ─► set of 8 places: 8 names │ 8 moments
//! ```
//! - **Bounded.** Nothing grows. In a full set the newcomer takes the place of the client with the earliest moment. A
//!   moment says for how long something is held against a client; so the one goes with whom least is lost, and a client
//!   that is being limited is not pushed out by those that are not.
//! - **Nobody can aim.** The hash is keyed anew for each process, so no choice of addresses fills one set.
//! - **Workers do not wait.** A shard is held for some tens of nanoseconds, once a request. With 32 shards, 16 workers
//!   that do nothing but answer cached files (3 µs each) find theirs taken about once in 200 times, and then spin.
//!   A lock in each set would cost as much and need its own memory; without locks a name and its moment cannot change
//!   together.
//! - **Idle costs nothing.** The memory is zero from the system and touched only where a client falls. A set begins at
//!   a cache line: names in one line, moments in the next, which is fetched with it.

use std::hash::{BuildHasher, RandomState};

use super::bucket::Tick;
use super::client::ClientKey;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, lock};

/// Clients that fall into one set: with two places for each client expected, fewer than 1 in 100 loses its place early.
const WAYS: usize = 8;
/// Parts under a lock of their own: enough for the workers, and above 1 MiB each at a million clients, so that they
/// come as fresh pages (`M_MMAP_THRESHOLD`).
const SHARDS: usize = 32;
/// Places for each client expected.
const SPARE: usize = 2;
/// Words of a set, and the bytes of the two cache lines that they fill.
const SET: usize = 2 * WAYS;
const LINES: usize = SET * size_of::<u64>();

/// Moments of clients.
#[derive(Debug)]
pub(super) struct Table {
    shards: Box<[Shard]>,
    seed: RandomState,
    /// Sets of a shard; a power of two.
    sets: usize,
}

/// One part; alone in its cache line, as its lock is written all the time.
#[derive(Debug)]
#[repr(align(64))]
struct Shard {
    places: Mutex<Places>,
    taken: AtomicUsize,
}

/// Sets of names and moments, 0 where there is none, from `first` on.
#[derive(Debug)]
struct Places {
    words: Vec<u64>,
    first: usize,
}

impl Table {
    /// A table in which `clients` have a place, nearly always.
    pub(super) fn new(clients: usize) -> Self {
        let sets = clients.saturating_mul(SPARE).div_ceil(WAYS * SHARDS).next_power_of_two();
        let shards =
            (0..SHARDS).map(|_| Shard { places: Mutex::new(Places::new(sets)), taken: AtomicUsize::new(0) });
        Self { shards: shards.collect(), seed: RandomState::new(), sets }
    }

    /// Changes the moment of `client`, 0 where it is not known, to the first of what `change` returns.
    #[inline]
    pub(super) fn update<R>(&self, client: ClientKey, change: impl FnOnce(Tick) -> (Tick, R)) -> R {
        let (shard, set) = self.find(client);
        let mut places = lock(&shard.places);
        let (names, moments) = places.set(set);
        let known = names.iter().position(|name| *name == client.number());
        let place = known.unwrap_or_else(|| {
            let place = earliest(moments);
            shard.taken.fetch_add(usize::from(names[place] == 0), Ordering::Relaxed);
            (names[place], moments[place]) = (client.number(), 0);
            place
        });
        let (moment, result) = change(Tick(moments[place]));
        moments[place] = moment.0;
        result
    }

    /// The moment of `client`; 0 where it is not known.
    #[cfg(test)]
    pub(super) fn get(&self, client: ClientKey) -> Tick {
        let (shard, set) = self.find(client);
        let mut places = lock(&shard.places);
        let (names, moments) = places.set(set);
        let known = names.iter().position(|name| *name == client.number());
        Tick(known.map_or(0, |place| moments[place]))
    }

    /// Changes every moment that is later than `now`, one shard after the other.
    pub(super) fn change_later_than(&self, now: Tick, change: impl Fn(Tick) -> Tick) {
        for shard in &self.shards {
            let mut places = lock(&shard.places);
            for set in 0..self.sets {
                let (_, moments) = places.set(set);
                for moment in moments.iter_mut().filter(|moment| **moment > now.0) {
                    *moment = change(Tick(*moment)).0;
                }
            }
        }
    }

    /// Places that were ever taken. They are not given back but to another client, so this never falls.
    pub(super) fn taken(&self) -> usize {
        self.shards.iter().map(|shard| shard.taken.load(Ordering::Relaxed)).sum()
    }

    /// Places in all.
    pub(super) fn places(&self) -> usize {
        SHARDS * self.sets * WAYS
    }

    /// Bytes of memory reserved; what was never touched of them is not used.
    pub(super) fn bytes(&self) -> usize {
        SHARDS * (size_of::<Shard>() + words(self.sets) * size_of::<u64>())
    }

    #[inline]
    fn find(&self, client: ClientKey) -> (&Shard, usize) {
        // Truncation is meant: any bits of the hash will do.
        #[allow(clippy::cast_possible_truncation)]
        let hash = self.seed.hash_one(client.number()) as usize;
        (&self.shards[hash % SHARDS], (hash / SHARDS) & (self.sets - 1))
    }
}

impl Places {
    fn new(sets: usize) -> Self {
        // Zeroed by the system, and not touched here.
        let words = vec![0_u64; words(sets)];
        let first = words.as_ptr().align_offset(LINES).min(SET);
        Self { words, first }
    }

    #[inline]
    fn set(&mut self, set: usize) -> (&mut [u64], &mut [u64]) {
        let at = self.first + set * SET;
        self.words[at..at + SET].split_at_mut(WAYS)
    }
}

/// Words of a shard: one set more than its sets, for the first one to begin at a line.
const fn words(sets: usize) -> usize {
    (sets + 1) * SET
}

#[inline]
fn earliest(moments: &[u64]) -> usize {
    let places = moments.iter().enumerate();
    places.min_by_key(|(_, moment)| **moment).map_or(0, |(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::net::Ipv4Addr;

    fn client(number: u32) -> ClientKey {
        ClientKey::of(Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn row_j11_sec_1_a_table_of_a_million_clients_has_32_mib_and_keeps_99_of_100() {
        const CLIENTS: u32 = 1_000_000;
        let table = Table::new(CLIENTS as usize);
        let mib = 1 << 20;
        assert!((32 * mib..33 * mib).contains(&table.bytes()), "{}", table.bytes());
        for number in 0..CLIENTS {
            table.update(client(number), |_| (Tick(u64::from(number) + 1), ()));
        }
        let kept =
            (0..CLIENTS).filter(|number| table.get(client(*number)) == Tick(u64::from(*number) + 1)).count();
        assert!(kept > 990_000, "{kept}");
        assert!((kept..=1_000_000).contains(&table.taken()), "{}", table.taken());
        let full = table.bytes();
        (CLIENTS..4 * CLIENTS).for_each(|number| table.update(client(number), |_| (Tick(7), ())));
        assert_eq!(table.bytes(), full);
        assert!(table.taken() <= table.places());
    }

    #[test]
    fn sec_1_a_set_begins_at_a_cache_line() {
        for clients in [1, 1_000, 300_000] {
            let table = Table::new(clients);
            let shard = lock(&table.shards[0].places);
            assert_eq!(shard.words[shard.first..].as_ptr().addr() % LINES, 0);
        }
    }

    #[test]
    fn row_j11_sec_1_the_client_with_the_earliest_moment_gives_up_its_place() {
        // One set in each shard, so that every shard's later clients push its earlier ones out.
        let table = Table::new(1);
        assert_eq!(table.places(), SHARDS * WAYS);
        let late = u64::MAX;
        let held: Vec<_> = (0..64).map(client).collect();
        held.iter().for_each(|client| table.update(*client, |_| (Tick(late), ())));
        let kept: Vec<_> = held.iter().filter(|client| table.get(**client) == Tick(late)).collect();
        // 64 clients in 32 sets of 8: hardly one is lost among themselves.
        assert!(kept.len() > 56, "{}", kept.len());
        let full: HashMap<_, usize> = kept.iter().fold(HashMap::new(), |mut count, client| {
            *count.entry(std::ptr::from_ref(table.find(**client).0).addr()).or_default() += 1;
            count
        });
        (1_000..100_000).for_each(|number| table.update(client(number), |_| (Tick(u64::from(number)), ())));
        for client in kept {
            let crowd = full[&std::ptr::from_ref(table.find(*client).0).addr()];
            assert!(crowd == WAYS || table.get(*client) == Tick(late), "{client} was pushed out");
        }
    }

    #[test]
    fn sec_1_moments_to_come_are_changed_and_past_ones_not() {
        let table = Table::new(100);
        for number in 1..=50 {
            table.update(client(number), |known| (Tick(u64::from(number)), assert_eq!(known, Tick(0))));
        }
        table.change_later_than(Tick(25), |moment| Tick(moment.0 * 2));
        for number in 1..=50 {
            let factor = if number > 25 { 2 } else { 1 };
            assert_eq!(table.get(client(number)), Tick(u64::from(number) * factor));
        }
    }
}
