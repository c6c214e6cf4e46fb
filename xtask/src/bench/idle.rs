//! `cargo xtask bench idle`: memory of an idle connection, plain or with TLS, and whether it comes back.
//!
//! One server after another: some connections to warm it up ─► memory ─► 15,000 that did one request each ─► memory ─►
//! all closed ─► memory. Counted are heaps and stacks; a page of the program that is touched for the first time is no
//! cost of a connection, and what the kernel holds is the same for all.

use std::fmt::Write as _;
use std::io;
use std::thread;
use std::time::Duration;

use super::crowd::Crowd;
use super::grid::Grid;
use super::servers::{Kind, Role, Server, Setup};
use super::wire::Wire;
use crate::context::Context;

/// Below the 20,000 files that a process may often open at most.
const CONNECTIONS: usize = 15_000;

/// So many files the client needs beside its connections.
const SPARE_FILES: usize = 200;

/// What a server needs for its first connections it needs once.
const WARM_UP: usize = 50;

/// Some servers tidy up once a second.
const SETTLE: Duration = Duration::from_secs(2);

/// How far from the start memory may stay after the close.
const RETURN_BAR: f64 = 0.05;

/// One server's memory, in bytes.
#[derive(Debug)]
pub(super) struct Row {
    kind: Kind,
    wire: Wire,
    connections: usize,
    start: u64,
    held: u64,
    end: u64,
}

/// Measures each of `kinds` alone, and says at once which cannot be.
pub(super) fn run(setup: &Setup<'_>, kinds: &[Kind]) -> Result<Vec<Row>, String> {
    let most = raise_file_limit(setup.context)?;
    let connections = CONNECTIONS.min(most.saturating_sub(SPARE_FILES));
    let mut rows = Vec::new();
    for wire in [Wire::Clear, Wire::Tls] {
        let setup = Setup { wire, ..setup.clone() };
        for &kind in kinds.iter().filter(|kind| kind.speaks(wire)) {
            println!("── {}, {}", kind.name, wire.name());
            match measure(&setup, kind, connections) {
                Ok(row) => rows.push(row),
                Err(problem) => println!("   left out: {problem}"),
            }
        }
    }
    Ok(rows)
}

fn measure(setup: &Setup<'_>, kind: Kind, connections: usize) -> Result<Row, String> {
    let server = Server::start(setup, kind)?;
    let memory = || {
        thread::sleep(SETTLE);
        server.process.memory().anonymous
    };
    let problem = |error: io::Error| format!("{}: {error}", kind.name);
    drop(Crowd::gather(setup, server.port, WARM_UP).map_err(problem)?);
    let start = memory();
    let mut crowd = Crowd::gather(setup, server.port, connections).map_err(problem)?;
    // The rest is refused or kept waiting: then those that are held are what it can.
    let connections = crowd.count();
    let held = memory();
    crowd.ask_some().map_err(problem)?;
    drop(crowd);
    Ok(Row { kind, wire: setup.wire, connections, start, held, end: memory() })
}

/// Raises our own limit of open files, and so that of all our children, as far as we may; gives the new limit.
pub(crate) fn raise_file_limit(context: &Context) -> Result<usize, String> {
    let pid = std::process::id().to_string();
    let asked =
        context.run("prlimit", &["--pid", &pid, "--nofile", "--noheadings", "--raw", "--output", "HARD"]);
    let most: usize = asked.output.trim().parse().map_err(|_| format!("prlimit said:\n{}", asked.output))?;
    let raised = context.run("prlimit", &["--pid", &pid, &format!("--nofile={most}:{most}")]);
    if raised.success { Ok(most) } else { Err(format!("prlimit said:\n{}", raised.output)) }
}

impl Row {
    /// Bytes of a connection that are good enough.
    fn bytes_bar(&self) -> u64 {
        match self.wire {
            Wire::Tls => 14 << 10,
            Wire::Clear | Wire::H2c => 1536,
        }
    }

    fn bytes_per_connection(&self) -> u64 {
        self.held.saturating_sub(self.start) / self.connections.max(1) as u64
    }

    /// How much more than at the start is in use at the end, as a share.
    fn left_over(&self) -> f64 {
        self.end as f64 / self.start as f64 - 1.0
    }
}

/// The table.
pub(super) fn table(rows: &[Row]) -> String {
    let head = [
        "server",
        "wire",
        "connections",
        "bytes each",
        "before, MiB",
        "held, MiB",
        "after, MiB",
        "more than before",
    ];
    let mut grid = Grid::new(head);
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / 1024.0 / 1024.0);
    for row in rows {
        grid.row([
            row.kind.name.to_owned(),
            row.wire.name().to_owned(),
            row.connections.to_string(),
            row.bytes_per_connection().to_string(),
            mib(row.start),
            mib(row.held),
            mib(row.end),
            format!("{:+.0} %", row.left_over() * 100.0),
        ]);
    }
    let mut text = grid.to_string();
    for ours in rows.iter().filter(|row| matches!(row.kind.role, Role::Ours | Role::Variant)) {
        let word = |holds| if holds { "holds" } else { "**is missed**" };
        let _ = writeln!(
            text,
            "\n{}'s bars, {}: at most {} bytes each {}; back to within {:.0} % {}.",
            ours.kind.name,
            ours.wire.name(),
            ours.bytes_bar(),
            word(ours.bytes_per_connection() <= ours.bytes_bar()),
            RETURN_BAR * 100.0,
            word(ours.left_over().abs() <= RETURN_BAR)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::servers::TIDEGATE;
    use super::*;

    #[test]
    fn the_cost_of_a_connection_and_what_stays_are_told() {
        let row = |held, end| Row {
            kind: TIDEGATE,
            wire: Wire::Clear,
            connections: 1000,
            start: 1 << 20,
            held,
            end,
        };
        let good = table(&[row((1 << 20) + 1_500_000, (1 << 20) + 1)]);
        assert!(good.contains(" 1500 ") && good.contains("+0 %") && !good.contains("missed"), "{good}");
        let bad = table(&[row((1 << 20) + 1_600_000, 2 << 20)]);
        assert!(bad.contains("+100 %") && bad.matches("**is missed**").count() == 2, "{bad}");
        assert!(!table(&[]).contains("bars"));
        let with_tls = table(&[Row { wire: Wire::Tls, ..row((1 << 20) + 14_336_000, 1 << 20) }]);
        assert!(with_tls.contains("at most 14336 bytes each holds"), "{with_tls}");
    }
}
