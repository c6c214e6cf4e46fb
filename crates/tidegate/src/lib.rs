//! tidegate: a multi-threaded HTTP server that serves a folder, takes JSON uploads, and says why it refuses.
//!
//! The map of this crate, with what may and may not be where, is ARCHITECTURE.md. In short: `server` starts
//! `worker`s; a worker accepts connections and drives each by `conn`; `pipeline` turns a request into a
//! response with the handlers of a `site`; `telemetry` reads every exchange once, at the end.

#[cfg(not(target_os = "linux"))]
compile_error!("tidegate runs on Linux only: it is built on openat2, sendfile, epoll and O_TMPFILE");

pub mod ask;
pub mod clock;
pub mod config;
pub mod conn;
pub mod demo;
pub mod disk;
pub mod exchange;
pub mod explain;
pub mod failpoint;
pub mod greeting;
pub mod handlers;
pub mod healthcheck;
pub mod http;
pub mod isolate;
pub mod limits;
pub mod net;
pub mod pipeline;
pub mod pool;
pub mod random;
pub mod router;
pub mod sandbox;
pub mod server;
pub mod site;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod worker;

/// Writes a line for the operator to standard error, before there is a log or when there is none.
pub fn complain(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}
