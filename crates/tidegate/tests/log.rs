//! The access log: its formats, its levels, its files, and that a request is one line whatever bytes it holds
//! (SPEC OBS-1).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use process::{Bare, get_over_unix, lines_with};
use serde_json::Value;
use support::{BINARY, Client, Folder, Server, Setup, eventually};

const BROWSER: &str = "GET /a.html?q=1 HTTP/1.1\r\nUser-Agent: tester/1.0 (a \"quote\")\r\nReferer: http://ref.example/\r\n\
     Authorization: Bearer top-secret\r\nCookie: id=top-secret\r\nX-Two: one\r\nx-two: two\r\n";

fn with_page(args: &[&str]) -> (Bare, SocketAddr) {
    let folder = Folder::new();
    folder.write("root/a.html", "hello");
    Bare::serve(folder, args, &[])
}

fn ask(addr: SocketAddr, head: &str) -> support::Response {
    let mut client = Client::connect(addr);
    client.send_request(head, b"");
    client.response()
}

/// The lines of the log that are there once `count` of them hold `text`.
fn lines(server: &Bare, text: &str, count: usize) -> Vec<String> {
    let found =
        || server.log().lines().filter(|line| line.contains(text)).map(str::to_owned).collect::<Vec<_>>();
    eventually(text, || found().len() >= count);
    found()
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The access lines among JSON lines.
fn exchanges(text: &str) -> Vec<Value> {
    json_lines(text).into_iter().filter(|line| line["logger"] == "http.log.access").collect()
}

/// Cuts `line` as nginx's `combined` is defined; panics where it is anything else.
/// `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"`
fn parse_combined(line: &str) -> (String, String, u16, u64, String, String) {
    let (addr, rest) = line.split_once(" - - [").unwrap_or_else(|| panic!("{line}"));
    let (time, rest) = rest.split_once("] \"").unwrap();
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    let month = &time[3..6];
    assert!(
        "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(' ').any(|known| known == month),
        "{time}"
    );
    assert_eq!(shape.replace(month, "Mon"), "99/Mon/9999:99:99:99 +9999", "{line}");
    let (request, rest) = rest.split_once("\" ").unwrap();
    let (numbers, rest) = rest.split_once(" \"").unwrap();
    let (status, bytes) = numbers.split_once(' ').unwrap();
    let (referer, rest) = rest.split_once("\" \"").unwrap();
    let agent = rest.strip_suffix('"').unwrap_or_else(|| panic!("{line}"));
    for text in [request, referer, agent] {
        assert!(!text.contains('"') && text.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line}");
    }
    let (status, bytes) = (status.parse().unwrap(), bytes.parse().unwrap());
    (addr.into(), request.into(), status, bytes, referer.into(), agent.into())
}

#[test]
fn obs_1_combined_is_what_nginx_writes() {
    let (server, addr) = with_page(&["--access-log", "combined"]);
    assert_eq!(ask(addr, BROWSER).status, 200);
    ask(addr, "GET /nothing HTTP/1.1\r\n");
    let found = lines(&server, "tester/1.0", 1).remove(0);
    let agent = "tester/1.0 (a \\x22quote\\x22)";
    let expected = ("127.0.0.1", "GET /a.html?q=1 HTTP/1.1", 200, 5, "http://ref.example/", agent);
    let (client, request, status, bytes, referer, by) = parse_combined(&found);
    assert_eq!((&*client, &*request, status, bytes, &*referer, &*by), expected);
    let (_, _, status, _, referer, agent) = parse_combined(&lines(&server, "GET /nothing", 1)[0]);
    assert_eq!((status, &*referer, &*agent), (404, "-", "-"));
    assert!(!server.log().contains("top-secret"));
}

#[test]
fn obs_1_pretty_has_client_line_status_bytes_duration_thread_and_id() {
    let server = Setup::new().file("a.html", "hello").start();
    assert_eq!(server.request(BROWSER, b"").status, 200);
    let refused = server.get("/nothing");
    let id = refused.field("x-request-id").unwrap().to_owned();
    eventually("both lines", || lines_with(&server, "GET /").len() == 2);
    let line = lines_with(&server, "GET /a.html").remove(0);
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[1..3], ["INFO", "127.0.0.1"], "{line}");
    assert!(line.contains(" \"GET /a.html?q=1 HTTP/1.1\" 200 5B "), "{line}");
    assert!(words.iter().any(|word| word.strip_suffix("ms").is_some_and(|ms| ms.parse::<f64>().is_ok())));
    assert!(words.iter().any(|word| word.starts_with("worker-")), "{line}");
    let line = lines_with(&server, "GET /nothing").remove(0);
    assert!(line.contains(&id) && line.contains("not_found"), "the id of the answer: {line}");
    let log = server.log().join("\n");
    assert!(!log.contains('\x1b'), "colour where no terminal is");
    assert!(!log.contains("top-secret"));
}

