//! How an HTTP/2 connection ends (SPEC H2-1, RUN-5, LOAD-5; RFC 9113 §6.8): the client learns by GOAWAY which of its
//! requests were taken, and these are answered.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod h2raw;
mod process;
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use h2raw::frame::{self, DATA, END_STREAM, GOAWAY, NO_ERROR, frame};
use h2raw::{Answer, Goaway, H2, hpack, pseudo};
use process::{ended, lines_with};
use support::{SOON, Server, Setup, eventually};

const JSON: (&str, &str) = ("content-type", "application/json");
/// More than all windows of a client that opens none.
const LARGE: usize = 1 << 20;

fn setup() -> Setup {
    Setup::new().file("index.html", "home").file("large.bin", vec![b'x'; LARGE])
}

/// A stream whose answer waits for windows that the client does not open yet.
fn begin_download(client: &mut H2) -> u32 {
    client.inbox.gives_back = false;
    let stream = client.ask("GET", "/large.bin", &[]);
    client.until("the first window is full", |inbox| {
        inbox.body_of(stream).is_some_and(|body| body.len() == 65_535)
    });
    stream
}

fn finish_download(client: &mut H2, stream: u32) {
    client.inbox.gives_back = true;
    for window in [0, stream] {
        client.inbox.allow(window, 65_535);
        client.send(frame::window_update(window, 65_535));
    }
    let response = client.response(stream);
    assert!(response.body.len() == LARGE && response.body.iter().all(|byte| *byte == b'x'));
}

/// An upload whose body has not come yet, and whose head has been seen.
fn begin_upload(client: &mut H2) -> u32 {
    let stream = client.start("POST", "/upload", &[JSON, ("expect", "100-continue")]);
    client.until("100", |inbox| !inbox.interim(stream).is_empty());
    stream
}

fn finish_upload(client: &mut H2, stream: u32) {
    client.send(frame(DATA, END_STREAM, stream, b"{}"));
    assert_eq!(client.response(stream).status, 201);
}

fn stops_accepting(server: &Server) {
    eventually("it stops accepting", || TcpStream::connect(server.addr).is_err());
}

/// The end without a fault, after the last of `streams`.
fn assert_polite(goaway: Option<Goaway>, last: u32) {
    let Goaway { last: told, code } = goaway.expect("a word before the end");
    assert_eq!(code, NO_ERROR);
    // RFC 9113 §6.8: no lower than what was answered.
    assert!(told >= last, "{told} < {last}");
}

#[test]
fn row_f7_h2_1_load_5_an_idle_connection_ends_with_a_word() {
    let server = setup().args(&["--keep-alive", "3s"]).start();
    let mut client = H2::connect(&server);
    assert_eq!(client.get("/").status, 200);
    let begun = Instant::now();
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(client.get("/").status, 200, "work starts the time anew");
    assert_polite(client.ending(), 3);
    assert!(begun.elapsed() >= Duration::from_millis(3500), "{:?}", begun.elapsed());
    assert!(lines_with(&server, "slow_head").is_empty(), "it is no offence");
}

#[test]
fn row_f7_h2_1_load_5_a_connection_that_asks_nothing_ends() {
    let server = setup().args(&["--keep-alive", "1s"]).start();
    let mut client = H2::connect(&server);
    assert_polite(client.ending(), 0);
}

/// Streams that are under way are no idleness.
#[test]
fn h2_1_load_5_a_connection_with_a_stream_is_not_idle() {
    let server = setup().args(&["--keep-alive", "3s"]).start();
    let (mut uploader, mut downloader) = (H2::connect(&server), H2::connect(&server));
    let upload = begin_upload(&mut uploader);
    let download = begin_download(&mut downloader);
    std::thread::sleep(Duration::from_millis(4500));
    finish_upload(&mut uploader, upload);
    finish_download(&mut downloader, download);
}

#[test]
fn h2_1_max_requests_counts_a_hundredfold_and_the_last_is_answered() {
    let server = setup().args(&["--max-requests", "1"]).start();
    let mut client = H2::connect(&server);
    for _ in 0..99 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(client.inbox.goaway, None);
    assert_eq!(client.get("/").status, 200, "the hundredth");
    assert_polite(client.ending(), 199);
}

#[test]
fn h2_1_max_requests_none_is_lost_among_many_at_once() {
    let server = setup().args(&["--max-requests", "1"]).start();
    let mut client = H2::connect(&server);
    let streams: Vec<_> = (0..99).map(|_| client.ask("GET", "/", &[])).collect();
    let more: Vec<_> = streams
        .into_iter()
        .filter(|stream| {
            assert_eq!(client.response(*stream).status, 200);
            *stream > 190
        })
        .collect();
    let more: Vec<_> = more.iter().map(|_| client.ask("GET", "/", &[])).collect();
    let answers: Vec<_> = more.into_iter().map(|stream| (stream, client.answer(stream))).collect();
    let last = client.ending().expect("a word before the end").last;
    for (stream, answer) in answers {
        // What the server took it answers; the others may be asked for again elsewhere.
        let answered = matches!(&answer, Answer::Response(response) if response.status == 200);
        assert!(
            answered || stream > last || matches!(answer, Answer::Reset(frame::REFUSED_STREAM)),
            "{stream} of {last}: {answer:?}"
        );
    }
}

#[test]
fn h2_1_max_requests_zero_is_no_bound() {
    let server = setup().args(&["--max-requests", "0"]).start();
    let mut client = H2::connect(&server);
    for _ in 0..300 {
        assert_eq!(client.get("/").status, 200);
    }
    assert!(client.is_alive());
}

