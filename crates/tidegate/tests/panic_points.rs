//! A panic at every stage, again and again and under traffic, costs at most the one request that met it: nobody else's
//! answer, no thread, no seat, no descriptor, no memory (SPEC LOAD-4). Needs `--features failpoints`.
//!
//! Each point panics 50 times; `PANICS=1000` makes it that many.
#![cfg(feature = "failpoints")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod h2raw;
mod panicking;
mod strace;
mod support;
mod tls;

use std::sync::{Mutex, PoisonError};

use h2raw::{Answer, H2};
use panicking::{By, Came, Cost, Stage, Target, Traffic, asked, most, page};
use strace::{assert_refused, named_threads, names};
use support::client::End;
use support::{Client, Server, Setup, eventually};
use tidegate::failpoint::POINTS;

/// Where a request still gets an answer, or no request is concerned, and what has to be asked to come there.
const STAGES: &[Stage] = &[
    Stage { point: "accept", every: 5, cost: Cost::Connection, ask: page },
    Stage { point: "frames", every: 5, cost: Cost::Connection, ask: by_http2 },
    Stage { point: "stream", every: 3, cost: Cost::Refusal, ask: by_http2 },
    Stage { point: "head", every: 5, cost: Cost::Refusal, ask: page },
    Stage { point: "judge", every: 5, cost: Cost::Refusal, ask: page },
    Stage { point: "handler", every: 5, cost: Cost::Refusal, ask: page },
    Stage { point: "body", every: 3, cost: Cost::Refusal, ask: upload },
    Stage { point: "job", every: 3, cost: Cost::Refusal, ask: upload },
    Stage { point: "open", every: 3, cost: Cost::Refusal, ask: missing },
    Stage { point: "coding", every: 2, cost: Cost::Nothing, ask: coded },
    Stage { point: "upload", every: 3, cost: Cost::Refusal, ask: upload },
    Stage { point: "store_write", every: 3, cost: Cost::Refusal, ask: upload },
    Stage { point: "store_sync", every: 3, cost: Cost::Refusal, ask: upload },
    Stage { point: "store_link", every: 3, cost: Cost::Refusal, ask: upload },
    Stage { point: "store_folder", every: 2, cost: Cost::Refusal, ask: upload },
    Stage { point: "encode", every: 5, cost: Cost::Refusal, ask: page },
    Stage { point: "answer", every: 3, cost: Cost::Connection, ask: by_http2 },
    Stage { point: "send", every: 3, cost: Cost::Connection, ask: middle },
    Stage { point: "piece", every: 3, cost: Cost::Connection, ask: large },
    Stage { point: "live", every: 2, cost: Cost::Connection, ask: follow },
    Stage { point: "record", every: 5, cost: Cost::Nothing, ask: page },
    Stage { point: "payload", every: 7, cost: Cost::Connection, ask: by_http2 },
    Stage { point: "tick", every: 1, cost: Cost::Nothing, ask: page },
    Stage { point: "log", every: 2, cost: Cost::Nothing, ask: page },
];

/// The same over TLS. A handshake computes twice at least, and nobody knows of it who asks.
const SECURED: &[Stage] = &[
    Stage { point: "handshake", every: 9, cost: Cost::Connection, ask: page },
    Stage { point: "certificate", every: 5, cost: Cost::Connection, ask: page },
    Stage { point: "unseal", every: 5, cost: Cost::Connection, ask: page },
    Stage { point: "seal", every: 5, cost: Cost::Connection, ask: page },
];

/// Those that have a test of their own below.
const APART: &[&str] = &["turn_away", "second", "control"];

fn missing(target: &Target, number: usize) -> Came {
    asked(target, &format!("GET /none-{number} HTTP/1.1\r\n"), b"", 404)
}

fn upload(target: &Target, number: usize) -> Came {
    let body = format!("\"{number} {}\"", "x".repeat(panicking::BODY));
    let length = body.len();
    let head =
        format!("POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n");
    asked(target, &head, body.as_bytes(), 201)
}

