//! Takeover that goes wrong (SPEC RUN-5): until the new process is ready the old one goes on as if nothing had been,
//! whatever becomes of the new one; afterwards the new one does, whatever becomes of the old one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod life;
mod process;
mod support;

use std::process::Command;

use life::crowd::{self, At, Crowd};
use life::{Process, bare, reload, rounds};
use process::is_root;
use support::{Client, Setup, eventually};

const TAKEOVER: [&str; 3] = ["--takeover", "--control", "control.sock"];

/// A server that can be taken over, with the crowd's files and a file of settings.
fn setup() -> Setup {
    let setup = crowd::with_files(Setup::new()).args(&["--control", "control.sock", "--access-log", "off"]);
    setup.folder.write("t.toml", "");
    setup
}

/// Runs a takeover that must fail; its code and what it says.
fn fails(setup: &Setup, command: &mut Command) -> (Option<i32>, String) {
    let mut new = Process::spawn(command);
    let code = new.end();
    eventually("it says why", || !new.said().is_empty());
    assert!(setup.folder.0.join("control.sock").exists(), "the old one's");
    (code, new.said().join("\n"))
}

/// The old one is as it was: it serves, obeys, and has not begun to end.
fn goes_on(setup: &Setup, old: &mut Process) {
    assert!(old.lives());
    assert_eq!((old.status("/small.html"), old.status("/readyz")), (200, 200));
    let kept = old.connect().get("/small.html");
    assert!(!kept.closes(), "it drains: {kept:?}");
    assert_eq!(reload(&setup.folder.0).code, Some(0));
    assert!(old.lines_with("shutting down").is_empty(), "{:#?}", old.said());
}

#[test]
fn row_j8_run_5_a_new_one_that_cannot_start_changes_nothing() {
    let setup = setup();
    let mut old = Process::start(&setup, &["-c", "t.toml"]);
    let blocker = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = blocker.local_addr().unwrap().to_string();
    let listen = old.addr.to_string();
    setup.folder.write("broken.toml", "[limits]\nmax_requests = 'many'\n");
    setup.folder.write("folder/in-it", "");
    let crowd = Crowd::at(&At::Tcp(old.addr), &crowd::ALL);
    for (wrong, code, why) in [
        (&["-c", "broken.toml"][..], 2, "limits.max_requests"),
        (&["-r", "nowhere"], 1, "nowhere"),
        (&["--listen", &listen, "--listen", &taken], 1, "in use"),
        (&["--log-file", "folder"], 1, "folder"),
        (&["--admin-token-file", "gone"], 2, "gone"),
        (&["--state", "t.toml"], 1, "t.toml"),
        (&["--workers", "0"], 2, "workers"),
    ] {
        let root = if wrong.contains(&"-r") { &[][..] } else { &["-r", "root"] };
        let port = if wrong.contains(&"--listen") { &[][..] } else { &["-p", "0"] };
        let (ended, said) = fails(&setup, &mut bare(&setup, &[], &[&TAKEOVER, root, port, wrong].concat()));
        assert!(ended == Some(code) && said.contains(why), "{wrong:?}: {ended:?}, {said}");
        goes_on(&setup, &mut old);
        crowd.asks_on(5);
    }
    let tally = crowd.stop();
    tally.assert_flawless();
    assert_eq!(tally.closed + tally.again, 0, "a connection was not kept");
    tally.assert_kept(&setup.root().join("uploads"));
    let _new = Process::start(&setup, &["--takeover"]);
    assert_eq!(old.end(), Some(0), "the next one that can start takes over");
}

/// Where a new one is killed: the call of its main thread that it does not live to see. All of them come after the
/// hand-over and before it is ready; at the last some of its workers have run for a while, for each wait of the main
/// thread is made longer.
const DEATHS: [&[&str]; 4] = [
    &["-e", "inject=landlock_restrict_self:signal=KILL"],
    &["-e", "inject=clone3:signal=KILL:when=1"],
    &["-e", "inject=clone3:signal=KILL:when=12"],
    &["-e", "inject=clone3:signal=KILL:when=17", "-e", "inject=futex:delay_exit=100ms"],
];

