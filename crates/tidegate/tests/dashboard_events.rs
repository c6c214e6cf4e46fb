//! The live stream of the dashboard (SPEC OBS-3): server-sent events once a second, for a bounded number of viewers
//! who keep up, and never in the way of a shutdown.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;
mod visitors;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use process::ended;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use support::{Client, SOON, Server, Setup, eventually};
use visitors::{ask, assert_refused, from, snapshot};

const EVENTS: &str = "GET /security-dashboard/events HTTP/1.1\r\n";
/// Who watches at once.
const VIEWERS: usize = 32;

/// A stream of events that is being read.
struct Stream {
    lines: BufReader<Chunks>,
}

/// The payload of a chunked body (RFC 9112 section 7.1), read as it comes.
struct Chunks {
    input: BufReader<TcpStream>,
    left: usize,
}

impl Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            let mut size = String::new();
            self.input.read_line(&mut size)?;
            self.left = usize::from_str_radix(size.trim_end(), 16).unwrap_or_default();
            if self.left == 0 {
                return Ok(0);
            }
        }
        let most = into.len().min(self.left);
        let count = self.input.read(&mut into[..most])?;
        self.left -= count;
        if self.left == 0 {
            self.input.read_exact(&mut [0; 2])?;
        }
        Ok(count)
    }
}

impl Stream {
    fn open(server: &Server) -> Self {
        Self::of(&server.connect())
    }

    fn of(client: &Client) -> Self {
        let host = client.stream.peer_addr().unwrap();
        let mut socket = client.stream.try_clone().unwrap();
        std::io::Write::write_all(&mut socket, format!("{EVENTS}Host: {host}\r\n\r\n").as_bytes()).unwrap();
        let mut input = BufReader::new(socket);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(input.read_line(&mut head).unwrap() > 0, "{head}");
        }
        let low = head.to_lowercase();
        assert!(low.starts_with("http/1.1 200 "), "{head}");
        for part in
            ["content-type: text/event-stream", "cache-control: no-store", "transfer-encoding: chunked"]
        {
            assert!(low.contains(part), "{part}: {head}");
        }
        Self { lines: BufReader::new(Chunks { input, left: 0 }) }
    }

    /// The next event by name and data; `None` at the end of the stream.
    fn next(&mut self) -> Option<(String, Value)> {
        let (mut name, mut data) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap_or_default() == 0 {
                return None;
            }
            match line.trim_end_matches('\n').split_once(':') {
                Some(("event", value)) => value.trim_start().clone_into(&mut name),
                Some(("data", value)) => data += value.strip_prefix(' ').unwrap_or(value),
                None if line == "\n" && !data.is_empty() => {
                    return Some((name, serde_json::from_str(&data).expect("JSON")));
                }
                _ => {}
            }
        }
    }
}

/// Whether a new viewer gets in.
fn is_admitted(server: &Server) -> bool {
    let mut client = server.connect();
    client.send_request(EVENTS, b"");
    let mut status = [0; 12];
    client.stream.read_exact(&mut status).unwrap();
    assert!(status.starts_with(b"HTTP/1.1 "));
    &status[9..] == b"200"
}

fn viewers(server: &Server) -> u64 {
    snapshot(server)["viewers"].as_u64().unwrap()
}

#[test]
fn obs_3_the_stream_begins_with_the_history_and_goes_on_once_a_second() {
    let server = Server::start(&["--keep-alive", "2s", "--header-timeout", "2s"]);
    let mut stream = Stream::open(&server);
    let (name, history) = stream.next().expect("the history");
    assert_eq!(name, "history");
    assert!(history["seconds"].as_array().is_some_and(|seconds| seconds.len() <= 300), "{history}");
    let (mut begun, mut last) = (None, 0);
    for _ in 0..5 {
        let (name, snapshot) = stream.next().expect("it goes on, past every other deadline");
        assert_eq!(name, "snapshot");
        let begun = begun.get_or_insert_with(Instant::now);
        let at = snapshot["second"]["at"].as_u64().unwrap();
        assert!(at > last, "each second once: {at} after {last}");
        last = at;
        assert!(begun.elapsed() < SOON);
    }
    assert!(begun.unwrap().elapsed() > Duration::from_millis(2_900), "once a second, not faster");
}

