//! What one connection can make the server hold: a head at most, and what waits to be read by its client (SPEC H1-5,
//! H1-6, LOAD-8). ARCHITECTURE names the bound; a control shows that the measure sees memory.

mod support;

use std::io::{ErrorKind, Write};
use std::time::Duration;

use support::{Client, Server, Setup, eventually};

const CONNECTIONS: usize = 300;
/// A read buffer, the task of the connection, its registration and its records.
const HEAD_KIB: u64 = 24;
/// Answers up to the high water mark, one more behind it, and their heads.
const ANSWERS_KIB: u64 = 170;

fn server(args: &[&str]) -> Server {
    let setup = Setup::new().file("index.html", "x").file("big.bin", [b'x'; 60 * 1024]);
    setup.args(&["--access-log", "off", "--workers", "1", "--header-timeout", "60s"]).args(args).start()
}

/// KiB by which the server grew over `CONNECTIONS` connections that each did `act`, for each of them, once that is done.
fn growth(server: &Server, act: impl Fn(&mut Client), until_done: fn(&Server)) -> (u64, Vec<Client>) {
    // What is set up once must not count.
    let mut first = server.connect();
    assert_eq!(first.get("/big.bin").status, 200);
    let before = server.memory_kib();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let mut client = server.connect();
            act(&mut client);
            client
        })
        .collect();
    until_done(server);
    (server.memory_kib().saturating_sub(before) / CONNECTIONS as u64, clients)
}

fn unfinished_head(length: usize) -> Vec<u8> {
    let mut head = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ".to_vec();
    head.resize(length, b'a');
    head
}

#[test]
fn row_e5_h1_5_a_connection_holds_a_head_at_most() {
    let server = server(&[]);
    let (each, _clients) = growth(&server, |client| client.send(unfinished_head(8000)), Server::rests);
    assert!(each <= HEAD_KIB, "{each} KiB each");
}

#[test]
fn h1_5_a_larger_head_is_seen_to_take_more() {
    let server = server(&["--max-header", "256KiB", "--max-request-line", "8000B"]);
    let (each, _clients) = growth(&server, |client| client.send(unfinished_head(200_000)), Server::rests);
    assert!(each > 4 * HEAD_KIB, "{each} KiB each");
}

#[test]
fn row_a11_h1_6_a_client_that_does_not_read_holds_a_few_answers_at_most() {
    let server = server(&["--max-requests", "0"]);
    let request = format!("GET /big.bin HTTP/1.1\r\nHost: {}\r\n\r\n", server.host());
    let many = request.repeat(200);
    let ask = |client: &mut Client| {
        client.stream.set_nonblocking(true).unwrap();
        // As much as the server takes: it stops reading while answers wait.
        if let Err(error) = client.stream.write_all(many.as_bytes()) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }
    };
    let (each, clients) = growth(&server, ask, |_| std::thread::sleep(Duration::from_millis(500)));
    assert!(each <= ANSWERS_KIB, "{each} KiB each");
    drop(clients);
    eventually("all leave", || server.descriptors() < 100);
}
