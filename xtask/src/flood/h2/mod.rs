//! `cargo xtask flood h2`: one address floods with HTTP/2 frames; how soon is it ended, what does it cost, do others notice?
//!
//! ```text
//! for each kind of flood, a fresh server: good clients ─► the same, and the flood ─► the same, and the flood ─► a row
//!   frames.rs                             good.rs over client.rs   for a sink          for the server, attack.rs
//! ```
//! The sink is the floor of `bench`: it reads all and answers nothing. What good clients lose beside it the machine takes.
//! Eight good clients speak HTTP/1.1 and eight HTTP/2. Other servers may be flooded too: one that bears with a flood
//! misses the bars, and so shows that they can be missed.

mod attack;
pub(super) mod client;
mod frames;
mod report;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

use super::good::{self, Good, Version};
use crate::Verdict;
use crate::bench::http::Client;
use crate::bench::results::{self, Circumstances, Section};
use crate::bench::servers::{FLOOR, KINDS, Kind, Role, Server, Setup, TIDEGATE, TIDEGATE_B};
use crate::bench::wire::Wire;
use crate::bench::{self, servers};
use crate::context::Context;
use crate::tools;
use frames::{FLOODS, Flood};
use report::Row;

/// A flood that is ended at once goes on for so long with new connections: some hundred good requests tell a p99.
const LEAST: Duration = Duration::from_secs(4);
const CALM: Duration = Duration::from_secs(2);

/// Between two looks at the server.
const LOOK: Duration = Duration::from_millis(20);

/// The clients' core; the servers' is 0.
const CORE: &str = "1";

/// What is to be done.
#[derive(Clone, Debug)]
struct Plan {
    floods: Vec<Flood>,
    frames: u64,
    kinds: Vec<Kind>,
    binary: Option<PathBuf>,
    write: bool,
}

/// `cargo xtask flood h2 FLAGS`. An `Err` says what is wrong with the flags.
pub(super) fn run(root: &Path, flags: &[&str]) -> Result<Verdict, String> {
    let plan = parse(flags)?;
    let command = bench::shown("cargo xtask flood h2", flags);
    Ok(perform(root, &plan, &command).unwrap_or_else(|problem| {
        eprintln!("flood h2: {problem}");
        Verdict::Bad
    }))
}

fn parse(words: &[&str]) -> Result<Plan, String> {
    let mut plan = Plan {
        floods: FLOODS.to_vec(),
        frames: 1_000_000,
        kinds: vec![TIDEGATE],
        binary: None,
        write: false,
    };
    let mut rest = words.iter();
    while let Some(&flag) = rest.next() {
        let mut value = || rest.next().copied().ok_or_else(|| format!("`{flag}` needs a value"));
        match flag {
            "--kinds" => plan.floods = bench::chosen(Some(value()?), FLOODS.into_iter(), |flood| flood.name)?,
            "--servers" => {
                let able = KINDS.into_iter().filter(|kind| kind.speaks(Wire::H2c));
                plan.kinds = bench::chosen(Some(value()?), able, |kind| kind.name)?;
            }
            "--frames" => {
                let number = value()?.parse().ok().filter(|number| (1..=1_000_000_000).contains(number));
                plan.frames = number.ok_or("`--frames` is a number from 1 to 1000000000")?;
            }
            "--binary" => plan.binary = Some(PathBuf::from(value()?)),
            "--write" => plan.write = true,
            _ => return Err(format!("`flood h2` does not know `{flag}`")),
        }
    }
    if plan.binary.is_some() {
        plan.kinds.iter_mut().filter(|kind| **kind == TIDEGATE).for_each(|kind| *kind = TIDEGATE_B);
    }
    Ok(plan)
}

