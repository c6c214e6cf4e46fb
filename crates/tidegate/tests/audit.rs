//! Security events as lines (SPEC SEC-5): one WARNING each and one JSON line in the audit log, bounded in number,
//! and nothing that a client sends breaks out of them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;
mod visitors;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use process::lines_with;
use serde_json::Value;
use support::{Response, Server, Setup, eventually};
use visitors::{BEHIND_PROXY, Proxy, TRAVERSAL, metric};

const KINDS: [&str; 9] =
    ["traversal", "host", "malformed", "slow", "rate", "connections", "admin", "scan", "ban"];

fn setup(args: &[&str]) -> Setup {
    Setup::new().args(&["--audit-log", "audit.jsonl"]).args(args)
}

/// What the audit log holds; every line must be a JSON object with exactly the promised members.
fn audit(server: &Server) -> Vec<Value> {
    let text = std::fs::read(server.folder.0.join("audit.jsonl")).unwrap_or_default();
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(!text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\n'), "a control byte: {text:?}");
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(line).collect()
}

fn line(text: &str) -> Value {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let members: BTreeSet<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["client", "evidence", "id", "kind", "rule", "time"].into(), "{text}");
    let of = |name: &str| value[name].as_str().unwrap_or_else(|| panic!("{name} is no text: {text}"));
    assert!(KINDS.contains(&of("kind")), "{text}");
    let time = of("time").as_bytes();
    let shape: String =
        time.iter().map(|byte| if byte.is_ascii_digit() { '0' } else { char::from(*byte) }).collect();
    assert!(shape.starts_with("0000-00-00T00:00:00") && shape.ends_with('Z'), "{text}");
    let id = of("id");
    assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
    value
}

fn wait_for(server: &Server, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || audit(server).iter().any(&holds));
    audit(server).into_iter().find(holds).unwrap()
}

fn send(server: &Server, bytes: impl AsRef<[u8]>) -> Response {
    let mut client = server.connect();
    client.send(bytes);
    client.response()
}

#[test]
fn sec_5_each_kind_is_one_line_with_its_rule_and_the_id_of_the_refusal() {
    let server = setup(&["--header-timeout", "2s"]).start();
    let host = server.host();
    for (kind, rule, request) in [
        ("traversal", "traversal", format!("GET /../x HTTP/1.1\r\nHost: {host}\r\n\r\n")),
        ("host", "host_not_allowed", "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".into()),
        ("host", "host_missing", "GET / HTTP/1.1\r\n\r\n".into()),
        ("host", "bad_host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".into()),
        ("malformed", "bad_head", format!("GET / HTTP/1.1\r\nHost: {host}\r\nX : y\r\n\r\n")),
        ("malformed", "bad_request_line", "nonsense\r\n\r\n".into()),
        ("slow", "slow_head", "GET / HT".into()),
        ("admin", "admin_forbidden", format!("GET /status HTTP/1.1\r\nHost: {host}\r\nVia: 1.1 x\r\n\r\n")),
    ] {
        let response = send(&server, request);
        assert_eq!(response.code(), rule);
        let id = response.field("x-request-id").unwrap().to_owned();
        let entry = wait_for(&server, rule, |entry| entry["id"] == id.as_str());
        assert_eq!((&entry["kind"], &entry["rule"]), (&kind.into(), &rule.into()), "{entry}");
        assert_eq!(entry["client"], "127.0.0.1", "{entry}");
        assert!(entry["evidence"].as_str().is_some_and(|text| !text.is_empty()), "{entry}");
        let warnings = || {
            let said = lines_with(&server, &id).into_iter();
            said.filter(|line| line.contains(" WARNING ")).collect::<Vec<_>>()
        };
        eventually("a warning", || !warnings().is_empty());
        let said = warnings();
        assert!(said.len() == 1 && said[0].contains(rule), "{said:#?}");
        assert_eq!(audit(&server).iter().filter(|entry| entry["id"] == id.as_str()).count(), 1);
    }
}

/// Refusals that are no events are not in it.
#[test]
fn sec_5_what_is_no_event_is_not_in_the_audit_log() {
    let server = setup(&[]).start();
    for line in ["GET /missing", "DELETE /", "GET /upload", "GET /%zz", "PUT /x"] {
        assert!(server.request(&format!("{line} HTTP/1.1\r\n"), b"").status >= 400, "{line}");
    }
    assert_eq!(server.get(TRAVERSAL).status, 403, "the control");
    wait_for(&server, "the control", |entry| entry["kind"] == "traversal");
    assert_eq!(audit(&server).len(), 1, "{:#?}", audit(&server));
}

