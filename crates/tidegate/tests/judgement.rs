//! H1-10: of two faults in one request the earlier step answers. H1-11: which refusals keep the connection.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;

use std::time::Duration;

use support::client::End;
use support::{Response, SOON, Server, Setup};

/// A request in parts, each of which a fault can spoil.
#[derive(Clone, Debug)]
struct Parts {
    method: &'static str,
    target: &'static str,
    version: &'static str,
    host: String,
    length: Option<&'static str>,
    kind: &'static str,
    extra: String,
    body: &'static [u8],
}

impl Parts {
    fn upload(server: &Server) -> Self {
        Self {
            method: "POST",
            target: "/upload",
            version: "HTTP/1.1",
            host: server.host(),
            length: Some("2"),
            kind: "application/json",
            extra: String::new(),
            body: b"{}",
        }
    }

    fn get(server: &Server) -> Self {
        Self { method: "GET", target: "/index.html", length: None, body: b"", ..Self::upload(server) }
    }

    fn bytes(&self) -> Vec<u8> {
        let Self { method, target, version, host, kind, extra, .. } = self;
        let length = self.length.map_or_else(String::new, |length| format!("Content-Length: {length}\r\n"));
        let head = format!(
            "{method} {target} {version}\r\nHost: {host}\r\nContent-Type: {kind}\r\n{length}{extra}\r\n"
        );
        [head.as_bytes(), self.body].concat()
    }

    fn ask(&self, server: &Server) -> Response {
        let mut client = server.connect();
        client.send(self.bytes());
        client.response()
    }
}

