//! Takeover (`--takeover`, SPEC RUN-5): a new process takes the listeners of the running one over its control socket.
//! No request is refused, reset or lost; addresses, bans and the control socket go on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod life;
mod process;
mod support;

use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use life::crowd::{self, At, Crowd};
use life::{Process, bare, reload, rounds};
use process::{free_port, get_over_unix, run};
use support::{Client, Response, Setup, eventually};

const CONTROL: [&str; 2] = ["--control", "control.sock"];

/// A server that can be taken over, with the crowd's files; more arguments with each start.
fn setup() -> Setup {
    crowd::with_files(Setup::new()).args(&CONTROL).args(&["--access-log", "off"])
}

/// Starts the next server, which takes over from `old`, and waits until `old` has ended as it should.
fn take_over(setup: &Setup, old: &mut Process, more: &[&str]) -> Process {
    let new = Process::start(setup, &[&["--takeover"], more].concat());
    assert_eq!(old.end(), Some(0), "{:#?}", old.said());
    new
}

#[test]
fn row_j8_run_5_upgrades_under_load_refuse_reset_and_lose_nothing() {
    let setup = setup();
    let mut server = Process::start(&setup, &["--workers", "2"]);
    let addr = server.addr;
    let crowd = Crowd::at(&At::Tcp(addr), &crowd::ALL);
    let upgrades = rounds(10);
    for workers in ["4", "1", "2", "3"].into_iter().cycle().take(upgrades) {
        crowd.asks_on(10);
        server = take_over(&setup, &mut server, &["--workers", workers]);
        assert_eq!(server.addr, addr, "port 0 takes the port of the one before");
    }
    crowd.asks_on(10);
    let tally = crowd.stop();
    println!("{upgrades} upgrades: {}", tally.summary());
    tally.assert_flawless();
    tally.assert_kept(&setup.root().join("uploads"));
    server.signal("TERM");
    assert_eq!(server.end(), Some(0));
    assert!(TcpStream::connect(addr).is_err(), "the last one ends with its listeners");
}

#[test]
fn row_j8_run_5_upgrades_on_a_unix_socket_refuse_nobody() {
    let listen = ["--listen", "unix:s", "--rate-limit", "off"];
    let setup = setup().args(&listen);
    let path = setup.folder.0.join("s");
    let mut server = Process::start(&setup, &[]);
    let inode = path.metadata().unwrap().ino();
    let crowd = Crowd::at(&At::Unix(path.clone()), &crowd::ALL);
    for _ in 0..rounds(4) {
        crowd.asks_on(10);
        server = take_over(&setup, &mut server, &[]);
        assert_eq!(path.metadata().unwrap().ino(), inode, "the socket stays, and its file");
    }
    crowd.asks_on(10);
    let tally = crowd.stop();
    tally.assert_flawless();
    tally.assert_kept(&setup.root().join("uploads"));
    server.signal("TERM");
    assert_eq!(server.end(), Some(0));
    assert!(
        !path.exists() && !setup.folder.0.join("control.sock").exists(),
        "the last one removes both files"
    );
}

/// What the two above look at is seen where there is something to see.
#[test]
fn row_j8_run_5_a_restart_in_place_of_an_upgrade_refuses_somebody() {
    let listen = format!("127.0.0.1:{}", free_port());
    let setup = setup().args(&["--listen", &listen]);
    let mut server = Process::start(&setup, &[]);
    let crowd = Crowd::at(&At::Tcp(server.addr), &crowd::ALL);
    for _ in 0..3 {
        crowd.asks_on(10);
        server.signal("TERM");
        assert_eq!(server.end(), Some(0));
        server = Process::start(&setup, &[]);
    }
    crowd.asks_on(10);
    let tally = crowd.stop();
    assert!(tally.refused > 0, "{}", tally.summary());
}

/// The old one finishes what it has begun, whatever the new one does meanwhile.
#[test]
fn row_j8_run_5_what_the_old_one_has_begun_it_finishes() {
    let setup = setup();
    let mut old = Process::start(&setup, &[]);
    let mut upload = old.connect();
    upload.send_request(
        "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n",
        b"",
    );
    assert_eq!(upload.read_response(false).unwrap().status, 100);
    let mut download = old.connect();
    download.send_request("GET /large.bin HTTP/1.1\r\n", b"");
    let length = download.read_response(true).unwrap().field("content-length").unwrap().parse().unwrap();
    let new = Process::start(&setup, &["--takeover"]);
    assert_eq!(new.status("/small.html"), 200);
    assert!(old.lives(), "it has work left");
    upload.send("{}");
    let response = upload.response();
    assert!(response.status == 201 && response.closes(), "{response:?}");
    assert_eq!(new.status(response.field("location").unwrap()), 200, "the new one has it");
    download.take(length);
    assert!(download.is_closed());
    assert_eq!(old.end(), Some(0));
}

