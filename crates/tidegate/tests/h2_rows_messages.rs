//! Row A13: requests that are malformed by RFC 9113 §8, one case a stream. Each ends its stream with PROTOCOL_ERROR or is
//! answered with 400, none reaches a handler, and the connection goes on.
//!
//! Control: [`SOUND`] holds what is next to malformed and is served, so a server that refuses everything fails as well.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod h2raw;
mod support;

use h2raw::frame::{DATA, END_STREAM, PROTOCOL_ERROR, frame, headers};
use h2raw::{Answer, H2, hpack};
use support::{Server, Setup, eventually};

/// A field, or a pseudo-field; `{H}` is the authority of the server.
type Field = (&'static str, &'static str);

/// What a good request begins with.
const GET: [Field; 4] = [(":method", "GET"), (":scheme", "http"), (":authority", "{H}"), (":path", "/")];

/// What is wrong, and all fields, in their order.
type Case = (&'static str, &'static [Field]);

/// Fields behind those of [`GET`] that no request may have (RFC 9113 §8.2, §8.3).
const FIELDS: &[Case] = &[
    ("connection (§8.2.2)", &[("connection", "close")]),
    ("connection: keep-alive", &[("connection", "keep-alive")]),
    ("keep-alive", &[("keep-alive", "timeout=5")]),
    ("proxy-connection", &[("proxy-connection", "keep-alive")]),
    ("transfer-encoding", &[("transfer-encoding", "chunked")]),
    ("upgrade", &[("upgrade", "h2c")]),
    ("te other than trailers", &[("te", "gzip")]),
    ("te with more than trailers", &[("te", "trailers, deflate")]),
    ("a pseudo-field behind a field (§8.3)", &[("x", "1"), (":method", "GET")]),
    ("a late :path", &[("x", "1"), (":path", "/")]),
    ("a pseudo-field of responses", &[(":status", "200")]),
    (":protocol without being offered (RFC 8441 §3)", &[(":protocol", "websocket")]),
    ("a second :method", &[(":method", "GET")]),
    ("a second :scheme", &[(":scheme", "http")]),
    ("a second :authority", &[(":authority", "{H}")]),
    ("a second :path", &[(":path", "/")]),
    ("another Host (§8.3.1)", &[("host", "evil.example")]),
    ("Host twice", &[("host", "{H}"), ("host", "evil.example")]),
    ("a length twice that differs", &[("content-length", "0"), ("content-length", "1")]),
    ("a length that is no number", &[("content-length", "x")]),
    ("a length with a sign", &[("content-length", "+0")]),
    ("a negative length", &[("content-length", "-1")]),
    ("a length beyond all numbers", &[("content-length", "99999999999999999999")]),
    ("a length where there is no body (§8.1.1)", &[("content-length", "1")]),
];

/// Names and values that no field has (RFC 9113 §8.2.1, §8.3). They are found while the block is decoded, for all streams in one table,
/// and the crate ends the connection with them, as it may (§5.4.1).
const BYTES: &[Case] = &[
    ("an unknown pseudo-field", &[(":unknown", "1")]),
    ("an upper-case name (§8.2.1)", &[("X-Upper", "1")]),
    ("one upper-case letter", &[("accepT", "*/*")]),
    ("an empty name", &[("", "1")]),
    ("a space in a name", &[("a b", "1")]),
    ("a space behind a name", &[("accept ", "1")]),
    ("a colon in a name", &[("a:b", "1")]),
    ("a line end in a name", &[("a\r\nb", "1")]),
    ("NUL in a name", &[("a\0b", "1")]),
    ("a parenthesis in a name", &[("a(b)", "1")]),
    ("DEL in a name", &[("a\x7f", "1")]),
    ("NUL in a value", &[("x", "a\0b")]),
    ("CR in a value", &[("x", "a\rb")]),
    ("LF in a value", &[("x", "a\nb")]),
    ("a whole field line in a value", &[("x", "a\r\nhost: evil.example")]),
    ("a request in a value", &[("x", "a\r\n\r\nGET /../x HTTP/1.1")]),
];

/// The same of `:method`, which is a token.
const METHODS: [&str; 4] = ["", "GET /x", "GET\r\n", "G\0T"];

