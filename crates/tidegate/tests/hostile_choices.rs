//! Fields by which a client chooses among representations, made to cost or to mislead (SPEC FILE-5, FILE-6; RFC 9110
//! §12 to §14): long lists, odd dates, ranges where none belong, and codings by the thousand.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod coded;
mod support;
mod visitors;

use std::fs::File;
use std::time::{Duration, SystemTime};

use coded::{ask, coding_of, get, prose};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Client, Server, Setup, eventually};
use visitors::operator_get;

const SIZE: usize = 20_000;
/// When the page was last changed, in seconds: Sun, 06 Nov 1994 08:49:37 GMT.
const MODIFIED: u64 = 784_111_777;

fn server() -> Server {
    let setup = Setup::new().args(&["--max-requests", "0", "--access-log", "off", "--inline"]);
    let setup = setup.file("page.html", prose(SIZE, 1));
    let file = File::options().write(true).open(setup.root().join("page.html")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(MODIFIED)).unwrap();
    drop(file);
    setup.start()
}

#[test]
fn row_d2_file_5_a_range_means_something_to_get_alone() {
    let server = server();
    let mut client = server.connect();
    for (method, target, status) in [
        ("HEAD", "/page.html", 200),
        ("OPTIONS", "/page.html", 204),
        ("GET", "/missing.html", 404),
        ("GET", "/healthz", 200),
        ("GET", "/metrics", 200),
    ] {
        for range in ["bytes=0-0", "bytes=999999999-", "bytes=0-0,2-2", "bytes=18446744073709551616-"] {
            let response = ask(&mut client, method, target, &format!("Range: {range}\r\n"));
            let told = (response.status, response.field("content-range"));
            assert_eq!(told, (status, None), "{method} {target} {range}");
        }
    }
    let body = b"{\"a\": 1}";
    let head = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    client.send_request(&format!("POST /upload HTTP/1.1\r\n{head}Range: bytes=0-0\r\n"), body);
    let stored = client.response();
    assert_eq!(stored.status, 201);
    assert_eq!(client.get(stored.field("location").unwrap()).body, body, "the whole of it is kept");
    client.send_request(&format!("POST /page.html HTTP/1.1\r\n{head}Range: bytes=0-0\r\n"), body);
    assert_eq!(client.response().status, 405);
}

/// Seconds of processor time that one GET of the page takes with this field line of nearly 8 KiB.
fn cost(server: &Server, line: &str, status: u16) -> f64 {
    const TIMES: u32 = 300;
    let mut client = server.connect();
    let before = server.cpu_seconds();
    for _ in 0..TIMES {
        let response = ask(&mut client, "HEAD", "/page.html", &format!("{line}\r\n"));
        assert_eq!(response.status, status, "{line:.60}");
    }
    (server.cpu_seconds() - before) / f64::from(TIMES)
}

/// A thousand members cost no more than a thousand times one: a debug build takes up to 0.6 ms, and would take many times
/// the bound if it compared each with each.
#[test]
fn row_d3_row_d5_file_5_file_6_a_long_list_costs_no_time() {
    let server = server();
    let fill = |piece: &str| piece.repeat(7700 / piece.len());
    for (line, status) in [
        (format!("If-None-Match: {}", fill("\"0123\",")), 200),
        (format!("If-None-Match: {}\"x\"", fill("W/\"\",")), 200),
        (format!("If-None-Match: {}", fill(",")), 200),
        (format!("If-Match: {}", fill("\"0123\",")), 412),
        (format!("If-Match: \"{}\"", fill("\\\"")), 412),
        (format!("If-Modified-Since: {}", fill("(")), 200),
        (format!("If-Modified-Since: Sun, {} Nov 1994 08:49:37 GMT", fill("0")), 200),
        (format!("If-Range: {}", fill("\"x\",")), 200),
        (format!("Range: bytes={}0-0", fill("0-,")), 200),
        (format!("Range: bytes={}-0", fill("0")), 200),
        (format!("Accept-Encoding: {}gzip;q=0", fill("br;q=0.001,")), 200),
        (format!("Accept-Encoding: {}", fill("a,")), 200),
        (format!("Accept-Encoding: br{}", fill(";q=0")), 200),
        (format!("Accept: {}", fill("text/html;q=0.1,")), 200),
    ] {
        let used = cost(&server, &line, status);
        assert!(used < 0.005, "{used} s for {line:.60}");
    }
}

