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
pub(super) mod frames;
mod report;

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::door::{Door, Version};
use super::good::{self, Good};
use super::options::{Common, Words};
use crate::Verdict;
use crate::bench::http::Client;
use crate::bench::results::{self, Circumstances, Section};
use crate::bench::servers::{FLOOR, KINDS, Kind, Role, Server, Setup, TIDEGATE};
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
    common: Common,
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
    let mut plan =
        Plan { floods: FLOODS.to_vec(), frames: 1_000_000, kinds: vec![TIDEGATE], common: Common::NONE };
    let mut words = Words::of(words);
    while let Some(flag) = words.next(&mut plan.common)? {
        match flag {
            "--kinds" => {
                plan.floods = bench::chosen(Some(words.value()?), FLOODS.into_iter(), |flood| flood.name)?;
            }
            "--servers" => {
                let able = KINDS.into_iter().filter(|kind| kind.speaks(Wire::H2c) && kind.speaks(Wire::Tls));
                plan.kinds = bench::chosen(Some(words.value()?), able, |kind| kind.name)?;
            }
            "--frames" => plan.frames = words.number(1_000_000_000)?,
            _ => return Err(format!("`flood h2` does not know `{flag}`")),
        }
    }
    let ours = plan.common.ours();
    plan.kinds.iter_mut().filter(|kind| **kind == TIDEGATE).for_each(|kind| *kind = ours);
    Ok(plan)
}

fn perform(root: &Path, plan: &Plan, command: &str) -> Result<Verdict, String> {
    let context = Context::new(root).map_err(|error| format!("no folders for tools and logs: {error}"))?;
    let _alone = bench::alone()?;
    let missing = tools::install_missing(&servers::tools_of(&plan.kinds), &context);
    if let Some(missing) = missing.first() {
        return Err(format!("{missing:?}"));
    }
    let scratch = bench::scratch().map_err(|error| format!("no temporary folder: {error}"))?;
    let setup = plan.common.setup(&context, scratch.path(), Wire::H2c)?;
    bench::build_floor(&context)?;
    bench::keep_to_core(&context, CORE);
    let circumstances = Circumstances::read(&context, command);
    let mut rows = Vec::new();
    for &flood in &plan.floods {
        for &kind in &plan.kinds {
            println!("{}: {}", flood.name, kind.name);
            rows.push(measure(&setup, plan, flood, kind)?);
        }
    }
    let text = report::told(&rows);
    println!("\n{text}");
    if plan.common.write {
        let told = circumstances.told(&setup, &plan.kinds, None);
        let section = if plan.common.tls { Section::FloodH2Tls } else { Section::FloodH2 };
        results::write(&context, section, &format!("{told}\n{text}"))?;
    }
    Ok(if rows.iter().all(|row| row.missed().is_empty()) { Verdict::Good } else { Verdict::Bad })
}

fn measure(setup: &Setup<'_>, plan: &Plan, flood: Flood, kind: Kind) -> Result<Row, String> {
    let server = Server::start(setup, kind)?;
    let door = plan.common.door(server.port)?;
    let ((), calm) = among_good(&door, || thread::sleep(CALM))?;
    let floor = Server::start(&Setup { wire: Wire::Clear, ..setup.clone() }, FLOOR)?;
    let (poured, sink) = among_good(&door, || attack::pour(flood, &Door::clear(floor.port), LEAST))?;
    poured?;
    drop(floor);
    let before = server.process.memory().anonymous;
    let over = AtomicBool::new(false);
    let (seen, outcome, during) = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&server, &door, &over));
        let flooded = among_good(&door, || attack::run(flood, &door, plan.frames, LEAST));
        over.store(true, Ordering::Relaxed);
        let seen = watcher.join().map_err(|_| "a watcher panicked".to_owned())?;
        let (outcome, during) = flooded?;
        Ok::<_, String>((seen, outcome?, during))
    })?;
    let growth = seen.memory.saturating_sub(before);
    Ok(Row { flood, kind, outcome, calm, sink, during, growth, active: seen.active })
}

/// What good clients of both versions get while `act` goes on.
fn among_good<T: Send>(door: &Door, act: impl FnOnce() -> T + Send) -> Result<(T, [Good; 2]), String> {
    let (inner, http1) = good::during(Version::Http1, door, || good::during(Version::Http2, door, act))?;
    let (outcome, http2) = inner?;
    Ok((outcome, [http1, http2]))
}

/// The most of each that was seen.
#[derive(Debug, Default)]
struct Seen {
    memory: u64,
    active: Option<u64>,
}

fn watch(server: &Server, door: &Door, over: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    while !over.load(Ordering::Relaxed) {
        seen.memory = seen.memory.max(server.process.memory().anonymous);
        if server.kind.role != Role::Peer {
            seen.active = seen.active.max(active(door));
        }
        thread::sleep(LOOK);
    }
    seen
}

/// tidegate's own count of requests that wait for a file, a body or a thread.
fn active(door: &Door) -> Option<u64> {
    let stream = door.connect_from(Ipv4Addr::LOCALHOST, Version::Http1).ok()?;
    let answer = Client::over(stream, door.port).get("/metrics", &[]).ok()?;
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
        assert_eq!(parse(&["--binary", "x"]).unwrap().kinds, [crate::bench::servers::TIDEGATE_B]);
        for wrong in [&["--kinds", "pong"][..], &["--servers", "floor"], &["--frames", "0"], &["--fast"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
