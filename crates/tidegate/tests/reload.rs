//! Reload by HUP: what takes effect at once and on connections that are open, what refuses the whole, and that
//! nothing is lost (SPEC RUN-5).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use process::lines_with;
use support::{Client, SOON, Server, Setup, client::End, eventually};

/// A server that reads `t.toml`, which holds `text`.
fn setup(text: &str) -> Setup {
    let setup = Setup::new().file("a.html", "here").args(&["-c", "t.toml"]);
    setup.folder.write("t.toml", text);
    setup
}

/// Rewrites the file, sends HUP and waits for the line that says `outcome`; returns that line.
fn hup(server: &Server, text: &str, outcome: &str) -> String {
    let before = lines_with(server, outcome).len();
    server.folder.write("t.toml", text);
    server.signal("HUP");
    eventually(outcome, || lines_with(server, outcome).len() > before);
    lines_with(server, outcome).pop().unwrap()
}

fn reload(server: &Server, text: &str) {
    let refusals = lines_with(server, "not reloaded").len();
    hup(server, text, "configuration reloaded");
    assert_eq!(lines_with(server, "not reloaded").len(), refusals, "{:#?}", server.log());
}

/// The status of `/healthz` under a Host, on an open connection. Orders to the workers may take a moment.
fn status_for(client: &mut Client, host: &str) -> u16 {
    client.send(format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    client.response().status
}

fn eventually_for(client: &mut Client, host: &str, status: u16) {
    let begun = std::time::Instant::now();
    while status_for(client, host) != status {
        assert!(begun.elapsed() < SOON, "{host} never gets {status}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn run_5_a_reload_reaches_open_connections_and_keeps_them() {
    let server = setup("[limits]\nmax_requests = 0").start();
    let mut client = server.connect();
    assert_eq!(status_for(&mut client, "new.example"), 403);
    assert_eq!(client.get("/healthz").field("keep-alive"), Some("timeout=30"));
    reload(
        &server,
        "[security]\nallow_host = ['new.example']\n[limits]\nkeep_alive = '9s'\nmax_requests = 0",
    );
    eventually_for(&mut client, "new.example", 200);
    assert_eq!(client.get("/healthz").field("keep-alive"), Some("timeout=9"));
    reload(&server, "[limits]\nmax_requests = 0");
    eventually_for(&mut client, "new.example", 403);
    assert_eq!(client.get("/healthz").field("keep-alive"), Some("timeout=30"));
}

#[test]
fn run_5_a_reloaded_keep_alive_and_max_body_hold() {
    let server = setup("[limits]\nmax_body = '1KiB'").start();
    let (mut one, mut two) = (server.connect(), server.connect());
    let upload = |client: &mut Client| {
        let head = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 20\r\n";
        client.send_request(head, b"\"01234567890123456\" ");
        client.response().status
    };
    assert_eq!((upload(&mut one), two.get("/healthz").status), (201, 200));
    reload(&server, "[limits]\nmax_body = '10B'\nkeep_alive = '3s'");
    eventually("new connections obey", || {
        let mut client = server.connect();
        upload(&mut client) == 413
    });
    // Its worker may hear of it a moment later.
    let status = (0..1000).map(|_| upload(&mut one)).find(|status| *status != 201);
    assert_eq!(status, Some(413), "on a connection from before");
    assert_eq!(two.get("/healthz").status, 200);
    let (bytes, end) = two.rest(SOON);
    assert_eq!((bytes.len(), end), (0, End::Closed), "idle for longer than the new keep-alive");
}

#[test]
fn run_5_a_reload_leaves_a_request_under_way_alone() {
    let server = setup("[limits]\nmax_body = '1KiB'").start();
    let mut client = server.connect();
    let head = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\
                Expect: 100-continue\r\n";
    client.send_request(head, b"");
    assert_eq!(client.read_response(false).unwrap().status, 100);
    reload(&server, "[limits]\nmax_body = '10B'");
    client.send(b"\"01234567890123456\" ");
    assert_eq!(client.response().status, 201, "it keeps the settings with which it began");
}

#[test]
fn run_5_threads_and_queue_change_while_running() {
    let pool = |server: &Server| server.threads().iter().filter(|name| name.starts_with("pool-")).count();
    let server = setup("[server]\nthreads = 3").start();
    eventually("three", || pool(&server) == 3);
    for (threads, queue) in [(7, 50), (2, 5), (4, 100)] {
        reload(&server, &format!("[server]\nthreads = {threads}\nqueue = {queue}"));
        eventually("as many as asked for", || pool(&server) == threads);
        assert_eq!(server.upload(b"{}").status, 201);
    }
}

#[test]
fn run_5_max_connections_changes_while_running() {
    let server = setup("[limits]\nmax_connections = 1").start();
    let mut busy = server.connect();
    let head = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
                Expect: 100-continue\r\n";
    busy.send_request(head, b"");
    assert_eq!(busy.read_response(false).unwrap().status, 100);
    assert_eq!(server.get("/healthz").code(), "too_many_connections");
    reload(&server, "[limits]\nmax_connections = 2");
    assert_eq!(server.get("/healthz").status, 200);
    reload(&server, "[limits]\nmax_connections = 1");
    eventually("full again", || server.get("/healthz").status == 503);
    busy.send("{}");
    assert_eq!(busy.response().status, 201, "who is inside stays");
}

#[test]
fn run_5_a_changed_fixed_key_refuses_the_whole_reload_and_is_named() {
    let server = setup("[limits]\nmax_requests = 0").start();
    let mut client = server.connect();
    for (group, key, value) in [
        ("server", "workers", "3"),
        ("uploads", "dir", "'elsewhere'"),
        ("log", "json_file", "'/tmp/elsewhere/log'"),
    ] {
        let text = format!("[security]\nallow_host = ['new.example']\n[{group}]\n{key} = {value}\n");
        let line = hup(&server, &text, "not reloaded");
        assert!(line.contains(&format!("{group}.{key}")) && line.contains(" ERROR "), "{line}");
        assert_eq!(status_for(&mut client, "new.example"), 403, "{key}: half of it was taken over");
    }
    reload(&server, "[security]\nallow_host = ['new.example']\n[limits]\nmax_requests = 0");
    eventually_for(&mut client, "new.example", 200);
}

#[test]
fn run_5_port_host_and_root_of_the_file_are_fixed() {
    let folder = support::Folder::new();
    std::fs::create_dir_all(folder.0.join("other")).unwrap();
    let text = |port: u16, host: &str, root: &str| {
        format!("[server]\nport = {port}\nhost = '{host}'\n[files]\nroot = '{root}'\n")
    };
    let port = process::free_port();
    std::fs::create_dir(folder.0.join("root")).unwrap();
    folder.write("t.toml", text(port, "127.0.0.1", "root"));
    let server = process::Bare::start(folder, &["-c", "t.toml"], &[]);
    server.wait_for_log("  logs ");
    for (key, text) in [
        ("server.port", text(port ^ 1, "127.0.0.1", "root")),
        ("server.host", text(port, "127.0.0.2", "root")),
        ("files.root", text(port, "127.0.0.1", "other")),
    ] {
        server.folder.write("t.toml", text);
        server.signal("HUP");
        server.wait_for_log(key);
    }
    let log = server.log();
    assert_eq!(log.matches("not reloaded").count(), 3, "{log}");
    assert!(!log.contains("configuration reloaded"), "{log}");
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(Client::connect(addr).get("/healthz").status, 200);
}

#[test]
fn run_5_everything_but_what_is_listed_can_change_at_once() {
    let server = setup("").start();
    reload(
        &server,
        "[server]\nthreads = 4\nqueue = 9\nbacklog = 77\ndrain = '3s'\ndrain_delay = '0s'\n\
         [limits]\nmax_connections = 50\nmax_requests = 7\nkeep_alive = '5s'\nheader_timeout = '4s'\n\
         max_header = '4KiB'\nmax_fields = 20\nmax_request_line = '2KiB'\nmax_body = '2KiB'\n\
         body_memory = '1MiB'\n[files]\ndownload = []\n[uploads]\nquota = '1MiB'\n\
         [security]\nallow_host = ['*']\n[log]\naccess = 'off'\nlevel = 'INFO'\n",
    );
}

#[test]
fn run_5_a_broken_file_keeps_the_old_settings_and_says_why() {
    let good = "[security]\nallow_host = ['old.example']\n[limits]\nmax_requests = 0";
    let server = setup(good).start();
    let mut client = server.connect();
    for (text, why) in [
        (
            "[security]\nallow_host = ['new.example']\n[limits]\nkeep_alive = 30",
            "t.toml:4:14: limits.keep_alive",
        ),
        ("[security]\nallow_host = ['new.example', 5]", "t.toml:2:30: security.allow_host"),
        ("[security\n", "t.toml:1:"),
        ("[limits]\nno_such_key = 1", "t.toml:2:1: limits.no_such_key: unknown key"),
    ] {
        let line = hup(&server, text, "not reloaded");
        assert!(line.contains(why) && line.contains(" ERROR "), "{line}");
        assert_eq!(status_for(&mut client, "old.example"), 200);
        assert_eq!(status_for(&mut client, "new.example"), 403);
    }
    std::fs::remove_file(server.folder.0.join("t.toml")).unwrap();
    let before = lines_with(&server, "not reloaded").len();
    server.signal("HUP");
    eventually("it says so", || lines_with(&server, "not reloaded").len() > before);
    assert!(lines_with(&server, "not reloaded").pop().unwrap().contains("t.toml"));
    reload(&server, &good.replace("old", "new"));
    eventually_for(&mut client, "new.example", 200);
}

#[test]
fn run_5_hup_without_a_file_reopens_the_logs_and_goes_on() {
    let mut server = Server::start(&[]);
    server.signal("HUP");
    server.wait_for_log("configuration reloaded");
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn run_5_the_access_log_changes_its_format_at_once() {
    let server = setup("[log]\naccess = 'pretty'").args(&["--keep-alive", "10m"]).start();
    let mut client = server.connect();
    assert_eq!(client.get("/first").status, 404);
    eventually("pretty", || lines_with(&server, "GET /first").len() == 1);
    assert!(lines_with(&server, "GET /first")[0].contains("worker-"));
    hup(&server, "[log]\naccess = 'json'", "configuration reloaded");
    eventually("json", || {
        assert_eq!(server.get("/second").status, 404);
        let lines = lines_with(&server, "/second");
        lines.iter().any(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
    });
    hup(&server, "[log]\naccess = 'off'", "configuration reloaded");
    assert_eq!(client.get("/third").status, 404);
    let before = client.get("/healthz").status;
    hup(&server, "[log]\naccess = 'combined'", "configuration reloaded");
    eventually("combined", || {
        assert_eq!(server.get("/fourth").status, 404);
        lines_with(&server, "\"GET /fourth HTTP/1.1\" 404 ").iter().any(|line| line.contains("] \"GET"))
    });
    assert_eq!((before, lines_with(&server, "GET /third").len()), (200, 0));
}

#[test]
fn run_5_a_hundred_reloads_under_load_lose_no_request() {
    let good = |round: usize| format!("[limits]\nmax_requests = 0\nkeep_alive = '{}s'\n", 20 + round % 9);
    let server = setup(&good(0)).args(&["--access-log", "off"]).start();
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let (addr, stop, served) = (server.addr, Arc::clone(&stop), Arc::clone(&served));
            std::thread::spawn(move || {
                let mut client = Client::connect(addr);
                while !stop.load(Ordering::Relaxed) {
                    let response = client.get("/a.html");
                    assert_eq!((response.status, response.text().as_str()), (200, "here"));
                    assert!(!response.closes(), "every connection is kept");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 0..100 {
        if round % 4 == 3 {
            hup(&server, "[limits]\nkeep_alive = 1", "not reloaded");
        } else {
            hup(&server, &good(round), "configuration reloaded");
        }
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("a request was lost");
    }
    assert!(served.load(Ordering::Relaxed) > 100, "there was load");
    assert_eq!(lines_with(&server, "configuration reloaded").len(), 75);
}
