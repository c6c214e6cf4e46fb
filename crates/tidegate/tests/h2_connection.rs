//! The HTTP/2 connection (SPEC H2-1, OBS-1, OBS-2; RFC 9113 §3.4): how it is told from HTTP/1.1 on the same port, and that
//! what goes over it is logged and counted like all else.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod h2raw;
mod process;
mod support;
mod visitors;

use std::time::Duration;

use h2raw::frame::{self, CANCEL, PREFACE, frame, headers, reset, settings};
use h2raw::{Answer, H2, Next, hpack, pseudo};
use process::{Bare, lines_with};
use serde_json::Value;
use support::{Client, Folder, Server, Setup, eventually};
use visitors::metric;

fn server(args: &[&str]) -> Server {
    Setup::new().file("index.html", "home").file("large.bin", vec![b'x'; 3 << 20]).args(args).start()
}

/// A connection that has sent preface, settings and one GET, in one write or in two that are cut after `cut` bytes.
fn greeted(server: &Server, cut: Option<usize>) -> (H2, u32) {
    let mut client = H2::silent(server);
    let stream = client.new_stream();
    client.inbox.expect(stream, false);
    let request = hpack::block(&pseudo("GET", "http", &server.host(), "/"));
    let all = [PREFACE, &settings(&[]), &headers(stream, &request, true)].concat();
    let (first, rest) = all.split_at(cut.unwrap_or(all.len()));
    client.send(first);
    if !rest.is_empty() {
        std::thread::sleep(Duration::from_millis(15));
        client.send(rest);
    }
    (client, stream)
}

#[test]
fn row_f7_h2_1_the_preface_may_come_in_pieces() {
    let server = server(&[]);
    let whole = PREFACE.len() + settings(&[]).len() + 9;
    for cut in 1..whole {
        let (mut client, stream) = greeted(&server, Some(cut));
        assert_eq!(client.response(stream).text(), "home", "cut after {cut}");
    }
    let (mut client, stream) = greeted(&server, None);
    assert_eq!(client.response(stream).text(), "home");
}

#[test]
fn h2_1_the_preface_may_come_byte_by_byte() {
    let server = server(&[]);
    let mut client = H2::silent(&server);
    for byte in [PREFACE, &settings(&[])].concat() {
        client.send([byte]);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(client.get("/").text(), "home");
}

/// What begins like the preface and goes on otherwise is HTTP/1.1 with a version that is none, or no HTTP at all.
#[test]
fn row_f7_h2_1_h1_2_what_is_nearly_the_preface_is_refused() {
    let server = server(&[]);
    for at in 0..PREFACE.len() {
        let mut bytes = PREFACE.to_vec();
        bytes[at] ^= 0x20;
        bytes.extend(settings(&[]));
        let mut client = server.connect();
        client.send(bytes);
        client.finish();
        let (answer, end) = client.rest(support::SOON);
        let answer = String::from_utf8_lossy(&answer);
        let refused = ["400", "405", "501", "505"]
            .iter()
            .any(|status| answer.starts_with(&format!("HTTP/1.1 {status} ")));
        assert!(refused || answer.is_empty() || !answer.starts_with("HTTP/"), "byte {at}: {answer}");
        assert_ne!(end, support::client::End::Open, "byte {at}");
    }
    assert_eq!(H2::connect(&server).get("/").status, 200);
}

/// Whose first frame is no SETTINGS does not speak HTTP/2 (RFC 9113 §3.4).
#[test]
fn row_f7_h2_1_the_first_frame_is_settings() {
    let server = server(&[]);
    let mut client = H2::silent(&server);
    client.send([PREFACE, &frame::ping([0; 8])].concat());
    let goaway = client.ending();
    assert!(goaway.is_none_or(|goaway| goaway.code == frame::PROTOCOL_ERROR), "{goaway:?}");
}

#[test]
fn h2_1_both_protocols_on_one_port() {
    let server = server(&[]);
    let (mut second, mut first) = (H2::connect(&server), server.connect());
    for _ in 0..20 {
        assert_eq!(second.get("/").text(), "home");
        assert_eq!(first.get("/").text(), "home");
    }
    // An offer to change the protocol (RFC 7540 §3.2, gone since RFC 9113) is not taken up.
    let mut upgrading = server.connect();
    upgrading.send_request(
        "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        b"",
    );
    assert_eq!(upgrading.response().text(), "home");
    // The preface after a request is none.
    let mut late = Client::connect(server.addr);
    assert_eq!(late.get("/").status, 200);
    late.send(PREFACE);
    assert!(matches!(late.response().status, 400 | 405 | 505));
}

/// The settings of the server are bounds that a client must be told (RFC 9113 §6.5.2).
#[test]
fn h2_1_the_server_says_what_it_takes() {
    let server = server(&[]);
    let mut client = H2::connect(&server);
    client.until("settings, both ways", |inbox| !inbox.settings.is_empty() && inbox.settings_acks == 1);
    assert_eq!(client.inbox.settings.get(&frame::MAX_CONCURRENT_STREAMS), Some(&100));
    let most = client.inbox.settings.get(&frame::MAX_FRAME_SIZE).copied().unwrap_or(16_384);
    assert_eq!(most, 16_384, "the smallest of the protocol");
    // RFC 9113 §6.5.3: each is acknowledged, once.
    client.send(settings(&[(frame::HEADER_TABLE_SIZE, 0), (0x99, 7)]));
    client.until("an acknowledgement", |inbox| inbox.settings_acks == 2);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.inbox.settings_acks, 2);
}