#[test]
fn obs_1_json_has_caddys_shape_and_redacts_secrets() {
    let (server, addr) = with_page(&["--access-log", "json"]);
    assert_eq!(ask(addr, BROWSER).status, 200);
    ask(addr, "GET /nothing HTTP/1.1\r\n");
    // Two workers may have answered, and each hands its lines over on its own.
    lines(&server, "http.log.access", 2);
    let log = server.log();
    let found = exchanges(&log);
    assert_eq!(found.len(), 2, "{log}");
    let line = found.iter().find(|line| line["status"] == 200).unwrap();
    assert_eq!((line["level"].as_str(), line["msg"].as_str()), (Some("info"), Some("handled request")));
    let request = &line["request"];
    for (key, value) in [
        ("remote_ip", "127.0.0.1"),
        ("client_ip", "127.0.0.1"),
        ("proto", "HTTP/1.1"),
        ("method", "GET"),
        ("uri", "/a.html?q=1"),
        ("host", &addr.to_string()),
    ] {
        assert_eq!(request[key], value, "{key}: {line}");
    }
    assert!(request["remote_port"].as_str().unwrap().parse::<u16>().unwrap() > 0);
    assert_eq!(request["headers"]["User-Agent"][0], "tester/1.0 (a \"quote\")");
    assert_eq!(request["headers"]["Authorization"], serde_json::json!(["REDACTED"]));
    assert_eq!(request["headers"]["Cookie"], serde_json::json!(["REDACTED"]));
    assert_eq!((line["status"].as_u64(), line["size"].as_u64()), (Some(200), Some(5)));
    assert_eq!(line["bytes_read"].as_u64(), Some(0));
    assert!(line["ts"].as_f64().unwrap() > 1.7e9 && line["duration"].as_f64().unwrap() > 0.0);
    assert!(line["thread"].as_str().unwrap().starts_with("worker-"));
    assert!(found.iter().any(|line| line["code"] == "not_found"), "{found:?}");
    assert!(!log.contains("top-secret"));
}

/// Caddy gives each field name once, with all its values.
#[test]
fn obs_1_json_keeps_every_value_of_a_repeated_field() {
    let (server, addr) = with_page(&["--access-log", "json"]);
    ask(addr, "GET /a.html HTTP/1.1\r\nX-Two: one\r\nX-Two: two\r\n");
    lines(&server, "/a.html", 1);
    let line = exchanges(&server.log()).remove(0);
    assert_eq!(line["request"]["headers"]["X-Two"], serde_json::json!(["one", "two"]), "{line}");
}

#[test]
fn obs_1_off_writes_no_access_lines_but_still_events() {
    let (server, addr) = with_page(&["--access-log", "off", "--json-log-file", "j.log"]);
    assert_eq!(ask(addr, "GET /a.html HTTP/1.1\r\n").status, 200);
    assert_eq!(ask(addr, "GET /../x HTTP/1.1\r\n").status, 403);
    lines(&server, "security: traversal", 1);
    let json = || std::fs::read_to_string(server.folder.0.join("j.log")).unwrap();
    eventually("in both", || json().contains("traversal"));
    std::thread::sleep(Duration::from_millis(300));
    assert!(!server.log().contains("/a.html"), "{}", server.log());
    let json = json();
    assert_eq!(exchanges(&json).len(), 0, "{json}");
    assert!(json_lines(&json).iter().any(|line| line["msg"].as_str().unwrap().contains("traversal")));
}

