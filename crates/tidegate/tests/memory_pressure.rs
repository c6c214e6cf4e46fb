//! Floods in 64 MiB: what each kind of client can make the server hold has a bound, and the bounds together are less
//! than that (SPEC LOAD-8, H1-5, SEC-1). The kernel kills whoever takes more.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod cgroup;
mod strace;
mod support;
mod visitors;

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use cgroup::Cgroup;
use support::{Client, Server, Setup, eventually};
use visitors::{BEHIND_PROXY, Proxy};

const MEMORY: u64 = 64 * 1024 * 1024;
/// One body of the flood.
const BODY: usize = 1024 * 1024;

/// A server in `group` that stands behind a proxy, so that it can be asked by anybody.
fn server(group: &Cgroup, body_memory: &str) -> Server {
    let enter = group.enter();
    let setup = Setup::new().wrapper(&["sh", "-c", &enter, "sh"]).file("page.html", "page");
    let patient = ["--header-timeout", "120s", "--max-connections-per-ip", "0", "--access-log", "off"];
    setup.args(&BEHIND_PROXY).args(&patient).args(&["--body-memory", body_memory]).start()
}

/// Uploads of a MiB each that stop short of their last byte, each of a client of its own, as long as there is a server.
fn bodies(server: &Server, count: usize) -> Vec<TcpStream> {
    let host = server.host();
    let upload = |number| {
        let mut stream = TcpStream::connect(server.addr).ok()?;
        stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        let head = format!(
            "POST /upload HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 203.0.113.{number}\r\n\
             Content-Type: application/json\r\nContent-Length: {BODY}\r\n\r\n"
        );
        // Who is refused, or killed, takes less than all.
        let _ = stream.write_all(&[head.as_bytes(), &[b' '; BODY - 1]].concat());
        Some(stream)
    };
    (0..count).map_while(upload).collect()
}

/// Heads that stop short of their end.
fn heads(server: &Server, count: usize) -> Vec<Client> {
    let head = format!("GET /page.html HTTP/1.1\r\nX-Fill: {}", "x".repeat(7000));
    let half = |_| {
        let mut client = server.connect();
        client.send(&head);
        client
    };
    (0..count).map(half).collect()
}

/// Asks on one connection until `done`: nobody may be kept waiting, whatever the others do.
fn good(server: &Server, done: &AtomicBool) -> usize {
    let mut proxy = Proxy::of(server);
    let mut count = 0;
    while !done.load(Relaxed) {
        assert_eq!(proxy.get("192.0.2.1", "/page.html").text(), "page");
        count += 1;
        // Less often than its rate allows.
        std::thread::sleep(Duration::from_millis(20));
    }
    count
}

#[test]
fn row_j3_load_8_floods_of_connections_heads_bodies_and_addresses_fit_into_64_mib() {
    let test = "row_j3_load_8_floods_of_connections_heads_bodies_and_addresses_fit_into_64_mib";
    let Some(group) = Cgroup::with_memory(MEMORY, test) else { return };
    let mut server = server(&group, "8MiB");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| good(&server, &done));
        let silent: Vec<_> = (0..500).map(|_| server.connect()).collect();
        let halves = heads(&server, 500);
        let uploads = bodies(&server, 60);
        assert_eq!(uploads.len(), 60);
        let mut proxy = Proxy::of(&server);
        for number in 0..3000 {
            let client = format!("198.18.{}.{}", number / 250, number % 250);
            assert_eq!(proxy.get(&client, "/page.html").status, 200);
        }
        let held = server.memory_kib();
        assert!(held < MEMORY / 1024, "{held} KiB");
        drop((silent, halves, uploads));
        done.store(true, Relaxed);
        assert!(asking.join().unwrap() > 0);
    });
    eventually("an upload finds room again", || server.upload(b"[1]").status == 201);
    assert!(server.child.try_wait().unwrap().is_none(), "it lives");
    assert_eq!(group.killed(), 0);
}

/// Negative control: with the bound of bodies lifted the same flood of them is the end of it.
#[test]
fn row_j3_load_8_without_its_bound_the_flood_of_bodies_kills_the_server() {
    let test = "row_j3_load_8_without_its_bound_the_flood_of_bodies_kills_the_server";
    let Some(group) = Cgroup::with_memory(MEMORY, test) else { return };
    let mut server = server(&group, "1GiB");
    let _uploads = bodies(&server, 90);
    eventually("it is killed for want of memory", || group.killed() > 0);
    assert!(!server.wait().success());
}