#[test]
fn row_j8_run_5_a_new_one_that_is_killed_before_it_is_ready_changes_nothing() {
    if !is_root("row_j8_run_5_a_new_one_that_is_killed_before_it_is_ready_changes_nothing") {
        return;
    }
    let setup = setup();
    let mut old = Process::start(&setup, &["--workers", "2"]);
    let crowd = Crowd::at(&At::Tcp(old.addr), &crowd::ALL);
    for death in DEATHS.into_iter().cycle().take(rounds(4)) {
        let strace = [&["strace", "-qq", "-o", "/dev/null"], death].concat();
        let args = [&TAKEOVER[..], &["-r", "root", "-p", "0", "--workers", "7"]].concat();
        let mut new = Process::spawn(&mut bare(&setup, &strace, &args));
        assert_eq!(new.end(), None, "{death:?}: it was not killed: {:#?}", new.said());
        goes_on(&setup, &mut old);
        crowd.asks_on(5);
    }
    let tally = crowd.stop();
    tally.assert_flawless();
    assert_eq!(tally.closed + tally.again, 0, "a connection was not kept");
    let _new = Process::start(&setup, &["--takeover"]);
    assert_eq!(old.end(), Some(0), "the next one that lives takes over");
}

/// One that stands still after the hand-over keeps nobody waiting: the old one serves, obeys and may be ended.
#[test]
fn row_j8_run_5_a_new_one_that_hangs_before_it_is_ready_keeps_nobody_waiting() {
    if !is_root("row_j8_run_5_a_new_one_that_hangs_before_it_is_ready_keeps_nobody_waiting") {
        return;
    }
    let setup = setup();
    let mut old = Process::start(&setup, &[]);
    let strace = ["strace", "-qq", "-o", "trace", "-e", "inject=landlock_restrict_self:delay_enter=3600s"];
    let mut strace = bare(&setup, &strace, &[&TAKEOVER[..], &["-r", "root", "-p", "0"]].concat());
    let mut hanging = Process::spawn(&mut strace);
    eventually("it hangs", || {
        std::fs::read_to_string(setup.folder.0.join("trace"))
            .is_ok_and(|trace| trace.contains("restrict_self"))
    });
    for _ in 0..3 {
        goes_on(&setup, &mut old);
    }
    assert!(hanging.lives());
    kill_tree(hanging.child.id());
    hanging.end();
    goes_on(&setup, &mut old);
    let _new = Process::start(&setup, &["--takeover"]);
    assert_eq!(old.end(), Some(0));
}

/// An old one that does not answer when the new one is ready may serve on later: there must not be two. (This takes the
/// ten seconds that it may take to answer.)
#[test]
fn row_j8_run_5_an_old_one_that_stands_still_is_not_taken_for_dead() {
    if !is_root("row_j8_run_5_an_old_one_that_stands_still_is_not_taken_for_dead") {
        return;
    }
    let setup = setup();
    let mut old = Process::start(&setup, &[]);
    let strace = ["strace", "-qq", "-o", "trace", "-e", "inject=landlock_restrict_self:delay_enter=5s"];
    let mut new =
        Process::spawn(&mut bare(&setup, &strace, &[&TAKEOVER[..], &["-r", "root", "-p", "0"]].concat()));
    eventually("it has the listeners", || {
        std::fs::read_to_string(setup.folder.0.join("trace"))
            .is_ok_and(|trace| trace.contains("restrict_self"))
    });
    old.signal("STOP");
    assert_eq!(new.end(), Some(1), "{:#?}", new.said());
    old.signal("CONT");
    goes_on(&setup, &mut old);
    let _new = Process::start(&setup, &["--takeover"]);
    assert_eq!(old.end(), Some(0));
}

/// Kills `pid`, a tracer, and what it traces.
fn kill_tree(pid: u32) {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    for child in children.split_whitespace() {
        process::signal(child.parse().unwrap(), "KILL");
    }
    process::signal(pid, "KILL");
}

#[test]
fn row_j8_run_5_an_old_one_that_is_killed_while_it_drains_takes_nothing_along() {
    let setup = setup().args(&["--listen", "127.0.0.1:0", "--listen", "unix:s"]);
    let mut old = Process::start(&setup, &[]);
    let mut download = old.connect();
    download.send_request("GET /large.bin HTTP/1.1\r\n", b"");
    assert_eq!(download.read_response(true).unwrap().status, 200);
    let mut new = Process::start(&setup, &["--takeover"]);
    old.hear("shutting down");
    let crowd = Crowd::at(&At::Tcp(new.addr), &crowd::ALL);
    crowd.asks_on(10);
    old.signal("KILL");
    assert_eq!(old.end(), None);
    crowd.asks_on(10);
    crowd.stop().assert_flawless();
    assert_eq!(reload(&setup.folder.0).code, Some(0));
    new.hear("configuration reloaded");
    assert!(process::get_over_unix(&setup.folder.0.join("s"), "/small.html").ends_with("here"));
}