/// A file that nobody asked for before, so that it is compressed.
fn coded(target: &Target, number: usize) -> Came {
    target.server.folder.write(&format!("root/{number}.html"), "the tide comes in ".repeat(200));
    asked(target, &format!("GET /{number}.html HTTP/1.1\r\nAccept-Encoding: br\r\n"), b"", 200)
}

/// Sent by reference to sealed memory or a file.
fn middle(target: &Target, _: usize) -> Came {
    asked(target, "GET /middle.bin HTTP/1.1\r\n", b"", 200)
}

/// So large that it is copied piece by piece.
fn large(target: &Target, _: usize) -> Came {
    asked(target, "GET /large.bin HTTP/1.1\r\n", b"", 200)
}

/// The stream of the dashboard, up to its first piece; or the word that there are enough viewers.
fn follow(target: &Target, _: usize) -> Came {
    let mut client = target.server.connect();
    client.send_request("GET /security-dashboard/events HTTP/1.1\r\n", b"");
    let heard = panicking::hears(&mut client, &["event: snapshot", "too_many_connections"]);
    if heard { Came::Whole } else { Came::Nothing }
}

/// Over a connection of HTTP/2 with this request alone.
fn by_http2(target: &Target, _: usize) -> Came {
    let mut client = H2::connect(&target.server);
    let stream = client.ask("GET", "/page.html", &[]);
    match client.answer(stream) {
        Answer::Response(response) if response.status == 500 => Came::Refused,
        Answer::Response(response) if response.body == b"served" => Came::Whole,
        Answer::Response(other) => panic!("{other:?}"),
        Answer::Reset(_) | Answer::Ended(_) => Came::Nothing,
    }
}

#[test]
fn row_j1_load_4_every_point_has_its_test() {
    let tested = STAGES.iter().chain(SECURED).map(|stage| stage.point).chain(APART.iter().copied());
    let mut tested: Vec<_> = tested.collect();
    let mut points: Vec<_> = POINTS.iter().map(|(name, _)| *name).collect();
    tested.sort_unstable();
    points.sort_unstable();
    assert_eq!(tested, points);
}

/// One server for each, four at a time.
#[test]
fn row_j1_load_4_a_panic_at_any_stage_costs_one_request_at_most() {
    let clear = STAGES.iter().map(|stage| (stage, By::Clear));
    let stages = Mutex::new(clear.chain(SECURED.iter().map(|stage| (stage, By::Tls))));
    let next = || stages.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some((stage, by)) = next() {
            Traffic::start(stage, by).run();
        }
    };
    std::thread::scope(|scope| (0..4).map(|_| scope.spawn(work)).for_each(drop));
}

/// Eight requests at once: those before the one that panics are answered, it alone is told, and the rest is not begun.
#[test]
fn row_j1_load_4_a_panic_in_a_pipeline_loses_no_answer_before_it() {
    for (point, whole) in [("head", 4), ("judge", 4), ("handler", 4), ("encode", 4), ("record", 5)] {
        let setup = Setup::new().file("page.html", "served").env("FAILPOINTS", &format!("{point}=5x1"));
        let server = setup.start();
        let mut client = server.connect();
        let request = format!("GET /page.html HTTP/1.1\r\nHost: {}\r\n\r\n", server.host());
        client.send(request.repeat(8));
        for _ in 0..whole {
            assert_eq!(client.response().text(), "served", "{point}");
        }
        if point != "record" {
            assert_refused(&client.response(), 500, "internal");
        }
        assert!(client.is_closed(), "{point}");
        assert_eq!(server.get("/page.html").text(), "served");
    }
}

/// Ten clients share the look at a file: it is made once more, and all are answered.
#[test]
fn row_j1_load_2_a_look_that_panicked_costs_none_of_those_who_share_it() {
    let server = Setup::new().file("page.html", "served").env("FAILPOINTS", "open=1x1").start();
    let mut clients: Vec<_> = (0..10).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send_request("GET /page.html HTTP/1.1\r\n", b"");
    }
    for client in &mut clients {
        assert_eq!(client.response().text(), "served");
    }
    assert_eq!(server.get("/metrics?format=json").json()["tidegate_panics_total"], 1);
}

