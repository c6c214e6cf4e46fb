//! The settings of a running server: validated, in their own types, resolved once.
//!
//! Each part of the server receives its own section and nothing else. No field here needs a further check:
//! `resolve` has held every number against its bounds. Whether the root exists is for the server to see at
//! start.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::address::{AllowHosts, ListenAddr};
use super::rate::RateLimit;
use super::table::{HOST, PORT};
use super::tls::TlsSettings;
use super::token::Token;
use crate::net::cidr::CidrSet;

/// Everything the server was told, after all layers were laid over each other (RUN-3).
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Listeners, threads and shutdown.
    pub server: ServerSettings,
    /// The bounds of connections, requests and bodies.
    pub limits: LimitSettings,
    /// The folder served.
    pub files: FileSettings,
    /// The folder for uploads.
    pub uploads: UploadSettings,
    /// The hosts answered.
    pub hosts: HostSettings,
    /// Who a client is, and how much it may ask.
    pub clients: ClientSettings,
    /// Who is banned, and for how long.
    pub bans: BanSettings,
    /// Who may see metrics, status and dashboard.
    pub admin: AdminSettings,
    /// The origins whose scripts may read our answers.
    pub cors: CorsSettings,
    /// What is logged, and where.
    pub log: LogSettings,
    /// Whether and how TLS is spoken.
    pub tls: TlsSettings,
    /// What the operator should know, each one line, to be logged as a warning at start.
    pub notes: Vec<String>,
}

impl Settings {
    /// The folder for uploads: the one that is set, or `uploads` inside the root (UP-3).
    pub fn uploads_folder(&self) -> PathBuf {
        self.uploads.dir.clone().unwrap_or_else(|| self.files.root.join("uploads"))
    }
}

/// `[server]`: listeners, threads and shutdown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where to listen, 1 to 64 addresses; fixed for the life of the process.
    pub listen: Vec<ListenAddr>,
    /// The configured host as written, an address or a name: the Host check takes it for our own (HOST-1).
    pub host: String,
    /// Event-loop threads, 1 to 1024; fixed for the life of the process.
    pub workers: usize,
    /// Pool threads, 1 to 1024 (LOAD-2).
    pub threads: ThreadRange,
    /// Jobs that may wait for a pool thread, 1 to 1,000,000 (LOAD-3).
    pub queue: usize,
    /// Connections the kernel holds before they are accepted, 1 to 65,535.
    pub backlog: i32,
    /// How long running requests may take to finish on shutdown, up to 24 h (RUN-5).
    pub drain: Duration,
    /// How long to accept on before draining, up to 24 h (RUN-5).
    pub drain_delay: Duration,
    /// The folder for what survives a restart; fixed for the life of the process.
    pub state: Option<PathBuf>,
    /// The path of the control socket; fixed for the life of the process.
    pub control: Option<PathBuf>,
    /// The user to become once everything is bound, by name or number; fixed for the life of the process (SEC-7).
    pub user: Option<String>,
    /// Whether the kernel is asked to confine the process; fixed for its life (SEC-7).
    pub sandbox: bool,
}

impl ServerSettings {
    /// Whether the only address is the default one, which sockets of a service manager take the place of (RUN-6).
    pub fn listens_by_default(&self) -> bool {
        let (host, port) = (HOST.default.unwrap_or_default(), PORT.default.unwrap_or_default());
        matches!(self.listen.as_slice(), [only] if only.to_string() == format!("{host}:{port}"))
    }
}

/// How many threads the pool may have: written `10`, or `4..32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadRange {
    least: usize,
    most: usize,
}

impl ThreadRange {
    /// From `least` to `most` threads; `None` where `least` is 0 or above `most`.
    pub fn new(least: usize, most: usize) -> Option<Self> {
        (1..=most).contains(&least).then_some(Self { least, most })
    }

    /// Always as many, and at least one.
    pub const fn fixed(count: usize) -> Self {
        let count = if count == 0 { 1 } else { count };
        Self { least: count, most: count }
    }

    /// As many threads wait for work, 1 and up.
    pub const fn least(self) -> usize {
        self.least
    }

    /// As many threads work under load, [`Self::least`] and up.
    pub const fn most(self) -> usize {
        self.most
    }

    /// Whether there are always as many.
    pub const fn is_fixed(self) -> bool {
        self.least == self.most
    }
}

impl fmt::Display for ThreadRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_fixed() { write!(f, "{}", self.least) } else { write!(f, "{}..{}", self.least, self.most) }
    }
}

