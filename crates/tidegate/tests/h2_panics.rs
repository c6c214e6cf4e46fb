//! A panic on a stream of HTTP/2 costs that request alone, and neither its connection nor its neighbours (SPEC LOAD-4,
//! H2-1). Needs `--features failpoints`.
#![cfg(feature = "failpoints")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod h2raw;
mod support;
mod visitors;

use h2raw::frame::window_update;
use h2raw::{Answer, H2};
use support::{Server, Setup, eventually};
use visitors::metric;

const INTERNAL_ERROR: u32 = 2;
const JSON: (&str, &str) = ("content-type", "application/json");
/// More than a cache keeps whole, so that it is sent piece by piece.
const LARGE: usize = 3 << 20;
/// Requests of each test, of which the third meets the panic.
const REQUESTS: usize = 8;

/// What becomes of the request that meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    /// Nothing: its answer was whole.
    Nothing,
    /// 500
    Refusal,
    /// An answer that was begun is cut.
    Reset,
}

/// Asks several times over one connection where the third time panics at `point`, and tells what that cost.
fn check(point: &str, cost: Cost, ask: impl Fn(&mut H2) -> u32, right: impl Fn(&Answer) -> bool) {
    let setup = Setup::new().file("page.html", "page").file("large.bin", vec![b'x'; LARGE]);
    let server = setup.env("FAILPOINTS", &format!("{point}=3x1")).start();
    let mut client = H2::connect(&server);
    let mut costs = Vec::new();
    for _ in 0..REQUESTS {
        let stream = ask(&mut client);
        let answer = client.answer(stream);
        costs.extend(match &answer {
            answer if right(answer) => None,
            Answer::Response(response) if response.status == 500 => Some(Cost::Refusal),
            Answer::Reset(INTERNAL_ERROR) => Some(Cost::Reset),
            other => panic!("{point}: {other:?}"),
        });
    }
    let expected = if cost == Cost::Nothing { vec![] } else { vec![cost] };
    assert_eq!(costs, expected, "{point}");
    assert_eq!(metric(&server, "tidegate_panics_total"), 1.0, "{point}");
    eventually(point, || metric(&server, "http_server_active_requests") == 0.0);
}

fn is_page(answer: &Answer) -> bool {
    matches!(answer, Answer::Response(response) if response.status == 200 && response.body == b"page")
}

#[test]
fn row_j1_load_4_h2_1_a_panic_before_an_answer_is_a_500_on_that_stream() {
    for point in ["stream", "head", "judge", "handler", "encode"] {
        check(point, Cost::Refusal, |client| client.ask("GET", "/page.html", &[]), is_page);
    }
}

#[test]
fn row_j1_load_4_h2_1_a_panic_behind_an_answer_costs_nothing() {
    check("record", Cost::Nothing, |client| client.ask("GET", "/page.html", &[]), is_page);
}

#[test]
fn row_j1_load_4_h2_1_a_panic_amid_a_body_is_a_500_on_that_stream() {
    let upload = |client: &mut H2| {
        let stream = client.start("POST", "/upload", &[JSON]);
        client.send_body(stream, b"[1]", true);
        stream
    };
    let stored = |answer: &Answer| matches!(answer, Answer::Response(response) if response.status == 201);
    check("upload", Cost::Refusal, upload, stored);
    check("body", Cost::Refusal, upload, stored);
}

/// Its head is on its way, so that no other can follow.
#[test]
fn row_j1_load_4_h2_1_a_panic_amid_an_answer_cuts_that_stream_alone() {
    check("answer", Cost::Reset, |client| client.ask("GET", "/page.html", &[]), is_page);
}

/// One panic and another while its client is told of it: still no other stream pays.
#[test]
fn row_j1_load_4_h2_1_a_panic_in_an_apology_costs_no_other_request() {
    let armed = "head=2x1,encode=2x1";
    let server = Setup::new().file("page.html", "page").env("FAILPOINTS", armed).start();
    let mut client = H2::connect(&server);
    let answers = [(); 4].map(|()| {
        let stream = client.ask("GET", "/page.html", &[]);
        client.answer(stream)
    });
    assert!(matches!(answers[1], Answer::Reset(_)), "{:?}", answers[1]);
    assert!(answers.iter().enumerate().all(|(at, answer)| at == 1 || is_page(answer)), "{answers:?}");
    assert_eq!(metric(&server, "tidegate_panics_total"), 2.0);
}

