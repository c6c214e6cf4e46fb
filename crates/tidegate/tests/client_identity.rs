//! Who counts as one client (SPEC SEC-1): IPv6 by /64, what a trusted proxy says and what anybody else says.
//!
//! Each test gives a client two requests and tells one client from another by whose third is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;
mod visitors;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use process::lines_with;
use support::{Server, Setup, eventually};
use visitors::{Proxy, ask, assert_refused, from};

/// Two requests and no more: the next token comes after 20 s.
const TWO: [&str; 4] = ["--rate-limit", "3/m:2", "--max-requests", "0"];

fn server(args: &[&str]) -> Server {
    Setup::new().args(&TWO).args(args).start()
}

/// The status of a request with these fields from the test's own address.
fn status(server: &Server, fields: &str) -> u16 {
    server.request(&format!("GET /healthz HTTP/1.1\r\n{fields}"), b"").status
}

/// Asserts that all these requests are of one client, and of none that has asked before.
fn one_client(server: &Server, requests: &[&str]) {
    let statuses: Vec<_> = requests.iter().map(|fields| status(server, fields)).collect();
    let expected: Vec<_> = (0..requests.len()).map(|at| if at < 2 { 200 } else { 429 }).collect();
    assert_eq!(statuses, expected, "{requests:#?}");
}

#[test]
fn row_j11_sec_1_ipv6_is_one_client_per_64() {
    let server = server(&["--trusted-proxy", "127.0.0.1"]);
    one_client(
        &server,
        &[
            "X-Forwarded-For: 2001:db8:1:2::1\r\n",
            "X-Forwarded-For: 2001:db8:1:2:ffff:ffff:ffff:ffff\r\n",
            "X-Forwarded-For: 2001:0DB8:0001:0002:0:0:0:9\r\n",
        ],
    );
    one_client(
        &server,
        &["X-Forwarded-For: 2001:db8:1:3::1\r\n", "Forwarded: for=\"[2001:db8:1:3::7]:4711\"\r\n"],
    );
    // An IPv4 address in IPv6 clothes is that IPv4 address.
    one_client(
        &server,
        &[
            "X-Forwarded-For: ::ffff:203.0.113.7\r\n",
            "X-Forwarded-For: 203.0.113.7\r\n",
            "Forwarded: for=203.0.113.7\r\n",
        ],
    );
    one_client(&server, &["X-Forwarded-For: ::ffff:203.0.113.8\r\n"]);
}

/// The left of the list is the client's own word; only what the trusted hops wrote counts.
#[test]
fn row_j10_sec_1_the_list_is_read_from_the_right_and_only_over_trusted_hops() {
    let server = server(&["--trusted-proxy", "127.0.0.1", "--trusted-proxy", "10.0.0.0/8"]);
    one_client(
        &server,
        &[
            "X-Forwarded-For: 1.1.1.1, 203.0.113.7\r\n",
            "X-Forwarded-For: 2.2.2.2,203.0.113.7, 10.1.2.3\r\n",
            "X-Forwarded-For: 3.3.3.3\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 10.9.9.9, 10.1.1.1\r\n",
        ],
    );
    // What is left of garbage is not believed: the client is the hop that the garbage came from.
    one_client(
        &server,
        &[
            "X-Forwarded-For: 1.1.1.1, garbage, 10.5.5.5\r\n",
            "X-Forwarded-For: 2.2.2.2, ?, 10.5.5.5\r\n",
            "X-Forwarded-For: 10.5.5.5\r\n",
        ],
    );
    one_client(&server, &["X-Forwarded-For: 203.0.113.9\r\n", "X-Forwarded-For: 9.9.9.9, 203.0.113.9\r\n"]);
}

#[test]
fn sec_1_forwarded_counts_as_x_forwarded_for_does() {
    let server = server(&["--trusted-proxy", "127.0.0.1"]);
    one_client(
        &server,
        &[
            "Forwarded: for=203.0.113.20;proto=https;by=_x\r\n",
            "Forwarded: For=\"203.0.113.20:8080\"\r\n",
            "forwarded: for=1.1.1.1, for=203.0.113.20\r\n",
            "X-Forwarded-For: 203.0.113.20\r\n",
            "Forwarded: for=203.0.113.20\r\nX-Forwarded-For: 203.0.113.20\r\n",
        ],
    );
}

/// A proxy writes one of the two and passes the other on as its visitor sent it; nobody can tell which. So neither
/// is believed, or a visitor would be a new client with each request.
#[test]
fn row_j10_sec_1_of_two_fields_that_disagree_neither_is_believed() {
    let server = server(&["--trusted-proxy", "127.0.0.1"]);
    for (written, sent) in
        [("X-Forwarded-For: ", "Forwarded: for="), ("Forwarded: for=", "X-Forwarded-For: ")]
    {
        let passed = (0..8)
            .filter(|number| {
                let fields = format!("{sent}198.51.100.{number}\r\n{written}203.0.113.22\r\n");
                status(&server, &fields) == 200
            })
            .count();
        assert!(passed <= 2, "{passed} passed: {sent} is believed");
    }
}

