//! A disk that takes its time, and one that fails: what is asked of it waits, and nothing else does (SPEC LOAD-1,
//! LOAD-2, LOAD-3, H1-8).
//!
//! One worker serves a folder in which a slow file system is mounted: where the worker itself waited for it, every
//! connection would.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod fuse;
mod strace;
mod support;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fuse::{Fuse, Op, Slow, content};
use strace::{assert_refused, is_root};
use support::client::End;
use support::{Client, SOON, Server, Setup, eventually};

/// How long the slow disk takes for each answer, …
const DELAY: Duration = Duration::from_secs(1);

/// … and how long a file in memory may take at most meanwhile, on a busy machine.
const PROMPT: Duration = Duration::from_millis(850);

/// The kernel remembers names and attributes of the slow disk, or asks for them each time.
const REMEMBERED: [Duration; 2] = [Duration::from_secs(3600), Duration::ZERO];

const SMALL: u64 = 20_000;

const NAMES: [&str; 20] = [
    "0.html", "1.html", "2.html", "3.html", "4.html", "5.html", "6.html", "7.html", "8.html", "9.html",
    "10.html", "11.html", "12.html", "13.html", "14.html", "15.html", "16.html", "17.html", "18.html",
    "19.html",
];

fn file(name: &'static str, size: u64) -> Slow {
    Slow { name, size, broken_from: None }
}

/// A server with `page.html` in memory and `slow/` on the slow disk, which is quick until it is told otherwise.
/// Dropped in this order: the server first.
fn server(args: &[&str], files: Vec<Slow>, remembered: Duration) -> (Server, Fuse) {
    let setup = Setup::new().args(&["--workers", "1", "--max-requests", "0"]).args(args);
    let setup = setup.file("page.html", "page");
    let at = setup.root().join("slow");
    std::fs::create_dir(&at).unwrap();
    let fuse = Fuse::mount(&at, files, remembered);
    let server = setup.start();
    assert_eq!(server.get("/page.html").text(), "page");
    (server, fuse)
}

/// Sends a GET and does not wait for its answer.
fn asking(server: &Server, target: &str) -> Client {
    let mut client = server.connect();
    client.send_request(&format!("GET {target} HTTP/1.1\r\n"), b"");
    client
}

/// Asks for what is in memory until `done`, over one connection and over new ones: how often, and the longest wait.
fn watch(server: &Server, done: &AtomicBool) -> (u32, Duration) {
    let (mut count, mut worst) = (0, Duration::ZERO);
    let mut kept = server.connect();
    while !done.load(Relaxed) {
        let begun = Instant::now();
        assert_eq!(kept.get("/page.html").text(), "page");
        assert_eq!(server.get("/healthz").status, 200);
        worst = worst.max(begun.elapsed());
        count += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    (count, worst)
}

/// Runs `slow` while what is in memory is watched.
fn beside(server: &Server, slow: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(server, &done));
        let begun = Instant::now();
        slow();
        let took = begun.elapsed();
        done.store(true, Relaxed);
        let (count, worst) = watching.join().unwrap();
        assert!(took > DELAY, "the slow disk was not slow: {took:?}");
        assert!(worst < PROMPT, "one of {count} answers from memory took {worst:?}");
    });
}

#[test]
fn row_j2_load_1_twenty_slow_files_delay_nobody_else() {
    if !is_root("row_j2_load_1_twenty_slow_files_delay_nobody_else") {
        return;
    }
    for remembered in REMEMBERED {
        let files = NAMES.iter().map(|name| file(name, SMALL)).collect();
        let (server, fuse) = server(&["--threads", "20"], files, remembered);
        fuse.delay(DELAY);
        beside(&server, || {
            let clients: Vec<_> =
                NAMES.iter().map(|name| asking(&server, &format!("/slow/{name}"))).collect();
            for mut client in clients {
                assert!(client.response().body == content(0, 20_000));
            }
        });
    }
}

/// Looked at again, whether it changed: the kernel has everything of it in memory but the right to say so.
#[test]
fn row_j2_load_1_a_slow_file_asked_for_again_delays_nobody_else() {
    if !is_root("row_j2_load_1_a_slow_file_asked_for_again_delays_nobody_else") {
        return;
    }
    for remembered in REMEMBERED {
        let (server, fuse) = server(&[], vec![file("0.html", SMALL), file("1.html", 300_000)], remembered);
        for (target, size) in [("/slow/0.html", 20_000), ("/slow/1.html", 300_000)] {
            assert!(server.get(target).body == content(0, size));
        }
        fuse.delay(DELAY);
        std::thread::sleep(Duration::from_millis(1100));
        beside(&server, || {
            let again = ["/slow/0.html", "/slow/1.html", "/slow/missing.html"];
            let mut clients = again.map(|target| asking(&server, target));
            assert!(clients[0].response().body == content(0, 20_000));
            assert!(clients[1].response().body == content(0, 300_000));
            assert_eq!(clients[2].response().status, 404);
        });
    }
}

