//! The end by TERM and INT: what is finished, what is cut, when, and with which exit code (SPEC RUN-5, OBS-5).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use process::{ended, lines_with};
use support::{Client, SOON, Server, Setup, client::End, eventually};

/// More than the socket buffers of both ends hold.
const LARGE: usize = 24 << 20;

/// An upload whose body has not come yet, and whose head has been seen.
const UPLOAD_BEGUN: &str = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n";

fn large() -> Setup {
    Setup::new().file("large.bin", vec![b'x'; LARGE]).args(&["--workers", "2"])
}

/// Begins a download that goes on until somebody reads it.
fn begin_download(server: &Server) -> Client {
    let mut client = server.connect();
    client.send_request("GET /large.bin HTTP/1.1\r\n", b"");
    let head = client.read_response(true).unwrap();
    assert_eq!((head.status, head.field("content-length")), (200, Some(LARGE.to_string().as_str())));
    client
}

/// Begins an upload; `finish_upload` ends it.
fn begin_upload(server: &Server) -> Client {
    let mut client = server.connect();
    client.send_request(UPLOAD_BEGUN, b"");
    assert_eq!(client.read_response(false).unwrap().status, 100);
    client
}

fn finish_upload(client: &mut Client) {
    client.send("{}");
    let response = client.response();
    assert_eq!(response.status, 201);
    assert!(response.closes(), "the last answer of a draining server: {response:?}");
    assert!(client.is_closed());
}

/// Waits until nobody can connect any more.
fn stops_accepting(server: &Server) {
    eventually("it stops accepting", || TcpStream::connect(server.addr).is_err());
}

#[test]
fn run_5_term_and_int_while_idle_end_at_once_with_0_and_a_summary() {
    for name in ["TERM", "INT"] {
        let mut server = Server::start(&["--drain", "1h"]);
        let mut idle = server.connect();
        assert_eq!(idle.get("/healthz").status, 200);
        let mut silent = server.connect();
        server.signal(name);
        let status = ended(&mut server.child, SOON).expect("it waits for idle connections");
        assert_eq!(status.code(), Some(0), "{name}");
        assert!(idle.is_closed());
        // Who has said nothing may not have been let in yet, and learns it when it speaks.
        silent.send_request("GET / HTTP/1.1\r\n", b"");
        assert!(silent.is_closed());
        eventually("the last words", || !lines_with(&server, "stopped after").is_empty());
        let log = server.log();
        assert!(log.last().unwrap().contains("stopped after"), "{log:#?}");
    }
}

#[test]
fn run_5_term_finishes_a_running_download_and_an_upload() {
    let mut server = large().start();
    let mut download = begin_download(&server);
    let mut upload = begin_upload(&server);
    server.signal("TERM");
    server.wait_for_log("shutting down");
    stops_accepting(&server);
    assert!(ended(&mut server.child, Duration::from_millis(300)).is_none(), "there is work left");
    finish_upload(&mut upload);
    assert!(ended(&mut server.child, Duration::from_millis(100)).is_none(), "there is work left");
    let body = download.take(LARGE);
    assert!(body.iter().all(|byte| *byte == b'x'));
    assert!(download.is_closed(), "nothing follows the last answer");
    assert_eq!(server.wait().code(), Some(0));
    let stored: Vec<_> = std::fs::read_dir(server.uploads()).unwrap().collect();
    assert_eq!(stored.len(), 1, "{stored:?}");
}

