//! H1-3 keeping a connection, H1-6 expectations and pipelining, H1-9 the polite close.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use socket2::SockRef;
use support::client::End;
use support::{Client, SOON, Server, Setup};

/// Time in which something would have come, if it came at all.
const MOMENT: Duration = Duration::from_millis(300);
const JSON: &str = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\n";

fn server(args: &[&str]) -> Server {
    Setup::new().file("index.html", "home").file("sub/index.html", "sub").args(args).start()
}

#[test]
fn h1_3_http_1_1_persists_unless_the_client_says_close() {
    let server = server(&[]);
    let mut client = server.connect();
    for connection in ["keep-alive", "Upgrade", "x, keep-alive", "closed", "\"close\"", ""] {
        client.send_request(&format!("GET / HTTP/1.1\r\nConnection: {connection}\r\n"), b"");
        let response = client.response();
        assert_eq!(response.field("connection"), Some("keep-alive"), "{connection:?}");
        assert_eq!(response.field("keep-alive"), Some("timeout=30, max=100"));
    }
    for close in
        ["close", "CLOSE", "x,close", "keep-alive, close", "close, keep-alive", "x\r\nConnection: close"]
    {
        let mut client = server.connect();
        client.send_request(&format!("GET / HTTP/1.1\r\nConnection: {close}\r\n"), b"");
        assert!(client.response().closes(), "{close}");
        assert_eq!(client.rest(SOON), (Vec::new(), End::Closed), "{close}");
    }
}

