//! A panic in TLS costs the connection that met it and leaves nothing to the next one: neither a turn in the lane nor a
//! name, and nothing is opened or sealed by a session that panicked (SPEC LOAD-4, TLS-1). Needs `--features failpoints`.
//!
//! The same under traffic is in `panic_points`.
#![cfg(feature = "failpoints")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod h2raw;
mod h2tls;
mod support;
mod tls;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use h2raw::Next;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;
use support::client::End;
use support::{SOON, Server, Setup, eventually};
use tls::Trust;

const NAME: &str = "127.0.0.1";

/// A server with TLS and one worker, whose points are armed like this.
fn armed(points: &str) -> (Server, Arc<ClientConfig>) {
    let setup = Setup::new().file("page.html", "served").env("FAILPOINTS", points);
    let server = setup.args(&["--tls-self-signed", "--workers", "1"]).start();
    (server, Trust::blind().config())
}

fn page(server: &Server, trust: &Arc<ClientConfig>) -> String {
    tls::get(server, trust, NAME, "/page.html").text()
}

fn metrics(server: &Server, trust: &Arc<ClientConfig>) -> Value {
    tls::get(server, trust, NAME, "/metrics?format=json").json()
}

/// Nobody has a seat any more but who asks.
fn assert_seats_are_free(server: &Server, trust: &Arc<ClientConfig>) {
    eventually("every seat is given back", || metrics(server, trust)["tidegate_connections"] == 1);
}

/// Many wait in the lane; those that panic there let the next one pass, and are counted as failed.
#[test]
fn row_j1_load_4_tls_1_a_panic_in_the_lane_costs_one_handshake_and_gives_its_turn_back() {
    const CLIENTS: usize = 20;
    const PANICS: usize = 4;
    let (server, trust) = armed(&format!("handshake=3x{PANICS}"));
    let ask = || {
        tls::connect(server.addr, &trust, NAME).is_ok_and(|connected| {
            // In TLS 1.3 the client is done before the server is.
            let mut client = connected.client();
            client.send_request("GET /page.html HTTP/1.1\r\n", b"");
            client.try_response(false).is_some_and(|response| response.text() == "served")
        })
    };
    let answered = std::thread::scope(|scope| {
        let clients = [(); CLIENTS].map(|()| scope.spawn(ask));
        clients.into_iter().map(|client| usize::from(client.join().unwrap())).sum::<usize>()
    });
    assert_eq!(answered, CLIENTS - PANICS);
    let seen = metrics(&server, &trust);
    assert_eq!(seen["tidegate_tls_handshakes_total{outcome=\"failed\"}"], PANICS);
    assert_eq!(seen["tidegate_panics_total"], PANICS);
    assert_seats_are_free(&server, &trust);
}

/// The name that the one before asked for would make every request of this connection misdirected (SPEC H1-10).
#[test]
fn row_j1_load_4_tls_1_a_handshake_that_panicked_leaves_its_name_to_nobody() {
    let (server, trust) = armed("certificate=1x1");
    assert!(tls::connect(server.addr, &trust, "localhost").is_err());
    let mut socket = TcpStream::connect(server.addr).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    // An address is no name, so this hello bears none; its first half is looked at before the second is there.
    let mut session = ClientConnection::new(Arc::clone(&trust), NAME.try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    let (first, second) = hello.split_at(hello.len() / 2);
    socket.write_all(first).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    socket.write_all(second).unwrap();
    let mut stream = StreamOwned::new(session, socket);
    let request = format!("GET /page.html HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.addr);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Not even the word that something went wrong: the client sees a cut, which an announced end would hide.
#[test]
fn row_j1_load_4_tls_1_nothing_more_is_sealed_after_a_panic() {
    for point in ["unseal", "seal"] {
        let (server, trust) = armed(&format!("{point}=2x1"));
        let mut client = tls::connect(server.addr, &trust, NAME).unwrap().client();
        assert_eq!(client.get("/page.html").text(), "served");
        client.send_request("GET /page.html HTTP/1.1\r\n", b"");
        let (bytes, end) = client.rest(SOON);
        assert_eq!((bytes.as_slice(), end), (&b""[..], End::Reset), "{point}");
        assert_eq!(page(&server, &trust), "served");
        assert_eq!(metrics(&server, &trust)["tidegate_panics_total"], 1, "{point}");
        assert_seats_are_free(&server, &trust);
    }
}

/// The uploads of such a connection leave nothing, and those of another one go on.
#[test]
fn row_j1_load_4_up_5_h2_1_a_panic_in_tls_ends_its_streams_and_no_other_connection() {
    const JSON: (&str, &str) = ("content-type", "application/json");
    // So much that the rest has a minute to come (SPEC LOAD-5).
    let begun = [&b"[1,"[..], &[b' '; 50_000]].concat();
    for point in ["unseal", "seal"] {
        let (mut server, trust) = armed(&format!("{point}=30x1"));
        let http2 = h2tls::trust().config();
        let begin = || {
            let mut client = h2tls::over(tls::connect(server.addr, &http2, NAME).unwrap());
            let stream = client.start("POST", "/upload", &[JSON]);
            client.send_body(stream, &begun, false);
            (client, stream)
        };
        let ((mut beside, stream), (mut client, _)) = (begin(), begin());
        while client.is_alive() {}
        assert!(matches!(client.next(SOON), Next::Ended), "{point}");
        beside.send_body(stream, b"2]", true);
        assert_eq!(beside.response(stream).status, 201, "{point}");
        drop(beside);
        assert_seats_are_free(&server, &trust);
        let seen = metrics(&server, &trust);
        assert_eq!((&seen["tidegate_body_bytes"], &seen["tidegate_panics_total"]), (&0.into(), &1.into()));
        assert_eq!(std::fs::read_dir(server.uploads()).unwrap().count(), 1, "{point}: the other's");
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0), "{point}");
    }
}
