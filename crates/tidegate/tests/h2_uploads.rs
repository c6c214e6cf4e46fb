//! Uploads over HTTP/2 (SPEC UP-1 to UP-4, H1-5, H1-6, H2-1): a body is framed by END_STREAM, its length may be told, and
//! what is answered before it was read ends that stream alone.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod h2raw;
mod support;
mod visitors;

use h2raw::frame::{CANCEL, DATA, END_STREAM, NO_ERROR, PADDED, frame, headers, reset};
use h2raw::{Answer, Fields, H2, hpack};
use support::{Response, Server, eventually};
use visitors::metric;

const JSON: (&str, &str) = ("content-type", "application/json");
const LIMIT: usize = 1 << 20;

/// A document of exactly `length` bytes.
fn document(length: usize) -> Vec<u8> {
    let mut body = vec![b'x'; length];
    (body[0], body[length - 1]) = (b'"', b'"');
    body
}

/// Asserts a 201 and returns what was stored.
fn stored(server: &Server, response: &Response) -> Vec<u8> {
    assert_eq!(response.status, 201, "{}", response.text());
    let path = response.field("location").expect("where it is");
    let told = response.json();
    assert_eq!((told["status"].as_str(), told["filepath"].as_str()), (Some("success"), Some(path)));
    std::fs::read(server.root().join(&path[1..])).unwrap()
}

fn refused(response: &Response, status: u16, code: &str) {
    assert_eq!((response.status, response.code().as_str()), (status, code), "{}", response.text());
}

/// How many files there are in the folder of uploads, hidden ones too.
fn kept(server: &Server) -> usize {
    std::fs::read_dir(server.uploads()).unwrap().count()
}

#[test]
fn h2_1_up_4_a_201_with_its_length_told_or_not() {
    let server = Server::start(&[]);
    let mut client = H2::connect(&server);
    for length in [2, 3, 1000, 16_384, 16_385, 65_535, 65_536, 300_000, LIMIT] {
        let body = document(length);
        let told = length.to_string();
        for fields in [&[JSON, ("content-length", told.as_str())] as &Fields<'_>, &[JSON]] {
            let response = client.post("/upload", fields, &body);
            assert!(stored(&server, &response) == body, "{length} {fields:?}");
        }
    }
    let path = client.upload(b"{\"a\":1}").field("location").unwrap().to_owned();
    let read = client.get(&path);
    assert_eq!((read.status, read.body.as_slice()), (200, b"{\"a\":1}".as_slice()));
    assert_eq!(read.field("cache-control"), Some("no-store"));
}

/// However the body is cut into frames: byte by byte, with padding, with the end in a frame of its own.
#[test]
fn h2_1_up_4_a_body_in_any_frames() {
    let server = Server::start(&[]);
    let mut client = H2::connect(&server);
    let body = document(40);
    let stream = client.start("POST", "/upload", &[JSON]);
    for byte in &body {
        client.send(frame(DATA, 0, stream, &[*byte]));
    }
    client.send(frame(DATA, END_STREAM, stream, b""));
    let response = client.response(stream);
    assert!(stored(&server, &response) == body);
    let stream = client.start("POST", "/upload", &[JSON]);
    for (at, piece) in body.chunks(7).enumerate() {
        let padding = u8::try_from(at * 40).unwrap();
        let payload = [&[padding], piece, &vec![0; usize::from(padding)]].concat();
        let last = if at == 5 { END_STREAM } else { 0 };
        client.send(frame(DATA, PADDED | last, stream, &payload));
    }
    let response = client.response(stream);
    assert!(stored(&server, &response) == body);
}

#[test]
fn h2_1_up_4_fifty_uploads_at_once_are_kept_apart() {
    let server = Server::start(&[]);
    let mut client = H2::connect(&server);
    let bodies: Vec<_> = (0..50).map(|number| format!("{{\"number\":{number}}}")).collect();
    let streams: Vec<_> = bodies.iter().map(|_| client.start("POST", "/upload", &[JSON])).collect();
    // A byte of each in turn, the last ones first.
    for at in 0..bodies.iter().map(String::len).max().unwrap() {
        for (stream, body) in streams.iter().zip(&bodies).rev() {
            if let Some(byte) = body.as_bytes().get(at) {
                let flags = if at + 1 == body.len() { END_STREAM } else { 0 };
                client.send(frame(DATA, flags, *stream, &[*byte]));
            }
        }
    }
    for (stream, body) in streams.iter().zip(&bodies) {
        let response = client.response(*stream);
        assert_eq!(stored(&server, &response), body.as_bytes());
    }
    assert_eq!(kept(&server), 50);
}

#[test]
fn h2_1_up_1_up_2_what_is_no_json_is_refused() {
    let server = Server::start(&[]);
    let mut client = H2::connect(&server);
    let response = client.upload(b"{\n  \"a\": x\n}");
    refused(&response, 400, "invalid_json");
    let told = response.json();
    assert_eq!((told["line"].as_u64(), told["column"].as_u64()), (Some(2), Some(8)), "{told}");
    refused(&client.upload(b""), 400, "invalid_json");
    refused(&client.post("/upload", &[], b"{}"), 415, "not_json");
    refused(&client.post("/upload", &[("content-type", "text/plain")], b"{}"), 415, "not_json");
    let coded = client.post("/upload", &[JSON, ("content-encoding", "gzip")], b"{}");
    refused(&coded, 415, "content_encoding");
    refused(&client.post("/", &[JSON], b"{}"), 405, "method_not_allowed");
    refused(&client.post("/upload", &[JSON, ("expect", "x")], b"{}"), 417, "expectation_failed");
    assert_eq!(kept(&server), 0);
    assert_eq!(client.upload(b"{}").status, 201, "the connection has lived through all of them");
}

