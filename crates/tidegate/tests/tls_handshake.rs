//! Handshakes that do not end well (SPEC TLS-1, LOAD-3, LOAD-5): each costs its own time and nobody else's.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;
mod tls;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection};
use support::client::End;
use support::{Client, SOON, Server, Setup, eventually};
use tls::{Authority, Connected, TLS13, Trust};

const NAME: &str = "127.0.0.1";

/// A server with a certificate, and a client that trusts it.
fn secure(args: &[&str]) -> (Server, Arc<ClientConfig>) {
    let (setup, authority) = (Setup::new().file("index.html", "home"), Authority::new());
    authority.leaf(&[NAME]).write(&setup.folder, "a");
    let flags = tls::flags("a");
    let setup = setup.args(&flags.each_ref().map(String::as_str));
    (setup.args(args).start(), Trust::of(&authority).versions(TLS13).config())
}

fn connect(server: &Server, config: &Arc<ClientConfig>) -> Connected {
    tls::connect(server.addr, config, NAME).unwrap()
}

/// How many handshakes ended so.
fn handshakes(server: &Server, config: &Arc<ClientConfig>, outcome: &str) -> u64 {
    let metrics = connect(server, config).client().get("/metrics").text();
    let name = format!("tidegate_tls_handshakes_total{{outcome=\"{outcome}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

/// The first bytes of a client.
fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let mut client = ClientConnection::new(Arc::clone(config), NAME.try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// A connection that has sent `bytes` and waits.
fn stalled(addr: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

/// What comes of a connection within `patience`: the bytes from the server, and how it ended.
fn fate(stream: &mut TcpStream, patience: Duration) -> (Vec<u8>, End) {
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut bytes = Vec::new();
    let end = match stream.read_to_end(&mut bytes) {
        Ok(_) => End::Closed,
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => End::Open,
        Err(_) => End::Reset,
    };
    (bytes, end)
}

/// Half a hello, a whole one without what follows, and a byte now and then: all end after ten seconds, without a word,
/// and nobody waits for them.
#[test]
fn row_g1_tls_1_load_5_stalled_handshakes_end_in_their_time_and_delay_nobody() {
    let (mut server, config) = secure(&["--workers", "1"]);
    let hello = hello(&config);
    let begun = Instant::now();
    let mut stalls: Vec<_> = (0..100)
        .map(|number| match number % 3 {
            0 => stalled(server.addr, &hello[..hello.len() / 2]),
            1 => stalled(server.addr, &hello),
            _ => stalled(server.addr, &hello[..1]),
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(connect(&server, &config).client().get("/").text(), "home");
    }
    assert!(begun.elapsed() < Duration::from_secs(9), "twenty good ones took {:?}", begun.elapsed());
    while begun.elapsed() < Duration::from_secs(6) {
        for drip in stalls.iter_mut().skip(2).step_by(3) {
            drip.write_all(&hello[1..2]).unwrap();
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(fate(&mut stalls[0], Duration::from_millis(10)).1, End::Open, "too early");
    for stall in &mut stalls {
        let (_, end) = fate(stall, SOON);
        assert_ne!(end, End::Open, "after {:?}", begun.elapsed());
    }
    assert!(begun.elapsed() < Duration::from_secs(11) + SOON / 2, "{:?}", begun.elapsed());
    eventually("all are counted", || handshakes(&server, &config, "late") == 100);
    server.wait_for_log("slow_head");
}

#[test]
fn tls_1_load_5_silence_is_no_event() {
    let (server, config) = secure(&[]);
    let mut silent = TcpStream::connect(server.addr).unwrap();
    assert_eq!(fate(&mut silent, SOON), (Vec::new(), End::Closed));
    assert!(!server.log().iter().any(|line| line.contains("slow_head")), "{:?}", server.log());
    assert_eq!(handshakes(&server, &config, "late"), 0);
}

#[test]
fn row_g1_tls_1_four_thousand_connections_of_garbage_cost_nothing() {
    let (server, config) = secure(&["--access-log", "off"]);
    assert_eq!(connect(&server, &config).client().get("/").status, 200);
    let (held, memory) = (server.descriptors(), server.memory_kib());
    let hello = hello(&config);
    let mut spoiled = hello.clone();
    spoiled[60..].fill(0xff);
    let unknown = [22, 3, 3, 0, 4, 77, 0, 0, 0];
    for garbage in [&[0xff; 64][..], &[0; 64], &spoiled, &unknown].into_iter().cycle().take(4000) {
        let mut stream = stalled(server.addr, garbage);
        let (answer, end) = fate(&mut stream, SOON);
        assert!(end != End::Open && answer.len() <= 7, "{end:?}, {answer:?} to {garbage:?}");
    }
    eventually("all are counted", || handshakes(&server, &config, "failed") == 4000);
    eventually("their descriptors are free", || server.descriptors() <= held + 1);
    let grown = server.memory_kib().saturating_sub(memory);
    assert!(grown < 4 * 1024, "{grown} KiB are kept of them");
}

#[test]
fn tls_1_load_3_a_handshake_that_waits_gives_its_seat_to_a_newcomer() {
    let (server, config) = secure(&["--max-connections", "3", "--workers", "1"]);
    let hello = hello(&config);
    let wait = || {
        let stall = stalled(server.addr, &hello[..100]);
        // Until it is accepted, and the clock has gone on.
        server.rests();
        std::thread::sleep(Duration::from_millis(200));
        stall
    };
    let mut stalls = [wait(), wait(), wait()];
    assert_eq!(connect(&server, &config).client().get("/").text(), "home");
    assert_ne!(fate(&mut stalls[0], SOON).1, End::Open, "the one that has waited longest");
    assert_eq!(fate(&mut stalls[2], Duration::from_millis(100)).1, End::Open);
    assert!(!server.log().iter().any(|line| line.contains("slow_head")));
}

#[test]
fn tls_1_load_3_without_a_seat_it_is_closed_before_the_handshake() {
    let (mut server, config) = secure(&["--max-connections", "2"]);
    let busy = || {
        let mut client = connect(&server, &config).client();
        let head = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n";
        client.send_request(&format!("{head}Content-Length: 10\r\n"), b"");
        assert_eq!(client.read_response(false).unwrap().status, 100);
        client
    };
    let _busy: [Client; 2] = [busy(), busy()];
    let mut third = stalled(server.addr, &hello(&config));
    let (answer, end) = fate(&mut third, SOON);
    assert!(answer.is_empty() && end != End::Open, "{answer:?}");
    server.wait_for_log("too_many_connections");
}

#[test]
fn row_g2_tls_1_a_flood_of_key_updates_ends_the_connection() {
    let (server, config) = secure(&[]);
    let mut flooder = connect(&server, &config);
    let mut sealed = Vec::new();
    for _ in 0..1000 {
        flooder.stream.conn.refresh_traffic_keys().unwrap();
        while flooder.stream.conn.wants_write() {
            flooder.stream.conn.write_tls(&mut sealed).unwrap();
        }
    }
    // It may be over before all of them are sent.
    let _ = flooder.stream.sock.write_all(&sealed);
    let mut rest = Vec::new();
    assert!(flooder.stream.read_to_end(&mut rest).is_err(), "no announced end");
    assert_eq!(connect(&server, &config).client().get("/").status, 200);
}

/// The target is 14 KiB, with what a test of few can tell apart.
#[test]
fn tls_1_load_1_an_idle_connection_is_small() {
    const MOST_KIB: u64 = 14;
    let connections: u64 = std::env::var("TLS_IDLE").map_or(300, |count| count.parse().unwrap());
    let (server, config) = secure(&["--workers", "1", "--access-log", "off", "--keep-alive", "600s"]);
    let idle = || {
        let mut client = connect(&server, &config).client();
        assert_eq!(client.get("/").status, 200);
        client
    };
    let _first = idle();
    let before = server.memory_kib();
    let _idle: Vec<Client> = (0..connections).map(|_| idle()).collect();
    let grown = server.memory_kib().saturating_sub(before);
    println!("{grown} KiB for {connections} idle connections: {:.2} each", grown as f64 / connections as f64);
    assert!(grown <= connections * MOST_KIB, "{} KiB each", grown / connections);
}