/// Where a trusted proxy writes nothing that can be read, the proxy itself is the client.
#[test]
fn row_j10_sec_1_what_cannot_be_read_is_the_peer_itself() {
    let server = server(&["--trusted-proxy", "127.0.0.1"]);
    one_client(&server, &["", "X-Forwarded-For: unknown\r\n", "Forwarded: for=\"\r\n"]);
    assert_eq!(status(&server, "Forwarded: for=_hidden\r\n"), 429);
    assert_eq!(status(&server, "X-Forwarded-For: \r\n"), 429);
    assert_eq!(status(&server, "X-Forwarded-For: 203.0.113.30\r\n"), 200, "the control");
}

/// Nobody becomes another by saying so.
#[test]
fn row_j10_sec_1_an_untrusted_peer_names_nobody() {
    let server = server(&["--trusted-proxy", "127.0.0.1", "--limit-loopback"]);
    let mut liar = from(&server, "127.0.0.5");
    for (at, name) in ["203.0.113.40", "203.0.113.41", "203.0.113.42"].into_iter().enumerate() {
        let response = ask(&mut liar, &format!("GET /healthz HTTP/1.1\r\nX-Forwarded-For: {name}\r\n"));
        assert_eq!(response.status, if at < 2 { 200 } else { 429 });
    }
    let mut proxy = Proxy::of(&server);
    assert_eq!(proxy.get("203.0.113.40", "/healthz").status, 200);
    assert_eq!(proxy.get("203.0.113.40", "/healthz").status, 200, "its whole burst is there");
    assert_refused(&proxy.get("127.0.0.5", "/healthz"), 429, "rate_limited");
}

#[test]
fn sec_1_a_forwarding_loopback_peer_is_one_client_and_the_missing_flag_is_named_once() {
    let server = server(&[]);
    one_client(
        &server,
        &[
            "X-Forwarded-For: 203.0.113.50\r\n",
            "X-Forwarded-For: 203.0.113.51\r\n",
            "X-Forwarded-For: 203.0.113.52\r\n",
            "Forwarded: for=203.0.113.53\r\n",
            "X-Real-IP: 203.0.113.54\r\n",
        ],
    );
    eventually("the flag is named", || !lines_with(&server, "--trusted-proxy").is_empty());
    for number in 0..20 {
        status(&server, &format!("X-Forwarded-For: 198.51.100.{number}\r\n"));
    }
    let lines = lines_with(&server, "--trusted-proxy");
    assert_eq!(lines.len(), 1, "once, not for each request: {lines:#?}");
    assert!(lines[0].contains("WARN"), "{}", lines[0]);
    assert_eq!(status(&server, ""), 200, "the local operator is not that client");
}

#[test]
fn sec_1_no_line_names_the_flag_where_it_is_given_or_nothing_is_forwarded() {
    let server = server(&["--trusted-proxy", "127.0.0.1"]);
    assert_eq!(status(&server, "X-Forwarded-For: 203.0.113.50\r\n"), 200);
    let plain = Setup::new().start();
    assert_eq!(status(&plain, ""), 200);
    for server in [&server, &plain] {
        assert_eq!(server.get("/last").status, 404);
        eventually("logged", || !lines_with(server, "/last").is_empty());
        assert!(lines_with(server, "--trusted-proxy").is_empty(), "{:#?}", server.log());
    }
}

/// Peers of a unix socket have no address: all together are one client, and never the operator.
/// The statuses of requests over the unix socket `s`, one after the other.
fn over_unix(server: &Server, requests: &[&str]) -> Vec<String> {
    let path = server.folder.0.join("s");
    let ask = |fields: &&str| {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(support::SOON)).unwrap();
        let head = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    requests.iter().map(ask).collect()
}

#[test]
fn sec_0_sec_1_peers_of_a_unix_socket_are_one_client() {
    let mut server = server(&["--listen", "unix:s"]);
    let answers = over_unix(&server, &["", "", "", "X-Forwarded-For: 203.0.113.1\r\n"]);
    assert_eq!(answers, ["200", "200", "429", "429"]);
    server.wait_for_log("add --trusted-proxy unix");
}

/// Who may connect to the socket is the operator's choice; so may be whether they are believed.
#[test]
fn sec_1_a_proxy_on_a_unix_socket_can_be_trusted() {
    let server = server(&["--listen", "unix:s", "--trusted-proxy", "unix"]);
    let [one, other] = ["X-Forwarded-For: 203.0.113.1\r\n", "Forwarded: for=203.0.113.2\r\n"];
    assert_eq!(over_unix(&server, &[one, one, one]), ["200", "200", "429"]);
    assert_eq!(over_unix(&server, &[other, "", "X-Forwarded-For: x\r\n", ""]), ["200", "200", "200", "429"]);
}

/// What a trusted proxy says is also what the log says.
#[test]
fn sec_1_obs_1_the_log_tells_the_client_and_not_the_proxy() {
    let server = server(&["--trusted-proxy", "127.0.0.1"]);
    status(&server, "X-Forwarded-For: 203.0.113.77\r\n");
    eventually("logged", || !lines_with(&server, "203.0.113.77").is_empty());
    let untrusting = Setup::new().start();
    status(&untrusting, "X-Forwarded-For: 203.0.113.78\r\n");
    eventually("logged", || !lines_with(&untrusting, "GET /healthz").is_empty());
    let access = lines_with(&untrusting, "GET /healthz");
    assert!(access.len() == 1 && !access[0].contains("203.0.113.78"), "{access:#?}");
}
