//! Rows F1, F2 and F5: streams that are opened only to be reset, mistakes that make the server reset them, and frames that
//! carry nothing. The connection ends with GOAWAY, is recorded, takes no memory, and a good client beside it is answered
//! all the while.
//!
//! `H2_FRAMES=1000000` sends ten times as many frames as CI does; with `--nocapture` each flood tells what came of it.
//! Controls: clients that do much of the same for a reason are not cut, so a limit that is too tight fails; one that is
//! turned off (`patience` of the driver) leaves the connection open, and `ending` waits for it in vain.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should say where"
)]

mod h2raw;
mod support;
mod visitors;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use h2raw::beside::{Beside, Ears, Flooded, Seen, flood};
use h2raw::frame::{
    CANCEL, DATA, END_STREAM, ENHANCE_YOUR_CALM, PRIORITY, frame, headers, ping, reset, settings,
    window_update,
};
use h2raw::{H2, hpack, pseudo};
use support::{SOON, Server, Setup, eventually};
use visitors::metric;

/// By how much the server's memory may grow under a flood, in KiB (TARGETS: 2 MiB).
const GROWTH_KIB: u64 = 2048;

/// Streams that a client may waste before it is cut, and as many again that were on their way by then.
const WASTED: u32 = 2 * 200;

/// Mistakes that arrive together are made good together, before one of them is counted: of such the protocol layer takes
/// this many (`RESET_BY_US` of the driver's settings).
const BROKEN: u32 = 1024 + 1;

/// What is wrong, and the frame that it takes for a stream.
type Mistake = (&'static str, fn(u32) -> Vec<u8>);

fn frames() -> usize {
    std::env::var("H2_FRAMES").map_or(100_000, |count| count.parse().expect("a number of frames"))
}

fn server() -> Server {
    let setup = Setup::new().file("index.html", "home").file("large.bin", vec![b'x'; 3 << 20]);
    setup.args(&["--access-log", "off", "--keep-alive", "1h"]).start()
}

/// A GET on a stream that was not used yet, and its number.
fn get(client: &mut H2, path: &str) -> (u32, Vec<u8>) {
    let stream = client.new_stream();
    client.inbox.expect(stream, false);
    (stream, headers(stream, &hpack::block(&pseudo("GET", "http", &client.authority, path)), true))
}

/// A POST whose body is still to come.
fn post(client: &mut H2) -> (u32, Vec<u8>) {
    let stream = client.new_stream();
    client.inbox.expect(stream, false);
    let mut fields = pseudo("POST", "http", &client.authority, "/upload").to_vec();
    fields.push(("content-type", "application/json"));
    (stream, headers(stream, &hpack::block(&fields), false))
}

/// Floods `server` beside a good client, and asserts what holds of every flood.
fn attack(name: &str, server: &Server, ears: Ears, piece: impl FnMut(&mut H2, usize) -> Vec<u8>) -> Flooded {
    let beside = Beside::start(server);
    let mut client = H2::connect(server);
    assert!(client.is_alive());
    let flooded = flood(&mut client, frames(), ears, piece);
    let seen = beside.end();
    println!("{name}, ears {ears:?}: {flooded:?}, beside it {seen:?}");
    // A client that does not read may find the connection reset before it looks.
    let code = flooded.goaway.map(|goaway| goaway.code);
    assert!(code == Some(ENHANCE_YOUR_CALM) || (ears == Ears::Shut && code.is_none()), "{name}: {flooded:?}");
    let Seen { grown_kib, .. } = seen;
    assert!(grown_kib < GROWTH_KIB, "{name}: {grown_kib} KiB");
    eventually("it is recorded", || metric(server, "tidegate_events_total{kind=\"rate\"}") >= 1.0);
    flooded
}

/// Floods with both kinds of client.
fn attack_twice(name: &str, server: &Server, mut piece: impl FnMut(&mut H2, usize) -> Vec<u8>) {
    for ears in [Ears::Open, Ears::Shut] {
        attack(name, server, ears, &mut piece);
    }
}

/// The most requests that were under way at once, seen while `act` ran.
fn most_active(server: &Server, act: impl FnOnce()) -> f64 {
    let watching = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = 0.0_f64;
            while watching.load(Ordering::Relaxed) {
                most = most.max(metric(server, "http_server_active_requests"));
            }
            most
        });
        {
            // Also where `act` panics: the scope waits for its threads.
            let _until_the_end = Ends(&watching);
            act();
        }
        watcher.join().unwrap()
    })
}

