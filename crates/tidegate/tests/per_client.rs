//! Connections of one client (SPEC LOAD-7): over its own cap it loses its own longest idle one, is refused where
//! none is idle, and never costs anybody else a seat. Nor do its uploads cost anybody else theirs (LOAD-8).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;
mod visitors;

use std::time::{Duration, Instant};

use support::client::End;
use support::{SOON, Server, Setup, eventually};
use visitors::{Visitor, ask, assert_refused, from, metric};

const GREEDY: &str = "127.0.0.2";
const QUIET: &str = "127.0.0.3";

fn server(cap: &str) -> Server {
    Server::start(&["--limit-loopback", "--rate-limit", "off", "--max-connections-per-ip", cap])
}

/// A connection that is certainly busy: it was asked for a body that it does not send.
fn busy(server: &Server, ip: &str) -> Visitor {
    try_busy(server, ip).expect("it is asked for its body")
}

/// The same, where it gets a seat.
fn try_busy(server: &Server, ip: &str) -> Option<Visitor> {
    let mut client = from(server, ip);
    client.send_request(
        "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 2\r\n",
        b"",
    );
    client.read_response(false).is_some_and(|response| response.status == 100).then_some(client)
}

/// The same, once there is a seat again.
fn eventually_busy(server: &Server, ip: &str) -> Visitor {
    let begun = Instant::now();
    loop {
        match try_busy(server, ip) {
            Some(client) => return client,
            None => assert!(begun.elapsed() < SOON, "there is no seat"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn finish(client: &mut Visitor) {
    client.send("{}");
    assert_eq!(client.response().status, 201);
}

/// A connection that has had an answer and waits.
fn idle(server: &Server, ip: &str) -> Visitor {
    let mut client = from(server, ip);
    assert_eq!(ask(&mut client, "GET /healthz HTTP/1.1\r\n").status, 200);
    client
}

/// What a new connection of `ip` gets: a status, or 0 where it is closed without a word.
fn newcomer(server: &Server, ip: &str) -> u16 {
    let mut client = from(server, ip);
    client.send_request("GET /healthz HTTP/1.1\r\n", b"");
    client.try_response(false).map_or(0, |response| response.status)
}

#[test]
fn row_e3_load_7_a_busy_client_over_its_cap_is_429_and_nobody_else() {
    let server = server("3");
    let mut clients: Vec<_> = (0..3).map(|_| busy(&server, GREEDY)).collect();
    let mut fourth = from(&server, GREEDY);
    fourth.send_request("GET /healthz HTTP/1.1\r\n", b"");
    let refused = fourth.response();
    assert_refused(&refused, 429, "too_many_from_client");
    assert!(refused.closes() && refused.field("retry-after").is_some(), "{refused:?}");
    assert_eq!(fourth.rest(SOON), (Vec::new(), End::Closed));
    assert_eq!(newcomer(&server, QUIET), 200);
    let mut others: Vec<_> = (0..3).map(|_| busy(&server, QUIET)).collect();
    clients.iter_mut().chain(&mut others).for_each(finish);
    server.rests();
    assert!(metric(&server, "tidegate_refusals_total{code=\"too_many_from_client\"}") >= 1.0);
    assert!(metric(&server, "tidegate_events_total{kind=\"connections\"}") >= 1.0);
}

#[test]
fn load_7_the_longest_idle_one_of_the_same_client_makes_room() {
    let server = server("3");
    let mut quiet = idle(&server, QUIET);
    std::thread::sleep(Duration::from_millis(50));
    let mut own: Vec<_> = (0..3)
        .map(|_| {
            let client = idle(&server, GREEDY);
            server.rests();
            std::thread::sleep(Duration::from_millis(50));
            client
        })
        .collect();
    let mut fourth = idle(&server, GREEDY);
    assert!(own[0].is_closed(), "the one that was idle longest");
    for client in [&mut own[1], &mut fourth, &mut quiet] {
        assert_eq!(ask(client, "GET /healthz HTTP/1.1\r\n").status, 200, "and no other");
    }
}

/// A client at its cap takes no seat from another, however long that one has been idle.
#[test]
fn load_7_a_client_at_its_cap_never_evicts_another() {
    let server = server("2");
    let mut quiet: Vec<_> = (0..2).map(|_| idle(&server, QUIET)).collect();
    let mut own: Vec<_> = (0..2).map(|_| busy(&server, GREEDY)).collect();
    for _ in 0..20 {
        assert_eq!(newcomer(&server, GREEDY), 429);
    }
    for client in &mut quiet {
        assert_eq!(ask(client, "GET /healthz HTTP/1.1\r\n").status, 200);
    }
    own.iter_mut().for_each(finish);
}

/// The cap of the house holds beside: a client under its own cap may get a stranger's idle seat there.
#[test]
fn load_3_load_7_both_caps_hold_at_once() {
    let server = Server::start(&[
        "--limit-loopback",
        "--rate-limit",
        "off",
        "--max-connections-per-ip",
        "2",
        "--max-connections",
        "3",
    ]);
    let _own: Vec<_> = (0..2).map(|_| busy(&server, GREEDY)).collect();
    let _third = busy(&server, QUIET);
    assert_eq!(newcomer(&server, GREEDY), 429, "its own cap first");
    assert_eq!(newcomer(&server, QUIET), 503, "then the house's");
}

#[test]
fn load_7_what_ends_is_counted_no_more() {
    let server = server("2");
    for _ in 0..30 {
        drop(eventually_busy(&server, GREEDY));
    }
    eventually("its seats are free again", || newcomer(&server, GREEDY) == 200);
    let _held: Vec<_> = (0..2).map(|_| eventually_busy(&server, GREEDY)).collect();
    for _ in 0..10 {
        assert_eq!(newcomer(&server, GREEDY), 429);
    }
    drop(_held);
    eventually("refused ones hold no seat", || newcomer(&server, GREEDY) == 200);
}

#[test]
fn row_e3_load_7_a_crowd_of_one_client_is_turned_away_and_others_are_served() {
    let server = server("5");
    let mut held: Vec<_> = (0..5).map(|_| busy(&server, GREEDY)).collect();
    let mut crowd: Vec<_> = (0..200).map(|_| from(&server, GREEDY)).collect();
    for _ in 0..20 {
        assert_eq!(newcomer(&server, QUIET), 200);
    }
    for client in &mut crowd {
        client.finish();
        let (bytes, end) = client.rest(SOON);
        assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 429 "), "{bytes:?}");
        assert_ne!(end, End::Open);
    }
    held.iter_mut().for_each(finish);
}

#[test]
fn load_7_zero_is_no_cap_and_the_default_is_256() {
    let unlimited = server("0");
    let held: Vec<_> = (0..60).map(|_| busy(&unlimited, GREEDY)).collect();
    assert_eq!(newcomer(&unlimited, GREEDY), 200);
    drop(held);
    let default = Server::start(&["--limit-loopback", "--rate-limit", "off"]);
    let _held: Vec<_> = (0..256).map(|_| busy(&default, GREEDY)).collect();
    assert_eq!(newcomer(&default, GREEDY), 429);
    assert_eq!(newcomer(&default, QUIET), 200);
}

/// Without `--limit-loopback` loopback is not counted (SEC-1).
#[test]
fn load_7_sec_1_local_connections_are_exempt() {
    let server = Server::start(&["--max-connections-per-ip", "2"]);
    let mut clients: Vec<_> = (0..10).map(|_| busy(&server, GREEDY)).collect();
    assert_eq!(newcomer(&server, GREEDY), 200);
    clients.iter_mut().for_each(finish);
}

#[test]
fn load_7_run_5_the_cap_changes_while_running() {
    let text = |cap: u32| {
        format!("[limits]\nmax_connections_per_ip = {cap}\nlimit_loopback = true\nrate_limit = 'off'\n")
    };
    let setup = Setup::new().args(&["-c", "t.toml"]);
    setup.folder.write("t.toml", text(1));
    let server = setup.start();
    let mut held = busy(&server, GREEDY);
    assert_eq!(newcomer(&server, GREEDY), 429);
    server.folder.write("t.toml", text(2));
    server.signal("HUP");
    eventually("there is a second place", || newcomer(&server, GREEDY) == 200);
    server.folder.write("t.toml", text(1));
    server.signal("HUP");
    eventually("and none again", || newcomer(&server, GREEDY) == 429);
    finish(&mut held);
}

/// IPv6 by /64 cannot be had on loopback, whose /64 holds one address; this is that one.
#[test]
fn load_7_over_ipv6_the_cap_holds_too() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: load_7_over_ipv6_the_cap_holds_too needs IPv6");
        return;
    }
    let args = ["--limit-loopback", "--max-connections-per-ip", "1", "--rate-limit", "off"];
    let server = Setup::new().args(&args).args(&["--listen", "[::1]:0"]).start();
    let mut held = busy(&server, "::1");
    assert_eq!(newcomer(&server, "::1"), 429);
    finish(&mut held);
}

/// Bodies that are announced and never come reserve memory all the same.
#[test]
fn load_8_who_begins_uploads_and_ends_none_keeps_nobody_else_from_theirs() {
    let server = Server::start(&["--limit-loopback", "--rate-limit", "off", "--body-memory", "8MiB"]);
    let begin = |ip: &str, length: &str| {
        let mut visitor = from(&server, ip);
        let head = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n";
        visitor.send_request(&format!("{head}{length}\r\n"), b"");
        let status = visitor.read_response(false).unwrap().status;
        (visitor, status)
    };
    let greedy: Vec<_> = (0..10).map(|_| begin(GREEDY, "Content-Length: 1048576")).collect();
    let taken = greedy.iter().filter(|(_, status)| *status == 100).count();
    assert_eq!(taken, 2, "a quarter of the memory");
    assert_eq!(begin(GREEDY, "Transfer-Encoding: chunked").1, 503);
    assert_eq!(begin(QUIET, "Transfer-Encoding: chunked").1, 100);
    drop(greedy);
    eventually("it has its share again", || begin(GREEDY, "Content-Length: 1048576").1 == 100);
}

#[test]
fn load_8_a_share_has_room_for_the_largest_body() {
    let server = Server::start(&["--limit-loopback", "--body-memory", "1MiB"]);
    let body = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    let mut visitor = from(&server, GREEDY);
    let head = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\n";
    visitor.send_request(&format!("{head}Content-Length: {}\r\n", body.len()), body.as_bytes());
    assert_eq!(visitor.response().status, 201);
}
