//! Requests made to cost, to confuse or to be taken for something else (SPEC H1-1, H1-4, H1-5, H1-6, HOST-1), seen
//! by what they cost and by what stands behind them.
//!
//! Vectors of bad syntax are in `framing`, `conformance` and the tests of `http1`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;
mod visitors;

use support::client::End;
use support::{Client, SOON, Server, Setup};
use visitors::metric;

const CHUNKED: &str =
    "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n";

fn server(args: &[&str]) -> Server {
    Setup::new().file("index.html", "home").file("smuggled", "SMUGGLED").args(args).start()
}

/// One answer of `status`, and then the end, whatever stood behind.
fn refused_once(server: &Server, bytes: &[u8], status: u16, code: &str) {
    let mut client = server.connect();
    let behind = format!("GET /smuggled HTTP/1.1\r\nHost: {}\r\n\r\n", server.host());
    client.send([bytes, behind.as_bytes()].concat());
    let response = client.response();
    let what = String::from_utf8_lossy(bytes);
    assert_eq!(
        (response.status, response.code().as_str(), response.closes()),
        (status, code, true),
        "{what}"
    );
    assert_eq!(client.rest(SOON), (Vec::new(), End::Closed), "{what}");
}

/// A payload below the limit of a body, so that the framing alone can be too much.
#[test]
fn row_a5_h1_4_a_million_one_byte_chunks_are_refused_by_their_overhead() {
    const PAYLOAD: usize = 1_000_000;
    let server = server(&[]);
    let whole = format!("{PAYLOAD:x}\r\n{}\r\n0\r\n\r\n", "1".repeat(PAYLOAD));
    let control = server.request(CHUNKED, whole.as_bytes());
    assert_eq!(control.status, 201, "the control: one chunk of a million bytes");
    let (memory, time) = (server.memory_kib(), server.cpu_seconds());
    let response = server.request(CHUNKED, &b"1\r\n1\r\n".repeat(PAYLOAD));
    assert_eq!((response.status, response.code().as_str(), response.closes()), (400, "bad_chunk", true));
    let (grown, used) = (server.memory_kib().saturating_sub(memory), server.cpu_seconds() - time);
    assert!(grown < 2048, "{grown} KiB");
    assert!(used < 1.0, "{used} s of processor time");
}

#[test]
fn row_a6_h1_4_no_trailer_counts_as_a_field() {
    let server = server(&[]);
    let message = |head: &str, trailers: &str| {
        let mut client = server.connect();
        client.send_request(head, format!("2\r\n{{}}\r\n0\r\n{trailers}\r\n").as_bytes());
        let response = client.response();
        assert_eq!(client.get("/").text(), "home", "{trailers}: the message ended where its framing says");
        (response.status, response.closes())
    };
    for trailers in [
        "Content-Length: 500\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Host: evil.example\r\n",
        "Connection: close\r\n",
        "Expect: x\r\n",
        "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n",
    ] {
        assert_eq!(message(CHUNKED, trailers), (201, false), "{trailers}");
    }
    let plain = "POST /upload HTTP/1.1\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n";
    assert_eq!(message(plain, "Content-Type: application/json\r\n").0, 415, "nor does it mend one");
}

#[test]
fn row_a6_sec_6_a_token_in_a_trailer_opens_nothing() {
    const FIELD: &str = "Authorization: Bearer secret-token-of-the-operator\r\n";
    let setup = Setup::new().args(&["--admin-token-file", "token"]);
    setup.folder.write("token", "secret-token-of-the-operator");
    let server = setup.start();
    let stranger = "GET /metrics HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1\r\nTransfer-Encoding: chunked\r\n";
    assert_eq!(server.request(stranger, format!("0\r\n{FIELD}\r\n").as_bytes()).code(), "admin_forbidden");
    assert_eq!(server.request(&format!("{stranger}{FIELD}"), b"0\r\n\r\n").status, 200, "the control");
}

