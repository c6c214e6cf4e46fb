//! SEC-2 scripts of other origins: who may read which answers, over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;

use support::{Response, Server, Setup};

const GOOD: &str = "https://good.com";

/// Origins that look like [`GOOD`] to a careless eye.
const FOREIGN: &[&str] = &[
    "null",
    "*",
    "https://evil-good.com",
    "https://good.com.evil",
    "https://good.com.",
    "https://evil.com/good.com",
    "https://good.com@evil.com",
    "https://good.com/",
    "https://good.com:8443",
    "https://good.com:443",
    "http://good.com",
    "good.com",
    "https://good.com, https://evil.com",
    "https://good.com\r\nOrigin: https://good.com",
];

fn server(args: &[&str]) -> Server {
    Setup::new().file("index.html", "home").args(args).start()
}

fn ask(server: &Server, line: &str, fields: &str) -> Response {
    server.request(&format!("{line} HTTP/1.1\r\n{fields}"), b"")
}

/// The CORS fields of a response by their names in lower case, without their common beginning.
fn cors(response: &Response) -> Vec<(String, &str)> {
    let named = response.fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()));
    named
        .filter_map(|(name, value)| Some((name.strip_prefix("access-control-")?.to_owned(), value)))
        .collect()
}

fn allows(response: &Response) -> Option<&str> {
    response.field("access-control-allow-origin")
}

/// Whether a cache is told that the response is made for its origin.
fn varies(response: &Response) -> bool {
    let lines = response.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("vary"));
    lines.flat_map(|(_, value)| value.split(", ")).any(|name| name.eq_ignore_ascii_case("origin"))
}

#[test]
fn row_h7_sec_2_without_an_origin_configured_nothing_is_said() {
    let server = server(&[]);
    for line in ["GET /", "GET /missing", "OPTIONS /upload"] {
        let response =
            ask(&server, line, "Origin: https://good.com\r\nAccess-Control-Request-Method: POST\r\n");
        assert_eq!((cors(&response), varies(&response)), (vec![], false), "{line}");
    }
}

#[test]
fn row_h7_sec_2_only_the_exact_origin_is_allowed_and_every_answer_varies() {
    let server = server(&["--cors-origin", "https://other.example", "--cors-origin", "HTTPS://Good.com:443"]);
    for origin in [GOOD, "HTTPS://GOOD.COM"] {
        let response = ask(&server, "GET /", &format!("Origin: {origin}\r\n"));
        assert_eq!((response.status, allows(&response), varies(&response)), (200, Some(GOOD), true));
        assert_eq!(response.field("access-control-allow-credentials"), None);
    }
    for origin in FOREIGN {
        let response = ask(&server, "GET /", &format!("Origin: {origin}\r\n"));
        assert_eq!((response.status, cors(&response), varies(&response)), (200, vec![], true), "{origin}");
    }
    let without = ask(&server, "GET /", "");
    assert_eq!((cors(&without), varies(&without)), (vec![], true), "a cache may keep it for everybody else");
}

#[test]
fn row_h7_sec_2_any_origin_is_one_answer_for_all() {
    let server = server(&["--cors-origin", "*"]);
    for fields in ["", "Origin: null\r\n", "Origin: https://any.example\r\n"] {
        let response = ask(&server, "GET /", fields);
        assert_eq!((allows(&response), varies(&response)), (Some("*"), false), "{fields}");
    }
}

#[test]
fn sec_2_a_script_can_read_refusals_and_partial_answers_too() {
    let server = server(&["--cors-origin", GOOD]);
    let tag = server.get("/index.html").field("etag").unwrap().to_owned();
    let origin = format!("Origin: {GOOD}\r\n");
    for (status, line, fields) in [
        (200, "HEAD /index.html", String::new()),
        (206, "GET /index.html", "Range: bytes=0-1\r\n".into()),
        (304, "GET /index.html", format!("If-None-Match: {tag}\r\n")),
        (403, "GET /a/../b", String::new()),
        (404, "GET /missing", String::new()),
        (404, "GET /missing", "Accept: text/html\r\n".into()),
        (405, "PUT /", String::new()),
        (413, "POST /upload", "Content-Type: application/json\r\nContent-Length: 9999999\r\n".into()),
        (415, "POST /upload", "Content-Type: text/plain\r\nContent-Length: 0\r\n".into()),
        (416, "GET /index.html", "Range: bytes=9-\r\n".into()),
    ] {
        let response = ask(&server, line, &format!("{origin}{fields}"));
        assert_eq!((response.status, allows(&response)), (status, Some(GOOD)), "{line}");
        assert!(varies(&response), "{line}");
        let exposed: Vec<&str> =
            response.field("access-control-expose-headers").unwrap().split(", ").collect();
        assert!(
            ["ETag", "Location", "X-Request-Id", "Retry-After"].iter().all(|name| exposed.contains(name))
        );
    }
}

