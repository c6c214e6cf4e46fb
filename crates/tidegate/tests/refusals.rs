//! SEC-4 the form of every refusal, SEC-3 the fields of caution, OBS-1 how the log tells what could not be read.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;

use std::collections::HashSet;

use support::{Response, Server, Setup};

/// A refusal: its status, code and the request that gets it, with `{H}` for the Host line.
type Case = (u16, &'static str, &'static str);

const POST: &str = "POST /upload HTTP/1.1\r\n{H}Content-Type: application/json\r\n";

/// Refusals of heads that could not be read: nothing in them is trusted, so they are told in JSON.
const UNREAD: &[Case] = &[
    (400, "bad_request_line", "GET /\r\n\r\n"),
    (400, "bad_request_line", "GET / HTTP/1.1\n{H}\r\n"),
    (400, "bad_head", "GET / HTTP/1.1\r\n{H}X : y\r\n\r\n"),
    (400, "bad_framing", "GET / HTTP/1.1\r\n{H}Content-Length: x\r\n\r\n"),
    (501, "unknown_coding", "GET / HTTP/1.1\r\n{H}Transfer-Encoding: x\r\n\r\n"),
    (505, "http_version", "GET / HTTP/1.2\r\n{H}\r\n"),
];

/// Refusals of requests that were understood.
const READ: &[Case] = &[
    (400, "bad_target", "GET /%zz HTTP/1.1\r\n{H}"),
    (400, "bad_target", "GET /%00 HTTP/1.1\r\n{H}"),
    (400, "bad_target", "GET /%ff HTTP/1.1\r\n{H}"),
    (400, "bad_target", "GET * HTTP/1.1\r\n{H}"),
    (400, "bad_host", "GET / HTTP/1.1\r\nHost: a b\r\n"),
    (400, "host_missing", "GET / HTTP/1.1\r\n"),
    (403, "host_not_allowed", "GET / HTTP/1.1\r\nHost: evil.example\r\n"),
    (403, "traversal", "GET /../etc/passwd HTTP/1.1\r\n{H}"),
    (403, "traversal", "GET /%2e%2e/x HTTP/1.1\r\n{H}"),
    (404, "not_found", "GET /missing HTTP/1.1\r\n{H}"),
    (404, "not_found", "GET /a%2fb HTTP/1.1\r\n{H}"),
    (404, "not_found", "GET /.hidden HTTP/1.1\r\n{H}"),
    (404, "not_found", "GET /uploads HTTP/1.1\r\n{H}"),
    (404, "not_found", "GET /uploads/missing HTTP/1.1\r\n{H}"),
    (405, "method_not_allowed", "PUT / HTTP/1.1\r\n{H}"),
    (405, "method_not_allowed", "GET /upload HTTP/1.1\r\n{H}"),
    (411, "length_required", POST),
    (412, "precondition_failed", "GET /index.html HTTP/1.1\r\n{H}If-Match: \"x\"\r\n"),
    (416, "range_not_satisfiable", "GET /index.html HTTP/1.1\r\n{H}Range: bytes=99-\r\n"),
    (417, "expectation_failed", "GET / HTTP/1.1\r\n{H}Expect: x\r\n"),
];

/// Refused uploads: framing fields and the body behind the head.
const UPLOADS: &[(u16, &str, &str, &str)] = &[
    (400, "invalid_json", "Content-Length: 2\r\n", "{]"),
    (400, "bad_chunk", "Transfer-Encoding: chunked\r\n", "x\r\n"),
    (413, "body_too_large", "Content-Length: 1048577\r\n", ""),
    (415, "content_encoding", "Content-Encoding: gzip\r\nContent-Length: 2\r\n", "{}"),
    (431, "too_many_fields", "Transfer-Encoding: chunked\r\n", "TRAILERS"),
];

fn server(args: &[&str]) -> Server {
    Setup::new().file("index.html", "home").file(".hidden", "secret").args(args).start()
}

fn ask(server: &Server, request: &str) -> Response {
    let mut client = server.connect();
    client.send(request.replace("{H}", &format!("Host: {}\r\n", server.host())));
    client.response()
}

/// What every refusal has; returns its id.
fn check_common(server: &Server, response: &Response) -> String {
    assert_eq!(response.field("cache-control"), Some("no-store"), "{response:?}");
    assert_eq!(response.field("x-content-type-options"), Some("nosniff"), "{response:?}");
    let id = response.field("x-request-id").expect("an id").to_owned();
    assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    let text = format!("{:?} {}", response.fields, response.text());
    let root = server.folder.0.display().to_string();
    for leak in [root.as_str(), "/tmp", env!("CARGO_PKG_VERSION"), ".rs", "panicked", "etc/passwd", "secret"]
    {
        assert!(!text.contains(leak), "{leak:?} in {text}");
    }
    id
}

