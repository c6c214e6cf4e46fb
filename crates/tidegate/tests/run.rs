//! Starting the server: the start-up block, where it listens, what it does when it cannot (SPEC RUN-1, RUN-2),
//! and the two health pages.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use process::{Bare, ended, free_port, get_over_unix, run};
use support::{Client, Folder, SOON, Server, Setup, eventually};

/// A folder with an empty `root`.
fn folder() -> Folder {
    let folder = Folder::new();
    std::fs::create_dir(folder.0.join("root")).unwrap();
    folder
}

/// The row of the start-up block called `name`.
fn row(server: &Server, name: &str) -> String {
    let start = format!("  {name} ");
    let line = server.log().into_iter().find(|line| line.starts_with(&start));
    line.unwrap_or_else(|| panic!("no row {name}: {:#?}", server.log()))[start.len()..].trim().to_owned()
}

/// Waits until it says `text` or ends, and how it ended.
fn says_or_ends(server: &mut Bare, text: &str) -> Option<ExitStatus> {
    let begun = Instant::now();
    while !server.log().contains(text) {
        let status = ended(&mut server.child, Duration::from_millis(10));
        if status.is_some() {
            return status;
        }
        assert!(begun.elapsed() < SOON, "it neither says {text:?} nor ends: {}", server.log());
    }
    None
}

#[test]
fn run_1_the_start_up_block_tells_what_runs_and_where() {
    let mut server = Server::start(&["--workers", "2"]);
    server.wait_for_log("  logs ");
    let log = server.log();
    assert!(log[0].contains(" INFO ") && log[0].contains("tidegate"), "{log:#?}");
    assert_eq!(row(&server, "url"), format!("http://{}/", server.addr));
    let root = server.root().canonicalize().unwrap();
    assert_eq!(row(&server, "root"), root.display().to_string());
    assert_eq!(row(&server, "uploads"), root.join("uploads").display().to_string());
    assert!(row(&server, "workers").starts_with("2 "));
    assert_eq!(row(&server, "pool"), "10 threads, queue 100");
    let all = log.join("\n");
    for part in ["10000 connections", "100 requests", "30s", "8 KiB", "10s", "100 fields", "1 MiB", "256 MiB"]
    {
        assert!(all.contains(part), "{part}: {all}");
    }
    let logs = row(&server, "logs");
    assert!(logs.contains("standard output") && logs.contains("pretty") && logs.contains("INFO"), "{logs}");
}

#[test]
fn run_1_the_start_up_block_tells_the_values_given() {
    let args = [
        "--workers=3",
        "--threads=4",
        "--queue=7",
        "--max-connections=99",
        "--max-requests=0",
        "--keep-alive=1500ms",
        "--max-body=3MiB",
        "--max-fields=50",
        "--json-log-file=j.log",
        "--log-level=debug",
    ];
    let (server, _) = Bare::serve(folder(), &args, &[]);
    server.wait_for_log("  logs ");
    let text = server.log();
    for part in
        ["3 event loops", "4 threads, queue 7", "99 connections", "1.5s", "3 MiB", "50 fields", "pretty"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("j.log") && text.contains("DEBUG"), "{text}");
    assert!(!text.contains("100 requests"), "{text}");
    eventually("as many threads as said", || {
        let names: Vec<_> = std::fs::read_dir(format!("/proc/{}/task", server.child.id()))
            .unwrap()
            .map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default())
            .collect();
        let named = |start: &str| names.iter().filter(|name| name.starts_with(start)).count();
        (named("worker-"), named("pool-")) == (3, 4)
    });
}

#[test]
fn run_1_no_option_serves_resources_on_8080_of_loopback() {
    let checked = run(&folder().0, &["check"], &[]);
    assert_eq!(checked.code, Some(0), "{}", checked.err);
    for line in ["port = 8080", "host = \"127.0.0.1\"", "root = \"resources\""] {
        assert!(checked.out.lines().any(|found| found == line), "{line}: {}", checked.out);
    }
}