/// Lowers its flag on drop.
struct Ends<'f>(&'f AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// CVE-2023-44487, as it was: a request and its reset in one write.
#[test]
fn row_f1_h2_1_rapid_reset_is_cut_after_two_hundred_streams() {
    let server = server();
    for path in ["/large.bin", "/index.html", "/missing"] {
        let flooded = attack(path, &server, Ears::Open, |client, _| {
            let (stream, request) = get(client, path);
            [request, reset(stream, CANCEL)].concat()
        });
        let last = flooded.goaway.unwrap().last;
        assert!(last / 2 <= WASTED, "{path}: {} streams were taken", last / 2);
    }
    attack("unread", &server, Ears::Shut, |client, _| {
        let (stream, request) = get(client, "/large.bin");
        [request, reset(stream, CANCEL)].concat()
    });
}

/// The reset comes when the answer has begun, so that there is always work to undo.
#[test]
fn row_f1_h2_1_rapid_reset_amid_the_answer_is_cut_as_well() {
    let server = server();
    let beside = Beside::start(&server);
    let mut client = H2::connect(&server);
    client.inbox.gives_back = false;
    let most = most_active(&server, || {
        while client.inbox.goaway.is_none() {
            let (stream, request) = get(&mut client, "/large.bin");
            assert!(stream / 2 <= WASTED, "stream {stream}");
            client.send(request);
            while client.inbox.goaway.is_none() && client.inbox.body_of(stream).is_none() {
                client.next(SOON);
            }
            client.send(reset(stream, CANCEL));
        }
    });
    assert_eq!(client.ending().map(|goaway| goaway.code), Some(ENHANCE_YOUR_CALM));
    assert!(most <= 102.0, "{most} requests under way");
    let seen = beside.end();
    assert!(seen.grown_kib < GROWTH_KIB, "{seen:?}");
}

/// Work that goes on when its stream is gone holds its place: no more of it than streams that are allowed.
#[test]
fn row_f1_row_f2_load_8_work_for_streams_that_are_gone_is_bounded() {
    let server = server();
    let most = most_active(&server, || {
        for _ in 0..5 {
            let mut client = H2::connect(&server);
            flood(&mut client, frames() / 20, Ears::Open, |client, _| {
                let (stream, request) = post(client);
                [request, frame(DATA, 0, stream, b"[1"), reset(stream, CANCEL)].concat()
            });
        }
    });
    assert!(most <= 102.0, "{most} requests under way");
    eventually("all of it has ended", || metric(&server, "http_server_active_requests") <= 1.0);
    assert_eq!(std::fs::read_dir(server.uploads()).unwrap().count(), 0);
}

/// Control of F1: who reads on and gives up a part of what it asked for, as a browser whose user goes on.
#[test]
fn row_f1_h2_1_a_client_that_cancels_now_and_then_is_not_cut() {
    let server = server();
    let mut client = H2::connect(&server);
    for turn in 0..1500 {
        let (stream, request) = get(&mut client, if turn % 3 == 0 { "/large.bin" } else { "/index.html" });
        client.send(request);
        if turn % 3 == 0 {
            client.send(reset(stream, CANCEL));
        } else {
            assert_eq!(client.response(stream).text(), "home");
        }
    }
    assert!(client.is_alive(), "500 of 1500 were given up");
}

