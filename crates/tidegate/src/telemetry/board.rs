//! The board that an operator looks at: what was counted and seen by all workers, and the last five minutes of it,
//! second by second.
//!
//! The server's main task calls [`Board::sample`] once a second, whatever the load; who answers a request about it
//! reads. Reading copies some kilobytes under a lock that the sampler needs for microseconds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::offenders::{self, Offender};
use super::process::Usage;
use super::sightings::{Sighting, Sightings};
use super::verdict::{Minute, Standing, Verdict};
use super::{Tally, Totals};
use crate::clock::Millis;
use crate::http::reject::{Code, Event, Fault};
use crate::limits::ClientKey;
use crate::sync::{Mutex, lock};

/// Seconds that are kept: what fits into a chart that can be read from three metres.
pub const HISTORY: usize = 300;
/// Seconds on which the verdict rests: long enough that one burst is seen by a person, short enough to be news.
const VERDICT_OVER: usize = 60;

/// What is known of the server's present and its last minutes.
#[derive(Debug)]
pub struct Board {
    tallies: Vec<Arc<Tally>>,
    sightings: Vec<Arc<Sightings>>,
    past: Mutex<Past>,
}

#[derive(Debug)]
struct Past {
    /// What had been counted at the last sample.
    totals: Totals,
    gauges: Gauges,
    seconds: VecDeque<Second>,
}

/// What is not counted by workers, as it was at a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gauges {
    /// Connections.
    pub connections: usize,
    /// Threads of the pool at work.
    pub pool_busy: usize,
    /// Jobs that wait for one.
    pub pool_queue: usize,
    /// Log lines dropped since start.
    pub log_dropped: u64,
    /// What the process takes.
    pub usage: Usage,
}

/// What happened between two samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Second {
    /// When it ended, in seconds since 1970.
    pub at: u64,
    /// Requests answered.
    pub requests: u64,
    /// Refusals by [`Code::ALL`].
    pub refusals: [u64; Code::ALL.len()],
    /// Events by [`Event::ALL`].
    pub events: [u64; Event::COUNT],
    /// Microseconds that 50, 90 and 99 of 100 requests did not exceed, as [`quantile`] tells it; `None` without any.
    ///
    /// [`quantile`]: super::histogram::Durations::quantile
    pub latency: Option<[u64; 3]>,
    /// Bytes of payload sent.
    pub sent: u64,
    /// Requests that waited for something at its end.
    pub active: u64,
    /// Log lines dropped.
    pub dropped: u64,
    /// What was at its end.
    pub gauges: Gauges,
}

impl Board {
    /// The board of these workers.
    pub fn new(tallies: Vec<Arc<Tally>>, sightings: Vec<Arc<Sightings>>) -> Self {
        let past = Past {
            totals: Totals::default(),
            gauges: Gauges::default(),
            seconds: VecDeque::with_capacity(HISTORY),
        };
        Self { tallies, sightings, past: Mutex::new(past) }
    }

    /// Takes what happened since the last call into the history; to be called once a second. A call that comes late
    /// makes one entry of all that happened.
    pub fn sample(&self, at: SystemTime, gauges: Gauges) {
        let totals = self.totals();
        let mut past = lock(&self.past);
        let mut second = Second::between(&totals, &past, at, gauges);
        // Two samples may fall into one second of the wall clock, and that may be set back.
        second.at = second.at.max(past.seconds.back().map_or(0, |last| last.at + 1));
        if past.seconds.len() == HISTORY {
            past.seconds.pop_front();
        }
        past.seconds.push_back(second);
        (past.totals, past.gauges) = (totals, gauges);
    }

    /// What all workers have counted until now.
    pub fn totals(&self) -> Totals {
        Tally::sum(self.tallies.iter().map(Arc::as_ref))
    }

    /// What each worker has counted.
    pub fn tallies(&self) -> &[Arc<Tally>] {
        &self.tallies
    }

    /// The last `most` seconds, the oldest first.
    pub fn history(&self, most: usize) -> Vec<Second> {
        let past = lock(&self.past);
        let skipped = past.seconds.len().saturating_sub(most);
        past.seconds.iter().skip(skipped).cloned().collect()
    }

    /// The refusal with this id, if a worker still remembers it.
    pub fn find(&self, id: u64) -> Option<Sighting> {
        self.sightings.iter().find_map(|sightings| sightings.find(id))
    }

