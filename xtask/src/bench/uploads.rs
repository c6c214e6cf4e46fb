//! `cargo xtask bench uploads`: durable uploads against a bare loop, and what a storm of them does to a cached file.
//!
//! ```text
//! each round: the bare loops on 10 threads ─► 10 clients ─► a quiet GET ─► 64 clients, and the GET meanwhile
//! ```
//!
//! Every measurement has a fresh folder on the disk of the target folder (a temporary one may be memory).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::grid::Grid;
use super::http::Client;
use super::options::Rounds;
use super::report::{micros, thousands};
use super::servers::{FLOOR, Server, Setup, TIDEGATE};
use super::stats::{self, Spread, quantile};
use super::works;
use crate::command::TempDir;
use crate::context::Context;

/// tidegate's own default for `--threads`, and so the loop's.
const THREADS: usize = 10;

/// As many clients as threads, and as many as a busy day brings.
const CLIENTS: [usize; 2] = [THREADS, 64];

/// The least share of the bare loop's rate that is good enough.
const RATE_BAR: f64 = 0.8;

/// The largest growth of a cached GET's p99 in the storm that is good enough.
const LATENCY_BAR: f64 = 2.0;

/// Between two GETs of the probe: it measures latency and must not become load.
const PAUSE: Duration = Duration::from_millis(1);

/// What the rounds gave, one value for each.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Files per second, where each thread syncs the folder for itself.
    bare: Vec<f64>,
    /// The same where one syncs it for all who wait.
    shared: Vec<f64>,
    /// 201s per second, by [`CLIENTS`].
    ours: [Vec<f64>; CLIENTS.len()],
    /// Microseconds of a cached GET.
    quiet_p99: Vec<f64>,
    storm_p99: Vec<f64>,
    /// The floor's answer in the same storm: what the machine alone does to it.
    floor_p99: Vec<f64>,
    /// Answers other than 201.
    faults: u64,
}

/// All rounds. An `Err` says what could not be measured.
pub(super) fn run(context: &Context, rounds: Rounds) -> Result<Outcome, String> {
    let mut outcome = Outcome::default();
    for _ in 0..rounds.count {
        outcome.bare.push(bare_loop(context, rounds.seconds, "each")?);
        outcome.shared.push(bare_loop(context, rounds.seconds, "shared")?);
        for (number, clients) in CLIENTS.into_iter().enumerate() {
            outcome.storm(context, rounds.seconds, number, clients)?;
        }
    }
    Ok(outcome)
}

impl Outcome {
    /// One storm of `clients`; the last and largest is the one that is looked at from aside.
    fn storm(
        &mut self,
        context: &Context,
        seconds: u64,
        number: usize,
        clients: usize,
    ) -> Result<(), String> {
        let problem = |error| format!("no folder for uploads: {error}");
        let scratch = TempDir::new_in(&context.target, "uploads").map_err(problem)?;
        works::write_files(&scratch.path().join("root")).map_err(problem)?;
        let setup = Setup { pinned: false, ..Setup::new(context, scratch.path()) };
        let server = Server::start(&setup, TIDEGATE)?;
        let time = Duration::from_secs(seconds);
        let largest = clients == CLIENTS[CLIENTS.len() - 1];
        let stored = if largest {
            self.watched_storm(&setup, server.port, clients, time)?
        } else {
            post_all(server.port, clients, time)?
        };
        self.ours[number].push(stored.created);
        self.faults += stored.faults;
        Ok(())
    }

    /// A storm during which both servers are asked for a cached file.
    fn watched_storm(
        &mut self,
        setup: &Setup<'_>,
        port: u16,
        clients: usize,
        time: Duration,
    ) -> Result<Stored, String> {
        let floor = Server::start(setup, FLOOR)?;
        self.quiet_p99.push(get_p99(port, time)?);
        let (stored, ours, floors) = thread::scope(|scope| {
            let ours = scope.spawn(|| get_p99(port, time));
            let floors = scope.spawn(|| get_p99(floor.port, time));
            (post_all(port, clients, time), join(ours), join(floors))
        });
        self.storm_p99.push(ours?);
        self.floor_p99.push(floors?);
        stored
    }
}

/// What the clients of one storm were told.
struct Stored {
    /// 201s per second.
    created: f64,
    faults: u64,
}

/// Files per second of the bare loop; `sync` says who syncs the folder.
fn bare_loop(context: &Context, seconds: u64, sync: &str) -> Result<f64, String> {
    let folder = TempDir::new_in(&context.target, "floor").map_err(|error| format!("no folder: {error}"))?;
    let program = context.target.join("bench/release").join(FLOOR.name);
    let path = folder.path().to_string_lossy();
    let args = ["uploads", &path, &THREADS.to_string(), &seconds.to_string(), sync];
    let ran = context.run(&program.to_string_lossy(), &args);
    let rate = ran.output.trim().parse().ok().filter(|_| ran.success);
    rate.ok_or_else(|| format!("the bare loop said:\n{}", ran.output))
}

/// `clients` threads that post one upload after another.
fn post_all(port: u16, clients: usize, time: Duration) -> Result<Stored, String> {
    let (created, faults) = (AtomicU64::new(0), AtomicU64::new(0));
    let begun = Instant::now();
    let ended: Result<Vec<()>, String> = thread::scope(|scope| {
        let post = || post_until(begun + time, port, &created, &faults);
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(post)).collect();
        threads.into_iter().map(join).collect()
    });
    ended?;
    let created = created.into_inner() as f64 / begun.elapsed().as_secs_f64();
    Ok(Stored { created, faults: faults.into_inner() })
}

