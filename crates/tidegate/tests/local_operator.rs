//! Who is a local operator (SPEC SEC-0): everything that must hold, each part missing in turn, seen twice: at the
//! admin pages (SEC-6), which open to nobody else, and at the rate limit (SEC-1), from which nobody else is exempt.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;
mod visitors;

use std::path::Path;

use support::{Client, Server, Setup};
use visitors::{ask, from};

const ADMIN: [&str; 5] =
    ["/metrics", "/status", "/security-dashboard", "/security-dashboard/events", "/status/refusals/0"];

/// Two requests for whoever is no operator.
fn server(args: &[&str]) -> Server {
    Setup::new().args(&["--rate-limit", "3/m:2", "--max-requests", "0"]).args(args).start()
}

/// The status of `GET /metrics` with exactly this version, Host and these fields.
fn metrics(server: &Server, version: &str, host: &str, fields: &str) -> u16 {
    let mut client = server.connect();
    client.send(format!("GET /metrics HTTP/{version}\r\nHost: {host}\r\n{fields}\r\n"));
    client.response().status
}

/// Five requests in a row: all pass for an operator, two for anybody else.
fn passing(server: &Server, version: &str, host: &str, fields: &str) -> usize {
    let head = format!("GET /healthz HTTP/{version}\r\nHost: {host}\r\n{fields}\r\n");
    let pass = |_: &i32| {
        let mut client = server.connect();
        client.send(&head);
        client.response().status == 200
    };
    (0..5).filter(pass).count()
}

fn is_operator(server: &Server, version: &str, host: &str, fields: &str) {
    assert_eq!(metrics(server, version, host, fields), 200, "{version} {host} {fields}");
    assert_eq!(passing(server, version, host, fields), 5, "{version} {host} {fields}");
}

/// On a server of its own, for it uses up what strangers have.
fn is_stranger(args: &[&str], version: &str, host: &str, fields: &str) {
    let server = server(args);
    let host = host.replace("{port}", &server.addr.port().to_string());
    assert_eq!(metrics(&server, version, &host, fields), 403, "{version} {host} {fields}");
    assert!(passing(&server, version, &host, fields) <= 2, "{version} {host} {fields}");
}

#[test]
fn sec_0_loopback_with_a_loopback_host_is_the_operator() {
    let server = server(&["--allow-host", "*"]);
    let port = server.addr.port();
    for host in ["localhost", "127.0.0.1", "127.9.8.7", "[::1]", "LocalHost.", "[0:0:0:0:0:0:0:1]"] {
        is_operator(&server, "1.1", &format!("{host}:{port}"), "");
        is_operator(&server, "1.1", host, "");
    }
    // Any address of loopback.
    let mut other = from(&server, "127.0.0.200");
    for _ in 0..5 {
        assert_eq!(ask(&mut other, "GET /metrics HTTP/1.1\r\n").status, 200);
    }
    // Fields that look alike and say nothing.
    is_operator(&server, "1.1", "localhost", "X-Forward: 1.2.3.4\r\nForwardeds: x\r\nUser-Agent: Via\r\n");
}

