//! Two who watch: one asks `/healthz` all the while, as a load balancer would, and one only sleeps and sees how late it
//! wakes, which is what the machine adds to every time that the clients see.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::super::http::Client;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// So long the sleeper sleeps.
const NAP: Duration = Duration::from_millis(5);

/// What the probe saw.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Health {
    pub(super) asked: u64,
    /// With 200.
    pub(super) well: u64,
    /// With another status: the server says that it has no seat.
    pub(super) refused: u64,
    /// The longest wait for an answer, in milliseconds.
    pub(super) worst: f64,
    /// How much too late the sleeper woke, in milliseconds, sorted.
    pub(super) overslept: Vec<f64>,
}

/// Does `work` while the probe asks. An `Err` where the probe could not ask at all.
pub(super) fn beside<T>(port: u16, work: impl FnOnce() -> T) -> (T, Result<Health, String>) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let probe = scope.spawn(|| ask_until(port, &done));
        let sleeper = scope.spawn(|| sleep_until(&done));
        let result = work();
        done.store(true, Ordering::Relaxed);
        let health = probe.join().unwrap_or_else(|_| Err("the probe panicked".to_owned()));
        let overslept = sleeper.join().unwrap_or_default();
        (result, health.map(|health| Health { overslept, ..health }))
    })
}

fn sleep_until(done: &AtomicBool) -> Vec<f64> {
    let mut overslept = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let begun = Instant::now();
        thread::sleep(NAP);
        overslept.push(begun.elapsed().saturating_sub(NAP).as_secs_f64() * 1e3);
    }
    overslept.sort_by(f64::total_cmp);
    overslept
}

fn ask_until(port: u16, done: &AtomicBool) -> Result<Health, String> {
    let mut health = Health::default();
    let connect = || Client::connect(port).map_err(|error| format!("the probe cannot connect: {error}"));
    let mut client = connect()?;
    while !done.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let mut answer = client.get("/healthz", &[]);
        if answer.is_err() {
            // A server may take the seat of a connection that is idle; whoever asks again gets an answer.
            client = connect()?;
            answer = client.get("/healthz", &[]);
        }
        health.asked += 1;
        health.worst = health.worst.max(begun.elapsed().as_secs_f64() * 1e3);
        match &answer {
            Ok(answer) if answer.status == 200 => health.well += 1,
            Ok(_) => health.refused += 1,
            Err(_) => {}
        }
        if !answer.is_ok_and(|answer| answer.persistent) {
            client = connect()?;
        }
        thread::sleep(PAUSE);
    }
    Ok(health)
}
