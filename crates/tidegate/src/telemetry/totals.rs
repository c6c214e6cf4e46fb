//! The sum of all tallies at one moment; the difference of two is what happened between them.

use super::histogram::Durations;
use super::labels::{CELLS, Pair};
use super::tally::{Handshake, Upload};
use crate::http::reject::{Code, Event};

/// What all workers together have done since start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Requests answered, refusals among them.
    pub requests: u64,
    /// Bytes of request payload read.
    pub received: u64,
    /// Bytes of response payload handed to sockets.
    pub sent: u64,
    /// Names answered from what is remembered.
    pub cache_hits: u64,
    /// Names that had to be looked for.
    pub cache_misses: u64,
    /// Requests that wait for something now.
    pub active: u64,
    /// Connections now.
    pub connections: u64,
    /// How long requests took, by [`Pair::ALL`].
    pub durations: Vec<Durations>,
    /// Requests that came by HTTP/2.
    pub http2: u64,
    /// TLS handshakes by [`Handshake::ALL`].
    pub handshakes: [u64; Handshake::ALL.len()],
    /// Uploads by [`Upload::ALL`].
    pub uploads: [u64; Upload::ALL.len()],
    /// Refusals by [`Code::ALL`].
    pub refusals: [u64; Code::ALL.len()],
    /// Events by [`Event::ALL`].
    pub events: [u64; Event::COUNT],
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            requests: 0,
            received: 0,
            sent: 0,
            cache_hits: 0,
            cache_misses: 0,
            active: 0,
            connections: 0,
            durations: vec![Durations::default(); CELLS],
            http2: 0,
            handshakes: [0; Handshake::ALL.len()],
            uploads: [0; Upload::ALL.len()],
            refusals: [0; Code::ALL.len()],
            events: [0; Event::COUNT],
        }
    }
}

impl Totals {
    /// What was counted after `earlier`; what is now (active, connections) stays as it is.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let between = |now: u64, before: u64| now.saturating_sub(before);
        let durations = self.durations.iter().zip(&earlier.durations);
        Self {
            requests: between(self.requests, earlier.requests),
            received: between(self.received, earlier.received),
            sent: between(self.sent, earlier.sent),
            cache_hits: between(self.cache_hits, earlier.cache_hits),
            cache_misses: between(self.cache_misses, earlier.cache_misses),
            active: self.active,
            connections: self.connections,
            durations: durations.map(|(now, before)| now.since(before)).collect(),
            http2: between(self.http2, earlier.http2),
            handshakes: each(self.handshakes, earlier.handshakes, between),
            uploads: each(self.uploads, earlier.uploads, between),
            refusals: each(self.refusals, earlier.refusals, between),
            events: each(self.events, earlier.events, between),
        }
    }

    /// Refusals by name, those that happened.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let named = Code::ALL.iter().map(|code| code.row().name).zip(self.refusals);
        named.filter(|(_, count)| *count > 0)
    }

    /// How many uploads ended so.
    pub fn uploads(&self, outcome: Upload) -> u64 {
        self.uploads.get(outcome as usize).copied().unwrap_or(0)
    }

    /// How many TLS handshakes ended so.
    pub fn handshakes(&self, outcome: Handshake) -> u64 {
        self.handshakes.get(outcome as usize).copied().unwrap_or(0)
    }

    /// How long requests took by method and status, those that happened.
    pub fn durations(&self) -> impl Iterator<Item = (Pair, &Durations)> {
        Pair::ALL.into_iter().zip(&self.durations).filter(|(_, durations)| durations.count() > 0)
    }

    /// How long requests took, all together.
    pub fn all_durations(&self) -> Durations {
        self.durations.iter().fold(Durations::default(), |mut sum, durations| {
            sum.absorb(durations);
            sum
        })
    }
}

fn each<const N: usize>(now: [u64; N], before: [u64; N], between: impl Fn(u64, u64) -> u64) -> [u64; N] {
    let mut difference = now;
    difference.iter_mut().zip(before).for_each(|(now, before)| *now = between(*now, before));
    difference
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::Method;
    use crate::telemetry::Tally;

    #[test]
    fn obs_3_totals_subtract_to_what_happened_between() {
        let tally = Tally::new();
        tally.record(Some(Method::Get), 404, 40_000, 1, 2);
        tally.refusal(Code::NotFound, None);
        tally.set_connections(3);
        let earlier = Tally::sum([&tally]);
        tally.record(Some(Method::Get), 200, 80_000, 10, 20);
        tally.refusal(Code::BadHost, Some(Event::Host));
        tally.upload(Upload::Failed);
        tally.cache_hit();
        let since = Tally::sum([&tally]).since(&earlier);
        assert_eq!((since.requests, since.received, since.sent, since.cache_hits), (1, 10, 20, 1));
        assert_eq!(since.connections, 3, "a gauge is not a difference");
        assert_eq!(since.refused().collect::<Vec<_>>(), [("bad_host", 1)]);
        assert_eq!((since.events[Event::Host as usize], since.uploads(Upload::Failed)), (1, 1));
        let pairs: Vec<_> = since.durations().map(|(pair, took)| (pair.status(), took.sum)).collect();
        assert_eq!(pairs, [("200".to_owned(), 80_000)]);
    }
}
