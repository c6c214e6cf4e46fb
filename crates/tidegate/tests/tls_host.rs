//! Over TLS a request is for the server that its handshake asked for (SPEC H1-10 (2), HOST-1; ATTACKS G4).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;
mod tls;

use std::process::Command;
use std::sync::Arc;

use rustls::ClientConfig;
use support::{Client, Response, Server, Setup};
use tls::{Authority, Trust, connect, flags};

/// A server that proves to be `a.example` or 127.0.0.1 and, by another certificate, `b.example`; and who trusts it.
fn server(args: &[&str]) -> (Server, Arc<ClientConfig>) {
    let authority = Authority::new();
    let setup = Setup::new().file("index.html", "home");
    authority.leaf(&["a.example", "127.0.0.1"]).write(&setup.folder, "a");
    authority.leaf(&["b.example"]).write(&setup.folder, "b");
    let pairs: Vec<_> = ["a", "b"].iter().flat_map(|name| flags(name)).collect();
    let pairs: Vec<_> = pairs.iter().map(String::as_str).collect();
    let names = ["--allow-host", "a.example", "--allow-host", "b.example"];
    (setup.args(&pairs).args(&names).args(args).start(), Trust::of(&authority).config())
}

/// A connection whose handshake asked for `name`: a name, or an address, for which nothing is asked.
fn asking_for(server: &Server, trust: &Arc<ClientConfig>, name: &str) -> Client {
    connect(server.addr, trust, name).unwrap().client()
}

fn with_host(client: &mut Client, host: &str) -> Response {
    client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    client.response()
}

#[test]
fn row_g4_tls_1_h1_10_a_request_for_another_server_than_the_handshake_asked_for_is_421() {
    let (server, trust) = server(&[]);
    let port = server.addr.port();
    let mut client = asking_for(&server, &trust, "a.example");
    for host in ["b.example", &format!("localhost:{port}"), &format!("127.0.0.1:{port}"), "evil.example"] {
        let refused = with_host(&mut client, host);
        assert_eq!((refused.status, refused.code().as_str()), (421, "misdirected"), "{host}");
        assert!(!refused.closes() && refused.field("x-request-id").is_some(), "{host}");
        assert!(refused.field("cache-control") == Some("no-store"), "{host}");
    }
    // On the same connection, and right after: neither case nor port nor one dot make another server.
    for host in ["a.example", "A.Example.", "a.example:443", &format!("a.example:{port}")] {
        assert_eq!(with_host(&mut client, host).status, 200, "{host}");
    }
    client.send("GET https://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(client.response().status, 421, "the authority of the target counts");
    client.send("GET https://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n");
    assert_eq!(client.response().status, 200);
    // The control: where the handshake asked for no name, there is nothing to differ from.
    let mut nameless = asking_for(&server, &trust, "127.0.0.1");
    for host in ["a.example", "b.example", &format!("127.0.0.1:{port}")] {
        assert_eq!(with_host(&mut nameless, host).status, 200, "{host}");
    }
}

#[test]
fn row_g4_h1_10_misdirected_comes_after_malformed_and_before_not_allowed() {
    let (server, trust) = server(&[]);
    let first = |lines: &str| {
        let mut client = asking_for(&server, &trust, "a.example");
        client.send(format!("BREW /../x HTTP/1.1\r\n{lines}\r\n"));
        client.response().code()
    };
    assert_eq!(first("Host: b.example\r\nHost: a.example\r\n"), "bad_host");
    assert_eq!(first("Host: a b\r\n"), "bad_host");
    assert_eq!(first(""), "host_missing");
    assert_eq!(first("Host: evil.example\r\n"), "misdirected");
    assert_eq!(first("Host: a.example\r\n"), "method_not_allowed", "the control: nothing before it");
    let mut nameless = asking_for(&server, &trust, "127.0.0.1");
    assert_eq!(with_host(&mut nameless, "evil.example").code(), "host_not_allowed");
}

/// A browser that asks for one name on a connection to another means no harm, and must be told to try again.
#[test]
fn row_g4_sec_5_who_is_misdirected_is_neither_an_event_nor_banned() {
    let (server, trust) = server(&["--limit-loopback", "--bans", "on"]);
    let mut client = asking_for(&server, &trust, "a.example");
    for _ in 0..60 {
        assert_eq!(with_host(&mut client, "b.example").status, 421);
    }
    assert_eq!(with_host(&mut client, "a.example").status, 200);
    assert!(!server.log().iter().any(|line| line.contains("WARN") && line.contains("misdirected")));
    // The control: a host that is not ours is held against who names it.
    let mut nameless = asking_for(&server, &trust, "127.0.0.1");
    for _ in 0..60 {
        assert_eq!(with_host(&mut nameless, "evil.example").status, 403);
    }
    assert_eq!(with_host(&mut nameless, "a.example").code(), "banned");
}

#[test]
fn row_g4_h2_1_curl_is_misdirected_by_either_protocol() {
    let (server, _) = server(&[]);
    let port = server.addr.port();
    let curl = |protocol: &str, host: &str| {
        let to = format!("a.example:{port}:127.0.0.1:{port}");
        let output = Command::new("curl")
            .args(["-sk", "--max-time", "20", protocol, "--connect-to", &to, "-o", "/dev/null"])
            .args(["-H", &format!("Host: {host}"), "-w", "%{http_code} %{http_version}"])
            .arg(format!("https://a.example:{port}/"))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for (protocol, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        assert_eq!(curl(protocol, "b.example"), format!("421 {version}"));
        assert_eq!(curl(protocol, &format!("a.example:{port}")), format!("200 {version}"));
    }
}

/// The memory of what was ours last is one for all connections of a worker.
#[test]
fn row_g4_what_was_ours_on_one_connection_is_not_on_another() {
    let (server, trust) = server(&["--workers", "1"]);
    let mut of_b = asking_for(&server, &trust, "b.example");
    let mut of_a = asking_for(&server, &trust, "a.example");
    for _ in 0..3 {
        assert_eq!(with_host(&mut of_b, "b.example").status, 200);
        assert_eq!(with_host(&mut of_a, "b.example").status, 421);
        assert_eq!(with_host(&mut of_a, "a.example").status, 200);
        assert_eq!(with_host(&mut of_b, "a.example").status, 421);
    }
}

#[test]
fn tls_1_sec_0_a_client_on_this_machine_is_a_local_operator_over_tls_too() {
    let (server, trust) = server(&[]);
    let host = format!("127.0.0.1:{}", server.addr.port());
    let ask = |line: &str, host: &str, more: &str| {
        let mut client = asking_for(&server, &trust, host.split(':').next().unwrap());
        client.send(format!("{line}\r\nHost: {host}\r\n{more}\r\n"));
        client.response().status
    };
    assert_eq!(ask("GET /metrics HTTP/1.1", &host, ""), 200);
    assert_eq!(ask("GET /metrics HTTP/1.1", &host, "X-Forwarded-For: 192.0.2.1\r\n"), 403);
    assert_eq!(ask("GET /metrics HTTP/1.0", &host, ""), 403);
    assert_eq!(
        ask("GET /metrics HTTP/1.1", "a.example", ""),
        403,
        "a name that any page may have had resolved"
    );
}
