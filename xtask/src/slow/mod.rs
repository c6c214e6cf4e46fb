//! `cargo xtask slow`: thousands of slow clients against tidegate and nginx, side by side.
//!
//! ```text
//! both servers ─► for each manner of slowness, on both ─► a table, and the bars of tidegate
//!                   attack.rs   slowhttptest, for so many seconds
//!                   watch.rs    a good client and the memory, each second; drips that tell how long a slow head lives
//! ```
//! With `--header-timeout 600s` the slow heads must live on and the bar be missed: that shows what is measured.

mod attack;
mod watch;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::Verdict;
use crate::bench::grid::Grid;
use crate::bench::results::{self, Circumstances, Section};
use crate::bench::servers::{KINDS, Kind, Role, Server, Setup, TIDEGATE};
use crate::bench::{self, idle, servers};
use crate::context::Context;
use crate::tools::{self, Missing};
use attack::{MANNERS, Manner, Tally};
use watch::{Drips, Seen};

/// A slow head of tidegate lives no longer: `--header-timeout` is 10 s, and a second for a busy machine.
const LIFE_BAR: Duration = Duration::from_secs(11);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    /// `None` for all of them.
    manner: Option<Manner>,
    connections: u64,
    /// Of each manner.
    seconds: u64,
    /// tidegate's, where it is not the default.
    header_timeout: Option<String>,
    write: bool,
}

/// Four times what fills a server of a thread for each connection, and long enough for three deadlines of tidegate.
const WHOLE: Plan = Plan { manner: None, connections: 4000, seconds: 60, header_timeout: None, write: false };

/// One server under one manner.
#[derive(Debug)]
struct Row {
    manner: Manner,
    kind: Kind,
    tally: Tally,
    seen: Seen,
    /// Of slow heads alone.
    drips: Option<Drips>,
}

/// `cargo xtask slow FLAGS`. An `Err` says what is wrong with the flags.
pub(crate) fn run(root: &Path, flags: &[&str]) -> Result<Verdict, String> {
    let plan = parse(flags)?;
    let command = ["cargo xtask slow"].iter().chain(flags).copied().collect::<Vec<_>>().join(" ");
    Ok(perform(root, &plan, &command).unwrap_or_else(|problem| {
        eprintln!("slow: {problem}");
        Verdict::Bad
    }))
}

fn parse(words: &[&str]) -> Result<Plan, String> {
    let mut plan = WHOLE;
    let mut rest = words.iter();
    while let Some(&flag) = rest.next() {
        let mut value = || rest.next().copied().ok_or_else(|| format!("`{flag}` needs a value"));
        let number = |text: &str, range: std::ops::RangeInclusive<u64>| {
            let number = text.parse().ok().filter(|number| range.contains(number));
            number.ok_or_else(|| format!("`{flag}` is a number from {} to {}", range.start(), range.end()))
        };
        match flag {
            "--manner" => {
                let name = value()?;
                let known = MANNERS.into_iter().find(|manner| manner.name() == name);
                plan.manner = Some(known.ok_or_else(|| format!("no manner of slowness is called `{name}`"))?);
            }
            // nginx is set up for 18,000.
            "--connections" => plan.connections = number(value()?, 1..=8000)?,
            // A slow head must have the time to be cut.
            "--seconds" => plan.seconds = number(value()?, 20..=600)?,
            "--header-timeout" => plan.header_timeout = Some(value()?.to_owned()),
            "--write" => plan.write = true,
            _ => return Err(format!("`slow` does not know `{flag}`")),
        }
    }
    Ok(plan)
}

fn perform(root: &Path, plan: &Plan, command: &str) -> Result<Verdict, String> {
    let context = Context::new(root).map_err(|error| format!("no folders for tools and logs: {error}"))?;
    let _alone = bench::alone()?;
    let kinds = kinds();
    install_missing(&context, &kinds)?;
    bench::build_server(&context)?;
    idle::raise_file_limit(&context)?;
    let circumstances = Circumstances::read(&context, command);
    let scratch = bench::scratch().map_err(|error| format!("no temporary folder: {error}"))?;
    let setup = Setup { flags: Some(plan.flags()), ..Setup::new(&context, scratch.path()) };
    let mut rows = Vec::new();
    for manner in MANNERS.into_iter().filter(|manner| plan.manner.is_none_or(|one| one == *manner)) {
        println!("{}: {} s", manner.name(), plan.seconds);
        rows.extend(side_by_side(&setup, plan, manner, &kinds)?);
    }
    let table = table(&rows);
    println!("\n{table}");
    if plan.write {
        let told = circumstances.told(&setup, &kinds, None);
        results::write(&context, Section::Slow, &format!("{told}\n{table}"))?;
    }
    Ok(if rows.iter().all(Row::is_good) { Verdict::Good } else { Verdict::Bad })
}

/// Who is measured: we, and a peer that slow clients never made unavailable, but that lets them be.
fn kinds() -> Vec<Kind> {
    KINDS.into_iter().filter(|kind| matches!(kind.name, "tidegate" | "nginx")).collect()
}

/// Without these there is nothing to measure.
fn install_missing(context: &Context, kinds: &[Kind]) -> Result<(), String> {
    let wanted = [servers::tools_of(kinds), vec![attack::TOOL]].concat();
    match tools::install_missing(&wanted, context).pop() {
        Some(Missing::NotTried(why) | Missing::Failed(why)) => Err(why),
        None => Ok(()),
    }
}