/// No line end will ever come, and none is waited for: a head has a minute here.
#[test]
fn row_a7_h1_4_a_bare_cr_is_refused_on_sight() {
    let server = server(&["--header-timeout", "60s"]);
    for bytes in
        ["GET / HTTP/1.1\rH", "GET / HTTP/1.1\r\nHost: a\rX", "GET / HTTP/1.1\r\nHost: a\r\n\rX", "\rG"]
    {
        let mut client = server.connect();
        client.send(bytes);
        let response = client.response();
        assert_eq!((response.status, response.closes()), (400, true), "{bytes:?}");
        assert_eq!(client.rest(SOON), (Vec::new(), End::Closed), "{bytes:?}");
    }
}

/// Asks to send a body that is too large for the server or comes at a bad time.
fn expecting(server: &Server, length: usize) -> (Client, u16) {
    let mut client = server.connect();
    let head = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n";
    client.send_request(&format!("{head}Content-Length: {length}\r\n"), b"");
    let status = client.read_response(false).unwrap().status;
    (client, status)
}

#[test]
fn row_a9_h1_6_no_body_is_asked_for_that_would_be_refused() {
    let busy = server(&["--max-body", "1KiB", "--body-memory", "1KiB"]);
    let (_holder, asked) = expecting(&busy, 1024);
    assert_eq!(asked, 100, "the control");
    let limited = server(&["--limit-loopback", "--rate-limit", "1/h:1"]);
    assert_eq!(limited.get("/").status, 200);
    for (server, length, status) in [(&busy, 1024, 503), (&busy, 10_000_000, 413), (&limited, 1024, 429)] {
        let (mut client, got) = expecting(server, length);
        assert_eq!(got, status);
        assert_eq!(client.rest(SOON), (Vec::new(), End::Closed), "{status}: nothing more is waited for");
    }
}

/// CVE-2025-32094: an expectation that one server reads and another does not.
#[test]
fn row_a9_h1_4_an_obfuscated_expectation_is_refused() {
    let server = server(&[]);
    let host = server.host();
    for method in ["GET", "POST", "OPTIONS"] {
        for field in
            ["Expect:\r\n 100-continue", "Expect : 100-continue", "Expect: 100\r-continue", " Expect: x"]
        {
            let head = format!("{method} / HTTP/1.1\r\nHost: {host}\r\n{field}\r\nContent-Length: 5\r\n\r\n");
            refused_once(&server, head.as_bytes(), 400, "bad_head");
        }
    }
}

/// What follows an upgrade that we do not make is HTTP/1.1 as before; a method that would open a tunnel ends it.
#[test]
fn row_a10_h1_1_no_bytes_are_reinterpreted() {
    let server = server(&[]);
    for upgrade in ["websocket", "h2c", "TLS/1.0", "HTTP/2.0, h2c"] {
        let mut client = server.connect();
        let fields = "Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n";
        client.send_request(&format!("GET / HTTP/1.1\r\n{fields}Upgrade: {upgrade}\r\n"), b"");
        client.send_request("GET /smuggled HTTP/1.1\r\nConnection: close\r\n", b"");
        assert_eq!(client.response().text(), "home", "{upgrade}");
        assert_eq!(client.response().text(), "SMUGGLED", "{upgrade}: a request behind it is one");
        assert!(client.is_closed());
    }
    let host = server.host();
    for line in ["CONNECT localhost:80", "CONNECT /", "TRACE /", "TRACE *"] {
        let head = format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        refused_once(&server, head.as_bytes(), 405, "method_not_allowed");
    }
}