fn perform(root: &Path, plan: &Plan, command: &str) -> Result<Verdict, String> {
    let context = Context::new(root).map_err(|error| format!("no folders for tools and logs: {error}"))?;
    let _alone = bench::alone()?;
    let missing = tools::install_missing(&servers::tools_of(&plan.kinds), &context);
    if let Some(missing) = missing.first() {
        return Err(format!("{missing:?}"));
    }
    if plan.kinds.contains(&TIDEGATE) {
        bench::build_server(&context)?;
    }
    bench::build_floor(&context)?;
    bench::keep_to_core(&context, CORE);
    let circumstances = Circumstances::read(&context, command);
    let scratch = bench::scratch().map_err(|error| format!("no temporary folder: {error}"))?;
    let binary = plan.binary.as_ref().map(fs::canonicalize).transpose();
    let binary = binary.map_err(|error| format!("`--binary`: {error}"))?;
    let setup = Setup { binary, ..Setup::new(&context, scratch.path()) };
    let mut rows = Vec::new();
    for &flood in &plan.floods {
        for &kind in &plan.kinds {
            println!("{}: {}", flood.name, kind.name);
            rows.push(measure(&setup, plan, flood, kind)?);
        }
    }
    let text = report::told(&rows);
    println!("\n{text}");
    if plan.write {
        let told = circumstances.told(&setup, &plan.kinds, None);
        results::write(&context, Section::FloodH2, &format!("{told}\n{text}"))?;
    }
    Ok(if rows.iter().all(|row| row.missed().is_empty()) { Verdict::Good } else { Verdict::Bad })
}

fn measure(setup: &Setup<'_>, plan: &Plan, flood: Flood, kind: Kind) -> Result<Row, String> {
    let setup = Setup { wire: Wire::H2c, ..setup.clone() };
    let server = Server::start(&setup, kind)?;
    let ((), calm) = among_good(&server, || thread::sleep(CALM))?;
    let floor = Server::start(&Setup { wire: Wire::Clear, ..setup.clone() }, FLOOR)?;
    let (poured, sink) = among_good(&server, || attack::pour(flood, floor.port, LEAST))?;
    poured?;
    drop(floor);
    let before = server.process.memory().anonymous;
    let over = AtomicBool::new(false);
    let (seen, outcome, during) = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&server, &over));
        let flooded = among_good(&server, || attack::run(flood, server.port, plan.frames, LEAST));
        over.store(true, Ordering::Relaxed);
        let seen = watcher.join().map_err(|_| "a watcher panicked".to_owned())?;
        let (outcome, during) = flooded?;
        Ok::<_, String>((seen, outcome?, during))
    })?;
    let growth = seen.memory.saturating_sub(before);
    Ok(Row { flood, kind, outcome, calm, sink, during, growth, active: seen.active })
}

/// What good clients of both versions get while `act` goes on.
fn among_good<T: Send>(server: &Server, act: impl FnOnce() -> T + Send) -> Result<(T, [Good; 2]), String> {
    let (inner, http1) =
        good::during(Version::Http1, server.port, || good::during(Version::Http2, server.port, act))?;
    let (outcome, http2) = inner?;
    Ok((outcome, [http1, http2]))
}

/// The most of each that was seen.
#[derive(Debug, Default)]
struct Seen {
    memory: u64,
    active: Option<u64>,
}

fn watch(server: &Server, over: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    while !over.load(Ordering::Relaxed) {
        seen.memory = seen.memory.max(server.process.memory().anonymous);
        if server.kind.role != Role::Peer {
            seen.active = seen.active.max(active(server.port));
        }
        thread::sleep(LOOK);
    }
    seen
}

/// tidegate's own count of requests that wait for a file, a body or a thread.
fn active(port: u16) -> Option<u64> {
    let answer = Client::connect(port).and_then(|mut client| client.get("/metrics", &[])).ok()?;
    let text = String::from_utf8(answer.body).ok()?;
    let mut values = text.lines().filter_map(|line| line.strip_prefix("http_server_active_requests "));
    values.next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_choose_floods_and_servers() {
        let plan = parse(&["--kinds", "ping,reset", "--servers", "h2o", "--frames", "7"]).unwrap();
        assert_eq!(plan.floods.iter().map(|flood| flood.name).collect::<Vec<_>>(), ["reset", "ping"]);
        assert_eq!((plan.kinds[0].name, plan.frames), ("h2o", 7));
        assert_eq!(parse(&["--binary", "x"]).unwrap().kinds, [TIDEGATE_B]);
        for wrong in [&["--kinds", "pong"][..], &["--servers", "floor"], &["--frames", "0"], &["--fast"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
