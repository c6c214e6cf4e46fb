//! HTTP/2 (SPEC H2-1): what is answered over HTTP/1.1 is answered over HTTP/2, by the same rules and with the same bytes.
//!
//! Each request of [`REQUESTS`] is made over both. Bodies to the server are tried in `h2_uploads.rs`, the connection in
//! `h2_connection.rs`, windows in `h2_flow.rs`, what is malformed and hostile in `h2_rows_*.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod h2raw;
mod multipart;
mod support;

use std::collections::BTreeSet;

use h2raw::{Answer, H2, hpack, pseudo};
use support::{Response, Server, Setup, eventually};

const GOOD: &str = "https://good.example";
const LARGE: usize = 300_000;

/// Method, target, fields, and the status.
type Asked = (&'static str, &'static str, &'static [(&'static str, &'static str)], u16);

const REQUESTS: &[Asked] = &[
    ("GET", "/", &[], 200),
    ("HEAD", "/", &[], 200),
    ("GET", "/index.html?x=%20&y", &[], 200),
    ("GET", "/large.bin", &[], 200),
    ("HEAD", "/large.bin", &[], 200),
    ("GET", "/notes.txt", &[], 200),
    ("GET", "/empty.css", &[], 200),
    ("GET", "/b%C3%A4r.html", &[], 200),
    ("GET", "/dir", &[], 308),
    ("HEAD", "/dir?x", &[], 308),
    ("GET", "/dir/", &[], 200),
    ("GET", "/missing", &[], 404),
    ("HEAD", "/missing", &[], 404),
    ("GET", "/missing", &[("accept", "text/html")], 404),
    ("GET", "/.hidden", &[], 404),
    ("GET", "/a%2Fb", &[], 404),
    ("GET", "/uploads/", &[], 404),
    ("GET", "/../x", &[], 403),
    ("GET", "/%2e%2e/x", &[], 403),
    ("GET", "/..%2fx", &[("accept", "text/html")], 403),
    ("GET", "//x", &[], 403),
    ("GET", "/a\\..\\b", &[], 403),
    ("GET", "/%zz", &[], 400),
    ("GET", "/%00", &[], 400),
    ("GET", "/%ff", &[], 400),
    ("GET", "/index.html", &[("range", "bytes=0-3")], 206),
    ("HEAD", "/index.html", &[("range", "bytes=0-3")], 200),
    ("GET", "/large.bin", &[("range", "bytes=-70000")], 206),
    ("GET", "/large.bin", &[("range", "bytes=100000-")], 206),
    ("GET", "/index.html", &[("range", "bytes=1000-")], 416),
    ("GET", "/index.html", &[("range", "lines=1-2")], 200),
    ("GET", "/index.html", &[("if-none-match", "*")], 304),
    ("HEAD", "/index.html", &[("if-none-match", "*")], 304),
    ("GET", "/index.html", &[("if-match", "\"other\"")], 412),
    ("GET", "/index.html", &[("if-modified-since", "Fri, 31 Dec 2100 23:59:59 GMT")], 304),
    ("GET", "/index.html", &[("if-unmodified-since", "Sat, 01 Jan 2000 00:00:00 GMT")], 412),
    ("GET", "/index.html", &[("if-range", "\"other\""), ("range", "bytes=0-3")], 200),
    ("GET", "/coded.css", &[("accept-encoding", "gzip")], 200),
    ("GET", "/coded.css", &[("accept-encoding", "br, gzip;q=0.5")], 200),
    ("GET", "/coded.css", &[("accept-encoding", "identity;q=0")], 200),
    ("HEAD", "/coded.css", &[("accept-encoding", "gzip")], 200),
    ("GET", "/index.html", &[("origin", GOOD)], 200),
    ("GET", "/index.html", &[("origin", "https://evil.example")], 200),
    ("OPTIONS", "/upload", &[("origin", GOOD), ("access-control-request-method", "POST")], 204),
    ("OPTIONS", "/", &[], 204),
    ("OPTIONS", "/missing", &[], 204),
    ("OPTIONS", "/upload", &[], 204),
    ("OPTIONS", "*", &[], 204),
    ("GET", "/healthz", &[], 200),
    ("HEAD", "/healthz", &[], 200),
    ("GET", "/readyz", &[], 200),
    ("GET", "/metrics", &[("forwarded", "for=192.0.2.1")], 403),
    ("GET", "/security-dashboard", &[("x-forwarded-for", "192.0.2.1")], 403),
    ("GET", "/status", &[("via", "1.1 proxy")], 403),
    ("GET", "/upload", &[], 405),
    ("POST", "/", &[], 405),
    ("PUT", "/index.html", &[], 405),
    ("DELETE", "/missing", &[], 405),
    ("TRACE", "/", &[], 405),
    ("BREW", "/", &[], 405),
    ("GET", "/", &[("expect", "the worst")], 417),
];

fn setup() -> Setup {
    let large: Vec<u8> = (0..LARGE).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
    Setup::new()
        .file("index.html", "<h1>home</h1>")
        .file("dir/index.html", "inside")
        .file("b\u{e4}r.html", "bear")
        .file("notes.txt", "notes")
        .file("empty.css", "")
        .file("coded.css", "plain")
        .file("coded.css.gz", "as if by gzip")
        .file("coded.css.br", "as if by brotli")
        .file(".hidden", "secret")
        .file("large.bin", large)
        .args(&["--cors-origin", GOOD])
}

/// The same request over HTTP/1.1.
fn over_http_1(server: &Server, method: &str, target: &str, fields: &[(&str, &str)]) -> Response {
    let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    server.request(&format!("{method} {target} HTTP/1.1\r\n{lines}"), b"")
}

/// What both protocols tell alike: all but the time, the id of a refusal and what speaks of the connection.
fn told(response: &Response) -> (u16, BTreeSet<(String, String)>, String) {
    let own = ["date", "x-request-id", "connection", "keep-alive"];
    let id = response.field("x-request-id").unwrap_or("no id").to_owned();
    let fields = response.fields.iter().map(|(name, value)| (name.to_lowercase(), value.clone()));
    let body = String::from_utf8_lossy(&response.body).replace(&id, "ID");
    (response.status, fields.filter(|(name, _)| !own.contains(&name.as_str())).collect(), body)
}

#[test]
fn h2_1_every_answer_is_that_of_http_1() {
    // One worker: what it knows of a file is what both are told.
    let server = setup().args(&["--workers", "1"]).start();
    for coding in ["gzip", "br"] {
        eventually("the sidecar is known", || {
            let answer = over_http_1(&server, "GET", "/coded.css", &[("accept-encoding", coding)]);
            answer.field("content-encoding") == Some(coding)
        });
    }
    let mut client = H2::connect(&server);
    for (method, target, fields, status) in REQUESTS {
        let what = format!("{method} {target} {fields:?}");
        let response = client.request(method, target, fields);
        assert_eq!(response.status, *status, "{what}: {}", response.text());
        assert_eq!(told(&response), told(&over_http_1(&server, method, target, fields)), "{what}");
    }
    assert!(client.is_alive());
}

/// No refusal ends the connection for the streams beside it; over HTTP/1.1 some do (SPEC H1-11).
#[test]
fn h2_1_all_of_them_at_once_on_one_connection() {
    let server = setup().start();
    let mut client = H2::connect(&server);
    let streams: Vec<_> = REQUESTS
        .iter()
        .map(|(method, target, fields, status)| (client.ask(method, target, fields), *status, target))
        .collect();
    // Asked for last first, so that the answers of the others are kept apart.
    for (stream, status, target) in streams.into_iter().rev() {
        assert_eq!(client.response(stream).status, status, "{target}");
    }
    assert_eq!(client.inbox.goaway, None);
}

#[test]
fn h2_1_several_ranges_are_parts() {
    let server = setup().start();
    let mut client = H2::connect(&server);
    let whole = client.get("/large.bin");
    assert_eq!(whole.body.len(), LARGE);
    let kind = whole.field("content-type").unwrap();
    let response = client.request("GET", "/large.bin", &[("range", "bytes=0-9,100000-200000,-1")]);
    let parts = multipart::parts(&response, LARGE, kind);
    let places: Vec<_> = parts.iter().map(|part| part.at.clone()).collect();
    assert_eq!(places, [0..10, 100_000..200_001, LARGE - 1..LARGE]);
    for part in parts {
        assert!(part.bytes == whole.body[part.at.clone()], "{:?}", part.at);
    }
}

#[test]
fn h2_1_validators_and_what_they_save() {
    let server = setup().start();
    let mut client = H2::connect(&server);
    let first = client.get("/large.bin");
    let tag = first.field("etag").expect("an ETag").to_owned();
    let again = client.request("GET", "/large.bin", &[("if-none-match", &tag)]);
    assert_eq!((again.status, again.body.len(), again.field("etag")), (304, 0, Some(tag.as_str())));
    let part = client.request("GET", "/large.bin", &[("if-range", &tag), ("range", "bytes=5-8")]);
    assert_eq!((part.status, part.body.as_slice()), (206, &first.body[5..9]));
}

/// The authority is `:authority`, or Host where there is none (RFC 9113 §8.3.1; SPEC HOST-1, HOST-2).
#[test]
fn h2_1_host_1_the_authority_is_judged_as_a_host() {
    let mut server = setup().start();
    let ours = server.host();
    let port = server.addr.port();
    let (local, dotted) = (format!("LocalHost:{port}"), format!("localhost.:{port}"));
    let (elsewhere, bare) = (format!("localhost:{}", port ^ 1), "evil.example");
    let mut client = H2::connect(&server);
    let cases: [(Option<&str>, Option<&str>, u16, &str); 10] = [
        (Some(&ours), None, 200, ""),
        (None, Some(&ours), 200, ""),
        (Some(&ours), Some(&ours), 200, ""),
        (Some(&local), None, 200, ""),
        (Some(&dotted), None, 200, ""),
        (Some(&elsewhere), None, 403, "host_not_allowed"),
        (Some(bare), None, 403, "host_not_allowed"),
        (None, Some(bare), 403, "host_not_allowed"),
        (Some(bare), Some(bare), 403, "host_not_allowed"),
        (None, None, 400, "host_missing"),
    ];
    for (authority, host, status, code) in cases {
        let mut fields = pseudo("GET", "http", authority.unwrap_or_default(), "/").to_vec();
        fields.retain(|(name, _)| *name != ":authority" || authority.is_some());
        fields.extend(host.map(|host| ("host", host)));
        let stream = client.open(&fields, true);
        let response = client.response(stream);
        assert_eq!(response.status, status, "{authority:?} {host:?}");
        assert!(code.is_empty() || response.code() == code, "{authority:?} {host:?}: {}", response.text());
    }
    server.wait_for_log("--allow-host evil.example");
    assert!(client.is_alive());
}

#[test]
fn h2_1_h1_5_a_head_over_its_bounds_is_refused_and_the_connection_goes_on() {
    let server = setup().start();
    let mut client = H2::connect(&server);
    let long = "x".repeat(9000);
    let target = format!("/{}", "x".repeat(8100));
    let many: Vec<_> = (0..101).map(|number| (format!("x-{number}"), "y")).collect();
    let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    for (path, fields, status) in
        [("/", [("x-long", long.as_str())].as_slice(), 431), ("/", &many, 431), (&target, &[], 414)]
    {
        let stream = client.ask("GET", path, fields);
        let Answer::Response(response) = client.answer(stream) else { panic!("{status}: no answer") };
        assert_eq!(response.status, status);
    }
    assert_eq!(client.get("/").status, 200);
    let most: Vec<_> = many[..90].to_vec();
    assert_eq!(client.request("GET", "/", &most).status, 200, "what is below the bounds is served");
}

#[test]
fn h2_1_the_dashboard_streams_its_events() {
    let server = setup().start();
    let mut client = H2::connect(&server);
    let stream = client.ask("GET", "/security-dashboard/events", &[]);
    let events = |body: &[u8]| String::from_utf8_lossy(body).matches("\n\n").count();
    client.until("two events", |inbox| inbox.body_of(stream).is_some_and(|body| events(body) >= 2));
    assert_eq!(client.get("/").status, 200, "the stream beside it is served meanwhile");
    client.send(h2raw::frame::reset(stream, h2raw::frame::CANCEL));
    assert!(client.is_alive());
    eventually("the place of the viewer is free again", || {
        let json = server.get("/security-dashboard?format=json").json();
        json["snapshot"]["viewers"] == 0
    });
}

/// The client itself: RFC 7541, C.6.1 and C.6.2, two responses in Huffman code of which the second leans on the first.
#[test]
fn h2_1_this_client_reads_the_examples_of_the_rfc() {
    let first = "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3";
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    let mut decoder = hpack::Decoder::default();
    let rest = [
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ];
    for (status, block) in [("302", first), ("307", "4883640effc1c0bf")] {
        let expected = [[(":status", status)].as_slice(), &rest].concat();
        let read = decoder.read(&bytes(block));
        let read: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(read, expected);
    }
}
