//! Clients that each wait for their answer before they ask again: what they get is the peak.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::super::http::Client;

/// One request, on a connection that may be kept for the next.
pub(super) type Ask = fn(u16, &mut Option<Client>) -> io::Result<Outcome>;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Served,
    /// 503: come back later.
    Refused,
    /// Anything else.
    Odd,
}

impl Outcome {
    pub(super) fn of(status: u16, good: u16) -> Self {
        match status {
            status if status == good => Self::Served,
            503 => Self::Refused,
            _ => Self::Odd,
        }
    }
}

/// Requests served in a second, to `clients` that never stop asking. An `Err` where one is not served: then this is no
/// peak.
pub(super) fn peak(port: u16, clients: usize, ask: Ask, time: Duration) -> Result<f64, String> {
    let (served, others) = (AtomicU64::new(0), AtomicU64::new(0));
    let end = Instant::now() + time;
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let mut kept = None;
                while Instant::now() < end {
                    let is_served = matches!(ask(port, &mut kept), Ok(Outcome::Served));
                    let counter = if is_served { &served } else { &others };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    match (served.into_inner(), others.into_inner()) {
        (0, _) => Err("nothing was served before the overload".to_owned()),
        (served, 0) => Ok(served as f64 / time.as_secs_f64()),
        (_, others) => Err(format!("{others} requests were not served before the overload")),
    }
}
