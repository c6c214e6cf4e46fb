//! The settings of a running server: validated, in their own types, resolved once.
//!
//! Each part of the server receives its own section and nothing else. No field here needs a further check:
//! `resolve` has held every number against its bounds. Whether the root exists is for the server to see at
//! start.

use std::path::PathBuf;
use std::time::Duration;

use super::address::{AllowHosts, ListenAddr};

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
    /// What is logged, and where.
    pub log: LogSettings,
    /// What the operator should know, each one line, to be logged as a warning at start.
    pub notes: Vec<String>,
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
    pub threads: usize,
    /// Jobs that may wait for a pool thread, 1 to 1,000,000 (LOAD-3).
    pub queue: usize,
    /// Connections the kernel holds before they are accepted, 1 to 65,535.
    pub backlog: i32,
    /// How long running requests may take to finish on shutdown, up to 24 h (RUN-5).
    pub drain: Duration,
    /// How long to accept on before draining, up to 24 h (RUN-5).
    pub drain_delay: Duration,
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
