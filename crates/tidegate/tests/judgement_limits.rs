//! H1-10 where ban, rate and admin pages take part: Host (2) before ban and rate (3), these before the method (4)
//! and all that follows, the target (5) before the admin pages (7), these before method against route (8).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;
mod visitors;

use support::{Server, Setup};
use visitors::{BEHIND_PROXY, Proxy, assert_refused, provoke_ban};

const CLIENT: &str = "203.0.113.7";

/// What a client gets for faults of the steps (4) to (11), and nobody in its state may see.
const LATER: &[(&str, &str)] = &[
    ("PUT /", ""),
    ("PUT /../x", ""),
    ("GET /../x", ""),
    ("GET /%zz", ""),
    ("OPTIONS /", ""),
    ("OPTIONS *", ""),
    ("GET /metrics", ""),
    ("POST /", "Content-Length: 0\r\n"),
    ("GET /", "Expect: x\r\n"),
    ("GET /missing", ""),
    ("GET /index.html", ""),
];

/// `line` with these fields, for [`CLIENT`] behind the trusted proxy.
fn head(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nX-Forwarded-For: {CLIENT}\r\n{fields}")
}

fn host_comes_first(server: &Server) {
    for (host, status, code) in [("evil.example", 403, "host_not_allowed"), ("a b", 400, "bad_host")] {
        let mut client = server.connect();
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {CLIENT}\r\n\r\n"));
        assert_refused(&client.response(), status, code);
    }
    let mut client = server.connect();
    client.send(format!("GET / HTTP/1.1\r\nX-Forwarded-For: {CLIENT}\r\nX : y\r\n\r\n"));
    assert_refused(&client.response(), 400, "bad_head");
    let mut client = server.connect();
    client.send(format!("GET / HTTP/1.1\r\nX-Forwarded-For: {CLIENT}\r\n\r\n"));
    assert_refused(&client.response(), 400, "host_missing");
}

#[test]
fn h1_10_a_ban_comes_behind_the_host_and_before_all_else() {
    let args = ["--bans", "on", "--rate-limit", "off"];
    let server = Setup::new().file("index.html", "home").args(&BEHIND_PROXY).args(&args).start();
    let mut proxy = Proxy::of(&server);
    for (line, fields) in LATER {
        assert_ne!(proxy.ask(&head(line, fields)).status, 429, "the control");
    }
    provoke_ban(&mut proxy, CLIENT);
    for (line, fields) in LATER {
        let refused = proxy.ask(&head(line, fields));
        assert_refused(&refused, 403, "banned");
    }
    host_comes_first(&server);
}

#[test]
fn h1_10_the_rate_comes_behind_the_host_and_before_all_else() {
    let args = ["--rate-limit", "1/m:1"];
    let server = Setup::new().file("index.html", "home").args(&BEHIND_PROXY).args(&args).start();
    let mut proxy = Proxy::of(&server);
    assert_eq!(proxy.get(CLIENT, "/index.html").status, 200);
    for (line, fields) in LATER {
        assert_refused(&proxy.ask(&head(line, fields)), 429, "rate_limited");
    }
    host_comes_first(&server);
}

/// Who is banned is told so, however many requests he sends.
#[test]
fn h1_10_a_ban_comes_before_the_rate() {
    let server =
        Setup::new().args(&BEHIND_PROXY).args(&["--bans", "on", "--rate-limit", "100/h:400"]).start();
    let mut proxy = Proxy::of(&server);
    provoke_ban(&mut proxy, CLIENT);
    for _ in 0..450 {
        assert_refused(&proxy.get(CLIENT, "/"), 403, "banned");
    }
}

#[test]
fn h1_10_admin_pages_come_behind_the_target_and_before_the_method_of_the_route() {
    let server = Setup::new().args(&BEHIND_PROXY).start();
    for (line, fields, status, code) in [
        // (4) before (7).
        ("PUT /metrics", "", 405, "method_not_allowed"),
        ("DELETE /security-dashboard/bans/lift", "", 405, "method_not_allowed"),
        // (5) before (7).
        ("GET /metrics/../x", "", 403, "traversal"),
        ("GET /status/%2e%2e/x", "", 403, "traversal"),
        ("GET /metrics%zz", "", 400, "bad_target"),
        // (6) before (7).
        ("OPTIONS /metrics", "", 204, ""),
        ("OPTIONS /security-dashboard/bans/lift", "", 204, ""),
        // (7) before (8) and (9).
        ("POST /metrics", "Content-Length: 0\r\n", 403, "admin_forbidden"),
        ("POST /status", "Content-Length: 0\r\n", 403, "admin_forbidden"),
        ("GET /security-dashboard/bans/lift", "", 403, "admin_forbidden"),
        ("POST /security-dashboard/bans/lift", "Content-Length: 0\r\n", 403, "admin_forbidden"),
        ("POST /metrics", "Content-Length: 0\r\nExpect: x\r\n", 403, "admin_forbidden"),
        ("GET /metrics", "Expect: x\r\n", 403, "admin_forbidden"),
        ("GET /security-dashboard/no-such-asset.js", "", 403, "admin_forbidden"),
        ("GET /status/no/such/page", "", 403, "admin_forbidden"),
    ] {
        let response = server.request(&head(line, fields), b"");
        assert_eq!(response.status, status, "{line} {fields}");
        if !code.is_empty() {
            assert_eq!(response.code(), code, "{line} {fields}");
        }
    }
}

/// For the operator himself the next steps answer.
#[test]
fn h1_10_behind_the_admin_rule_the_route_judges_method_and_name() {
    let server = Server::start(&[]);
    for (line, fields, status, code) in [
        ("POST /metrics", "Content-Length: 0\r\n", 405, "method_not_allowed"),
        ("POST /status", "Content-Length: 0\r\nExpect: x\r\n", 405, "method_not_allowed"),
        ("GET /security-dashboard/bans/lift", "", 405, "method_not_allowed"),
        ("GET /metrics", "Expect: x\r\n", 417, "expectation_failed"),
        ("GET /security-dashboard/no-such-asset.js", "", 404, "not_found"),
        ("GET /status/no/such/page", "", 404, "not_found"),
        ("GET /status/refusals/0123456789abcdef", "", 404, "not_found"),
    ] {
        let response = server.request(&format!("{line} HTTP/1.1\r\n{fields}"), b"");
        assert_eq!((response.status, response.code().as_str()), (status, code), "{line} {fields}");
    }
}

/// A refusal for want of rights names no more than the right that is missing.
#[test]
fn sec_6_h1_10_a_stranger_learns_nothing_of_what_is_there() {
    let server = Setup::new().args(&BEHIND_PROXY).start();
    let body = |target: &str| {
        let mut problem = server.request(&head(&format!("GET {target}"), ""), b"").json();
        for member in ["instance", "id"] {
            problem.as_object_mut().unwrap().remove(member);
        }
        problem
    };
    assert_eq!(body("/status/refusals/0123456789abcdef"), body("/status/refusals/not-an-id"));
    assert_eq!(body("/security-dashboard/dashboard.js"), body("/security-dashboard/none.js"));
}