/// Frames of a kind that nobody knows are ignored, and unknown flags and reserved bits (RFC 9113 §4.1, §5.5).
#[test]
fn h2_1_what_is_unknown_is_ignored() {
    let server = server(&[]);
    let mut client = H2::connect(&server);
    for kind in [0x0a, 0x42, 0xff] {
        client.send(frame(kind, 0xff, 0, b"grease"));
        client.send(frame(kind, 0, 1, b""));
    }
    client.send(frame(frame::PING, 0xfe, 0x8000_0000, b"reserved"));
    client.until("the answer to a PING with flags that mean nothing", |inbox| inbox.pongs == 1);
    assert_eq!(client.get("/").status, 200);
}

/// A stream that the client gives up costs the others nothing, and its answer ends.
#[test]
fn h2_1_a_stream_that_is_reset_is_answered_no_further() {
    let server = server(&[]);
    let mut client = H2::with_settings(&server, &[(frame::INITIAL_WINDOW_SIZE, 1000)]);
    client.inbox.gives_back = false;
    let given_up = client.ask("GET", "/large.bin", &[]);
    client
        .until("the window is used", |inbox| inbox.body_of(given_up).is_some_and(|body| body.len() == 1000));
    client.send(reset(given_up, CANCEL));
    // Room that was meant for it.
    client.send(frame::window_update(0, 1 << 20));
    client.inbox.allow(0, 1 << 20);
    assert_eq!(client.get("/").text(), "home");
    assert!(client.is_alive());
    assert_eq!(client.inbox.body_of(given_up).map(<[u8]>::len), Some(1000));
    eventually("nobody is being answered", || metric(&server, "http_server_active_requests") <= 1.0);
}

#[test]
fn h2_1_obs_1_lines_of_each_format_say_the_protocol() {
    for (format, part) in [
        ("pretty", "\"GET /index.html?q=1 HTTP/2.0\" 200 4B "),
        ("combined", "\"GET /index.html?q=1 HTTP/2.0\" 200 4 \"http://ref.example/\" \"tester\""),
        ("json", "\"proto\":\"HTTP/2.0\",\"method\":\"GET\""),
    ] {
        let folder = Folder::new();
        folder.write("root/index.html", "home");
        let (server, addr) = Bare::serve(folder, &["--access-log", format], &[]);
        let mut client = H2::over(Box::new(std::net::TcpStream::connect(addr).unwrap()), addr.to_string());
        client.begin(&[]);
        let fields = [
            ("user-agent", "tester"),
            ("referer", "http://ref.example/"),
            ("cookie", "a=secret"),
            ("cookie", "b=secret"),
        ];
        assert_eq!(client.request("GET", "/index.html?q=1", &fields).status, 200);
        server.wait_for_log(part);
        let log = server.log();
        let line = log.lines().find(|line| line.contains("/index.html")).unwrap();
        assert!(!log.contains("secret"), "{line}");
        if format == "json" {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["request"]["host"], addr.to_string().as_str(), "{line}");
            assert_eq!(line["request"]["uri"], "/index.html?q=1");
        }
    }
}

