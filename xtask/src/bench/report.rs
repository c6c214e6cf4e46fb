//! The side-by-side run as text, for the terminal and for the results.

use std::fmt::Write as _;

use super::grid::Grid;
use super::process::Memory;
use super::servers::Kind;
use super::speed::{Outcome, Row, Table};
use super::stats::Spread;
use super::wire::WIRES;

/// All tables of a run.
pub(super) fn tables(outcome: &Outcome) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "### CPU time\n\nMicroseconds of the server per request, median of the rounds.\n");
    let _ = writeln!(text, "{}", by_server(outcome, |row| row.cpu_spread().map(|cpu| micros(cpu.median))));
    let _ = writeln!(
        text,
        "### Ratios\n\ntidegate's CPU time over another's, in the same round: median (least to most).\n"
    );
    let _ = writeln!(text, "{}", ratios(outcome));
    let _ = writeln!(text, "### Throughput\n\nRequests per second, median of the rounds.\n");
    let _ = writeln!(text, "{}", by_server(outcome, |row| Some(thousands(median(&row.per_second)?))));
    let _ = writeln!(
        text,
        "### Latency\n\nMilliseconds within which 99 of 100 requests were answered, median of the rounds.\n"
    );
    let _ = writeln!(text, "{}", by_server(outcome, |row| Some(micros(median(&row.p99_micros)? / 1e3))));
    if outcome.tables.iter().flat_map(|table| &table.rows).any(|row| row.agreed.is_some()) {
        let _ = writeln!(
            text,
            "### TLS\n\nWhat was agreed on, and how many of the handshakes resumed a session.\n"
        );
        let _ = writeln!(text, "{}", agreed(outcome));
    }
    let _ = writeln!(
        text,
        "### Memory\n\nPss of all processes of a server after all works, in MiB; by what it speaks.\n"
    );
    let _ = write!(text, "{}", memory(outcome));
    if !outcome.notes.is_empty() {
        text.push_str("\n### Notes\n\n");
    }
    for note in &outcome.notes {
        let _ = writeln!(text, "- {}", note.lines().next().unwrap_or_default());
    }
    text
}

/// The works of the run, for readers who have not read the sources.
pub(super) fn legend(outcome: &Outcome) -> String {
    let works = outcome.tables.iter().map(|Table { work, .. }| {
        let connections = if work.connections == 1 { "connection" } else { "connections" };
        format!("- `{}`: {}; {} {connections}\n", work.name, work.what, work.connections)
    });
    works.collect()
}

/// A column for each server; a figure is marked where not all of its answers were right.
fn by_server(outcome: &Outcome, figure: impl Fn(&Row) -> Option<String>) -> Grid {
    let kinds = kinds(outcome);
    let mut grid = Grid::new(["work"].into_iter().chain(kinds.iter().map(|kind| kind.name)));
    for Table { work, rows } in &outcome.tables {
        let cell = |kind: &Kind| {
            let row = rows.iter().find(|row| row.kind == *kind)?;
            Some(format!("{}{}", figure(row)?, if row.faults > 0 { " !" } else { "" }))
        };
        let cells = kinds.iter().map(|kind| cell(kind).unwrap_or_else(|| "–".to_owned()));
        grid.row([work.name.to_owned()].into_iter().chain(cells));
    }
    grid
}

fn ratios(outcome: &Outcome) -> Grid {
    let mut grid = Grid::new(["work", "against", "ratio", "must be", "holds", "should be", "holds"]);
    for table in &outcome.tables {
        for comparison in table.comparisons() {
            let Spread { median, least, most } = comparison.ratio;
            let bar = |bar: Option<f64>| bar.map(|bar| format!("≤ {bar:.2}")).unwrap_or_default();
            let holds = |bar: Option<f64>, no: &'static str| {
                bar.map_or("", |bar| if comparison.is_within(bar) { "yes" } else { no }).to_owned()
            };
            grid.row([
                table.work.name.to_owned(),
                comparison.other.name.to_owned(),
                format!("{median:.3} ({least:.3} to {most:.3})"),
                bar(comparison.must),
                holds(comparison.must, "**no**"),
                bar(comparison.should),
                holds(comparison.should, "no"),
            ]);
        }
    }
    grid
}

