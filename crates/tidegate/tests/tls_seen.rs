//! What TLS means for answers and for who operates the server: HSTS, metrics, dashboard, access log (SPEC TLS-1, OBS-1 to
//! OBS-3; ATTACKS G6).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;
mod tls;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::{Client, Response, Server, Setup, eventually};
use tls::{Authority, Trust, connect, flags};

const HSTS: &str = "strict-transport-security";

fn self_signed(args: &[&str]) -> Server {
    let setup = Setup::new().file("index.html", "home").file("folder/index.html", "inner");
    setup.args(&["--tls-self-signed"]).args(args).start()
}

/// A connection to 127.0.0.1, of whose handshake nobody asks more than that it comes to its end.
fn over_tls(server: &Server) -> Client {
    connect(server.addr, &Trust::blind().config(), "127.0.0.1").unwrap().client()
}

/// Requests of every kind of answer, and the status of each. Those that end the connection come last.
const REQUESTS: &[(&str, u16)] = &[
    ("GET / HTTP/1.1\r\n", 200),
    ("HEAD / HTTP/1.1\r\n", 200),
    ("GET /folder HTTP/1.1\r\n", 308),
    ("GET / HTTP/1.1\r\nRange: bytes=0-1\r\n", 206),
    ("OPTIONS * HTTP/1.1\r\n", 204),
    ("GET /missing HTTP/1.1\r\n", 404),
    ("GET /upload HTTP/1.1\r\n", 405),
    ("GET /metrics HTTP/1.1\r\n", 200),
    ("GET /healthz HTTP/1.1\r\n", 200),
    ("GET / HTTP/1.1\r\nBad : x\r\n", 400),
];

fn each_answer(mut client: Client, mut check: impl FnMut(&str, &Response)) {
    for (head, status) in REQUESTS {
        client.send_request(head, b"");
        let answer = client.response_to(head);
        assert_eq!(answer.status, *status, "{head}");
        check(head, &answer);
    }
}

#[test]
fn tls_1_every_answer_over_tls_says_for_how_long_to_come_over_tls_only() {
    let server = self_signed(&["--hsts", "1h"]);
    each_answer(over_tls(&server), |head, answer| {
        let told: Vec<_> = answer.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(HSTS)).collect();
        assert_eq!(told.len(), 1, "{head}");
        assert_eq!(told[0].1, "max-age=3600", "{head}");
    });
    let by_http2 = Command::new("curl")
        .args(["-skI", "--max-time", "20", "--http2", &format!("https://{}/", server.addr)])
        .output()
        .unwrap();
    let told = String::from_utf8(by_http2.stdout).unwrap();
    assert!(
        told.starts_with("HTTP/2 200") && told.contains("\r\nstrict-transport-security: max-age=3600\r\n")
    );
    // The control: unless it is asked for, nothing is promised.
    each_answer(over_tls(&self_signed(&[])), |head, answer| assert_eq!(answer.field(HSTS), None, "{head}"));
}

/// RFC 6797 §7.2: in the clear anybody could have said it.
#[test]
fn tls_1_in_the_clear_nothing_is_said_of_it() {
    let mut server = self_signed(&[
        "--hsts",
        "1h",
        "--tls-redirect",
        "127.0.0.1:0",
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "unix:socket",
    ]);
    let line = server.wait_for_log("  redirect ");
    let redirect: SocketAddr =
        line.split("http://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    let mut client = Client::connect(redirect);
    for (line, status) in [("GET / HTTP/1.1", 308), ("GET /%zz HTTP/1.1", 400), ("JUNK", 400)] {
        client.send(format!("{line}\r\nHost: {redirect}\r\n\r\n"));
        let answer = client.response();
        assert_eq!((answer.status, answer.field(HSTS)), (status, None), "{line}");
    }
    let mut unix = UnixStream::connect(server.folder.0.join("socket")).unwrap();
    unix.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    unix.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && !answer.to_ascii_lowercase().contains(HSTS), "{answer}");
    // Who speaks HTTP to the port of HTTPS may be told so, in the clear; of HSTS nothing.
    let mut lost = TcpStream::connect(server.addr).unwrap();
    lost.set_read_timeout(Some(support::SOON)).unwrap();
    lost.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = lost.read_to_end(&mut said);
    assert!(!String::from_utf8_lossy(&said).to_ascii_lowercase().contains(HSTS));
}

