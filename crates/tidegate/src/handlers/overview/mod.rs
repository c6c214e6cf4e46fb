//! What operators see: one place where the parts of the server are asked how they are.
//!
//! The server's main task calls [`Overview::tick`] once a second, whatever the load: a second of history is kept, and
//! where somebody watches the dashboard the news are encoded once for all of them. Pages ask at other times too; that
//! reads counters and takes no lock that a request waits for longer than for another request.

pub mod snapshot;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::watch;

use crate::clock::{Millis, unix_millis, unix_of};
use crate::config::{BanMode, Settings};
use crate::handlers::health::Draining;
use crate::http::reject::Extra;
use crate::http::response::Live;
use crate::http::{Code, Reject};
use crate::limits::{Admission, Budget, Ledger};
use crate::net::Tls;
use crate::pool::Pool;
use crate::sync::{Mutex, lock};
use crate::telemetry::exposition::{Buckets, Family};
use crate::telemetry::log::LogWriter;
use crate::telemetry::metrics::{PoolReading, Readings, Reload, families};
use crate::telemetry::process::{Process, Usage};
use crate::telemetry::verdict::{Standing, Verdict};
use crate::telemetry::{Board, Gauges, panics};

/// Dashboards that may be followed at once: each costs some 10 KiB a second.
pub const VIEWERS: usize = 32;

/// The parts of the server, and what was noted of them.
#[derive(Debug)]
pub struct Overview {
    /// The parts.
    pub parts: Parts,
    settings: Mutex<Arc<Settings>>,
    tls: Mutex<Option<Arc<Tls>>>,
    reload: Mutex<Reload>,
    stream: watch::Sender<Arc<[u8]>>,
    viewers: Arc<()>,
}

/// The parts of the server that can be asked.
#[derive(Debug)]
pub struct Parts {
    /// Counters, sightings and the last minutes.
    pub board: Board,
    /// Threads for what blocks.
    pub pool: Pool,
    /// Seats for connections.
    pub admission: Admission,
    /// What is held against which client.
    pub ledger: Arc<Ledger>,
    /// Memory for bodies in progress.
    pub budget: Budget,
    /// Where log lines go.
    pub writer: LogWriter,
    /// What the system tells of this process.
    pub process: Mutex<Process>,
    /// Whether the server is on its way out.
    pub draining: Draining,
    /// The zero of all clocks.
    pub zero: Instant,
}

impl Overview {
    /// An overview of `parts`, which run by `settings` and with the certificates of `tls`.
    pub fn new(parts: Parts, settings: Arc<Settings>, tls: Option<Arc<Tls>>) -> Self {
        let reload = Reload { taken: true, at: unix_millis() / 1000 };
        Self {
            parts,
            settings: Mutex::new(settings),
            tls: Mutex::new(tls),
            reload: Mutex::new(reload),
            stream: watch::Sender::new(Arc::default()),
            viewers: Arc::new(()),
        }
    }

    /// Notes that `settings` were taken over, with the certificates of `tls`.
    pub fn reloaded(&self, settings: Arc<Settings>, tls: Option<Arc<Tls>>) {
        *lock(&self.settings) = settings;
        *lock(&self.tls) = tls;
        *lock(&self.reload) = Reload { taken: true, at: unix_millis() / 1000 };
    }

    /// Notes that a new configuration was refused.
    pub fn reload_failed(&self) {
        lock(&self.reload).taken = false;
    }

    /// Keeps the past second, and tells those who watch.
    pub fn tick(&self) {
        self.parts.board.sample(SystemTime::now(), self.gauges());
        if self.viewers() > 0 {
            let text = format!("event: snapshot\ndata: {}\n\n", snapshot::now(self));
            self.stream.send_replace(text.into_bytes().into());
        }
    }

    /// How many watch.
    pub fn viewers(&self) -> usize {
        Arc::strong_count(&self.viewers) - 1
    }

