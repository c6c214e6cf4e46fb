//! Takeover from a server that a service manager gave its sockets (SPEC RUN-5, RUN-6): the new one serves the same, and
//! what is the manager's stays the manager's.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod life;
mod process;
mod support;

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use life::crowd::{self, At, Crowd};
use life::manager::{activated, activated_twice};
use life::{Process, bare};
use process::get_over_unix;
use support::{Client, Setup};

/// What a unit says: where the files are and how it is controlled, and not where it listens.
const UNIT: [&str; 6] = ["-r", "root", "--control", "control.sock", "--access-log", "off"];

fn take_over(setup: &Setup, old: &mut Process) -> Process {
    let new = Process::spawn(&mut bare(setup, &[], &[&UNIT[..], &["--takeover"]].concat())).up();
    assert_eq!(old.end(), Some(0), "{:#?}", old.said());
    new
}

#[test]
fn row_j8_run_6_inherited_sockets_go_on_to_the_new_one() {
    let setup = crowd::with_files(Setup::new());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let keeper = listener.try_clone().unwrap();
    let mut server = Process::spawn(&mut activated(&setup.folder.0, listener, &UNIT)).up();
    let crowd = Crowd::at(&At::Tcp(addr), &crowd::ALL);
    for _ in 0..3 {
        crowd.asks_on(10);
        server = take_over(&setup, &mut server);
        assert_eq!(server.urls(), [format!("http://{addr}/")], "the same, and not the default address");
    }
    crowd.asks_on(10);
    crowd.stop().assert_flawless();
    // The manager's socket outlives them all, and starts the next one as ever.
    server.signal("TERM");
    assert_eq!(server.end(), Some(0));
    let mut waiting = Client::connect(addr);
    waiting.send_request("GET /small.html HTTP/1.1\r\n", b"");
    let _next = Process::spawn(&mut activated(&setup.folder.0, keeper, &UNIT)).up();
    assert_eq!(waiting.response().status, 200);
}

#[test]
fn row_j8_run_6_the_file_of_an_inherited_socket_is_its_makers() {
    let setup = crowd::with_files(Setup::new());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let path = setup.folder.0.join("s");
    let unix = UnixListener::bind(&path).unwrap();
    let keeper = unix.try_clone().unwrap();
    let mut command = activated_twice(&setup.folder.0, listener, unix, &UNIT);
    let mut old = Process::spawn_with_stdout(&mut command).up();
    let mut new = take_over(&setup, &mut old);
    assert!(get_over_unix(&path, "/small.html").ends_with("\r\n\r\nhere"));
    new.signal("TERM");
    assert_eq!(new.end(), Some(0));
    assert!(path.exists(), "who made it still listens there");
    let _next = Process::spawn(&mut activated(&setup.folder.0, keeper, &UNIT)).up();
    assert!(get_over_unix(&path, "/small.html").ends_with("\r\n\r\nhere"));
}
