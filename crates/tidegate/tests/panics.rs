//! A panic costs the one request that met it (SPEC LOAD-4). Needs `--features failpoints`.
#![cfg(feature = "failpoints")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod strace;
mod support;

use strace::{Strace, assert_refused, is_root, names};
use support::{Server, Setup};

fn armed(point: &str) -> Server {
    let args = ["--threads", "2", "--workers", "2", "--body-memory", "3KiB", "--max-body", "2KiB"];
    Setup::new().file("page.html", "served").env("FAILPOINTS", point).args(&args).start()
}

fn sorted_threads(server: &Server) -> Vec<String> {
    let mut threads: Vec<_> = strace::named_threads(server).into_iter().map(|(_, name)| name).collect();
    threads.sort();
    threads
}

#[test]
fn row_j1_load_4_a_panic_on_the_pool_costs_one_upload() {
    let mut server = armed("upload");
    let threads = sorted_threads(&server);
    let mut beside = server.connect();
    assert_eq!(beside.get("/page.html").text(), "served");
    let body = format!("\"{}\"", "x".repeat(1500));
    // More often than there are threads, and more bytes than there is memory for bodies.
    for _ in 0..10 {
        let response = server.upload(body.as_bytes());
        assert_refused(&response, 500, "internal");
        assert_eq!(response.field("cache-control"), Some("no-store"));
        assert!(!response.text().contains("failpoint"), "the client is told nothing of the inside");
        assert_eq!(beside.get("/page.html").text(), "served");
    }
    assert_eq!(sorted_threads(&server), threads);
    assert!(names(&server.uploads()).is_empty());
    assert_eq!(server.get("/readyz").status, 200);
    server.wait_for_log("panicked");
}

#[test]
fn row_j1_load_4_a_panic_on_a_worker_costs_one_request() {
    let server = armed("judge");
    let threads = sorted_threads(&server);
    let mut waiting = server.connect();
    waiting.send("GET /page.html HTTP/1.1\r\nHo");
    for _ in 0..10 {
        let response = server.get("/page.html");
        assert_refused(&response, 500, "internal");
        assert!(response.closes());
        assert_refused(&server.upload(b"[1]"), 500, "internal");
    }
    // A connection that was open all the while goes on to its own request.
    let host = server.host();
    waiting.send(format!("st: {host}\r\n\r\n"));
    assert_refused(&waiting.response(), 500, "internal");
    // Only the first of a pipeline is answered: nothing is taken from a connection in doubt.
    let mut pipeline = server.connect();
    let request = format!("GET /page.html HTTP/1.1\r\nHost: {host}\r\n\r\n");
    pipeline.send(request.repeat(3));
    assert_refused(&pipeline.response(), 500, "internal");
    assert!(pipeline.is_closed());
    assert_eq!(sorted_threads(&server), threads);
}

/// Opening goes to the pool only where it would block: the kernel is made to say so.
#[test]
fn row_j1_load_4_a_panic_while_a_file_is_opened_costs_one_request() {
    if !is_root("row_j1_load_4_a_panic_while_a_file_is_opened_costs_one_request") {
        return;
    }
    let server = armed("open");
    // The kernel now knows by heart that there are no coded files beside it; else that would be for the pool to see.
    for suffix in ["br", "zst", "gz"] {
        assert!(!server.folder.0.join(format!("root/page.html.{suffix}")).exists());
    }
    let threads = sorted_threads(&server);
    let fault = ["-e", "trace=openat2", "-e", "inject=openat2:error=EAGAIN"];
    let strace = Strace::attach(&server, "worker-", &fault);
    for _ in 0..10 {
        assert_refused(&server.get("/page.html"), 500, "internal");
        assert_eq!(server.get("/healthz").status, 200);
    }
    drop(strace);
    assert_eq!(server.get("/page.html").text(), "served");
    assert_eq!(server.upload(b"[1]").status, 201, "the threads that panicked work on");
    assert_eq!(sorted_threads(&server), threads);
}

/// Negative control: what is not armed does nothing.
#[test]
fn row_j1_load_4_an_unarmed_point_is_nothing() {
    let server = armed("control");
    assert_eq!(server.get("/page.html").text(), "served");
    assert_eq!(server.upload(b"[1]").status, 201);
}