#[test]
fn row_j1_load_4_h2_1_a_panic_amid_a_file_cuts_that_stream_alone() {
    let whole =
        |answer: &Answer| matches!(answer, Answer::Response(response) if response.body.len() == LARGE);
    for point in ["send", "piece"] {
        check(point, Cost::Reset, |client| client.ask("GET", "/large.bin", &[]), whole);
    }
}

/// Uploads that have begun, files that wait for their client and the dashboard's stream, all on one connection that
/// panics: under the lock of the `h2` crate, which then wakes none of them, or not.
#[test]
fn row_j1_load_4_up_5_h2_1_a_panic_of_a_connection_ends_it_with_all_its_streams_and_no_other() {
    for point in ["frames", "payload"] {
        let setup = Setup::new().file("page.html", "page").file("large.bin", vec![b'x'; LARGE]);
        // More than it takes until all streams have begun.
        let armed = format!("{point}=100x1");
        let args = ["--workers", "1", "--keep-alive", "600s"];
        let mut server = setup.env("FAILPOINTS", &armed).args(&args).start();
        let mut beside = H2::connect(&server);
        assert_eq!(beside.get("/page.html").status, 200);
        let mut client = H2::connect(&server);
        client.inbox.gives_back = false;
        begin_streams(&server, &mut client);
        take_to_the_end(&mut client);
        assert_all_given_back(&server, point);
        assert_eq!(beside.get("/page.html").body, b"page", "{point}: another connection");
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0), "{point}: nothing is waited for");
    }
}

/// Streams of a connection that is to panic, beside the dashboard's.
const UPLOADS: u32 = 8;
const FILES: u32 = 4;

/// Uploads of which a part has come, files for which the windows have no room, and the dashboard's stream.
fn begin_streams(server: &Server, client: &mut H2) {
    for _ in 0..UPLOADS {
        let stream = client.start("POST", "/upload", &[JSON]);
        client.send_body(stream, b"[\"half of it", false);
    }
    for _ in 0..FILES {
        client.ask("GET", "/large.bin", &[]);
    }
    client.ask("GET", "/security-dashboard/events", &[("accept", "text/event-stream")]);
    assert!(client.is_alive());
    eventually("all have begun", || metric(server, "http_server_active_requests") >= f64::from(UPLOADS));
    assert!(metric(server, "tidegate_body_bytes") > 0.0);
}

/// Takes a little more of the files, again and again, until the connection ends.
fn take_to_the_end(client: &mut H2) {
    while client.is_alive() {
        client.inbox.allow(0, 100);
        client.send(window_update(0, 100));
    }
}

/// What the streams of a connection had is free again, and of its uploads nothing is left.
fn assert_all_given_back(server: &Server, point: &str) {
    // Who asks for them, and the other connection.
    let connections = 2.0;
    for (name, at_rest) in [
        ("tidegate_connections", connections),
        ("http_server_active_requests", 0.0),
        ("tidegate_body_bytes", 0.0),
        ("tidegate_pool_busy", 0.0),
        ("tidegate_dashboard_viewers", 0.0),
    ] {
        eventually(&format!("{point}: {name}"), || metric(server, name) <= at_rest);
    }
    // Where the lock is poisoned, a stream meets that when it lets go, by each of its halves if it was sending.
    let most = if point == "payload" { 1 + UPLOADS + 2 * (FILES + 1) } else { 1 };
    let panics = metric(server, "tidegate_panics_total");
    assert!((1.0..=f64::from(most)).contains(&panics), "{point}: {panics} panics");
    assert_eq!(std::fs::read_dir(server.uploads()).unwrap().count(), 0, "{point}");
}
