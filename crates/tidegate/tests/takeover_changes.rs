//! A takeover in which something changes (SPEC RUN-5): where the new server listens, and whom the old one bans or pardons
//! while the new one starts.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod life;
mod process;
mod support;

use life::{Gate, Process, bare, reload};
use process::{free_port, run};
use support::{Response, Setup};

const CONTROL: [&str; 2] = ["--control", "control.sock"];
/// What a takeover says of addresses that are no longer listened on.
const GIVEN_UP: &str = "no longer listening on";

/// Starts a server that listens on `addresses` alone.
fn listening(setup: &Setup, addresses: &[&str], more: &[&str]) -> Process {
    let listen = addresses.iter().flat_map(|address| ["--listen", address]);
    let args: Vec<_> =
        CONTROL.into_iter().chain(["-r", "root"]).chain(listen).chain(more.to_owned()).collect();
    Process::spawn(&mut bare(setup, &[], &args))
}

#[test]
fn run_5_addresses_that_a_takeover_gives_up_are_said_at_its_start() {
    let setup = Setup::new();
    let [kept, left, added] = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
    let mut first = listening(&setup, &[&kept, &left, "unix:s"], &["--workers", "3"]).up();
    assert_eq!(given_up(&setup, &mut first), [""; 0], "it took nothing over");
    let mut second = listening(&setup, &[&kept, &added], &["--takeover"]).up();
    assert_eq!(first.end(), Some(0));
    let said = given_up(&setup, &mut second);
    let names = format!("{GIVEN_UP} {left}, unix:s: the server before did");
    assert!(said.len() == 1 && said[0].contains(&names) && said[0].contains("WARN"), "{said:#?}");
    let mut third = listening(&setup, &[&kept, &added], &["--takeover"]).up();
    assert_eq!(second.end(), Some(0));
    assert_eq!(given_up(&setup, &mut third), [""; 0], "nothing is given up");
}

/// The lines on addresses that were given up, once all that belongs to the start is said, and not again at a reload.
fn given_up(setup: &Setup, server: &mut Process) -> Vec<String> {
    assert_eq!(reload(&setup.folder.0).code, Some(0));
    server.hear("configuration reloaded");
    server.lines_with(GIVEN_UP)
}

/// The old server holds the port until the new one is ready, which that one never is without it.
#[test]
fn run_5_a_takeover_from_all_addresses_to_one_of_them_says_why_it_cannot_be() {
    let setup = Setup::new();
    let port = free_port();
    let (all, one) = (format!("0.0.0.0:{port}"), format!("127.0.0.1:{port}"));
    let mut old = listening(&setup, &[&all], &[]).up();
    let mut new = listening(&setup, &[&one], &["--takeover"]);
    assert_eq!(new.end(), Some(1));
    let why = new.hear_last("tidegate: ");
    assert!(why.contains(&format!("{one}: in use by the server that runs, as {all}")), "{why}");
    assert!(old.lives());
    let _same = listening(&setup, &[&all], &["--takeover"]).up();
    assert_eq!(old.end(), Some(0));
}

/// Asks as `client`, whom a proxy names.
fn as_client(server: &Process, client: &str, target: &str) -> Response {
    let mut proxy = server.connect();
    proxy.send_request(&format!("GET {target} HTTP/1.1\r\nX-Forwarded-For: {client}\r\n"), b"");
    proxy.response()
}

fn is_banned(server: &Process, client: &str) -> bool {
    let response = as_client(server, client, "/small.html");
    response.status != 200 && response.code() == "banned"
}

fn provoke_ban(server: &Process, client: &str) {
    let led_up = (0..200).take_while(|_| as_client(server, client, "/../x").code() != "banned");
    assert!(led_up.count() < 200, "never banned");
}

/// Bans of the old server from before the new one was started, and from the time in which it was not ready yet.
fn bans_follow(more: &[&str]) {
    let proxy = ["--trusted-proxy", "127.0.0.1", "--bans", "on", "--rate-limit", "off"];
    let setup = Setup::new().file("small.html", "here").args(&CONTROL).args(&proxy).args(more);
    let [before, pardoned, meanwhile, never] = ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"];
    let mut old = Process::start(&setup, &[]);
    provoke_ban(&old, before);
    provoke_ban(&old, pardoned);
    let gate = Gate::of(&setup);
    let new = Process::spawn(setup.command().arg("--takeover").args(Gate::FLAGS));
    old.hear("it has the listening sockets");
    provoke_ban(&old, meanwhile);
    let lifted = run(&setup.folder.0, &["bans", "lift", pardoned, "--control", "control.sock"], &[]);
    assert_eq!(lifted.code, Some(0), "{lifted:?}");
    gate.open();
    let mut new = new.up();
    assert_eq!(old.end(), Some(0));
    assert!(is_banned(&new, before) && is_banned(&new, meanwhile));
    assert!(!is_banned(&new, pardoned) && !is_banned(&new, never));
    new.hear("bans taken over from the server before: 2");
}

#[test]
fn run_5_bans_and_pardons_of_the_time_in_which_a_new_server_starts_are_not_lost() {
    bans_follow(&["--state", "state"]);
}

#[test]
fn run_5_bans_go_over_to_a_new_server_without_a_state_too() {
    bans_follow(&[]);
}

/// What was taken over is saved: a crash of the new server right afterwards loses no ban.
#[test]
fn run_5_bans_that_were_taken_over_are_in_the_new_servers_state() {
    let proxy = ["--trusted-proxy", "127.0.0.1", "--bans", "on", "--rate-limit", "off"];
    let setup = Setup::new().args(&CONTROL).args(&proxy);
    let mut old = Process::start(&setup, &[]);
    provoke_ban(&old, "203.0.113.1");
    let _new = Process::start(&setup, &["--takeover", "--state", "state"]);
    assert_eq!(old.end(), Some(0));
    let book = setup.folder.0.join("state/bans.jsonl");
    support::eventually("it is saved", || {
        std::fs::read_to_string(&book).is_ok_and(|book| book.contains("203.0.113.1"))
    });
}