/// Whole heads that are none.
const HEADS: &[Case] = &[
    ("nothing at all", &[]),
    ("no pseudo-field", &[("host", "{H}")]),
    ("no :method", &[(":scheme", "http"), (":authority", "{H}"), (":path", "/")]),
    ("no :scheme", &[(":method", "GET"), (":authority", "{H}"), (":path", "/")]),
    ("no :path", &[(":method", "GET"), (":scheme", "http"), (":authority", "{H}")]),
    ("an empty :scheme", &[(":method", "GET"), (":scheme", ""), (":authority", "{H}"), (":path", "/")]),
    ("an empty :path", &[(":method", "GET"), (":scheme", "http"), (":authority", "{H}"), (":path", "")]),
    (
        "CONNECT with :path (§8.5)",
        &[(":method", "CONNECT"), (":scheme", "http"), (":authority", "{H}"), (":path", "/")],
    ),
    ("CONNECT without :authority", &[(":method", "CONNECT")]),
];

/// `:path` values that are no target of a GET (RFC 9113 §8.3.1).
const PATHS: &[&str] = &[
    "index.html",
    "?x",
    "*",
    "http://{H}/",
    "//evil.example\\",
    "/a b",
    "/a\tb",
    "/a\0b",
    "/a\r\nb",
    "/a\x7f",
    "/\u{e4}",
    " /",
    "/ HTTP/1.1",
];

/// `:authority` values that name no server (RFC 9113 §8.3.1, RFC 9110 §4.2.4).
const AUTHORITIES: &[&str] = &[
    "",
    " ",
    "user@{H}",
    "user:password@{H}",
    "{H}@evil.example",
    "{H},evil.example",
    "{H}, {H}",
    "{H}/",
    "{H}/x",
    "{H}?x",
    "{H}#x",
    "{H} ",
    " {H}",
    "{H}\0",
    "{H}\r\nx: y",
    "{H}\x7f",
    "{H}\t",
    "http://{H}",
    "[::1",
    "{H}:1",
    "a b",
];

/// What is sound, however odd.
const SOUND: &[Case] = &[
    ("te: trailers", &[("te", "trailers")]),
    ("the same Host", &[("host", "{H}")]),
    ("a tab in a value", &[("x", "a\tb")]),
    ("an empty value", &[("x", "")]),
    ("a name of all kinds of characters", &[("!#$%&'*+-.^_`|~09az", "1")]),
    ("bytes above ASCII in a value", &[("x", "\u{e4}\u{1f40b}")]),
    ("a length of nothing", &[("content-length", "0")]),
    ("cookies in pieces (§8.2.3)", &[("cookie", "a=1"), ("cookie", "b=2")]),
];

fn server() -> Server {
    Setup::new().file("index.html", "home").args(&["--rate-limit", "off"]).start()
}

/// `fields` with the authority of `server` in its places.
fn filled(server: &Server, fields: &[Field]) -> Vec<(String, String)> {
    let host = server.host();
    fields.iter().map(|(name, value)| ((*name).to_owned(), value.replace("{H}", &host))).collect()
}

/// Asks by these fields, exactly.
fn open(client: &mut H2, fields: &[(String, String)]) -> u32 {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    client.open(&fields, true)
}

/// Asserts that `stream` was reset, or refused with one of `statuses`, and that the next one is served.
fn refused(client: &mut H2, stream: u32, statuses: &[u16], what: &str) {
    match client.answer(stream) {
        Answer::Reset(PROTOCOL_ERROR) => {}
        Answer::Response(response) if statuses.contains(&response.status) => {}
        other => panic!("{what}: {other:?}"),
    }
    assert_eq!(client.get("/").text(), "home", "{what}: the stream behind it");
}

/// [`GET`] with another value of one pseudo-field.
fn with(name: &str, value: &'static str) -> Vec<Field> {
    GET.iter().map(|(known, good)| (*known, if *known == name { value } else { *good })).collect()
}

#[test]
fn row_a13_h2_1_fields_that_no_request_may_have() {
    let server = server();
    let mut client = H2::connect(&server);
    for (what, fields) in FIELDS {
        let stream = open(&mut client, &filled(&server, &[&GET, *fields].concat()));
        refused(&mut client, stream, &[400], what);
    }
    for (what, fields) in SOUND {
        let stream = open(&mut client, &filled(&server, &[&GET, *fields].concat()));
        assert_eq!(client.response(stream).status, 200, "{what}");
    }
}

