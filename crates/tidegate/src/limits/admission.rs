//! Seats for connections (SPEC LOAD-3, LOAD-7): at most `cap` at once over all workers, and of one client no more than
//! its share. A newcomer over the cap takes the seat of the connection that has been idle longest; one over its
//! client's share, of that client's own only. Where none of those is idle it is refused.
//!
//! ```text
//!  admit ──► busy ──idle()──► idle since t ──busy()──► busy
//!             │                   │
//!             │                   └─ anyone evicts ─► evicted ─ wakes its owner
//!             └─► gone ◄──────────┴──────────────────────┘        by drop of the Permit
//! ```
//! A seat is one atomic, written by its owner on each turn and read by others only when there is no room. Seats and
//! their waiting lists are touched under a lock when a connection comes or goes, and when one becomes idle while a
//! newcomer was refused for want of just that; never per request else.

use std::cell::Cell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::task::Waker;

use slab::Slab;

use super::ClientKey;
use super::candidates::{Candidates, Hunger, Seat};
use crate::clock::Millis;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// The seats of the house; clones share them.
#[derive(Clone, Debug)]
pub struct Admission {
    house: Arc<House>,
}

#[derive(Debug)]
struct House {
    cap: AtomicUsize,
    hunger: Hunger,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    places: Slab<Place>,
    /// Seats taken, without those whose owner was told to leave.
    taken: usize,
    peak: usize,
    candidates: Candidates,
    /// Who has a seat; a client leaves with its last one.
    parties: HashMap<ClientKey, Party>,
}

/// A seat in the book.
#[derive(Debug)]
struct Place {
    seat: Arc<Seat>,
    /// Where it stands among those of its client.
    position: usize,
}

/// What belongs to one client.
#[derive(Debug, Default)]
struct Party {
    /// Numbers of its seats, those of the evicted too until they have left.
    numbers: Vec<usize>,
    /// Without the evicted.
    taken: usize,
    candidates: Candidates,
    hunger: Arc<Hunger>,
}

/// A connection's seat, given back on drop.
#[derive(Debug)]
pub struct Permit {
    house: Arc<House>,
    seat: Arc<Seat>,
    number: usize,
    /// That of its client.
    hunger: Option<Arc<Hunger>>,
    /// A connection is one task, whose waker never changes: it is left at the seat once.
    waker_left: Cell<bool>,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Every seat is taken and none is idle.
    HouseFull,
    /// The client has all the seats that it may have, and none of them is idle.
    ClientFull,
}

impl Admission {
    /// A house in which `cap` seats may be taken.
    pub fn new(cap: usize) -> Self {
        let (cap, hunger, book) = (AtomicUsize::new(cap), Hunger::default(), Mutex::default());
        Self { house: Arc::new(House { cap, hunger, book }) }
    }

    /// Changes how many seats may be taken; those over a lower cap leave by themselves.
    pub fn set_cap(&self, cap: usize) {
        self.house.cap.store(cap, Ordering::Relaxed);
    }

    /// A seat for a new connection of `client`, which may have `share` of them (`None`: any number); at the cap, in
    /// place of the longest-idle one, which is told to leave. Without a `client` nothing is counted for anybody.
    ///
    /// It looks at no seat but when it begins to refuse: once for the house or the client, until somebody becomes idle.
    ///
    /// # Errors
    /// [`Refused`] where no connection is idle.
    pub fn admit(&self, client: Option<ClientKey>, share: Option<usize>) -> Result<Permit, Refused> {
        let mut book = lock(&self.house.book);
        match client.zip(share) {
            Some((client, share)) if book.taken_by(client) >= share => {
                // One leaves and one comes: whatever the cap of the house, nobody else makes room for this client.
                book.evict_of(client)?;
            }
            _ if book.taken >= self.house.cap.load(Ordering::Relaxed) => book.evict(&self.house.hunger)?,
            _ => {}
        }
        let seat = Arc::new(Seat::new(client));
        let (number, hunger) = book.seat(&seat);
        drop(book);
        Ok(Permit { house: Arc::clone(&self.house), seat, number, hunger, waker_left: Cell::new(false) })
    }

    /// Connections now, and the most there were.
    pub fn connections(&self) -> (usize, usize) {
        let book = lock(&self.house.book);
        (book.taken, book.peak)
    }

    /// Connections of `client` now.
    #[cfg(test)]
    pub fn connections_of(&self, client: ClientKey) -> usize {
        lock(&self.house.book).taken_by(client)
    }

