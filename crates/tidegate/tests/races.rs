//! Files and folders are swapped for ways out of the root while everything in it is asked for: not a byte of the outside
//! may be seen (SPEC FILE-4, row C3 of the attacks). A check of a name followed by an opening of that name loses this
//! race; nginx, which follows links, shows that the visitor sees what is there to be seen.
//!
//! `RACES_REQUESTS=1000000 cargo test --release -p tidegate --test races -- --nocapture` asks for longer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]
#![allow(clippy::print_stdout, reason = "a long run tells what it saw")]

mod nginx;
mod process;
mod support;
mod swapped;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use nginx::Nginx;
use support::{Folder, SOON, Setup};
use swapped::{KINDS, Kind, Seen, Visitor, World};

/// Requests of a short run: each kind some hundred times.
const REQUESTS: u64 = 2_000;
const VISITORS: u32 = 3;

type AllSeen = [Seen; KINDS.len()];

#[test]
fn row_c3_file_4_nothing_of_the_outside_is_seen_while_everything_is_swapped() {
    let asked = std::env::var("RACES_REQUESTS").ok();
    let requests = asked.map_or(REQUESTS, |number| number.parse().expect("RACES_REQUESTS is a number"));
    let setup = Setup::new().args(&["--max-requests", "0", "--listing", "--access-log", "off"]);
    let world = World::make(&setup.folder);
    let server = setup.start();
    let begun = Instant::now();
    // Each kind is met in both places, sooner or later: who looks while names are swapped may find neither for long.
    let all_met = |seen: &AllSeen| {
        let met = |(kind, seen): (&Kind, &Seen)| {
            seen.inside.load(Relaxed) > 0 && (!leads_out(kind) || seen.refused.load(Relaxed) > 0)
        };
        KINDS.iter().zip(seen).all(met) || begun.elapsed() > 3 * SOON
    };
    let (seen, swaps) = race(server.addr, &world, true, |seen, asked| asked >= requests && all_met(seen));
    let metrics = server.get("/metrics?format=json").json();
    let looks = metrics["tidegate_cache_misses_total"].as_f64().unwrap();
    println!("{requests} requests in {:.1?}, {swaps} swaps, {looks} looks at names", begun.elapsed());
    for (kind, seen) in KINDS.iter().zip(&seen) {
        println!("{}: {seen:?}", kind.name);
        assert_eq!(seen.leaks.load(Relaxed), 0, "{}: {seen:?}", kind.name);
        assert!(seen.inside.load(Relaxed) > 0, "{} was never there", kind.name);
        assert!(!leads_out(kind) || seen.refused.load(Relaxed) > 0, "{} never led out", kind.name);
    }
    assert!(looks > requests as f64 / 4.0, "most answers came from memory, which is no race");
}

/// Whether what is asked for leads out at times: a folder is a folder wherever it was, and the one that holds the listed
/// entries stays.
fn leads_out(kind: &Kind) -> bool {
    !["moved folder", "listed entry"].contains(&kind.name)
}

/// The control: the same visitors at a server that follows links. But for the folder that is moved, where only a few
/// microseconds decide, each kind must leak.
#[test]
fn row_c3_file_4_the_control_follows_links_and_is_seen_to_leak() {
    let folder = Folder::new();
    let world = World::make(&folder);
    let lines = "root root; error_page 404 /404.html; autoindex on; autoindex_format json; gzip_static on;";
    let Some(nginx) = Nginx::start(folder, lines) else { return };
    let begun = Instant::now();
    let leaks = |seen: &AllSeen| {
        let kinds = KINDS.iter().zip(seen).filter(|(kind, _)| !kind.name.starts_with("moved"));
        // Debian's nginx knows no brotli.
        let kinds = kinds.filter(|(kind, _)| kind.name != "sidecar .br");
        kinds.map(|(kind, seen)| (kind.name, seen.leaks.load(Relaxed))).collect::<Vec<_>>()
    };
    let all_leak = |seen: &AllSeen| leaks(seen).iter().all(|(_, leaks)| *leaks > 0);
    let (seen, _) = race(nginx.addr, &world, false, |seen, _| all_leak(seen) || begun.elapsed() > SOON);
    assert!(all_leak(&seen), "{:?}", leaks(&seen));
}

/// Visitors ask at `addr` until `enough`, while `world` is swapped; what they saw, and the number of swaps.
fn race(
    addr: SocketAddr,
    world: &World,
    persistent: bool,
    enough: impl Fn(&AllSeen, u64) -> bool + Sync,
) -> (AllSeen, u64) {
    let (seen, asked, over) = (AllSeen::default(), AtomicU64::new(0), AtomicBool::new(false));
    let swaps = std::thread::scope(|scope| {
        let swapper = scope.spawn(|| world.swap(&over));
        let visit = |seed| {
            let mut visitor = Visitor::new(addr, persistent, seed);
            while !enough(&seen, asked.fetch_add(1, Relaxed)) {
                visitor.ask(&seen);
            }
        };
        let visitors: Vec<_> = (0..VISITORS).map(|seed| scope.spawn(move || visit(seed))).collect();
        let ended: Vec<_> = visitors.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, Relaxed);
        for visitor in ended {
            visitor.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        swapper.join().unwrap()
    });
    (seen, swaps)
}