#[test]
fn h2_1_run_5_term_finishes_what_was_asked_for() {
    let mut server = setup().args(&["--workers", "2"]).start();
    let mut clients = [H2::connect(&server), H2::connect(&server)];
    let [downloader, uploader] = &mut clients;
    let download = begin_download(downloader);
    let upload = begin_upload(uploader);
    server.signal("TERM");
    stops_accepting(&server);
    uploader.until("a word", |inbox| inbox.goaway.is_some());
    assert!(ended(&mut server.child, Duration::from_millis(300)).is_none(), "there is work left");
    finish_upload(uploader, upload);
    assert_polite(uploader.ending(), upload);
    assert!(ended(&mut server.child, Duration::from_millis(100)).is_none(), "there is work left");
    finish_download(downloader, download);
    assert_polite(downloader.ending(), download);
    assert_eq!(server.wait().code(), Some(0));
}

/// What is asked for after the last word is refused, so that it can be asked for elsewhere (RFC 9113 §8.7), or answered
/// as long as there is a stream that holds the connection open.
#[test]
fn h2_1_run_5_who_asks_while_the_server_leaves_is_not_left_in_doubt() {
    let mut server = setup().start();
    let mut client = H2::connect(&server);
    let upload = begin_upload(&mut client);
    server.signal("TERM");
    stops_accepting(&server);
    // The second word names the last stream; the first leaves that open (RFC 9113 §6.8).
    client.until("the last word", |inbox| inbox.goaway.is_some_and(|goaway| goaway.last < 0x7fff_ffff));
    let last = client.inbox.goaway.unwrap().last;
    let late = client.ask("GET", "/", &[]);
    assert!(late > last);
    finish_upload(&mut client, upload);
    let answer = client.answer(late);
    assert!(matches!(answer, Answer::Ended(Some(_)) | Answer::Reset(frame::REFUSED_STREAM)), "{answer:?}");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn h2_1_run_5_idle_connections_hold_no_shutdown_up() {
    let mut server = setup().args(&["--drain", "1h"]).start();
    let mut used = H2::connect(&server);
    assert_eq!(used.get("/").status, 200);
    let mut silent = H2::connect(&server);
    assert!(silent.is_alive());
    server.signal("TERM");
    assert_eq!(ended(&mut server.child, SOON).expect("it waits for idle connections").code(), Some(0));
    assert_polite(used.ending(), 1);
    assert_polite(silent.ending(), 0);
}

#[test]
fn h2_1_run_5_the_drain_deadline_cuts_what_does_not_end() {
    let mut server = setup().args(&["--drain", "1s"]).start();
    let mut client = H2::connect(&server);
    begin_upload(&mut client);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(3));
}

/// A reload keeps every connection, and judges the next request by what is configured now.
#[test]
fn h2_1_run_5_a_reload_reaches_an_open_connection() {
    let setup = setup().args(&["-c", "t.toml"]);
    setup.folder.write("t.toml", "");
    let mut server = setup.start();
    let mut client = H2::connect(&server);
    assert_eq!(client.get("/").status, 200);
    let upload = begin_upload(&mut client);
    client.authority = "new.example".into();
    assert_eq!(client.get("/").status, 403);
    server.folder.write("t.toml", "[security]\nallow_host = ['new.example']\n");
    server.signal("HUP");
    server.wait_for_log("configuration reloaded");
    let begun = Instant::now();
    while client.get("/").status != 200 {
        assert!(begun.elapsed() < SOON, "the new name is never known");
    }
    finish_upload(&mut client, upload);
    assert!(client.is_alive());
}

/// A client that says GOAWAY gets what it asked for, and the connection ends.
#[test]
fn h2_1_a_client_may_take_its_leave() {
    let server = setup().start();
    let mut client = H2::connect(&server);
    let download = begin_download(&mut client);
    client.send(frame(GOAWAY, 0, 0, &[0; 8]));
    finish_download(&mut client, download);
    client.ending();
}

/// A client that asks on and on and answers nothing that the server asks, until the connection ends or `over` says so.
fn ask_on(server: &Server, over: impl Fn() -> bool) -> usize {
    let mut wire = TcpStream::connect(server.addr).unwrap();
    wire.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    wire.write_all(&frame::settings(&[])).unwrap();
    wire.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let block = hpack::block(&pseudo("HEAD", "http", &server.host(), "/"));
    let (mut asked, mut input) = (0_u32, [0; 16 * 1024]);
    while !over() {
        let sent = wire.write_all(&frame::headers(2 * asked + 1, &block, true)).is_ok();
        asked += 1;
        if !sent || matches!(wire.read(&mut input), Ok(0)) {
            break;
        }
    }
    usize::try_from(asked).unwrap()
}

/// The crate sends its last GOAWAY when the client has answered a PING, which it need not.
#[test]
fn h2_1_max_requests_holds_for_a_client_that_answers_no_ping() {
    let server = setup().args(&["--max-requests", "1", "--rate-limit", "off"]).start();
    let begun = Instant::now();
    ask_on(&server, || begun.elapsed() > Duration::from_secs(20));
    assert!(begun.elapsed() < Duration::from_secs(20), "it may ask for ever");
}

#[test]
fn h2_1_run_5_a_drain_does_not_wait_for_a_client_that_answers_no_ping() {
    let mut server = setup().args(&["--max-requests", "0", "--rate-limit", "off"]).start();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask_on(&server, || begun.elapsed() > Duration::from_secs(20)));
        std::thread::sleep(Duration::from_millis(500));
        server.signal("TERM");
        assert!(asking.join().unwrap() > 5);
    });
    assert!(begun.elapsed() < Duration::from_secs(20), "it was served on");
    assert_eq!(server.wait().code(), Some(0));
}
