//! Good clients: each has an address of its own and asks less than it may.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{io, thread};

use super::door::{Door, Version};
use super::h2;
use super::stream::Stream;
use crate::bench::http;
use crate::bench::stats;

/// So many, at half of the rate that a client may have.
const CLIENTS: u8 = 8;
const PERIOD: Duration = Duration::from_millis(20);

/// A client comes back with a new connection after so many requests: that, too, must go well.
pub(super) const COMES_BACK: usize = 5;
/// Or never.
pub(super) const STAYS: usize = usize::MAX;

/// A connection of one.
enum Client {
    Http1(http::Client<Stream>),
    Http2(h2::client::Client),
}

/// What all of them got.
#[derive(Debug, Default)]
pub(super) struct Good {
    pub(super) times: Vec<Duration>,
    pub(super) failed: u64,
}

/// What they get while `act` goes on.
pub(super) fn during<T>(version: Version, door: &Door, act: impl FnOnce() -> T) -> Result<(T, Good), String> {
    during_by(version, COMES_BACK, door, act)
}

/// The same for clients that come back after so many `requests`.
pub(super) fn during_by<T>(
    version: Version,
    requests: usize,
    door: &Door,
    act: impl FnOnce() -> T,
) -> Result<(T, Good), String> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = &over;
        let sources = (1..=CLIENTS).map(|number| Ipv4Addr::new(127, 0, 1, number));
        let clients: Vec<_> =
            sources.map(|source| scope.spawn(move || ask((version, requests), source, door, over))).collect();
        let outcome = act();
        over.store(true, Ordering::Relaxed);
        let mut good = Good::default();
        for client in clients {
            let one = client.join().map_err(|_| "a good client panicked")?;
            good.times.extend(one.times);
            good.failed += one.failed;
        }
        Ok((outcome, good))
    })
}

fn ask((version, requests): (Version, usize), source: Ipv4Addr, door: &Door, over: &AtomicBool) -> Good {
    let mut good = Good::default();
    let mut client = None;
    let mut next = Instant::now();
    while !over.load(Ordering::Relaxed) {
        if good.times.len().is_multiple_of(requests) {
            client = None;
        }
        let begun = Instant::now();
        match once(&mut client, version, source, door) {
            Ok(true) => good.times.push(begun.elapsed()),
            _ => {
                good.failed += 1;
                client = None;
            }
        }
        // Who was kept waiting does not catch up: that would be a rate of its own.
        next = (next + PERIOD).max(Instant::now());
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    good
}

/// Whether one request was answered well, on a new connection where there is none.
fn once(client: &mut Option<Client>, version: Version, source: Ipv4Addr, door: &Door) -> io::Result<bool> {
    let connected = match client.take() {
        Some(connected) => connected,
        None => Client::connect_from(version, source, door)?,
    };
    client.insert(connected).get()
}

impl Client {
    fn connect_from(version: Version, source: Ipv4Addr, door: &Door) -> io::Result<Self> {
        let stream = door.connect_from(source, version)?;
        match version {
            Version::Http1 => Ok(Self::Http1(http::Client::over(stream, door.port))),
            Version::Http2 => h2::client::Client::over(stream, door.port).map(Self::Http2),
        }
    }

    fn get(&mut self) -> io::Result<bool> {
        match self {
            Self::Http1(client) => client.get("/small.bin", &[]).map(|answer| answer.status == 200),
            Self::Http2(client) => client.get(),
        }
    }
}

impl Good {
    pub(super) fn p99(&self) -> Option<Duration> {
        quantile(&self.times, 0.99)
    }
}

/// The time below which this share of all lies; `None` where there is none.
pub(super) fn quantile(times: &[Duration], share: f64) -> Option<Duration> {
    let mut seconds: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
    seconds.sort_by(f64::total_cmp);
    stats::quantile(&seconds, share).map(Duration::from_secs_f64)
}
