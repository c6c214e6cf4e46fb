//! `/healthz`: the process lives. `/readyz`: it should be sent traffic (SPEC OBS-4).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::http::reject::Extra;
use crate::http::response::{Body, Fields};
use crate::http::{Code, Reject, Response};
use crate::pool::Pool;
use crate::store::LocalStore;

/// Whether the server is on its way out; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Draining(Arc<AtomicBool>);

impl Draining {
    /// From now on the server is not ready.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it began.
    pub fn is_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

const FIELDS: Fields =
    Fields::Static("Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n");

/// Alive: answered by a worker, without pool or disk, for as long as the process runs.
pub fn alive() -> Response {
    Response::new(200, FIELDS, Body::Static("ok\n"))
}

/// Ready, or why not.
///
/// # Errors
/// `draining`, `store_degraded` or `pool_saturated`.
pub fn ready(draining: &Draining, store: Option<&LocalStore>, pool: &Pool) -> Result<Response, Reject> {
    let why = if draining.is_begun() {
        Some((Code::Draining, "The server finishes what it has and takes nothing new."))
    } else if store.is_some_and(LocalStore::is_degraded) {
        Some((Code::StoreDegraded, "An upload could not be synced; uploads are refused until a restart."))
    } else if pool.is_saturated() {
        Some((Code::PoolSaturated, "All threads are busy and the queue is full."))
    } else {
        None
    };
    match why {
        None => Ok(Response::new(200, FIELDS, Body::Static("ready\n"))),
        Some((code, detail)) => Err(Reject::new(code, detail).with(Extra::RetryAfter(1))),
    }
}
