//! Who has done too much wrong is banned for a while (SPEC SEC-1).
//!
//! ```text
//! offence ─► score: a leaky bucket ── fits ─► Scored
//!                      └─ over 100 points ─► Banned: 10 min, then 20, 40 … 24 h for whoever does not stop
//! request ─► check: nobody is banned: one load · else a look-up under a lock that readers share
//! ```
//! A score leaks a point in six seconds, as a rate does and by the same arithmetic (`bucket`): exact integers, and what
//! was done is forgiven after a time that can be said. Everything is bounded: scores lie in a table of fixed size, of
//! offences the newest 4096 are kept, of bans 10,000. In shadow mode all is the same but that the caller refuses
//! nobody.

mod export;
mod offence;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::PoisonError;
use std::time::Duration;

use super::bucket::{Bucket, Poured, TICKS, Tick};
use super::client::ClientKey;
use super::table::Table;
use crate::clock::Millis;
use crate::config::BanMode;
use crate::http::reject::Event;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, RwLock, lock};

use offence::points;

pub use export::{Format, Restored};
pub use offence::Offence;

/// How bans are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What is done about offences.
    pub mode: BanMode,
    /// How long a first ban lasts; it doubles with each further one, up to [`LONGEST`].
    pub first: Duration,
}

/// Scores, offences and bans; shared by all workers.
#[derive(Debug)]
pub struct BanBook {
    scores: Table,
    /// The newest of all clients, oldest first.
    offences: Mutex<VecDeque<(ClientKey, Offence)>>,
    register: RwLock<Register>,
    /// When the last of the bans ends, in milliseconds since start: from then on nobody is banned.
    last_end: AtomicU64,
    displaced: AtomicU64,
    /// How often the register was changed.
    changes: AtomicU64,
}

/// Bans, those too that ended less than a day ago: they double the next one.
#[derive(Debug, Default)]
struct Register {
    records: HashMap<ClientKey, Ban>,
    by_end: BTreeSet<(Millis, ClientKey)>,
}

/// One ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who.
    pub client: ClientKey,
    /// Of which kind the last offence was.
    pub kind: Event,
    /// When it began, in milliseconds since 1970.
    pub since: u64,
    /// When it ends.
    pub until: Millis,
    /// How often the client was banned, this one included, each less than a day after the one before; at least 1.
    pub times: u32,
    /// Given in shadow mode: nobody is refused for it.
    pub shadow: bool,
    /// The client's last offences, at most [`EVIDENCE_MAX`], newest first.
    pub evidence: Vec<Offence>,
}

/// What a banned client may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanInfo {
    /// Of which kind the last offence was.
    pub kind: Event,
    /// How often it was banned.
    pub times: u32,
    /// Given in shadow mode: it is not to be refused.
    pub shadow: bool,
    /// How long it still lasts, more than 0.
    pub left: Duration,
}

/// What came of an offence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not counted: it is no offence, bans are off, or the client is banned already.
    Nothing,
    /// It was counted.
    Scored,
    /// It was one too many: the client is banned from now on. Said once for each ban.
    Banned(Ban),
}

/// The longest ban: who comes back after a day is met by what is remembered, and an address changes hands.
pub const LONGEST: Duration = Duration::from_hours(24);
/// Offences shown with a ban.
pub const EVIDENCE_MAX: usize = 5;
/// For how long after its end a ban doubles the next one.
const REMEMBERED: Duration = LONGEST;
/// Bans kept, ended ones included: some 10 MiB with evidence. A network that big is for the firewall.
pub(super) const BANS_MAX: usize = 10_000;
/// Offences of all clients kept as evidence: at most 1 MiB.
const OFFENCES_MAX: usize = 4_096;
/// Clients with a score: 2 MiB. Under more, those with the lowest are forgotten first.
const SUSPECTS: usize = 65_536;

/// Points of a score that is not yet a ban, and in which time one of them is forgiven: all of them in ten minutes.
const POINTS: u64 = 100;
const FORGIVEN: Duration = Duration::from_secs(6);
const SCORE: Bucket = Bucket::of(POINTS, FORGIVEN.as_secs() * 1_000_000_000 * TICKS);

