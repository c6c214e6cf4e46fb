//! `cargo xtask overload`: five times as many requests as the server can serve, and what becomes of those it serves.
//!
//! ```text
//! each work: as many clients as it has places, each waiting for its answer ─► the peak          clients.rs
//!            requests by a schedule that waits for nobody, at 5 x the peak ─► Seen              schedule.rs
//!            /healthz meanwhile                                                                 probe.rs
//!            the same clients as before: does it come back?
//!                                                             └─► bars, each kept or not        judgement.rs
//! ```
//!
//! Two works: uploads, whose bound is the disk behind the pool, and cached files for visitors whose heads take 50 ms to
//! arrive, whose bound is the number of connections. (Cached files as fast as they come have no such bound on one
//! machine: whoever asks needs as much of it as whoever answers.) The server has core 0, the clients have core 1.

mod clients;
mod judgement;
mod probe;
mod schedule;

use std::time::Duration;

use super::http::Client;
use super::servers::{Server, Setup, TIDEGATE};
use super::works;
use crate::Verdict;
use crate::command::TempDir;
use crate::context::Context;
use clients::{Ask, Outcome};
use judgement::Judgement;
use schedule::Order;

/// More is offered than can be served by this factor.
const FACTOR: f64 = 5.0;

/// How long the peak is measured, each time.
const PEAK_TIME: Duration = Duration::from_secs(10);

/// Threads of the small pool, and its places where `--queue` says nothing else.
const THREADS: usize = 1;
const QUEUE: usize = 32;

/// Seats for connections in the second work, and how long each visitor takes one.
const SEATS: usize = 64;
const PACE: Duration = Duration::from_millis(50);

/// The clients' core; the servers' is 0.
const CORE: &str = "1";

/// Longer runs say nothing more.
const MOST_SECONDS: u64 = 3600;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// How long the overload lasts.
    time: Duration,
    /// Places in the pool's queue.
    queue: usize,
}

/// Reads what follows `overload`. An `Err` says what is wrong with it.
pub(super) fn parse(flags: &[&str]) -> Result<Plan, String> {
    let mut plan = Plan { time: Duration::from_secs(60), queue: QUEUE };
    for pair in flags.chunks(2) {
        let number = |most: u64| {
            let number = pair.get(1).and_then(|text| text.parse().ok());
            let fits = number.filter(|number| (1..=most).contains(number));
            fits.ok_or_else(|| format!("`{}` needs a number from 1 to {most}", pair[0]))
        };
        match pair[0] {
            "--seconds" => plan.time = Duration::from_secs(number(MOST_SECONDS)?),
            "--queue" => plan.queue = usize::try_from(number(1_000_000)?).unwrap_or(usize::MAX),
            other => return Err(format!("`overload` does not know `{other}`")),
        }
    }
    Ok(plan)
}

/// Both works. An `Err` says what could not be measured.
pub(super) fn run(context: &Context, plan: Plan) -> Result<Verdict, String> {
    super::keep_to_core(context, CORE);
    let uploads = Work {
        name: "durable uploads",
        connections: 10_000,
        flags: vec![format!("--threads={THREADS}"), format!("--queue={}", plan.queue)],
        // Half of the places: none of them is refused, and no thread waits for work.
        clients: THREADS + QUEUE / 2,
        ask: upload,
        saturations: 1,
    };
    let files = Work {
        name: "cached files for slow visitors",
        connections: SEATS,
        flags: Vec::new(),
        // One seat is the probe's.
        clients: SEATS - 1,
        ask: visit,
        saturations: 0,
    };
    let kept =
        [uploads, files].iter().map(|work| work.judge(context, plan)).collect::<Result<Vec<_>, _>>()?;
    Ok(if kept.into_iter().all(|kept| kept) { Verdict::Good } else { Verdict::Bad })
}

/// One kind of request, and a server that can serve only so many of them.
struct Work {
    name: &'static str,
    /// `--max-connections`.
    connections: usize,
    flags: Vec<String>,
    /// As many clients reach the peak without being refused.
    clients: usize,
    ask: Ask,
    /// How often the log may say that the pool is saturated.
    saturations: usize,
}

impl Work {
    fn all_flags(&self) -> Vec<String> {
        let connections = self.connections.to_string();
        let common = [
            "--max-requests",
            "0",
            "--keep-alive",
            "300s",
            "--access-log",
            "off",
            "--max-connections",
            &connections,
        ];
        common.map(str::to_owned).into_iter().chain(self.flags.clone()).collect()
    }

    /// Measures, prints, and says whether every bar was kept.
    fn judge(&self, context: &Context, plan: Plan) -> Result<bool, String> {
        let problem = |error| format!("no folder on the disk: {error}");
        // Not the temporary folder, which may be memory.
        let scratch = TempDir::new_in(&context.target, "overload").map_err(problem)?;
        works::write_files(&scratch.path().join("root")).map_err(problem)?;
        let setup = Setup { flags: Some(self.all_flags()), ..Setup::new(context, scratch.path()) };
        let server = Server::start(&setup, TIDEGATE)?;
        println!("── {}: {} connections {}", self.name, self.connections, self.flags.join(" "));
        let (port, ask, time) = (server.port, self.ask, plan.time);
        let peak = clients::peak(port, self.clients, ask, PEAK_TIME)?;
        let rate = FACTOR * peak;
        let (seen, health) = probe::beside(port, || schedule::offer(&Order { port, ask, rate, time }));
        let said = server.said().lines().filter(|line| line.contains("thread pool saturated")).count();
        let again = clients::peak(port, self.clients, ask, PEAK_TIME)?;
        let judgement =
            Judgement { peak, seen, health: health?, again, time, said, may_say: self.saturations };
        println!("{judgement}");
        Ok(judgement.is_kept())
    }
}

/// One upload on a connection that is kept as long as the server keeps it.
fn upload(port: u16, kept: &mut Option<Client>) -> std::io::Result<Outcome> {
    let mut client = match kept.take() {
        Some(client) => client,
        None => Client::connect(port)?,
    };
    let body = format!("{{\"text\":\"{}\"}}", "x".repeat(1024 - 11));
    let answer = client.post_json("/upload", body.as_bytes())?;
    if answer.persistent {
        *kept = Some(client);
    }
    Ok(Outcome::of(answer.status, 201))
}

/// One cached file over a slow network, on a connection of its own.
fn visit(port: u16, _: &mut Option<Client>) -> std::io::Result<Outcome> {
    let answer = Client::connect(port)?.get_slowly("/small.bin", PACE)?;
    Ok(Outcome::of(answer.status, 200))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_and_wrong_ones_named() {
        let plan = parse(&["--queue", "9", "--seconds", "2"]);
        assert_eq!(plan, Ok(Plan { time: Duration::from_secs(2), queue: 9 }));
        assert!(parse(&["--seconds"]).unwrap_err().contains("1 to 3600"));
        assert!(parse(&["--seconds", "0"]).is_err());
        assert!(parse(&["--speed", "1"]).unwrap_err().contains("`--speed`"));
    }
}
