//! The wall clock is set while the server runs: an hour on, an hour back, to 1970 and over the end of 32 bits in 2038.
//! Deadlines and limits do not notice; `Date`, logs and names of uploads follow it (SPEC H1-8, LOAD-5, UP-3).
//!
//! The clock of the server is libfaketime's. Without it the tests are skipped.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should say where"
)]

mod strace;
mod support;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strace::stored_name;
use support::{Client, Server, Setup, eventually};

const HOUR: i64 = 3600;
/// Two days after the begin of time as Unix counts it, and two seconds before its 32 bits end.
const BEGIN: i64 = 2 * 24 * HOUR;
const END: i64 = (1 << 31) - 2;

/// Which clocks are set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clocks {
    Wall,
    All,
}

/// The library, where it is installed: `LD_PRELOAD` takes a path.
fn library() -> Option<String> {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let path = found.into_iter().find(|path| path.exists())?;
    path.to_str().map(str::to_owned)
}

/// A server whose clocks can be set; `None` where there is nothing to set them with, which is a failure in CI.
fn server(test: &str, clocks: Clocks, args: &[&str]) -> Option<Server> {
    let Some(library) = library() else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} needs libfaketime in CI");
        println!("skipped: {test} needs libfaketime");
        return None;
    };
    let setup = Setup::new().file("page.html", "page").args(args);
    let file = setup.folder.write("clock", "+0");
    let setup = setup
        .env("LD_PRELOAD", &library)
        .env("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap())
        .env("FAKETIME_NO_CACHE", "1")
        .env("DONT_FAKE_MONOTONIC", if clocks == Clocks::Wall { "1" } else { "0" });
    // The library reads the file again and again, wherever it lies.
    Some(setup.args(&["--no-sandbox"]).start())
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Sets the clock, which goes on from there: `text` as the library has it.
fn set(server: &Server, text: &str) {
    let next = server.folder.write("clock.next", text);
    std::fs::rename(next, server.folder.0.join("clock")).unwrap();
}

/// Seconds since 1970 by the server's `Date`.
fn date(server: &Server) -> i64 {
    let date = server.get("/healthz").field("date").unwrap().to_owned();
    let date = httpdate::parse_http_date(&date).unwrap();
    i64::try_from(date.duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Ends the load, also where the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Asks for everything on connections that stay, until `done`; every answer must be right.
fn load(server: &Server, done: &AtomicBool, answers: &AtomicUsize) {
    let (mut client, mut number) = (server.connect(), 0);
    while !done.load(Relaxed) {
        assert_eq!(client.get("/page.html").text(), "page");
        assert_eq!(client.get(&format!("/none-{number}")).status, 404);
        assert_eq!(client.get("/healthz").status, 200);
        answers.fetch_add(3, Relaxed);
        number += 1;
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn row_j5_load_5_a_clock_that_is_set_ends_nothing_and_shows_in_dates_alone() {
    let test = "row_j5_load_5_a_clock_that_is_set_ends_nothing_and_shows_in_dates_alone";
    let args = ["--max-requests", "0", "--keep-alive", "120s", "--header-timeout", "120s"];
    let Some(server) = server(test, Clocks::Wall, &args) else { return };
    let mut idle: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for client in &mut idle {
        assert_eq!(client.get("/page.html").text(), "page");
    }
    let mut halfway = server.connect();
    halfway.send("GET /page.html HTTP/1.1\r\n");
    let (done, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut stored = HashSet::new();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| load(&server, &done, &answers));
        }
        let _end = End(&done);
        for offset in [HOUR, -HOUR, BEGIN - now(), END - now(), 0] {
            set(&server, &format!("{offset:+}"));
            eventually("Date follows the clock", || (date(&server) - now() - offset).abs() <= 2);
            let before = answers.load(Relaxed);
            eventually("the load goes on", || answers.load(Relaxed) > before + 100);
            check_files(&server, &format!("set by {offset}"));
            assert!(stored.insert(stored_name(&server.upload(b"[1]"))), "set by {offset}");
        }
    });
    assert!(stored.iter().any(|name| name.starts_with("upload_197001")), "{stored:?}");
    assert!(stored.iter().any(|name| name.starts_with("upload_203801")), "{stored:?}");
    for client in &mut idle {
        assert_eq!(client.get("/page.html").text(), "page", "an idle connection was ended");
    }
    let host = server.host();
    halfway.send(format!("Host: {host}\r\n\r\n"));
    assert_eq!(halfway.response().text(), "page", "a head that was on its way was ended");
    let metrics = server.get("/metrics?format=json").json();
    for name in ["tidegate_refusals_total{code=\"slow_head\"}", "tidegate_panics_total"] {
        assert_eq!(metrics[name], 0, "{name}");
    }
}

/// Validators hold, and what is written is served, whatever the clock shows. (The stamps of files are the kernel's, whose
/// clock is not set: here some lie in the future for good.)
fn check_files(server: &Server, when: &str) {
    let tag = server.get("/page.html").field("etag").unwrap().to_owned();
    let again = server.request(&format!("GET /page.html HTTP/1.1\r\nIf-None-Match: {tag}\r\n"), b"");
    assert_eq!(again.status, 304, "{when}");
    // Given whole: an answer that meets a file half written is cut.
    let next = server.folder.write("next.html", when);
    std::fs::rename(next, server.root().join("new.html")).unwrap();
    eventually(when, || server.get("/new.html").text() == when);
}

/// A client's limit is the same before and after: no jump gives it away, and none holds it for ever.
#[test]
fn row_j5_sec_1_a_clock_that_is_set_frees_nobody_and_holds_nobody() {
    let test = "row_j5_sec_1_a_clock_that_is_set_frees_nobody_and_holds_nobody";
    let args = ["--limit-loopback", "--rate-limit", "1/s:3", "--max-requests", "0"];
    let Some(server) = server(test, Clocks::Wall, &args) else { return };
    let mut client = server.connect();
    for offset in [HOUR, -HOUR, BEGIN - now(), END - now()] {
        assert!((0..100).any(|_| client.get("/page.html").status == 429), "it is limited");
        set(&server, &format!("{offset:+}"));
        assert_eq!(client.get("/page.html").status, 429, "set by {offset}");
        std::thread::sleep(Duration::from_millis(1200));
        assert_eq!(client.get("/page.html").status, 200, "set by {offset}");
    }
}

/// Negative control: were deadlines kept by the clock that is set, the jump would end every idle connection.
#[test]
fn row_j5_load_5_the_clock_of_deadlines_ends_idle_connections_when_it_is_set() {
    let test = "row_j5_load_5_the_clock_of_deadlines_ends_idle_connections_when_it_is_set";
    let Some(server) = server(test, Clocks::All, &["--keep-alive", "120s"]) else { return };
    let mut idle = server.connect();
    assert_eq!(idle.get("/page.html").text(), "page");
    set(&server, "+3600");
    assert!(idle.is_closed());
}

/// A clock that stands still gives all names of a second's uploads, and many more, the same begin.
#[test]
fn row_i6_up_3_a_clock_that_stands_still_makes_no_two_uploads_one() {
    let test = "row_i6_up_3_a_clock_that_stands_still_makes_no_two_uploads_one";
    let args = ["--threads", "8", "--max-requests", "0"];
    let Some(server) = server(test, Clocks::Wall, &args) else { return };
    set(&server, "2026-01-01 00:00:00");
    eventually("it stands", || date(&server) == 1_767_225_600);
    let count: usize = std::env::var("UPLOADS").map_or(1000, |count| count.parse().expect("a number"));
    let names: Vec<HashSet<String>> = std::thread::scope(|scope| {
        let uploads = |client: usize| {
            let store = |number| stored_name(&server.upload(format!("[{client},{number}]").as_bytes()));
            (0..count / 8).map(store).collect()
        };
        let clients: Vec<_> = (0..8).map(|client| scope.spawn(move || uploads(client))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let all: HashSet<_> = names.iter().flatten().collect();
    assert_eq!(all.len(), count / 8 * 8, "each has a name of its own");
    assert!(all.iter().all(|name| name.starts_with("upload_20260101_000000_")), "{:?}", all.iter().next());
    let kept = std::fs::read_dir(server.uploads()).unwrap();
    let texts: HashSet<_> = kept.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    assert_eq!(texts.len(), all.len(), "and its own content");
}
