//! The beginning of a TLS handshake in every shape: cut, dribbled, in pieces, broken off, never ended, and garbage (SPEC
//! TLS-1, LOAD-5; rows G1, G2, G6).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;
mod tls;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Stream};
use support::client::{Client, End};
use support::{SOON, Server, Setup, eventually};
use tls::{Authority, Trust};

/// An alert of the level "warning": the connection closes (RFC 8446 section 6.1).
const CLOSE_NOTIFY: [u8; 7] = [21, 3, 3, 0, 2, 1, 0];
/// One that says nothing.
const WARNING: [u8; 7] = [21, 3, 3, 0, 2, 1, 90];
/// A fatal one: no suite or version in common.
const HANDSHAKE_FAILURE: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];
/// What TLS 1.3 sends for the sake of old middleboxes, once (RFC 8446 appendix D.4).
const CHANGE_CIPHER_SPEC: [u8; 6] = [20, 3, 3, 0, 1, 1];

/// Handshakes that are begun and not ended.
const STALLED: usize = 100;

fn start() -> (Server, Arc<ClientConfig>) {
    let authority = Authority::new();
    let setup = Setup::new();
    authority.leaf(&["localhost"]).write(&setup.folder, "site");
    let flags = tls::flags("site");
    let server = setup.args(&flags.each_ref().map(String::as_str)).start();
    (server, Trust::of(&authority).config())
}

/// A client that has not yet sent what it has to say, and its first bytes.
fn hello(config: &Arc<ClientConfig>) -> (ClientConnection, Vec<u8>) {
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).unwrap();
    (session, bytes)
}

fn connect(server: &Server) -> TcpStream {
    Client::connect(server.addr).stream
}