#[test]
fn h2_1_obs_2_requests_and_refusals_are_counted() {
    let server = server(&[]);
    let mut client = H2::connect(&server);
    for (path, status, times) in [("/", 200, 7), ("/missing", 404, 5), ("/../x", 403, 3)] {
        (0..times).for_each(|_| assert_eq!(client.get(path).status, status));
    }
    let count = |status: u16| {
        let labels = format!("http_request_method=\"GET\",http_response_status_code=\"{status}\"");
        metric(&server, &format!("http_server_request_duration_seconds_count{{{labels}}}"))
    };
    eventually("the refusals are counted", || (count(404), count(403)) == (5.0, 3.0));
    server.rests();
    assert!(count(200) >= 7.0, "{}", count(200));
    assert_eq!(metric(&server, "tidegate_refusals_total{code=\"traversal\"}"), 3.0);
    assert_eq!(metric(&server, "tidegate_events_total{kind=\"traversal\"}"), 3.0);
    eventually("each has its line", || lines_with(&server, "HTTP/2.0\" 404 ").len() == 5);
}

/// One connection takes one seat, however many streams it has (SPEC LOAD-7).
#[test]
fn h2_1_load_7_a_connection_is_one_of_its_client() {
    let args = ["--limit-loopback", "--rate-limit", "off", "--max-connections-per-ip", "2"];
    let server = server(&args);
    let mut clients: Vec<_> = (0..2).map(|_| H2::connect(&server)).collect();
    for client in &mut clients {
        let streams: Vec<_> = (0..50).map(|_| client.ask("GET", "/", &[])).collect();
        streams.into_iter().for_each(|stream| assert_eq!(client.response(stream).status, 200));
    }
    server.rests();
    // Both are idle now: a third one takes the place of the first.
    let mut third = H2::connect(&server);
    assert_eq!(third.get("/").status, 200);
    assert!(clients[0].ending().is_none_or(|goaway| goaway.code == frame::NO_ERROR));
    assert_eq!(clients[1].get("/").status, 200);
    assert!(matches!(clients[1].next(Duration::from_millis(50)), Next::Nothing));
}

/// A request that is malformed costs its stream; a connection that is, ends with the code of the RFC (RFC 9113 §5.4).
#[test]
fn h2_1_errors_of_the_connection_end_it_with_their_code() {
    let server = server(&[]);
    let cases: [(&str, Vec<u8>, u32); 8] = [
        ("DATA on stream 0", frame(frame::DATA, 0, 0, b"x"), frame::PROTOCOL_ERROR),
        ("DATA on an idle stream", frame(frame::DATA, 0, 9, b"x"), frame::PROTOCOL_ERROR),
        (
            "an even stream",
            headers(2, &hpack::block(&pseudo("GET", "http", "a", "/")), true),
            frame::PROTOCOL_ERROR,
        ),
        // For these two the RFC has codes of their own; the h2 crate says the general one.
        ("PING of 7 bytes", frame(frame::PING, 0, 0, b"1234567"), frame::PROTOCOL_ERROR),
        ("no HPACK", headers(1, &hpack::indexed(99), true), frame::PROTOCOL_ERROR),
        ("a push", frame(frame::PUSH_PROMISE, 4, 1, &[0, 0, 0, 2]), frame::PROTOCOL_ERROR),
        ("a window of nothing", frame::window_update(0, 0), frame::PROTOCOL_ERROR),
        ("too much window", frame::window_update(0, 0x7fff_ffff), frame::FLOW_CONTROL_ERROR),
    ];
    for (what, bytes, code) in cases {
        let mut client = H2::connect(&server);
        client.send(bytes);
        assert_eq!(client.ending().map(|goaway| goaway.code), Some(code), "{what}");
    }
    let counted = || metric(&server, "tidegate_refusals_total{code=\"bad_framing\"}");
    eventually("each is recorded", || counted() == 8.0);
    let mut client = H2::connect(&server);
    let stream = client.open(&[(":method", "GET")], true);
    assert!(matches!(client.answer(stream), Answer::Reset(frame::PROTOCOL_ERROR)));
    assert!(client.is_alive());
}
