//! What HTTP/2 clients make the server hold that open all windows and then do not read, or send what nobody reads (SPEC
//! H2-1, LOAD-8): no more than clients of HTTP/1 do.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod h2raw;
mod support;

use std::fs::File;
use std::time::Duration;

use h2raw::H2;
use h2raw::frame::{INITIAL_WINDOW_SIZE, window_update};
use support::{Server, Setup, eventually};

const CLIENTS: usize = 20;
/// What such a connection may take, in KiB: some six for each of its streams, two pieces of a file, and frames that the
/// socket does not take.
const MOST: u64 = 512;
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

/// A page, and a file of which no socket holds all.
fn server() -> Server {
    let setup = Setup::new().file("page.html", "page");
    File::create(setup.root().join("large.bin")).unwrap().set_len(1 << 30).unwrap();
    setup.args(&["--access-log", "off"]).start()
}

/// By how much the server's own memory grows for each of [`CLIENTS`], when it has nothing more to do.
fn growth(server: &Server, client: impl Fn() -> H2) -> u64 {
    assert!(client().is_alive());
    let before = server.memory_kib();
    let clients: Vec<H2> = (0..CLIENTS).map(|_| client()).collect();
    eventually("the server rests", || {
        let begun = server.cpu_seconds();
        std::thread::sleep(Duration::from_millis(300));
        server.cpu_seconds() - begun < 0.02
    });
    let grown = server.memory_kib().saturating_sub(before);
    drop(clients);
    grown / u64::try_from(CLIENTS).unwrap()
}

#[test]
fn row_f6_h2_1_load_8_who_does_not_read_holds_as_little_as_over_http_1() {
    let server = server();
    let each = growth(&server, || {
        let mut client = H2::with_settings(&server, &[(INITIAL_WINDOW_SIZE, LARGEST_WINDOW)]);
        client.send(window_update(0, LARGEST_WINDOW - 65_535));
        for _ in 0..20 {
            client.ask("GET", "/large.bin", &[]);
        }
        client
    });
    assert!(each < MOST, "{each} KiB");
}

#[test]
fn row_j3_h2_1_load_8_a_body_that_nobody_reads_is_not_kept() {
    let server = server();
    let each = growth(&server, || {
        let mut client = H2::with_settings(&server, &[(INITIAL_WINDOW_SIZE, 0)]);
        for _ in 0..4 {
            let stream = client.start("GET", "/page.html", &[]);
            client.send_body(stream, &[b' '; 200_000], false);
        }
        assert!(client.is_alive(), "all of it is there");
        client
    });
    assert!(each < MOST, "{each} KiB");
}
