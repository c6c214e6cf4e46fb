//! Log injection: whatever bytes stand in path, Host, User-Agent and a client's name, one request is one line of each
//! log, each line is JSON where it should be, and no byte of it moves a terminal (SPEC OBS-1, SEC-5).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;

use std::net::SocketAddr;
use std::path::Path;

use process::Bare;
use serde_json::Value;
use support::{Client, Folder, eventually};

/// What moves terminals, hides text or ends lines, beside the single bytes.
const TEXTS: [&[u8]; 8] = [
    b"\x1b[2J\x1b[31m",
    // CSI and NEL as C1 controls, in UTF-8 and bare.
    b"\xc2\x9b31m\xc2\x85",
    b"\x9b31m\x85",
    // Right-to-left override and isolate; line and paragraph separators.
    b"\xe2\x80\xae\xe2\x81\xa6",
    b"\xe2\x80\xa8\xe2\x80\xa9",
    b"\",\"level\":\"error\",\"msg\":\"forged",
    b"%0d%0a2026-01-01T00:00:00Z ERROR forged",
    b"\xff\xfe\xf0\x9f\xa6",
];

/// Sends `bytes`; returns when the server has answered and closed.
fn say(addr: SocketAddr, bytes: &[u8]) {
    let mut client = Client::connect(addr);
    client.send([bytes, b"\r\n\r\n"].concat());
    client.finish();
    let (answer, _) = client.rest(support::SOON);
    assert!(answer.starts_with(b"HTTP/1.1 "), "{:?}", String::from_utf8_lossy(bytes));
}

/// `text` in each place where a client can put one.
fn requests(host: &str, text: &[u8]) -> [Vec<u8>; 5] {
    let host = host.as_bytes();
    [
        [b"GET /../a".as_slice(), text, b"b HTTP/1.1\r\nHost: ", host].concat(),
        [b"GET /a HTTP/1.1\r\nHost: a", text, b"b"].concat(),
        [b"GET /a HTTP/1.1\r\nHost: ", host, b"\r\nUser-Agent: a", text, b"b"].concat(),
        [b"GET /a HTTP/1.1\r\nHost: ", host, b"\r\nReferer: a", text, b"b"].concat(),
        [b"GET /../a HTTP/1.1\r\nHost: ", host, b"\r\nX-Forwarded-For: a", text, b"b"].concat(),
    ]
}

/// The lines of a log file, each of which is JSON and visible ASCII.
fn json_lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read(path).unwrap_or_default();
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let parse = |line: &[u8]| -> Value {
        assert!(line.iter().all(|byte| (0x20..0x7f).contains(byte)), "{:?}", String::from_utf8_lossy(line));
        serde_json::from_slice(line)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(line)))
    };
    text[..end].split_inclusive(|byte| *byte == b'\n').map(|line| parse(&line[..line.len() - 1])).collect()
}

#[test]
fn row_h1_obs_1_sec_5_no_byte_anywhere_makes_or_breaks_a_line_of_any_log() {
    let args = ["--access-log", "json", "--json-log-file", "json.log", "--audit-log", "audit.log"];
    let limits = ["--rate-limit", "off", "--bans", "off", "--trusted-proxy", "127.0.0.1"];
    let (server, addr) = Bare::serve(Folder::new(), &[&args[..], &limits].concat(), &[]);
    let texts = (0..=255_u8).map(|byte| vec![byte]).chain(TEXTS.map(<[u8]>::to_vec));
    let requests: Vec<_> = texts.flat_map(|text| requests(&addr.to_string(), &text)).collect();
    for request in &requests {
        say(addr, request);
    }
    let file = |name: &str| server.folder.0.join(name);
    let accesses = |name: &str| {
        json_lines(&file(name)).iter().filter(|line| line["logger"] == "http.log.access").count()
    };
    for name in ["log", "json.log"] {
        eventually("each request has its line", || accesses(name) >= requests.len());
        assert_eq!(accesses(name), requests.len(), "{name}: one line each");
    }
    let audited = json_lines(&file("audit.log"));
    assert!(audited.len() >= 10, "there was something to write");
    assert!(audited.iter().all(|entry| entry["kind"] != "forged" && entry.as_object().unwrap().len() == 6));
}

#[test]
fn row_h1_obs_1_no_field_fills_a_log() {
    let (server, addr) = Bare::serve(Folder::new(), &["--access-log", "json"], &[]);
    say(
        addr,
        format!("GET /{} HTTP/1.1\r\nHost: {addr}\r\nUser-Agent: {}", "p".repeat(2000), "u".repeat(5000))
            .as_bytes(),
    );
    let access = || json_lines(&server.folder.0.join("log")).into_iter().find(|line| line["status"] == 404);
    eventually("it is written", || access().is_some());
    let line = access().unwrap();
    let agent = line["request"]["headers"]["User-Agent"][0].as_str().unwrap();
    assert!(agent.starts_with("uuu") && agent.len() <= 1024, "{} bytes", agent.len());
    assert!(line["request"]["uri"].as_str().unwrap().len() <= 1024, "{line}");
}