#[test]
fn obs_1_levels_in_any_case_choose_what_is_written() {
    for (level, access, warning) in [
        ("debug", 1, 1),
        ("Info", 1, 1),
        ("WARN", 0, 1),
        ("warning", 0, 1),
        ("WARNING", 0, 1),
        ("eRRoR", 0, 0),
    ] {
        let folder = Folder::new();
        folder.write("root/a.html", "hello");
        let (mut server, addr) = Bare::serve(folder, &[], &[("LOG_LEVEL", level)]);
        assert_eq!(ask(addr, "GET /a.html HTTP/1.1\r\n").status, 200);
        assert_eq!(ask(addr, "GET /../x HTTP/1.1\r\n").status, 403);
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0));
        let log = server.log();
        let count = |text: &str| log.matches(text).count();
        assert_eq!(
            (count("\"GET /a.html "), count("security: traversal")),
            (access, warning),
            "{level}: {log}"
        );
        assert_eq!(count("is running"), access, "{level}: the start-up block is INFO");
        assert_eq!(count("stopped after"), access, "{level}: the summary is INFO");
    }
}

#[test]
fn obs_1_log_file_and_json_log_file_take_the_log() {
    let setup = Setup::new().file("a.html", "hello").env("JSON_LOG_FILE", "j.log").start();
    assert_eq!(setup.get("/a.html").status, 200);
    let path = setup.folder.0.join("j.log");
    let json = || std::fs::read_to_string(&path).unwrap_or_default();
    eventually("the line of both", || {
        json().contains("/a.html") && !lines_with(&setup, "GET /a.html").is_empty()
    });
    let json = json_lines(&json());
    assert!(json[0]["msg"].as_str().unwrap().contains("is running"), "events too: {}", json[0]);
    let mut command = std::process::Command::new(BINARY);
    let folder = Folder::new();
    std::fs::create_dir(folder.0.join("root")).unwrap();
    process::clean(&mut command, &folder.0).args(["-p", "0", "-r", "root", "--log-file", "x/l.log"]);
    let outcome = process::outcome(&mut command);
    assert_eq!(outcome.code, Some(1), "{}", outcome.err);
    assert!(outcome.err.contains("x/l.log"), "the file that cannot be opened: {}", outcome.err);
}

#[test]
fn obs_1_a_log_file_leaves_standard_output_silent() {
    let folder = Folder::new();
    folder.write("root/a.html", "hello");
    let port = process::free_port().to_string();
    let mut command = std::process::Command::new(BINARY);
    command.args(["-p", &port, "-r", "root", "--log-file", "l.log"]);
    let [out, err] = ["out", "err"].map(|name| folder.0.join(name));
    let files = [&out, &err].map(|path| std::fs::File::create(path).unwrap());
    let [to_out, to_err] = files;
    let child = process::clean(&mut command, &folder.0).stdout(to_out).stderr(to_err).spawn().unwrap();
    let mut server = Bare { child, folder };
    let log = || std::fs::read_to_string(server.folder.0.join("l.log")).unwrap_or_default();
    eventually("it runs", || log().contains("is running"));
    server.signal("TERM");
    server.wait();
    assert_eq!([out, err].map(|path| std::fs::read_to_string(path).unwrap()), ["", ""]);
    let log = std::fs::read_to_string(server.folder.0.join("l.log")).unwrap();
    assert!(log.contains("is running") && log.contains("stopped after"), "{log}");
}

#[test]
fn obs_1_a_line_is_written_within_a_second() {
    let (server, addr) = with_page(&[]);
    let waits = [0, 1, 2, 3, 4].map(|round| {
        assert_eq!(ask(addr, &format!("GET /{round} HTTP/1.1\r\n")).status, 404);
        let answered = Instant::now();
        lines(&server, &format!("\"GET /{round} "), 1);
        answered.elapsed()
    });
    // A busy machine may hold up one of them.
    let in_time = waits.iter().filter(|wait| **wait < Duration::from_secs(1)).count();
    assert!(in_time >= 3, "{waits:?}");
}