#[test]
fn row_j8_run_5_addresses_are_kept_added_and_left() {
    let setup = setup();
    let [kept, left, added] = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
    let listening = |one: &str, other: &str, more: &[&str]| {
        let args = [&CONTROL[..], &["-r", "root", "--listen", one, "--listen", other], more].concat();
        Process::spawn(&mut bare(&setup, &[], &args)).up()
    };
    let mut old = listening(&kept, &left, &[]);
    let new = listening(&kept, &added, &["--takeover"]);
    assert_eq!(old.end(), Some(0));
    assert_eq!(new.urls(), [format!("http://{kept}/"), format!("http://{added}/")]);
    let answers = |addr: &str| TcpStream::connect(addr).is_ok();
    assert!(answers(&kept) && answers(&added) && !answers(&left));
    for addr in [kept, added] {
        assert_eq!(Client::connect(addr.parse().unwrap()).get("/small.html").status, 200);
    }
}

/// Every worker of the new one accepts, and no socket of the old one's more workers is left without one.
#[test]
fn row_j8_run_5_any_number_of_workers_follows_any_other() {
    let setup = setup();
    let mut server = Process::start(&setup, &["--workers", "5"]);
    for (workers, count) in [("2", 2), ("7", 7), ("1", 1), ("3", 3)] {
        server = take_over(&setup, &mut server, &["--workers", workers]);
        eventually("each has served somebody", || {
            let mut crowd: Vec<_> = (0..40).map(|_| server.connect()).collect();
            crowd.iter_mut().for_each(|client| client.send_request("GET /small.html HTTP/1.1\r\n", b""));
            crowd.iter_mut().for_each(|client| assert_eq!(client.response().status, 200));
            let status = server.connect().get("/status").json();
            let workers = status["workers"].as_array().unwrap();
            assert_eq!(workers.len(), count, "{status}");
            workers.iter().all(|worker| worker["served"].as_u64().unwrap() > 0)
        });
    }
}

/// Asks as `client`, whom a proxy names.
fn as_client(server: &Process, client: &str, target: &str) -> Response {
    let mut proxy = server.connect();
    proxy.send_request(&format!("GET {target} HTTP/1.1\r\nX-Forwarded-For: {client}\r\n"), b"");
    proxy.response()
}

#[test]
fn row_j8_run_5_bans_go_over_to_the_new_one() {
    let proxy = ["--trusted-proxy", "127.0.0.1", "--bans", "on", "--rate-limit", "off", "--state", "state"];
    let setup = setup().args(&proxy);
    let mut old = Process::start(&setup, &[]);
    let led_up = (0..200).take_while(|_| as_client(&old, "203.0.113.7", "/../x").code() != "banned");
    assert!(led_up.count() < 200, "never banned");
    // At once: what was not saved yet must be.
    let new = take_over(&setup, &mut old, &[]);
    assert_eq!(as_client(&new, "203.0.113.7", "/small.html").code(), "banned");
    assert_eq!(as_client(&new, "203.0.113.8", "/small.html").status, 200);
    let list = run(&setup.folder.0, &["bans", "list", "--control", "control.sock"], &[]);
    assert!(list.out.contains("203.0.113.7"), "{list:?}");
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn row_j8_run_5_the_control_socket_answers_for_each_in_turn() {
    let setup = setup();
    let control = setup.folder.0.join("control.sock");
    let mut server = Process::start(&setup, &[]);
    for _ in 0..4 {
        assert_eq!(mode(&control), 0o600);
        server.hear("  logs ");
        assert_eq!(reload(&setup.folder.0).code, Some(0));
        server.hear("configuration reloaded");
        server = take_over(&setup, &mut server, &[]);
        assert!(server.lines_with("configuration reloaded").is_empty());
    }
}

/// While the old one still drains, the path leads to the new one already.
#[test]
fn row_j8_run_5_a_chain_of_three_while_the_first_still_drains() {
    let setup = setup();
    let mut first = Process::start(&setup, &[]);
    let mut download = first.connect();
    download.send_request("GET /large.bin HTTP/1.1\r\n", b"");
    let length = download.read_response(true).unwrap().field("content-length").unwrap().parse().unwrap();
    let mut second = Process::start(&setup, &["--takeover"]);
    first.hear("shutting down");
    let mut third = take_over(&setup, &mut second, &[]);
    assert!(first.lives());
    assert_eq!(reload(&setup.folder.0).code, Some(0));
    third.hear("configuration reloaded");
    download.take(length);
    assert_eq!(first.end(), Some(0));
    assert_eq!(mode(&setup.folder.0.join("control.sock")), 0o600, "the first one took nothing with it");
    assert_eq!((third.status("/small.html"), reload(&setup.folder.0).code), (200, Some(0)));
}

/// A unix listener beside a TCP one, with a socket file that no end of an old one removes.
#[test]
fn row_j8_run_5_both_kinds_of_listener_at_once() {
    let setup = setup().args(&["--listen", "127.0.0.1:0", "--listen", "unix:s"]);
    let path = setup.folder.0.join("s");
    let mut server = Process::start(&setup, &[]);
    let urls = server.urls();
    for _ in 0..2 {
        server = take_over(&setup, &mut server, &[]);
        assert_eq!(server.urls(), urls);
        assert_eq!(server.status("/small.html"), 200);
        assert!(get_over_unix(&path, "/small.html").ends_with("\r\n\r\nhere"));
    }
}