#[test]
fn run_1_the_soft_limit_of_files_is_raised_to_the_hard_one() {
    let setup = Setup::new().args(&["--max-connections", "100"]);
    let mut server = setup.wrapper(&["prlimit", "--nofile=128:1024"]).start();
    server.wait_for_log("  logs ");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<_> = line.split_whitespace().filter_map(|word| word.parse::<u64>().ok()).collect();
    assert_eq!(numbers, [1024, 1024], "{line}");
    assert!(process::lines_with(&server, "lowered").is_empty(), "100 + 64 fit into 1024");
}

#[test]
fn run_1_too_few_files_lower_the_cap_and_it_is_said() {
    let mut server = Setup::new().wrapper(&["prlimit", "--nofile=200:200"]).start();
    let line = server.wait_for_log("lowered");
    assert!(line.contains("WARNING") && line.contains("136") && line.contains("200"), "{line}");
    server.wait_for_log("  logs ");
    assert!(row(&server, "limits").starts_with("136 connections"), "{:#?}", server.log());
    // Exactly at max-connections + 64 nothing is lowered.
    let setup = Setup::new().args(&["--max-connections", "136"]);
    let enough = setup.wrapper(&["prlimit", "--nofile=200:200"]).start();
    assert_eq!(enough.get("/healthz").status, 200);
    assert!(process::lines_with(&enough, "lowered").is_empty(), "{:#?}", enough.log());
}

#[test]
fn run_2_port_0_takes_a_free_port_and_says_which() {
    let (one, two) = (Server::start(&[]), Server::start(&[]));
    assert_ne!(one.addr.port(), 0);
    assert_ne!(one.addr, two.addr);
    assert_eq!((one.get("/healthz").status, two.get("/healthz").status), (200, 200));
}

#[test]
fn run_2_positionals_are_port_host_and_threads() {
    let port = free_port().to_string();
    let server = Bare::start(folder(), &[&port, "127.0.0.2", "3", "-r", "root"], &[]);
    let url = format!("http://127.0.0.2:{port}/");
    server.wait_for_log("  logs ");
    assert!(server.log().contains(&url) && server.log().contains("3 threads"), "{}", server.log());
    let addr: SocketAddr = format!("127.0.0.2:{port}").parse().unwrap();
    assert_eq!(Client::connect(addr).get("/healthz").status, 200);
}

#[test]
fn run_2_listens_on_ipv4_ipv6_and_unix_at_once() {
    let args = ["--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--listen", "unix:here.sock"];
    let mut server = Setup::new().file("a.html", "here").args(&args).start();
    server.wait_for_log("  logs ");
    assert_eq!(server.get("/a.html").text(), "here");
    let six = server.log().iter().find_map(|line| {
        let addr = line.split("http://").nth(1)?.trim_end_matches('/');
        addr.starts_with('[').then(|| addr.parse::<SocketAddr>().unwrap())
    });
    let six = six.expect("a line with the IPv6 address");
    assert_eq!(Client::connect(six).get("/a.html").text(), "here");
    let path = server.folder.0.join("here.sock");
    assert!(server.log().iter().any(|line| line.contains("unix:here.sock")), "{:#?}", server.log());
    for _ in 0..5 {
        let answer = get_over_unix(&path, "/a.html");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nhere"), "{answer}");
    }
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(!path.exists(), "the socket file is removed at the end");
}

