//! `cargo xtask flood`: one address floods while others go on asking; do they notice?
//!
//! ```text
//! calm ─► one address asks without pause ─► the same opens thousands of connections and keeps them
//!           bad.rs: what it got, how fast           bad.rs: how fast each was refused
//!         meanwhile good.rs: clients of other addresses, each below its limit ─► a table, and the bars
//! ```
//! With `--no-limits` the bars must be missed: that shows what the limits are for. `flood h2` floods with frames, [`h2`], and
//! `flood tls` with handshakes, [`tls`]; with `--tls` the other two go over TLS as well.

pub(crate) mod bad;
pub(crate) mod door;
mod good;
mod h2;
mod options;
mod stream;
mod tls;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::Verdict;
use crate::bench::grid::Grid;
use crate::bench::results::{self, Circumstances, Section};
use crate::bench::servers::{Server, Setup};
use crate::bench::wire::Wire;
use crate::bench::{self, idle};
use crate::context::Context;
use bad::{Crowd, Storm};
use door::{Door, Version};
use good::Good;
use options::{Common, Words};

/// tidegate's defaults: requests a second of one client, how many at once, and its connections.
const RATE: f64 = 100.0;
const BURST: f64 = 200.0;
const SEATS: usize = 256;

/// What is good enough: for the others, for the time of a refusal, and for what the limiter lets through.
const GOOD_BAR: Duration = Duration::from_millis(50);
const REFUSAL_BAR: Duration = Duration::from_millis(10);
const EXACT_BAR: f64 = 0.02;

/// Long enough to know what the others get where nobody floods.
const CALM: Duration = Duration::from_secs(2);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    seconds: u64,
    requests: u64,
    connections: usize,
    limits: bool,
    common: Common,
}

/// Ten seconds tell two percent of a thousand; 15,000 connections are below the 20,000 files that a process may often
/// open at most.
const WHOLE: Plan =
    Plan { seconds: 10, requests: 100_000, connections: 15_000, limits: true, common: Common::NONE };

/// What came of it.
#[derive(Debug)]
struct Outcome {
    calm: Good,
    storm: Storm,
    in_storm: Good,
    crowd: Crowd,
    in_crowd: Good,
}

/// `cargo xtask flood FLAGS`. An `Err` says what is wrong with the flags.
pub(crate) fn run(root: &Path, flags: &[&str]) -> Result<Verdict, String> {
    if let ["h2", flags @ ..] = flags {
        return h2::run(root, flags);
    }
    if let ["tls", flags @ ..] = flags {
        return tls::run(root, flags);
    }
    let plan = parse(flags)?;
    let command = bench::shown("cargo xtask flood", flags);
    Ok(perform(root, &plan, &command).unwrap_or_else(|problem| {
        eprintln!("flood: {problem}");
        Verdict::Bad
    }))
}

fn parse(words: &[&str]) -> Result<Plan, String> {
    let mut plan = WHOLE;
    let mut words = Words::of(words);
    while let Some(flag) = words.next(&mut plan.common)? {
        match flag {
            "--seconds" => plan.seconds = words.number(600)?,
            "--requests" => plan.requests = words.number(100_000_000)?,
            "--connections" => plan.connections = words.number(15_000)?,
            "--no-limits" => plan.limits = false,
            _ => return Err(format!("`flood` does not know `{flag}`")),
        }
    }
    Ok(plan)
}

fn perform(root: &Path, plan: &Plan, command: &str) -> Result<Verdict, String> {
    let context = Context::new(root).map_err(|error| format!("no folders for tools and logs: {error}"))?;
    let _alone = bench::alone()?;
    let scratch = bench::scratch().map_err(|error| format!("no temporary folder: {error}"))?;
    let setup = plan.common.setup(&context, scratch.path(), Wire::Clear)?;
    idle::raise_file_limit(&context)?;
    let circumstances = Circumstances::read(&context, command);
    let setup = Setup { flags: Some(plan.flags()), ..setup };
    let server = Server::start(&setup, plan.common.ours())?;
    let outcome = measure(plan, &plan.common.door(server.port)?)?;
    let text = outcome.told();
    println!("\n{text}");
    if plan.common.write {
        let told = circumstances.told(&setup, &[plan.common.ours()], None);
        let section = if plan.common.tls { Section::FloodTls } else { Section::Flood };
        results::write(&context, section, &format!("{told}\n{text}"))?;
    }
    Ok(if outcome.missed().is_empty() { Verdict::Good } else { Verdict::Bad })
}

fn measure(plan: &Plan, door: &Door) -> Result<Outcome, String> {
    println!("calm: {} s", CALM.as_secs());
    let ((), calm) = good::during(Version::Http1, door, || std::thread::sleep(CALM))?;
    println!("one address asks without pause: {} s and more", plan.seconds);
    let (storm, in_storm) =
        good::during(Version::Http1, door, || bad::storm(door, plan.requests, plan.seconds))?;
    println!("the same opens {} connections", plan.connections);
    let (crowd, in_crowd) = good::during(Version::Http1, door, || bad::crowd(door, plan.connections, SEATS))?;
    Ok(Outcome { calm, storm: storm?, in_storm, crowd, in_crowd })
}

