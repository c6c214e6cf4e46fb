//! Running out of descriptors, and connections half closed (SPEC LOAD-6, LOAD-1): the server waits without
//! spinning, says it without a storm of lines, serves whom it has, and recovers by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod strace;
mod support;

use std::time::Duration;

use strace::{Strace, is_root};
use support::client::End;
use support::{Client, Server, Setup, eventually};

/// Seconds of processor time used in the `seconds` from now on.
fn processor_time(server: &Server, seconds: u64) -> f64 {
    let before = server.cpu_seconds();
    std::thread::sleep(Duration::from_secs(seconds));
    server.cpu_seconds() - before
}

fn said(server: &Server, text: &str) -> usize {
    server.log().iter().filter(|line| line.contains(text)).count()
}

/// A connection amid a head, which is neither idle nor late.
fn half(server: &Server) -> Client {
    let mut client = server.connect();
    client.send("GET /healthz HTTP/1.1\r\n");
    client
}

#[test]
fn row_e4_load_6_more_clients_than_descriptors() {
    let setup = Setup::new().wrapper(&["prlimit", "--nofile=64:64"]);
    let mut server = setup.args(&["--header-timeout", "60s", "--access-log", "off"]).start();
    server.wait_for_log("max-connections is lowered");
    let mut seated = half(&server);
    server.rests();
    let crowd: Vec<_> = (0..200).map(|_| half(&server)).collect();
    eventually("the descriptors are used up", || server.descriptors() >= 50);
    // Those who were told that there is no seat linger two seconds.
    std::thread::sleep(Duration::from_millis(2_500));
    // A loop that spins does so all the time.
    eventually("it waits and does not spin", || processor_time(&server, 3) < 0.15);
    let lines = server.log().len();
    std::thread::sleep(Duration::from_secs(3));
    let grown = server.log().len() - lines;
    assert!(grown < 60, "{grown} lines in 3 s: a storm");
    let host = server.host();
    seated.send(format!("Host: {host}\r\n\r\n"));
    assert_eq!(seated.response().status, 200, "who has a seat is served");
    drop(crowd);
    eventually("it recovers", || {
        let mut client = server.connect();
        client.send_request("GET /healthz HTTP/1.1\r\n", b"");
        client.try_response(false).is_some_and(|response| response.status == 200)
    });
    assert!(server.child.try_wait().unwrap().is_none());
}

/// Accepting fails for two seconds, whatever the reason.
fn assert_waits_out(error: &str) {
    let server = Setup::new().args(&["--workers", "2", "--access-log", "off"]).start();
    let mut seated = server.connect();
    assert_eq!(seated.get("/healthz").status, 200);
    let fault = format!("inject=accept4,accept:error={error}");
    let strace = Strace::attach(&server, "worker-", &["-e", "trace=accept4,accept", "-e", &fault]);
    let mut waiting: Vec<_> = (0..4).map(|_| half(&server)).collect();
    eventually("it waits and does not spin", || processor_time(&server, 2) < 0.3);
    assert_eq!(seated.get("/healthz").status, 200, "{error}: who is in is served");
    let calls = strace.detach().iter().filter(|line| line.contains("INJECTED")).count();
    assert!((1..=200).contains(&calls), "{error}: {calls} calls");
    for client in &mut waiting {
        let host = server.host();
        client.send(format!("Host: {host}\r\n\r\n"));
        assert_eq!(client.response().status, 200, "{error}: who waited is let in");
    }
    let lines = said(&server, "cannot accept connections");
    assert!((1..=4).contains(&lines), "{error}: said {lines} times");
}

#[test]
fn row_e4_load_6_accepting_fails_for_a_while() {
    if is_root("row_e4_load_6_accepting_fails_for_a_while") {
        std::thread::scope(|scope| {
            for error in ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"] {
                scope.spawn(move || assert_waits_out(error));
            }
        });
    }
}

#[test]
fn row_e4_load_6_a_client_that_left_before_it_was_accepted_is_no_trouble() {
    if !is_root("row_e4_load_6_a_client_that_left_before_it_was_accepted_is_no_trouble") {
        return;
    }
    let server = Server::start(&["--workers", "1"]);
    let fault = "inject=accept4,accept:error=ECONNABORTED:when=1..20";
    let strace = Strace::attach(&server, "worker-", &["-e", "trace=accept4,accept", "-e", fault]);
    assert_eq!(server.get("/healthz").status, 200);
    drop(strace);
    assert_eq!(said(&server, "cannot accept connections"), 0);
}

/// The client says that it sends no more after each number of bytes of a request, and stays.
fn half_closed_everywhere(server: &Server, request: &[u8], whole: u16) {
    let mut clients: Vec<_> = (0..=request.len())
        .map(|offset| {
            let mut client = server.connect();
            client.send(&request[..offset]);
            client.finish();
            client
        })
        .collect();
    eventually("they cost no processor time", || processor_time(server, 1) < 0.1);
    for (offset, client) in clients.iter_mut().enumerate() {
        let (bytes, end) = client.rest(support::SOON);
        assert_ne!(end, End::Open, "half-closed after {offset} bytes");
        let text = String::from_utf8_lossy(&bytes);
        let status = text.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
        if offset == request.len() {
            assert_eq!(status, Some(whole), "{text}");
        } else {
            assert!(matches!(status, None | Some(400 | 408)), "half-closed after {offset} bytes: {text}");
        }
    }
}

#[test]
fn row_e6_load_1_a_half_closed_connection_costs_no_processor_time() {
    let server = Server::start(&["--access-log", "off"]);
    let host = server.host();
    let get = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n");
    half_closed_everywhere(&server, get.as_bytes(), 200);
    let head = format!("POST /upload HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n");
    let sized = format!("{head}Content-Length: 5\r\n\r\n[1,2]");
    half_closed_everywhere(&server, sized.as_bytes(), 201);
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n");
    half_closed_everywhere(&server, chunked.as_bytes(), 201);
    assert_eq!(strace::names(&server.uploads()).len(), 2, "only whole uploads are kept");
}

/// The same while the server, and not the client, takes its time.
#[test]
fn row_e6_load_1_a_half_closed_connection_that_waits_for_its_answer_costs_none_either() {
    if !is_root("row_e6_load_1_a_half_closed_connection_that_waits_for_its_answer_costs_none_either") {
        return;
    }
    let server = Server::start(&["--threads", "1", "--access-log", "off"]);
    let slow = "inject=fsync:delay_enter=2000000:when=1";
    let strace = Strace::attach(&server, "pool-", &["-e", "trace=fsync", "-e", slow]);
    let mut client = server.connect();
    let head = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 1\r\n";
    client.send_request(head, b"1");
    client.finish();
    let used = processor_time(&server, 1);
    assert!(used < 0.1, "{used} s of processor time in 1 s: a spinning loop");
    assert_eq!(client.response().status, 201);
    drop(strace);
}