/// CVE-2025-8671: mistakes after which the server must reset the stream itself.
#[test]
fn row_f2_h2_1_made_you_reset_is_cut_whatever_the_mistake() {
    let server = server();
    let mistakes: [Mistake; 6] = [
        ("a window of nothing", |stream| window_update(stream, 0)),
        ("too much window", |stream| window_update(stream, 0x7fff_ffff)),
        ("DATA after the end", |stream| frame(DATA, END_STREAM, stream, b"x")),
        ("HEADERS after the end", |stream| headers(stream, &hpack::block(&[("x", "y")]), true)),
        ("PRIORITY of four bytes", |stream| frame(PRIORITY, 0, stream, b"1234")),
        ("PRIORITY on itself", |stream| {
            frame(PRIORITY, 0, stream, &[&stream.to_be_bytes()[..], &[7]].concat())
        }),
    ];
    for (name, mistake) in mistakes {
        let beside = Beside::start(&server);
        let mut client = H2::connect(&server);
        let flooded = flood(&mut client, frames() / 10, Ears::Open, |client, _| {
            let (stream, request) = get(client, "/large.bin");
            [request, mistake(stream)].concat()
        });
        let seen = beside.end();
        println!("{name}: {flooded:?}, beside it {seen:?}");
        // Some mistakes are errors of the connection at once, and end it with a code of their own (RFC 9113 §5.1).
        let goaway = flooded.goaway.unwrap_or_else(|| panic!("{name}: no word before the end"));
        assert!(goaway.last / 2 <= BROKEN, "{name}: {goaway:?}");
        assert!(seen.grown_kib < GROWTH_KIB, "{name}: {seen:?}");
    }
    let events = |kind: &str| metric(&server, &format!("tidegate_events_total{{kind=\"{kind}\"}}"));
    eventually("each is recorded", || events("rate") + events("malformed") >= 6.0);
}

#[test]
fn row_f5_h2_1_floods_that_want_a_reply_are_cut() {
    let server = server();
    attack_twice("PING", &server, |_, number| ping(u64::try_from(number).unwrap().to_be_bytes()));
    attack_twice("SETTINGS", &server, |_, _| settings(&[]));
    attack_twice("SETTINGS with a value", &server, |_, number| {
        settings(&[(h2raw::frame::INITIAL_WINDOW_SIZE, u32::try_from(number % 65_536).unwrap())])
    });
}

#[test]
fn row_f5_h2_1_floods_that_only_want_to_be_read_are_cut() {
    let server = server();
    attack_twice("PRIORITY", &server, |_, number| {
        let stream = u32::try_from(number % 100 * 2 + 1).unwrap();
        frame(PRIORITY, 0, stream, &[&(stream + 200).to_be_bytes()[..], &[16]].concat())
    });
    attack_twice("WINDOW_UPDATE", &server, |_, _| window_update(0, 1));
    attack_twice("unknown", &server, |_, _| frame(0x42, 0, 0, b""));
    attack_twice("PING that nobody waits for", &server, |_, _| frame(h2raw::frame::PING, 1, 0, &[0; 8]));
}

/// CVE-2019-9518, RUSTSEC-2026-0258.
#[test]
fn row_f5_h2_1_floods_of_empty_data_are_cut() {
    let server = server();
    for ears in [Ears::Open, Ears::Shut] {
        let mut upload = 0;
        attack("empty DATA", &server, ears, |client, number| {
            if number > 0 {
                return frame(DATA, 0, upload, b"");
            }
            let (stream, request) = post(client);
            upload = stream;
            request
        });
    }
    let mut upload = 0;
    attack("DATA of nothing but padding", &server, Ears::Open, |client, number| {
        if number > 0 {
            return frame(DATA, 8, upload, &[0]);
        }
        let (stream, request) = post(client);
        upload = stream;
        request
    });
}

/// Control of F5: an upload in frames of one byte is tedious, and no flood.
#[test]
fn row_f5_h2_1_an_upload_in_small_frames_is_not_cut() {
    let server = server();
    let mut client = H2::connect(&server);
    let stream = client.start("POST", "/upload", &[("content-type", "application/json")]);
    client.send(frame(DATA, 0, stream, b"\""));
    for _ in 0..200 {
        client.send(frame(DATA, 0, stream, b"x").repeat(25));
        client.take_in();
        std::thread::sleep(Duration::from_millis(5));
    }
    client.send(frame(DATA, END_STREAM, stream, b"\""));
    assert_eq!(client.response(stream).status, 201);
}

/// Control of F5: two WINDOW_UPDATE frames for each of DATA, as the harness and many clients send them.
#[test]
fn row_f5_h2_1_a_download_with_many_window_updates_is_not_cut() {
    let server = server();
    let mut client = H2::connect(&server);
    for _ in 0..10 {
        assert_eq!(client.get("/large.bin").body.len(), 3 << 20);
    }
}

/// Control of F5: PINGs that measure a connection, ten milliseconds apart.
#[test]
fn row_f5_h2_1_pings_that_keep_a_connection_alive_are_not_cut() {
    let server = server();
    let mut client = H2::connect(&server);
    for turn in 0..300 {
        assert!(client.is_alive(), "after {turn} of them");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(client.get("/").status, 200);
}
