//! What a server tells its service manager (SPEC RUN-6, sd_notify(3)): ready when it is, reloading and with what
//! result, stopping; in this order and no earlier than it is true.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod life;
mod process;
mod support;

use std::net::TcpListener;

use life::manager::{Message, Notified, activated};
use life::{Process, reload};
use support::{Client, Setup};

/// The clock of `MONOTONIC_USEC`.
fn monotonic_usec() -> i128 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000
}

fn setup() -> Setup {
    let setup = Setup::new().file("a.html", "here").args(&["-c", "t.toml", "--control", "control.sock"]);
    setup.folder.write("t.toml", "");
    setup
}

/// Starts a server that notifies, and hears that it is ready.
fn start(setup: &Setup, notified: &Notified, more: &[&str]) -> (Process, Message) {
    let server = Process::spawn(setup.command().args(more).env("NOTIFY_SOCKET", &notified.name)).up();
    let ready = notified.hear_of("READY");
    assert_ready(&ready);
    assert_eq!(ready["MAINPID"], server.child.id().to_string());
    (server, ready)
}

fn assert_ready(message: &Message) {
    assert_eq!(message["READY"], "1");
    assert!(!message["STATUS"].is_empty(), "{message:?}");
}

fn assert_reloading(message: &Message, since: i128) {
    assert_eq!(message["RELOADING"], "1");
    let at: i128 = message["MONOTONIC_USEC"].parse().unwrap();
    assert!(at >= since && at <= monotonic_usec(), "{since} {message:?}");
}

#[test]
fn run_6_ready_reloading_and_stopping_are_told_in_this_order() {
    let setup = setup();
    let notified = Notified::at(&setup.folder.0.join("notify"));
    let (mut server, _) = start(&setup, &notified, &[]);
    let mut begun = server.connect();
    begun.send_request(
        "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n",
        b"",
    );
    assert_eq!(begun.read_response(false).unwrap().status, 100);

    let since = monotonic_usec();
    server.signal("HUP");
    assert_reloading(&notified.hear_of("RELOADING"), since);
    assert_ready(&notified.hear_of("READY"));

    setup.folder.write("t.toml", "[limits]\nmax_requests = 'many'\n");
    let since = monotonic_usec();
    assert_eq!(reload(&setup.folder.0).code, Some(1));
    assert_reloading(&notified.hear_of("RELOADING"), since);
    let refused = notified.hear_of("READY");
    assert!(refused["STATUS"].contains("max_requests"), "{refused:?}");

    server.signal("TERM");
    assert_eq!(notified.hear_of("STOPPING")["STOPPING"], "1");
    assert!(server.lives(), "it is told before the drain is over");
    begun.send("{}");
    assert_eq!(begun.response().status, 201);
    assert_eq!(server.end(), Some(0));
    let rest = notified.rest();
    assert!(rest.iter().all(|message| !message.contains_key("READY")), "{rest:?}");
}

#[test]
fn run_6_ready_is_told_when_it_serves() {
    let setup = setup();
    let notified = Notified::at(&setup.folder.0.join("notify"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut command = activated(&setup.folder.0, listener, &["-r", "root"]);
    let _server = Process::spawn(command.env("NOTIFY_SOCKET", &notified.name));
    assert_ready(&notified.hear_of("READY"));
    assert_eq!(Client::connect(addr).get("/readyz").status, 200);
}

#[test]
fn run_6_a_socket_without_a_file_is_told_too() {
    let setup = setup();
    let notified = Notified::without_file(&format!("tidegate-test-{}", std::process::id()));
    let (mut server, _) = start(&setup, &notified, &[]);
    server.signal("HUP");
    notified.hear_of("RELOADING");
    assert_ready(&notified.hear_of("READY"));
    server.signal("INT");
    notified.hear_of("STOPPING");
    assert_eq!(server.end(), Some(0));
}

#[test]
fn run_6_who_does_not_start_is_never_ready() {
    let setup = setup();
    let notified = Notified::at(&setup.folder.0.join("notify"));
    let mut command = setup.command();
    let mut server = Process::spawn(command.args(["--state", "t.toml"]).env("NOTIFY_SOCKET", &notified.name));
    assert_eq!(server.end(), Some(1));
    let told = notified.rest();
    assert!(told.iter().all(|message| !message.contains_key("READY")), "{told:?}");
}

/// Who listens there is the manager's business; the server serves.
#[test]
fn run_6_nobody_who_hears_it_is_no_fault() {
    let setup = setup();
    for name in ["nowhere", "", "@", "@tidegate-nobody", "relative", "/dev/null"] {
        let mut server = Process::spawn(setup.command().env("NOTIFY_SOCKET", name)).up();
        server.signal("HUP");
        server.hear("configuration reloaded");
        assert_eq!(server.status("/a.html"), 200, "{name:?}");
        server.signal("TERM");
        assert_eq!(server.end(), Some(0), "{name:?}");
    }
}

/// The manager follows the new process, and does not take the end of the old one for the end of the service.
#[test]
fn run_6_a_takeover_tells_the_new_main_process_and_no_stop() {
    let setup = setup();
    let notified = Notified::at(&setup.folder.0.join("notify"));
    let (mut old, _) = start(&setup, &notified, &[]);
    let new = Process::spawn(setup.command().arg("--takeover").env("NOTIFY_SOCKET", &notified.name)).up();
    assert_eq!(old.end(), Some(0));
    // It may be told a moment after the line that says where it listens.
    let new_pid = new.child.id().to_string();
    let mut told = vec![notified.hear()];
    let is_told = |told: &[Message], is_it: &dyn Fn(&Message) -> bool| told.iter().any(is_it);
    while !is_told(&told, &|message| message.contains_key("READY"))
        || !is_told(&told, &|message| message.get("MAINPID") == Some(&new_pid))
    {
        told.push(notified.hear());
    }
    told.extend(notified.rest());
    assert!(told.iter().all(|message| !message.contains_key("STOPPING")), "{told:?}");
}

#[test]
fn run_6_the_start_says_nothing_without_the_variable() {
    let setup = setup();
    let notified = Notified::at(&setup.folder.0.join("notify"));
    let mut server = Process::start(&setup, &[]);
    server.signal("TERM");
    assert_eq!(server.end(), Some(0));
    assert!(notified.rest().is_empty());
}
