//! Threads and overload (SPEC LOAD-1, LOAD-2, LOAD-3, LOAD-8): what a connection costs, what the pool refuses,
//! who gets a seat, and how much memory bodies in progress may hold.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod strace;
mod support;

use std::time::Duration;

use strace::{Strace, assert_refused, is_root, names, stored_name};
use support::{Client, Server, Setup, eventually};

const UPLOAD: &str = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\n";

fn count(names: &[String], begin: &str) -> usize {
    names.iter().filter(|name| name.starts_with(begin)).count()
}

/// Waits until one thread works and `waiting` uploads wait for it.
fn pool_is(server: &Server, waiting: usize) {
    let lines = ["\ntidegate_pool_busy 1\n".to_owned(), format!("\ntidegate_pool_queue_depth {waiting}\n")];
    eventually("the pool is as busy as that", || {
        let text = server.get("/metrics").text();
        lines.iter().all(|line| text.contains(line))
    });
}

/// A connection that is certainly busy: it was asked for a body that it does not send.
fn busy(server: &Server) -> Client {
    let mut client = server.connect();
    client.send_request(&format!("{UPLOAD}Expect: 100-continue\r\nContent-Length: 10\r\n"), b"");
    assert_eq!(client.read_response(false).unwrap().status, 100);
    client
}

#[test]
fn load_1_load_2_threads_are_named_and_as_many_as_configured() {
    let server = Server::start(&["--workers", "3", "--threads", "5"]);
    let threads: Vec<_> = strace::named_threads(&server).into_iter().map(|(_, name)| name).collect();
    for name in ["worker-0", "worker-1", "worker-2", "pool-0", "pool-1", "pool-2", "pool-3", "pool-4"] {
        assert!(threads.iter().any(|thread| thread == name), "{name}: {threads:?}");
    }
    assert_eq!((count(&threads, "worker-"), count(&threads, "pool-")), (3, 5));
}

#[test]
fn row_e5_load_1_idle_and_slow_connections_cost_memory_and_no_thread() {
    let server = Setup::new().file("index.html", "x").args(&["--threads", "2"]).start();
    let mut first = server.connect();
    assert_eq!(first.get("/").status, 200);
    let (threads, memory) = (strace::named_threads(&server).len(), server.memory_kib());
    let mut silent: Vec<Client> = (0..250).map(|_| server.connect()).collect();
    let mut slow: Vec<Client> = (0..250).map(|_| server.connect()).collect();
    for client in &mut silent {
        assert_eq!(client.get("/").status, 200, "each is accepted, and idle from here on");
    }
    for client in &mut slow {
        client.send("GET / HTTP/1.1\r\nHo");
    }
    assert_eq!(first.get("/").status, 200);
    assert_eq!(server.threads().len(), threads);
    let grown = server.memory_kib().saturating_sub(memory);
    assert!(grown < 250 * 24 + 250 * 4 + 2048, "{grown} KiB for 500 connections");
    let rest = format!("st: {}\r\n\r\n", server.host());
    for client in &mut slow {
        client.send(&rest);
        assert_eq!(client.response().status, 200, "the slow ones are served as well");
    }
}

/// The bodies of as many requests as there are threads and places: none of them holds one.
#[test]
fn load_8_a_body_on_its_way_holds_no_thread_and_no_place_in_the_queue() {
    let server = Server::start(&["--threads", "1", "--queue", "1"]);
    let mut arriving: Vec<_> = (0..20).map(|_| busy(&server)).collect();
    assert_eq!(server.upload(b"[\"whole\"]").status, 201);
    assert_eq!(server.get("/readyz").status, 200);
    for client in &mut arriving {
        client.send("\"12345678\"");
        assert_eq!(client.response().status, 201);
    }
}

