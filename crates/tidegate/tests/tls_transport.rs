//! HTTP/1.1 over TLS (SPEC TLS-1): what goes in the clear goes sealed as well, whole, in order, and with an end that is
//! told from a cut.
//!
//! How a handshake ends is in `tls_handshake`, certificates are in `tls_certificates`, bytes without a server in the unit
//! tests of `net::tls`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;
mod tls;

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, SupportedProtocolVersion};
use support::client::End;
use support::{Client, SOON, Server, Setup, eventually};
use tls::{Authority, Connected, TLS12, TLS13, Trust};

const VERSIONS: [&[&SupportedProtocolVersion]; 2] = [TLS12, TLS13];
const NAME: &str = "127.0.0.1";
const UPLOAD: &str = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\n";
const MIB: usize = 1024 * 1024;

/// A server with a certificate, and what a client needs to trust it.
struct Secure {
    server: Server,
    authority: Authority,
}

impl Secure {
    fn start(setup: Setup) -> Self {
        let authority = Authority::new();
        authority.leaf(&[NAME]).write(&setup.folder, "a");
        let flags = tls::flags("a");
        let server = setup.args(&flags.each_ref().map(String::as_str)).start();
        Self { server, authority }
    }

    fn trust(&self) -> Arc<ClientConfig> {
        Trust::of(&self.authority).config()
    }

    fn connect(&self) -> Connected {
        tls::connect(self.server.addr, &self.trust(), NAME).unwrap()
    }

    fn client(&self) -> Client {
        self.connect().client()
    }
}

/// `count` bytes, of which no piece is like the next.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| u8::try_from((at / 251 + at) % 256).unwrap()).collect()
}

#[test]
fn tls_1_requests_follow_each_other_on_one_connection() {
    let setup = Setup::new().file("index.html", "home").file("ten.txt", "0123456789");
    let secure = Secure::start(setup);
    for versions in VERSIONS {
        let config = Trust::of(&secure.authority).versions(versions).config();
        let mut client = tls::connect(secure.server.addr, &config, NAME).unwrap().client();
        for _ in 0..20 {
            assert_eq!(client.get("/").text(), "home");
        }
        client.send_request("HEAD /ten.txt HTTP/1.1\r\n", b"");
        let head = client.response_to("HEAD ");
        assert_eq!((head.status, head.field("content-length")), (200, Some("10")));
        client.send_request("GET /ten.txt HTTP/1.1\r\nRange: bytes=3-5\r\n", b"");
        let part = client.response();
        assert_eq!((part.status, part.text()), (206, "345".to_owned()));
        assert_eq!(client.get("/nothing").status, 404);
    }
}

#[test]
fn tls_1_pipelined_requests_are_answered_in_order() {
    let secure = Secure::start(Setup::new().file("a", "first").file("b", bytes(100_000)));
    let mut client = secure.client();
    let request =
        |name: &str| format!("GET /{name} HTTP/1.1\r\nHost: {NAME}:{}\r\n\r\n", secure.server.addr.port());
    client.send([request("a"), request("b")].concat().repeat(20));
    for _ in 0..20 {
        assert_eq!(client.response().text(), "first");
        assert!(client.response().body == bytes(100_000));
    }
}

/// In memory, in sealed memory, copied from the file, and longer than what would go by `sendfile`.
#[test]
fn tls_1_files_of_all_sizes_arrive_whole() {
    let sizes = [0, 1, 16 * 1024, 64 * 1024, 64 * 1024 + 1, MIB, MIB + 1, 20 * MIB];
    let setup = sizes.iter().fold(Setup::new(), |setup, size| setup.file(&size.to_string(), bytes(*size)));
    let secure = Secure::start(setup);
    let mut client = secure.client();
    for size in sizes.iter().chain(&sizes) {
        let response = client.get(&format!("/{size}"));
        assert!(response.status == 200 && response.body == bytes(*size), "{size} bytes");
    }
    let whole = bytes(MIB);
    for (first, last) in [(0, 9), (70_000, 70_000), (5, MIB - 7), (MIB - 1, MIB - 1)] {
        client.send_request(&format!("GET /{MIB} HTTP/1.1\r\nRange: bytes={first}-{last}\r\n"), b"");
        assert!(client.response().body == whole[first..=last], "{first}-{last}");
    }
    client.send_request(&format!("GET /{MIB} HTTP/1.1\r\nRange: bytes=0-99999,200000-\r\n"), b"");
    let parts = client.response();
    assert!(parts.status == 206 && parts.body.len() > 100_000 + MIB - 200_000);
}