/// What was taken of the quota is given back, and nothing is left in the folder.
#[test]
fn row_j1_up_5_a_panic_while_storing_leaves_nothing_behind() {
    for point in ["store_write", "store_sync", "store_link", "store_folder"] {
        let armed = format!("{point}=1x20");
        let server = Setup::new().env("FAILPOINTS", &armed).args(&["--upload-quota", "5KiB"]).start();
        let body = format!("\"{}\"", "x".repeat(1000));
        for _ in 0..20 {
            assert_refused(&server.upload(body.as_bytes()), 500, "internal");
            assert!(names(&server.uploads()).is_empty(), "{point}");
        }
        assert_eq!(server.upload(body.as_bytes()).status, 201, "{point}");
        assert_eq!(names(&server.uploads()).len(), 1);
        assert_eq!(server.get("/readyz").status, 200, "no disk has failed");
    }
}

/// Who has no seat is told so as often as ever.
#[test]
fn row_j1_load_3_a_panic_while_turning_away_costs_no_place_among_those_who_are_told() {
    // More than may be told at once: 64 on each of two workers.
    let most = most().max(300);
    let armed = format!("turn_away=2x{most}");
    let args =
        ["--max-connections", "4", "--workers", "2", "--header-timeout", "120s", "--access-log", "off"];
    let server = Setup::new().file("page.html", "served").env("FAILPOINTS", &armed).args(&args).start();
    let seated = [(); 4].map(|()| halfway(&server));
    let refused = |client: &mut Client| {
        client.send_request("GET /page.html HTTP/1.1\r\n", b"");
        let (bytes, end) = client.rest(support::SOON);
        assert_ne!(end, End::Open);
        bytes.starts_with(b"HTTP/1.1 503")
    };
    let told = (0..2 * most).filter(|_| refused(&mut server.connect())).count();
    assert!(told >= most / 2, "{told} of {}", 2 * most);
    for _ in 0..20 {
        eventually("who has no seat is told", || refused(&mut server.connect()));
    }
    drop(seated);
    eventually("it serves again", || {
        let mut client = server.connect();
        client.send_request("GET /page.html HTTP/1.1\r\nConnection: close\r\n", b"");
        client.rest(support::SOON).0.starts_with(b"HTTP/1.1 200")
    });
}

/// A connection amid its head, which keeps its seat.
fn halfway(server: &Server) -> Client {
    let mut client = server.connect();
    client.send("GET /page.html HTTP/1.1\r\n");
    server.rests();
    client
}

/// What is done once a second goes on; a slow head is cut in time though the worker's ticks panic too.
#[test]
fn row_j1_load_4_a_panic_beside_all_requests_stops_no_clock() {
    let setup = Setup::new().file("page.html", "served").env("FAILPOINTS", "second=2x,tick=2x");
    // Of two workers that tick in turn, one would meet every panic.
    let mut server = setup.args(&["--header-timeout", "1s", "--workers", "1"]).start();
    let threads = named_threads(&server).len();
    let mut slow = halfway(&server);
    assert_eq!(slow.response().status, 408);
    server.wait_for_log("failpoint second");
    server.wait_for_log("failpoint tick");
    server.wait_for_log("3 panics within");
    let told = || server.log().iter().filter(|line| line.contains("failpoint second")).count();
    eventually("the main thread goes on", || told() >= 2);
    assert_eq!(named_threads(&server).len(), threads);
    assert_eq!(server.get("/readyz").status, 200, "a panic is no reason to send clients elsewhere");
}

#[test]
fn row_j1_load_4_a_panic_in_a_command_costs_that_command() {
    let most = most();
    let armed = format!("control=2x{most}");
    let server = Setup::new().env("FAILPOINTS", &armed).args(&["--control", "control"]).start();
    let path = server.folder.0.join("control");
    let answered = (0..2 * most).filter(|_| panicking::command(&path, "bans export json").is_some()).count();
    assert_eq!(answered, most);
    assert!(panicking::command(&path, "bans export json").is_some_and(|answer| answer.starts_with("ok")));
    assert_eq!(server.get("/readyz").status, 200);
}