/// The value of the series that is called `name`, labels and all.
fn metric(server: &Server, name: &str) -> Option<f64> {
    let metrics = over_tls(server).get("/metrics").text();
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(value.parse().unwrap())
}

#[test]
fn row_g6_obs_2_metrics_tell_when_each_certificate_ends() {
    let authority = Authority::new();
    let setup = Setup::new();
    let day = Duration::from_hours(24);
    let key = || rcgen::KeyPair::generate().unwrap();
    let end = SystemTime::now() + 30 * day;
    for (file, days) in [("a", 30), ("b", 90), ("c", 60)] {
        let names: &[&str] = if file == "a" { &["a.example", "*.a.example"] } else { &["b.example"] };
        let until = (SystemTime::now() + days * day).into();
        authority.leaf_with(names, &key(), |params| params.not_after = until).write(&setup.folder, file);
    }
    let pairs: Vec<_> = ["a", "b", "c"].iter().flat_map(|name| flags(name)).collect();
    let server = setup.args(&pairs.iter().map(String::as_str).collect::<Vec<_>>()).start();
    let ends = |name: &str| {
        metric(&server, &format!("tidegate_tls_certificate_expiry_timestamp_seconds{{name=\"{name}\"}}"))
    };
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((ends("a.example").unwrap() - seconds(end)).abs() < 60.0);
    assert!((ends("b.example").unwrap() - seconds(end + 30 * day)).abs() < 60.0, "of two the first to end");
    assert_eq!(ends("*.a.example"), None, "one series for each certificate");
}

#[test]
fn tls_1_obs_2_handshakes_are_counted_by_how_they_end() {
    let server = self_signed(&[]);
    let count = |outcome: &str| {
        metric(&server, &format!("tidegate_tls_handshakes_total{{outcome=\"{outcome}\"}}")).unwrap()
    };
    let (ok, failed) = (count("ok"), count("failed"));
    // Each look at the metrics is a handshake too.
    assert_eq!((ok, failed, count("late")), (1.0, 0.0, 0.0));
    let mut garbage = TcpStream::connect(server.addr).unwrap();
    garbage.write_all(&[0x16, 3, 1, 0, 4, 0, 0, 0, 0]).unwrap();
    eventually("a handshake failed", || count("failed") >= 1.0);
    assert!(count("ok") >= 4.0);
}

#[test]
fn tls_1_obs_3_the_dashboard_tells_of_certificates_handshakes_and_protocols() {
    let server = self_signed(&[]);
    let curl = Command::new("curl")
        .args(["-sk", "--max-time", "20", "--http2", "-o", "/dev/null", &format!("https://{}/", server.addr)])
        .status();
    assert!(curl.unwrap().success());
    server.rests();
    let snapshot =
        |client: &mut Client| client.get("/security-dashboard?format=json").json()["snapshot"].clone();
    let told = snapshot(&mut over_tls(&server));
    let [certificate] = told["tls"]["certificates"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!(certificate["self_signed"], true);
    assert!(certificate["names"].as_array().unwrap().contains(&json!("localhost")), "{certificate}");
    assert!(certificate["expires"].as_u64() > told["at"].as_u64(), "{certificate}");
    assert_eq!(told["tls"]["handshakes"], json!({"ok": 2, "failed": 0, "late": 0}));
    assert_eq!(told["totals"]["http2_requests"], 1);
    // The control: a server without TLS has nothing to tell of it.
    let plain = Server::start(&[]);
    let told = snapshot(&mut plain.connect());
    assert_eq!((&told["tls"], &told["totals"]["http2_requests"]), (&Value::Null, &json!(0)));
}

#[test]
fn tls_1_obs_1_the_log_in_json_tells_which_server_was_asked_for() {
    let server = self_signed(&["--json-log-file", "log.json", "--allow-host", "a.example"]);
    let mut client = connect(server.addr, &Trust::blind().config(), "a.example").unwrap().client();
    client.get("/by-name");
    let written = || std::fs::read_to_string(server.folder.0.join("log.json")).unwrap();
    let told = || written().lines().find(|line| line.contains("/by-name")).map(str::to_owned);
    eventually("a line of the log", || told().is_some());
    let line: Value = serde_json::from_str(&told().unwrap()).unwrap();
    let told = json!({
        "resumed": false, "version": 0x0304, "cipher_suite": 0x1301, "proto": "http/1.1", "server_name": "a.example",
    });
    assert_eq!(line["request"]["tls"], told, "{line}");
}
