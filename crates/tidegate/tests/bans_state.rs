//! The file of bans (`--state`): whole after a crash in the middle of a save, and nobody else's to read.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;
mod visitors;

use std::os::unix::fs::PermissionsExt;

use support::{Server, Setup, eventually};
use visitors::{BEHIND_PROXY, Proxy, provoke_ban};

const MALLORY: &str = "203.0.113.7";

fn setup() -> Setup {
    Setup::new().args(&BEHIND_PROXY).args(&["--rate-limit", "off", "--bans", "on", "--state", "state"])
}

fn book(server: &Server) -> String {
    std::fs::read_to_string(server.folder.0.join("state/bans.jsonl")).unwrap_or_default()
}

/// A crash between the two steps of a save left its new file behind; the sandbox lets nobody cut files short.
#[test]
fn run_5_what_a_crash_left_of_a_save_stops_no_later_one() {
    let setup = setup();
    setup.folder.write("state/.bans.jsonl.next", "half of a li");
    let server = setup.start();
    provoke_ban(&mut Proxy::of(&server), MALLORY);
    eventually("the ban is saved", || book(&server).contains(MALLORY));
    assert!(!book(&server).contains("half of"));
}

/// Nothing is written through a link that somebody put where the new file will be.
#[test]
fn sec_7_a_link_in_the_place_of_the_new_file_is_not_followed() {
    let setup = setup().args(&["--no-sandbox"]);
    let mine = setup.folder.write("mine", "MINE");
    std::fs::create_dir(setup.folder.0.join("state")).unwrap();
    std::os::unix::fs::symlink(&mine, setup.folder.0.join("state/.bans.jsonl.next")).unwrap();
    let server = setup.start();
    provoke_ban(&mut Proxy::of(&server), MALLORY);
    eventually("the ban is saved", || book(&server).contains(MALLORY));
    assert_eq!(std::fs::read_to_string(&mine).unwrap(), "MINE");
}

#[test]
fn sec_7_who_asked_for_what_is_for_nobody_else_to_read() {
    let server = setup().start();
    provoke_ban(&mut Proxy::of(&server), MALLORY);
    eventually("the ban is saved", || book(&server).contains(MALLORY));
    let mode = |path: &str| server.folder.0.join(path).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("state"), mode("state/bans.jsonl")), (0o700, 0o600));
}

/// A FIFO would keep a reader waiting for ever.
#[test]
fn run_5_a_book_that_is_no_file_is_an_error_and_not_a_wait() {
    let setup = setup();
    std::fs::create_dir(setup.folder.0.join("state")).unwrap();
    let fifo = setup.folder.0.join("state/bans.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let outcome = process::outcome(&mut setup.command());
    assert!(format!("{outcome:?}").contains("is no file"), "{outcome:?}");
}
