//! What is held against clients, over all workers and reloads; and the rules of the present settings by which it is.

use std::sync::Arc;

use super::ClientKey;
use super::bans::{Ban, BanBook, BanInfo, Offence, Outcome, Policy};
use super::identity::{Client, Identity};
use super::rate::{Rate, RateTable, Verdict};
use super::rate_fields;
use super::scan::Misses;
use crate::clock::Millis;
use crate::config::{ClientSettings, Settings};
use crate::exchange::Exchange;
use crate::http::explain::Counts;
use crate::http::reject::{Event, Extra};
use crate::http::{Code, Reject};
use crate::net::cidr::CidrSet;

/// Room for the fields that tell of a rate.
const FIELDS: usize = 128;
/// Nanoseconds of a millisecond.
const NANOS: u64 = 1_000_000;
/// Clients whose rate is kept, nearly always: the memory is touched only where one falls.
const CLIENTS: usize = 1_000_000;

/// What is held against clients.
#[derive(Debug)]
pub struct Ledger {
    /// Their requests.
    pub rates: RateTable,
    /// Their requests for what is not there.
    pub misses: Misses,
    /// Their offences, and who is banned for them.
    pub bans: BanBook,
}

/// The rules, of one site.
#[derive(Debug)]
pub struct Guard {
    /// Who a client is.
    pub identity: Identity,
    /// Open connections of one client.
    pub max_connections: Option<usize>,
    /// What is held against whom.
    pub ledger: Arc<Ledger>,
    rate: Option<(Rate, Arc<str>)>,
    policy: Policy,
    never: [CidrSet; 2],
}

/// What a refusal told of its client.
#[derive(Debug, Default)]
pub struct Suspicion {
    /// It asked for too much that is not there.
    pub scans: bool,
    /// It was banned for this, or would have been.
    pub banned: Option<Ban>,
}

impl Ledger {
    /// An empty one.
    pub fn new() -> Self {
        Self { rates: RateTable::new(CLIENTS), misses: Misses::new(), bans: BanBook::new() }
    }

    /// Forgets what `client` did; whether it was banned at `now`.
    pub fn pardon(&self, client: ClientKey, now: Millis) -> bool {
        let banned = self.bans.check(client, now).is_some();
        self.bans.lift(client);
        self.misses.forget(client);
        banned
    }

    /// Goes over from one rate limit to another: nobody wins a burst by it, or keeps a debt beyond the new one.
    pub fn rescale(&self, old: &ClientSettings, new: &ClientSettings, now: Millis) {
        if let (Some(old), Some(new)) = (&old.rate, &new.rate) {
            self.rates.rescale(&Rate::new(old), &Rate::new(new), nanos(now));
        }
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}

impl Guard {
    /// The rules of `settings`, over what is in `ledger`.
    pub fn new(settings: &Settings, ledger: Arc<Ledger>) -> Self {
        Self {
            identity: Identity::new(&settings.clients),
            max_connections: settings.clients.max_connections,
            ledger,
            rate: settings
                .clients
                .rate
                .map(|limit| (Rate::new(&limit), format!("over {}", limit.described()).into())),
            policy: Policy { mode: settings.bans.mode, first: settings.bans.time },
            never: [settings.bans.never.clone(), settings.admin.allow.clone()],
        }
    }

    /// Lets a client ask, unless it is banned or has asked too often (H1-10, step 3); `now` is in nanoseconds.
    ///
    /// # Errors
    /// `banned` or `rate_limited`.
    #[inline]
    pub fn admit(&self, client: &Client, now: u64) -> Result<(), Reject> {
        if self.identity.exempts(client) {
            return Ok(());
        }
        if let Some(ban) = self.ledger.bans.check(client.key, Millis(now / NANOS))
            && self.policy.refuses(&ban)
            && self.may_ban(client)
        {
            return Err(banned(&ban));
        }
        let Some((rate, evidence)) = &self.rate else { return Ok(()) };
        match self.ledger.rates.take(client.key, now, rate) {
            Verdict::Allowed { .. } => Ok(()),
            limited @ Verdict::Limited { .. } => Err(rate_limited(rate, evidence, &limited)),
        }
    }

    /// Notes the refusal of `exchange`, and whether it makes its client one to be banned. `wall` is in milliseconds
    /// since 1970.
    pub fn witness(&self, exchange: &Exchange<'_>, now: Millis, wall: u64) -> Suspicion {
        let client = &exchange.client;
        let Some(refusal) = &exchange.refusal else { return Suspicion::default() };
        if self.identity.exempts(client) {
            return Suspicion::default();
        }
        let counts = Counts::of(refusal.code);
        let scans = counts == Counts::InScans && self.ledger.misses.miss(client.key, now);
        let kind = if scans { Some(Event::Scan) } else { refusal.event };
        let is_offence = match counts {
            Counts::Each => true,
            Counts::Guesses => refusal.guess,
            Counts::InScans => scans,
            Counts::Never => false,
        };
        let Some(kind) = kind.filter(|_| is_offence && self.may_ban(client)) else {
            return Suspicion { scans, banned: None };
        };
        let evidence = exchange.told(refusal.why());
        let offence = Offence::new(kind, wall, exchange.id, &String::from_utf8_lossy(&evidence));
        match self.ledger.bans.offend(client.key, offence, &self.policy, now) {
            Outcome::Banned(ban) => Suspicion { scans, banned: Some(ban) },
            Outcome::Nothing | Outcome::Scored => Suspicion { scans, banned: None },
        }
    }

    fn may_ban(&self, client: &Client) -> bool {
        let never = |address| self.never.iter().any(|networks| networks.contains(address));
        self.identity.may_ban(client) && !client.address.is_some_and(never)
    }
}

fn nanos(now: Millis) -> u64 {
    now.0.saturating_mul(NANOS)
}

#[cold]
fn banned(ban: &BanInfo) -> Reject {
    let left = u32::try_from(rate_fields::seconds(ban.left)).unwrap_or(u32::MAX);
    Reject::new(Code::Banned, "This client is banned for a time; Retry-After says for how long.")
        .with(Extra::RetryAfter(left))
        .seen(format!("ban {} of this client, for {}", ban.times, ban.kind.name()))
}

#[cold]
fn rate_limited(rate: &Rate, evidence: &Arc<str>, verdict: &Verdict) -> Reject {
    let mut fields = Vec::with_capacity(FIELDS);
    rate_fields::write_fields(&mut fields, rate, verdict);
    Reject::new(Code::RateLimited, "Too many requests; wait as long as Retry-After says.")
        .with(Extra::Fields(fields))
        .seen(Arc::clone(evidence))
}
