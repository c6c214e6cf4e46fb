//! H1-5: head, fields, request line and body are bounded; each bound is met from both sides.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;

use std::time::Duration;

use support::client::End;
use support::{Response, SOON, Server, Setup};

const HEAD: usize = 8192;
const LINE: usize = 8000;
const BODY: usize = 1 << 20;

fn server(args: &[&str]) -> Server {
    Setup::new().file("index.html", "home").args(args).start()
}

/// A whole request of exactly `size` bytes, padded by one field.
fn head_of(server: &Server, size: usize) -> String {
    let front = format!("GET / HTTP/1.1\r\nHost: {}\r\nX: ", server.host());
    format!("{front}{}\r\n\r\n", "a".repeat(size - front.len() - 4))
}

/// A request line of exactly `size` bytes without its end, and a Host field.
fn line_of(server: &Server, size: usize) -> String {
    let around = "GET /? HTTP/1.1".len();
    format!("GET /?{} HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(size - around), server.host())
}

/// A request of `count` fields, Host among them.
fn fields_of(server: &Server, count: usize) -> String {
    format!("GET / HTTP/1.1\r\nHost: {}\r\n{}\r\n", server.host(), "X: a\r\n".repeat(count - 1))
}

fn answer(server: &Server, bytes: impl AsRef<[u8]>) -> Response {
    let mut client = server.connect();
    client.send(bytes);
    let response = client.response();
    if response.status == 200 {
        assert!(!response.closes());
        assert_eq!(client.get("/").text(), "home", "the bytes were consumed exactly");
    } else {
        assert!(response.closes());
        assert_eq!(client.rest(SOON), (Vec::new(), End::Closed));
    }
    response
}

fn refused(server: &Server, bytes: impl AsRef<[u8]>, status: u16, code: &str) {
    let response = answer(server, bytes);
    assert_eq!((response.status, response.code().as_str()), (status, code));
}

#[test]
fn row_b3_h1_5_a_head_may_have_8192_bytes() {
    let server = server(&[]);
    assert_eq!(answer(&server, head_of(&server, HEAD)).status, 200);
    assert_eq!(
        answer(&server, format!("\r\n{}", head_of(&server, HEAD))).status,
        200,
        "an empty line is no part"
    );
    refused(&server, head_of(&server, HEAD + 1), 431, "head_too_large");
    refused(&server, format!("\r\n{}", head_of(&server, HEAD + 1)), 431, "head_too_large");
    refused(&server, head_of(&server, 100_000), 431, "head_too_large");
    let name = format!("GET / HTTP/1.1\r\nHost: {}\r\n{}: x\r\n\r\n", server.host(), "n".repeat(70_000));
    refused(&server, name, 431, "head_too_large");
}

#[test]
fn row_b3_h1_5_a_head_may_have_100_fields() {
    let server = server(&[]);
    assert_eq!(answer(&server, fields_of(&server, 100)).status, 200);
    refused(&server, fields_of(&server, 101), 431, "too_many_fields");
    refused(&server, fields_of(&server, 1200), 431, "too_many_fields");
}

#[test]
fn row_b3_h1_5_a_request_line_may_have_8000_bytes() {
    let server = server(&[]);
    assert_eq!(answer(&server, line_of(&server, LINE)).status, 200);
    refused(&server, line_of(&server, LINE + 1), 414, "target_too_long");
    refused(&server, line_of(&server, 100_000), 414, "target_too_long");
    // The line is judged before the head: this one breaks both bounds.
    refused(&server, line_of(&server, HEAD + 1), 414, "target_too_long");
    // A long path is no path of this disk, and no error of ours.
    let long = format!("/{}", "a".repeat(7900));
    assert_eq!(server.get(&long).status, 404);
}

#[test]
fn row_b3_h1_5_what_is_too_large_is_refused_before_it_is_whole() {
    let server = server(&[]);
    for (front, fill, status) in [("GET /", "a", 414), ("GET / HTTP/1.1\r\nX: ", "a", 431), ("M", "M", 414)] {
        let mut client = server.connect();
        // No line end, no empty line: nothing more is waited for.
        client.send(format!("{front}{}", fill.repeat(9000)));
        assert_eq!(client.response().status, status, "{front:?}");
    }
    let mut client = server.connect();
    client.send(format!("GET / HTTP/1.1\r\n{}", "X: a\r\n".repeat(101)));
    assert_eq!(client.response().code(), "too_many_fields");
}

#[test]
fn h1_5_bounds_hold_for_bytes_that_arrive_in_pieces() {
    let server = server(&[]);
    for (bytes, status) in [
        (head_of(&server, HEAD), 200),
        (head_of(&server, HEAD + 1), 431),
        (line_of(&server, LINE), 200),
        (line_of(&server, LINE + 1), 414),
        (fields_of(&server, 100), 200),
        (fields_of(&server, 101), 431),
    ] {
        let mut client = server.connect();
        for piece in bytes.as_bytes().chunks(977) {
            client.send(piece);
            std::thread::sleep(Duration::from_millis(3));
        }
        assert_eq!(client.response().status, status);
    }
}

#[test]
fn h1_5_the_bounds_of_a_head_are_settings() {
    let server = server(&["--max-header", "1KiB", "--max-request-line", "100B", "--max-fields", "5"]);
    assert_eq!(answer(&server, head_of(&server, 1024)).status, 200);
    refused(&server, head_of(&server, 1025), 431, "head_too_large");
    assert_eq!(answer(&server, line_of(&server, 100)).status, 200);
    refused(&server, line_of(&server, 101), 414, "target_too_long");
    assert_eq!(answer(&server, fields_of(&server, 5)).status, 200);
    refused(&server, fields_of(&server, 6), 431, "too_many_fields");
    // The control: with a larger bound the same head passes.
    let wide = Setup::new().file("index.html", "home").args(&["--max-header", "64KiB"]).start();
    assert_eq!(answer(&wide, head_of(&wide, 60_000)).status, 200);
    refused(&wide, head_of(&wide, 65_537), 431, "head_too_large");
}

/// JSON of exactly `size` bytes.
fn json_of(size: usize) -> Vec<u8> {
    let mut body = vec![b' '; size];
    body[0] = b'1';
    body
}

#[test]
fn h1_5_a_body_may_have_one_mebibyte() {
    let server = server(&[]);
    assert_eq!(server.upload(&json_of(BODY)).status, 201);
    let over = server.upload(&json_of(BODY + 1));
    assert_eq!((over.status, over.code().as_str(), over.closes()), (413, "body_too_large", true));
    for (size, status) in [(BODY, 201), (BODY + 1, 413)] {
        let mut client = server.connect();
        let head =
            "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
        client.send_request(head, b"");
        for piece in json_of(size).chunks(50_000) {
            client.send(format!("{:X}\r\n", piece.len()));
            client.send(piece);
            client.send(b"\r\n");
        }
        client.send(b"0\r\n\r\n");
        assert_eq!(client.response().status, status, "{size} bytes in chunks");
    }
}

#[test]
fn h1_5_a_length_over_the_limit_is_refused_before_the_body() {
    let server = server(&["--max-body", "10B"]);
    for length in ["11", "1048577", "9223372036854775807"] {
        let mut client = server.connect();
        let head = format!(
            "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
        );
        client.send_request(&head, b"");
        // Not a byte of the body was sent.
        let response = client.response();
        assert_eq!((response.status, response.closes()), (413, true), "{length}");
    }
    assert_eq!(server.upload(&json_of(10)).status, 201);
    // In chunks, the first byte too many decides.
    let mut client = server.connect();
    let head = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    client.send_request(head, b"b\r\n12345678901");
    assert_eq!(client.response().code(), "body_too_large");
    let stored = std::fs::read_dir(server.uploads()).unwrap().count();
    assert_eq!(stored, 1, "nothing is kept of what was refused");
}