#[test]
fn sec_5_limits_and_bans_are_events_of_the_client_that_a_proxy_names() {
    let args = ["--rate-limit", "20/m:20", "--bans", "on"];
    let server = setup(&args).args(&BEHIND_PROXY).start();
    let mut proxy = Proxy::of(&server);
    let codes: Vec<_> = (0..25).map(|_| proxy.get("203.0.113.7", "/missing").code()).collect();
    assert!(codes.contains(&"rate_limited".to_owned()), "{codes:?}");
    let rate = wait_for(&server, "rate", |entry| entry["kind"] == "rate");
    assert_eq!((&rate["client"], &rate["rule"]), (&"203.0.113.7".into(), &"rate_limited".into()));
    for _ in 0..20 {
        proxy.get("203.0.113.8", TRAVERSAL);
    }
    let ban = wait_for(&server, "ban", |entry| entry["kind"] == "ban");
    assert_eq!(ban["client"], "203.0.113.8", "{ban}");
}

/// Ten lines a second and client; the metrics count every one, and a line says how many were left out.
#[test]
fn sec_5_a_flood_is_ten_lines_a_second_for_each_client_and_the_rest_is_counted() {
    let args = ["--rate-limit", "off", "--bans", "off", "--access-log", "off", "--workers", "1"];
    let server = setup(&args).args(&BEHIND_PROXY).start();
    let mut proxy = Proxy::of(&server);
    let begun = Instant::now();
    for _ in 0..400 {
        assert_eq!(proxy.get("203.0.113.7", TRAVERSAL).code(), "traversal");
    }
    assert_eq!(proxy.get("203.0.113.8", TRAVERSAL).code(), "traversal");
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap() + 2;
    // Nobody's flood hides another's single try.
    wait_for(&server, "the other client", |entry| entry["client"] == "203.0.113.8");
    let of_flood = |entries: &[Value]| entries.iter().filter(|e| e["client"] == "203.0.113.7").count();
    let audited = of_flood(&audit(&server));
    assert!((10..=10 * seconds).contains(&audited), "{audited} lines in {seconds} s");
    let warned = || {
        let lines = lines_with(&server, "203.0.113.7");
        lines.iter().filter(|line| line.contains(" WARNING ")).count()
    };
    assert!(warned() <= 10 * seconds + 2, "{} warnings in {seconds} s", warned());
    eventually("all are counted", || metric(&server, "tidegate_events_total{kind=\"traversal\"}") >= 401.0);
    // The count of what was left out is said once its second is over, or with the next line.
    std::thread::sleep(Duration::from_millis(1_100));
    proxy.get("203.0.113.7", TRAVERSAL);
    let left_out = (400 - audited.min(400)).to_string();
    eventually("the rest is told", || {
        server.log().iter().any(|line| line.contains(" WARNING ") && said_number(line, &left_out))
            || !lines_with(&server, "more").is_empty()
    });
}

/// Whether `number` stands in `line` as a word.
fn said_number(line: &str, number: &str) -> bool {
    line.split(|c: char| !c.is_ascii_digit()).any(|word| word == number)
}

/// Each byte in each place where a client can put one: lines stay lines, and hold no control byte.
#[test]
fn row_h1_sec_5_no_byte_breaks_out_of_its_line() {
    let args = ["--rate-limit", "off", "--bans", "off", "--log-level", "DEBUG", "--workers", "1"];
    let server = setup(&args).args(&BEHIND_PROXY).start();
    let host = server.host();
    for byte in 0..=255_u8 {
        for request in [
            [b"GET /../".as_slice(), &[byte], b"x HTTP/1.1\r\nHost: ", host.as_bytes(), b"\r\n"].concat(),
            [b"GET /../x HTTP/1.1\r\nHost: a", &[byte][..], b"b"].concat(),
            [b"GET /../x HTTP/1.1\r\nHost: ", host.as_bytes(), b"\r\nX-Forwarded-For: 203.", &[byte]]
                .concat(),
            [b"GET /../x HTTP/1.1\r\nHost: ", host.as_bytes(), b"\r\nUser-Agent: ", &[byte]].concat(),
            [b"GE", &[byte][..], b"T /../x HTTP/1.1\r\nHost: ", host.as_bytes()].concat(),
        ] {
            let mut client = server.connect();
            client.send([&request, b"\r\n\r\n".as_slice()].concat());
            client.finish();
            let _ = client.rest(Duration::from_secs(5));
        }
    }
    assert_eq!(Proxy::of(&server).get("203.0.113.99", TRAVERSAL).status, 403);
    wait_for(&server, "the last", |entry| entry["client"] == "203.0.113.99");
    assert!(audit(&server).len() > 10, "there was something to write");
    for line in server.log() {
        let control = line.chars().any(char::is_control);
        assert!(!control, "a control character in {line:?}");
    }
}

