//! Windows (RFC 9113 §5.2, §6.9) and many streams at once (SPEC H2-1, FILE-3): every byte arrives, in whatever portions the
//! client takes it, and none before there is room. The harness counts the windows and fails where one is overrun.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod h2raw;
mod support;

use h2raw::frame::{self, INITIAL_WINDOW_SIZE, window_update};
use h2raw::{Answer, H2};
use support::{Server, Setup};

/// Small enough to lie in memory; sealed in memory; sent from the file.
const SIZES: [usize; 3] = [50_000, 700_000, 5_000_000];

/// Bytes by which a piece in the wrong place or of another file is known.
fn content(seed: usize, size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from((at / 251 + at + seed) % 256).unwrap()).collect()
}

fn name(size: usize) -> String {
    format!("/{size}.bin")
}

fn server() -> Server {
    let files = SIZES.iter().enumerate();
    files
        .fold(Setup::new(), |setup, (seed, size)| setup.file(&name(*size)[1..], content(seed, *size)))
        .file("index.html", "home")
        .start()
}

/// Opens the window of `stream`, or of the connection.
fn open(client: &mut H2, stream: u32, by: u32) {
    client.inbox.allow(stream, by);
    client.send(window_update(stream, by));
}

fn received(client: &H2, stream: u32) -> usize {
    client.inbox.body_of(stream).map_or(0, <[u8]>::len)
}

#[test]
fn h2_1_file_3_interleaved_streams_are_exact() {
    let server = server();
    let mut client = H2::connect(&server);
    let streams: Vec<_> =
        (0..12).map(|turn| (turn % 3, client.ask("GET", &name(SIZES[turn % 3]), &[]))).collect();
    client.until("all are there", |inbox| streams.iter().all(|(_, stream)| inbox.is_over(*stream)));
    for (seed, stream) in streams {
        let Some(Answer::Response(response)) = client.inbox.answer(stream) else { panic!("{stream}") };
        assert!(response.body == content(seed, SIZES[seed]), "stream {stream}");
    }
}

#[test]
fn h2_1_file_3_windows_of_any_size_are_kept() {
    let server = server();
    for window in [1, 7, 1000, 16_383, 16_385] {
        let mut client = H2::with_settings(&server, &[(INITIAL_WINDOW_SIZE, window)]);
        // Two WINDOW_UPDATE frames for each byte are no flood, as long as there are few.
        let most = SIZES[1].min(usize::try_from(window).unwrap() * 300);
        let range = format!("bytes=0-{}", most - 1);
        let response = client.request("GET", &name(SIZES[1]), &[("range", &range)]);
        assert_eq!(response.status, 206);
        assert!(response.body == content(1, SIZES[1])[..most], "{window}");
    }
}

#[test]
fn h2_1_nothing_is_sent_into_a_closed_window() {
    let server = server();
    for (seed, size) in SIZES.into_iter().enumerate() {
        let mut client = H2::with_settings(&server, &[(INITIAL_WINDOW_SIZE, 0)]);
        client.inbox.gives_back = false;
        let stream = client.ask("GET", &name(size), &[]);
        client.until("the head", |inbox| inbox.body_of(stream).is_some());
        assert!(client.is_alive());
        assert_eq!(received(&client, stream), 0);
        open(&mut client, stream, 10);
        client.until("ten bytes", |inbox| inbox.body_of(stream).is_some_and(|body| body.len() == 10));
        assert!(client.is_alive());
        client.inbox.gives_back = true;
        open(&mut client, stream, 40_000);
        let response = client.response(stream);
        assert!(response.body == content(seed, size), "{size}");
    }
}

/// A change of the first window changes those of all streams, below zero as well (RFC 9113 §6.9.2).
#[test]
fn h2_1_a_window_may_shrink_below_zero() {
    let server = server();
    let mut client = H2::connect(&server);
    client.inbox.gives_back = false;
    open(&mut client, 0, 10_000_000);
    let stream = client.ask("GET", &name(SIZES[2]), &[]);
    client.until("a full window", |inbox| inbox.body_of(stream).is_some_and(|body| body.len() == 65_535));
    client.send(frame::settings(&[(INITIAL_WINDOW_SIZE, 100)]));
    client.until("the change is known", |inbox| inbox.settings_acks == 2);
    // Of these 65,436 bytes all but one fill the hole.
    client.send(window_update(stream, 65_436));
    client.inbox.allow(stream, 1);
    client.until("one byte more", |inbox| inbox.body_of(stream).is_some_and(|body| body.len() == 65_536));
    assert!(client.is_alive());
    assert_eq!(received(&client, stream), 65_536);
}

/// The window of the connection is shared, and who waits for it is not forgotten.
#[test]
fn h2_1_the_window_of_the_connection_is_shared() {
    let server = server();
    let mut client = H2::with_settings(&server, &[(INITIAL_WINDOW_SIZE, 1_000_000)]);
    client.inbox.gives_back = false;
    let streams: Vec<_> = (0..30).map(|_| client.ask("GET", &name(SIZES[1]), &[])).collect();
    let total = |client: &H2| streams.iter().map(|stream| received(client, *stream)).sum::<usize>();
    while total(&client) < 65_535 {
        assert!(matches!(client.next(support::SOON), h2raw::Next::Frame(_)));
    }
    assert!(client.is_alive());
    assert_eq!(total(&client), 65_535);
    for portion in 1..=30 {
        let by = u32::try_from(SIZES[1]).unwrap();
        open(&mut client, 0, by);
        while total(&client) < (65_535 + portion * SIZES[1]).min(30 * SIZES[1]) {
            assert!(matches!(client.next(support::SOON), h2raw::Next::Frame(_)));
        }
    }
    for stream in streams {
        assert!(client.response(stream).body == content(1, SIZES[1]));
    }
}

#[test]
fn h2_1_a_hundred_streams_at_once() {
    let server = server();
    let mut client = H2::connect(&server);
    let expected = [content(0, SIZES[0]), content(1, SIZES[1])];
    for _ in 0..2 {
        let streams: Vec<_> =
            (0..100).map(|turn| (turn % 2, client.ask("GET", &name(SIZES[turn % 2]), &[]))).collect();
        for (seed, stream) in streams {
            assert!(client.response(stream).body == expected[seed]);
        }
    }
}

/// More than it said it takes are refused by the stream (RFC 9113 §5.1.2); those are no errors of the connection.
#[test]
fn h2_1_more_streams_than_allowed_are_refused_one_by_one() {
    let server = server();
    let mut client = H2::with_settings(&server, &[(INITIAL_WINDOW_SIZE, 0)]);
    client.until("settings", |inbox| !inbox.settings.is_empty());
    let held: Vec<_> = (0..100).map(|_| client.ask("GET", &name(SIZES[0]), &[])).collect();
    let over: Vec<_> = (0..5).map(|_| client.ask("GET", "/", &[])).collect();
    for stream in over {
        let answer = client.answer(stream);
        assert!(matches!(answer, Answer::Reset(frame::REFUSED_STREAM | frame::PROTOCOL_ERROR)), "{answer:?}");
    }
    for stream in held {
        open(&mut client, stream, 100_000);
        assert_eq!(client.response(stream).body.len(), SIZES[0]);
    }
    open(&mut client, 0, 1);
    client.send(frame::settings(&[(INITIAL_WINDOW_SIZE, 65_535)]));
    client.inbox.announce(&[(INITIAL_WINDOW_SIZE, 65_535)]);
    assert_eq!(client.get("/").status, 200);
}
