//! The log when something is wrong with it: rotated, stuck, gone or full; and colour, which only a terminal
//! gets (SPEC OBS-1, RUN-5).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use process::{Bare, ended, signal};
use support::{BINARY, Client, Folder, SOON, eventually};

/// Requests that fill a pipe (64 KiB) and the writer's queue (256 batches) and then some: the line of each is
/// over 32 KiB, so that each is a batch of its own.
const FLOOD: usize = 400;

/// A server whose standard output is a pipe that nobody reads.
struct Piped {
    child: Child,
    addr: SocketAddr,
    folder: Folder,
}

impl Piped {
    fn start(args: &[&str]) -> Self {
        let folder = Folder::new();
        folder.write("root/a.html", "hello");
        let port = process::free_port();
        let mut command = Command::new(BINARY);
        process::clean(&mut command, &folder.0).args([
            "-r",
            "root",
            "-p",
            &port.to_string(),
            "--max-requests",
            "0",
        ]);
        let child = command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let addr = (Ipv4Addr::LOCALHOST, port).into();
        eventually("it accepts", || TcpStream::connect(addr).is_ok());
        Self { child, addr, folder }
    }

    /// Sends the flood; every request must be answered though no line of it can be written.
    fn flood(&self) -> Client {
        let mut client = Client::connect(self.addr);
        let mut head = b"GET /a.html HTTP/1.1\r\n".to_vec();
        for number in 0..7 {
            head.extend(format!("X-{number}: ").bytes());
            head.extend([0xff; 1000]);
            head.extend(b"\r\n");
        }
        head.extend(format!("Host: {}\r\n\r\n", self.addr).bytes());
        for number in 0..FLOOD {
            client.send(&head);
            assert_eq!(client.response().status, 200, "request {number}");
        }
        client
    }

    /// Begins to read the log.
    fn read(&mut self) -> Arc<Mutex<Vec<String>>> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (all, output) = (Arc::clone(&lines), BufReader::new(self.child.stdout.take().unwrap()));
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                all.lock().unwrap().push(line);
            }
        });
        lines
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn count(lines: &Mutex<Vec<String>>, text: &str) -> usize {
    lines.lock().unwrap().iter().filter(|line| line.contains(text)).count()
}

/// The number before ` what` in the last line that has it.
fn number_before(lines: &Mutex<Vec<String>>, what: &str) -> usize {
    let lines = lines.lock().unwrap();
    let line =
        lines.iter().rfind(|line| line.contains(what)).unwrap_or_else(|| panic!("no {what}: {lines:#?}"));
    let before = line.split(what).next().unwrap();
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap();
    digits.parse().unwrap_or_else(|_| panic!("{line}"))
}

#[test]
fn obs_1_a_full_pipe_blocks_no_request_and_what_is_dropped_is_counted_and_said() {
    let mut server = Piped::start(&["--access-log", "json"]);
    let _client = server.flood();
    let lines = server.read();
    eventually("it says what was dropped", || count(&lines, "log lines dropped") > 0);
    let dropped = number_before(&lines, " since start");
    assert!(dropped > 0);
    signal(server.child.id(), "TERM");
    assert_eq!(ended(&mut server.child, SOON).expect("no end").code(), Some(0));
    eventually("the last words", || count(&lines, "stopped after") == 1);
    assert_eq!(count(&lines, "/a.html") + dropped, FLOOD, "every line is written or counted");
    assert_eq!(number_before(&lines, " log lines dropped"), dropped, "the summary agrees");
}

