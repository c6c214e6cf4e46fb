//! Bodies that nobody reads (SPEC H1-4, H1-11): whatever is answered before a body was read, the body is read away or
//! the connection ends, and never is it taken for a request.
//!
//! Every method meets every status that a head alone decides; the body is always a whole request of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;

use support::client::End;
use support::{SOON, Server, Setup};

/// What is answered before its body is read: method and target, the fields, and the status.
type Early = (&'static str, &'static str, u16);

const HERE: &str = "Host: {H}\r\n";
const UPLOAD: &str = "Host: {H}\r\nContent-Type: application/json\r\n";
const EARLY: &[Early] = &[
    ("GET /", HERE, 200),
    ("HEAD /", HERE, 200),
    ("GET /healthz", HERE, 200),
    ("HEAD /healthz", HERE, 200),
    ("OPTIONS /", HERE, 204),
    ("OPTIONS *", HERE, 204),
    ("OPTIONS /upload", HERE, 204),
    ("GET /index.html", "Host: {H}\r\nRange: bytes=0-0\r\n", 206),
    ("GET /index.html", "Host: {H}\r\nIf-None-Match: *\r\n", 304),
    ("HEAD /index.html", "Host: {H}\r\nIf-None-Match: *\r\n", 304),
    ("GET /sub", HERE, 308),
    ("HEAD /sub", HERE, 308),
    ("GET /%zz", HERE, 400),
    ("HEAD /%zz", HERE, 400),
    ("POST /%zz", HERE, 400),
    ("OPTIONS /%zz", HERE, 400),
    ("GET /", "", 400),
    ("HEAD /", "", 400),
    ("POST /upload", "", 400),
    ("OPTIONS /", "", 400),
    ("GET /../x", HERE, 403),
    ("HEAD /../x", HERE, 403),
    ("POST /../x", HERE, 403),
    ("OPTIONS /../x", HERE, 403),
    ("GET /", "Host: evil.example\r\n", 403),
    ("HEAD /", "Host: evil.example\r\n", 403),
    ("POST /upload", "Host: evil.example\r\n", 403),
    ("OPTIONS /", "Host: evil.example\r\n", 403),
    ("GET /metrics", "Host: {H}\r\nForwarded: for=1.2.3.4\r\n", 403),
    ("GET /missing", HERE, 404),
    ("HEAD /missing", HERE, 404),
    ("GET /upload", HERE, 405),
    ("HEAD /upload", HERE, 405),
    ("POST /", HERE, 405),
    ("GET /index.html", "Host: {H}\r\nIf-Match: \"x\"\r\n", 412),
    ("HEAD /index.html", "Host: {H}\r\nIf-Match: \"x\"\r\n", 412),
    ("POST /upload", HERE, 415),
    ("POST /upload", "Host: {H}\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n", 415),
    ("GET /index.html", "Host: {H}\r\nRange: bytes=9-\r\n", 416),
];

/// What is answered and closed at once where a body may follow.
const CLOSED: &[Early] = &[
    ("PUT /", HERE, 405),
    ("DELETE /index.html", HERE, 405),
    ("BREW /upload", HERE, 405),
    ("TRACE /", HERE, 405),
    ("CONNECT /", HERE, 405),
    ("GET /", "Host: {H}\r\nExpect: x\r\n", 417),
    ("HEAD /", "Host: {H}\r\nExpect: x\r\n", 417),
    ("POST /upload", "Host: {H}\r\nContent-Type: application/json\r\nExpect: x\r\n", 417),
    ("GET /", "Host: {H}\r\nExpect: 100-continue\r\n", 200),
    ("GET /", "Host: {H}\r\nConnection: close\r\n", 200),
    ("POST /upload", UPLOAD, 413),
];

fn setup() -> Setup {
    let setup = Setup::new().file("index.html", "home").file("smuggled", "SMUGGLED");
    std::fs::create_dir(setup.root().join("sub")).unwrap();
    setup
}

fn smuggled(server: &Server) -> Vec<u8> {
    format!("GET /smuggled HTTP/1.1\r\nHost: {}\r\n\r\n", server.host()).into_bytes()
}