#[test]
fn run_5_a_head_that_is_under_way_is_answered_with_close() {
    let mut server = Server::start(&[]);
    let mut client = server.connect();
    assert_eq!(client.get("/healthz").field("connection"), Some("keep-alive"));
    let host = server.host();
    client.send(format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n"));
    // Where the half head is not read yet, the connection counts as idle.
    server.rests();
    server.signal("TERM");
    server.wait_for_log("shutting down");
    stops_accepting(&server);
    client.send("\r\n");
    let last = client.response();
    assert_eq!((last.status, last.closes()), (200, true));
    assert!(client.is_closed());
    assert_eq!(server.wait().code(), Some(0));
}

/// The answer is there, and then the connection ends: `close` in it where the worker knew of the end already.
fn answered_and_closed(client: &mut Client, what: &str) {
    let last = client.try_response(false).unwrap_or_else(|| panic!("{what}: no answer"));
    assert_eq!(last.status, 200);
    assert!(client.is_closed());
}

#[test]
fn run_5_a_request_that_waits_on_a_kept_connection_is_answered() {
    let mut server = Server::start(&["--workers", "2"]);
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert!(!client.get("/healthz").closes());
    }
    server.signal("STOP");
    for client in &mut clients {
        client.send_request("GET /healthz HTTP/1.1\r\n", b"");
    }
    server.signal("TERM");
    server.signal("CONT");
    for client in &mut clients {
        answered_and_closed(client, "it had come before the signal");
    }
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn run_5_connections_in_the_accept_queue_are_served() {
    let mut server = Server::start(&["--workers", "2", "--listen", "127.0.0.1:0", "--listen", "unix:s"]);
    assert_eq!(server.get("/healthz").status, 200);
    let path = server.folder.0.join("s");
    server.signal("STOP");
    let mut tcp: Vec<_> = (0..30).map(|_| server.connect()).collect();
    for client in &mut tcp {
        client.send_request("GET /healthz HTTP/1.1\r\n", b"");
    }
    let unix: Vec<_> = (0..10).map(|_| UnixStream::connect(&path).unwrap()).collect();
    for mut stream in &unix {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    }
    server.signal("TERM");
    server.signal("CONT");
    for client in &mut tcp {
        answered_and_closed(client, "a connection of the queue");
    }
    for mut stream in &unix {
        let mut answer = String::new();
        let _ = std::io::Read::read_to_string(&mut stream, &mut answer);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    }
    assert_eq!(server.wait().code(), Some(0));
}

/// Each `accept` is slowed down, so that the drain begins while most of the queue still waits.
#[test]
fn run_5_a_queue_that_is_accepted_while_draining_is_served() {
    let tracing = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=accept4"];
    let slow = ["-e", "inject=accept4:delay_enter=100ms"];
    if !process::is_root("run_5_a_queue_that_is_accepted_while_draining_is_served") {
        return;
    }
    let mut server = Setup::new().args(&["--workers", "1"]).wrapper(&[&tracing[..], &slow].concat()).start();
    let mut clients: Vec<_> = (0..12).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send_request("GET /healthz HTTP/1.1\r\n", b"");
    }
    server.signal("TERM");
    for (number, client) in clients.iter_mut().enumerate() {
        answered_and_closed(client, &format!("connection {number} of the queue"));
    }
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn run_5_at_the_drain_deadline_the_rest_is_cut_with_exit_code_3() {
    let mut server = large().args(&["--drain", "1s"]).start();
    let mut stuck = begin_download(&server);
    let begun = Instant::now();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(3));
    assert!(begun.elapsed() >= Duration::from_secs(1), "it had a second to finish");
    let (body, end) = stuck.rest(SOON);
    assert!(body.len() < LARGE && end != End::Open, "{} bytes, {end:?}", body.len());
    eventually("the last words", || !lines_with(&server, "stopped after").is_empty());
    let line = lines_with(&server, "deadline").pop().expect("a line on the deadline");
    assert!(line.contains("WARNING") && line.contains("1 connection"), "{line}");
}

#[test]
fn run_5_a_second_signal_ends_at_once() {
    for second in ["TERM", "INT"] {
        let mut server = large().args(&["--drain", "1h"]).start();
        let _stuck = begin_download(&server);
        server.signal("TERM");
        server.wait_for_log("shutting down");
        stops_accepting(&server);
        server.signal(second);
        let status = ended(&mut server.child, SOON).expect("the second signal does not end it");
        assert_eq!(status.code(), Some(3), "not everything was finished");
        eventually("the last words", || !lines_with(&server, "stopped after").is_empty());
        assert_eq!(lines_with(&server, "second signal").len(), 1, "{:#?}", server.log());
    }
}