#[test]
fn obs_1_what_is_dropped_is_said_under_traffic_too() {
    let mut server = Piped::start(&["--access-log", "json"]);
    let mut client = server.flood();
    let lines = server.read();
    let begun = Instant::now();
    while count(&lines, "log lines dropped") == 0 {
        assert!(begun.elapsed() < SOON, "never said while requests come in");
        assert_eq!(client.get("/a.html").status, 200);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn run_5_term_with_a_full_pipe_ends_the_server() {
    let mut server = Piped::start(&["--access-log", "json"]);
    drop(server.flood());
    signal(server.child.id(), "TERM");
    let status =
        ended(&mut server.child, SOON).expect("a log that nobody reads keeps the server from ending");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn run_5_hup_with_a_full_pipe_does_not_lose_the_signals_after_it() {
    let mut server = Piped::start(&["--access-log", "json"]);
    let mut client = server.flood();
    signal(server.child.id(), "HUP");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(client.get("/a.html").status, 200);
    drop(client);
    signal(server.child.id(), "TERM");
    let status = ended(&mut server.child, SOON).expect("it hangs in the reload and hears no signal any more");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn obs_1_a_reader_that_is_gone_stops_neither_serving_nor_the_json_log() {
    let mut server = Piped::start(&["--json-log-file", "j.log"]);
    let mut first = String::new();
    BufReader::new(server.child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("is running"), "{first}");
    let mut client = Client::connect(server.addr);
    for _ in 0..20 {
        assert_eq!(client.get("/a.html").status, 200);
        std::thread::sleep(Duration::from_millis(20));
    }
    let path = server.folder.0.join("j.log");
    let lines = || std::fs::read_to_string(&path).unwrap_or_default().matches("/a.html").count();
    let begun = Instant::now();
    while lines() < 20 {
        assert!(begun.elapsed() < SOON, "{} of 20 lines in the JSON log", lines());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn obs_1_a_full_disk_stops_neither_serving_nor_the_json_log() {
    let mut server = Piped::start(&["--log-file", "/dev/full", "--json-log-file", "j.log"]);
    let mut client = Client::connect(server.addr);
    for _ in 0..5 {
        assert_eq!(client.get("/a.html").status, 200);
        std::thread::sleep(Duration::from_millis(120));
    }
    drop(client);
    signal(server.child.id(), "TERM");
    assert_eq!(ended(&mut server.child, SOON).expect("no end").code(), Some(0));
    let json = std::fs::read_to_string(server.folder.0.join("j.log")).unwrap();
    assert_eq!(json.matches("/a.html").count(), 5, "{json}");
    assert!(json.contains("stopped after") && json.contains("log lines dropped"), "{json}");
}

#[test]
fn run_5_rotation_loses_no_line() {
    let folder = Folder::new();
    folder.write("root/a.html", "hello");
    let (mut server, addr) = Bare::serve(folder, &["--max-requests", "0"], &[("JSON_LOG_FILE", "j.log")]);
    // It listens before it opens its log.
    server.wait_for_log("is running");
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let (mut client, mut served) = (Client::connect(addr), 0);
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(client.get("/a.html").status, 200);
                    served += 1;
                }
                served
            })
        })
        .collect();
    let dir = server.folder.0.clone();
    let path = |name: &str, round: usize| dir.join(format!("{name}.{round}"));
    let mut sizes = Vec::new();
    for round in 0..10 {
        for name in ["log", "j.log"] {
            std::fs::rename(dir.join(name), path(name, round)).unwrap();
        }
        std::thread::sleep(Duration::from_millis(30));
        server.signal("HUP");
        server.wait_for_log("configuration reloaded");
        sizes.push(std::fs::metadata(path("log", round)).unwrap().len());
    }
    stop.store(true, Ordering::Relaxed);
    let served: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let mut log = std::fs::read_to_string(dir.join("log")).unwrap();
    let mut json = std::fs::read_to_string(dir.join("j.log")).unwrap();
    for (round, size) in sizes.into_iter().enumerate() {
        assert_eq!(std::fs::metadata(path("log", round)).unwrap().len(), size, "written to after the reload");
        log += &std::fs::read_to_string(path("log", round)).unwrap();
        json += &std::fs::read_to_string(path("j.log", round)).unwrap();
    }
    let ids: HashSet<_> = log
        .lines()
        .filter(|line| line.contains("GET /a.html"))
        .filter_map(|line| line.rsplit(' ').next())
        .collect();
    assert_eq!((ids.len(), log.matches("GET /a.html").count()), (served, served));
    assert_eq!(json.lines().filter(|line| line.contains("\"/a.html\"")).count(), served);
    assert!(json.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    assert!(!log.contains("dropped"));
}

/// What a server that lives for 6 s on a terminal says.
fn on_a_terminal(env: &[(&str, &str)], more: &str) -> String {
    let folder = Folder::new();
    folder.write("root/a.html", "hello");
    let port = process::free_port();
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let inner = format!("timeout --foreground -s TERM 6 {BINARY} -p {port} -r root {more}");
    let mut command = Command::new("script");
    process::clean(&mut command, &folder.0).args(["-qec", &inner, "/dev/null"]).envs(env.iter().copied());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    eventually("it accepts", || TcpStream::connect(addr).is_ok());
    let mut client = Client::connect(addr);
    assert_eq!((client.get("/a.html").status, client.get("/nothing").status), (200, 404));
    assert_eq!(client.get("/../x").status, 403);
    drop(client);
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    assert!(text.contains("/a.html"), "{text}");
    text
}

#[test]
fn obs_1_colour_is_for_a_terminal_and_not_with_no_color() {
    let cases: [(&[(&str, &str)], &str); 4] =
        [(&[], ""), (&[("NO_COLOR", "1")], ""), (&[("NO_COLOR", "")], ""), (&[], "--access-log json")];
    let [coloured, plain, empty, json] = std::thread::scope(|scope| {
        let runs = cases.map(|(env, more)| scope.spawn(move || on_a_terminal(env, more)));
        runs.map(|run| run.join().unwrap())
    });
    assert!(coloured.contains("\x1b[32m200\x1b[0m"), "{coloured}");
    assert!(coloured.contains("\x1b[33m404\x1b[0m"), "{coloured}");
    assert!(coloured.contains("\x1b[33mWARNING\x1b[0m"), "{coloured}");
    assert!(!plain.contains('\x1b'), "{plain}");
    assert!(empty.contains("\x1b[32m200"), "an empty NO_COLOR is none (no-color.org): {empty}");
    assert!(!json.contains('\x1b'), "{json}");
}