fn agreed(outcome: &Outcome) -> Grid {
    let mut grid = Grid::new(["work", "server", "cipher", "key exchange", "handshakes", "resumed"]);
    for Table { work, rows } in &outcome.tables {
        for (kind, agreed) in rows.iter().filter_map(|row| Some((row.kind, row.agreed.as_ref()?))) {
            grid.row([
                work.name.to_owned(),
                kind.name.to_owned(),
                agreed.suite(),
                agreed.group(),
                agreed.handshakes.to_string(),
                format!("{:.0} %", agreed.resumed * 100.0),
            ]);
        }
    }
    grid
}

/// A column for each wire that took part.
fn memory(outcome: &Outcome) -> Grid {
    let wires: Vec<_> =
        WIRES.into_iter().filter(|wire| outcome.memory.iter().any(|(one, ..)| one == wire)).collect();
    let mut grid = Grid::new(["server"].into_iter().chain(wires.iter().map(|wire| wire.name())));
    for kind in kinds(outcome) {
        let cells = wires.iter().map(|wire| {
            let memory = outcome.memory.iter().find(|(on, of, _)| (on, *of) == (wire, kind));
            memory.map_or_else(|| "–".to_owned(), |(.., Memory { pss, .. })| mib(*pss))
        });
        grid.row([kind.name.to_owned()].into_iter().chain(cells));
    }
    grid
}

/// Everyone who took part, in the order of the run.
fn kinds(outcome: &Outcome) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (_, kind, _) in &outcome.memory {
        if !kinds.contains(kind) {
            kinds.push(*kind);
        }
    }
    kinds
}

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1024.0 / 1024.0)
}

fn median(values: &[f64]) -> Option<f64> {
    Spread::of(values.iter().copied()).map(|spread| spread.median)
}

/// Three digits that count.
pub(super) fn micros(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// `65,856`
pub(super) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::compare::tests::table;
    use super::super::hello::Agreed;
    use super::super::wire::Wire;
    use super::*;

    fn outcome() -> Outcome {
        let table = table();
        let memory = Memory { pss: 3 << 20, anonymous: 0 };
        let memory = table.rows.iter().map(|row| (Wire::Clear, row.kind, memory)).collect();
        let notes = vec!["caddy: left out\nand more".to_owned()];
        Outcome { tables: vec![table], memory, notes }
    }

    #[test]
    fn every_figure_has_its_place() {
        let text = tables(&outcome());
        for line in [
            "| work  | floor | tidegate |  nginx |  h2o | lighttpd |",
            "| small |  5.00 |     6.00 | 1.00 ! | 10.0 |     20.0 |",
            "| small |   floor | 1.200 (1.200 to 2.400) |  ≤ 1.20 |   yes |    ≤ 1.10 |    no |",
            "| small |     h2o | 0.750 (0.600 to 1.000) |  ≤ 0.85 |   yes |           |       |",
            "| small | 80,000 |   80,000 | 80,000 ! | 80,000 |   80,000 |",
            "| small |  1.50 |     1.50 | 1.50 ! | 1.50 |     1.50 |",
            "| tidegate |   3.0 |",
            "- caddy: left out",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn who_did_not_take_part_has_a_dash() {
        let mut outcome = outcome();
        outcome.tables[0].rows.remove(0);
        assert!(tables(&outcome).contains("| small |     – |"));
    }

    #[test]
    fn what_tls_agreed_on_is_told_where_there_is_tls() {
        let mut outcome = outcome();
        assert!(!tables(&outcome).contains("### TLS"));
        outcome.tables[0].rows[1].agreed = Some(Agreed { handshakes: 8, resumed: 0.25, ..Agreed::default() });
        outcome.memory.push((Wire::Tls, outcome.memory[1].1, Memory { pss: 5 << 20, anonymous: 0 }));
        let text = tables(&outcome);
        for line in [
            "| small | tidegate | 0x0000 |       0x0000 |          8 |    25 % |",
            "| tidegate |   3.0 | 5.0 |",
            "| nginx    |   3.0 |   – |",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn figures_keep_three_digits() {
        assert_eq!([0.456, 45.67, 456.7].map(micros), ["0.46", "45.7", "457"]);
        assert_eq!([999.4, 65_856.13, 1_000_000.0].map(thousands), ["999", "65,856", "1,000,000"]);
    }
}
