//! Many handshakes at once (SPEC LOAD-1, LOAD-5; row G5): what they hold while they wait for a turn to be computed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;
mod tls;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection};
use support::{SOON, Server, Setup};
use tls::{Authority, Trust};

/// Hellos that are there at once: far below the backlog and what a worker has under way.
const WAITING: usize = 150;

/// Most that one of them may hold, in KiB: what it has sent, its session, and what is on its way to it.
const MOST_KIB: u64 = 24;

fn start() -> (Server, Arc<ClientConfig>) {
    let (setup, authority) = (Setup::new(), Authority::new());
    authority.leaf(&["localhost"]).write(&setup.folder, "site");
    let flags = tls::flags("site");
    let setup =
        setup.args(&flags.each_ref().map(String::as_str)).args(&["--workers", "1", "--access-log", "off"]);
    (setup.start(), Trust::of(&authority).config())
}

fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let mut client = ClientConnection::new(Arc::clone(config), "localhost".try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// The most memory that the server ever held, in KiB.
fn peak_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// The server stands still until all hellos are there, so that all but one wait. It happens twice: memory that was never
/// used yet costs nothing until it is written to.
#[test]
fn row_g5_tls_1_load_1_hellos_that_wait_for_their_turn_hold_what_they_sent() {
    let (server, config) = start();
    assert_eq!(tls::get(&server, &config, "localhost", "/healthz").status, 200);
    let (before, hello) = (peak_kib(&server), hello(&config));
    for _ in 0..2 {
        server.signal("STOP");
        let waiting: Vec<TcpStream> = (0..WAITING).map(|_| send(&server, &hello)).collect();
        server.signal("CONT");
        for mut stream in waiting {
            let mut answer = [0; 1];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, [22], "no message of the handshake");
        }
    }
    let grown = peak_kib(&server).saturating_sub(before);
    assert!(grown <= WAITING as u64 * MOST_KIB, "{grown} KiB for {WAITING} hellos");
    assert_eq!(tls::get(&server, &config, "localhost", "/healthz").status, 200);
}

fn send(server: &Server, hello: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.addr).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(hello).unwrap();
    stream
}
