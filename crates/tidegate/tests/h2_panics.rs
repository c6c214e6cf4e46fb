//! A panic on a stream of HTTP/2 costs that request alone, and neither its connection nor its neighbours (SPEC LOAD-4,
//! H2-1). Needs `--features failpoints`.
#![cfg(feature = "failpoints")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod h2raw;
mod support;

use h2raw::{Answer, H2};
use support::{Setup, eventually};

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
    let metric = |name: &str| server.get("/metrics?format=json").json()[name].clone();
    assert_eq!(metric("tidegate_panics_total"), 1, "{point}");
    eventually(point, || metric("http_server_active_requests") == 0);
}

fn is_page(answer: &Answer) -> bool {
    matches!(answer, Answer::Response(response) if response.status == 200 && response.body == b"page")
}

#[test]
fn row_j1_load_4_h2_1_a_panic_before_an_answer_is_a_500_on_that_stream() {
    for point in ["head", "judge", "handler", "encode"] {
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

#[test]
fn row_j1_load_4_h2_1_a_panic_amid_a_file_cuts_that_stream_alone() {
    let whole =
        |answer: &Answer| matches!(answer, Answer::Response(response) if response.body.len() == LARGE);
    for point in ["send", "piece"] {
        check(point, Cost::Reset, |client| client.ask("GET", "/large.bin", &[]), whole);
    }
}
