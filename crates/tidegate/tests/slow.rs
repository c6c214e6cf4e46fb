//! Deadlines (SPEC LOAD-5): whoever is slow, silent or idle is cut, and whoever keeps the pace is not.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod strace;
mod support;

use std::io::Read;
use std::time::{Duration, Instant};

use strace::{assert_refused, names, stored_name};
use support::client::End;
use support::{Client, Server, Setup, eventually};

const UPLOAD: &str = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\n";

/// Whether bytes or an end have arrived.
fn has_news(client: &Client) -> bool {
    client.stream.set_nonblocking(true).unwrap();
    let news = client.stream.peek(&mut [0]);
    client.stream.set_nonblocking(false).unwrap();
    !matches!(news, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Sends `bytes` in pieces, one per `pause`, until the server has something to say; tells how long that took.
fn trickle(client: &mut Client, bytes: &[u8], piece: usize, pause: Duration) -> Option<Duration> {
    let begun = Instant::now();
    for piece in bytes.chunks(piece) {
        client.send(piece);
        std::thread::sleep(pause);
        if has_news(client) {
            return Some(begun.elapsed());
        }
        if begun.elapsed() > support::SOON {
            break;
        }
    }
    None
}

fn head_of(server: &Server, length: usize) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {}\r\nX: {}\r\n\r\n", server.host(), "x".repeat(length)).into_bytes()
}

#[test]
fn row_e1_load_5_a_trickled_head_is_cut_with_408() {
    let server = Setup::new().file("index.html", "x").args(&["--header-timeout", "1s"]).start();
    let head = head_of(&server, 400);
    let mut client = server.connect();
    let cut = trickle(&mut client, &head, 1, Duration::from_millis(200)).expect("cut amid the head");
    assert!(cut >= Duration::from_millis(900), "{cut:?} is too early");
    let response = client.response();
    assert_refused(&response, 408, "slow_head");
    assert!(response.closes() && client.is_closed());
}

#[test]
fn row_e1_load_5_the_head_has_its_time_in_total_on_a_used_connection_too() {
    let server = Setup::new().file("index.html", "x").args(&["--header-timeout", "1s"]).start();
    let head = head_of(&server, 400);
    let mut client = server.connect();
    assert_eq!(client.get("/").status, 200);
    let cut = trickle(&mut client, &head, 1, Duration::from_millis(100)).expect("cut amid the second head");
    assert!(cut >= Duration::from_millis(900), "{cut:?} is too early");
    assert_refused(&client.response(), 408, "slow_head");
    // Begun behind a whole request in the same segment, and then silent.
    let mut client = server.connect();
    client.send([&head, &head[..20]].concat());
    assert_eq!(client.response().status, 200);
    assert_refused(&client.response(), 408, "slow_head");
    assert!(client.is_closed());
}

#[test]
fn load_5_a_head_within_its_time_is_served_however_it_is_cut() {
    let server = Setup::new().file("index.html", "x").args(&["--header-timeout", "15s"]).start();
    let head = head_of(&server, 100);
    let mut client = server.connect();
    for byte in &head {
        client.send([*byte]);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(client.response().status, 200);
}

#[test]
fn row_e5_load_5_an_idle_connection_is_closed_without_a_word() {
    let server = Setup::new().file("index.html", "x").args(&["--keep-alive", "3s"]).start();
    let mut client = server.connect();
    let response = client.get("/");
    assert_eq!(response.field("keep-alive"), Some("timeout=3, max=100"));
    let begun = Instant::now();
    // Work starts the time anew.
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(client.get("/").status, 200);
    let (bytes, end) = client.rest(support::SOON);
    assert_eq!((bytes.as_slice(), end), (b"".as_slice(), End::Closed));
    assert!(begun.elapsed() >= Duration::from_millis(3500), "{:?}", begun.elapsed());
    let mut uploader = server.connect();
    uploader.send_request(&format!("{UPLOAD}Content-Length: 1\r\n"), b"1");
    assert_eq!(uploader.response().status, 201);
    assert!(uploader.is_closed(), "after an upload too");
}

/// Also where the time for a head is shorter: no head has begun.
#[test]
fn row_e2_load_5_a_connection_that_never_says_a_word_is_closed_after_ten_seconds() {
    let server = Server::start(&["--header-timeout", "1s", "--keep-alive", "1s"]);
    let begun = Instant::now();
    let mut client = server.connect();
    let (bytes, end) = client.rest(support::SOON);
    assert_eq!((bytes.as_slice(), end), (b"".as_slice(), End::Closed));
    assert!(begun.elapsed() >= Duration::from_millis(9_500), "{:?}", begun.elapsed());
    assert!(!server.log().iter().any(|line| line.contains("slow_head")));
}

/// A body sent in pieces; returns the response, and when it came.
fn slow_body(server: &Server, fields: &str, body: &[u8], piece: usize) -> (support::Response, Duration) {
    let mut client = server.connect();
    client.send_request(&format!("{UPLOAD}{fields}"), b"");
    let begun = Instant::now();
    trickle(&mut client, body, piece, Duration::from_millis(200));
    let response = client.response();
    let took = begun.elapsed();
    if response.status == 408 {
        assert!(response.closes() && client.is_closed());
    }
    (response, took)
}

#[test]
fn row_e1_load_5_a_body_must_keep_a_pace_of_a_kib_per_second() {
    let server = Server::start(&[]);
    let length = |body: &[u8]| format!("Content-Length: {}\r\n", body.len());
    let long = format!("\"{}\"", "x".repeat(20_000)).into_bytes();
    let extension = format!("1;{}\r\n1\r\n0\r\n\r\n", "x".repeat(4_000)).into_bytes();
    std::thread::scope(|scope| {
        // A byte now and then, and none at all; the chunk's extension is no body.
        for (fields, body) in [
            (length(&long), &long[..]),
            ("Content-Length: 5\r\n".to_owned(), b""),
            ("Transfer-Encoding: chunked\r\n".to_owned(), &extension[..]),
        ] {
            let server = &server;
            scope.spawn(move || {
                let (response, took) = slow_body(server, &fields, body, 1);
                assert_refused(&response, 408, "slow_body");
                assert!(took >= Duration::from_millis(9_500), "{fields}: {took:?}");
            });
        }
        // About 3 KiB/s for longer than the grace.
        let steady = scope.spawn(|| {
            let body = format!("\"{}\"", "y".repeat(600 * 62)).into_bytes();
            let (response, took) = slow_body(&server, &length(&body), &body, 600);
            assert!(took > Duration::from_secs(10), "{took:?}");
            (stored_name(&response), body)
        });
        let (name, body) = steady.join().unwrap();
        assert_eq!(std::fs::read(server.uploads().join(name)).unwrap(), body);
    });
    assert_eq!(names(&server.uploads()).len(), 1, "nothing of the slow ones is kept");
}

/// Over a minute, for that is how long the promise takes.
#[test]
fn row_e1_load_5_a_reader_must_keep_a_pace_of_a_kib_per_second() {
    let server = Setup::new().file("large.bin", vec![7; 30_000_000]).start();
    let before = server.descriptors();
    let (mut stuck, mut steady) = (server.connect(), server.connect());
    for client in [&mut stuck, &mut steady] {
        client.send_request("GET /large.bin HTTP/1.1\r\n", b"");
    }
    let begun = Instant::now();
    let mut cut = None;
    while begun.elapsed() < Duration::from_secs(80) {
        std::thread::sleep(Duration::from_millis(500));
        // The peer takes what its own buffer holds; what is asked for is that it goes on taking.
        let mut piece = vec![0; 20_000];
        steady.stream.read_exact(&mut piece).expect("the steady reader is not cut");
        if cut.is_none() && server.log().iter().any(|line| line.contains("large.bin")) {
            cut = Some(begun.elapsed());
        }
    }
    let cut = cut.expect("the stuck reader was never cut");
    assert!(cut >= Duration::from_secs(29), "{cut:?} is too early");
    drop((stuck, steady));
    eventually("both are gone", || server.descriptors() <= before + 2);
}

/// A crowd of slow heads: every one is cut in its time, and nobody else waits for it.
#[test]
fn row_e1_load_5_a_crowd_of_slow_heads_disturbs_nobody() {
    let server = Setup::new().file("index.html", "x").args(&["--header-timeout", "1s"]).start();
    let mut crowd: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for (number, client) in crowd.iter_mut().enumerate() {
        client.send(&head_of(&server, 10)[..1 + number % 30]);
    }
    let mut beside = server.connect();
    for _ in 0..20 {
        assert_eq!(beside.get("/").status, 200);
    }
    for client in &mut crowd {
        assert_refused(&client.response(), 408, "slow_head");
        assert!(client.is_closed());
    }
    assert_eq!(server.get("/").status, 200);
}