#[test]
fn h1_3_http_1_0_closes_unless_the_client_says_keep_alive() {
    let server = server(&[]);
    let host = server.host();
    for (fields, keeps) in [
        ("", false),
        ("Connection: x\r\n", false),
        ("Connection: close\r\n", false),
        ("Connection: keep-alive, close\r\n", false),
        ("Connection: keep-alive\r\nConnection: close\r\n", false),
        ("Connection: keep-alive\r\n", true),
        ("Connection: Keep-Alive\r\n", true),
        ("Connection: x, KEEP-ALIVE\r\n", true),
    ] {
        let mut client = server.connect();
        client.send(format!("GET / HTTP/1.0\r\nHost: {host}\r\n{fields}\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.closes()), (200, !keeps), "{fields:?}");
        if keeps {
            assert_eq!(client.get("/sub/").text(), "sub");
        } else {
            assert_eq!(client.rest(SOON), (Vec::new(), End::Closed), "{fields:?}");
        }
    }
}

#[test]
fn h1_3_the_hundredth_answer_is_the_last_one_refusals_included() {
    let server = server(&[]);
    let mut client = server.connect();
    for number in 1..=100 {
        let (target, status) = [("/", 200), ("/missing", 404), ("/sub", 308), ("/%zz", 400)][number % 4];
        let response = client.get(target);
        assert_eq!(response.status, status);
        assert_eq!(response.closes(), number == 100, "request {number}");
    }
    assert_eq!(client.rest(SOON), (Vec::new(), End::Closed));
}

#[test]
fn h1_3_the_last_answer_leaves_what_is_pipelined_behind_it_unanswered() {
    let server = server(&["--max-requests", "3"]);
    let mut client = server.connect();
    let one = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", server.host());
    client.send(one.repeat(10));
    for last in [false, false, true] {
        let response = client.response();
        assert_eq!(response.closes(), last);
        if !last {
            assert_eq!(response.field("keep-alive"), Some("timeout=30, max=3"));
        }
    }
    assert_eq!(client.rest(SOON), (Vec::new(), End::Closed));
}

#[test]
fn h1_3_without_a_limit_there_is_no_max_and_no_last_request() {
    let server = server(&["--max-requests", "0", "--keep-alive", "7s"]);
    let mut client = server.connect();
    for _ in 0..250 {
        let response = client.get("/");
        assert_eq!(response.field("keep-alive"), Some("timeout=7"));
    }
}

#[test]
fn h1_3_an_idle_connection_is_closed_without_a_word() {
    let server = server(&["--keep-alive", "1s"]);
    let mut client = server.connect();
    let begun = Instant::now();
    assert_eq!(client.get("/").field("keep-alive"), Some("timeout=1, max=100"));
    assert_eq!(client.rest(SOON), (Vec::new(), End::Closed));
    assert!(begun.elapsed() > Duration::from_millis(700), "idle for a second first");
}

#[test]
fn h1_6_a_wanted_body_is_asked_for_once() {
    let server = server(&[]);
    for (expect, framing, body) in [
        ("100-continue", "Content-Length: 2\r\n", &b"{}"[..]),
        ("100-Continue", "Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
    ] {
        let mut client = server.connect();
        client.send_request(&format!("{JSON}Expect: {expect}\r\n{framing}"), b"");
        assert_eq!(client.read_response(false).unwrap().status, 100, "{expect}");
        assert_eq!(client.rest(MOMENT), (Vec::new(), End::Open), "nothing more before the body");
        client.send(body);
        assert_eq!(client.read_response(false).unwrap().status, 201);
        assert_eq!(client.get("/").text(), "home");
    }
}

#[test]
fn row_a9_h1_6_an_unwanted_body_is_answered_at_once_and_not_asked_for() {
    let server = server(&[]);
    for (head, status) in [
        ("POST /upload HTTP/1.1\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n", 415),
        ("POST /upload HTTP/1.1\r\nContent-Length: 1048577\r\nContent-Type: application/json\r\n", 413),
        ("POST / HTTP/1.1\r\nContent-Length: 2\r\n", 405),
        ("PUT / HTTP/1.1\r\nContent-Length: 2\r\n", 405),
        ("GET / HTTP/1.1\r\nContent-Length: 2\r\n", 200),
        ("GET /missing HTTP/1.1\r\nContent-Length: 2\r\n", 404),
        ("POST /../x HTTP/1.1\r\nContent-Length: 2\r\n", 403),
    ] {
        let mut client = server.connect();
        client.send_request(&format!("{head}Expect: 100-continue\r\n"), b"");
        assert_eq!(client.read_response(false).unwrap().status, status, "{head}");
        let (rest, _) = client.rest(MOMENT);
        assert_eq!(String::from_utf8_lossy(&rest), "", "{head}");
    }
}

#[test]
fn row_a9_h1_6_a_client_that_does_not_wait_is_not_asked_twice_and_1_0_never() {
    let server = server(&[]);
    let mut client = server.connect();
    client.send_request(&format!("{JSON}Content-Length: 2\r\n"), b"{}");
    assert_eq!(client.read_response(false).unwrap().status, 201, "nobody expected an interim answer");
    let mut client = server.connect();
    let head = JSON.replace("HTTP/1.1", "HTTP/1.0");
    client.send_request(&format!("{head}Expect: 100-continue\r\nContent-Length: 2\r\n"), b"");
    assert_eq!(client.rest(MOMENT), (Vec::new(), End::Open), "a 1.0 client knows no interim answers");
    client.send(b"{}");
    assert_eq!(client.read_response(false).unwrap().status, 201);
}

#[test]
fn row_a9_h1_6_other_expectations_are_417() {
    let server = server(&[]);
    for expect in [
        "foo",
        "100-continue, foo",
        "y 100-continue",
        "100-continue;a",
        "200-ok",
        "",
        "100-continue\r\nExpect: 100-continue",
    ] {
        let mut client = server.connect();
        client.send_request(&format!("GET / HTTP/1.1\r\nExpect: {expect}\r\n"), b"");
        let response = client.response();
        assert_eq!((response.status, response.code().as_str()), (417, "expectation_failed"), "{expect:?}");
        assert!(!response.closes(), "{expect:?}: without a body the connection is sound");
        assert_eq!(client.get("/").text(), "home");
        let mut client = server.connect();
        client.send_request(&format!("{JSON}Expect: {expect}\r\nContent-Length: 2\r\n"), b"");
        let response = client.response();
        assert_eq!((response.status, response.closes()), (417, true), "{expect:?}: a body may come or not");
        assert!(client.is_closed());
    }
    let old = server.request("GET / HTTP/1.0\r\nExpect: foo\r\n", b"");
    assert_eq!(old.status, 200, "expectations of 1.0 are ignored");
}

#[test]
fn row_a11_h1_6_pipelined_requests_are_answered_in_order() {
    let mut setup = Setup::new().file("index.html", "home");
    for number in 0..50 {
        setup = setup.file(&format!("{number}.html"), format!("page {number}"));
    }
    let server = setup.start();
    let mut client = server.connect();
    let host = server.host();
    // Cached files, files not seen yet, refusals, uploads and HEADs, all in one write.
    let mut bytes = String::new();
    for number in 0..50 {
        bytes += &match number % 5 {
            1 => format!("GET /missing{number} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            2 => format!("HEAD /{number}.html HTTP/1.1\r\nHost: {host}\r\nX: {number}\r\n\r\n"),
            3 => format!(
                "POST /upload HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{number:02}"
            ),
            _ => format!("GET /{number}.html HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        };
    }
    client.send(bytes);
    for number in 0..50 {
        let response = client.response_to(if number % 5 == 2 { "HEAD /" } else { "GET /" });
        match number % 5 {
            1 => assert_eq!(response.status, 404, "{number}"),
            2 => assert_eq!(response.status, 200, "{number}"),
            3 if number < 10 => assert_eq!(response.status, 400, "03 is no JSON"),
            3 => assert_eq!(response.status, 201, "{number}"),
            _ => assert_eq!(response.text(), format!("page {number}")),
        }
    }
    assert_eq!(client.get("/").text(), "home");
}

#[test]
fn h1_6_fifty_answers_leave_in_few_writes() {
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "strace is missing");
        eprintln!("skipped: h1_6_fifty_answers_leave_in_few_writes needs strace");
        return;
    }
    let trace = "trace=sendto,sendmsg,write,writev";
    let server = Setup::new()
        .args(&["--access-log", "off"])
        .wrapper(&["strace", "-f", "-qq", "-s", "16", "-o", "trace.txt", "-e", trace])
        .start();
    let mut client = server.connect();
    client.send(format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", server.host()).repeat(50));
    for _ in 0..50 {
        assert_eq!(client.response().status, 200);
    }
    let lines = || std::fs::read_to_string(server.folder.0.join("trace.txt")).unwrap_or_default();
    support::eventually("the write is traced", || lines().contains("\"HTTP/1.1 200"));
    let writes = lines().lines().filter(|line| line.contains("\"HTTP/1.1 200")).count();
    assert!((1..=5).contains(&writes), "{writes} writes for 50 answers");
    // The control: one by one they are one write each.
    for _ in 0..10 {
        assert_eq!(client.get("/healthz").status, 200);
    }
    support::eventually("each is a write", || lines().matches("\"HTTP/1.1 200").count() >= writes + 10);
}

/// Writes `one` again and again until the server takes no more for a while, or `most` times; the times in full.
fn flood(client: &mut Client, one: &[u8], most: usize) -> usize {
    client.stream.set_write_timeout(Some(Duration::from_secs(3))).unwrap();
    let all = one.repeat(most);
    let mut sent = 0;
    while sent < all.len() {
        match client.stream.write(&all[sent..]) {
            Ok(count) => sent += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => panic!("{error}"),
        }
    }
    sent / one.len()
}

#[test]
fn row_a11_h1_6_a_client_that_does_not_read_is_not_read_from() {
    const MOST: usize = 400_000;
    let server = server(&["--max-requests", "0", "--access-log", "off"]);
    assert_eq!(server.get("/").status, 200);
    let before = server.memory_kib();
    let mut client = server.connect();
    SockRef::from(&client.stream).set_send_buffer_size(65536).unwrap();
    let one = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", server.host());
    let whole = flood(&mut client, one.as_bytes(), MOST);
    assert!(whole < MOST, "{whole} requests were taken and no answer was read");
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 2048, "{grown} KiB for {whole} pipelined requests");
    assert_eq!(server.get("/").status, 200, "others are served meanwhile");
    // What was taken is answered, in full.
    for number in 0..whole {
        assert_eq!(client.response().text(), "home", "answer {number}");
    }
}

/// Longer than the window over which the pace of an answer is averaged.
const MORE_THAN_A_WINDOW: Duration = Duration::from_secs(33);

#[test]
fn load_5_a_slow_reader_of_pipelined_answers_is_not_cut() {
    let server = server(&["--max-requests", "0", "--access-log", "off"]);
    let mut client = server.connect();
    SockRef::from(&client.stream).set_recv_buffer_size(4096).unwrap();
    SockRef::from(&client.stream).set_send_buffer_size(65536).unwrap();
    let one = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", server.host());
    let whole = flood(&mut client, one.as_bytes(), 400_000);
    let begun = Instant::now();
    let (mut taken, mut piece) = (0, [0; 4096]);
    while begun.elapsed() < MORE_THAN_A_WINDOW {
        let count = client.stream.read(&mut piece).unwrap_or_default();
        let seconds = begun.elapsed().as_secs();
        assert!(count > 0, "cut after {seconds} s, {taken} bytes taken of the answers to {whole} requests");
        taken += count;
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn h1_6_a_head_in_one_byte_segments_is_answered() {
    let server = server(&[]);
    let mut client = server.connect();
    let request = format!("\r\nGET / HTTP/1.1\r\nHost: {}\r\nX-Y: z\r\n\r\n", server.host());
    let upload = format!(
        "POST /upload HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\n[\r\n1\r\n]\r\n0\r\nX: y\r\n\r\n",
        server.host()
    );
    for (bytes, status) in [(&request, 200), (&upload, 201), (&request, 200)] {
        for byte in bytes.as_bytes() {
            client.send([*byte]);
            std::thread::sleep(Duration::from_micros(200));
        }
        assert_eq!(client.response().status, status);
    }
}

#[test]
fn row_e6_h1_3_a_half_closed_client_still_gets_its_answers() {
    let setup = Setup::new().file("index.html", "home").file("big.bin", vec![b'x'; 5 << 20]);
    let server = setup.start();
    let host = server.host();
    let mut client = server.connect();
    client
        .send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\nGET /big.bin HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    client.send_request(&format!("{JSON}Content-Length: 2\r\n"), b"{}");
    client.finish();
    assert_eq!(client.response().text(), "home");
    assert_eq!(client.response().body.len(), 5 << 20);
    assert_eq!(client.response().status, 201);
    assert_eq!(client.rest(SOON), (Vec::new(), End::Closed));
}

#[test]
fn h1_9_an_error_reaches_a_client_that_is_still_sending() {
    let server = server(&[]);
    let body = vec![b' '; 900 * 1024];
    for (fields, status, code) in [
        ("Content-Type: text/plain\r\nContent-Length: 921600\r\n", 415, "not_json"),
        ("Content-Type: application/json\r\nContent-Length: 99999999\r\n", 413, "body_too_large"),
        ("Content-Type: application/json\r\nContent-Length: +5\r\n", 400, "bad_framing"),
        ("Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n", 400, "bad_chunk"),
        ("Content-Type: application/json\r\nTransfer-Encoding: x\r\n", 501, "unknown_coding"),
        ("Expect: x\r\nContent-Length: 921600\r\n", 417, "expectation_failed"),
    ] {
        let mut client = server.connect();
        client.send_request(&format!("POST /upload HTTP/1.1\r\n{fields}"), &body[..200 * 1024]);
        // The refusal is long decided now; a server that closes would reset what follows.
        std::thread::sleep(Duration::from_millis(50));
        client.stream.write_all(&body[200 * 1024..]).unwrap();
        let response = client.response();
        assert_eq!((response.status, response.code().as_str()), (status, code));
        assert_eq!(client.rest(SOON), (Vec::new(), End::Closed), "{fields}");
    }
}

#[test]
fn h1_9_the_linger_ends_by_time_and_by_size() {
    let server = server(&["--max-body", "64KiB"]);
    let head = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 999999999\r\n";
    let mut client = server.connect();
    client.send_request(head, b"");
    assert_eq!(client.response().status, 413);
    // A client that never stops sending is not read for ever.
    let begun = Instant::now();
    let mut sent = 0_u64;
    while client.stream.write_all(&[0; 65536]).is_ok() {
        sent += 65536;
        assert!(begun.elapsed() < SOON, "{sent} bytes were taken after the refusal");
    }
    // Nor is one waited for that sends nothing.
    let alone = server.descriptors();
    let mut client = server.connect();
    client.send_request(head, b"");
    assert_eq!(client.response().status, 413);
    support::eventually("the connection is given up", || server.descriptors() <= alone);
}