#[test]
fn run_5_a_second_signal_in_the_delay_ends_at_once() {
    let mut server = Server::start(&["--drain-delay", "1h"]);
    server.signal("TERM");
    server.wait_for_log("shutting down");
    assert_eq!(server.get("/healthz").status, 200);
    server.signal("TERM");
    assert!(ended(&mut server.child, SOON).expect("it waits for the delay").code().is_some());
    eventually("the last words", || !lines_with(&server, "stopped after").is_empty());
    assert_eq!(lines_with(&server, "second signal").len(), 1, "{:#?}", server.log());
}

#[test]
fn run_5_drain_delay_accepts_on_with_readyz_503() {
    let mut server = Setup::new().file("a.html", "here").args(&["--drain-delay", "5s"]).start();
    assert_eq!(server.get("/readyz").status, 200);
    let mut kept = server.connect();
    assert_eq!(kept.get("/a.html").status, 200);
    let begun = Instant::now();
    server.signal("TERM");
    eventually("not ready", || server.get("/readyz").status == 503);
    let response = server.get("/readyz");
    assert_eq!((response.code().as_str(), response.field("retry-after").is_some()), ("draining", true));
    assert_eq!(server.get("/healthz").status, 200, "alive all the same");
    assert_eq!(server.get("/a.html").text(), "here", "on a new connection");
    assert_eq!(kept.get("/a.html").text(), "here", "and on an old one");
    assert_eq!(server.wait().code(), Some(0));
    assert!(begun.elapsed() >= Duration::from_secs(5), "the delay was kept");
    assert!(TcpStream::connect(server.addr).is_err());
}

#[test]
fn run_5_term_under_load_breaks_no_answer() {
    let mut server = Setup::new().file("a.bin", vec![b'a'; 50_000]).args(&["--max-requests", "0"]).start();
    let addr = server.addr;
    let (first, firsts) = channel();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let first = first.clone();
            std::thread::spawn(move || {
                let mut client = Client::connect(addr);
                let mut served = 0;
                loop {
                    client.send_request("GET /a.bin HTTP/1.1\r\n", b"");
                    // A response that began is whole: the client checks that.
                    let Some(response) = client.try_response(false) else { return (served, false) };
                    assert_eq!((response.status, response.body.len()), (200, 50_000));
                    served += 1;
                    if served == 1 {
                        first.send(()).unwrap();
                    }
                    if response.closes() {
                        return (served, true);
                    }
                }
            })
        })
        .collect();
    for _ in &clients {
        firsts.recv_timeout(SOON).expect("each is served");
    }
    std::thread::sleep(Duration::from_millis(300));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let ends: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert!(ends.iter().all(|(served, _)| *served > 0), "{ends:?}");
}

#[test]
fn obs_5_the_numbers_of_the_summary_are_right() {
    let mut server = Setup::new().file("a.html", "here").args(&["--max-requests", "0"]).start();
    let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/a.html").status, 200);
    }
    let one = &mut clients[0];
    for (target, status) in [("/nothing", 404), ("/nothing/else", 404), ("/../x", 403), ("/a.html", 200)] {
        assert_eq!(one.get(target).status, status);
    }
    for body in ["{}", "[1]", "{"] {
        let length = body.len();
        let head = format!(
            "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
        );
        one.send_request(&head, body.as_bytes());
        assert_eq!(one.response().status, if body == "{" { 400 } else { 201 });
    }
    one.send("nonsense\r\n\r\n");
    assert_eq!(one.response().status, 400);
    drop(clients);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    eventually("the last words", || !lines_with(&server, "stopped after").is_empty());
    let line = lines_with(&server, "stopped after").remove(0);
    let numbers = ["8 requests served", "5 refused", "not_found 2", "traversal 1", "invalid_json 1"];
    for part in numbers.into_iter().chain(["bad_request_line 1", "2 uploads", "peak 5 connections"]) {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(line.contains(" INFO ") && !line.contains("dropped"), "{line}");
}
