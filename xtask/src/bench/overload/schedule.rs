//! An open loop: requests leave at their times, whatever became of those before.
//!
//! Each connection takes the next time from the schedule, waits for it, asks, and waits for its own answer only. With
//! more connections than are ever waiting, no answer delays a request; where that does not hold, requests leave late,
//! fewer are offered, and both are seen.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::clients::{Ask, Outcome};

/// Some ten times as many as wait at once when the server refuses what it should.
const CONNECTIONS: usize = 512;

/// A client needs little: the request and some KiB of answer.
const STACK: usize = 256 * 1024;

/// What to offer.
pub(super) struct Order {
    pub(super) port: u16,
    pub(super) ask: Ask,
    /// Requests in a second.
    pub(super) rate: f64,
    pub(super) time: Duration,
}

/// What came of it. Times are in milliseconds, sorted.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Requests that left.
    pub(super) offered: u64,
    /// From the moment a request left to its answer, …
    pub(super) served: Vec<f64>,
    pub(super) refused: Vec<f64>,
    /// … of those served, in time before the end.
    pub(super) in_time: u64,
    /// How much later than by the schedule requests left.
    pub(super) late: Vec<f64>,
    /// Closed by the server before it said anything.
    pub(super) silent: u64,
    /// Other answers and errors.
    pub(super) odd: u64,
    /// One of those, in words.
    pub(super) example: Option<String>,
}

/// Offers it all, and waits for the last answer.
pub(super) fn offer(order: &Order) -> Seen {
    let (next, begun) = (AtomicU64::new(0), Instant::now());
    let mut all = Seen::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .filter_map(|_| {
                let client = || one_connection(order, &next, begun);
                thread::Builder::new().stack_size(STACK).spawn_scoped(scope, client).ok()
            })
            .collect();
        for thread in threads {
            all.absorb(thread.join().unwrap_or_default());
        }
    });
    for times in [&mut all.served, &mut all.refused, &mut all.late] {
        times.sort_by(f64::total_cmp);
    }
    all
}

fn one_connection(order: &Order, next: &AtomicU64, begun: Instant) -> Seen {
    let (mut seen, mut kept) = (Seen::default(), None);
    let end = begun + order.time;
    loop {
        let due = begun + Duration::from_secs_f64(next.fetch_add(1, Ordering::Relaxed) as f64 / order.rate);
        if due >= end || Instant::now() >= end {
            return seen;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let left = Instant::now();
        let outcome = (order.ask)(order.port, &mut kept);
        let answered = Instant::now();
        seen.late.push(millis(left - due));
        seen.note(outcome, millis(answered - left), answered < end);
    }
}

impl Seen {
    fn note(&mut self, outcome: io::Result<Outcome>, took: f64, in_time: bool) {
        self.offered += 1;
        match outcome {
            Ok(Outcome::Served) => {
                self.served.push(took);
                self.in_time += u64::from(in_time);
            }
            Ok(Outcome::Refused) => self.refused.push(took),
            Err(error) if is_silence(&error) => self.silent += 1,
            other => {
                self.odd += 1;
                self.example.get_or_insert_with(|| format!("{other:?}"));
            }
        }
    }

    fn absorb(&mut self, other: Self) {
        self.offered += other.offered;
        self.in_time += other.in_time;
        self.silent += other.silent;
        self.odd += other.odd;
        self.served.extend(other.served);
        self.refused.extend(other.refused);
        self.late.extend(other.late);
        self.example = self.example.take().or(other.example);
    }
}

/// Closed, however that reaches a client that may still be sending.
fn is_silence(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every answer takes longer than ten requests are apart: a loop that waited would offer a tenth.
    #[test]
    fn a_late_answer_delays_no_request() {
        let ask: Ask = |_, _| {
            thread::sleep(Duration::from_millis(100));
            Ok(Outcome::Served)
        };
        let order = Order { port: 0, ask, rate: 100.0, time: Duration::from_secs(1) };
        let seen = offer(&order);
        assert_eq!(seen.offered, 100);
        assert_eq!((seen.served.len(), seen.refused.len(), seen.odd), (100, 0, 0));
        assert!(seen.in_time < 100 && seen.in_time > 20, "{}", seen.in_time);
        assert!(seen.served.iter().all(|took| *took >= 100.0));
    }

    #[test]
    fn what_went_wrong_is_counted_apart_and_shown() {
        let ask: Ask = |port, _| match port {
            1 => Ok(Outcome::Refused),
            2 => Err(io::ErrorKind::ConnectionReset.into()),
            _ => Err(io::ErrorKind::TimedOut.into()),
        };
        let offer = |port| offer(&Order { port, ask, rate: 50.0, time: Duration::from_millis(200) });
        assert_eq!((offer(1).refused.len(), offer(1).odd), (10, 0));
        assert_eq!((offer(2).silent, offer(2).odd), (10, 0));
        let seen = offer(3);
        assert_eq!((seen.silent, seen.odd, seen.in_time), (0, 10, 0));
        assert!(seen.example.unwrap().contains("TimedOut"));
    }
}