#[test]
fn tls_1_who_does_not_read_holds_little_memory_and_may_go_on() {
    const CLIENTS: u64 = 40;
    // A record that the socket does not take, and what a task holds.
    const EACH_KIB: u64 = 100;
    let secure = Secure::start(Setup::new().file("big", bytes(20 * MIB)).args(&["--access-log", "off"]));
    assert_eq!(secure.client().get("/big").body.len(), 20 * MIB);
    let before = secure.server.memory_kib();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| secure.client()).collect();
    for client in &mut clients {
        client.send_request("GET /big HTTP/1.1\r\n", b"");
    }
    std::thread::sleep(Duration::from_secs(1));
    let grown = secure.server.memory_kib().saturating_sub(before);
    assert!(grown < CLIENTS * EACH_KIB, "{} KiB each", grown / CLIENTS);
    for client in clients.iter_mut().take(3) {
        assert!(client.response().body == bytes(20 * MIB));
    }
}

#[test]
fn tls_1_a_body_comes_in_whole_and_on_demand() {
    let secure = Secure::start(Setup::new());
    let json = format!("\"{}\"", "x".repeat(MIB - 2));
    let mut client = secure.client();
    client.send_request(&format!("{UPLOAD}Content-Length: {}\r\n", json.len()), json.as_bytes());
    assert_eq!(client.response().status, 201);
    client.send_request(&format!("{UPLOAD}Expect: 100-continue\r\nContent-Length: 2\r\n"), b"");
    assert_eq!(client.read_response(false).unwrap().status, 100);
    client.send(b"{}");
    assert_eq!(client.response().status, 201);
    client.send_request(&format!("{UPLOAD}Transfer-Encoding: chunked\r\n"), b"3\r\n[1]\r\n0\r\n\r\n");
    assert_eq!(client.response().status, 201);
}

/// Anybody on the way can end a TCP connection: what came before is no whole body (RFC 8446 §6.1).
#[test]
fn tls_1_a_body_that_is_cut_is_not_stored() {
    let mut secure = Secure::start(Setup::new());
    for announced in [false, true] {
        let (mut stream, port) = (secure.connect().stream, secure.server.addr.port());
        let head = format!("{UPLOAD}Host: {NAME}:{port}\r\nContent-Length: 100\r\n\r\n{{\"a\":");
        stream.write_all(head.as_bytes()).unwrap();
        if announced {
            stream.conn.send_close_notify();
        }
        stream.flush().unwrap();
        stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.starts_with("HTTP/1.1 400 ") && answer.contains("bad_framing"),
            "{announced}: {answer}"
        );
    }
    secure.server.wait_for_log("bad_framing");
    let stored = std::fs::read_dir(secure.server.uploads()).map_or(0, Iterator::count);
    assert_eq!(stored, 0);
}

/// Whichever way a connection ends, its client is told that this is the end, not a cut.
#[test]
fn tls_1_every_end_is_announced() {
    let secure = Secure::start(Setup::new().file("index.html", "x").args(&["--keep-alive", "1s"]));
    let ends = |what: &str, act: &dyn Fn(&mut Client)| {
        let mut client = secure.client();
        act(&mut client);
        assert_eq!(client.rest(SOON).1, End::Closed, "{what}");
    };
    ends("asked for by the client", &|client| {
        client.send_request("GET / HTTP/1.1\r\nConnection: close\r\n", b"");
        assert!(client.response().closes());
    });
    ends("idle", &|client| assert_eq!(client.get("/").status, 200));
    ends("a refusal", &|client| {
        client.send("no HTTP\r\n\r\n");
        assert_eq!(client.response().status, 400);
    });
}

#[test]
fn tls_1_a_drain_answers_what_was_begun_and_announces_the_end() {
    let mut secure = Secure::start(Setup::new().file("big", bytes(5 * MIB)));
    let (mut idle, mut busy) = (secure.client(), secure.client());
    assert!(idle.get("/big").body == bytes(5 * MIB));
    busy.send_request("GET /big HTTP/1.1\r\n", b"");
    let mut uploading = secure.client();
    uploading.send_request(&format!("{UPLOAD}Expect: 100-continue\r\nContent-Length: 2\r\n"), b"");
    assert_eq!(uploading.read_response(false).unwrap().status, 100);
    secure.server.signal("TERM");
    assert_eq!(idle.rest(SOON).1, End::Closed);
    uploading.send(b"{}");
    let stored = uploading.response();
    assert!(stored.status == 201 && stored.closes());
    assert!(busy.response().body == bytes(5 * MIB));
    assert_eq!((busy.rest(SOON).1, uploading.rest(SOON).1), (End::Closed, End::Closed));
    assert!(secure.server.wait().success());
}

#[test]
fn tls_1_http_in_the_clear_is_told_where_it_is() {
    let secure = Secure::start(Setup::new().file("index.html", "x"));
    for request in ["GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "post /upload HTTP/1.1\r\n"] {
        let mut client = secure.server.connect();
        client.send(format!("{request}Host: {NAME}\r\n\r\n"));
        let refused = client.response();
        assert_eq!((refused.status, refused.code().as_str()), (400, "bad_request_line"), "{request}");
        assert!(refused.closes() && refused.text().contains("HTTPS") && client.is_closed());
    }
    eventually("it is counted", || {
        let metrics = secure.client().get("/metrics").text();
        metrics.contains("tidegate_tls_handshakes_total{outcome=\"failed\"} 3")
    });
}