impl Plan {
    fn flags(&self) -> Vec<String> {
        let off = ["--rate-limit", "off", "--max-connections-per-ip", "0"];
        let limits = ["--limit-loopback"];
        let common = ["--max-requests", "0", "--access-log", "off"];
        let chosen = if self.limits { limits.as_slice() } else { off.as_slice() };
        common.iter().chain(chosen).map(ToString::to_string).collect()
    }
}

impl Outcome {
    /// How far what was let through is from what the limit is, as a share of that.
    fn inexact(&self) -> f64 {
        let expected = BURST + RATE * self.storm.took.as_secs_f64();
        (self.storm.admitted as f64 / expected - 1.0).abs()
    }

    /// The bars that are missed, in words.
    fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        for (when, good) in [("requests", &self.in_storm), ("connections", &self.in_crowd)] {
            if good.failed > 0 {
                missed.push(format!("in the flood of {when}, {} good requests failed", good.failed));
            }
            if good.p99().is_none_or(|p99| p99 > GOOD_BAR) {
                missed.push(format!("in the flood of {when}, the p99 of good requests is over {GOOD_BAR:?}"));
            }
        }
        if self.inexact() > EXACT_BAR {
            missed.push(format!("the limiter is {:.1} % off", self.inexact() * 100.0));
        }
        for (what, refused) in [("requests", &self.storm.refused), ("connections", &self.crowd.refused)] {
            match good::quantile(refused, 0.99) {
                None => missed.push(format!("no {what} were refused")),
                Some(p99) if p99 > REFUSAL_BAR => {
                    missed.push(format!("the p99 of refused {what} is over {REFUSAL_BAR:?}"));
                }
                Some(_) => {}
            }
        }
        missed
    }

    fn told(&self) -> String {
        let mut text = self.table().to_string();
        let _ = writeln!(
            text,
            "\nThe limiter let {} requests through in {:.1} s, {:.1} % from its limit; {} were refused. Of {} \
             connections of one address {} were refused (it may have {SEATS}).",
            self.storm.admitted,
            self.storm.took.as_secs_f64(),
            self.inexact() * 100.0,
            self.storm.refused.len(),
            self.crowd.opened,
            self.crowd.refused.len(),
        );
        let missed = self.missed();
        match missed.is_empty() {
            true => text.push_str("\nAll bars hold.\n"),
            false => {
                let _ = writeln!(text, "\n**Missed**: {}.", missed.join("; "));
            }
        }
        text
    }

    /// Milliseconds of good requests, and of refusals.
    fn table(&self) -> Grid {
        let mut grid = Grid::new(["", "requests", "failed", "p50, ms", "p99, ms", "slowest, ms"]);
        let mut row = |name: &str, times: &[Duration], failed: String| {
            let shown = |share| {
                let time = good::quantile(times, share);
                time.map_or_else(|| "–".to_owned(), |time| format!("{:.2}", time.as_secs_f64() * 1000.0))
            };
            grid.row([name.to_owned(), times.len().to_string(), failed, shown(0.5), shown(0.99), shown(1.0)]);
        };
        for (name, good) in [
            ("good clients, calm", &self.calm),
            ("good clients, flood of requests", &self.in_storm),
            ("good clients, flood of connections", &self.in_crowd),
        ] {
            row(name, &good.times, good.failed.to_string());
        }
        row("refused requests", &self.storm.refused, "–".to_owned());
        row("refused connections", &self.crowd.refused, "–".to_owned());
        grid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(millis: u64, failed: u64, admitted: u64, refusal_millis: u64) -> Outcome {
        let good = || Good { times: vec![Duration::from_millis(millis); 100], failed };
        let refused = vec![Duration::from_millis(refusal_millis); 100];
        Outcome {
            calm: Good { times: vec![Duration::from_millis(1)], failed: 0 },
            storm: Storm { took: Duration::from_secs(10), admitted, refused: refused.clone() },
            in_storm: good(),
            crowd: Crowd { opened: 1000, refused },
            in_crowd: good(),
        }
    }

    #[test]
    fn every_bar_can_be_missed() {
        assert_eq!(outcome(50, 0, 1200, 10).missed(), Vec::<String>::new());
        assert!(outcome(50, 0, 1200, 10).told().contains("All bars hold."));
        for (bad, missed) in [
            (outcome(51, 0, 1200, 1), 2),
            (outcome(1, 1, 1200, 1), 2),
            (outcome(1, 0, 1230, 1), 1),
            (outcome(1, 0, 1170, 1), 1),
            (outcome(1, 0, 1200, 11), 2),
        ] {
            assert_eq!(bad.missed().len(), missed, "{:?}", bad.missed());
            assert!(bad.told().contains("**Missed**"));
        }
        let mut silent = outcome(1, 0, 1200, 1);
        silent.crowd.refused.clear();
        assert_eq!(silent.missed(), ["no connections were refused"]);
    }

    #[test]
    fn flags_are_numbers_within_bounds() {
        assert_eq!(parse(&[]), Ok(WHOLE));
        assert_eq!(
            parse(&["--seconds", "3", "--no-limits"]),
            Ok(Plan { seconds: 3, limits: false, ..WHOLE })
        );
        for wrong in [&["--seconds"][..], &["--connections", "15001"], &["--requests", "0"], &["--fast"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
