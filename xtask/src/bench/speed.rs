//! The side-by-side run: rounds in which every server does the same work, one after another.
//!
//! ```text
//! for each wire: start all ─► for each of its works: check each answer ─► rounds ─► Outcome
//!                                check.rs           cpu, load, cpu of each server, in turned order
//! ```

use super::check::{self, Checked};
use super::hello::Agreed;
use super::load::{self, Load, Order};
use super::options::{DEFAULT_REQUESTS, Mode, Speed};
use super::process::Memory;
use super::servers::{Kind, Role, Server, Setup};
use super::wire::{WIRES, Wire};
use super::works::Work;

/// Everything that one run found.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) tables: Vec<Table>,
    /// Of each server after all works of a wire.
    pub(super) memory: Vec<(Wire, Kind, Memory)>,
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
    /// None where the load generator does not tell.
    pub(super) p99_micros: Vec<f64>,
    /// By TLS.
    pub(super) agreed: Option<Agreed>,
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
    for wire in WIRES {
        let works: Vec<_> = speed.works.iter().filter(|work| work.wire == wire).collect();
        if works.is_empty() {
            continue;
        }
        let setup = Setup { wire, ..setup.clone() };
        let servers = start(&setup, &speed.kinds, &mut outcome)?;
        for work in works {
            println!("── {}: {}", work.name, work.what);
            let table = measure(&setup, speed, work, &servers, &mut outcome)?;
            outcome.tables.push(table);
        }
        let memory = servers.iter().map(|server| (wire, server.kind, server.process.memory()));
        outcome.memory.extend(memory);
    }
    Ok(outcome)
}

/// Those that speak the wire of `setup`, and can be started.
fn start(setup: &Setup<'_>, kinds: &[Kind], outcome: &mut Outcome) -> Result<Vec<Server>, String> {
    let mut servers = Vec::new();
    for &kind in kinds.iter().filter(|kind| kind.speaks(setup.wire)) {
        match Server::start(setup, kind) {
            Ok(server) => servers.push(server),
            // Without our own there is nothing to compare; a peer that is not there is only named.
            Err(problem) if kind.role == Role::Peer => outcome.note(format!("left out: {problem}")),
            Err(problem) => return Err(problem),
        }
    }
    Ok(servers)
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
        match check::check(setup.context, work, server) {
            Ok(Checked { fields, agreed }) => {
                entrants.push(Entrant { server, fields, row: Row::new(server.kind, agreed) });
            }
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
        let load = load::run(setup.context, &order)?;
        // A thread that ended meanwhile is known less exactly than before.
        let nanos = self.server.process.cpu_nanos().saturating_sub(before);
        self.row.cpu.push(nanos as f64 / 1e3 / load.requests as f64);
        self.row.per_second.push(load.per_second);
        self.row.p99_micros.extend(load.p99_micros);
        self.row.faults += faults(work, &load);
        self.server.forget_logs();
        Ok(())
    }
}

impl Row {
    fn new(kind: Kind, agreed: Option<Agreed>) -> Self {
        let [cpu, per_second, p99_micros] = [const { Vec::new() }; 3];
        Self { kind, cpu, per_second, p99_micros, agreed, faults: 0 }
    }
}

impl Outcome {
    /// Said at once, and kept.
    fn note(&mut self, what: String) {
        println!("   {what}");
        self.notes.push(what);
    }
}

/// Answers that were not what the work must get, as far as the load generator tells them apart.
fn faults(work: &Work, load: &Load) -> u64 {
    let wrong = if work.status >= 400 { load.requests.abs_diff(load.refused) } else { load.refused };
    wrong + load.socket_errors
}
