//! Who stands still is told by the server itself: a thread of the pool on a disk that does not answer, a worker whose
//! loop does not turn (SPEC LOAD-1, LOAD-2); and that nobody else waits for it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod fuse;
mod process;
mod strace;
mod support;

use std::time::Duration;

use fuse::{Fuse, Slow, content};
use process::lines_with;
use strace::{Strace, is_root};
use support::{Setup, eventually};

#[test]
fn row_j2_load_2_a_disk_that_does_not_answer_is_told_once_and_when_it_does() {
    if !is_root("row_j2_load_2_a_disk_that_does_not_answer_is_told_once_and_when_it_does") {
        return;
    }
    let setup = Setup::new().args(&["--workers", "1", "--threads", "3"]).file("page.html", "page");
    let at = setup.root().join("slow");
    std::fs::create_dir(&at).unwrap();
    let files = ["0.html", "1.html"].map(|name| Slow { name, size: 20_000, broken_from: None });
    let fuse = Fuse::mount(&at, files.into(), Duration::from_secs(3600));
    let mut server = setup.start();
    assert_eq!(server.get("/page.html").text(), "page");
    fuse.delay(Duration::from_secs(4));
    let mut clients = ["0", "1"].map(|name| {
        let mut client = server.connect();
        client.send_request(&format!("GET /slow/{name}.html HTTP/1.1\r\n"), b"");
        client
    });
    server.wait_for_log("stands: opening a file for");
    eventually("both are told", || lines_with(&server, " stands: ").len() == 2);
    assert_eq!(server.get("/page.html").text(), "page", "the third thread and the worker work on");
    fuse.delay(Duration::ZERO);
    for client in &mut clients {
        assert!(client.response().body == content(0, 20_000));
    }
    eventually("it is told that they go on", || {
        lines_with(&server, "goes on: opening a file took").len() == 2
    });
    assert_eq!(lines_with(&server, " stands: ").len(), 2, "once each: {:#?}", server.log());
    let told = lines_with(&server, " stands: ");
    assert!(told.iter().all(|line| line.contains("WARN") && line.contains("pool-")), "{told:?}");
}

/// The worker is held in a system call, as by a lock of the kernel.
#[test]
fn row_j2_load_1_a_worker_that_does_not_turn_is_told_and_the_other_serves() {
    if !is_root("row_j2_load_1_a_worker_that_does_not_turn_is_told_and_the_other_serves") {
        return;
    }
    let setup = Setup::new().args(&["--workers", "2", "--max-requests", "0"]).file("page.html", "page");
    let mut server = setup.start();
    // Each connection is of one of both workers.
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/page.html").text(), "page");
    }
    let held = ["-e", "trace=epoll_wait,epoll_pwait", "-e"];
    let strace = Strace::attach(
        &server,
        "worker-1",
        &[&held[..], &["inject=epoll_wait,epoll_pwait:delay_enter=4000000:when=1"]].concat(),
    );
    let told = server.wait_for_log("worker-1 stands for");
    assert!(told.contains("ERROR"), "{told}");
    for client in &mut clients {
        client.send_request("GET /page.html HTTP/1.1\r\n", b"");
    }
    server.wait_for_log("worker-1 goes on after");
    for client in &mut clients {
        assert_eq!(client.response().text(), "page", "nobody is lost by it");
    }
    drop(strace);
    assert_eq!(lines_with(&server, "worker-1 stands").len(), 1);
    assert!(lines_with(&server, "worker-0 stands").is_empty(), "{:#?}", server.log());
}

/// Negative control: a whole process that was stopped, as a machine that slept, blames none of its threads.
#[test]
fn row_j2_load_1_a_process_that_was_stopped_tells_of_nobody() {
    let setup = Setup::new().file("page.html", "page");
    let server = setup.start();
    assert_eq!(server.get("/page.html").text(), "page");
    std::thread::sleep(Duration::from_millis(1100));
    server.signal("STOP");
    std::thread::sleep(Duration::from_millis(3500));
    server.signal("CONT");
    assert_eq!(server.get("/page.html").text(), "page");
    std::thread::sleep(Duration::from_millis(1500));
    assert!(lines_with(&server, "stands").is_empty(), "{:#?}", server.log());
}