    /// Forgets the places of a crowd that has gone.
    pub fn give_memory_back(&self) {
        let mut book = lock(&self.house.book);
        book.places.shrink_to_fit();
        book.parties.shrink_to_fit();
    }

    /// Clients that have a connection.
    #[cfg(test)]
    pub fn clients(&self) -> usize {
        lock(&self.house.book).parties.len()
    }
}

impl Book {
    fn taken_by(&self, client: ClientKey) -> usize {
        self.parties.get(&client).map_or(0, |party| party.taken)
    }

    /// Writes `seat` down under a free number.
    fn seat(&mut self, seat: &Arc<Seat>) -> (usize, Option<Arc<Hunger>>) {
        self.taken += 1;
        self.peak = self.peak.max(self.taken);
        let number = self.places.vacant_key();
        let party = seat.client.map(|client| self.parties.entry(client).or_default());
        let position = party.as_ref().map_or(0, |party| party.numbers.len());
        let hunger = party.map(|party| {
            party.taken += 1;
            party.numbers.push(number);
            Arc::clone(&party.hunger)
        });
        self.places.insert(Place { seat: Arc::clone(seat), position });
        (number, hunger)
    }

    /// Evicts the connection that has been idle longest.
    fn evict(&mut self, hunger: &Hunger) -> Result<(), Refused> {
        let seats = self.places.iter().map(|(_, place)| &place.seat);
        let seat = self.candidates.evict(hunger, seats).ok_or(Refused::HouseFull)?;
        self.leaves(seat.client);
        Ok(())
    }

    /// Evicts the one of `client` that has been idle longest.
    fn evict_of(&mut self, client: ClientKey) -> Result<(), Refused> {
        let party = self.parties.get_mut(&client).ok_or(Refused::ClientFull)?;
        let places = party.numbers.iter().filter_map(|number| self.places.get(*number));
        let evicted = party.candidates.evict(&party.hunger, places.map(|place| &place.seat));
        evicted.ok_or(Refused::ClientFull)?;
        self.leaves(Some(client));
        Ok(())
    }

    /// A seat of `client` counts no more, though its owner may need a moment to leave.
    fn leaves(&mut self, client: Option<ClientKey>) {
        self.taken -= 1;
        if let Some(party) = client.and_then(|client| self.parties.get_mut(&client)) {
            party.taken -= 1;
        }
    }

    /// Strikes out the seat under `number`, and its client with its last seat.
    fn strike(&mut self, number: usize) {
        let Some(place) = self.places.try_remove(number) else { return };
        let Some(Entry::Occupied(mut party)) = place.seat.client.map(|client| self.parties.entry(client))
        else {
            return;
        };
        let numbers = &mut party.get_mut().numbers;
        numbers.swap_remove(place.position);
        // The last one has moved into the gap.
        if let Some(moved) = numbers.get(place.position)
            && let Some(moved) = self.places.get_mut(*moved)
        {
            moved.position = place.position;
        }
        if party.get().numbers.is_empty() {
            party.remove();
        }
    }
}

impl Permit {
    /// Marks the connection idle since `now`: from here on it may be evicted, and is then woken by `waker`.
    #[inline]
    pub fn idle(&self, now: Millis, waker: &Waker) {
        if !self.waker_left.replace(true) {
            self.seat.leave_waker(waker);
        }
        if let Some(since) = self.seat.idle(now)
            && (self.house.hunger.is_felt() || self.hunger.as_ref().is_some_and(|hunger| hunger.is_felt()))
        {
            self.offer(since);
        }
    }

    /// A newcomer was refused because nobody was idle: this connection is now.
    #[cold]
    fn offer(&self, since: u64) {
        let mut book = lock(&self.house.book);
        book.candidates.offer(&self.house.hunger, since, &self.seat);
        if let Some(party) = self.seat.client.and_then(|client| book.parties.get_mut(&client)) {
            party.candidates.offer(&party.hunger, since, &self.seat);
        }
    }

    /// Marks the connection busy; false when it was evicted meanwhile and must leave.
    #[inline]
    pub fn busy(&self) -> bool {
        self.seat.busy()
    }

    /// Whether the connection was told to leave.
    #[inline]
    pub fn evicted(&self) -> bool {
        self.seat.is_evicted()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.seat.take_waker();
        let mut book = lock(&self.house.book);
        if self.seat.leave() {
            book.leaves(self.seat.client);
        }
        book.strike(self.number);
    }
}

#[cfg(test)]
mod tests;