#[test]
fn row_a13_h2_1_bytes_that_no_field_holds() {
    let server = server();
    let mut beside = H2::connect(&server);
    let after = BYTES.iter().map(|(what, fields)| (*what, [&GET, *fields].concat()));
    for (what, fields) in after.chain(METHODS.map(|method| (method, with(":method", method)))) {
        let mut client = H2::connect(&server);
        let stream = open(&mut client, &filled(&server, &fields));
        match client.answer(stream) {
            Answer::Ended(Some(goaway)) => assert_eq!(goaway.code, PROTOCOL_ERROR, "{what}"),
            Answer::Reset(PROTOCOL_ERROR) => {}
            Answer::Response(response) => assert_eq!(response.status, 400, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(beside.get("/").text(), "home", "{what}: the connection beside it");
    }
}

#[test]
fn row_a13_h2_1_heads_that_are_none() {
    let server = server();
    let mut client = H2::connect(&server);
    for (what, fields) in HEADS {
        let stream = open(&mut client, &filled(&server, fields));
        refused(&mut client, stream, &[400], what);
    }
}

#[test]
fn row_a13_h1_7_paths_that_are_no_targets() {
    let server = server();
    let mut client = H2::connect(&server);
    for path in PATHS {
        let stream = open(&mut client, &filled(&server, &with(":path", path)));
        // Two slashes lead out of the root, whatever follows (SPEC FILE-4).
        let status = if path.starts_with("//") { 403 } else { 400 };
        refused(&mut client, stream, &[status], &format!(":path {path:?}"));
    }
    let mut asterisk = with(":path", "*");
    asterisk[0].1 = "OPTIONS";
    let stream = open(&mut client, &filled(&server, &asterisk));
    assert_eq!(client.response(stream).status, 204);
}

#[test]
fn row_a13_host_1_authorities_that_name_no_server() {
    let server = server();
    let mut client = H2::connect(&server);
    for authority in AUTHORITIES {
        let stream = open(&mut client, &filled(&server, &with(":authority", authority)));
        refused(&mut client, stream, &[400, 403], &format!(":authority {authority:?}"));
    }
}

/// CONNECT as it should be is refused like any other method that is not served (SPEC H1-1).
#[test]
fn row_a13_h1_1_connect_is_no_method_here() {
    let server = server();
    let mut client = H2::connect(&server);
    let stream = open(&mut client, &filled(&server, &[(":method", "CONNECT"), (":authority", "{H}")]));
    match client.answer(stream) {
        Answer::Response(response) => assert_eq!(response.status, 405),
        other => panic!("{other:?}"),
    }
    assert_eq!(client.get("/").text(), "home");
}

/// A body that is not as long as was said (RFC 9113 §8.1.1) is stored by nobody.
#[test]
fn row_a13_up_4_a_length_that_the_data_do_not_keep() {
    let server = server();
    let mut client = H2::connect(&server);
    let cases: [(&str, &str, &[&[u8]]); 5] = [
        ("more", "2", &[b"[1]"]),
        ("more, in the next frame", "2", &[b"[1", b"]"]),
        ("less", "4", &[b"[1]"]),
        ("nothing", "3", &[b""]),
        ("something for nothing", "0", &[b"1"]),
    ];
    for (what, length, pieces) in cases {
        let stream = client.start(
            "POST",
            "/upload",
            &[("content-type", "application/json"), ("content-length", length)],
        );
        for (number, piece) in pieces.iter().enumerate() {
            let flags = if number + 1 == pieces.len() { END_STREAM } else { 0 };
            client.send(frame(DATA, flags, stream, piece));
        }
        refused(&mut client, stream, &[400], what);
    }
    // By trailers instead of END_STREAM on DATA.
    let stream =
        client.start("POST", "/upload", &[("content-type", "application/json"), ("content-length", "9")]);
    client.send(frame(DATA, 0, stream, b"[1]"));
    client.send(headers(stream, &hpack::block(&[("x-end", "1")]), true));
    refused(&mut client, stream, &[400], "less, and trailers");
    assert_eq!(std::fs::read_dir(server.uploads()).unwrap().count(), 0);
    let exact = [("content-type", "application/json"), ("content-length", "3")];
    assert_eq!(client.post("/upload", &exact, b"[1]").status, 201);
}

/// A malformed request is told to the operator as one over HTTP/1.1 is, and counts against its client.
#[test]
fn row_a13_sec_5_what_is_malformed_is_recorded() {
    let mut server = server();
    let mut client = H2::connect(&server);
    for _ in 0..3 {
        let stream =
            open(&mut client, &filled(&server, &[&GET, [("connection", "close")].as_slice()].concat()));
        refused(&mut client, stream, &[400], "connection");
    }
    let line = server.wait_for_log("security: bad_head from 127.0.0.1");
    assert!(line.contains(" WARNING "), "{line}");
    let malformed = || {
        let metrics = server.get("/metrics?format=json").json();
        metrics["tidegate_events_total{kind=\"malformed\"}"].as_f64().unwrap_or_default()
    };
    eventually("all are counted", || malformed() >= 3.0);
}