#[test]
fn load_8_bodies_over_the_budget_are_refused_before_they_are_read() {
    let server = Server::start(&["--body-memory", "100KiB", "--max-body", "60KiB"]);
    let announce = format!("{UPLOAD}Expect: 100-continue\r\nContent-Length: 51200\r\n");
    let ask = || {
        let mut client = server.connect();
        client.send_request(&announce, b"");
        let response = client.read_response(false).unwrap();
        (client, response)
    };
    let (mut first, asked) = ask();
    assert_eq!(asked.status, 100);
    let (second, asked) = ask();
    assert_eq!(asked.status, 100);
    let (_third, refused) = ask();
    assert_refused(&refused, 503, "uploads_busy");
    assert!(refused.field("retry-after").is_some());
    let refused = server.request(&format!("{UPLOAD}Transfer-Encoding: chunked\r\n"), b"1\r\n1\r\n0\r\n\r\n");
    assert_refused(&refused, 503, "uploads_busy");
    assert_eq!(server.get("/healthz").status, 200);
    assert!(names(&server.uploads()).is_empty());
    // Both ways give back: the body comes to its end, or its client leaves.
    first.send(format!("\"{}\"", "x".repeat(51_198)));
    assert_eq!(first.response().status, 201);
    drop(second);
    eventually("all of it is free again", || {
        let taken: Vec<_> = (0..2).map(|_| ask()).collect();
        taken.iter().all(|(_, response)| response.status == 100)
    });
}

