//! Row A1, H1-4: Transfer-Encoding beside Content-Length. However the two are written, ordered, repeated and parted, and
//! whatever is asked with them: one 400, the end, and nothing behind it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;

use support::client::End;
use support::{SOON, Server, Setup};

const REQUESTS: [&str; 6] = ["POST /upload", "POST /", "GET /", "HEAD /", "OPTIONS *", "PUT /"];

const VERSIONS: [&str; 2] = ["HTTP/1.1\r\n", "HTTP/1.0\r\nConnection: keep-alive\r\n"];

/// Of the second, five bytes are the whole body either way.
const LENGTHS: [&str; 4] =
    ["Content-Length: 0", "Content-Length: 5", "CONTENT-LENGTH:5", "content-length:\t\u{20}5\u{20}"];

const CODINGS: [&str; 6] = [
    "Transfer-Encoding: chunked",
    "transfer-encoding:CHUNKED",
    "TRANSFER-ENCODING:\t chunked \t",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding:",
];

const BODY: &str = "0\r\n\r\n";

fn server() -> Server {
    Setup::new().file("index.html", "home").file("smuggled", "SMUGGLED").start()
}

/// A message with these fields, and a whole request behind it.
fn message(server: &Server, request: &str, version: &str, fields: &str) -> String {
    let host = server.host();
    format!(
        "{request} {version}Host: {host}\r\n{fields}\r\n{BODY}GET /smuggled HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
}

/// Everything that comes back, and how it ends.
fn heard(server: &Server, message: &str) -> (String, End) {
    let mut client = server.connect();
    client.send(message);
    let (bytes, end) = client.rest(SOON);
    (String::from_utf8_lossy(&bytes).into_owned(), end)
}

fn refused_once(server: &Server, message: &str) {
    let (answer, end) = heard(server, message);
    assert!(answer.starts_with("HTTP/1.1 400 "), "{message:?}: {answer}");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{message:?}: {answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{message:?}: {answer}");
    assert_eq!(end, End::Closed, "{message:?}");
}

#[test]
fn row_a1_h1_4_control_either_field_alone_lets_the_next_request_through() {
    let server = server();
    for field in [LENGTHS[1], LENGTHS[2], LENGTHS[3], CODINGS[0], CODINGS[1], CODINGS[2]] {
        for request in ["POST /", "GET /", "HEAD /", "OPTIONS *"] {
            let message = message(&server, request, VERSIONS[0], &format!("{field}\r\n"));
            let (answers, _) = heard(&server, &message);
            assert!(answers.ends_with("SMUGGLED"), "{message:?}: {answers}");
        }
    }
}

#[test]
fn row_a1_h1_4_every_spelling_of_both_in_every_order_closes() {
    let server = server();
    for length in LENGTHS {
        for coding in CODINGS {
            for fields in [
                format!("{length}\r\n{coding}\r\n"),
                format!("{coding}\r\n{length}\r\n"),
                format!("{coding}\r\nAccept: */*\r\nConnection: Content-Length\r\n{length}\r\n"),
            ] {
                refused_once(&server, &message(&server, "POST /upload", VERSIONS[0], &fields));
            }
        }
    }
}

#[test]
fn row_a1_h1_4_both_close_whatever_is_asked_in_either_version() {
    let server = server();
    for request in REQUESTS {
        for version in VERSIONS {
            for fields in [[LENGTHS[1], CODINGS[0]], [CODINGS[0], LENGTHS[0]], [CODINGS[3], LENGTHS[1]]] {
                refused_once(
                    &server,
                    &message(&server, request, version, &format!("{}\r\n", fields.join("\r\n"))),
                );
            }
        }
    }
}

#[test]
fn row_a1_h1_4_repeated_ones_close() {
    let server = server();
    let [length, coding] = [LENGTHS[1], CODINGS[0]];
    for count in 2..=3 {
        for (first, second) in [(length, coding), (coding, length)] {
            let repeated = format!("{first}\r\n").repeat(count);
            for fields in [
                repeated.clone(),
                format!("{repeated}{second}\r\n"),
                format!("{second}\r\n{repeated}"),
                format!("{first}\r\n{second}\r\n{repeated}{second}\r\n"),
            ] {
                refused_once(&server, &message(&server, "POST /upload", VERSIONS[0], &fields));
            }
        }
    }
}

#[test]
fn row_a1_h1_4_both_close_however_they_arrive() {
    let server = server();
    let fields = format!("{}\r\n{}\r\n", LENGTHS[1], CODINGS[0]);
    let message = message(&server, "GET /", VERSIONS[0], &fields);
    let head = message.find("\r\n\r\n").unwrap() + 4;
    for cut in 1..head {
        let mut client = server.connect();
        client.send(&message[..cut]);
        client.send(&message[cut..]);
        let (bytes, _) = client.rest(SOON);
        let answer = String::from_utf8_lossy(&bytes);
        assert!(answer.starts_with("HTTP/1.1 400 "), "cut at {cut}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "cut at {cut}: {answer}");
    }
}