/// What is no date of HTTP is as if it were not there, and a date may lie anywhere (RFC 9110 §5.6.7, §13.1.3).
#[test]
fn row_d3_file_5_a_date_is_read_or_ignored() {
    let server = server();
    let mut client = server.connect();
    for (date, status) in [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 304),
        ("Sun, 06 Nov 1994 08:49:36 GMT", 200),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 304),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 200),
        ("Fri, 31 Dec 10000 23:59:59 GMT", 200),
        ("Sun, 06 Nov 99999999999999999999 08:49:37 GMT", 200),
        ("Sat, 01 Jan 0000 00:00:00 GMT", 200),
        ("Sun, 31 Feb 2999 08:49:37 GMT", 200),
        ("Sun, 00 Nov 2999 08:49:37 GMT", 200),
        ("Sun, 06 Nov 2999 24:00:00 GMT", 200),
        ("Sun, 06 Nov 2999 08:60:00 GMT", 200),
        ("Sun, 06 Nov 2999 08:49:37", 200),
        ("Sun, 06 Nov 2999 08:49:37 CET", 200),
        ("Sun, 06 Nov 2999 08:49:37 +0000", 200),
        ("Sun, 06 Nov 2999 08:49:37 GMT; length=9", 200),
        ("Sun, -6 Nov 2999 08:49:37 GMT", 200),
        ("Sun, 06 Nov 2999 08:49:37 GMT, Sun, 06 Nov 2999 08:49:37 GMT", 200),
        ("2999-11-06T08:49:37Z", 200),
        ("32503680000", 200),
        ("Sun, 06 (comment) Nov 2999 08:49:37 GMT", 200),
        ("\u{0660}\u{0661}", 200),
    ] {
        let response = ask(&mut client, "GET", "/page.html", &format!("If-Modified-Since: {date}\r\n"));
        assert_eq!(response.status, status, "{date}");
    }
    let twice = "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT\r\n".repeat(2);
    assert_eq!(ask(&mut client, "GET", "/page.html", &twice).status, 200, "two dates are none");
}

/// CVE-2013-3587: where an answer holds a secret beside what a stranger chose, its length under a coding tells it.
#[test]
fn row_d4_file_6_only_files_are_coded() {
    let setup = Setup::new().args(&["--max-requests", "0", "--listing"]);
    let setup = setup.file("page.html", prose(SIZE, 1)).file("folder/a.html", "a");
    // Files enough for a listing that would be worth it.
    let setup = (0..100).fold(setup, |setup, number| setup.file(&format!("folder/{number}.html"), "x"));
    let server = setup.start();
    let upload = server.upload(format!("\"{}\"", "u".repeat(SIZE)).as_bytes());
    let stored = upload.field("location").unwrap().to_owned();
    let chosen = "c".repeat(2000);
    let targets = [
        "/security-dashboard",
        "/security-dashboard?format=json",
        "/metrics",
        "/metrics?format=json",
        "/status",
        "/healthz",
        "/folder/",
        &stored,
        &format!("/missing-{chosen}"),
        &format!("/../{chosen}"),
    ];
    let mut client = server.connect();
    for accept in ["*/*", "text/html", "application/json"] {
        for coding in ["gzip", "br, zstd, gzip", "*"] {
            for target in targets {
                // A second time: a coding that is made at all is there by then.
                for _ in 0..2 {
                    let fields = format!("Accept: {accept}\r\nAccept-Encoding: {coding}\r\n");
                    let response = ask(&mut client, "GET", target, &fields);
                    assert_eq!(response.field("content-encoding"), None, "{target:.40} {accept} {coding}");
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
    let coded = || coding_of(&get(&mut server.connect(), "/page.html", "gzip")).is_some();
    eventually("the control: a file is coded", coded);
}

/// How many threads of the pool compress.
fn compressing(server: &Server) -> usize {
    let status = operator_get(server, "/status").json();
    let threads = status["pool"]["threads"].as_array().unwrap();
    threads.iter().filter(|thread| thread["doing"] == "compressing a file").count()
}

/// A thousand clients ask for codings of files that take long: two threads make them, all others serve.
#[test]
fn row_d5_file_6_load_2_a_flood_of_codings_has_two_threads() {
    const FILES: usize = 6;
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    let large = prose(6 << 20, 3);
    let setup = Setup::new().args(&["--threads", "6", "--access-log", "off"]).file("small.html", "small");
    let server =
        (0..FILES).fold(setup, |setup, number| setup.file(&format!("{number}.html"), &large)).start();
    let mut clients: Vec<Client> = (0..1000).map(|_| server.connect()).collect();
    let mut most_at_once = 0;
    for (number, client) in clients.iter_mut().enumerate() {
        let target = number % FILES;
        client.send_request(&format!("GET /{target}.html HTTP/1.1\r\nAccept-Encoding: gzip\r\n"), b"");
        if number % 20 == 0 {
            most_at_once = most_at_once.max(compressing(&server));
            assert_eq!(server.get("/small.html").text(), "small");
        }
    }
    assert_eq!(server.upload(b"[1]").status, 201, "the pool has threads for those who wait");
    assert!((1..=2).contains(&most_at_once), "{most_at_once} threads compress");
    assert!(!server.log().iter().any(|line| line.contains("saturated")), "{:#?}", server.log());
    let first = clients[0].try_response(true).unwrap();
    assert_eq!((first.status, coding_of(&first)), (200, None), "nobody waits for a coding");
}
