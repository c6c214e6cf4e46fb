//! What a worker serves: limits, names and handlers, built from the settings and swapped whole on reload.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{AllowHosts, ListenAddr, Settings};
use crate::handlers::admin::Access;
use crate::handlers::files::Files;
use crate::handlers::files::cache::Room;
use crate::handlers::files::codings::Codings;
use crate::handlers::files::dress::Dress;
use crate::handlers::files::shelf::Means;
use crate::handlers::health::Draining;
use crate::handlers::overview::Overview;
use crate::handlers::upload::Uploads;
use crate::http::cors::Cors;
use crate::http::host::{HostPolicy, LastHost};
use crate::limits::{Budget, Guard, Ledger};
use crate::net::Tls;
use crate::pool::Pool;
use crate::store::LocalStore;
use crate::telemetry::Tally;

/// What outlives every reload; clones share it.
#[derive(Clone)]
pub struct Services {
    /// Threads for what blocks.
    pub pool: Pool,
    /// The folder that is served.
    pub root: Arc<OwnedFd>,
    /// Where uploads go, where they can.
    pub store: Option<Arc<LocalStore>>,
    /// The folder of stored uploads, to read from.
    pub stored: Option<Arc<OwnedFd>>,
    /// Memory for bodies in progress.
    pub budget: Budget,
    /// What is held against which client.
    pub ledger: Arc<Ledger>,
    /// What operators see.
    pub overview: Arc<Overview>,
    /// Whether the server is on its way out.
    pub draining: Draining,
    /// How much each cache of a worker may remember.
    pub room: Room,
    /// What was compressed.
    pub codings: Codings,
    /// How much of the end of a large file is copied rather than sent by reference, in bytes.
    pub copied_end: u64,
    /// The port to which plain requests are sent on.
    pub https_port: u16,
}

/// One worker's site.
pub struct Site {
    /// Bounds of heads and framing.
    pub limits: http1::Limits,
    /// `Connection` and `Keep-Alive` of a response after which the connection stays open, encoded.
    pub keep_alive_fields: Vec<u8>,
    /// How long a connection may be idle.
    pub keep_alive: Duration,
    /// How long a head may take in total.
    pub header_timeout: Duration,
    /// Requests per connection.
    pub max_requests: u32,
    /// Names that are ours.
    pub hosts: HostPolicy,
    /// The last host that was found to be ours.
    pub last_host: LastHost,
    /// Who asks, how much, and whether that is too much.
    pub guard: Guard,
    /// Who may see the pages for operators.
    pub access: Access,
    /// Whether these have a listener of their own.
    pub has_backstage: bool,
    /// What they show.
    pub overview: Arc<Overview>,
    /// What it proves to be, where it speaks TLS; a connection keeps what it began with.
    pub tls: Option<Arc<Tls>>,
    /// The port to which the listener of `--tls-redirect` sends on.
    pub https_port: u16,
    /// `Strict-Transport-Security`, encoded, for answers over TLS; empty where nothing is promised.
    pub hsts_field: Vec<u8>,
    /// Whose scripts may read our answers.
    pub cors: Cors,
    /// Files below the root.
    pub files: Files,
    /// Stored uploads.
    pub stored: Option<Files>,
    /// New uploads.
    pub uploads: Uploads,
    /// How much of the end of a large file is copied rather than sent by reference, in bytes.
    pub copied_end: u64,
    /// Threads for what blocks.
    pub pool: Pool,
    /// Whether the server is on its way out.
    pub draining: Draining,
}

impl Site {
    /// Builds a site from validated settings; cannot fail, so that a reload is all or nothing.
    pub fn new(settings: &Settings, tls: Option<Arc<Tls>>, services: &Services, tally: &Arc<Tally>) -> Self {
        let means = Means {
            codings: services.codings.clone(),
            pool: services.pool.clone(),
            tally: Arc::clone(tally),
        };
        let bounds = &settings.limits;
        Self {
            limits: http1::Limits {
                request_line: bounds.max_request_line,
                head: bounds.max_header,
                fields: bounds.max_fields,
                ..http1::Limits::default()
            },
            keep_alive_fields: keep_alive_fields(bounds.keep_alive, bounds.max_requests),
            keep_alive: bounds.keep_alive,
            header_timeout: bounds.header_timeout,
            max_requests: bounds.max_requests.unwrap_or(u32::MAX),
            hosts: host_policy(settings),
            last_host: LastHost::default(),
            guard: Guard::new(settings, Arc::clone(&services.ledger)),
            access: Access::new(&settings.admin),
            has_backstage: settings.admin.listen.is_some(),
            overview: Arc::clone(&services.overview),
            tls,
            https_port: services.https_port,
            hsts_field: settings.tls.hsts.map_or_else(Vec::new, hsts_field),
            cors: Cors::new(&settings.cors.origins),
            files: Files::new(
                Arc::clone(&services.root),
                Dress {
                    download: settings.files.download.clone(),
                    media_type: None,
                    no_store: false,
                    folders: true,
                    listing: settings.files.listing,
                    spa: settings.files.spa,
                    codings: true,
                },
                services.room,
                means.clone(),
            ),
            stored: services.stored.as_ref().map(|folder| stored_files(folder, services.room, means)),
            uploads: Uploads {
                store: services.store.clone(),
                budget: services.budget.clone(),
                body_memory: bounds.body_memory,
                max_body: bounds.max_body,
            },
            copied_end: services.copied_end,
            pool: services.pool.clone(),
            draining: services.draining.clone(),
        }
    }
}

/// Stored uploads are all JSON, and nobody may keep them (UP-7).
fn stored_files(folder: &Arc<OwnedFd>, room: Room, means: Means) -> Files {
    let dress = Dress {
        download: Vec::new(),
        media_type: Some("application/json"),
        no_store: true,
        folders: false,
        listing: false,
        spa: false,
        codings: false,
    };
    Files::new(Arc::clone(folder), dress, room, means)
}

/// The configured values, without countdown; no `max` where there is none (SPEC H1-3). Part of a second counts as
/// a whole one: `timeout=0` would promise nothing.
fn keep_alive_fields(idle: Duration, max_requests: Option<u32>) -> Vec<u8> {
    let max = max_requests.map_or_else(String::new, |max| format!(", max={max}"));
    let seconds = idle.as_millis().div_ceil(1000);
    format!("Connection: keep-alive\r\nKeep-Alive: timeout={seconds}{max}\r\n").into_bytes()
}

/// For so long a browser that knows us by name comes over TLS only (RFC 6797 §6.1). Of other hosts below this name we
/// know nothing: no `includeSubDomains`.
fn hsts_field(age: Duration) -> Vec<u8> {
    format!("Strict-Transport-Security: max-age={}\r\n", age.as_secs()).into_bytes()
}

/// Our names. A wildcard address is where we listen, not what we are called.
fn host_policy(settings: &Settings) -> HostPolicy {
    let host = settings.server.host.trim_end_matches('.').to_ascii_lowercase();
    let wildcard = matches!(host.trim_matches(['[', ']']), "0.0.0.0" | "::");
    HostPolicy {
        any: settings.hosts.allow.any,
        allowed: settings.hosts.allow.names.clone(),
        configured: (!wildcard).then_some(host),
    }
}

/// Whether a listener on every address of the machine has no name by which clients may call it (HOST-3).
pub fn lacks_a_name(at: &[ListenAddr], allow: &AllowHosts) -> bool {
    let wildcard = |addr: &ListenAddr| matches!(addr, ListenAddr::Tcp(addr) if addr.ip().is_unspecified());
    at.iter().any(wildcard) && !allow.any && allow.names.is_empty()
}