/// `[limits]`: the bounds of connections, requests and bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Open connections in all, 1 to 1,000,000; `None` is no limit.
    pub max_connections: Option<usize>,
    /// Requests on one connection, 1 and up; `None` is no limit.
    pub max_requests: Option<u32>,
    /// Idle time of a connection between requests, 1 ms to 24 h.
    pub keep_alive: Duration,
    /// Time for a whole request head, 1 ms to 24 h.
    pub header_timeout: Duration,
    /// Bytes of a request head, 512 to 1 MiB.
    pub max_header: usize,
    /// Fields in a request head, 1 to 256.
    pub max_fields: usize,
    /// Bytes of a request line, 64 to `max_header`.
    pub max_request_line: usize,
    /// Bytes of a request body, 1 to 1 TiB.
    pub max_body: u64,
    /// Bytes of all bodies in progress together, 1 to 1 TiB (LOAD-8).
    pub body_memory: u64,
}

/// `[files]`: the folder served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings {
    /// The folder, as written; fixed for the life of the process.
    pub root: PathBuf,
    /// Extensions sent as attachments: lower case, without the dot, at most 256; empty with `--inline`
    /// (FILE-2).
    pub download: Vec<String>,
    /// Whether folders without an index are listed (FILE-8).
    pub listing: bool,
    /// Whether browsers get `index.html` for paths that are not there (FILE-9).
    pub spa: bool,
}

/// `[uploads]`: the folder for uploads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadSettings {
    /// The folder, as written; `None` is `uploads` inside the root (UP-3). Fixed for the life of the process.
    pub dir: Option<PathBuf>,
    /// Bytes that all uploads together may take, 1 to 1 TiB; `None` is no quota (UP-5).
    pub quota: Option<u64>,
}

/// `[security]`: the hosts answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSettings {
    /// Hosts answered besides our own (HOST-1).
    pub allow: AllowHosts,
}

/// `[cors]`: the origins whose scripts may read our answers (SEC-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsSettings {
    /// As a browser sends them, or `*` for any, at most 256; where there is none nobody is told anything.
    pub origins: Vec<String>,
}

/// Of `[limits]` and `[security]`: who a client is, and how much it may ask (SEC-0, SEC-1, LOAD-7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// Open connections of one client, 1 to 1,000,000; `None` is no limit.
    pub max_connections: Option<usize>,
    /// Requests of one client; `None` is no limit.
    pub rate: Option<RateLimit>,
    /// Whether clients on this machine are limited like any other.
    pub limit_loopback: bool,
    /// Peers whose word on who the client is counts, at most 256 networks.
    pub trusted_proxies: CidrSet,
    /// Whether the word of peers on unix sockets does.
    pub trusted_unix: bool,
}

/// Of `[limits]` and `[security]`: who is banned, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanSettings {
    /// Whether anybody is.
    pub mode: BanMode,
    /// How long a first ban lasts, 1 s to 24 h.
    pub time: Duration,
    /// Who never is, at most 256 networks.
    pub never: CidrSet,
}

/// Whether clients that attack are banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BanMode {
    /// No book is kept.
    Off,
    /// The book says who would be banned; nobody is.
    Shadow,
    /// Who is in the book is refused.
    On,
}

impl BanMode {
    /// As operators write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Shadow => "shadow",
            Self::On => "on",
        }
    }
}

/// `[admin]`: who may see metrics, status and dashboard (SEC-6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// Peers that may, at most 256 networks.
    pub allow: CidrSet,
    /// The file of the bearer token, as written.
    pub token_file: Option<PathBuf>,
    /// What the file holds: whoever sends it may.
    pub token: Option<Token>,
    /// A listener for these pages alone; fixed for the life of the process.
    pub listen: Option<ListenAddr>,
}

/// `[log]`: what is logged, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// How an access line is written.
    pub access: AccessFormat,
    /// The least level that is logged.
    pub level: log::LevelFilter,
    /// Where the log goes; `None` is the terminal.
    pub file: Option<PathBuf>,
    /// Where JSON lines go besides; `None` is nowhere.
    pub json_file: Option<PathBuf>,
    /// Where security events go as JSON lines; `None` is nowhere (SEC-5).
    pub audit_file: Option<PathBuf>,
}

/// How an access line is written (OBS-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessFormat {
    /// For a person at a terminal.
    Pretty,
    /// nginx's `combined`.
    Combined,
    /// One JSON object a line, in Caddy's shape.
    Json,
    /// None at all.
    Off,
}