#[test]
fn run_2_a_unix_socket_in_use_is_not_taken_and_a_dead_one_is() {
    let folder = folder();
    let path = folder.0.join("s");
    let live = UnixListener::bind(&path).unwrap();
    let args = ["--listen", "unix:s", "-r", "root"];
    let refused = run(&folder.0, &args, &[]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("unix:s") && refused.err.contains("in use"), "{}", refused.err);
    assert!(path.exists(), "the other server keeps its socket");
    drop(live);
    let mut server = Bare::start(folder, &args, &[]);
    server.wait_for_log("  logs ");
    assert!(get_over_unix(&path, "/healthz").starts_with("HTTP/1.1 200 "));
    server.signal("INT");
    assert_eq!(server.wait().code(), Some(0));
    std::fs::write(&path, "mine").unwrap();
    let refused = run(&server.folder.0, &args, &[]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert_eq!(std::fs::read(&path).unwrap(), b"mine", "a file is no leftover of ours");
}

/// A successor started while the old server drains takes over the path; the old one must leave it alone.
#[test]
fn run_2_the_end_does_not_remove_the_socket_of_a_successor() {
    let args = ["--listen", "unix:s", "-r", "root", "--drain", "20s"];
    let mut old = Bare::start(folder(), &args, &[]);
    old.wait_for_log("  logs ");
    let path = old.folder.0.join("s");
    // An upload that is not finished keeps the old server draining.
    let mut busy = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let head = "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    std::io::Write::write_all(&mut busy, head.as_bytes()).unwrap();
    busy.set_read_timeout(Some(support::SOON)).unwrap();
    let mut interim = [0; 4];
    std::io::Read::read_exact(&mut busy, &mut interim).unwrap();
    old.signal("TERM");
    old.wait_for_log("shutting down");
    eventually("it stops accepting", || std::os::unix::net::UnixStream::connect(&path).is_err());
    let successor = Setup::new().args(&["--listen", &format!("unix:{}", path.display())]).start();
    std::io::Write::write_all(&mut busy, b"{}").unwrap();
    assert_eq!(old.wait().code(), Some(0));
    assert!(path.exists(), "the successor's socket file is gone");
    assert!(get_over_unix(&path, "/healthz").starts_with("HTTP/1.1 200 "));
    drop(successor);
}

#[test]
fn run_3_a_port_in_use_is_exit_1_and_says_so() {
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let refused = run(&folder().0, &["-p", &port, "-r", "root"], &[]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("in use") && refused.err.contains(&port), "{}", refused.err);
    assert_eq!(refused.out, "", "nothing half-starts");
    // One good listener does not help a bad one, and leaves nothing behind.
    let folder = folder();
    let args = ["--listen", "unix:s", "--listen", &format!("127.0.0.1:{port}"), "-r", "root"];
    assert_eq!(run(&folder.0, &args, &[]).code, Some(1));
    assert!(!folder.0.join("s").exists());
}

#[test]
fn run_3_two_servers_never_share_a_port() {
    for workers in ["1", "4"] {
        let first = Server::start(&["--workers", workers]);
        let port = first.addr.port().to_string();
        for host in ["127.0.0.1", "0.0.0.0"] {
            let args = ["-p", &port, "-H", host, "-r", "root", "--workers", workers];
            let second = run(&folder().0, &args, &[]);
            assert_eq!(second.code, Some(1), "{host}: {}{}", second.out, second.err);
            assert!(second.err.contains("in use"), "{}", second.err);
        }
        assert_eq!(first.get("/healthz").status, 200);
    }
}

#[test]
fn run_3_of_servers_started_together_one_serves() {
    for round in 0..8 {
        let port = free_port().to_string();
        let args = ["-p", &port, "-r", "root", "--workers", "4", "--drain", "1s"];
        let mut all = [(); 4].map(|()| Bare::start(folder(), &args, &[]));
        let url = format!("127.0.0.1:{port}/");
        let outcomes =
            all.each_mut().map(|server| says_or_ends(server, &url).and_then(|status| status.code()));
        let count = |what| outcomes.iter().filter(|outcome| **outcome == what).count();
        assert_eq!((count(None), count(Some(1))), (1, 3), "round {round}: {outcomes:?}");
    }
}

#[test]
fn run_2_a_missing_root_is_exit_1_with_the_hint() {
    let folder = folder();
    folder.write("file", "x");
    for root in ["nowhere", "file"] {
        let refused = run(&folder.0, &["-p", "0", "-r", root], &[]);
        assert_eq!(refused.code, Some(1), "{}", refused.err);
        assert!(refused.err.contains(root) && refused.err.contains("-r "), "{}", refused.err);
        assert_eq!(refused.out, "");
    }
    let refused = run(&folder.0, &["-p", "0"], &[]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("resources") && refused.err.contains("-r "), "{}", refused.err);
}

#[test]
fn host_3_a_wildcard_without_names_says_the_flag_to_add() {
    let hint = |args: &[&str]| {
        let mut server = Server::start(args);
        // A line that was to come has come when that of a request has.
        let addr = (Ipv4Addr::LOCALHOST, server.addr.port()).into();
        assert_eq!(Client::connect(addr).get("/healthz").status, 200);
        server.wait_for_log("GET /healthz");
        process::lines_with(&server, "--allow-host").len()
    };
    assert_eq!(hint(&["-H", "0.0.0.0"]), 1);
    assert_eq!(hint(&["-H", "0.0.0.0", "--allow-host", "files.example"]), 0);
    assert_eq!(hint(&["-H", "127.0.0.1"]), 0);
}

#[test]
fn obs_4_health_and_readiness_answer_every_peer() {
    let server = Setup::new().args(&["--max-requests", "0"]).start();
    let mut client = server.connect();
    for (target, text) in [("/healthz", "ok"), ("/readyz", "ready"), ("/healthz?x=1", "ok")] {
        let response = client.get(target);
        assert_eq!((response.status, response.text().trim()), (200, text), "{target}");
        assert_eq!(response.field("cache-control"), Some("no-store"));
        client.send_request(&format!("HEAD {target} HTTP/1.1\r\n"), b"");
        let head = client.response_to("HEAD /");
        assert_eq!(head.status, 200);
        assert_eq!(head.field("content-length"), response.field("content-length"));
    }
    client.send_request("POST /healthz HTTP/1.1\r\nContent-Length: 0\r\n", b"");
    let refused = client.response();
    assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD, OPTIONS")));
    // Through a proxy too: no local operator is needed.
    let head = "GET /readyz HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1\r\nVia: 1.1 proxy\r\n";
    assert_eq!(server.request(head, b"").status, 200);
    for target in ["/healthz/", "/healthz/x", "/healthzz"] {
        assert_eq!(client.get(target).status, 404, "{target}");
    }
}

/// With any limit the server either does not start, with exit code 1, or it runs with every worker it has.
#[test]
fn run_3_nothing_half_starts_for_want_of_descriptors() {
    for limit in [8, 12, 14, 16, 18, 20, 22, 26, 40, 64] {
        let folder = folder();
        let port = free_port();
        let mut command = std::process::Command::new("prlimit");
        process::clean(&mut command, &folder.0).arg(format!("--nofile={limit}:{limit}"));
        command.args([
            support::BINARY,
            "-r",
            "root",
            "--workers",
            "2",
            "--log-file",
            "log",
            "-p",
            &port.to_string(),
        ]);
        let child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
        let mut server = Bare { child, folder };
        if let Some(status) = says_or_ends(&mut server, "  logs ") {
            assert_eq!(status.code(), Some(1), "{limit}");
            continue;
        }
        let tasks = format!("/proc/{}/task", server.child.id());
        let name =
            |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let names: Vec<_> = std::fs::read_dir(tasks).unwrap().map(|task| name(task.unwrap())).collect();
        let workers = names.iter().filter(|name| name.starts_with("worker-")).count();
        assert_eq!(workers, 2, "{limit} descriptors: {}", server.log());
        assert_eq!(
            Client::connect((Ipv4Addr::LOCALHOST, port).into()).get("/healthz").status,
            200,
            "{limit}"
        );
    }
}
