//! The metrics that this server tells (SPEC OBS-2): each name once, with what it means.
//!
//! Names follow OpenTelemetry's HTTP conventions where those have one, and Prometheus' for the process; the rest begin
//! with `tidegate_`. (What was sent and received are counters here and histograms of sizes there, so they are ours.)
//! Labels are closed sets; the worst case is counted by a test.

use std::collections::BTreeMap;

use super::exposition::{Buckets, Family};
use super::histogram::{BOUNDS, Durations};
use super::process::Usage;
use super::tally::{Handshake, Upload};
use super::totals::Totals;
use crate::http::reject::{Code, Event};

/// Everything that is told, at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Readings<'a> {
    /// What the workers counted.
    pub totals: &'a Totals,
    /// What the process takes.
    pub process: &'a Usage,
    /// The pool.
    pub pool: PoolReading<'a>,
    /// Connections now.
    pub connections: usize,
    /// Log lines dropped since start.
    pub log_dropped: u64,
    /// Panics since start.
    pub panics: u64,
    /// How the last reload went.
    pub reload: Reload,
    /// When each certificate ends, in seconds since 1970, by a name of it.
    pub expiries: &'a BTreeMap<String, u64>,
    /// Clients that are banned, and those that would be, were bans on.
    pub bans: [(&'static str, usize); 2],
    /// Bans that ended early because the book was full.
    pub bans_displaced: u64,
    /// Clients whose rate is kept.
    pub tracked_clients: usize,
    /// Who looks at the dashboard.
    pub viewers: usize,
    /// Bytes held for bodies in progress.
    pub body_bytes: u64,
}

/// The pool at one moment.
#[derive(Clone, Copy, Debug)]
pub struct PoolReading<'a> {
    /// Its threads.
    pub threads: usize,
    /// Those at work.
    pub busy: usize,
    /// Jobs that wait.
    pub queued: usize,
    /// How often it had no place left, each time counted once.
    pub saturations: u64,
    /// How long jobs waited, in seconds.
    pub waits: Buckets<'a>,
}

/// How the last reload went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Whether it was taken over; true where there was none.
    pub taken: bool,
    /// When what is in force was taken over, at start or by a reload: seconds since 1970.
    pub at: u64,
}

