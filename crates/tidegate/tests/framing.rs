//! H1-4 against smuggling: where a message might end at two places it is refused once, and nothing behind it is
//! answered. Behind each vector stands a whole second request.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;

use support::client::End;
use support::{SOON, Server, Setup, eventually};

/// A case: what it is, field lines with their ends, the body, and the status and code it must get.
type Vector<'v> = (&'v str, &'v [u8], &'v [u8], u16, &'v str);

const LAST: &[u8] = b"0\r\n\r\n";
const CHUNKED: &[u8] = b"Transfer-Encoding: chunked\r\n";

fn server() -> Server {
    Setup::new().file("index.html", "home").file("smuggled", "SMUGGLED").start()
}

fn smuggled(server: &Server) -> Vec<u8> {
    format!("GET /smuggled HTTP/1.1\r\nHost: {}\r\n\r\n", server.host()).into_bytes()
}

fn upload_head(server: &Server, fields: &[u8]) -> Vec<u8> {
    let host = server.host();
    let mut head =
        format!("POST /upload HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n").into_bytes();
    head.extend_from_slice(fields);
    head.extend_from_slice(b"\r\n");
    head
}

/// `bytes` and a second request get one answer, of `status` and `code`, and then the end.
fn refused_once(server: &Server, name: &str, bytes: &[u8], status: u16, code: &str) {
    let mut client = server.connect();
    client.send([bytes, &smuggled(server)].concat());
    let response = client.try_response(false).unwrap_or_else(|| panic!("{name}: no answer"));
    assert_eq!((response.status, response.code().as_str()), (status, code), "{name}");
    assert!(response.closes(), "{name} must close");
    let (rest, end) = client.rest(SOON);
    assert_eq!(String::from_utf8_lossy(&rest), "", "{name}: something behind it was answered");
    assert_eq!(end, End::Closed, "{name}");
}