/// A line that looks like one of ours does not become one.
#[test]
fn row_h1_sec_5_a_client_cannot_write_lines_of_its_own() {
    let server = setup(&["--rate-limit", "off"]).start();
    let forged = "%0a2026-01-01T00:00:00Z%20WARNING%20forged\",\"kind\":\"forged\",\"x\":\"";
    assert_eq!(server.get(&format!("/../{forged}")).code(), "traversal");
    let entry = wait_for(&server, "it", |entry| entry["kind"] == "traversal");
    assert_eq!(entry["client"], "127.0.0.1");
    eventually("said", || !lines_with(&server, "forged").is_empty());
    assert!(server.log().iter().all(|line| !line.starts_with("2026-01-01T00:00:00Z WARNING forged")));
}

#[test]
fn sec_5_run_5_hup_opens_the_audit_log_anew() {
    let server = setup(&[]).start();
    assert_eq!(server.get(TRAVERSAL).status, 403);
    wait_for(&server, "the first", |entry| entry["kind"] == "traversal");
    let (path, old) = (server.folder.0.join("audit.jsonl"), server.folder.0.join("audit.1"));
    std::fs::rename(&path, &old).unwrap();
    server.signal("HUP");
    eventually("a new file", || path.exists());
    assert_eq!(server.get(TRAVERSAL).status, 403);
    wait_for(&server, "the second", |entry| entry["kind"] == "traversal");
    assert_eq!(std::fs::read_to_string(old).unwrap().lines().count(), 1, "each line once");
    assert_eq!(audit(&server).len(), 1);
}

#[test]
fn sec_5_without_the_flag_there_is_no_file() {
    let server = Server::start(&[]);
    assert_eq!(server.get(TRAVERSAL).status, 403);
    eventually("said", || !lines_with(&server, "traversal").is_empty());
    let names: Vec<_> =
        std::fs::read_dir(&server.folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["root"]);
}

/// However many connections the flood comes over, and whichever threads serve them.
#[test]
fn sec_5_a_flood_over_many_connections_is_one_client_all_the_same() {
    let args = ["--rate-limit", "off", "--bans", "off", "--access-log", "off", "--workers", "4"];
    let server = setup(&args).args(&["--limit-loopback"]).start();
    let begun = Instant::now();
    for _ in 0..400 {
        assert_eq!(server.get(TRAVERSAL).code(), "traversal");
    }
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap() + 2;
    eventually("all are counted", || metric(&server, "tidegate_events_total{kind=\"traversal\"}") >= 400.0);
    std::thread::sleep(Duration::from_millis(1_200));
    eventually("some are written", || audit(&server).len() >= 10);
    let audited = audit(&server).len();
    assert!((10..=10 * seconds).contains(&audited), "{audited} lines in {seconds} s");
}

/// The line is all that is left when somebody investigates: it must hold what was tried.
#[test]
fn sec_5_the_evidence_shows_what_was_asked_for() {
    let server = setup(&[]).start();
    let host = server.host();
    for (rule, request, shown) in [
        (
            "traversal",
            format!("GET /a/../../etc/shadow HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            "/a/../../etc/shadow",
        ),
        ("host_not_allowed", "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".into(), "evil.example"),
        ("admin_forbidden", format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nVia: x\r\n\r\n"), "/metrics"),
    ] {
        assert_eq!(send(&server, request).code(), rule);
        let entry = wait_for(&server, rule, |entry| entry["rule"] == rule);
        assert!(entry["evidence"].as_str().unwrap().contains(shown), "{entry}");
    }
}