/// RFC 9110 §7.6.1: a field that is named in Connection is dropped by who forwards. Framing is not ours to drop.
#[test]
fn row_a10_h1_4_a_nominated_field_still_frames() {
    let server = server(&[]);
    let inner = format!("GET /smuggled HTTP/1.1\r\nHost: {}\r\n\r\n", server.host());
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    let sized = format!("Content-Length: {}\r\n\r\n{inner}", inner.len());
    for (nominated, rest) in [("Transfer-Encoding", &chunked), ("Content-Length", &sized), ("Host", &sized)] {
        let mut client = server.connect();
        let host = server.host();
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: {nominated}\r\n{rest}"));
        client.send_request("GET / HTTP/1.1\r\nConnection: close\r\n", b"");
        assert_eq!(client.response().text(), "home", "{nominated}");
        assert_eq!(client.response().text(), "home", "{nominated}: the body was none of the requests");
        assert!(client.is_closed(), "{nominated}");
    }
}

/// Seconds of processor time for some clients that each send 64 KiB as `heads` requests, four bytes at a time.
fn cost_of_dripping(server: &Server, heads: usize) -> f64 {
    let front = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\nX: ", server.host());
    let head = format!("{front}{}\r\n\r\n", "a".repeat(64 * 1024 / heads - front.len() - 4));
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    let mut beside = server.connect();
    let before = server.cpu_seconds();
    for piece in head.repeat(heads).as_bytes().chunks(4) {
        for client in &mut clients {
            client.send(piece);
        }
        // Answered behind them by the one worker: it has read each piece by itself.
        assert_eq!(beside.get("/healthz").status, 200);
    }
    for client in &mut clients {
        for _ in 0..heads {
            assert_eq!(client.response().status, 200);
        }
    }
    server.cpu_seconds() - before
}

/// As many bytes and segments either way: were a head read anew with each of them, a long one would cost many times as
/// much.
#[test]
fn row_a12_h1_5_a_long_head_that_drips_costs_no_more_than_short_ones() {
    let wide = ["--max-header", "128KiB", "--header-timeout", "60s", "--max-requests", "0"];
    let server = server(&[wide.as_slice(), &["--workers", "1", "--access-log", "off"]].concat());
    let (short, long) = (cost_of_dripping(&server, 256), cost_of_dripping(&server, 1));
    assert!(long < 2.0 * short, "{long} s for a head of 64 KiB, {short} s for 256 of 256 bytes");
}

/// What begins like HTTP/2 by prior knowledge, and is none; and versions that are not served.
#[test]
fn row_b4_h1_2_what_is_no_preface_of_http_2_is_answered_at_once() {
    let server = server(&["--header-timeout", "60s"]);
    for bytes in
        ["PRI * HTTP/2.0\r\n\r\nSM\r\n\n", "PRI / HTTP/2.0\r\n", "GET / HTTP/2.0\r\n", "GET / HTTP/3.0\r\n"]
    {
        let mut client = server.connect();
        client.send(bytes);
        let response = client.response();
        let answer = (response.status, response.code(), response.closes());
        assert_eq!(answer, (505, "http_version".to_owned(), true), "{bytes:?}");
        assert_eq!(client.rest(SOON), (Vec::new(), End::Closed), "{bytes:?}");
    }
}

/// A page of another site whose name leads to this address (DNS rebinding): it has the right peer and a Host of its own.
#[test]
fn row_b6_host_1_a_foreign_name_reaches_no_page_and_is_counted() {
    let server = server(&[]);
    let port = server.addr.port();
    let names = ["evil.example", "localhost.evil.example", "127.0.0.1.nip.example", "xn--lcalhost-n4a"];
    let targets =
        ["/", "/security-dashboard?format=json", "/metrics", "/status", "/healthz", "/uploads/x.json"];
    for name in names {
        for target in targets {
            let mut client = server.connect();
            client.send(format!("GET {target} HTTP/1.1\r\nHost: {name}:{port}\r\n\r\n"));
            let response = client.response();
            let answer = (response.status, response.code());
            assert_eq!(answer, (403, "host_not_allowed".to_owned()), "{name} {target}");
            assert!(!response.text().contains("home") && !response.text().contains(name), "{name} {target}");
        }
    }
    let count = f64::from(u32::try_from(names.len() * targets.len()).unwrap());
    assert_eq!(metric(&server, "tidegate_refusals_total{code=\"host_not_allowed\"}"), count);
}