impl BanBook {
    /// Nobody has done anything.
    pub fn new() -> Self {
        Self {
            scores: Table::new(SUSPECTS),
            offences: Mutex::default(),
            register: RwLock::default(),
            last_end: AtomicU64::new(0),
            displaced: AtomicU64::new(0),
            changes: AtomicU64::new(0),
        }
    }

    /// Counts an offence of `client`; whoever then has more points than are forgiven is banned.
    pub fn offend(&self, client: ClientKey, offence: Offence, policy: &Policy, now: Millis) -> Outcome {
        let shadow = policy.mode == BanMode::Shadow;
        // What would have been a ban does not stand in the way of one.
        let is_banned = self.check(client, now).is_some_and(|ban| shadow || !ban.shadow);
        if policy.mode == BanMode::Off || points(offence.kind) == 0 || is_banned {
            return Outcome::Nothing;
        }
        let (kind, at) = (offence.kind, offence.at);
        self.remember(client, offence);
        let too_much =
            self.scores.update(client, |dry| match SCORE.pour(dry, Tick::of_millis(now), points(kind)) {
                Poured::Held(next) => (next, false),
                Poured::Over(_) => (Tick(0), true),
            });
        if !too_much {
            return Outcome::Scored;
        }
        let evidence = self.evidence(client);
        let times = self.read().times(client, shadow, now);
        let until = now.after(length(policy.first, times));
        let ban = Ban { client, kind, since: at, until, times, shadow, evidence };
        self.enter(ban.clone(), now);
        Outcome::Banned(ban)
    }

    /// Whether `client` is banned at `now`. Whether it is then refused says [`Policy::refuses`].
    #[inline]
    pub fn check(&self, client: ClientKey, now: Millis) -> Option<BanInfo> {
        if now.0 >= self.last_end.load(Ordering::Relaxed) { None } else { self.look_up(client, now) }
    }

    /// Ends the ban of `client` and forgets all that it did; whether there was a ban, or one that still doubled the
    /// next.
    pub fn lift(&self, client: ClientKey) -> bool {
        self.scores.update(client, |_| (Tick(0), ()));
        lock(&self.offences).retain(|(offender, _)| *offender != client);
        self.write(|register| register.remove(client)).is_some()
    }

    /// The bans at `now`, those that last longest first; no more than `most`, for each is copied with its evidence.
    pub fn list(&self, now: Millis, most: usize) -> Vec<Ban> {
        self.read().in_force(now).take(most).cloned().collect()
    }

    /// How many bans are kept, those that have ended among them.
    pub fn kept(&self) -> usize {
        self.read().records.len()
    }

    /// How many bans there are at `now`: those in force and those of shadow mode.
    pub fn count(&self, now: Millis) -> (usize, usize) {
        self.read().in_force(now).fold((0, 0), |(bans, shadows), ban| {
            if ban.shadow { (bans, shadows + 1) } else { (bans + 1, shadows) }
        })
    }

    /// Forgets bans that ended more than a day ago. To be called now and then; without it they only take up room.
    pub fn expire(&self, now: Millis) {
        let is_over = |(until, _): &(Millis, ClientKey)| until.after(REMEMBERED) <= now;
        if !self.read().by_end.first().is_some_and(is_over) {
            return;
        }
        self.write(|register| {
            while let Some((until, client)) = register.by_end.first().copied()
                && until.after(REMEMBERED) <= now
            {
                register.remove(client);
            }
        });
    }

    /// Bans that had to go before their time, because there were too many.
    pub fn displaced(&self) -> u64 {
        self.displaced.load(Ordering::Relaxed)
    }

