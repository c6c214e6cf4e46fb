//! Very many connections that do nothing, too little, or leave in the middle (SPEC LOAD-1, LOAD-3, LOAD-5): each of
//! them ends in its time, gives back what it held, and costs nobody else an answer.
//!
//! What single slow clients get is in `slow`, caps are in `load` and `per_client`, descriptors in `exhaustion`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;
mod visitors;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;
use support::client::End;
use support::{Client, SOON, Server, Setup, eventually};
use visitors::{Visitor, ask, from};

/// Lets this process hold as many descriptors as it may.
fn raise_descriptors() {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
}

/// Seconds of processor time used in the second from now on.
fn idle_second(server: &Server) -> f64 {
    let before = server.cpu_seconds();
    std::thread::sleep(Duration::from_secs(1));
    server.cpu_seconds() - before
}

/// How long each of `silent` lives, from when it was begun; none of them is told anything.
fn ages(mut silent: Vec<(Client, Instant)>) -> Vec<Duration> {
    let mut ages = Vec::new();
    while let Some((_, last)) = silent.last() {
        assert!(last.elapsed() < 2 * SOON, "{} are open after {:?}", silent.len(), last.elapsed());
        silent.retain(|(client, begun)| match client.stream.peek(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => true,
            outcome => {
                assert_eq!(outcome.unwrap(), 0, "bytes on a connection that asked for nothing");
                ages.push(begun.elapsed());
                false
            }
        });
        std::thread::sleep(Duration::from_millis(20));
    }
    ages
}

/// More at once than the kernel keeps back until they speak: those too have ten seconds from when they were accepted.
#[test]
fn row_e2_load_5_five_thousand_silent_connections_are_closed() {
    raise_descriptors();
    let server = Setup::new().file("index.html", "home").start();
    assert_eq!(server.get("/").status, 200);
    let (held, memory) = (server.descriptors(), server.memory_kib());
    let silent = |_| {
        let begun = Instant::now();
        let client = server.connect();
        client.stream.set_nonblocking(true).unwrap();
        (client, begun)
    };
    let silent: Vec<_> = (0..5000).map(silent).collect();
    for _ in 0..20 {
        assert_eq!(server.get("/").status, 200, "others are served beside them");
    }
    let mut ages = ages(silent);
    ages.sort_unstable();
    let (first, last) = (ages[0], ages[ages.len() - 1]);
    // Part of the ten seconds, one, is the kernel's; a crowd it may pass on before that.
    assert!(first > Duration::from_millis(8_900), "{first:?} is too early");
    // A second until it is accepted, ten for the first byte, and what a busy machine takes.
    assert!(last < Duration::from_secs(11) + SOON / 2, "the last one was closed after {last:?}");
    eventually("their descriptors are free", || server.descriptors() <= held);
    let grown = server.memory_kib().saturating_sub(memory);
    assert!(grown < 20 * 1024, "{grown} KiB are kept of 5000 connections");
    assert!(!server.log().iter().any(|line| line.contains("slow")), "silence is no event");
}

/// Connections amid their heads, `each` of every one of 250 addresses.
fn halves(server: &Server, each: usize) -> Vec<Visitor> {
    let address = |number: usize| format!("127.0.1.{}", 1 + number % 250);
    (0..250 * each)
        .map(|number| {
            let mut visitor = from(server, &address(number));
            visitor.send("GET /healthz HTTP/1.1\r\nX: ");
            visitor
        })
        .collect()
}

#[test]
fn row_e3_load_3_a_crowd_of_addresses_below_the_cap_costs_nobody_an_answer() {
    raise_descriptors();
    let server = Server::start(&["--limit-loopback", "--rate-limit", "off"]);
    let mut seated = from(&server, "127.0.2.1");
    assert_eq!(ask(&mut seated, "GET /healthz HTTP/1.1\r\n").status, 200);
    let crowd = halves(&server, 8);
    for _ in 0..50 {
        assert_eq!(ask(&mut seated, "GET /healthz HTTP/1.1\r\n").status, 200);
        assert_eq!(ask(&mut from(&server, "127.0.2.1"), "GET /healthz HTTP/1.1\r\n").status, 200);
    }
    drop(crowd);
}

/// Over the cap newcomers are told so; the time for a head ends the crowd, and nobody has to intervene.
#[test]
fn row_e3_load_3_a_crowd_of_addresses_over_the_cap_ends_by_itself() {
    raise_descriptors();
    let args =
        ["--limit-loopback", "--rate-limit", "off", "--max-connections", "200", "--header-timeout", "3s"];
    let server = Server::start(&args);
    let mut crowd = halves(&server, 2);
    let newcomer = || {
        let mut visitor = from(&server, "127.0.2.1");
        visitor.send_request("GET /healthz HTTP/1.1\r\n", b"");
        visitor.try_response(false).map(|response| response.status)
    };
    for _ in 0..20 {
        let answer = newcomer();
        assert!(matches!(answer, None | Some(200 | 503)), "{answer:?}");
    }
    eventually("there is room again", || newcomer() == Some(200));
    let ends: Vec<_> = crowd.iter_mut().map(|client| client.rest(SOON)).collect();
    let answered =
        |status: &str| ends.iter().filter(|(bytes, _)| bytes.starts_with(status.as_bytes())).count();
    assert!(ends.iter().all(|(_, end)| *end != End::Open), "each of the crowd has come to its end");
    assert!(answered("HTTP/1.1 408 ") >= 100, "{} seats were held by heads", answered("HTTP/1.1 408 "));
    assert!(answered("HTTP/1.1 503 ") >= 1, "nobody was told that there is no seat");
}