/// Ends the handshake that `session` has begun on `socket`, and asks for something.
fn is_served(mut session: ClientConnection, mut socket: TcpStream, server: &Server) -> bool {
    let mut stream = Stream::new(&mut session, &mut socket);
    let host = server.addr.port();
    let sent = write!(stream, "GET /healthz HTTP/1.1\r\nHost: localhost:{host}\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    sent.is_ok() && stream.read_to_end(&mut answer).is_ok() && answer.starts_with(b"HTTP/1.1 200 ")
}

/// Whether a client without tricks gets its answer, by a handshake of its own.
fn assert_well(server: &Server, config: &Arc<ClientConfig>) {
    assert_eq!(tls::get(server, config, "localhost", "/healthz").status, 200);
}

#[test]
fn row_g1_tls_1_a_hello_may_be_cut_anywhere() {
    let (server, config) = start();
    let length = hello(&config).1.len();
    // Every place in the headers of record and message; then, among long extensions, every 29th.
    for cut in (1..length).filter(|cut| *cut < 64 || cut % 29 == 0) {
        let (session, bytes) = hello(&config);
        let mut socket = connect(&server);
        socket.write_all(&bytes[..cut]).unwrap();
        std::thread::sleep(Duration::from_millis(1));
        socket.write_all(&bytes[cut..]).unwrap();
        assert!(is_served(session, socket, &server), "cut at {cut} of {length}");
    }
}

#[test]
fn row_g1_tls_1_a_hello_may_come_byte_by_byte() {
    let (server, config) = start();
    let (session, bytes) = hello(&config);
    let mut socket = connect(&server);
    for byte in bytes {
        socket.write_all(&[byte]).unwrap();
        std::thread::sleep(Duration::from_micros(200));
    }
    assert!(is_served(session, socket, &server));
}

#[test]
fn row_g1_tls_1_a_hello_may_come_in_many_records() {
    let (server, config) = start();
    for most in [1, 2, 100, 500] {
        let (session, bytes) = hello(&config);
        let mut socket = connect(&server);
        socket.write_all(&in_records(&bytes, most)).unwrap();
        assert!(is_served(session, socket, &server), "{most} bytes in a record");
    }
}

/// The message of the record `bytes` in records of at most `most` bytes each (RFC 8446 section 5.1).
fn in_records(bytes: &[u8], most: usize) -> Vec<u8> {
    let records = bytes[5..].chunks(most).flat_map(|piece| {
        let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
        [&[22, 3, 1], &length[..], piece].concat()
    });
    records.collect()
}

#[test]
fn row_g1_tls_1_who_leaves_amid_the_handshake_is_let_go() {
    let (server, config) = start();
    let before = server.descriptors();
    let bytes = hello(&config).1;
    for begun in [Vec::new(), in_records(&bytes[..60], 20), in_records(&bytes, 500)] {
        let mut client = server.connect();
        client.send([&begun[..], &CLOSE_NOTIFY].concat());
        // Well before the ten seconds of a handshake that may still go on.
        assert_ne!(client.rest(Duration::from_secs(5)).1, End::Open, "{} bytes and a close", begun.len());
    }
    // An end of the socket without a word, and nobody spins on it.
    let silent: Vec<_> = [&bytes[..0], &bytes[..40], &bytes].map(|begun| half_closed(&server, begun)).into();
    let spent = server.cpu_seconds();
    std::thread::sleep(Duration::from_millis(500));
    assert!(server.cpu_seconds() - spent < 0.2, "it spins");
    drop(silent);
    eventually("all are closed", || server.descriptors() <= before);
    assert_well(&server, &config);
}

/// A connection on which `begun` was sent and nothing more will be.
fn half_closed(server: &Server, begun: &[u8]) -> Client {
    let mut client = server.connect();
    client.send(begun);
    client.finish();
    client
}

#[test]
fn row_g1_tls_1_garbage_ends_its_own_connection() {
    let (server, config) = start();
    for first in 0..=255_u8 {
        // A generator of the test's own: any bytes will do, but the same ones each time.
        let noise = (0..63_u8).map(|at| at.wrapping_mul(167).wrapping_add(first).rotate_left(3));
        let mut client = half_closed(&server, &[first].into_iter().chain(noise).collect::<Vec<_>>());
        let (answer, end) = client.rest(SOON);
        assert_ne!(end, End::Open, "{first:#x}");
        let is_refusal = answer.is_empty() || answer[0] == 21 || answer.starts_with(b"HTTP/1.1 400 ");
        assert!(is_refusal, "{first:#x}: {:?}", String::from_utf8_lossy(&answer));
    }
    assert_well(&server, &config);
}

#[test]
fn row_g1_tls_1_a_hello_without_end_is_cut_off() {
    let (server, config) = start();
    let before = server.memory_kib();
    // The length of the message says 16 MiB, and each record brings 16 KiB of it.
    let record = |head: &[u8]| [&[22, 3, 1, 0x40, 0][..], head, &vec![0; 0x4000 - head.len()]].concat();
    let (first, more) = (record(&[1, 0xff, 0xff, 0xff]), record(&[]));
    let mut client = server.connect();
    client.send(&first);
    let mut taken = first.len();
    while client.stream.write_all(&more).is_ok() {
        taken += more.len();
        // Sockets hold some megabytes on their way.
        assert!(taken < 64 << 20, "it takes all of it");
    }
    assert!(server.memory_kib() < before + 1024, "from {before} to {} KiB", server.memory_kib());
    assert_well(&server, &config);
}

#[test]
fn row_g1_load_5_stalled_handshakes_delay_nobody() {
    let (server, config) = start();
    let bytes = hello(&config).1;
    let stages = [&bytes[..0], &bytes[..1], &bytes[..bytes.len() / 2], &bytes];
    let stalled: Vec<Client> = (0..STALLED)
        .map(|number| {
            let mut client = server.connect();
            client.send(stages[number % stages.len()]);
            client
        })
        .collect();
    let begun = Instant::now();
    for _ in 0..20 {
        assert_well(&server, &config);
    }
    // One that waited for a stalled one would wait ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?} for twenty handshakes", begun.elapsed());
    for mut client in stalled {
        assert_ne!(client.rest(SOON).1, End::Open, "a handshake has ten seconds");
    }
    assert_well(&server, &config);
}

#[test]
fn row_g2_tls_1_records_that_say_nothing_are_counted() {
    let (server, config) = start();
    let bytes = hello(&config).1;
    for (what, floods) in
        [("warnings", WARNING.repeat(2000)), ("changes of ciphers", CHANGE_CIPHER_SPEC.repeat(2000))]
    {
        for begun in [&bytes[..0], &bytes] {
            let mut client = server.connect();
            client.send([begun, &floods].concat());
            assert_ne!(client.rest(SOON).1, End::Open, "{what} behind {} bytes", begun.len());
        }
    }
    assert_well(&server, &config);
}

/// A ClientHello of TLS 1.2 with these suites and ways of compression, as old clients write it.
fn old_hello(suites: &[u16], compression: &[u8]) -> Vec<u8> {
    let suites: Vec<u8> = suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    // supported_groups: P-256 · ec_point_formats: uncompressed · signature_algorithms: ECDSA with SHA-256
    let extensions = [0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0, 0, 13, 0, 4, 0, 2, 4, 3];
    let suites_length = u8::try_from(suites.len()).unwrap();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0, 0, suites_length],
        &suites,
        &[u8::try_from(compression.len()).unwrap()],
        compression,
        &[0, u8::try_from(extensions.len()).unwrap()],
        &extensions,
    ]
    .concat();
    let length = u8::try_from(body.len()).unwrap();
    [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat()
}

#[test]
fn row_g6_tls_1_suites_of_another_age_and_compression_are_refused() {
    const AES_128_GCM: u16 = 0xc02b;
    let (server, config) = start();
    let answer = |hello: Vec<u8>| {
        let mut client = half_closed(&server, &hello);
        client.rest(SOON).0
    };
    // RC4, an export suite, 3DES, none at all, an anonymous one, CBC with forward secrecy.
    for suite in [0x0005, 0x0003, 0x000a, 0x0000, 0x0018, 0xc009] {
        assert_eq!(answer(old_hello(&[suite], &[0])), HANDSHAKE_FAILURE, "{suite:#06x}");
    }
    // The control: the same hello with a good suite gets a ServerHello.
    let good = answer(old_hello(&[0x0005, AES_128_GCM], &[0]));
    assert_eq!((good.first(), good.get(5)), (Some(&22), Some(&2)), "{good:02x?}");
    // DEFLATE where nothing is offered too is not used (RFC 5246 section 7.4.1.2), and alone it is refused.
    let plain = answer(old_hello(&[AES_128_GCM], &[1, 0]));
    // Behind the headers version, random, an empty session id or one of 32 bytes, the suite, and the way of compression.
    let session = usize::from(plain[43]);
    assert_eq!(plain[46 + session], 0, "{plain:02x?}");
    let deflate = answer(old_hello(&[AES_128_GCM], &[1]));
    assert_eq!((deflate[0], deflate[5]), (21, 2), "a fatal alert: {deflate:02x?}");
    assert_well(&server, &config);
}