fn post_until(end: Instant, port: u16, created: &AtomicU64, faults: &AtomicU64) -> Result<(), String> {
    let problem = |error| format!("an upload failed: {error}");
    let body = format!("{{\"text\":\"{}\"}}", "x".repeat(1024 - 11));
    let mut client = Client::connect(port).map_err(problem)?;
    while Instant::now() < end {
        let answer = client.post_json("/upload", body.as_bytes()).map_err(problem)?;
        let counter = if answer.status == 201 { created } else { faults };
        counter.fetch_add(1, Ordering::Relaxed);
        if !answer.persistent {
            client = Client::connect(port).map_err(problem)?;
        }
    }
    Ok(())
}

/// Microseconds within which 99 of 100 cached GETs are answered.
fn get_p99(port: u16, time: Duration) -> Result<f64, String> {
    let problem = |error| format!("a GET failed: {error}");
    let mut client = Client::connect(port).map_err(problem)?;
    let mut micros = Vec::new();
    let end = Instant::now() + time;
    while Instant::now() < end {
        let begun = Instant::now();
        client.get("/small.bin", &[]).map_err(problem)?;
        micros.push(begun.elapsed().as_secs_f64() * 1e6);
        thread::sleep(PAUSE);
    }
    micros.sort_by(f64::total_cmp);
    quantile(&micros, 0.99).ok_or_else(|| "no GET was answered".to_owned())
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, Result<T, String>>) -> Result<T, String> {
    thread.join().unwrap_or_else(|_| Err("a client panicked".to_owned()))
}

/// The tables.
pub(super) fn tables(outcome: &Outcome) -> String {
    let mut rates = Grid::new(["stored durably", "per second", "of the bare loop", "bar", "holds"]);
    let median = |values: &[f64]| Spread::of(values.iter().copied()).map_or(0.0, |spread| spread.median);
    rates.row([
        format!("bare loop, {THREADS} threads, a sync of the folder each"),
        thousands(median(&outcome.bare)),
    ]);
    rates.row([
        format!("bare loop, {THREADS} threads, a shared one"),
        thousands(median(&outcome.shared)),
        stats::ratio(&outcome.shared, &outcome.bare).map_or(String::new(), shown),
    ]);
    for (clients, ours) in CLIENTS.iter().zip(&outcome.ours) {
        let ratio = stats::ratio(ours, &outcome.bare);
        let holds = ratio.is_some_and(|ratio| ratio.median >= RATE_BAR);
        rates.row([
            format!("tidegate, {THREADS} threads, {clients} clients"),
            thousands(median(ours)),
            ratio.map_or(String::new(), shown),
            format!("≥ {RATE_BAR:.2}"),
            word(holds).to_owned(),
        ]);
    }
    let mut latency = Grid::new(["a cached GET", "p99 in µs", "of tidegate's quiet one", "bar", "holds"]);
    latency.row(["quiet".to_owned(), micros(median(&outcome.quiet_p99))]);
    let growth = stats::ratio(&outcome.storm_p99, &outcome.quiet_p99);
    let storm = format!("in the storm of {} clients", CLIENTS[CLIENTS.len() - 1]);
    latency.row([
        storm.clone(),
        micros(median(&outcome.storm_p99)),
        growth.map_or(String::new(), shown),
        format!("≤ {LATENCY_BAR:.2}"),
        word(growth.is_some_and(|growth| growth.median <= LATENCY_BAR)).to_owned(),
    ]);
    let machine = stats::ratio(&outcome.floor_p99, &outcome.quiet_p99);
    latency.row([
        format!("the floor's, {storm}"),
        micros(median(&outcome.floor_p99)),
        machine.map_or(String::new(), shown),
    ]);
    let mut text = format!("{rates}\n{latency}");
    if outcome.faults > 0 {
        let _ = writeln!(text, "\n- {} uploads were not answered with 201", outcome.faults);
    }
    text
}

fn shown(ratio: Spread) -> String {
    let Spread { median, least, most } = ratio;
    format!("{median:.3} ({least:.3} to {most:.3})")
}

fn word(holds: bool) -> &'static str {
    if holds { "yes" } else { "**no**" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_judged_by_the_median_of_the_rounds() {
        let mut outcome = Outcome {
            bare: vec![1000.0, 2000.0, 1000.0],
            shared: vec![1200.0, 2400.0, 1200.0],
            ours: [vec![900.0, 1800.0, 100.0], vec![700.0, 1400.0, 1400.0]],
            quiet_p99: vec![100.0; 3],
            storm_p99: vec![150.0, 190.0, 900.0],
            floor_p99: vec![140.0; 3],
            faults: 0,
        };
        let judged = |outcome: &Outcome| {
            let tables = tables(outcome);
            tables.lines().filter(|line| line.contains("**no**")).count()
        };
        assert!(tables(&outcome).contains("1.200 (1.200 to 1.200)"), "{}", tables(&outcome));
        assert_eq!(judged(&outcome), 1, "only the 64 clients are below 0.8: {}", tables(&outcome));
        outcome.storm_p99[1] = 300.0;
        outcome.faults = 5;
        assert_eq!(judged(&outcome), 2);
        assert!(tables(&outcome).ends_with("- 5 uploads were not answered with 201\n"));
    }
}