    /// The newest `most` events of each kind, the newest first.
    pub fn events(&self, most: usize) -> Vec<Sighting> {
        let mut events: Vec<_> = self.sightings.iter().flat_map(|sightings| sightings.events(most)).collect();
        events.sort_unstable_by_key(|event| std::cmp::Reverse(event.at));
        let mut shown = [0; Event::COUNT];
        events.retain(|event| {
            let of_kind = event.event.and_then(|kind| shown.get_mut(kind as usize));
            of_kind.is_some_and(|shown| {
                *shown += 1;
                *shown <= most
            })
        });
        events
    }

    /// The `most` clients that are refused most, the first one first.
    pub fn offenders(&self, now: Millis, most: usize) -> Vec<Offender<ClientKey>> {
        offenders::top(self.sightings.iter().flat_map(|sightings| sightings.offenders(now)), most)
    }

    /// One line on how the server does.
    pub fn verdict(&self, now: Millis, standing: Standing) -> Verdict {
        let mut minute = Minute::of(&self.history(VERDICT_OVER));
        let began = now.0.saturating_sub(VERDICT_OVER as u64 * 1000);
        let hostile = |client: &Offender<_>| {
            client.last_seen.0 >= began && client.events.iter().any(|count| *count > 0)
        };
        minute.clients = self.offenders(now, usize::MAX).into_iter().filter(hostile).count();
        Verdict::on(&minute, standing)
    }
}

impl Second {
    fn between(totals: &Totals, past: &Past, at: SystemTime, gauges: Gauges) -> Self {
        let since = totals.since(&past.totals);
        let took = since.all_durations();
        let micros = |permille| took.quantile(permille).map(|nanos| nanos / 1000);
        let latency = micros(500).zip(micros(900)).zip(micros(990)).map(|((p50, p90), p99)| [p50, p90, p99]);
        Self {
            at: at.duration_since(SystemTime::UNIX_EPOCH).as_ref().map_or(0, Duration::as_secs),
            requests: since.requests,
            refusals: since.refusals,
            events: since.events,
            latency,
            sent: since.sent,
            active: since.active,
            dropped: gauges.log_dropped.saturating_sub(past.gauges.log_dropped),
            gauges,
        }
    }

    /// Refusals that were `fault`'s.
    pub fn refused_for(&self, fault: Fault) -> u64 {
        let codes = Code::ALL.iter().zip(self.refusals);
        codes.filter(|(code, _)| code.row().fault == fault).map(|(_, count)| count).sum()
    }