fn all_refused(vectors: &[Vector<'_>]) {
    let server = server();
    for (name, fields, body, status, code) in vectors {
        let bytes = [upload_head(&server, fields), body.to_vec()].concat();
        refused_once(&server, name, &bytes, *status, code);
    }
    nothing_else_was_logged(&server, vectors.len());
}

/// The log has a line for each refusal, and none for what stood behind it.
fn nothing_else_was_logged(server: &Server, count: usize) {
    let requests = |line: &String| line.contains(" worker-");
    eventually("a line for each", || server.log().iter().filter(|line| requests(line)).count() >= count);
    let lines: Vec<_> = server.log().into_iter().filter(requests).collect();
    assert_eq!(lines.len(), count, "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("/smuggled")), "{lines:#?}");
}

#[test]
fn h1_4_control_a_sound_message_lets_the_second_request_through() {
    let server = server();
    for (fields, body) in [
        (&b"Content-Length: 2\r\n"[..], &b"{}"[..]),
        (CHUNKED, b"2\r\n{}\r\n0\r\n\r\n"),
        (b"Transfer-Encoding:\t \tCHUNKED \t\r\n", b"1;a;b=c ; d=\"e\\\"f\"\r\n{\r\n01\r\n}\r\n000\r\n\r\n"),
        (CHUNKED, b"2\r\n{}\r\n0\r\nContent-Length: 50\r\nHost: evil\r\nTransfer-Encoding: x\r\n\r\n"),
    ] {
        let mut client = server.connect();
        client.send([upload_head(&server, fields), body.to_vec(), smuggled(&server)].concat());
        assert_eq!(client.response().status, 201, "{}", String::from_utf8_lossy(body));
        assert_eq!(client.response().text(), "SMUGGLED");
    }
}

#[test]
fn row_a2_h1_4_transfer_codings_other_than_exactly_chunked_are_refused() {
    let bad = |value: &str| format!("Transfer-Encoding:{value}\r\n").into_bytes();
    let mut vectors = Vec::new();
    let malformed = [
        " chunked, identity",
        " chunked, chunked",
        " chunked,",
        " ,chunked",
        " , chunked",
        " \"chunked\"",
        " chunked;a=b",
        " chunked ;a",
        " chunked x",
        "",
        " ,",
        " gzip;q",
        " chunked\r\nTransfer-Encoding: chunked",
        " identity\r\nTransfer-Encoding: chunked",
        " chunked\r\nTransfer-Encoding: identity",
        " \u{e9}chunked",
        " (chunked)",
    ];
    let unknown = [" identity", " xchunked", " gzip", " gzip, chunked", " chunkedx", " gzip;a=\"b\""];
    let broken =
        [" \u{b}chunked", " chunked\0", "\r\n chunked", " chunked\u{7f}", " chu\rnked", " x\n chunked"];
    vectors.extend(malformed.map(|value| (value, bad(value), 400, "bad_framing")));
    vectors.extend(unknown.map(|value| (value, bad(value), 501, "unknown_coding")));
    vectors.extend(broken.map(|value| (value, bad(value), 400, "bad_head")));
    let spaced = "space before the colon";
    vectors.push((spaced, b"Transfer-Encoding : chunked\r\n".to_vec(), 400, "bad_head"));
    let vectors: Vec<Vector<'_>> = vectors
        .iter()
        .map(|(name, fields, status, code)| (*name, fields.as_slice(), LAST, *status, *code))
        .collect();
    all_refused(&vectors);
}

#[test]
fn row_a1_h1_4_a_length_beside_a_coding_is_refused() {
    all_refused(&[
        ("both", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", LAST, 400, "bad_framing"),
        ("both, swapped", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", LAST, 400, "bad_framing"),
        ("both, 0", b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", LAST, 400, "bad_framing"),
        ("both, unknown", b"Content-Length: 5\r\nTransfer-Encoding: x\r\n", LAST, 400, "bad_framing"),
        (
            "nominated away",
            b"Connection: Transfer-Encoding\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            LAST,
            400,
            "bad_framing",
        ),
    ]);
}

#[test]
fn row_a3_h1_4_a_malformed_or_repeated_length_is_refused() {
    let malformed = [
        "5, 5",
        "5,6",
        "+5",
        "-0",
        "-5",
        "0x5",
        "5 5",
        "5_0",
        "",
        "5.0",
        "1e1",
        "\"5\"",
        "5;",
        "\u{ff15}",
        "18446744073709551616",
        "18446744073709551615",
        "9223372036854775808",
        "00000000000000000000x",
    ];
    let lengths: Vec<_> =
        malformed.iter().map(|value| format!("Content-Length: {value}\r\n").into_bytes()).collect();
    let mut vectors: Vec<Vector<'_>> = malformed
        .iter()
        .zip(&lengths)
        .map(|(name, fields)| (*name, fields.as_slice(), &b"hello"[..], 400, "bad_framing"))
        .collect();
    vectors.extend_from_slice(&[
        ("same twice", b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello", 400, "bad_framing"),
        ("two", b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello", 400, "bad_framing"),
        ("two, case", b"content-length: 5\r\nX: y\r\nCONTENT-LENGTH: 0\r\n", b"hello", 400, "bad_framing"),
        ("space before colon", b"Content-Length : 5\r\n", b"hello", 400, "bad_head"),
        ("tab before colon", b"Content-Length\t: 5\r\n", b"hello", 400, "bad_head"),
        ("NUL", b"Content-Length: 5\0\r\n", b"hello", 400, "bad_head"),
        ("folded", b"Content-Length:\r\n 5\r\n", b"hello", 400, "bad_head"),
        (
            "2^63-1 is a length, and too much",
            b"Content-Length: 9223372036854775807\r\n",
            b"",
            413,
            "body_too_large",
        ),
    ]);
    all_refused(&vectors);
}

#[test]
fn row_a2_h1_4_a_coding_on_http_1_0_is_refused() {
    let server = server();
    let host = server.host();
    for connection in ["", "Connection: keep-alive\r\n"] {
        let head = format!(
            "POST /upload HTTP/1.0\r\nHost: {host}\r\n{connection}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        );
        refused_once(&server, &head, head.as_bytes(), 400, "bad_framing");
    }
    nothing_else_was_logged(&server, 2);
}

#[test]
fn row_a4_h1_4_chunks_that_break_the_grammar_are_refused() {
    let bodies: &[(&str, &[u8])] = &[
        ("size, LF", b"2\n{}\r\n0\r\n\r\n"),
        ("extension, LF", b"2;a\n{}\r\n0\r\n\r\n"),
        ("extension, CR", b"2;a\rb\r\n{}\r\n0\r\n\r\n"),
        ("quoted extension, LF", b"2;a=\"\n\"\r\n{}\r\n0\r\n\r\n"),
        ("data, LF", b"2\r\n{}\n0\r\n\r\n"),
        ("data, nothing", b"2\r\n{}0\r\n\r\n"),
        ("data, two other bytes", b"2\r\n{}XX0\r\n\r\n"),
        ("data, CR and another byte", b"2\r\n{}\rX0\r\n\r\n"),
        ("0x", b"0x2\r\n{}\r\n0\r\n\r\n"),
        ("plus", b"+2\r\n{}\r\n0\r\n\r\n"),
        ("minus", b"-2\r\n{}\r\n0\r\n\r\n"),
        ("underscore", b"0_2\r\n{}\r\n0\r\n\r\n"),
        ("no hex digit", b"g\r\n{}\r\n0\r\n\r\n"),
        ("blank before", b" 2\r\n{}\r\n0\r\n\r\n"),
        ("tab before", b"\t2\r\n{}\r\n0\r\n\r\n"),
        ("blank behind", b"2 \r\n{}\r\n0\r\n\r\n"),
        ("no size", b"\r\n{}\r\n0\r\n\r\n"),
        ("only an extension", b";a\r\n{}\r\n0\r\n\r\n"),
        ("17 digits", b"00000000000000002\r\n{}\r\n0\r\n\r\n"),
        ("2^64 and more", b"10000000000000002\r\n{}\r\n0\r\n\r\n"),
        ("2^64-1", b"ffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
        ("2^63", b"8000000000000000\r\n{}\r\n0\r\n\r\n"),
        ("sum over 2^63", b"2\r\n{}\r\n7fffffffffffffff\r\n"),
        ("NUL in an extension", b"2;\0a\r\n{}\r\n0\r\n\r\n"),
        ("extension without a name", b"2;=x\r\n{}\r\n0\r\n\r\n"),
        ("quote not closed", b"2;a=\"b\r\n{}\r\n0\r\n\r\n"),
        ("last chunk, LF", b"2\r\n{}\r\n0\n\n"),
        ("end, LF", b"2\r\n{}\r\n0\r\n\n"),
        ("end, CR and another byte", b"2\r\n{}\r\n0\r\n\rX"),
        ("empty line in between", b"2\r\n{}\r\n\r\n0\r\n\r\n"),
        ("trailer, blank before colon", b"2\r\n{}\r\n0\r\nX : y\r\n\r\n"),
        ("trailer, folded", b"2\r\n{}\r\n0\r\nX: y\r\n z\r\n\r\n"),
        ("trailer, LF", b"2\r\n{}\r\n0\r\nX: y\n\r\n"),
        ("trailer, no colon", b"2\r\n{}\r\n0\r\nX\r\n\r\n"),
        ("trailer, NUL", b"2\r\n{}\r\n0\r\nX: \0\r\n\r\n"),
    ];
    let vectors: Vec<Vector<'_>> =
        bodies.iter().map(|(name, body)| (*name, CHUNKED, *body, 400, "bad_chunk")).collect();
    all_refused(&vectors);
}

#[test]
fn row_a5_h1_4_chunks_that_cost_more_than_they_carry_are_refused() {
    let long = [b"2;".as_slice(), &[b'a'; 65536], b"\r\n{}\r\n0\r\n\r\n"].concat();
    let many = b"1\r\n \r\n".repeat(20_000);
    all_refused(&[
        ("a long extension", CHUNKED, &long, 400, "bad_chunk"),
        ("many small chunks", CHUNKED, &many, 400, "bad_chunk"),
    ]);
    // The control: as many small chunks as a clumsy client would send.
    let server = server();
    let mut client = server.connect();
    let small = [b"1\r\n \r\n".repeat(1000), b"2\r\n{}\r\n0\r\n\r\n".to_vec()].concat();
    client.send([upload_head(&server, CHUNKED), small].concat());
    assert_eq!(client.response().status, 201);
}

#[test]
fn row_a6_h1_4_trailers_are_bounded() {
    let one = |length: usize| [b"2\r\n{}\r\n0\r\nX: ".as_slice(), &vec![b'a'; length], b"\r\n\r\n"].concat();
    let many =
        |count: usize| [b"2\r\n{}\r\n0\r\n".to_vec(), b"X: y\r\n".repeat(count), b"\r\n".to_vec()].concat();
    all_refused(&[
        ("a long trailer", CHUNKED, &one(17_000), 431, "head_too_large"),
        ("many trailers", CHUNKED, &many(101), 431, "too_many_fields"),
    ]);
    let server = server();
    for body in [one(16_000), many(100)] {
        let mut client = server.connect();
        client.send([upload_head(&server, CHUNKED), body].concat());
        assert_eq!(client.response().status, 201);
    }
}