#[test]
fn obs_3_an_attack_reaches_the_viewer_within_two_seconds() {
    let server = Server::start(&["--limit-loopback", "--rate-limit", "off"]);
    let mut stream = Stream::open(&server);
    stream.next().expect("the history");
    let mut attacker = from(&server, "127.0.0.2");
    for _ in 0..20 {
        assert_eq!(ask(&mut attacker, "GET /../x HTTP/1.1\r\n").status, 403);
    }
    let attacked = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(2);
    loop {
        let (_, snapshot) = stream.next().expect("it goes on");
        let offenders = snapshot["offenders"].as_array().unwrap();
        if offenders.iter().any(|one| one["client"] == "127.0.0.2") {
            break;
        }
        // When it was put together, however long it took to arrive.
        let at = Duration::from_millis(snapshot["at"].as_u64().unwrap());
        assert!(at < attacked, "not in two seconds: {snapshot}");
    }
}

#[test]
fn row_h8_sec_6_the_stream_is_for_operators_alone() {
    let server = Server::start(&[]);
    let head = format!("{EVENTS}Via: 1.1 x\r\n");
    assert_refused(&server.request(&head, b""), 403, "admin_forbidden");
    let foreign = server.request(&format!("{EVENTS}Host: x\r\n"), b"");
    assert_eq!(foreign.code(), "bad_host", "two of them");
    assert_eq!(viewers(&server), 0);
}

/// HEAD tells what GET would, and keeps nobody's place.
#[test]
fn obs_3_head_of_the_stream_ends_at_once() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send(format!("HEAD /security-dashboard/events HTTP/1.1\r\nHost: {}\r\n\r\n", server.host()));
    let head = client.response_to("HEAD ");
    assert_eq!((head.status, head.field("content-type")), (200, Some("text/event-stream")));
    if !head.closes() {
        assert_eq!(client.get("/healthz").status, 200, "nothing of a body came in between");
    }
    eventually("nobody watches", || viewers(&server) == 0);
}

#[test]
fn row_h8_obs_3_there_is_room_for_so_many_viewers_and_a_place_comes_free_again() {
    let server = Setup::new().file("index.html", "home").start();
    let mut streams: Vec<_> = (0..VIEWERS).map(|_| Stream::open(&server)).collect();
    eventually("all are counted", || viewers(&server) == VIEWERS as u64);
    let mut late = server.connect();
    late.send_request(EVENTS, b"");
    let refused = late.response();
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.field("retry-after").is_some(), "{refused:?}");
    assert_eq!(server.get("/index.html").text(), "home", "others are served");
    for stream in &mut streams {
        assert_eq!(stream.next().expect("nobody is thrown out").0, "history");
    }
    drop(streams.pop());
    eventually("its place is free", || is_admitted(&server));
}

/// A thousand want to watch: so many may, the rest is told at once, and who asks for a page does not notice.
#[test]
fn row_h8_obs_3_a_thousand_viewers_are_32_and_a_refusal_each() {
    let server = Setup::new().file("index.html", "home").args(&["--max-requests", "0"]).start();
    let mut visitor = server.connect();
    assert_eq!(visitor.get("/index.html").text(), "home");
    let before = server.memory_kib();
    let mut clients = Vec::new();
    let (mut admitted, mut refused) = (0, 0);
    for number in 0..1000 {
        let mut client = server.connect();
        client.send_request(EVENTS, b"");
        let mut status = [0; 12];
        client.stream.read_exact(&mut status).unwrap();
        match &status[9..] {
            b"200" => admitted += 1,
            b"503" => refused += 1,
            other => panic!("{:?}", String::from_utf8_lossy(other)),
        }
        clients.push(client);
        if number % 10 == 0 {
            assert_eq!(visitor.get("/index.html").text(), "home");
        }
    }
    assert_eq!((admitted, refused), (VIEWERS, 1000 - VIEWERS));
    assert_eq!(viewers(&server), VIEWERS as u64);
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB for a thousand");
    drop(clients);
    eventually("all places are free", || viewers(&server) == 0);
}

