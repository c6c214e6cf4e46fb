//! The pool as a range (SPEC LOAD-2): it grows while every thread is held by a slow disk, and shrinks when that is
//! over.
//!
//! Threads are counted where an operator would, by their names in `/proc`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod fuse;
mod strace;
mod support;

use std::time::{Duration, Instant};

use fuse::{Fuse, Slow, content};
use strace::is_root;
use support::{Client, SOON, Server, Setup, eventually};

/// How long the disk takes for each answer; a file needs a few of them.
const DELAY: Duration = Duration::from_millis(300);

/// A thread that has nothing to do stays for so long at the least.
const STAYS: Duration = Duration::from_secs(10);

const SIZE: u64 = 20_000;

const NAMES: [&str; 10] =
    ["0.html", "1.html", "2.html", "3.html", "4.html", "5.html", "6.html", "7.html", "8.html", "9.html"];

/// A server with a slow disk of ten files, none of them in memory.
fn server(setup: Setup) -> (Server, Fuse) {
    let at = setup.root().join("slow");
    std::fs::create_dir(&at).unwrap();
    let files = NAMES.iter().map(|name| Slow { name, size: SIZE, broken_from: None }).collect();
    let fuse = Fuse::mount(&at, files, Duration::from_secs(3600));
    let server = setup.start();
    fuse.delay(DELAY);
    (server, fuse)
}

/// Asks for every slow file at once.
fn asking(server: &Server) -> Vec<Client> {
    let ask = |name| {
        let mut client = server.connect();
        client.send_request(&format!("GET /slow/{name} HTTP/1.1\r\n"), b"");
        client
    };
    NAMES.into_iter().map(ask).collect()
}

fn all_are_served(clients: Vec<Client>) {
    for mut client in clients {
        let response = client.response();
        assert_eq!(response.status, 200);
        assert!(response.body == content(0, 20_000), "other bytes");
    }
}

/// The names of the pool's threads, in order.
fn pool(server: &Server) -> Vec<String> {
    let mut names: Vec<_> = server.threads().into_iter().filter(|name| name.starts_with("pool-")).collect();
    names.sort();
    names
}

/// `pool-0` to `pool-(count-1)`.
fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("pool-{number}")).collect()
}

#[test]
fn load_2_a_range_grows_under_load_and_shrinks_again() {
    if !is_root("load_2_a_range_grows_under_load_and_shrinks_again") {
        return;
    }
    let (mut server, fuse) = server(Setup::new().args(&["--workers", "1", "--threads", "2..6"]));
    server.wait_for_log("2 to 6 threads, queue 100");
    eventually("the least", || pool(&server) == numbered(2));
    let clients = asking(&server);
    eventually("the most", || pool(&server) == numbered(6));
    all_are_served(clients);
    let idle = Instant::now();
    assert_eq!(pool(&server), numbered(6), "no more, and none leaves at once");
    fuse.delay(Duration::ZERO);
    eventually("the least again", || pool(&server) == numbered(2));
    assert!(idle.elapsed() + Duration::from_secs(2) > STAYS, "they left after {:?}", idle.elapsed());
    fuse.delay(DELAY);
    assert_eq!(server.upload(b"[1]").status, 201);
}

#[test]
fn load_2_a_fixed_pool_stays_as_it_is() {
    if !is_root("load_2_a_fixed_pool_stays_as_it_is") {
        return;
    }
    let (server, _fuse) = server(Setup::new().args(&["--workers", "1", "--threads", "2"]));
    eventually("both", || pool(&server) == numbered(2));
    let clients = asking(&server);
    let begun = Instant::now();
    while begun.elapsed() < 3 * DELAY {
        assert_eq!(pool(&server), numbered(2));
        std::thread::sleep(Duration::from_millis(5));
    }
    all_are_served(clients);
    assert_eq!(pool(&server), numbered(2));
}

/// The queue is at its bound, and nothing is refused before the last thread is there.
#[test]
fn load_3_a_range_refuses_only_at_its_most() {
    if !is_root("load_3_a_range_refuses_only_at_its_most") {
        return;
    }
    let args = ["--workers", "1", "--threads", "1..6", "--queue", "1"];
    let (server, fuse) = server(Setup::new().args(&args));
    // All ask before the first is answered.
    fuse.delay(3 * DELAY);
    let answers: Vec<_> = asking(&server).iter_mut().map(Client::response).collect();
    let served = answers.iter().filter(|response| response.status == 200).count();
    let refused = answers.iter().filter(|response| response.status == 503).count();
    assert!(served >= 7 && refused >= 1 && served + refused == 10, "{served} served, {refused} refused");
    assert_eq!(pool(&server), numbered(6));
}

#[test]
fn run_5_a_reload_changes_the_range() {
    if !is_root("run_5_a_reload_changes_the_range") {
        return;
    }
    let setup = Setup::new().args(&["--workers", "1", "-c", "t.toml"]);
    setup.folder.write("t.toml", "[server]\nthreads = '1..8'");
    let (mut server, fuse) = server(setup);
    let clients = asking(&server);
    eventually("it has grown", || pool(&server) == numbered(8));
    server.folder.write("t.toml", "[server]\nthreads = '2..3'");
    server.signal("HUP");
    server.wait_for_log("changed: server.threads");
    fuse.delay(Duration::ZERO);
    all_are_served(clients);
    let shrunk = Instant::now();
    eventually("no more than may be", || pool(&server).len() <= 3);
    assert!(shrunk.elapsed() < STAYS.min(SOON), "those above the most do not wait for anything");
    server.folder.write("t.toml", "[server]\nthreads = 5");
    server.signal("HUP");
    eventually("a number", || pool(&server) == numbered(5));
}
