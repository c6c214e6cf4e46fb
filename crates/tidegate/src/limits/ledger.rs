//! What is held against clients, over all workers and reloads; and the rules of the present settings by which it is.

use std::sync::Arc;

use super::bans::BanBook;
use super::identity::{Client, Identity};
use super::rate::{Rate, RateTable, Verdict};
use super::rate_fields;
use super::scan::Misses;
use crate::clock::Millis;
use crate::config::{BanMode, RateLimit, Settings};
use crate::exchange::Exchange;
use crate::http::explain::Offence as Counts;
use crate::http::reject::Extra;
use crate::http::{Code, Reject};
use crate::net::cidr::CidrSet;

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
    rate: Option<(Rate, RateLimit)>,
    mode: BanMode,
    never: [CidrSet; 2],
}

/// What a refusal told of its client.
#[derive(Debug, Default)]
pub struct Suspicion {
    /// It asked for too much that is not there.
    pub scans: bool,
    /// It was banned for this, or would have been.
    pub banned: Option<super::bans::Ban>,
}

impl Ledger {
    /// An empty one.
    pub fn new() -> Self {
        Self { rates: RateTable::new(CLIENTS), misses: Misses::new(), bans: BanBook::new() }
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
            rate: settings.clients.rate.map(|limit| (Rate::new(&limit), limit)),
            mode: settings.bans.mode,
            never: [settings.bans.never.clone(), settings.admin.allow.clone()],
        }
    }

    /// Lets a client ask, unless it is banned or has asked too often (H1-10, step 3).
    ///
    /// # Errors
    /// `banned` or `rate_limited`.
    #[inline]
    pub fn admit(&self, client: &Client, now: Millis) -> Result<(), Reject> {
        if self.identity.exempts(client) {
            return Ok(());
        }
        if self.mode == BanMode::On && self.ledger.bans.is_banned(client.key, now) {
            return Err(self.banned(client, now));
        }
        let Some((rate, limit)) = &self.rate else { return Ok(()) };
        match self.ledger.rates.take(client.key, now.0.saturating_mul(1_000_000), rate) {
            Verdict::Allowed { .. } => Ok(()),
            limited @ Verdict::Limited { .. } => Err(rate_limited(rate, limit, &limited)),
        }
    }

    /// Notes the refusal of `exchange`, and whether it makes its client one to be banned.
    pub fn witness(&self, exchange: &Exchange<'_>, now: Millis) -> Suspicion {
        let client = &exchange.client;
        let Some(refusal) = &exchange.refusal else { return Suspicion::default() };
        if self.identity.exempts(client) {
            return Suspicion::default();
        }
        let counts = Counts::of(refusal.code);
        let scans = counts == Counts::InScans && self.ledger.misses.miss(client.key, now);
        if self.mode == BanMode::Off || !(scans || counts == Counts::Each) || !self.may_ban(client) {
            return Suspicion { scans, banned: None };
        }
        Suspicion { scans, banned: None }
    }

    fn may_ban(&self, client: &Client) -> bool {
        let never = |address| self.never.iter().any(|networks| networks.contains(address));
        self.identity.may_ban(client) && !client.address.is_some_and(never)
    }

    #[cold]
    fn banned(&self, client: &Client, now: Millis) -> Reject {
        todo!()
    }
}

#[cold]
fn rate_limited(rate: &Rate, limit: &RateLimit, verdict: &Verdict) -> Reject {
    let mut fields = Vec::new();
    rate_fields::write_fields(&mut fields, rate, verdict);
    Reject::new(Code::RateLimited, "Too many requests; wait as long as Retry-After says.")
        .with(Extra::Fields(fields))
        .seen(format!("over {}", limit.described()))
}