/// A viewer who does not read is dropped, and his place comes free, while another goes on.
#[test]
fn row_h8_obs_3_a_viewer_who_falls_behind_is_dropped() {
    let args = ["--limit-loopback", "--rate-limit", "off", "--access-log", "off", "--max-requests", "0"];
    let server = Server::start(&args);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // As little as the kernel gives, or it would hold minutes of events for him.
    socket.set_recv_buffer_size(1).unwrap();
    socket.connect(&server.addr.into()).unwrap();
    let mut stuck = server.connect();
    stuck.stream = socket.into();
    stuck.stream.set_read_timeout(Some(SOON)).unwrap();
    stuck.send_request(EVENTS, b"");
    let mut steady = Stream::open(&server);
    eventually("both watch", || viewers(&server) == 2);
    // Every piece is larger after this.
    let mut attacker = from(&server, "127.0.0.2");
    for number in 0..300 {
        let target = format!("/../{number}{}", "x".repeat(200));
        assert_eq!(ask(&mut attacker, &format!("GET {target} HTTP/1.1\r\n")).status, 403);
    }
    let begun = Instant::now();
    while viewers(&server) > 1 {
        assert!(begun.elapsed() < Duration::from_secs(90), "he is never dropped");
        steady.next().expect("who keeps up goes on");
    }
    steady.next().expect("who keeps up goes on");
}

#[test]
fn obs_3_a_viewer_who_leaves_is_noticed() {
    let server = Server::start(&[]);
    let streams: Vec<_> = (0..10).map(|_| Stream::open(&server)).collect();
    eventually("ten", || viewers(&server) == 10);
    drop(streams);
    eventually("none", || viewers(&server) == 0);
    assert!(!server.log().iter().any(|line| line.contains(" WARNING ")), "and is no alarm");
}

/// Who may see the stream may change; the browser asks again by itself, and is judged anew.
#[test]
fn sec_6_a_stream_ends_when_its_server_is_told_new_rules() {
    let setup = Setup::new().args(&["-c", "t.toml"]);
    setup.folder.write("t.toml", "");
    let server = setup.start();
    let mut stream = Stream::open(&server);
    assert_eq!(stream.next().unwrap().0, "history");
    server.folder.write("t.toml", "[limits]\nrate_limit = \"1/s\"\n");
    server.signal("HUP");
    while let Some((name, _)) = stream.next() {
        assert_eq!(name, "snapshot", "whole events to the last");
    }
    eventually("the place is free", || viewers(&server) == 0);
}

#[test]
fn run_5_viewers_do_not_delay_the_end() {
    let mut server = Server::start(&["--drain", "1h"]);
    let mut streams: Vec<_> = (0..3).map(|_| Stream::open(&server)).collect();
    for stream in &mut streams {
        assert_eq!(stream.next().unwrap().0, "history");
    }
    server.signal("TERM");
    let status = ended(&mut server.child, SOON).expect("it waits for the viewers");
    assert_eq!(status.code(), Some(0));
    for stream in &mut streams {
        while let Some((name, _)) = stream.next() {
            assert_eq!(name, "snapshot", "whole events to the last");
        }
    }
}

/// A viewer is a connection at work: a newcomer over the cap takes an idle seat and not his.
#[test]
fn load_3_obs_3_a_viewer_keeps_his_seat() {
    let server = Server::start(&["--max-connections", "2"]);
    let mut stream = Stream::open(&server);
    stream.next().expect("the history");
    let mut idle = server.connect();
    assert_eq!(idle.get("/healthz").status, 200);
    // Its worker must have come round to see it idle.
    server.rests();
    let mut newcomer = server.connect();
    assert_eq!(newcomer.get("/healthz").status, 200);
    assert!(idle.is_closed(), "though the viewer has been there for longer");
    for _ in 0..2 {
        assert_eq!(stream.next().expect("it goes on").0, "snapshot");
    }
}

/// An old client, let in by the token, gets the stream until the connection closes.
#[test]
fn h1_8_obs_3_http_1_0_gets_the_stream_without_chunks() {
    let setup = Setup::new().args(&["--admin-token-file", "token"]);
    setup.folder.write("token", "an-operators-long-secret");
    let server = setup.start();
    let mut client = server.connect();
    client.send(format!(
        "GET /security-dashboard/events HTTP/1.0\r\nHost: {}\r\nAuthorization: Bearer an-operators-long-secret\r\n\r\n",
        server.host()
    ));
    let mut lines = BufReader::new(client.stream.try_clone().unwrap()).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("HTTP/1.1 200 OK"));
    let head: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    let head = head.join("\n").to_lowercase();
    assert!(head.contains("connection: close") && !head.contains("transfer-encoding"), "{head}");
    assert!(lines.by_ref().take(4).any(|line| line == "event: history"));
    assert!(lines.any(|line| line == "event: snapshot"));
}