#[test]
fn sec_0_every_admin_page_is_closed_to_http_1_0_and_open_to_1_1() {
    let server = Server::start(&[]);
    let host = server.host();
    for page in &ADMIN[..3] {
        let mut client = server.connect();
        client.send(format!("GET {page} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.response().status, 200, "{page}");
    }
    for page in ADMIN {
        let mut client = server.connect();
        client.send(format!("GET {page} HTTP/1.0\r\nHost: {host}\r\n\r\n"));
        let refused = client.response();
        assert_eq!((refused.status, refused.code().as_str()), (403, "admin_forbidden"), "{page}");
    }
}

#[test]
fn sec_0_http_1_0_is_a_stranger() {
    is_stranger(&[], "1.0", "127.0.0.1:{port}", "");
    is_stranger(&[], "1.0", "localhost:{port}", "Connection: keep-alive\r\n");
}

#[test]
fn sec_0_any_trace_of_a_proxy_makes_a_stranger() {
    for field in [
        "Forwarded: for=127.0.0.1",
        "X-Forwarded-For: 127.0.0.1",
        "x-forwarded-for: ",
        "X-Forwarded-Host: localhost",
        "X-Forwarded-Proto: http",
        "X-FORWARDED-WHATEVER: x",
        "X-Real-IP: 127.0.0.1",
        "Via: 1.1 localhost",
        "CF-Connecting-IP: 127.0.0.1",
        "True-Client-IP: 127.0.0.1",
    ] {
        is_stranger(&[], "1.1", "localhost:{port}", &format!("{field}\r\n"));
    }
}

/// DNS rebinding: a page that a browser on this machine loads under a name of its own.
#[test]
fn row_b6_sec_0_another_host_is_a_stranger_even_where_it_is_served() {
    for host in [
        "rebound.example",
        "localhost.example:{port}",
        "127.0.0.1.example",
        "0.0.0.0:{port}",
        "10.0.0.1",
        "[::]",
        "[::2]",
        "128.0.0.1",
    ] {
        is_stranger(&["--allow-host", "*"], "1.1", host, "");
    }
}

/// The target's authority replaces the Host (H1-7).
#[test]
fn sec_0_the_authority_of_the_target_is_the_host_that_counts() {
    let server = server(&["--allow-host", "*"]);
    let ask = |target: &str, host: &str| {
        let mut client = server.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        client.response().status
    };
    assert_eq!(ask("http://rebound.example/metrics", "localhost"), 403);
    assert_eq!(ask("http://localhost/metrics", "localhost"), 200);
}

#[test]
fn sec_0_a_trusted_proxy_is_never_the_operator() {
    is_stranger(&["--trusted-proxy", "127.0.0.1"], "1.1", "localhost:{port}", "");
    is_stranger(&["--trusted-proxy", "127.0.0.0/8"], "1.1", "localhost:{port}", "");
    is_stranger(
        &["--trusted-proxy", "127.0.0.1"],
        "1.1",
        "localhost:{port}",
        "X-Forwarded-For: 127.0.0.1\r\n",
    );
    let other = server(&["--trusted-proxy", "127.0.0.2"]);
    is_operator(&other, "1.1", &other.host(), "");
}

#[test]
fn sec_0_a_peer_of_a_unix_socket_is_never_the_operator() {
    let server = Server::start(&["--listen", "unix:s"]);
    let path = server.folder.0.join("s");
    assert_refused_over_unix(&path);
}

fn assert_refused_over_unix(path: &Path) {
    for page in ADMIN {
        let answer = process::get_over_unix(path, page);
        assert!(
            answer.starts_with("HTTP/1.1 403 ") && answer.contains("admin_forbidden"),
            "{page}: {answer}"
        );
    }
}

#[test]
fn sec_0_over_ipv6_loopback_is_loopback() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: sec_0_over_ipv6_loopback_is_loopback needs IPv6");
        return;
    }
    let server = server(&["--listen", "[::1]:0"]);
    is_operator(&server, "1.1", &server.host(), "");
    assert_eq!(metrics(&server, "1.1", &server.host(), "Via: 1.1 x\r\n"), 403);
}

/// `--limit-loopback` takes away the exemption and leaves the pages open.
#[test]
fn sec_1_limit_loopback_makes_loopback_a_client_like_any_other() {
    let server = server(&["--limit-loopback"]);
    assert_eq!(passing(&server, "1.1", &server.host(), ""), 2);
    let mut other = from(&server, "127.0.0.3");
    assert_eq!(ask(&mut other, "GET /metrics HTTP/1.1\r\n").status, 200, "each address is a client");
    assert_eq!(ask(&mut other, "GET /metrics HTTP/1.1\r\n").status, 200);
    assert_eq!(ask(&mut other, "GET /metrics HTTP/1.1\r\n").status, 429);
}

/// One connection, two kinds of request: each is judged by itself.
#[test]
fn sec_0_each_request_of_a_connection_is_judged_by_itself() {
    let server = Server::start(&["--max-requests", "0"]);
    let mut client: Client = server.connect();
    for (fields, status) in [("", 200), ("Via: 1.1 x\r\n", 403), ("", 200)] {
        assert_eq!(ask(&mut client, &format!("GET /metrics HTTP/1.1\r\n{fields}")).status, status);
    }
}