impl Plan {
    /// tidegate with all its limits but that of connections, which would hide how it treats slow ones.
    fn flags(&self) -> Vec<String> {
        let mut flags = ["--max-connections", "18000", "--access-log", "off"].map(String::from).to_vec();
        if let Some(timeout) = &self.header_timeout {
            flags.extend(["--header-timeout".to_owned(), timeout.clone()]);
        }
        flags
    }
}

/// Both servers fresh, and the same done to both at the same time. Slow reads are done to one after the other: what
/// nobody reads waits in the kernel, which has a bound for the memory of all connections (`tcp_mem`) and stalls
/// everybody beyond it.
fn side_by_side(setup: &Setup<'_>, plan: &Plan, manner: Manner, kinds: &[Kind]) -> Result<Vec<Row>, String> {
    let servers = kinds.iter().map(|&kind| Server::start(setup, kind)).collect::<Result<Vec<_>, _>>()?;
    if manner == Manner::Reads {
        return servers.iter().map(|server| one(setup, plan, manner, server)).collect();
    }
    thread::scope(|scope| {
        let runs: Vec<_> =
            servers.iter().map(|server| scope.spawn(|| one(setup, plan, manner, server))).collect();
        runs.into_iter().map(|run| run.join().map_err(|_| "a measurement panicked".to_owned())?).collect()
    })
}

fn one(setup: &Setup<'_>, plan: &Plan, manner: Manner, server: &Server) -> Result<Row, String> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let seen = scope.spawn(|| watch::watch(server, &over));
        let drips = scope.spawn(|| (manner == Manner::Heads).then(|| watch::drip(server.port, &over)));
        let tally = attack::run(setup, plan.connections, plan.seconds, manner, server);
        over.store(true, Ordering::Relaxed);
        let panicked = "a measurement panicked";
        let seen = seen.join().map_err(|_| panicked)?;
        let drips = drips.join().map_err(|_| panicked)?.transpose();
        let drips =
            drips.map_err(|error| format!("{}: no slow head of our own: {error}", server.kind.name))?;
        Ok(Row { manner, kind: server.kind, tally: tally?, seen, drips })
    })
}

impl Row {
    /// Whether tidegate keeps its bars; nobody else has one.
    fn is_good(&self) -> bool {
        let cut =
            self.drips.as_ref().is_none_or(|drips| drips.longest().is_some_and(|life| life <= LIFE_BAR));
        self.kind.role != Role::Ours || self.seen.missed == 0 && cut
    }
}

fn table(rows: &[Row]) -> String {
    let mut grid = Grid::new([
        "slow clients",
        "server",
        "good answers",
        "slowest, ms",
        "cut",
        "a slow head lived, s",
        "memory before, MiB",
        "most, MiB",
    ]);
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / 1024.0 / 1024.0);
    for Row { manner, kind, tally, seen, drips } in rows {
        grid.row([
            manner.name().to_owned(),
            kind.name.to_owned(),
            format!("{} of {}", seen.samples - seen.missed, seen.samples),
            format!("{:.0}", seen.slowest.as_secs_f64() * 1000.0),
            format!("{} of {}", tally.closed, tally.opened),
            drips.as_ref().map_or_else(|| "–".to_owned(), Drips::told),
            mib(seen.memory_before),
            mib(seen.memory_most),
        ]);
    }
    let mut text = grid.to_string();
    let word = |holds| if holds { "hold" } else { "**are missed**" };
    let ours = rows.iter().filter(|row| row.kind == TIDEGATE);
    let _ = writeln!(
        text,
        "\nGood answers are those to a client that asks once a second. tidegate's bars, a good answer each time and a \
         slow head cut within {} s, {}.",
        LIFE_BAR.as_secs(),
        word(ours.clone().count() > 0 && ours.clone().all(Row::is_good))
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(missed: u32, longest: Option<u64>) -> Row {
        let seen = Seen {
            samples: 60,
            missed,
            slowest: Duration::from_millis(7),
            memory_before: 1,
            memory_most: 2 << 20,
        };
        let drips = Drips { lives: vec![Some(Duration::from_secs(10)), longest.map(Duration::from_secs)] };
        Row {
            manner: Manner::Heads,
            kind: TIDEGATE,
            tally: Tally { opened: 4000, closed: 3999 },
            seen,
            drips: Some(drips),
        }
    }

    #[test]
    fn a_missed_answer_and_a_head_that_lives_on_are_bars_missed() {
        let good = table(&[row(0, Some(11))]);
        assert!(
            good.contains("60 of 60") && good.contains("3999 of 4000") && good.contains(", hold."),
            "{good}"
        );
        for bad in [row(1, Some(11)), row(0, Some(12)), row(0, None)] {
            assert!(!bad.is_good());
            assert!(table(&[bad]).contains("**are missed**"));
        }
        assert!(table(&[]).contains("**are missed**"), "nothing measured is nothing held");
    }

    #[test]
    fn flags_are_numbers_within_bounds() {
        assert_eq!(parse(&[]), Ok(WHOLE));
        let plan = parse(&["--connections", "100", "--seconds", "20", "--header-timeout", "600s"]).unwrap();
        assert_eq!((plan.connections, plan.seconds), (100, 20));
        assert!(plan.flags().ends_with(&["--header-timeout".to_owned(), "600s".to_owned()]));
        for wrong in [
            &["--connections", "0"][..],
            &["--seconds", "5"],
            &["--seconds"],
            &["--manner", "x"],
            &["--fast"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
