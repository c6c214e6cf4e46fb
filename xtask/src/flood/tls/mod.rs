//! `cargo xtask flood tls`: one address floods with handshakes and with records that carry nothing; do others notice?
//!
//! ```text
//! for each kind of flood, a fresh server: (good clients ─► the same, and the flood) so many rounds ─► a row
//!   floods.rs: which                        good.rs            attack.rs, with bytes of forge.rs    report.rs
//! ```
//! Good clients are of two kinds: eight that stay connected, for whom a handshake is no concern of theirs (row G5 of the
//! attacks), and eight that come back after five requests and have to shake hands themselves.

mod attack;
mod floods;
mod forge;
mod report;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::door::{Door, Version};
use super::good::{self, Good};
use super::options::{Common, Words};
use crate::Verdict;
use crate::bench::results::{self, Circumstances, Section};
use crate::bench::servers::{Server, Setup};
use crate::bench::wire::Wire;
use crate::bench::{self, idle};
use crate::context::Context;
use attack::Outcome;
use floods::{FLOODS, Flood};
use report::{Round, Row};

/// How long good clients are looked at without a flood, and with one: 8 × 50 × 3 requests tell a p99.
const SPAN: Duration = Duration::from_secs(3);

/// Between two looks at the server's memory.
const LOOK: Duration = Duration::from_millis(20);

/// The clients' core; the server's is 0.
const CORE: &str = "1";

/// What is to be done.
#[derive(Clone, Debug)]
struct Plan {
    floods: Vec<Flood>,
    rounds: u32,
    /// Handshakes a second.
    rate: u32,
    common: Common,
}

/// `cargo xtask flood tls FLAGS`. An `Err` says what is wrong with the flags.
pub(super) fn run(root: &Path, flags: &[&str]) -> Result<Verdict, String> {
    let plan = parse(flags)?;
    let command = bench::shown("cargo xtask flood tls", flags);
    Ok(perform(root, &plan, &command).unwrap_or_else(|problem| {
        eprintln!("flood tls: {problem}");
        Verdict::Bad
    }))
}

fn parse(words: &[&str]) -> Result<Plan, String> {
    let mut plan = Plan { floods: FLOODS.to_vec(), rounds: 3, rate: 2000, common: Common::NONE };
    let mut words = Words::of(words);
    while let Some(flag) = words.next(&mut plan.common)? {
        match flag {
            "--kinds" => {
                plan.floods = bench::chosen(Some(words.value()?), FLOODS.into_iter(), |flood| flood.name)?;
            }
            "--rounds" => plan.rounds = words.number(100)?,
            "--rate" => plan.rate = words.number(10_000)?,
            _ => return Err(format!("`flood tls` does not know `{flag}`")),
        }
    }
    plan.common.tls = true;
    Ok(plan)
}

fn perform(root: &Path, plan: &Plan, command: &str) -> Result<Verdict, String> {
    let context = Context::new(root).map_err(|error| format!("no folders for tools and logs: {error}"))?;
    let _alone = bench::alone()?;
    let scratch = bench::scratch().map_err(|error| format!("no temporary folder: {error}"))?;
    let setup = plan.common.setup(&context, scratch.path(), Wire::Tls)?;
    idle::raise_file_limit(&context)?;
    bench::keep_to_core(&context, CORE);
    let circumstances = Circumstances::read(&context, command);
    let mut rows = Vec::new();
    for &flood in &plan.floods {
        println!("{}", flood.name);
        rows.push(measure(&setup, plan, flood)?);
    }
    let text = report::told(&rows);
    println!("\n{text}");
    if plan.common.write {
        let told = circumstances.told(&setup, &[plan.common.ours()], None);
        results::write(&context, Section::Handshakes, &format!("{told}\n{text}"))?;
    }
    Ok(if rows.iter().all(|row| row.missed().is_empty()) { Verdict::Good } else { Verdict::Bad })
}

fn measure(setup: &Setup<'_>, plan: &Plan, flood: Flood) -> Result<Row, String> {
    let server = Server::start(setup, plan.common.ours())?;
    let door = plan.common.door(server.port)?;
    let rounds = (0..plan.rounds).map(|_| round(&server, &door, plan.rate, flood));
    Ok(Row { flood, rounds: rounds.collect::<Result<_, _>>()? })
}

fn round(server: &Server, door: &Door, rate: u32, flood: Flood) -> Result<Round, String> {
    let ((), calm) = among_good(door, || thread::sleep(SPAN))?;
    let (memory, begun) = (server.process.memory().anonymous, server.process.cpu_nanos());
    let over = AtomicBool::new(false);
    let (most, flooded) = thread::scope(|scope| {
        let watcher = scope.spawn(|| most_memory(server, &over));
        let flooded = among_good(door, || flood.attack.run(door, rate, SPAN));
        over.store(true, Ordering::Relaxed);
        (watcher.join(), flooded)
    });
    let most = most.map_err(|_| "a watcher panicked".to_owned())?;
    let (outcome, during) = flooded?;
    let outcome: Outcome =
        outcome.map_err(|why| format!("the flood `{}` could not go on: {why}", flood.name))?;
    let cpu = Duration::from_nanos(server.process.cpu_nanos() - begun);
    Ok(Round { outcome, calm, during, growth: most.saturating_sub(memory), cpu })
}

/// What those get who stay and those who come back, while `act` goes on.
fn among_good<T: Send>(door: &Door, act: impl FnOnce() -> T + Send) -> Result<(T, [Good; 2]), String> {
    let [stay, come_back] = [good::STAYS, good::COMES_BACK];
    let (inner, staying) = good::during_by(Version::Http1, stay, door, || {
        good::during_by(Version::Http1, come_back, door, act)
    })?;
    let (outcome, coming) = inner?;
    Ok((outcome, [staying, coming]))
}

fn most_memory(server: &Server, over: &AtomicBool) -> u64 {
    let mut most = 0;
    while !over.load(Ordering::Relaxed) {
        most = most.max(server.process.memory().anonymous);
        thread::sleep(LOOK);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_choose_floods_and_their_rate() {
        let plan = parse(&["--kinds", "keys,full", "--rate", "7", "--rounds", "5", "--binary", "x"]).unwrap();
        assert_eq!(plan.floods.iter().map(|flood| flood.name).collect::<Vec<_>>(), ["full", "keys"]);
        assert_eq!((plan.rate, plan.rounds, plan.common.tls), (7, 5, true));
        for wrong in [&["--kinds", "clear"][..], &["--rate", "0"], &["--rounds", "101"], &["--fast"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