#[test]
fn row_j2_load_1_a_large_slow_file_delays_nobody_else() {
    if !is_root("row_j2_load_1_a_large_slow_file_delays_nobody_else") {
        return;
    }
    for remembered in REMEMBERED {
        let (server, fuse) = server(&[], vec![file("0.html", 300_000)], remembered);
        fuse.delay(DELAY);
        beside(&server, || assert!(asking(&server, "/slow/0.html").response().body == content(0, 300_000)));
    }
}

/// Who leaves early lets go of a slow file: giving it back takes as long as taking it.
#[test]
fn row_j2_load_1_clients_that_leave_a_slow_file_delay_nobody_else() {
    if !is_root("row_j2_load_1_clients_that_leave_a_slow_file_delay_nobody_else") {
        return;
    }
    for remembered in REMEMBERED {
        let (server, fuse) = server(&[], vec![file("0.html", 30_000_000)], remembered);
        let mut clients: Vec<_> = (0..4).map(|_| asking(&server, "/slow/0.html")).collect();
        for client in &mut clients {
            assert!(client.take(200_000).starts_with(b"HTTP/1.1 200"));
        }
        fuse.delay(DELAY);
        beside(&server, || {
            drop(clients);
            // The cache lets go of it too, and it is given back.
            server.signal("HUP");
            eventually("it is closed", || fuse.count(Op::Flush, "0.html") > 0);
            std::thread::sleep(2 * DELAY);
        });
    }
}

/// Fifty clients want the same cold file: it is fetched once, and takes one place of the pool.
#[test]
fn load_2_a_cold_file_is_fetched_once_for_all_who_ask() {
    if !is_root("load_2_a_cold_file_is_fetched_once_for_all_who_ask") {
        return;
    }
    let files = vec![file("0.html", SMALL), file("1.html", 200_000)];
    let (server, fuse) = server(&["--threads", "2", "--queue", "4"], files, REMEMBERED[0]);
    fuse.delay(Duration::from_millis(400));
    for (name, size) in [("0.html", 20_000), ("1.html", 200_000)] {
        let clients: Vec<_> = (0..50).map(|_| asking(&server, &format!("/slow/{name}"))).collect();
        for mut client in clients {
            let response = client.response();
            assert_eq!(response.status, 200, "{name}: nobody is refused for the sake of the others");
            assert!(response.body == content(0, size), "{name}: other bytes");
        }
        let opened = fuse.count(Op::Open, name);
        assert!(opened <= 2, "{name} was opened {opened} times");
        let read = fuse.count(Op::Read, name);
        assert!(read <= 2 * size.div_ceil(4096), "{name} was read {read} times");
    }
}

/// What does not fit into the pool is refused at once; what is in memory needs no pool.
#[test]
fn row_j4_load_3_a_pool_full_of_slow_files_refuses_the_rest() {
    if !is_root("row_j4_load_3_a_pool_full_of_slow_files_refuses_the_rest") {
        return;
    }
    let files = NAMES.iter().map(|name| file(name, SMALL)).collect();
    let (server, fuse) = server(&["--threads", "2", "--queue", "2"], files, REMEMBERED[0]);
    let delay = Duration::from_millis(600);
    fuse.delay(delay);
    let begun = Instant::now();
    let clients: Vec<_> = NAMES.iter().map(|name| asking(&server, &format!("/slow/{name}"))).collect();
    let (mut served, mut refused) = (0, 0);
    for mut client in clients {
        let response = client.response();
        if response.status == 200 {
            assert!(begun.elapsed() > delay, "not before the disk has answered");
            assert!(response.body == content(0, 20_000));
            served += 1;
        } else {
            assert_refused(&response, 503, "pool_saturated");
            assert!(response.field("retry-after").is_some());
            refused += 1;
        }
    }
    assert!(served >= 4 && refused >= 10, "{served} served, {refused} refused");
    fuse.delay(Duration::ZERO);
    eventually("all is served again", || server.get("/slow/19.html").status == 200);
}

/// SPEC H1-8: what cannot be read is 500 where nothing was sent yet, and a cut where something was.
#[test]
fn h1_8_a_read_error_is_500_or_a_cut() {
    if !is_root("h1_8_a_read_error_is_500_or_a_cut") {
        return;
    }
    let small = Slow { name: "0.html", size: SMALL, broken_from: Some(0) };
    let large = Slow { name: "1.html", size: 5_000_000, broken_from: Some(3_000_000) };
    let (server, _fuse) = server(&[], vec![small, large], REMEMBERED[0]);
    for _ in 0..3 {
        assert_refused(&server.get("/slow/0.html"), 500, "internal");
        let mut client = asking(&server, "/slow/1.html");
        client.send_request("GET /page.html HTTP/1.1\r\n", b"");
        assert_eq!(client.try_response(true).unwrap().field("content-length"), Some("5000000"));
        let (bytes, end) = client.rest(SOON);
        assert_ne!(end, End::Open, "the connection is left open");
        assert!(bytes.len() <= 3_000_000, "{} bytes", bytes.len());
        assert!(bytes == content(0, bytes.len()), "something other than the file was sent");
        assert_eq!(server.get("/page.html").text(), "page");
    }
}