#[test]
fn row_j8_run_5_a_server_that_drains_is_not_taken_over() {
    let setup = setup();
    let mut old = Process::start(&setup, &[]);
    let mut upload = old.connect();
    let head = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n";
    upload.send_request(head, b"{");
    // Half a body that was not read yet would count as idle.
    old.rests();
    old.signal("TERM");
    old.hear("shutting down");
    let mut command = setup.command();
    let mut new = Process::spawn(command.arg("--takeover"));
    assert_eq!(new.end(), Some(1), "{:#?}", new.said());
    eventually("it says why", || !new.said().is_empty());
    upload.send("}");
    assert_eq!(upload.response().status, 201);
    assert_eq!(old.end(), Some(0));
}

#[test]
fn row_j8_run_5_there_must_be_somebody_to_take_over_from() {
    let setup = setup();
    for left_behind in [false, true] {
        if left_behind {
            // The socket of one that crashed.
            drop(std::os::unix::net::UnixListener::bind(setup.folder.0.join("control.sock")).unwrap());
        }
        let mut new = Process::spawn(setup.command().arg("--takeover"));
        assert_eq!(new.end(), Some(1), "{:#?}", new.said());
        eventually("it says why", || !new.said().is_empty());
        assert!(new.said().len() == 1 && new.said()[0].contains("control.sock"), "{:#?}", new.said());
    }
    let bare = process::run(&setup.folder.0, &["--takeover", "-r", "root"], &[]);
    assert!(bare.code == Some(2) && bare.err.contains("--control"), "{bare:?}");
}

/// Whoever comes first: in the end one serves, and nobody was refused on the way.
#[test]
fn row_j8_run_5_two_that_take_over_at_once() {
    let setup = setup();
    let mut server = Process::start(&setup, &[]);
    let crowd = Crowd::at(&At::Tcp(server.addr), &crowd::ALL);
    for _ in 0..rounds(5) {
        let mut both = [(); 2].map(|()| Process::spawn(setup.command().arg("--takeover")));
        assert_eq!(server.end(), Some(0), "one of them took over: {:#?}", server.said());
        crowd.asks_on(10);
        // One was refused, or was the first of a chain.
        eventually_one(&mut both);
        let [one, other] = both;
        let (mut lives, mut gone) = if is_up(&one) { (one, other) } else { (other, one) };
        assert!(matches!(gone.end(), Some(0 | 1)), "{:#?}", gone.said());
        assert!(lives.lives());
        server = lives.up();
        crowd.asks_on(10);
    }
    crowd.stop().assert_flawless();
}

/// Waits until one of them has ended.
fn eventually_one(both: &mut [Process; 2]) {
    let begun = std::time::Instant::now();
    while both.iter_mut().all(Process::lives) {
        assert!(begun.elapsed() < support::SOON, "both live on: {:#?} {:#?}", both[0].said(), both[1].said());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn is_up(process: &Process) -> bool {
    std::fs::metadata(format!("/proc/{}/fd", process.child.id())).is_ok()
        && std::fs::read_to_string(format!("/proc/{}/stat", process.child.id()))
            .is_ok_and(|stat| !stat.contains(") Z "))
}

/// A caller that asks for the listeners and says nothing more, as often as it likes, is no takeover.
#[test]
fn row_j8_run_5_a_caller_who_only_asks_for_the_listeners_changes_nothing() {
    use std::io::{Read, Write};
    let setup = setup();
    let mut old = Process::start(&setup, &[]);
    for _ in 0..20 {
        let mut caller =
            std::os::unix::net::UnixStream::connect(setup.folder.0.join("control.sock")).unwrap();
        caller.write_all(b"takeover\n").unwrap();
        let _ = caller.read(&mut [0; 16]);
    }
    goes_on(&setup, &mut old);
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", old.child.id())).unwrap().count();
    assert!(descriptors < 100, "{descriptors} descriptors are open");
    assert_eq!(Client::connect(old.addr).get("/small.html").status, 200);
}
