//! What each level tells: at INFO how the server does, at DEBUG how it came to its answers (SPEC OBS-5), and
//! that client text is escaped there too.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use process::lines_with;
use support::{Server, Setup, eventually};

/// A number that no other line has.
const SIZE: usize = 7_654_321;

fn debug() -> Setup {
    Setup::new().file("large.bin", vec![b'x'; SIZE]).env("LOG_LEVEL", "DEBUG")
}

/// Whether a DEBUG line holds all of `parts`, in any case.
fn says(server: &Server, parts: &[&str]) -> bool {
    let lines = lines_with(server, " DEBUG ");
    lines.iter().any(|line| parts.iter().all(|part| line.to_lowercase().contains(part)))
}

#[test]
fn obs_5_debug_tells_each_host_check_and_its_result() {
    let server = debug().start();
    let host = server.host();
    assert_eq!(server.get("/healthz").status, 200);
    eventually("a DEBUG line on the host that was allowed", || says(&server, &["host", &host]));
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!(client.response().status, 403);
    eventually("the check that failed", || says(&server, &["host", "evil.example"]));
    let hint = "--allow-host evil.example";
    eventually("the flag that would admit it", || !lines_with(&server, hint).is_empty());
}

#[test]
fn obs_5_debug_tells_transfer_sizes() {
    let server = debug().start();
    assert_eq!(server.get("/large.bin").body.len(), SIZE);
    eventually("a DEBUG line with the size", || says(&server, &[&SIZE.to_string()]));
}

#[test]
fn obs_5_debug_tells_the_state_of_each_thread() {
    let server = debug().args(&["--workers", "2", "--threads", "2"]).start();
    for _ in 0..10 {
        assert_eq!(server.get("/healthz").status, 200);
        assert_eq!(server.upload(b"{}").status, 201);
    }
    eventually("the pool", || says(&server, &["pool-", "upload"]) && says(&server, &["pool-", "idle"]));
    eventually("the workers", || says(&server, &["worker-0"]) && says(&server, &["worker-1"]));
}

#[test]
fn obs_5_info_tells_none_of_that() {
    let server = Setup::new().file("a.html", "hello").start();
    assert_eq!((server.get("/a.html").status, server.upload(b"{}").status), (200, 201));
    eventually("both lines", || lines_with(&server, "HTTP/1.1\" 20").len() == 2);
    assert!(lines_with(&server, "DEBUG").is_empty(), "{:#?}", server.log());
}

/// A refusal that is no security event is a DEBUG line; the name in it is a client's.
#[test]
fn obs_1_client_text_is_escaped_in_debug_lines_too() {
    if !process::is_root("obs_1_client_text_is_escaped_in_debug_lines_too") {
        return;
    }
    // Root without the capability to read everything is refused like anyone else.
    let caps = "--bounding-set=-dac_override,-dac_read_search";
    let setup = debug().file("x\nFAKE \x1b[31mline", "secret");
    let path = setup.root().join("x\nFAKE \x1b[31mline");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    let server = setup.wrapper(&["setpriv", caps, "--inh-caps=-dac_override,-dac_read_search"]).start();
    let response = server.get("/x%0aFAKE%20%1b%5B31mline");
    assert_eq!((response.status, response.code().as_str()), (403, "unreadable"));
    eventually("its lines", || lines_with(&server, "FAKE").len() >= 2);
    let log = server.log();
    assert!(!log.iter().any(|line| line.starts_with("FAKE") || line.contains('\x1b')), "{log:#?}");
}

#[test]
fn sec_5_a_traversal_line_shows_what_was_asked_for() {
    let mut server = Server::start(&["--access-log", "off"]);
    assert_eq!(server.get("/a/%2e%2e/%2e%2e/etc/passwd").status, 403);
    let line = server.wait_for_log("security: traversal");
    assert!(line.contains(" WARNING ") && line.contains("127.0.0.1"), "{line}");
    assert!(line.contains("etc/passwd"), "the evidence is missing: {line}");
}

#[test]
fn obs_5_the_pool_tells_its_state_after_work_and_only_then() {
    let server = Server::start(&[]);
    let begun = Instant::now();
    let status = || lines_with(&server, "thread pool status: busy 0/10, queue 0/100");
    assert_eq!(server.upload(b"{}").status, 201);
    while status().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(45), "{:#?}", server.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(begun.elapsed() > Duration::from_secs(25), "every 30 s");
    assert!(status()[0].contains(" INFO "));
    std::thread::sleep(Duration::from_secs(35));
    assert_eq!(status().len(), 1, "no work, no line");
}