/// An upload that ends with its head has no body; it needs no length to say so (RFC 9113 §8.1).
#[test]
fn h2_1_up_1_a_head_that_ends_the_stream_is_an_empty_body() {
    let server = Server::start(&[]);
    let mut client = H2::connect(&server);
    refused(&client.request("POST", "/upload", &[JSON]), 400, "invalid_json");
    refused(&client.request("POST", "/upload", &[JSON, ("content-length", "0")]), 400, "invalid_json");
}

/// 413 by the length that is told, before a byte of the body; a client that is still sending is told that nobody reads
/// on (RFC 9113 §8.1).
#[test]
fn h2_1_h1_5_a_body_over_the_limit_is_refused_before_it_is_read() {
    let server = Server::start(&["--max-body", "1000B"]);
    let mut client = H2::connect(&server);
    let stream = client.start("POST", "/upload", &[JSON, ("content-length", "1001")]);
    refused(&client.response(stream), 413, "body_too_large");
    client.until("RST_STREAM", |inbox| inbox.reset_of(stream).is_some());
    assert_eq!(client.inbox.reset_of(stream), Some(NO_ERROR));
    // What was on its way is no offence.
    client.send(frame(DATA, 0, stream, &[b'x'; 1000]));
    assert!(client.is_alive());
    assert_eq!(client.upload(&document(1000)).status, 201, "the limit itself");
    assert_eq!(kept(&server), 1);
}

#[test]
fn h2_1_h1_5_a_body_without_a_length_is_refused_when_it_passes_the_limit() {
    let server = Server::start(&["--max-body", "100000B"]);
    let mut client = H2::connect(&server);
    let stream = client.start("POST", "/upload", &[JSON]);
    client.send_body(stream, &document(200_000), true);
    refused(&client.response(stream), 413, "body_too_large");
    assert_eq!(client.upload(&document(100_000)).status, 201);
    assert_eq!(kept(&server), 1);
}

#[test]
fn h2_1_h1_6_a_wanted_body_is_asked_for_and_an_unwanted_one_is_not() {
    let server = Server::start(&["--max-body", "1000B"]);
    let mut client = H2::connect(&server);
    let stream = client.start("POST", "/upload", &[JSON, ("expect", "100-continue")]);
    client.until("100", |inbox| !inbox.interim(stream).is_empty());
    assert_eq!(client.inbox.interim(stream), [100]);
    client.send(frame(DATA, END_STREAM, stream, b"[]"));
    assert_eq!(client.response(stream).status, 201);
    let unwanted = [JSON, ("expect", "100-continue"), ("content-length", "1001")];
    let stream = client.start("POST", "/upload", &unwanted);
    refused(&client.response(stream), 413, "body_too_large");
    assert!(client.inbox.interim(stream).is_empty(), "nobody asks for it");
    assert!(client.is_alive());
}

/// Trailers end a body as well, and what they say is not looked at (SPEC H1-4).
#[test]
fn h2_1_h1_4_trailers_are_discarded() {
    let server = Server::start(&[]);
    let mut client = H2::connect(&server);
    let stream = client.start("POST", "/upload", &[JSON]);
    client.send(frame(DATA, 0, stream, b"[1,"));
    client.send(frame(DATA, 0, stream, b"2]"));
    let trailers =
        hpack::block(&[("x-checksum", "1"), ("content-type", "text/plain"), ("host", "evil.example")]);
    client.send(headers(stream, &trailers, true));
    let response = client.response(stream);
    assert_eq!(stored(&server, &response), b"[1,2]");
}

#[test]
fn h2_1_up_4_an_upload_that_is_given_up_leaves_nothing() {
    let server = Server::start(&[]);
    let mut client = H2::connect(&server);
    let stream = client.start("POST", "/upload", &[JSON]);
    client.send(frame(DATA, 0, stream, b"[1,2"));
    assert!(client.is_alive());
    client.send(reset(stream, CANCEL));
    assert_eq!(client.upload(b"[3]").status, 201, "the others go on");
    let gone = client.start("POST", "/upload", &[JSON]);
    client.send_body(gone, &document(50_000)[..49_000], false);
    assert!(client.is_alive());
    drop(client);
    eventually("nobody is being answered", || metric(&server, "http_server_active_requests") == 0.0);
    assert_eq!(kept(&server), 1);
}

/// Each stream is a request of its client; the limit is on by default for who is no local operator.
#[test]
fn h2_1_sec_1_streams_over_the_rate_are_429_with_its_fields() {
    let server = Server::start(&["--limit-loopback", "--rate-limit", "6/m:5"]);
    let mut client = H2::connect(&server);
    let streams: Vec<_> = (0..8).map(|_| client.ask("GET", "/healthz", &[])).collect();
    let answers: Vec<_> = streams.into_iter().map(|stream| client.response(stream)).collect();
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 5);
    for limited in answers.iter().filter(|answer| answer.status != 200) {
        refused(limited, 429, "rate_limited");
        for field in ["retry-after", "ratelimit", "ratelimit-policy", "x-request-id"] {
            assert!(limited.field(field).is_some(), "{field}: {limited:?}");
        }
    }
    let stream = client.start("POST", "/upload", &[JSON]);
    match client.answer(stream) {
        Answer::Response(response) => refused(&response, 429, "rate_limited"),
        other => panic!("{other:?}"),
    }
    assert_eq!(kept(&server), 0, "refused before its body");
}
