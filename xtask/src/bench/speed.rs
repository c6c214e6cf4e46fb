//! The side-by-side run: rounds in which every server does the same work, one after another.
//!
//! ```text
//! start all ─► for each work: check each answer ─► rounds: cpu, wrk, cpu of each server, in turned order ─► Outcome
//! ```

use super::http::Client;
use super::options::{DEFAULT_REQUESTS, Mode, Speed};
use super::process::Memory;
use super::servers::{Kind, Role, Server, Setup};
use super::works::{Manner, Work};
use super::wrk::{self, Load, Order};

/// Everything that one run found.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) tables: Vec<Table>,
    /// After all works.
    pub(super) memory: Vec<(Kind, Memory)>,
    /// What could not be measured, and why; and what is doubtful.
    pub(super) notes: Vec<String>,
}

/// One work, by server.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) work: &'static Work,
    pub(super) rows: Vec<Row>,
}

/// One server at one work, by round.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) kind: Kind,
    /// CPU microseconds of a request.
    pub(super) cpu: Vec<f64>,
    pub(super) per_second: Vec<f64>,
    pub(super) p99_micros: Vec<f64>,
    /// Requests that went wrong, over all rounds.
    pub(super) faults: u64,
}

/// A server that may take part in a work, and what its requests must say.
struct Entrant<'a> {
    server: &'a Server,
    fields: Vec<String>,
    row: Row,
}

/// Measures everything that `speed` asks for. An `Err` says why there is nothing to compare.
pub(super) fn run(setup: &Setup<'_>, speed: &Speed) -> Result<Outcome, String> {
    let mut outcome = Outcome { tables: Vec::new(), memory: Vec::new(), notes: Vec::new() };
    let mut servers = Vec::new();
    for &kind in &speed.kinds {
        match Server::start(setup, kind) {
            Ok(server) => servers.push(server),
            // Without our own there is nothing to compare; a peer that is not there is only named.
            Err(problem) if kind.role == Role::Peer => outcome.note(format!("left out: {problem}")),
            Err(problem) => return Err(problem),
        }
    }
    for &work in &speed.works {
        println!("── {}: {}", work.name, work.what);
        let table = measure(setup, speed, work, &servers, &mut outcome)?;
        outcome.tables.push(table);
    }
    outcome.memory = servers.iter().map(|server| (server.kind, server.process.memory())).collect();
    Ok(outcome)
}

fn measure(
    setup: &Setup<'_>,
    speed: &Speed,
    work: &'static Work,
    servers: &[Server],
    outcome: &mut Outcome,
) -> Result<Table, String> {
    let mut entrants = Vec::new();
    let able = servers.iter().filter(|server| server.kind.role != Role::Floor || work.suits_floor());
    for server in able {
        match check(work, server) {
            Ok(fields) => entrants.push(Entrant { server, fields, row: Row::new(server.kind) }),
            Err(problem) => {
                outcome.note(format!("{}: not measured, {} {problem}", work.name, server.kind.name));
            }
        }
    }
    for round in 0..speed.rounds.count {
        // Whoever comes first finds other caches than whoever follows: each comes first in turn.
        let first = round % entrants.len().max(1);
        let (later, sooner) = entrants.split_at_mut(first);
        for entrant in sooner.iter_mut().chain(later) {
            entrant.run(setup, speed, work)?;
        }
    }
    let rows: Vec<Row> = entrants.into_iter().map(|entrant| entrant.row).collect();
    for row in rows.iter().filter(|row| row.faults > 0) {
        outcome.note(format!("{}: {} of {}'s requests went wrong", work.name, row.faults, row.kind.name));
    }
    Ok(Table { work, rows })
}

impl Entrant<'_> {
    /// One round.
    fn run(&mut self, setup: &Setup<'_>, speed: &Speed, work: &Work) -> Result<(), String> {
        let asks = speed.mode == Mode::DefaultRequests && !self.server.kind.ends_connections;
        let order = Order {
            work,
            port: self.server.port,
            seconds: speed.rounds.seconds,
            fields: &self.fields,
            last: if asks { DEFAULT_REQUESTS } else { 0 },
        };
        let before = self.server.process.cpu_nanos();
        let load = wrk::run(setup.context, &order)?;
        // A thread that ended meanwhile is known less exactly than before.
        let nanos = self.server.process.cpu_nanos().saturating_sub(before);
        self.row.cpu.push(nanos as f64 / 1e3 / load.requests as f64);
        self.row.per_second.push(load.per_second);
        self.row.p99_micros.push(load.p99_micros);
        self.row.faults += faults(work, &load);
        self.server.forget_logs();
        Ok(())
    }
}

impl Row {
    fn new(kind: Kind) -> Self {
        Self { kind, cpu: Vec::new(), per_second: Vec::new(), p99_micros: Vec::new(), faults: 0 }
    }
}

impl Outcome {
    /// Said at once, and kept.
    fn note(&mut self, what: String) {
        println!("   {what}");
        self.notes.push(what);
    }
}

/// Answers that were not what the work must get, as far as wrk tells them apart.
fn faults(work: &Work, load: &Load) -> u64 {
    let wrong = if work.status >= 400 { load.requests.abs_diff(load.refused) } else { load.refused };
    wrong + load.socket_errors
}

/// Makes each request of the work once, which also fills the server's caches. Gives the fields that its requests
/// need; an `Err` says what is wrong with the answer.
fn check(work: &Work, server: &Server) -> Result<Vec<String>, String> {
    let fields = fields(work, server)?;
    for path in work.paths() {
        let badly = |error| format!("answers {path} badly: {error}");
        let mut client = Client::connect(server.port).map_err(badly)?;
        let answer = client.get(&path, &fields).map_err(badly)?;
        if answer.status != work.status {
            return Err(format!("answers {path} with {}, not {}", answer.status, work.status));
        }
        if work.body.is_some_and(|body| body != answer.body.len() as u64) {
            return Err(format!("answers {path} with {} bytes", answer.body.len()));
        }
        // One that closes without a word is measured: wrk counts an error for each, and so its row is marked.
        if work.manner == Manner::Close && answer.persistent && !client.has_ended() {
            return Err("keeps a connection that should close".to_owned());
        }
    }
    Ok(fields)
}

fn fields(work: &Work, server: &Server) -> Result<Vec<String>, String> {
    match work.manner {
        Manner::Plain | Manner::Pipelined => Ok(Vec::new()),
        Manner::Close => Ok(vec!["Connection: close".to_owned()]),
        Manner::Conditional => {
            let answer = Client::connect(server.port).and_then(|mut client| client.get(work.path, &[]));
            let answer = answer.map_err(|error| format!("answers {} badly: {error}", work.path))?;
            answer.condition().map(|field| vec![field]).ok_or_else(|| "has no validator".to_owned())
        }
    }
}