    /// A place among those who watch, with the last minutes to begin with.
    ///
    /// # Errors
    /// `too_many_connections` when [`VIEWERS`] watch already.
    pub fn watch(&self) -> Result<Live, Reject> {
        let place = Arc::clone(&self.viewers);
        if self.viewers() > VIEWERS {
            return Err(Reject::new(
                Code::TooManyConnections,
                "The dashboard has as many viewers as it may.",
            )
            .harmless()
            .seen(format!("{VIEWERS} dashboards are open"))
            .with(Extra::RetryAfter(10)));
        }
        let history = snapshot::history(self);
        let first = format!(
            "retry: 1000\nevent: history\ndata: {history}\n\nevent: snapshot\ndata: {}\n\n",
            snapshot::now(self)
        );
        Ok(Live { first: first.into_bytes().into(), updates: RefCell::new(self.stream.subscribe()), place })
    }

    /// The metrics, at this moment.
    pub fn families(&self) -> Vec<Family> {
        let Parts { board, pool, admission, ledger, budget, writer, .. } = &self.parts;
        let (totals, usage, status) = (board.totals(), self.usage(), pool.status());
        let reload = *lock(&self.reload);
        let (on, shadow) = self.bans_by_effect();
        let expiries = self.tls().as_deref().map_or_else(BTreeMap::new, expiries);
        families(&Readings {
            totals: &totals,
            process: &usage,
            pool: PoolReading {
                threads: status.size(),
                busy: status.busy(),
                queued: status.queued,
                saturations: status.saturations,
                waits: Buckets {
                    bounds: status.waits.bounds_seconds,
                    counts: &status.waits.counts,
                    sum: status.waits.sum_seconds,
                },
            },
            connections: admission.connections().0,
            log_dropped: writer.dropped(),
            panics: panics::count(),
            reload,
            expiries: &expiries,
            bans: [("on", on), ("shadow", shadow)],
            bans_displaced: ledger.bans.displaced(),
            tracked_clients: ledger.rates.tracked(),
            viewers: self.viewers(),
            body_bytes: budget.used(),
        })
    }

    /// What the process takes now; zeros where the system does not tell.
    fn usage(&self) -> Usage {
        lock(&self.parts.process).usage().unwrap_or_default()
    }

    fn gauges(&self) -> Gauges {
        let status = self.parts.pool.status();
        Gauges {
            connections: self.parts.admission.connections().0,
            pool_busy: status.busy(),
            pool_queue: status.queued,
            log_dropped: self.parts.writer.dropped(),
            usage: self.usage(),
        }
    }

    /// Whether bans refuse anybody now. Those that were made while they did are kept when that is switched off.
    pub fn enforces_bans(&self) -> bool {
        self.settings().bans.mode == BanMode::On
    }

    /// How many clients are refused, and how many would be.
    fn bans_by_effect(&self) -> (usize, usize) {
        let (on, shadow) = self.parts.ledger.bans.count(self.now());
        if self.enforces_bans() { (on, shadow) } else { (0, on + shadow) }
    }

    /// The last minute in one line.
    fn verdict(&self) -> Verdict {
        let standing =
            Standing { bans: self.settings().bans.mode == BanMode::On, reloaded: self.reload().taken };
        self.parts.board.verdict(self.now(), standing)
    }

    /// Now, by the clock of all limits.
    pub fn now(&self) -> Millis {
        let since = self.parts.zero.elapsed().as_millis();
        Millis(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// A moment of our clock, in milliseconds since 1970.
    fn unix(&self, moment: Millis) -> u64 {
        unix_millis().saturating_sub(self.now().0.saturating_sub(moment.0))
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&lock(&self.settings))
    }

    /// The certificates that are served now; `None` without TLS.
    pub fn tls(&self) -> Option<Arc<Tls>> {
        lock(&self.tls).clone()
    }

    fn reload(&self) -> Reload {
        *lock(&self.reload)
    }
}

/// When each certificate ends, in seconds since 1970, by its first name. Of two with the same, as one for each kind of
/// key, the first to end is told: a series may have one value only.
fn expiries(tls: &Tls) -> BTreeMap<String, u64> {
    let mut expiries = BTreeMap::new();
    for certificate in tls.certificates() {
        let end = unix_of(certificate.not_after) / 1000;
        let told = expiries.entry(certificate.name().to_owned()).or_insert(end);
        *told = end.min(*told);
    }
    expiries
}