/// Each byte in a field value and in the target, in each format: one request, one line, and ASCII.
#[test]
fn row_h1_obs_1_every_byte_value_stays_in_its_line() {
    for format in ["pretty", "combined", "json"] {
        let args = [
            "--access-log",
            format,
            "--json-log-file",
            "j.log",
            "--log-level",
            "debug",
            "--max-requests",
            "0",
        ];
        let (server, addr) = with_page(&args);
        let marks: Vec<Vec<u8>> = (0..=255_u8)
            .flat_map(|byte| {
                let value = [b"GET /v HTTP/1.1\r\nUser-Agent: x".as_slice(), &[byte], b"y\r\n"].concat();
                let target = [b"GET /t".as_slice(), &[byte], b"y HTTP/1.1\r\n"].concat();
                [value, target]
            })
            .collect();
        for head in &marks {
            let mut client = Client::connect(addr);
            client.send([head.as_slice(), format!("Host: {addr}\r\n\r\n").as_bytes()].concat());
            client.finish();
            assert!(client.response().status >= 200);
        }
        let path = server.folder.0.join("j.log");
        let json = || std::fs::read(&path).unwrap_or_default();
        let count = || String::from_utf8_lossy(&json()).matches("http.log.access").count();
        eventually("as many lines as requests", || count() >= marks.len());
        let text = String::from_utf8(json()).expect("ASCII");
        let found = exchanges(&text);
        assert_eq!(found.len(), marks.len());
        let ids: HashSet<_> = found.iter().map(|line| line["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), marks.len(), "each has an id of its own");
        let log = server.log();
        // The start-up block alone has more than one line, and each of its further lines is indented.
        let strange = |line: &&str| match format {
            "json" => serde_json::from_str::<Value>(line).is_err(),
            _ => !line.starts_with("20") && !line.starts_with("127.0.0.1 - - [") && !line.starts_with("  "),
        };
        assert_eq!(log.lines().find(strange), None);
        assert!(log.bytes().all(|byte| byte == b'\n' || (0x20..0x7f).contains(&byte)), "{format}");
    }
}

#[test]
fn obs_1_an_unreadable_request_line_is_a_dash() {
    let (server, addr) = with_page(&["--access-log", "combined"]);
    for bytes in [&b"\x16\x03\x01\x02\x00\x01"[..], b"nonsense\r\n\r\n", b"GET  / HTTP/1.1\r\n\r\n"] {
        let mut client = Client::connect(addr);
        client.send(bytes);
        assert_eq!(client.response().status, 400);
    }
    let found = lines(&server, " 400 ", 3);
    assert!(found.iter().all(|line| parse_combined(line).1 == "-"), "{found:#?}");
    // A line that can be read is told, though the head behind it cannot.
    let mut client = Client::connect(addr);
    client.send(format!("GET /told HTTP/1.1\r\nHost: {addr}\r\nbad field\r\n\r\n"));
    assert_eq!(client.response().status, 400);
    assert_eq!(parse_combined(&lines(&server, "] \"GET /told", 1)[0]).1, "GET /told HTTP/1.1");
}

#[test]
fn row_h1_obs_1_a_long_target_is_one_bounded_line() {
    let (server, addr) = with_page(&["--access-log", "combined"]);
    let target = format!("/{}", "a".repeat(6000));
    assert_eq!(ask(addr, &format!("GET {target} HTTP/1.1\r\n")).status, 404);
    let line = lines(&server, "GET /aaa", 1).remove(0);
    assert!(line.len() < 1500, "{} bytes", line.len());
    assert_eq!(parse_combined(&line).2, 404);
}

#[test]
fn obs_1_a_peer_of_a_unix_socket_is_called_so() {
    let mut server = Setup::new().file("a.html", "hello").args(&["--listen", "unix:s"]).start();
    assert!(get_over_unix(&server.folder.0.join("s"), "/a.html").ends_with("hello"));
    let line = server.wait_for_log("GET /a.html");
    assert!(line.contains(" unix \"GET"), "{line}");
}

/// One line per request: also for one whose client leaves before the answer.
#[test]
fn obs_1_a_request_whose_client_left_has_its_line() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let head = "POST /upload?left HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n";
    client.send_request(head, b"[1, 2");
    std::thread::sleep(Duration::from_millis(100));
    drop(client);
    eventually("a line of it", || lines_with(&server, "POST /upload?left").len() == 1);
}
