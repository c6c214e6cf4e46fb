//! Inputs made to be costly: fields whose names collide, lists without end, paths of a thousand segments, documents of
//! nothing but brackets. What they cost grows with their length and no faster (SPEC H1-5, UP-2).
//!
//! The measure is the processor time of the server, which no load beside it changes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;
mod visitors;

use support::{Server, Setup};
use visitors::BEHIND_PROXY;

/// The longest head has a little less than 8 KiB for what is repeated.
const LONG: usize = 7600;
/// The largest body of the tests.
const LARGE: usize = 256 * 1024;
/// A request that costs less is no weapon, however its cost grows: a hundredth of what a fuzzer would call slow.
const CHEAP: f64 = 0.001;

/// A head or body that is made of so many bytes of the same thing.
type Made = fn(usize) -> String;

fn repeated(piece: &str, length: usize) -> String {
    piece.repeat(length / piece.len())
}

/// Names that differ in their last letters alone.
fn alike(length: usize) -> String {
    let each = length / 99;
    (0..99).map(|number| format!("X-{}{number:02}: \r\n", "a".repeat(each.saturating_sub(8)))).collect()
}

const HEADS: &[(&str, Made)] = &[
    ("fields of one name", |length| {
        let each = length / 99;
        format!("X-A: {}\r\n", "b".repeat(each.saturating_sub(7))).repeat(99)
    }),
    ("names alike", alike),
    ("Accept", |length| format!("Accept: {}\r\n", repeated("a/b;q=0.1,", length))),
    ("Accept-Encoding", |length| format!("Accept-Encoding: {}\r\n", repeated("gzip;q=0.1,", length))),
    ("Range", |length| format!("Range: bytes={}1-1\r\n", repeated("0-0,2-2,", length))),
    ("If-None-Match", |length| format!("If-None-Match: {}\"x\"\r\n", repeated("W/\"a\", ", length))),
    ("If-Modified-Since", |length| format!("If-Modified-Since: {}\r\n", repeated("Sun, ", length))),
    ("Forwarded", |length| format!("Forwarded: {}for=192.0.2.1\r\n", repeated("for=127.0.0.1,", length))),
    ("X-Forwarded-For", |length| format!("X-Forwarded-For: {}192.0.2.1\r\n", repeated("127.0.0.1,", length))),
    ("Connection", |length| format!("Connection: {}a\r\n", repeated("keep-alive,", length))),
    ("Cookie", |length| format!("Cookie: {}\r\n", repeated("a=b; ", length))),
    ("Origin", |length| format!("Origin: https://{}\r\n", repeated("a.", length))),
    ("Expect", |length| format!("Expect: {}\r\n", repeated("100-continue,", length))),
];

const TARGETS: &[(&str, Made)] = &[
    ("segments", |length| repeated("/a", length)),
    ("encoded letters", |length| format!("/{}", repeated("%61", length))),
    ("encoded slashes", |length| format!("/a{}", repeated("%2fa", length))),
    ("slashes", |length| format!("/a{}", repeated("/", length))),
    ("a query", |length| format!("/?{}", repeated("a=b&", length))),
];

const BODIES: &[(&str, Made)] = &[
    ("brackets", |length| format!("{}{}", repeated("[", length / 2), repeated("]", length / 2))),
    ("one name", |length| format!("{{{}\"a\":1}}", repeated("\"a\":1,", length))),
    ("a number", |length| repeated("9", length)),
    ("escapes", |length| format!("\"{}\"", repeated("\\ud800", length))),
    ("space", |length| format!("[{}1]", repeated(" ", length))),
    ("empty objects", |length| format!("[{}0]", repeated("{},", length))),
];

/// Seconds of processor time for each of `count` requests.
fn cost(server: &Server, count: u32, request: &[u8]) -> f64 {
    let mut client = server.connect();
    let before = server.cpu_seconds();
    for _ in 0..count {
        client.send(request);
        if client.try_response(false).expect("an answer").closes() {
            client = server.connect();
        }
    }
    (server.cpu_seconds() - before) / f64::from(count)
}

/// Whether what costs `whole` at four times the length of what costs `quarter` grows faster than its length. Linear is
/// 4, quadratic 16; some bytes of each are the same.
fn grows_too_fast(quarter: f64, whole: f64) -> bool {
    whole > CHEAP && whole > 9.0 * quarter.max(CHEAP / 9.0)
}

fn server() -> Server {
    let args =
        ["--rate-limit", "off", "--bans", "off", "--access-log", "off", "--cors-origin", "https://a.example"];
    Setup::new().args(&BEHIND_PROXY).args(&args).file("page.html", "page".repeat(1000)).start()
}

fn check(server: &Server, name: &str, count: u32, make: impl Fn(usize) -> Vec<u8>, length: usize) {
    let (quarter, whole) = (cost(server, count, &make(length / 4)), cost(server, count, &make(length)));
    assert!(!grows_too_fast(quarter, whole), "{name}: {quarter} s for a quarter, {whole} s for the whole");
}

#[test]
fn row_j12_h1_5_no_head_costs_more_than_its_length() {
    let server = server();
    let host = server.host();
    for (name, fields) in HEADS {
        let head = |length| {
            format!("GET /page.html HTTP/1.1\r\nHost: {host}\r\n{}\r\n", fields(length)).into_bytes()
        };
        check(&server, name, 150, head, LONG);
    }
    for (name, target) in TARGETS {
        let head = |length| format!("GET {} HTTP/1.1\r\nHost: {host}\r\n\r\n", target(length)).into_bytes();
        check(&server, name, 150, head, LONG);
    }
}

#[test]
fn row_j12_up_2_no_document_costs_more_than_its_length() {
    let server = server();
    let host = server.host();
    for (name, document) in BODIES {
        let upload = |length| {
            let body = document(length);
            let length = body.len();
            format!(
                "POST /upload HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .into_bytes()
        };
        check(&server, name, 8, upload, LARGE);
    }
}

/// The bar has teeth: what grows with the square of its length is found, also with a constant part.
#[test]
fn row_j12_h1_5_a_square_is_seen_as_one() {
    let square = |length: f64| 0.000_1 + 0.01 * length * length;
    assert!(grows_too_fast(square(0.25), square(1.0)));
    let line = |length: f64| 0.000_1 + 0.01 * length;
    assert!(!grows_too_fast(line(0.25), line(1.0)));
}
