//! What `cargo xtask faults` found once, each in a moment: a call fails, and nobody is lied to, nothing ends, and nothing of
//! it stays.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod strace;
mod support;

use std::process::Command;

use strace::{Strace, assert_refused, is_root, names, stored_name};
use support::{Server, Setup};

/// Attached to every thread, with these arguments and those that name the call.
fn fault(server: &Server, call: &str, injection: &str) -> Strace {
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:{injection}"));
    Strace::attach(server, "", &["-e", &trace, "-e", &inject])
}

fn hits(strace: Strace) -> usize {
    strace.detach().iter().filter(|line| line.contains("(INJECTED)")).count()
}

/// One worker and one pool thread, so that all calls of a kind are of one of two threads.
fn server(setup: Setup, args: &[&str]) -> Server {
    setup.args(&["--workers", "1", "--threads", "1", "--access-log", "off"]).args(args).start()
}

/// A listing that leaves out what it could not look at would lie.
#[test]
fn file_8_a_list_that_cannot_be_whole_is_none() {
    if !is_root("file_8_a_list_that_cannot_be_whole_is_none") {
        return;
    }
    let setup = Setup::new().file("d/apple.txt", "a").file("d/birch.txt", "b").file("warm.html", "w");
    let server = server(setup, &["--listing"]);
    assert_eq!(server.connect().get("/warm.html").status, 200);
    let strace = fault(&server, "statx", "error=EIO");
    assert_refused(&server.connect().get("/d/"), 500, "internal");
    assert!(hits(strace) > 0);
    let whole = server.connect().get("/d/");
    assert_eq!(whole.status, 200);
    assert!(whole.text().contains("apple.txt") && whole.text().contains("birch.txt"), "{}", whole.text());
}

/// A read that ends before the size that the stamps tell: the file is read again, or visibly cut, and never shortened.
#[test]
fn file_3_a_file_that_loses_its_end_is_never_served_as_whole() {
    if !is_root("file_3_a_file_that_loses_its_end_is_never_served_as_whole") {
        return;
    }
    let content = "0123456789".repeat(500);
    let server = server(Setup::new().file("a.bin", &content).file("b.bin", &content), &[]);
    for (path, when) in [("/a.bin", "when=1"), ("/b.bin", "when=1+1")] {
        let strace = fault(&server, "preadv2,pread64", &format!("retval=0:{when}"));
        let mut client = server.connect();
        client.send_request(&format!("GET {path} HTTP/1.1\r\n"), b"");
        if let Some(answer) = client.try_response(false) {
            assert!(
                answer.status != 200 || answer.text() == content,
                "{path}: {} bytes",
                answer.text().len()
            );
        }
        assert!(hits(strace) > 0);
        assert_eq!(server.connect().get(path).text(), content, "when it is over it is whole");
    }
}

/// No descriptor is left for a file: that passes, and so says the answer.
#[test]
fn load_6_no_descriptor_for_a_file_is_a_shortage_and_no_fault_of_ours() {
    if !is_root("load_6_no_descriptor_for_a_file_is_a_shortage_and_no_fault_of_ours") {
        return;
    }
    let setup = Setup::new().file("EMFILE.html", "a").file("ENFILE.html", "a").file("ENOMEM.html", "a");
    let server = server(setup, &[]);
    for error in ["EMFILE", "ENFILE", "ENOMEM"] {
        let path = format!("/{error}.html");
        let strace = fault(&server, "openat2", &format!("error={error}"));
        let answer = server.connect().get(&path);
        assert_eq!(answer.status, 503, "{error}: {}", answer.text());
        assert!(answer.field("retry-after").is_some(), "{error}");
        assert_eq!(server.connect().get("/healthz").status, 200);
        assert!(hits(strace) > 0);
        assert_eq!(server.connect().get(&path).text(), "a", "{error} is over");
    }
}

/// A limit of the size of files (`ulimit -f`, `LimitFSIZE=`) ends a process by a signal, unless it is ignored.
#[test]
fn up_5_a_file_size_limit_costs_the_upload_alone() {
    if !is_root("up_5_a_file_size_limit_costs_the_upload_alone") {
        return;
    }
    let mut server = server(Setup::new().file("a.html", "served"), &[]);
    limit_files(&server, "5000");
    let long = format!("[\"{}\"]", "x".repeat(20_000));
    for _ in 0..3 {
        assert_refused(&server.upload(long.as_bytes()), 507, "disk_full");
    }
    assert_eq!(names(&server.uploads()), [""; 0], "nothing is left behind");
    let short = stored_name(&server.upload(b"[1]"));
    assert_eq!(server.connect().get("/a.html").text(), "served");
    limit_files(&server, "unlimited");
    let whole = stored_name(&server.upload(long.as_bytes()));
    assert_eq!(std::fs::read(server.uploads().join(whole)).unwrap(), long.as_bytes());
    assert_eq!(std::fs::read(server.uploads().join(short)).unwrap(), b"[1]");
    assert!(server.child.try_wait().unwrap().is_none());
}

fn limit_files(server: &Server, bytes: &str) {
    let (pid, limit) = (server.pid().to_string(), format!("--fsize={bytes}:unlimited"));
    assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
}

/// At the start each shortage has exit code 1 and a line; none has a panic.
#[test]
fn run_3_a_shortage_at_the_start_is_said() {
    if !is_root("run_3_a_shortage_at_the_start_is_said") {
        return;
    }
    for call in ["socketpair", "epoll_create1", "eventfd2", "socket", "clone3"] {
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:error=EMFILE"));
        let words = ["strace", "-f", "-qq", "--seccomp-bpf", "-o", "trace.log", "-e", &trace, "-e", &inject];
        let ended = Setup::new().wrapper(&words).command().output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{call}: {said}");
        assert!(!said.trim().is_empty() && !said.contains("panicked"), "{call}: {said}");
    }
}