    /// Grows with each change of what [`Self::save`] tells.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    fn look_up(&self, client: ClientKey, now: Millis) -> Option<BanInfo> {
        let register = self.read();
        let ban = register.records.get(&client).filter(|ban| ban.until > now)?;
        Some(BanInfo { kind: ban.kind, times: ban.times, shadow: ban.shadow, left: ban.left(now) })
    }

    fn remember(&self, client: ClientKey, offence: Offence) {
        let mut offences = lock(&self.offences);
        if offences.len() == OFFENCES_MAX {
            offences.pop_front();
        }
        offences.push_back((client, offence));
    }

    /// The last offences of `client`, newest first. All are looked at: that is done once a ban.
    fn evidence(&self, client: ClientKey) -> Vec<Offence> {
        let offences = lock(&self.offences);
        let own = offences.iter().rev().filter(|(offender, _)| *offender == client);
        own.map(|(_, offence)| offence.clone()).take(EVIDENCE_MAX).collect()
    }

    /// Enters a ban; where there are too many, in place of the one that ends first.
    fn enter(&self, ban: Ban, now: Millis) {
        let displaced = self.write(|register| register.enter(ban));
        if displaced.is_some_and(|displaced| displaced.until > now) {
            self.displaced.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn read(&self) -> impl std::ops::Deref<Target = Register> {
        self.register.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the register, and says when its last ban ends.
    fn write<R>(&self, change: impl FnOnce(&mut Register) -> R) -> R {
        let mut register = self.register.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut register);
        let last_end = register.by_end.last().map_or(0, |(until, _)| until.0);
        self.last_end.store(last_end, Ordering::Relaxed);
        self.changes.fetch_add(1, Ordering::Relaxed);
        result
    }
}

impl Default for BanBook {
    fn default() -> Self {
        Self::new()
    }
}

impl Ban {
    /// In a sentence, for the log.
    pub fn describe(&self, now: Millis) -> String {
        let (minutes, kind, times) = (self.left(now).as_secs().div_ceil(60), self.kind.name(), self.times);
        let would = if self.shadow { "would be banned" } else { "is banned" };
        let again = if times > 1 { format!(", ban {times} of this client") } else { String::new() };
        let lift = if self.shadow { " (--bans on would do it)" } else { "" };
        format!("{} {would} for {minutes} min for {kind}{again}{lift}", self.client)
    }

    /// How long it still lasts at `now`.
    pub fn left(&self, now: Millis) -> Duration {
        Duration::from_millis(self.until.0.saturating_sub(now.0))
    }
}

impl Policy {
    /// Whether a client with this ban is refused.
    pub fn refuses(&self, ban: &BanInfo) -> bool {
        self.mode == BanMode::On && !ban.shadow
    }
}

impl Register {
    /// The bans that have not ended, those that last longest first.
    fn in_force(&self, now: Millis) -> impl Iterator<Item = &Ban> {
        let ends = self.by_end.iter().rev().take_while(move |(until, _)| *until > now);
        ends.filter_map(|(_, client)| self.records.get(client))
    }

    /// The how-manieth ban of `client` a new one would be.
    fn times(&self, client: ClientKey, shadow: bool, now: Millis) -> u32 {
        let before =
            self.records.get(&client).filter(|ban| ban.shadow == shadow && ban.until.after(REMEMBERED) > now);
        before.map_or(1, |ban| ban.times.saturating_add(1))
    }

    /// Enters `ban` in place of the one before of its client, or else, where there are too many, of the one that ends
    /// first, which is returned.
    fn enter(&mut self, ban: Ban) -> Option<Ban> {
        self.remove(ban.client);
        let first = self.by_end.first().copied().filter(|_| self.records.len() >= BANS_MAX);
        let displaced = first.and_then(|(_, client)| self.remove(client));
        self.by_end.insert((ban.until, ban.client));
        self.records.insert(ban.client, ban);
        displaced
    }

    fn remove(&mut self, client: ClientKey) -> Option<Ban> {
        let ban = self.records.remove(&client)?;
        self.by_end.remove(&(ban.until, client));
        Some(ban)
    }
}

/// How long the `times`-th ban lasts, 1 for the first.
fn length(first: Duration, times: u32) -> Duration {
    let doubled = 1_u32.checked_shl(times.saturating_sub(1)).and_then(|factor| first.checked_mul(factor));
    doubled.unwrap_or(LONGEST).min(LONGEST)
}
