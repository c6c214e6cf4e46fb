//! What a client may do within TLS that costs the server and brings nothing: keys changed without end (row G2).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;
mod tls;

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::ClientConfig;
use support::{Server, Setup};
use tls::{Authority, Connected, TLS13, Trust};

/// Changes of keys in a row; the server allows some dozens.
const CHANGES: usize = 10_000;

fn start(args: &[&str]) -> (Server, Arc<ClientConfig>) {
    let authority = Authority::new();
    let setup = Setup::new().args(args);
    authority.leaf(&["localhost"]).write(&setup.folder, "site");
    let flags = tls::flags("site");
    let server = setup.args(&flags.each_ref().map(String::as_str)).start();
    (server, Trust::of(&authority).versions(TLS13).config())
}

/// Asks the server to change its keys and changes its own, and sends that. An `Err` where the server has enough.
fn change_keys(connected: &mut Connected) -> std::io::Result<()> {
    let stream = &mut connected.stream;
    stream.conn.refresh_traffic_keys().unwrap();
    while stream.conn.wants_write() {
        stream.conn.write_tls(&mut stream.sock)?;
    }
    Ok(())
}

#[test]
fn row_g2_tls_1_keys_are_not_changed_for_ever() {
    let (server, config) = start(&[]);
    let mut beside = tls::connect(server.addr, &config, "localhost").unwrap().client();
    assert_eq!(beside.get("/healthz").status, 200);
    let before = server.memory_kib();
    for reads in [false, true] {
        let mut flood = tls::connect(server.addr, &config, "localhost").unwrap();
        flood.stream.sock.set_nonblocking(false).unwrap();
        let mut changes = 0;
        while changes < CHANGES && change_keys(&mut flood).is_ok() {
            changes += 1;
            if reads {
                take_what_is_there(&mut flood);
            }
        }
        // The socket holds some that nobody reads any more; the end of the connection is what counts.
        let mut rest = Vec::new();
        assert!(
            flood.stream.read_to_end(&mut rest).is_err(),
            "{changes} changes, and a polite end: {rest:?}"
        );
        assert_eq!(beside.get("/healthz").status, 200);
    }
    assert!(server.memory_kib() < before + 1024, "from {before} to {} KiB", server.memory_kib());
}

/// Reads replies without waiting for any.
fn take_what_is_there(connected: &mut Connected) {
    let stream = &mut connected.stream;
    stream.sock.set_nonblocking(true).unwrap();
    // Nothing there, or the end: the next change of keys tells.
    let _ = stream.conn.read_tls(&mut stream.sock);
    let _ = stream.conn.process_new_packets();
    stream.sock.set_nonblocking(false).unwrap();
}

/// Rounds of each kind; the cheapest of them counts, for other programs only add to what is measured.
const ROUNDS: usize = 3;
/// Requests in a round.
const REQUESTS: usize = 10;
/// Changes of keys that are sent at once, with a byte of a request behind them: half of what rustls allows.
const CHANGES_AT_ONCE: usize = 16;

#[test]
fn row_g2_tls_1_a_byte_that_changes_keys_costs_at_most_two_of_requests() {
    let (server, config) = start(&["--max-requests", "0", "--access-log", "off"]);
    let request = format!("GET /healthz HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", server.addr.port());
    let cheapest = |round: fn(&mut Connected, &str) -> usize| {
        let rounds = (0..ROUNDS).map(|_| {
            let mut connected = tls::connect(server.addr, &config, "localhost").unwrap();
            let begun = cpu_nanos(&server);
            let sent = round(&mut connected, &request);
            (cpu_nanos(&server) - begun) / sent as f64
        });
        rounds.fold(f64::INFINITY, f64::min)
    };
    let (ordinary, changing) = (cheapest(ask), cheapest(change_and_ask));
    assert!(
        changing <= 2.0 * ordinary,
        "{changing} ns for a byte with changes of keys, {ordinary} for another"
    );
}

/// Asks one thing after the other; how many bytes that takes on the wire.
fn ask(connected: &mut Connected, request: &str) -> usize {
    let mut sent = 0;
    for _ in 0..REQUESTS {
        sent += send(connected, 0, request.as_bytes());
        take_answer(connected);
    }
    sent
}

/// The same byte by byte, with changes of keys before each of them.
fn change_and_ask(connected: &mut Connected, request: &str) -> usize {
    let mut sent = 0;
    for _ in 0..REQUESTS {
        for byte in request.as_bytes() {
            sent += send(connected, CHANGES_AT_ONCE, &[*byte]);
            take_what_is_there(connected);
        }
        take_answer(connected);
    }
    sent
}

/// Sends some changes of keys and a piece of a request, all at once; how many bytes that takes on the wire.
fn send(connected: &mut Connected, changes: usize, piece: &[u8]) -> usize {
    let stream = &mut connected.stream;
    for _ in 0..changes {
        stream.conn.refresh_traffic_keys().unwrap();
    }
    stream.conn.writer().write_all(piece).unwrap();
    let mut records = Vec::new();
    while stream.conn.wants_write() {
        stream.conn.write_tls(&mut records).unwrap();
    }
    stream.sock.write_all(&records).unwrap();
    records.len()
}

/// Reads the answer, which ends as that of `/healthz` does.
fn take_answer(connected: &mut Connected) {
    let (mut answer, mut piece) = (Vec::new(), [0; 1024]);
    while !answer.ends_with(b"\r\n\r\nok\n") {
        let count = connected.stream.read(&mut piece).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..count]);
    }
}

/// Processor time of all threads so far.
fn cpu_nanos(server: &Server) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let nanos = |path: std::path::PathBuf| {
        let schedstat = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        schedstat.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or_default()
    };
    tasks.map(|task| nanos(task.unwrap().path())).sum()
}
