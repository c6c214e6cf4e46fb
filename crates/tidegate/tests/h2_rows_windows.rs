//! Rows F6 and F7: clients that ask for much and open no window, or a byte of it, or read nothing; trailers that are none.
//! What a file holds is not held for them, and their pace is that of HTTP/1.1 (SPEC LOAD-5).
//!
//! Control: who takes a little more than 1 KiB a second is served on, in `h2_ends.rs` also across an idle time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should say where"
)]

mod h2raw;
mod support;
mod visitors;

use std::fs::File;
use std::time::{Duration, Instant};

use h2raw::beside::Beside;
use h2raw::frame::{
    CANCEL, DATA, END_STREAM, INITIAL_WINDOW_SIZE, PROTOCOL_ERROR, STREAM_CLOSED, frame, headers, ping,
    settings, window_update,
};
use h2raw::{Answer, H2, Next, hpack};
use support::{Server, Setup, eventually};
use visitors::metric;

/// By how much the server's memory may grow, in KiB (ATTACKS F6: 2 MiB).
const GROWTH_KIB: u64 = 2048;

/// What may be on its way to a client whose windows are open, in KiB (ATTACKS F6: 1 MiB a connection).
const OWED_KIB: u64 = 1024;

/// The largest window (RFC 9113 §6.9.1).
const ALL: u32 = 0x7fff_ffff;

/// By when a client without pace has been cut: 30 s, and what a busy machine adds. One that does not read has as long
/// again, for what fits into its socket counts as taken.
const CUT: Duration = Duration::from_secs(45);

/// Streams of one client.
const STREAMS: usize = 100;

fn server() -> Server {
    let setup = Setup::new().file("index.html", "home").file("small.bin", vec![b'x'; 60_000]);
    File::create(setup.root().join("huge.bin")).unwrap().set_len(1 << 30).unwrap();
    setup.args(&["--access-log", "off", "--rate-limit", "off"]).start()
}

/// What a client does while it is watched.
struct Miser {
    name: &'static str,
    client: H2,
    streams: Vec<u32>,
    /// What it sends ten times a second.
    drip: fn(u32) -> Vec<u8>,
}

impl Miser {
    fn new(server: &Server, name: &'static str, path: &str, window: u32) -> Self {
        let mut client = H2::with_settings(server, &[(INITIAL_WINDOW_SIZE, window)]);
        client.inbox.gives_back = false;
        let streams = (0..STREAMS).map(|_| client.ask("GET", path, &[])).collect();
        Self { name, client, streams, drip: |_| Vec::new() }
    }

    /// Whether none of its streams is under way any more.
    fn is_cut(&mut self) -> bool {
        self.client.take_in();
        let alive = self.client.send((self.drip)(self.streams[0]));
        !alive || self.streams.iter().all(|stream| self.client.inbox.is_over(*stream))
    }
}