fn check_problem(server: &Server, response: &Response, status: u16, code: &str) -> String {
    assert_eq!(response.status, status, "{code}: {response:?}");
    assert_eq!(response.field("content-type"), Some("application/problem+json"), "{code}");
    let problem = response.json();
    assert_eq!((problem["status"].as_u64(), problem["code"].as_str()), (Some(status.into()), Some(code)));
    for member in ["type", "title", "detail"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
    }
    check_common(server, response)
}

fn check_page(server: &Server, response: &Response, status: u16, code: &str) {
    assert_eq!((response.status, response.field("content-type")), (status, Some("text/html; charset=utf-8")));
    let id = check_common(server, response);
    let page = response.text();
    assert!(page.contains(code) && page.contains(&id) && page.contains(&status.to_string()), "{page}");
    assert!(
        page.starts_with("<!doctype html>") && !page.contains("<script") && !page.contains("http"),
        "{page}"
    );
    let policy = response.field("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("script-src"), "{policy}");
}

/// The requests of [`UPLOADS`] whole, with `fields` added.
fn uploads(fields: &str) -> Vec<(u16, &'static str, String)> {
    let trailers = format!("2\r\n{{}}\r\n0\r\n{}\r\n", "X: y\r\n".repeat(101));
    let whole = |framing: &str, body: &str| {
        format!("{POST}{framing}{fields}\r\n{}", if body == "TRAILERS" { &trailers } else { body })
    };
    let mut all: Vec<_> =
        UPLOADS.iter().map(|(status, code, framing, body)| (*status, *code, whole(framing, body))).collect();
    let text = format!("POST /upload HTTP/1.1\r\n{{H}}Content-Length: 2\r\n{fields}\r\n{{}}");
    all.push((415, "not_json", text));
    all
}

#[test]
fn sec_4_every_refusal_is_a_problem_with_its_code_and_an_id_of_its_own() {
    let server = server(&[]);
    let mut ids = HashSet::new();
    let mut count = 0;
    let mut check = |status, code: &str, request: &str| {
        ids.insert(check_problem(&server, &ask(&server, request), status, code));
        count += 1;
    };
    for (status, code, request) in UNREAD {
        check(*status, code, request);
    }
    check(414, "target_too_long", &format!("GET /{} HTTP/1.1\r\n{{H}}\r\n", "a".repeat(8000)));
    check(431, "head_too_large", &format!("GET / HTTP/1.1\r\n{{H}}X: {}\r\n\r\n", "a".repeat(8192)));
    check(431, "too_many_fields", &format!("GET / HTTP/1.1\r\n{{H}}{}\r\n", "X: y\r\n".repeat(101)));
    for accept in [
        "",
        "Accept: */*\r\n",
        "Accept: application/json\r\n",
        "Accept: text/html;q=0, */*\r\n",
        "Accept: text/htmlx\r\n",
    ] {
        for (status, code, request) in READ {
            check(*status, code, &format!("{request}{accept}\r\n"));
        }
    }
    for (status, code, request) in uploads("") {
        check(status, code, &request);
    }
    assert_eq!(ids.len(), count, "an id is given once");
}

#[test]
fn sec_4_a_browser_gets_a_page() {
    let server = server(&[]);
    for accept in
        ["text/html", "application/xml;q=0.9, TEXT/HTML;q=0.5", "text/html,application/xhtml+xml,*/*;q=0.8"]
    {
        for (status, code, request) in READ {
            check_page(&server, &ask(&server, &format!("{request}Accept: {accept}\r\n\r\n")), *status, code);
        }
        for (status, code, request) in uploads(&format!("Accept: {accept}\r\n")) {
            check_page(&server, &ask(&server, &request), status, code);
        }
    }
}

#[test]
fn sec_4_refusals_for_want_of_room_have_the_same_form() {
    for (args, status, code) in [
        (&["--upload-quota", "1B"][..], 507, "quota_exceeded"),
        (&["--body-memory", "1B"], 503, "uploads_busy"),
        (&["--uploads", "root/index.html/x"], 503, "uploads_unavailable"),
    ] {
        let server = server(args);
        let response = server.upload(b"{}");
        check_problem(&server, &response, status, code);
        assert!(response.field("retry-after").is_some_and(|value| value.parse::<u32>().is_ok()), "{code}");
    }
}

#[test]
fn sec_4_a_slow_head_is_a_problem_too() {
    let server = server(&["--header-timeout", "1s"]);
    check_problem(&server, &ask(&server, "GET / HTTP/1.1\r\nAccept: text/html\r\n"), 408, "slow_head");
}

#[test]
fn sec_4_two_404_differ_by_their_id_alone() {
    let server = server(&[]);
    let [one, two] = ["/missing-one", "/missing/two"].map(|target| server.get(target));
    assert_eq!(one.body, two.body);
    let stable = |response: &Response| -> Vec<_> {
        let fields = response.fields.iter();
        fields.filter(|(name, _)| name != "Date" && name != "X-Request-Id").cloned().collect()
    };
    assert_eq!(stable(&one), stable(&two));
    assert_ne!(one.field("x-request-id"), two.field("x-request-id"));
}

#[test]
fn row_h3_sec_4_nothing_that_was_sent_comes_back() {
    let server = server(&[]);
    let mark = "<script>mark</script>";
    for request in [
        format!("GET /{mark} HTTP/1.1\r\n{{H}}Accept: text/html\r\n\r\n"),
        format!("GET /x HTTP/1.1\r\nHost: {mark}\r\nAccept: text/html\r\n\r\n"),
        format!("GET /x HTTP/1.1\r\n{{H}}Accept: text/html\r\nExpect: {mark}\r\n\r\n"),
        format!("GET /x HTTP/{mark}\r\n{{H}}\r\n"),
        format!("{POST}Content-Length: 21\r\nAccept: text/html\r\n\r\n{mark}"),
    ] {
        let response = ask(&server, &request);
        assert!(response.status >= 400);
        let all = format!("{:?}{}", response.fields, response.text());
        assert!(!all.contains("mark"), "{all}");
    }
}

#[test]
fn row_h4_sec_3_uploads_and_refusals_are_not_stored_and_nothing_is_sniffed() {
    let server = server(&[]);
    let created = server.upload(b"{}");
    assert_eq!((created.status, created.field("cache-control")), (201, Some("no-store")));
    let location = created.field("location").unwrap().to_owned();
    let stored = server.get(&location);
    assert_eq!((stored.status, stored.field("cache-control")), (200, Some("no-store")));
    let etag = stored.field("etag").unwrap_or("\"x\"").to_owned();
    let mut client = server.connect();
    for (head, status) in [
        (format!("HEAD {location} HTTP/1.1\r\n"), 200),
        (format!("GET {location} HTTP/1.1\r\nRange: bytes=0-0\r\n"), 206),
        (format!("GET {location} HTTP/1.1\r\nIf-None-Match: {etag}\r\n"), 304),
        (format!("GET {location} HTTP/1.1\r\nIf-Match: \"y\"\r\n"), 412),
        (format!("GET {location}x HTTP/1.1\r\n"), 404),
    ] {
        client.send_request(&head, b"");
        let response = client.response_to(&head);
        assert_eq!((response.status, response.field("cache-control")), (status, Some("no-store")), "{head}");
    }
    // The control: a file is not marked, and nosniff is asserted by the client on every response of every test.
    let file = server.get("/index.html");
    assert_eq!(file.field("cache-control"), None);
    for line in ["GET /", "OPTIONS *", "GET /healthz", "GET /readyz", "GET /missing"] {
        let response = server.request(&format!("{line} HTTP/1.1\r\n"), b"");
        assert_eq!(response.field("x-content-type-options"), Some("nosniff"), "{line}");
    }
}

#[test]
fn obs_1_an_unparseable_request_line_is_a_dash() {
    let unparseable = [
        "\x16\x03\x01\x02",
        "GET /\r\n",
        "\x1b[31m / HTTP/1.1\r\n",
        "GET /\x1b[31m HTTP/1.1\r\n",
        "G\0T / HTTP/1.1\r\n",
    ];
    for (format, want) in [("pretty", " \"-\" 400 "), ("combined", "] \"-\" 400 ")] {
        for bytes in unparseable {
            let mut server = server(&["--access-log", format]);
            let id = check_problem(&server, &ask(&server, bytes), 400, "bad_request_line");
            let line = server.wait_for_log(want);
            assert!(line.contains("127.0.0.1") && (format == "combined" || line.contains(&id)), "{line}");
            let log = server.log().join("\n");
            assert!(!log.contains('\x1b') && !log.contains('\0'), "{log:?}");
        }
    }
}

#[test]
fn obs_1_a_refusal_is_logged_with_the_id_that_its_client_has() {
    let mut server = server(&[]);
    for (status, code, request) in READ {
        let id = check_problem(&server, &ask(&server, &format!("{request}\r\n")), *status, code);
        let line = server.wait_for_log(&format!(" {id} {code}"));
        let asked = request.split("\r\n").next().unwrap();
        assert!(line.contains(&format!("\"{asked}\" {status} ")), "{line}");
    }
    let id = check_problem(&server, &ask(&server, "GET /x HTTP/7.0\r\n\r\n"), 505, "http_version");
    let line = server.wait_for_log(&format!(" {id} http_version"));
    assert!(line.contains("\"GET /x HTTP/7.0\" 505 "), "{line}");
}