#[test]
fn sec_2_a_refused_body_can_be_read_by_the_script_that_sent_it() {
    let server = server(&["--cors-origin", GOOD, "--max-body", "8B"]);
    let head = format!(
        "POST /upload HTTP/1.1\r\nOrigin: {GOOD}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    );
    let response = server.request(&head, b"9\r\n[1,2,3,4]\r\n0\r\n\r\n");
    assert_eq!(
        (response.status, response.code().as_str(), allows(&response)),
        (413, "body_too_large", Some(GOOD))
    );
}

#[test]
fn sec_2_a_script_that_asks_too_fast_can_read_when_to_come_back() {
    let server = server(&["--cors-origin", GOOD, "--limit-loopback", "--rate-limit", "1/m:1"]);
    let origin = format!("Origin: {GOOD}\r\n");
    assert_eq!(ask(&server, "GET /", &origin).status, 200);
    let refused = ask(&server, "GET /", &origin);
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"));
    assert_eq!((allows(&refused), varies(&refused)), (Some(GOOD), true));
    assert!(refused.field("retry-after").is_some(), "{refused:?}");
}

#[test]
fn sec_2_an_upload_of_an_allowed_origin_tells_its_place() {
    let server = server(&["--cors-origin", GOOD]);
    let head = format!(
        "POST /upload HTTP/1.1\r\nOrigin: {GOOD}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    );
    let response = server.request(&head, b"{}");
    assert_eq!((response.status, allows(&response)), (201, Some(GOOD)));
    assert!(response.field("location").is_some());
}

#[test]
fn sec_2_every_route_answers_its_preflight() {
    let server = server(&["--cors-origin", GOOD]);
    let asks = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n";
    for path in ["/", "/index.html", "/missing", "/upload", "/uploads/x", "/healthz", "/readyz"] {
        let response = ask(&server, &format!("OPTIONS {path}"), &format!("Origin: {GOOD}\r\n{asks}"));
        assert_eq!(response.status, 204, "{path}");
        let expected = [
            ("allow-origin", GOOD),
            ("allow-methods", "GET, HEAD, POST"),
            ("allow-headers", "Content-Type"),
            ("max-age", "600"),
        ];
        assert_eq!(cors(&response), expected.map(|(name, value)| (name.to_owned(), value)), "{path}");
        let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
        assert_eq!(response.field("vary"), Some(vary), "{path}");
        for origin in FOREIGN {
            let response = ask(&server, &format!("OPTIONS {path}"), &format!("Origin: {origin}\r\n{asks}"));
            assert_eq!(
                (response.status, cors(&response), varies(&response)),
                (204, vec![], true),
                "{origin}"
            );
        }
    }
}

#[test]
fn row_h7_sec_2_the_pages_of_operators_are_for_no_script_of_another_origin() {
    for origin in [GOOD, "*"] {
        let server = server(&["--cors-origin", origin]);
        for path in ["/metrics", "/%6detrics", "/status", "/status/refusals/1", "/security-dashboard"] {
            for method in ["GET", "OPTIONS", "PUT"] {
                let fields =
                    format!("Origin: {GOOD}\r\nAccess-Control-Request-Method: GET\r\nConnection: close\r\n");
                let response = ask(&server, &format!("{method} {path}"), &fields);
                assert_eq!((cors(&response), varies(&response)), (vec![], false), "{method} {path}");
            }
        }
    }
}

#[test]
fn sec_2_a_reload_changes_the_origins() {
    let setup = Setup::new().file("index.html", "home").args(&["-c", "t.toml"]);
    setup.folder.write("t.toml", "[cors]\norigin = [\"https://good.com\"]\n");
    let mut server = setup.start();
    assert_eq!(allows(&ask(&server, "GET /", "Origin: https://good.com\r\n")), Some(GOOD));
    server.folder.write("t.toml", "");
    server.signal("HUP");
    server.wait_for_log("reload");
    support::eventually("the origin is forgotten", || {
        allows(&ask(&server, "GET /", "Origin: https://good.com\r\n")).is_none()
    });
}

#[test]
fn sec_2_an_origin_with_a_path_is_refused_at_start() {
    let refused = Setup::new().args(&["--cors-origin", "https://good.com/"]).command().output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(said.contains("--cors-origin https://good.com/: expected scheme://host[:port]"), "{said}");
}