/// A fault: its code, and how it comes about.
type Fault = (&'static str, fn(&mut Parts));

/// In the order in which they are judged.
const FAULTS: &[Fault] = &[
    ("bad_request_line", |parts| parts.version = "HTTP/1.x"),
    ("http_version", |parts| parts.version = "HTTP/3.0"),
    ("too_many_fields", |parts| parts.extra += &"X: y\r\n".repeat(101)),
    ("bad_head", |parts| parts.extra += "X : y\r\n"),
    ("bad_framing", |parts| parts.extra += "Content-Length: +5\r\n"),
    ("host_not_allowed", |parts| parts.host = "evil.example".into()),
    ("method_not_allowed", |parts| parts.method = "PUT"),
    ("bad_target", |parts| parts.target = "/%zz"),
];

/// What only a GET can get wrong.
const GET_FAULTS: &[Fault] = &[
    ("expectation_failed", |parts| parts.extra += "Expect: x\r\n"),
    ("not_found", |parts| parts.target = "/missing"),
    ("precondition_failed", |parts| parts.extra += "If-Match: \"x\"\r\n"),
    ("range_not_satisfiable", |parts| parts.extra += "Range: bytes=99-\r\n"),
];

/// What only an upload can get wrong.
const UPLOAD_FAULTS: &[Fault] = &[
    ("expectation_failed", |parts| parts.extra += "Expect: x\r\n"),
    ("length_required", |parts| (parts.length, parts.body) = (None, b"")),
    ("body_too_large", |parts| parts.length = Some("1048577")),
    ("not_json", |parts| parts.kind = "text/plain"),
    ("content_encoding", |parts| parts.extra += "Content-Encoding: gzip\r\n"),
    ("invalid_json", |parts| parts.body = b"{]"),
];

fn server() -> Server {
    Setup::new().file("index.html", "home").file("sub/index.html", "sub").start()
}

fn each_pair(base: &Parts, faults: &[Fault], server: &Server) {
    for (at, (code, spoil)) in faults.iter().enumerate() {
        let mut alone = base.clone();
        spoil(&mut alone);
        assert_eq!(alone.ask(server).code(), *code, "{alone:?}");
        for (later, spoil_later) in &faults[at + 1..] {
            // The later one first: where both spoil one part, the earlier wins by what is sent.
            let mut both = base.clone();
            spoil_later(&mut both);
            spoil(&mut both);
            assert_eq!(both.ask(server).code(), *code, "before {later}: {both:?}");
        }
    }
}

#[test]
fn h1_10_of_two_faults_in_a_get_the_earlier_step_answers() {
    let server = server();
    let base = Parts::get(&server);
    assert_eq!(base.ask(&server).status, 200, "the control");
    each_pair(&base, &[FAULTS, GET_FAULTS].concat(), &server);
}

#[test]
fn h1_10_of_two_faults_in_an_upload_the_earlier_step_answers() {
    let server = server();
    let base = Parts::upload(&server);
    assert_eq!(base.ask(&server).status, 201, "the control");
    each_pair(&base, &[FAULTS, UPLOAD_FAULTS].concat(), &server);
    assert_eq!(std::fs::read_dir(server.uploads()).unwrap().count(), 1, "nothing refused is kept");
}

#[test]
fn h1_10_steps_that_share_a_part_are_in_order_too() {
    let server = server();
    let long = "a".repeat(9000);
    for (line, fields, status, code) in [
        // (1) The request line before the head.
        (format!("GET /{long}"), "X: y\r\n".to_owned(), 414, "target_too_long"),
        // (4) before (5): an unknown method whatever the target.
        ("PUT *".into(), String::new(), 405, "method_not_allowed"),
        ("PUT /../x".into(), String::new(), 405, "method_not_allowed"),
        // (5) before (6), (8) and (11).
        ("OPTIONS /../x".into(), String::new(), 403, "traversal"),
        ("OPTIONS /%zz".into(), String::new(), 400, "bad_target"),
        ("POST /../x".into(), "Content-Length: 0\r\n".into(), 403, "traversal"),
        ("POST *".into(), "Content-Length: 0\r\n".into(), 400, "bad_target"),
        ("GET /upload/../x".into(), String::new(), 403, "traversal"),
        // Within (5): what is malformed before what leads up.
        ("GET /../%zz".into(), String::new(), 400, "bad_target"),
        // (6) before (9) and (11).
        ("OPTIONS /missing".into(), "Expect: x\r\n".into(), 204, ""),
        ("OPTIONS /upload".into(), "Expect: x\r\n".into(), 204, ""),
        // (8) before (9) and (11): the disk is not asked.
        ("POST /missing".into(), "Expect: x\r\n".into(), 405, "method_not_allowed"),
        ("GET /upload".into(), "Expect: x\r\n".into(), 405, "method_not_allowed"),
        ("POST /sub".into(), "Content-Length: 0\r\n".into(), 405, "method_not_allowed"),
        // (11) 404 and 308, then 412, then 304, then 416, then 206.
        ("GET /sub".into(), "If-Match: \"x\"\r\nRange: bytes=99-\r\n".into(), 308, ""),
        (
            "GET /index.html".into(),
            "If-Match: \"x\"\r\nIf-None-Match: *\r\n".into(),
            412,
            "precondition_failed",
        ),
        ("GET /index.html".into(), "If-None-Match: *\r\nRange: bytes=99-\r\n".into(), 304, ""),
        (
            "GET /index.html".into(),
            "If-Match: *\r\nRange: bytes=99-\r\n".into(),
            416,
            "range_not_satisfiable",
        ),
        ("GET /index.html".into(), "If-Match: *\r\nRange: bytes=1-\r\n".into(), 206, ""),
    ] {
        let response = server.request(&format!("{line} HTTP/1.1\r\n{fields}"), b"");
        assert_eq!(response.status, status, "{line:.40} {fields}");
        if !code.is_empty() {
            assert_eq!(response.code(), code, "{line:.40} {fields}");
        }
    }
}

#[test]
fn h1_10_the_store_is_asked_last() {
    let quota = Setup::new().args(&["--upload-quota", "1B"]).start();
    assert_eq!(quota.upload(b"{}").code(), "quota_exceeded");
    assert_eq!(quota.upload(b"{]").code(), "invalid_json", "JSON before the store");
    let none = Setup::new().file("taken", "a file").args(&["--uploads", "root/taken/x"]).start();
    assert_eq!(none.upload(b"{}").code(), "uploads_unavailable");
    let mut parts = Parts::upload(&none);
    parts.kind = "text/plain";
    assert_eq!(parts.ask(&none).code(), "not_json", "type before the store");
    parts.length = Some("9999999");
    assert_eq!(parts.ask(&none).code(), "body_too_large", "length before type");
}

/// Sends `bytes` and tells the code of the refusal and whether the connection then answers another request.
fn refuse(server: &Server, bytes: &[u8]) -> (String, bool) {
    let mut client = server.connect();
    client.send(bytes);
    let response = client.response();
    assert!(response.status >= 400, "{response:?}");
    if response.closes() {
        assert_eq!(client.rest(SOON), (Vec::new(), End::Closed));
    } else {
        assert_eq!(client.get("/healthz").status, 200);
    }
    (response.code(), !response.closes())
}

#[test]
fn h1_11_what_is_framed_soundly_keeps_the_connection_and_the_rest_closes_it() {
    let server = server();
    // (1), and 413.
    let closes = [0, 1, 2, 3, 4, 6];
    for (at, (code, spoil)) in FAULTS.iter().enumerate() {
        let mut parts = Parts::upload(&server);
        spoil(&mut parts);
        assert_eq!(refuse(&server, &parts.bytes()), ((*code).to_owned(), !closes.contains(&at)));
    }
    for (code, spoil) in UPLOAD_FAULTS {
        let mut parts = Parts::upload(&server);
        spoil(&mut parts);
        let keeps = !matches!(*code, "expectation_failed" | "body_too_large");
        assert_eq!(refuse(&server, &parts.bytes()), ((*code).to_owned(), keeps));
    }
    for (code, spoil) in GET_FAULTS {
        let mut parts = Parts::get(&server);
        spoil(&mut parts);
        assert_eq!(refuse(&server, &parts.bytes()), ((*code).to_owned(), true));
    }
    let known = Parts { target: "/", ..Parts::upload(&server) };
    assert_eq!(refuse(&server, &known.bytes()), ("method_not_allowed".to_owned(), true), "POST is known");
    let host = Parts { host: "a b".into(), ..Parts::upload(&server) };
    assert_eq!(refuse(&server, &host.bytes()), ("bad_host".to_owned(), true));
    assert_eq!(refuse(&server, b"GET / HTTP/1.1\r\n\r\n"), ("host_missing".to_owned(), true));
    let up = Parts { target: "/..", ..Parts::upload(&server) };
    assert_eq!(refuse(&server, &up.bytes()), ("traversal".to_owned(), true));
}

#[test]
fn row_a8_h1_11_an_unread_body_of_up_to_64_kib_is_read_away() {
    let server = server();
    for (size, keeps) in [(1, true), (65_536, true), (65_537, false), (300_000, false)] {
        let mut client = server.connect();
        client.send_request(&format!("POST / HTTP/1.1\r\nContent-Length: {size}\r\n"), &vec![b'x'; size]);
        let response = client.response();
        assert_eq!((response.status, response.closes()), (405, !keeps), "{size}");
        if keeps {
            assert_eq!(client.get("/").text(), "home");
        } else {
            assert_eq!(client.rest(SOON), (Vec::new(), End::Closed));
        }
    }
    for (size, keeps) in [(60_000, true), (200_000, false)] {
        let mut client = server.connect();
        let body = format!("{size:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(size));
        client.send_request("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", body.as_bytes());
        client.send_request("GET / HTTP/1.1\r\n", b"");
        assert_eq!(client.response().status, 405);
        let next = client.try_response(false).map(|response| response.text());
        assert_eq!(next.as_deref(), keeps.then_some("home"), "{size} in chunks");
    }
}

#[test]
fn row_a8_h1_11_the_rest_of_a_body_is_waited_for_within_the_linger_only() {
    let server = server();
    let mut client = server.connect();
    client.send_request("POST / HTTP/1.1\r\nContent-Length: 10\r\n", b"12345");
    let response = client.response();
    assert_eq!((response.status, response.closes()), (405, false));
    std::thread::sleep(Duration::from_millis(300));
    client.send(b"67890");
    assert_eq!(client.get("/").text(), "home");
    client.send_request("POST / HTTP/1.1\r\nContent-Length: 10\r\n", b"12345");
    assert_eq!(client.response().status, 405);
    assert_eq!(client.rest(SOON), (Vec::new(), End::Closed), "the rest never came");
}

#[test]
fn h1_11_a_slow_head_closes() {
    let server = Setup::new().args(&["--header-timeout", "1s"]).start();
    for piece in ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        let mut client = server.connect();
        client.send(piece);
        let response = client.response();
        assert_eq!((response.status, response.code().as_str(), response.closes()), (408, "slow_head", true));
        assert_eq!(client.rest(SOON), (Vec::new(), End::Closed));
    }
}