/// One thread and one place: the third upload is refused at once, and everything else goes on.
#[test]
fn row_j4_load_3_a_full_queue_is_503_at_once_and_said_once() {
    if !is_root("row_j4_load_3_a_full_queue_is_503_at_once_and_said_once") {
        return;
    }
    let mut server =
        Setup::new().file("page.html", "served").args(&["--threads", "1", "--queue", "1"]).start();
    assert_eq!(server.get("/page.html").status, 200);
    let slow = "inject=fsync:delay_enter=15s";
    let strace = Strace::attach(&server, "pool-", &["-e", "trace=fsync", "-e", slow]);
    let upload = || {
        let mut client = server.connect();
        client.send_request(&format!("{UPLOAD}Content-Length: 1\r\n"), b"1");
        client
    };
    let mut first = upload();
    pool_is(&server, 0);
    let mut second = upload();
    pool_is(&server, 1);
    eventually("not ready", || server.get("/readyz").status == 503);
    assert_refused(&server.get("/readyz"), 503, "pool_saturated");
    for _ in 0..10 {
        let refused = server.upload(b"[3]");
        assert_refused(&refused, 503, "pool_saturated");
        assert!(refused.field("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
        assert_eq!(server.get("/healthz").status, 200);
        assert_eq!(server.get("/page.html").text(), "served");
    }
    // Refused by its head: the body is not asked for.
    let mut asking = server.connect();
    asking.send_request(&format!("{UPLOAD}Expect: 100-continue\r\nContent-Length: 5\r\n"), b"");
    assert_refused(&asking.read_response(false).unwrap(), 503, "pool_saturated");
    drop(strace);
    assert_eq!((first.response().status, second.response().status), (201, 201), "what was taken is kept");
    assert_eq!(names(&server.uploads()).len(), 2);
    assert_eq!(server.get("/readyz").status, 200);
    stored_name(&server.upload(b"[4]"));
    let line = server.wait_for_log("thread pool saturated");
    assert!(line.contains("WARNING"), "{line}");
    let said = server.log().iter().filter(|line| line.contains("thread pool saturated")).count();
    assert_eq!(said, 1, "once per episode");
}

#[test]
fn row_e3_load_3_a_newcomer_over_the_cap_takes_the_place_of_the_longest_idle() {
    let server = Setup::new().file("index.html", "x").args(&["--max-connections", "3"]).start();
    let mut clients: Vec<_> = (0..3)
        .map(|_| {
            let mut client = server.connect();
            assert_eq!(client.get("/").status, 200);
            std::thread::sleep(Duration::from_millis(30));
            client
        })
        .collect();
    // The first came first, but was at work last: now the second is the longest idle.
    server.rests();
    assert_eq!(clients[0].get("/").status, 200);
    server.rests();
    let mut fourth = server.connect();
    assert_eq!(fourth.get("/").status, 200);
    assert!(clients[1].is_closed());
    for client in [0, 2] {
        assert_eq!(clients[client].get("/").status, 200, "client {client} keeps its seat");
    }
    assert_eq!(fourth.get("/").status, 200);
}

#[test]
fn row_e3_load_3_a_newcomer_over_a_cap_without_idle_ones_is_503() {
    let mut server = Setup::new().file("index.html", "x").args(&["--max-connections", "3"]).start();
    let mut seated: Vec<_> = (0..3).map(|_| busy(&server)).collect();
    for _ in 0..5 {
        let mut fourth = server.connect();
        let refused = fourth.response();
        assert_refused(&refused, 503, "too_many_connections");
        assert!(refused.closes() && refused.field("retry-after").is_some());
        assert!(fourth.is_closed());
    }
    seated[0].send("\"12345678\"");
    assert_eq!(seated[0].response().status, 201, "the refused ones have disturbed nobody");
    // It is idle now, and gives way.
    eventually("a seat", || {
        let mut client = server.connect();
        client.send_request("GET / HTTP/1.1\r\n", b"");
        client.try_response(false).is_some_and(|response| response.status == 200)
    });
    server.wait_for_log("too_many_connections");
}

/// Half a head is work, not idleness.
#[test]
fn load_3_a_connection_amid_its_head_is_not_idle() {
    let server = Server::start(&["--max-connections", "3", "--header-timeout", "60s"]);
    let host = server.host();
    let mut halves: Vec<_> = (0..3)
        .map(|_| {
            let mut client = server.connect();
            client.send("GET /healthz HTTP/1.1\r\n");
            client
        })
        .collect();
    server.rests();
    let refused = server.connect().response();
    assert_refused(&refused, 503, "too_many_connections");
    for client in &mut halves {
        client.send(format!("Host: {host}\r\n\r\n"));
        assert_eq!(client.response().status, 200);
    }
}

/// More newcomers at once than are told why: all of them end, and the seated ones do not notice.
#[test]
fn row_e3_load_3_a_crowd_over_the_cap_is_turned_away_whole() {
    let server = Server::start(&["--max-connections", "1"]);
    let mut seated = busy(&server);
    let mut crowd: Vec<_> = (0..300).map(|_| server.connect()).collect();
    let told = crowd.iter_mut().filter_map(|client| client.try_response(false)).count();
    assert!(told >= 1, "none was told why");
    for client in &mut crowd {
        assert!(client.is_closed());
    }
    seated.send("\"12345678\"");
    assert_eq!(seated.response().status, 201);
}

#[test]
fn load_3_no_limit_of_connections_is_zero() {
    let server = Server::start(&["--max-connections", "0"]);
    let clients: Vec<_> = (0..50).map(|_| busy(&server)).collect();
    assert_eq!(server.get("/healthz").status, 200);
    drop(clients);
}

/// A worker asks the kernel only for what needs no disk: everything that may block is for the pool.
#[test]
fn row_j2_load_1_a_worker_makes_no_call_that_may_wait_for_a_disk() {
    if !is_root("row_j2_load_1_a_worker_makes_no_call_that_may_wait_for_a_disk") {
        return;
    }
    let server = Setup::new().file("small.html", "x").file("large.bin", vec![1; 3_000_000]).start();
    let calls = "trace=open,openat,openat2,creat,link,linkat,unlink,unlinkat,rename,renameat,renameat2,mkdirat,\
                 getdents64,fsync,fdatasync,sync_file_range,flock,pread64,preadv,preadv2,pwrite64,stat,lstat,newfstatat";
    let strace = Strace::attach(&server, "worker-", &["-e", calls]);
    for _ in 0..2 {
        assert_eq!(server.get("/small.html").status, 200);
        assert_eq!(server.get("/large.bin").body.len(), 3_000_000);
        assert_eq!(server.get("/missing.html").status, 404);
        assert_eq!(server.get("/folder/").status, 404);
        let name = stored_name(&server.upload(b"[1]"));
        assert_eq!(server.get(&format!("/uploads/{name}")).text(), "[1]");
        std::thread::sleep(Duration::from_millis(1_100));
    }
    let trace: Vec<_> = strace.detach().into_iter().filter(|line| line.contains('(')).collect();
    assert!(trace.iter().any(|line| line.contains("openat2(")), "nothing was traced: {trace:#?}");
    let harmless = |line: &&String| {
        line.contains("openat2(") && line.contains("RESOLVE_CACHED")
            || line.contains("preadv2(") && line.contains("RWF_NOWAIT")
            || line.contains("newfstatat(") && line.contains("\"\", ")
    };
    let blocking: Vec<_> = trace.iter().filter(|line| !harmless(line)).collect();
    assert!(blocking.is_empty(), "{blocking:#?}");
}

/// A file that is not in memory needs the pool: while that is full it is refused, at once, and only it.
#[test]
fn row_j4_load_3_a_file_that_needs_the_full_pool_is_503() {
    if !is_root("row_j4_load_3_a_file_that_needs_the_full_pool_is_503") {
        return;
    }
    let args = ["--threads", "1", "--queue", "1"];
    let server = Setup::new().file("page.html", "served").file("other.html", "too").args(&args).start();
    let slow = "inject=fsync:delay_enter=15s";
    let pool = Strace::attach(&server, "pool-", &["-e", "trace=fsync", "-e", slow]);
    let cold = ["-e", "trace=openat2", "-e", "inject=openat2:error=EAGAIN"];
    let workers = Strace::attach(&server, "worker-", &cold);
    let mut uploads: Vec<_> = (0..2)
        .map(|waiting| {
            let mut client = server.connect();
            client.send_request(&format!("{UPLOAD}Content-Length: 1\r\n"), b"1");
            pool_is(&server, waiting);
            client
        })
        .collect();
    eventually("not ready", || server.get("/readyz").status == 503);
    let refused = server.get("/page.html");
    assert_refused(&refused, 503, "pool_saturated");
    assert!(refused.field("retry-after").is_some());
    assert_eq!(server.get("/healthz").status, 200);
    drop(pool);
    for client in &mut uploads {
        assert_eq!(client.response().status, 201);
    }
    assert_eq!(server.get("/page.html").text(), "served", "by the pool");
    drop(workers);
    assert_eq!(server.get("/other.html").text(), "too");
}

#[test]
fn row_j3_load_8_bodies_in_progress_hold_no_more_memory_than_they_may() {
    let server = Server::start(&["--body-memory", "16MiB"]);
    assert_eq!(server.upload(b"[1]").status, 201);
    let before = server.memory_kib();
    let body = format!("\"{}\"", "m".repeat(539_998));
    let mut clients: Vec<_> = (0..31)
        .map(|_| {
            let mut client = server.connect();
            let head = format!("{UPLOAD}Expect: 100-continue\r\nContent-Length: {}\r\n", body.len());
            client.send_request(&head, b"");
            assert_eq!(client.read_response(false).unwrap().status, 100);
            client.send(&body.as_bytes()[..body.len() - 1]);
            client
        })
        .collect();
    assert_refused(&server.request(&format!("{UPLOAD}Content-Length: 500000\r\n"), b""), 503, "uploads_busy");
    eventually("the bodies are there", || server.memory_kib().saturating_sub(before) > 15 * 1024);
    std::thread::sleep(Duration::from_millis(300));
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 20 * 1024, "{grown} KiB for bodies of 16 MiB");
    for client in &mut clients {
        client.send("\"");
        assert_eq!(client.response().status, 201);
    }
}