/// All at once, for each of them takes half a minute.
#[test]
fn row_f6_load_5_clients_that_take_nothing_are_cut() {
    let server = server();
    let mut silent = Miser::new(&server, "window 0", "/huge.bin", 0);
    silent.drip = |_| ping(*b"ping me!");
    let mut small = Miser::new(&server, "window 0, of what lies in memory", "/small.bin", 0);
    small.drip = |_| settings(&[]);
    let mut dribble = Miser::new(&server, "a byte at a time", "/huge.bin", 0);
    dribble.drip = |stream| window_update(stream, 1);
    dribble.client.inbox.allow(dribble.streams[0], ALL);
    let mut misers = vec![silent, small, dribble];
    let begun = Instant::now();
    while !misers.is_empty() {
        misers.retain_mut(|miser| !miser.is_cut());
        let names: Vec<_> = misers.iter().map(|miser| miser.name).collect();
        assert!(begun.elapsed() < CUT, "after {CUT:?} still served: {names:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(begun.elapsed() > Duration::from_secs(20), "the contract gives them 30 s");
    eventually("nobody is being answered", || metric(&server, "http_server_active_requests") <= 1.0);
}

/// A hundred requests for a gigabyte each, and a client that takes none of it: by its windows, or by its socket.
#[test]
fn row_f6_file_3_what_nobody_takes_takes_no_memory() {
    let server = server();
    let deaf = GROWTH_KIB + OWED_KIB;
    for (name, window, bound) in
        [("window 0", 0, GROWTH_KIB), ("all windows open, and nothing read", ALL, deaf)]
    {
        let beside = Beside::start(&server);
        let mut miser = Miser::new(&server, name, "/huge.bin", window);
        if window > 0 {
            miser.client.inbox.allow(0, ALL - 65_535);
            miser.client.send(window_update(0, ALL - 65_535));
        }
        std::thread::sleep(Duration::from_secs(2));
        let seen = beside.end();
        println!("{name}: {seen:?}");
        assert!(seen.grown_kib < bound, "{name}: {seen:?}");
        // Only now: what is read opens no window, but it makes room in the socket.
        miser.client.take_in();
        let answered = |stream: &u32| miser.client.inbox.body_of(*stream).is_some();
        assert!(miser.streams.iter().any(answered), "{name}: they were being answered");
    }
}

/// The same memory when the clients come, ask and go.
#[test]
fn row_f6_h2_1_streams_that_wait_for_windows_are_given_up_with_their_connection() {
    let server = server();
    let beside = Beside::start(&server);
    for _ in 0..30 {
        let mut client = H2::with_settings(&server, &[(INITIAL_WINDOW_SIZE, 0)]);
        let streams: Vec<_> = (0..STREAMS).map(|_| client.ask("GET", "/huge.bin", &[])).collect();
        client.until("the last head", |inbox| streams.iter().all(|stream| inbox.body_of(*stream).is_some()));
    }
    eventually("nobody is being answered", || metric(&server, "http_server_active_requests") <= 1.0);
    let seen = beside.end();
    assert!(seen.grown_kib < GROWTH_KIB, "{seen:?}");
}

/// A file that changes while it is sent ends its stream, and is no offence of the client (SPEC H1-8, FILE-7).
#[test]
fn row_f6_h1_8_a_file_that_shrinks_ends_the_stream_and_accuses_nobody() {
    let server = server();
    let mut client = H2::connect(&server);
    client.inbox.gives_back = false;
    let stream = client.ask("GET", "/huge.bin", &[]);
    client.until("a full window", |inbox| inbox.body_of(stream).is_some_and(|body| body.len() == 65_535));
    File::options().write(true).open(server.root().join("huge.bin")).unwrap().set_len(1000).unwrap();
    for window in [0, stream] {
        client.inbox.allow(window, ALL - 65_535);
        client.send(window_update(window, ALL - 65_535));
    }
    assert!(matches!(client.answer(stream), Answer::Reset(_)));
    assert_eq!(client.get("/").text(), "home");
    assert_eq!(metric(&server, "tidegate_events_total{kind=\"malformed\"}"), 0.0);
}

/// SPEC LOAD-5: a body comes at 1 KiB a second, or its request is refused.
#[test]
fn row_f6_load_5_an_upload_that_stands_still_is_refused() {
    let server = server();
    let mut client = H2::connect(&server);
    let stream = client.start("POST", "/upload", &[("content-type", "application/json")]);
    client.send(frame(DATA, 0, stream, b"[1,"));
    let begun = Instant::now();
    let response = client.response(stream);
    assert_eq!((response.status, response.code().as_str()), (408, "slow_body"));
    assert!(begun.elapsed() > Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(client.get("/").text(), "home", "the others go on");
}

/// Trailers that a request must not have (RFC 9113 §8.1): each costs its stream, or is dropped with all that trailers say.
#[test]
fn row_f7_up_4_trailers_that_are_none_are_refused_or_dropped() {
    let server = server();
    let mut client = H2::connect(&server);
    let trailers = [
        ("a pseudo-field", hpack::block(&[(":path", "/elsewhere")]), true),
        ("another method", hpack::block(&[(":method", "DELETE")]), true),
        ("a pseudo-field of responses", hpack::block(&[(":status", "200")]), true),
        ("a field of the connection", hpack::block(&[("transfer-encoding", "chunked")]), true),
        ("trailers that do not end the stream", hpack::block(&[("x-end", "1")]), false),
    ];
    for (what, block, ends) in trailers {
        let stream = client.start("POST", "/upload", &[("content-type", "application/json")]);
        client.send([frame(DATA, 0, stream, b"[1]"), headers(stream, &block, ends)].concat());
        match client.answer(stream) {
            Answer::Reset(PROTOCOL_ERROR) => {}
            Answer::Response(response) => assert!(ends && matches!(response.status, 201 | 400), "{what}"),
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(client.get("/").text(), "home", "{what}: the stream behind it");
    }
    for upload in std::fs::read_dir(server.uploads()).unwrap() {
        assert_eq!(std::fs::read(upload.unwrap().path()).unwrap(), b"[1]");
    }
}

/// What follows the end of a request is an error, of the stream or of the connection (RFC 9113 §5.1).
#[test]
fn row_f7_h2_1_nothing_follows_the_end_of_a_request() {
    let server = server();
    let late: [fn(u32) -> Vec<u8>; 2] = [
        |stream| frame(DATA, END_STREAM, stream, b"late"),
        |stream| headers(stream, &hpack::block(&[("x-late", "1")]), true),
    ];
    for late in late {
        let mut client = H2::connect(&server);
        let stream = client.start("POST", "/upload", &[("content-type", "application/json")]);
        let end = headers(stream, &hpack::block(&[("x-end", "1")]), true);
        client.send([frame(DATA, 0, stream, b"[1]"), end, late(stream)].concat());
        client.send(ping(*b"and then"));
        loop {
            match client.next(support::SOON) {
                Next::Ended | Next::Nothing => panic!("no word: {:?}", client.inbox.goaway),
                Next::Frame(_) => {}
            }
            let said = client.inbox.goaway.map(|goaway| goaway.code).or(client.inbox.reset_of(stream));
            if let Some(code) = said {
                assert!([STREAM_CLOSED, PROTOCOL_ERROR].contains(&code), "{code}");
                break;
            }
        }
        assert_eq!(H2::connect(&server).get("/").text(), "home", "the connection beside it");
    }
}

/// Frames for streams that are over, as they cross an answer or a reset, are no offence (RFC 9113 §5.1).
#[test]
fn row_f7_h2_1_frames_that_cross_the_end_of_a_stream_are_ignored() {
    let server = server();
    let mut client = H2::connect(&server);
    for _ in 0..300 {
        let stream = client.ask("GET", "/", &[]);
        assert_eq!(client.response(stream).text(), "home");
        client.send(window_update(stream, 1000));
        client.send(h2raw::frame::reset(stream, CANCEL));
        client.send(window_update(stream, 1000));
    }
    assert!(client.is_alive());
}
