//! H1-1 methods, H1-2 versions, H1-7 targets, H1-8 what every response has.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;

use std::io::Read;
use std::time::Duration;

use support::client::End;
use support::{Client, Response, SOON, Server, Setup};

const READ: &str = "GET, HEAD, OPTIONS";
const UPLOAD: &str = "POST, OPTIONS";
const ALL: &str = "GET, HEAD, POST, OPTIONS";

fn server() -> Server {
    Setup::new().file("index.html", "<h1>home</h1>").file("sub/index.html", "sub").start()
}

/// Sends `bytes` and returns the only response, after which the server closes.
fn only(server: &Server, bytes: &[u8]) -> Response {
    let mut client = server.connect();
    client.send(bytes);
    let response = client.response();
    assert!(response.closes(), "{response:?}");
    assert_eq!(client.rest(SOON), (Vec::new(), End::Closed), "{:?}", String::from_utf8_lossy(bytes));
    response
}

#[test]
fn h1_1_each_path_answers_its_methods_and_says_which() {
    let server = server();
    let empty = "Content-Length: 0\r\n";
    for (line, fields, status, allow) in [
        ("GET /", "", 200, None),
        ("HEAD /", "", 200, None),
        ("POST /", empty, 405, Some(READ)),
        ("POST /index.html", empty, 405, Some(READ)),
        ("POST /missing", empty, 405, Some(READ)),
        ("POST /upload/", empty, 405, Some(READ)),
        ("POST /uploads/x", empty, 405, Some(READ)),
        ("POST /healthz", empty, 405, Some(READ)),
        ("POST /metrics", empty, 405, Some(READ)),
        ("GET /upload", "", 405, Some(UPLOAD)),
        ("GET /upload?x=/", "", 405, Some(UPLOAD)),
        ("GET /%75pload", "", 405, Some(UPLOAD)),
        ("HEAD /upload", "", 405, Some(UPLOAD)),
        ("OPTIONS /", "", 204, Some(READ)),
        ("OPTIONS /missing", "", 204, Some(READ)),
        ("OPTIONS /healthz", "", 204, Some(READ)),
        ("OPTIONS /metrics", "", 204, Some(READ)),
        ("OPTIONS /uploads/x", "", 204, Some(READ)),
        ("OPTIONS /upload", "", 204, Some(UPLOAD)),
        ("OPTIONS /upload?x", "", 204, Some(UPLOAD)),
        ("OPTIONS *", "", 204, Some(ALL)),
    ] {
        let response = server.request(&format!("{line} HTTP/1.1\r\n{fields}"), b"");
        assert_eq!((response.status, response.field("allow")), (status, allow), "{line}");
        assert!(!response.closes(), "{line} keeps the connection");
    }
}