/// The message with each framing of a body that is a request.
fn messages(server: &Server, line: &str, fields: &str) -> [Vec<u8>; 2] {
    let (inner, fields) = (smuggled(server), fields.replace("{H}", &server.host()));
    let head = |framing: String| format!("{line} HTTP/1.1\r\n{fields}{framing}\r\n\r\n").into_bytes();
    let chunk = format!("{:x}\r\n", inner.len()).into_bytes();
    [
        [head(format!("Content-Length: {}", inner.len())), inner.clone()].concat(),
        [head("Transfer-Encoding: chunked".into()), chunk, inner, b"\r\n0\r\n\r\n".to_vec()].concat(),
    ]
}

/// Each message has its status, and the request behind it `next` and the end.
fn answered_and_read_away(server: &Server, cases: &[Early], next: u16) {
    for (line, fields, status) in cases {
        for message in messages(server, line, fields) {
            let mut client = server.connect();
            client.send(message);
            client.send_request("GET /healthz HTTP/1.1\r\nConnection: close\r\n", b"");
            let response = client.response_to(line);
            assert_eq!((response.status, response.closes()), (*status, false), "{line} {fields}");
            let behind = client.response();
            assert_eq!((behind.status, behind.closes()), (next, true), "{line} {fields}");
            assert!(client.is_closed(), "{line} {fields}");
        }
    }
    never_smuggled(server);
}

fn never_smuggled(server: &Server) {
    let log = server.log();
    assert!(
        !log.iter().any(|line| line.contains("\"GET /smuggled")),
        "a body was taken for a request: {log:#?}"
    );
}

#[test]
fn row_a8_h1_4_a_body_that_nobody_reads_is_never_a_request() {
    answered_and_read_away(&setup().start(), EARLY, 200);
}

/// The same where the server is out of something: places for bodies, or this client's tokens.
#[test]
fn row_a8_h1_11_a_body_refused_for_want_of_room_is_never_a_request() {
    let busy = setup().args(&["--max-body", "1KiB", "--body-memory", "1KiB"]).start();
    let mut holder = busy.connect();
    let held = UPLOAD.replace("Host: {H}\r\n", "");
    holder.send_request(
        &format!("POST /upload HTTP/1.1\r\n{held}Expect: 100-continue\r\nContent-Length: 1024\r\n"),
        b"",
    );
    assert_eq!(holder.read_response(false).unwrap().status, 100);
    answered_and_read_away(&busy, &[("POST /upload", UPLOAD, 503)], 200);
    drop(holder);
    let limited = setup().args(&["--limit-loopback", "--rate-limit", "1/h:1"]).start();
    assert_eq!(limited.get("/").status, 200);
    let lines = ["GET /", "HEAD /", "POST /upload", "OPTIONS /", "GET /missing", "POST /"];
    let all: Vec<Early> = lines.into_iter().map(|line| (line, UPLOAD, 429)).collect();
    answered_and_read_away(&limited, &all, 429);
}

#[test]
fn row_a8_h1_11_an_answer_that_leaves_a_body_unread_ends_the_connection() {
    let server = setup().args(&["--max-body", "10B"]).start();
    for (line, fields, status) in CLOSED {
        for message in messages(&server, line, fields) {
            let mut client = server.connect();
            client.send([message, smuggled(&server)].concat());
            let response = client.response_to(line);
            assert_eq!((response.status, response.closes()), (*status, true), "{line} {fields}");
            assert_eq!(client.rest(SOON), (Vec::new(), End::Closed), "{line} {fields}");
        }
    }
    never_smuggled(&server);
}

#[test]
fn row_a8_h1_4_an_unread_body_beyond_the_limit_closes_before_anything_behind_it() {
    let server = setup().start();
    let body = smuggled(&server).repeat(1500);
    assert!(body.len() > 64 * 1024);
    for (line, status) in [("GET /", 200), ("POST /", 405), ("GET /missing", 404)] {
        let mut client = server.connect();
        let head = format!("{line} HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
        client.send_request(&head, &body);
        let response = client.response();
        assert_eq!((response.status, response.closes()), (status, true), "{line}");
        assert_eq!(client.rest(SOON), (Vec::new(), End::Closed), "{line}");
    }
}