/// One request on a connection of its own; who closes first is either side in turn.
fn once(server: &Server, number: usize) {
    let mut stream = TcpStream::connect(server.addr).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let server_first = number.is_multiple_of(2);
    let how = if server_first { "close" } else { "keep-alive" };
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: {how}\r\n\r\n", server.host());
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 1024];
    let count = read(&mut stream, &mut answer);
    assert!(
        answer.starts_with(b"HTTP/1.1 200 "),
        "{number}: {:?}",
        String::from_utf8_lossy(&answer[..count])
    );
    if server_first {
        assert_eq!(read(&mut stream, &mut answer), 0, "{number}: the server closes");
    }
}

/// Where a read has a time limit the kernel may interrupt it for no reason of ours.
fn read(stream: &mut TcpStream, into: &mut [u8]) -> usize {
    loop {
        match stream.read(into) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome.unwrap(),
        }
    }
}

/// More than one address has ports: a side that ran out of them would show.
#[test]
fn row_e5_load_1_thirty_thousand_short_connections_of_one_address() {
    // An address of this process alone: its pairs of ports are its own.
    let id = std::process::id();
    let host = format!("127.{}.{}.5", 128 + id / 256 % 64, id % 256);
    let mut server =
        Setup::new().file("index.html", "home").args(&["-H", &host, "--access-log", "off"]).start();
    assert_eq!(server.addr.ip(), host.parse::<Ipv4Addr>().unwrap());
    // What is opened once must not count.
    (0..16).for_each(|number| once(&server, number));
    server.rests();
    let (held, memory) = (server.descriptors(), server.memory_kib());
    std::thread::scope(|scope| {
        for part in 0..4 {
            let server = &server;
            scope.spawn(move || (0..7500).for_each(|number| once(server, part + number)));
        }
    });
    assert!(server.child.try_wait().unwrap().is_none());
    eventually("all descriptors are free", || server.descriptors() <= held);
    let grown = server.memory_kib().saturating_sub(memory);
    assert!(grown < 4096, "{grown} KiB are kept of 30,000 connections");
    assert!(!server.log().iter().any(|line| line.contains("cannot accept")), "{:#?}", server.log());
}

/// A connection that ends by RST when it is dropped.
fn abrupt(server: &Server) -> Client {
    let client = server.connect();
    SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    client
}

/// Leaves after each number of bytes of `request`, a hundred seats for all of them.
fn reset_everywhere(server: &Server, request: &str) {
    for offset in 0..=request.len() {
        let mut client = abrupt(server);
        client.send(&request[..offset]);
        // Now and then it has been read before the end comes, now and then not.
        if offset % 16 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn row_e6_load_1_a_client_that_vanishes_at_any_byte_gives_back_what_it_held() {
    let args =
        ["--max-connections", "100", "--max-body", "1KiB", "--body-memory", "4KiB", "--access-log", "off"];
    let server = Server::start(&args);
    assert_eq!(server.upload(b"[0]").status, 201);
    let (held, host) = (server.descriptors(), server.host());
    let get = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let head = format!("POST /upload HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n");
    let sized = format!("{head}Content-Length: 9\r\n\r\n[1,2,3,4]");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n");
    for request in [&get, &sized, &chunked] {
        reset_everywhere(&server, request);
    }
    eventually("descriptors are free", || server.descriptors() <= held);
    eventually("nobody there costs no processor time", || idle_second(&server) < 0.1);
    // All four places for bodies can be had.
    let mut again: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for client in &mut again {
        let expecting = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n";
        client.send_request(&format!("{expecting}Content-Length: 1024\r\n"), b"");
        assert_eq!(client.read_response(false).unwrap().status, 100);
    }
}

#[test]
fn row_e6_load_1_a_reader_that_vanishes_or_stops_costs_no_processor_time() {
    let setup = Setup::new().args(&["--workers", "1"]);
    let server = setup.file("big.bin", vec![7; 40_000_000]).start();
    // Once, so that the one worker has the file itself open.
    assert_eq!(server.get("/big.bin").body.len(), 40_000_000);
    let held = server.descriptors();
    let begin = |mut client: Client| {
        client.send_request("GET /big.bin HTTP/1.1\r\n", b"");
        assert_eq!(client.try_response(true).unwrap().status, 200);
        client
    };
    let gone: Vec<_> = (0..20).map(|_| begin(abrupt(&server))).collect();
    drop(gone);
    // Long before the pace of a reader is judged, which takes half a minute.
    eventually("descriptors are free", || server.descriptors() <= held);
    let stopped: Vec<_> = (0..20).map(|_| begin(server.connect())).collect();
    stopped.iter().for_each(Client::finish);
    // A loop that spins does so in each second.
    eventually("they cost no processor time", || idle_second(&server) < 0.1);
    assert_eq!(server.get("/healthz").status, 200);
}