#[test]
fn row_a10_h1_1_any_other_method_is_405_with_allow_and_the_end() {
    let server = server();
    let host = server.host();
    let long = "M".repeat(5000);
    let methods =
        ["PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "get", "Get", "GETX", "!#$%&'*+-.^_`|~9", &long];
    for method in methods {
        for (target, allow) in [("/", READ), ("/upload", UPLOAD), ("/upload?q", UPLOAD), ("/missing", READ)] {
            let response =
                only(&server, format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
            assert_eq!((response.status, response.field("allow")), (405, Some(allow)), "{method} {target}");
            assert_eq!(response.code(), "method_not_allowed");
        }
    }
    for target in ["*", "/%zz", "/../x", "junk", "localhost:443", "http://"] {
        let response = only(&server, format!("CONNECT {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        assert_eq!((response.status, response.field("allow")), (405, Some(READ)), "{target}");
    }
    let body = format!("PUT / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(only(&server, body.as_bytes()).status, 405);
}

#[test]
fn h1_1_a_method_that_is_no_token_is_400() {
    let server = server();
    for method in
        ["G(T", "G\"T", "G/T", "G:T", "G@T", "G[T", "G\\T", "G{T", "GET\t", "G\u{e9}T", "G\0T", "=GET,"]
    {
        let bytes = format!("{method} / HTTP/1.1\r\nHost: {}\r\n\r\n", server.host());
        let response = only(&server, bytes.as_bytes());
        assert_eq!((response.status, response.code().as_str()), (400, "bad_request_line"), "{method:?}");
    }
}

#[test]
fn h1_1_head_is_get_without_the_body() {
    let server = server();
    for target in
        ["/", "/sub/", "/sub", "/missing", "/healthz", "/readyz", "/%zz", "/..", "/uploads/x", "/status/x"]
    {
        for accept in ["*/*", "text/html"] {
            let get = server.request(&format!("GET {target} HTTP/1.1\r\nAccept: {accept}\r\n"), b"");
            let mut client = server.connect();
            client.send_request(&format!("HEAD {target} HTTP/1.1\r\nAccept: {accept}\r\n"), b"");
            client.send_request("GET /healthz HTTP/1.1\r\nConnection: close\r\n", b"");
            let head = client.response_to("HEAD ");
            // Were there a body, it would stand in the way of the next response.
            assert_eq!(client.response().status, 200, "{target}");
            assert!(client.is_closed());
            assert_eq!(head.status, get.status, "{target}");
            let names = |response: &Response| -> Vec<_> {
                let stable = |(name, _): &&(String, String)| name != "Date" && name != "X-Request-Id";
                response.fields.iter().filter(stable).cloned().collect()
            };
            assert_eq!(names(&head), names(&get), "{target}");
        }
    }
}

#[test]
fn row_b4_h1_2_versions_1_0_and_1_1_are_served_others_are_505_and_junk_is_400() {
    let server = server();
    let host = server.host();
    let line = |version: &str| format!("GET / {version}\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        assert_eq!(only(&server, line(version).as_bytes()).status, 200, "{version}");
    }
    for version in ["HTTP/1.2", "HTTP/1.9", "HTTP/0.9", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9", "HTTP/0.0"] {
        let response = only(&server, line(version).as_bytes());
        assert_eq!((response.status, response.code().as_str()), (505, "http_version"), "{version}");
    }
    let junk = [
        "http/1.1",
        "Http/1.1",
        "HTTP/1.01",
        "HTTP/01.1",
        "HTTP/1",
        "HTTP/11",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/1,1",
        "HTTP/a.1",
        "HTTPS/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1x",
        "HTTP /1.1",
        "HTTP/1.1\t",
        " HTTP/1.1",
        "HTTP/-1.1",
        "HTTP/\u{661}.1",
        "ICY",
    ];
    for version in junk {
        let response = only(&server, line(version).as_bytes());
        assert_eq!((response.status, response.code().as_str()), (400, "bad_request_line"), "{version:?}");
    }
    for simple in [
        "GET /\r\n",
        "GET\r\n",
        "GET / \r\n",
        "GET  HTTP/1.1\r\n",
        " GET / HTTP/1.1\r\n\r\n",
        "GET\t/\tHTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(only(&server, simple.as_bytes()).code(), "bad_request_line", "{simple:?}");
    }
}

#[test]
fn row_b4_h1_2_a_first_byte_that_begins_no_method_is_400_at_once() {
    let server = server();
    // The first bytes of TLS, of SSH's opposite, and single ones: no line end is waited for.
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\x16",
        b"\0",
        b" ",
        b"\x80",
        b"(",
        b"\n",
        b"\r\n\x16",
    ] {
        let response = only(&server, bytes);
        assert_eq!((response.status, response.code().as_str()), (400, "bad_request_line"), "{bytes:?}");
    }
    // The control: one byte that could begin a method is waited with.
    let mut client = server.connect();
    client.send(b"G");
    assert_eq!(client.rest(Duration::from_millis(300)), (Vec::new(), End::Open));
    client.send(format!("ET / HTTP/1.1\r\nHost: {}\r\n\r\n", server.host()));
    assert_eq!(client.response().status, 200);
}

#[test]
fn row_b1_h1_7_a_whole_uri_is_a_target_and_its_authority_replaces_host() {
    let server = server();
    let host = server.host();
    let port = server.addr.port();
    let home = "<h1>home</h1>";
    for (target, field, status, text) in [
        (format!("http://{host}/"), host.clone(), 200, Some(home)),
        (format!("http://{host}"), host.clone(), 200, Some(home)),
        (format!("http://{host}?q=/x/y"), host.clone(), 200, Some(home)),
        (format!("HTTP://LOCALHOST.:{port}/sub/"), host.clone(), 200, Some("sub")),
        (format!("http://{host}/sub/?a=b"), "evil.example".into(), 200, Some("sub")),
        (format!("http://{host}/healthz"), host.clone(), 200, None),
        ("http://evil.example/".into(), host.clone(), 403, None),
        (format!("http://u:p@{host}/"), host.clone(), 400, None),
        (format!("http://{host}/../x"), host.clone(), 403, None),
        ("http:///".into(), host.clone(), 400, None),
        (format!("http:/{host}/"), host.clone(), 400, None),
        (format!("ftp://{host}/"), host.clone(), 400, None),
        (format!("{host}/"), host.clone(), 400, None),
    ] {
        let mut client = server.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {field}\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status, status, "{target}");
        if let Some(text) = text {
            assert_eq!(response.text(), text, "{target}");
        }
    }
}

#[test]
fn row_b2_h1_7_any_other_target_is_400() {
    let server = server();
    for target in ["*", "index.html", "#", "/#x", "/?#x", "?", "localhost:80", "//", "://", "http", "a:b"] {
        let response = server.get(target);
        let expected = if target == "//" { (403, "traversal") } else { (400, "bad_target") };
        assert_eq!((response.status, response.code().as_str()), expected, "{target}");
        assert!(!response.closes(), "{target}: the message itself is sound");
    }
    let head = server.request("HEAD * HTTP/1.1\r\n", b"");
    assert_eq!(head.status, 400);
    for target in ["/\u{e9}", "/\u{7f}", "/\u{1}", "/a b", "/a\tb", "/\0", "/a\u{b}", " /", "/ "] {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", server.host());
        assert_eq!(only(&server, bytes.as_bytes()).code(), "bad_request_line", "{target:?}");
    }
    assert_eq!(server.get("/?a?b&c=/../d").status, 200, "a query may hold all of this");
}

#[test]
fn h1_8_204_and_304_have_no_body_and_no_length() {
    let server = server();
    let etag = server.get("/index.html").field("etag").unwrap().to_owned();
    let mut client = server.connect();
    for (head, status) in [
        ("OPTIONS / HTTP/1.1\r\n".to_owned(), 204),
        (format!("GET /index.html HTTP/1.1\r\nIf-None-Match: {etag}\r\n"), 304),
        (format!("HEAD /index.html HTTP/1.1\r\nIf-None-Match: {etag}\r\n"), 304),
    ] {
        client.send_request(&head, b"");
        let response = client.response_to(&head);
        assert_eq!(response.status, status);
        assert_eq!(response.field("transfer-encoding"), None);
        if status == 204 {
            assert_eq!(response.field("content-length"), None, "RFC 9110 8.6");
        }
    }
    // Nothing stood in between: the next answer begins where it should.
    assert_eq!(client.get("/index.html").text(), "<h1>home</h1>");
}

#[test]
fn h1_8_an_http_1_0_answer_ends_by_its_length() {
    let server = Setup::new().file("big.bin", vec![b'x'; 3 << 20]).file("s.bin", "x").start();
    for (target, length) in [("/big.bin", 3 << 20), ("/s.bin", 1), ("/missing", 0)] {
        let mut client = server.connect();
        client.send(format!("GET {target} HTTP/1.0\r\n\r\n"));
        let response = client.response();
        assert!(response.closes() && response.field("transfer-encoding").is_none());
        assert!(length == 0 || response.body.len() == length, "{target}");
        assert!(client.is_closed());
    }
}

#[test]
fn h1_8_a_file_that_shrinks_is_cut_and_never_padded() {
    const SIZE: usize = 64 << 20;
    let setup = Setup::new().file("big.bin", b"");
    let path = setup.root().join("big.bin");
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(SIZE as u64).unwrap();
    let server = setup.start();
    let mut client: Client = server.connect();
    client.send_request("GET /big.bin HTTP/1.1\r\n", b"");
    let mut piece = [0; 4096];
    let mut received = client.stream.read(&mut piece).unwrap();
    file.set_len(1 << 20).unwrap();
    let (rest, end) = client.rest(SOON);
    received += rest.len();
    assert_ne!(end, End::Open, "what was promised cannot come: the connection ends");
    assert!(received < SIZE, "{received} bytes came of a file that no longer has them");
    assert_eq!(server.get("/healthz").status, 200);
}