    /// It as the dashboard reads it.
    pub fn json(&self) -> Value {
        let events =
            Event::ALL.into_iter().map(|kind| kind.name().to_owned()).zip(self.events.map(Value::from));
        let [p50, p90, p99] = self.latency.map_or([const { None }; 3], |latency| latency.map(Some));
        json!({
            "at": self.at,
            "requests": self.requests,
            "refusals": {
                "malformed": self.refused_for(Fault::Malformed),
                "refused": self.refused_for(Fault::Refused),
                "not_served": self.refused_for(Fault::NotServed),
                "too_slow": self.refused_for(Fault::TooSlow),
                "internal": self.refused_for(Fault::Internal),
            },
            "events": events.collect::<serde_json::Map<_, _>>(),
            "latency_us": { "p50": p50, "p90": p90, "p99": p99 },
            "connections": self.gauges.connections,
            "active": self.active,
            "pool_busy": self.gauges.pool_busy,
            "pool_queue": self.gauges.pool_queue,
            "bytes_sent": self.sent,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Method;
    use crate::telemetry::sightings::Text;
    use crate::telemetry::verdict::Level;
    use std::net::IpAddr;

    struct Stage {
        board: Board,
        tallies: [Arc<Tally>; 2],
        sightings: [Arc<Sightings>; 2],
    }

    fn stage() -> Stage {
        let tallies = [Tally::new(), Tally::new()].map(Arc::new);
        let sightings = [Sightings::new(), Sightings::new()].map(Arc::new);
        Stage { board: Board::new(tallies.to_vec(), sightings.to_vec()), tallies, sightings }
    }

    impl Stage {
        fn refuse(&self, worker: usize, id: u64, code: Code, at_second: u64) {
            let event = code.row().event;
            self.tallies[worker].record(Some(Method::Get), code.row().status, 80_000, 0, 100);
            self.tallies[worker].refusal(code, event);
            let client = IpAddr::from([203, 0, 113, 7]);
            let text = Text::of(&[b"GET", b"/"]);
            let (at, status) = (at_second * 1000 + id, code.row().status);
            let sighting =
                Sighting { id, at, client: Some(client), code, event, status, request: text, evidence: text };
            self.sightings[worker].refusal(&sighting, ClientKey::of(client), Millis(at_second * 1000));
        }

        fn sample(&self, second: u64) {
            self.sample_with(second, 0);
        }

        fn sample_with(&self, second: u64, log_dropped: u64) {
            let gauges = Gauges { connections: 5, pool_busy: 2, log_dropped, ..Gauges::default() };
            self.board.sample(SystemTime::UNIX_EPOCH + Duration::from_secs(second), gauges);
        }
    }

    #[test]
    fn obs_3_a_second_tells_what_happened_in_it_alone() {
        let stage = stage();
        stage.refuse(0, 1, Code::NotFound, 1);
        stage.sample_with(1, 4);
        stage.refuse(1, 2, Code::TraversalRefused, 2);
        stage.refuse(0, 3, Code::PoolSaturated, 2);
        stage.sample_with(2, 7);
        stage.sample_with(3, 7);
        let history = stage.board.history(HISTORY);
        assert_eq!(
            history.iter().map(|second| (second.at, second.requests)).collect::<Vec<_>>(),
            [(1, 1), (2, 2), (3, 0)]
        );
        let faults =
            [Fault::NotServed, Fault::Refused, Fault::Internal].map(|fault| history[1].refused_for(fault));
        assert_eq!((faults, history[1].dropped, history[1].sent), ([0, 1, 1], 3, 200));
        assert_eq!(history[1].latency, Some([75, 95, 99]), "spread from 50 to 100 µs");
        let json = history[1].json();
        assert_eq!(
            json["refusals"],
            json!({"malformed": 0, "refused": 1, "not_served": 0, "too_slow": 0, "internal": 1})
        );
        assert_eq!((&json["events"]["traversal"], &json["connections"]), (&json!(1), &json!(5)));
        assert_eq!(
            (&json["latency_us"]["p90"], &history[2].json()["latency_us"]["p90"]),
            (&json!(95), &Value::Null)
        );
    }

    #[test]
    fn obs_3_the_history_ends_after_five_minutes() {
        let stage = stage();
        (0..1000).for_each(|second| stage.sample(second));
        let history = stage.board.history(usize::MAX);
        assert_eq!((history.len(), history[0].at, history[HISTORY - 1].at), (HISTORY, 700, 999));
        assert_eq!(stage.board.history(2).iter().map(|second| second.at).collect::<Vec<_>>(), [998, 999]);
    }

    #[test]
    fn obs_3_what_two_workers_saw_is_told_in_one_order() {
        let stage = stage();
        for id in 0..100 {
            stage.refuse(usize::from(id % 2 == 1), id, Code::HostNotAllowed, 1);
        }
        stage.refuse(0, 100, Code::TraversalRefused, 0);
        let ids: Vec<_> = stage.board.events(3).iter().map(|event| event.id).collect();
        assert_eq!(ids, [99, 98, 97, 100], "three of each kind");
        assert_eq!(stage.board.find(42).map(|found| found.code), Some(Code::HostNotAllowed));
        let offenders = stage.board.offenders(Millis(1000), 20);
        assert_eq!((offenders.len(), offenders[0].refusals), (1, 101));
    }

    #[test]
    fn obs_3_the_verdict_is_on_the_last_minute() {
        let stage = stage();
        let level = |second: u64| stage.board.verdict(Millis(second * 1000), Standing::default()).level;
        stage.sample(0);
        assert_eq!(level(0), Level::Well);
        (0..31).for_each(|id| stage.refuse(0, id, Code::TraversalRefused, 1));
        stage.sample(1);
        let verdict = stage.board.verdict(Millis(1000), Standing::default());
        assert_eq!(verdict.level, Level::Attack);
        assert!(verdict.line.contains("31 ") && verdict.line.contains("from one client"), "{}", verdict.line);
        (2..61).for_each(|second| stage.sample(second));
        assert_eq!(level(60), Level::Attack, "59 s later");
        stage.sample(61);
        assert_eq!(level(61), Level::Well);
    }
}