/// All families, in the order in which they are told.
pub fn families(readings: &Readings<'_>) -> Vec<Family> {
    [
        requests(readings),
        refusals(readings.totals),
        protocols(readings),
        pool(readings.pool),
        server(readings),
        process(readings.process),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn requests(readings: &Readings<'_>) -> Vec<Family> {
    let totals = readings.totals;
    let durations = totals.durations().fold(
        Family::histogram(
            "http_server_request_duration_seconds",
            "Time from the last byte of a head to its answer.",
        ),
        |family, (pair, durations)| {
            let status = pair.status();
            let labels = [("http_request_method", pair.method()), ("http_response_status_code", &*status)];
            family.durations(&labels, durations)
        },
    );
    let uploads = Upload::ALL.into_iter().map(|outcome| (outcome.name(), totals.uploads(outcome)));
    vec![
        durations,
        Family::gauge("http_server_active_requests", "Requests that wait for a file, a body or a thread.")
            .is(totals.active),
        Family::counter("tidegate_received_bytes_total", "Bytes of request bodies read.").is(totals.received),
        Family::counter("tidegate_sent_bytes_total", "Bytes of response bodies handed to sockets.")
            .is(totals.sent),
        Family::counter("tidegate_cache_hits_total", "Names answered from what is remembered.")
            .is(totals.cache_hits),
        Family::counter("tidegate_cache_misses_total", "Names that had to be looked for.")
            .is(totals.cache_misses),
        Family::counter("tidegate_uploads_total", "Uploads by what became of them.").by("outcome", uploads),
    ]
}

fn refusals(totals: &Totals) -> Vec<Family> {
    let codes = Code::ALL.iter().map(|code| code.row().name).zip(totals.refusals);
    let kinds = Event::ALL.into_iter().map(Event::name).zip(totals.events);
    vec![
        Family::counter("tidegate_refusals_total", "Refusals by their code.").by("code", codes),
        Family::counter("tidegate_events_total", "Security events by their kind.").by("kind", kinds),
    ]
}

fn protocols(readings: &Readings<'_>) -> Vec<Family> {
    let Readings { totals, expiries, .. } = *readings;
    let handshakes = Handshake::ALL.into_iter().map(|outcome| (outcome.name(), totals.handshakes(outcome)));
    vec![
        Family::counter("tidegate_http2_requests_total", "Requests that came by HTTP/2.").is(totals.http2),
        Family::counter("tidegate_tls_handshakes_total", "TLS handshakes by how they ended.")
            .by("outcome", handshakes),
        Family::gauge(
            "tidegate_tls_certificate_expiry_timestamp_seconds",
            "When a certificate ends, since 1970, by its first name.",
        )
        .by("name", expiries.iter().map(|(name, end)| (name.as_str(), *end))),
    ]
}

fn pool(pool: PoolReading<'_>) -> Vec<Family> {
    vec![
        Family::gauge("tidegate_pool_threads", "Threads of the pool.").is(pool.threads),
        Family::gauge("tidegate_pool_busy", "Threads of the pool at work.").is(pool.busy),
        Family::gauge("tidegate_pool_queue_depth", "Jobs that wait for a thread.").is(pool.queued),
        Family::histogram("tidegate_pool_queue_wait_seconds", "Time a job waited for a thread.")
            .spread(&[], pool.waits),
        Family::counter("tidegate_pool_saturations_total", "Episodes in which the pool had no place left.")
            .is(pool.saturations),
    ]
}

fn server(readings: &Readings<'_>) -> Vec<Family> {
    let Readings { connections, log_dropped, reload, bans, tracked_clients, viewers, body_bytes, .. } =
        *readings;
    vec![
        Family::gauge("tidegate_connections", "Connections open.").is(connections),
        Family::gauge("tidegate_body_bytes", "Memory held for bodies in progress.").is(body_bytes),
        Family::gauge("tidegate_bans", "Banned clients, and those that would be.")
            .by("mode", bans.into_iter()),
        Family::counter("tidegate_bans_displaced_total", "Bans that ended early because the book was full.")
            .is(readings.bans_displaced),
        Family::gauge("tidegate_rate_limit_tracked_clients", "Clients whose rate is kept.")
            .is(tracked_clients),
        Family::gauge("tidegate_dashboard_viewers", "Open streams of the dashboard.").is(viewers),
        Family::counter("tidegate_log_dropped_total", "Log lines dropped.").is(log_dropped),
        Family::counter("tidegate_panics_total", "Panics, each of which cost one request at most.")
            .is(readings.panics),
        Family::gauge("tidegate_config_reload_success", "Whether the last reload was taken over.")
            .is(reload.taken),
        Family::gauge(
            "tidegate_config_reload_timestamp_seconds",
            "When the settings in force were taken over.",
        )
        .is(reload.at),
        Family::gauge("tidegate_build_info", "1; the label tells the version.")
            .with(&[("version", env!("CARGO_PKG_VERSION"))], 1_u64),
    ]
}

fn process(usage: &Usage) -> Vec<Family> {
    let limit = Family::gauge("process_max_fds", "Most file descriptors.");
    vec![
        Family::counter("process_cpu_seconds_total", "CPU time of all threads.").is(usage.cpu_seconds),
        Family::gauge("process_open_fds", "Open file descriptors.").is(usage.open_files),
        if let Some(most) = usage.open_files_limit { limit.is(most) } else { limit },
        Family::gauge("process_resident_memory_bytes", "Memory in RAM.").is(usage.resident_bytes),
        Family::gauge("process_virtual_memory_bytes", "Address space.").is(usage.virtual_bytes),
        Family::gauge("process_start_time_seconds", "When the process was started, since 1970.")
            .is(usage.started_seconds),
        Family::gauge("process_threads", "Threads of the process.").is(usage.threads),
    ]
}

impl Family {
    /// Adds the series of `durations`, in seconds.
    fn durations(self, labels: &[(&str, &str)], durations: &Durations) -> Self {
        let bounds = BOUNDS.map(seconds);
        self.spread(
            labels,
            Buckets { bounds: &bounds, counts: &durations.counts, sum: seconds(durations.sum) },
        )
    }
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Method;
    use crate::telemetry::Tally;
    use crate::telemetry::exposition::text;
    use crate::telemetry::labels::Pair;
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// As many certificates as can be configured.
    const CERTIFICATES: usize = 64;

    /// Every request that can be told apart, once, and all that is counted beside.
    fn everything() -> Totals {
        let tally = Tally::new();
        let methods =
            [Some(Method::Get), Some(Method::Head), Some(Method::Post), Some(Method::Options), None];
        for (method, status) in
            methods.into_iter().flat_map(|method| (0..600).map(move |status| (method, status)))
        {
            tally.record(method, status, 1_234_567, 10, 1000);
        }
        Code::ALL.iter().for_each(|&code| tally.refusal(code, code.row().event));
        Tally::sum([&tally])
    }

    fn with_readings<T>(totals: &Totals, check: impl FnOnce(Vec<Family>) -> T) -> T {
        let bounds = BOUNDS.map(seconds);
        let waits = Buckets { bounds: &bounds, counts: &[1; 15], sum: 0.25 };
        check(families(&Readings {
            totals,
            process: &Usage { open_files_limit: Some(20_000), ..Usage::default() },
            pool: PoolReading { threads: 10, busy: 3, queued: 2, saturations: 1, waits },
            connections: 7,
            log_dropped: 0,
            panics: 0,
            reload: Reload { taken: true, at: 1_795_240_112 },
            expiries: &(0..CERTIFICATES).map(|number| (format!("{number}.example"), 1_800_000_000)).collect(),
            bans: [("on", 1), ("shadow", 2)],
            bans_displaced: 0,
            tracked_clients: 5,
            viewers: 1,
            body_bytes: 4096,
        }))
    }

    #[test]
    fn obs_2_all_durations_have_the_same_buckets() {
        assert_eq!(crate::pool::BOUNDS_SECONDS, BOUNDS.map(seconds));
    }

    #[test]
    fn obs_2_the_series_are_bounded_in_the_worst_case() {
        let totals = everything();
        assert_eq!(totals.durations().count(), Pair::ALL.len(), "every cell happened");
        let series: usize = with_readings(&totals, |families| families.iter().map(Family::len).sum());
        assert!((1500..=2000).contains(&series), "{series} series");
    }

    #[test]
    fn obs_2_what_never_happened_is_told_as_zero_but_for_durations() {
        let text = with_readings(&Totals::default(), |families| text(&families));
        assert!(!text.contains("http_server_request_duration_seconds"), "{text}");
        for code in Code::ALL {
            assert!(text.contains(&format!("tidegate_refusals_total{{code=\"{}\"}} 0\n", code.row().name)));
        }
        assert!(text.contains("tidegate_events_total{kind=\"scan\"} 0\n"));
        assert!(text.contains(concat!(
            "tidegate_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1\n"
        )));
    }

    #[test]
    fn obs_2_promtool_finds_nothing_to_say() {
        let text = with_readings(&everything(), |families| text(&families));
        let child = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "promtool is missing");
            println!("skipped: promtool is missing");
            return;
        };
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let checked = child.wait_with_output().unwrap();
        let said = [checked.stdout, checked.stderr].concat();
        assert!(checked.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    }
}
