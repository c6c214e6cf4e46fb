//! Reload under load, half of the time with a file that is broken (SPEC RUN-5): no request is lost, no connection
//! closed, what was told of it is true, and what is held against a client stays.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod life;
mod process;
mod support;
mod visitors;

use life::crowd::{self, At, Crowd, Guest};
use life::{Process, reload, rounds};
use process::lines_with;
use support::{Response, Server, Setup, eventually};
use visitors::{ask, from, metric};

/// A proxy that names whom it speaks for; the test's own address is a local operator's.
const PROXY: &str = "127.0.0.7";
/// Who attacked, and is banned before the storm.
const MALLORY: &str = "203.0.113.7";
/// Who has asked as often as it may.
const GREEDY: &str = "203.0.113.8";

/// How often a client may ask that is no local operator: often enough to be banned before.
const BURST: usize = 60;

/// A file that can be taken over; each `round` says something else.
fn good(round: usize) -> String {
    format!(
        "[limits]\nmax_requests = 0\nkeep_alive = '{}s'\nrate_limit = '1/h:{BURST}'\nbans = 'on'\n\
         [security]\ntrusted_proxy = ['{PROXY}']\n[admin]\ntoken_file = 'token'\n[log]\njson_file = 'logs/json'\n",
        60 + round % 7
    )
}

/// Ways to break it: what the file says then, and what the refusal must name.
fn broken(round: usize) -> (String, &'static str) {
    let good = good(round + 1);
    match round % 6 {
        0 => (format!("{good}[limits\n"), "t.toml:12:"),
        1 => (format!("{good}no_such_key = 1\n"), "log.no_such_key"),
        2 => (good.replace("max_requests = 0", "max_requests = 'many'"), "limits.max_requests"),
        3 => (format!("{good}[server]\nworkers = 31\n"), "server.workers"),
        4 => (good.replace("'token'", "'gone'"), "admin.token_file"),
        _ => (good.replace("logs/json", "logs/folder"), "logs/folder"),
    }
}

fn start() -> Server {
    let setup = crowd::with_files(Setup::new()).args(&["-c", "t.toml", "--control", "control.sock"]);
    let setup = setup.args(&["--access-log", "off"]);
    setup.folder.write("token", "a-token-of-many-letters\n");
    setup.folder.write("logs/folder/in-it", "");
    setup.folder.write("t.toml", good(0));
    setup.start()
}

/// Replaces the file in one step, so that no reload that comes at this moment reads half of it.
fn replace(server: &Server, text: &str) {
    let next = server.folder.write("t.toml.next", text);
    std::fs::rename(next, server.folder.0.join("t.toml")).unwrap();
}

fn for_client(server: &Server, client: &str, target: &str) -> Response {
    ask(&mut from(server, PROXY), &format!("GET {target} HTTP/1.1\r\nX-Forwarded-For: {client}\r\n"))
}

/// Bans one client, and lets another one use up what it may ask.
fn hold_something_against_them(server: &Server) {
    let led_up = |_: &usize| for_client(server, MALLORY, visitors::TRAVERSAL).code() == "traversal";
    assert!((0..BURST).take_while(led_up).count() < BURST, "never banned");
    let served = |_: &usize| for_client(server, GREEDY, "/healthz").status == 200;
    assert_eq!((0..2 * BURST).take_while(served).count(), BURST);
    assert_still_held(server);
}

fn assert_still_held(server: &Server) {
    assert_eq!(for_client(server, MALLORY, "/healthz").code(), "banned");
    assert_eq!(for_client(server, GREEDY, "/healthz").code(), "rate_limited");
}

/// Has the file taken over, or refused for the reason that holds `why`; by HUP or by `tidegate reload`, in turn.
fn one_reload(server: &Server, round: usize, text: &str, why: Option<&str>) {
    let said = if why.is_some() { "configuration not reloaded" } else { "configuration reloaded" };
    let before = lines_with(server, said).len();
    replace(server, text);
    if round % 4 < 2 {
        server.signal("HUP");
    } else {
        let outcome = reload(&server.folder.0);
        assert_eq!(outcome.code, Some(i32::from(why.is_some())), "{outcome:?}");
        let (told, silent) =
            if why.is_some() { (&outcome.err, &outcome.out) } else { (&outcome.out, &outcome.err) };
        assert!(told.lines().count() == 1 && told.contains(why.unwrap_or("reloaded")), "{outcome:?}");
        assert_eq!(silent, "", "{outcome:?}");
    }
    eventually(said, || lines_with(server, said).len() > before);
    let line = lines_with(server, said).pop().unwrap();
    assert!(line.contains(why.unwrap_or_default()), "{line}");
    assert_eq!(lines_with(server, said).len(), before + 1, "one line for one reload");
    assert_eq!(metric(server, "tidegate_config_reload_success"), if why.is_some() { 0.0 } else { 1.0 });
}

#[test]
fn row_j7_run_5_a_storm_of_reloads_half_of_them_broken_costs_nothing() {
    let server = start();
    hold_something_against_them(&server);
    let crowd = Crowd::at(&At::Tcp(server.addr), &crowd::ALL);
    crowd.asks_on(20);
    let reloads = rounds(100);
    for round in 0..reloads {
        if round % 2 == 0 {
            one_reload(&server, round, &good(round / 2 + 1), None);
        } else {
            let (text, why) = broken(round / 2);
            one_reload(&server, round, &text, Some(why));
        }
        crowd.asks_on(1);
    }
    assert_still_held(&server);
    let tally = crowd.stop();
    println!("{reloads} reloads: {}", tally.summary());
    tally.assert_flawless();
    assert_eq!(tally.closed + tally.again, 0, "a connection was not kept");
    tally.assert_kept(&server.uploads());
    assert_eq!(lines_with(&server, "configuration reloaded").len(), reloads / 2);
    assert_eq!(lines_with(&server, "configuration not reloaded").len(), reloads / 2);
}

/// What the storm looks at is seen where there is something to see: a restart closes what was kept.
#[test]
fn row_j7_run_5_the_checks_of_the_storm_see_a_restart() {
    let listen = format!("127.0.0.1:{}", process::free_port());
    let setup = crowd::with_files(Setup::new()).args(&["--listen", &listen, "--max-requests", "0"]);
    let mut old = Process::start(&setup, &[]);
    let crowd = Crowd::at(&At::Tcp(old.addr), &[Guest::Kept, Guest::Kept]);
    crowd.asks_on(20);
    old.signal("TERM");
    assert_eq!(old.end(), Some(0));
    let _new = Process::start(&setup, &[]);
    crowd.asks_on(20);
    let tally = crowd.stop();
    assert!(tally.closed + tally.again + tally.refused > 0, "{}", tally.summary());
}

/// Many signals at once are at least one reload, of the file as it is at the end.
#[test]
fn row_j7_run_5_a_burst_of_signals_ends_with_the_last_file() {
    let server = start();
    for round in 0..30 {
        let text = if round % 2 == 0 { good(round) } else { broken(round).0 };
        replace(&server, &text);
        server.signal("HUP");
    }
    replace(&server, &good(0).replace("'60s'", "'77s'"));
    server.signal("HUP");
    eventually("the last file holds", || {
        server.connect().get("/small.html").field("keep-alive") == Some("timeout=77")
    });
    eventually("it is told", || metric(&server, "tidegate_config_reload_success") == 1.0);
}

/// Whom `tidegate reload` asks, and what it says where nobody answers.
#[test]
fn row_j7_run_5_reload_by_command_needs_a_server_that_answers() {
    let folder = support::Folder::new();
    let outcome = reload(&folder.0);
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(1), ""), "{outcome:?}");
    assert!(outcome.err.lines().count() == 1 && outcome.err.contains("control.sock"), "{outcome:?}");
    let nowhere = process::run(&folder.0, &["reload"], &[]);
    assert!(nowhere.code != Some(0) && nowhere.err.contains("--control"), "{nowhere:?}");
}

/// A broken file that also says where the server is found: nobody can be asked, and that is no refusal of a server.
#[test]
fn run_5_reload_by_a_broken_file_asked_nobody_and_says_what_to_do() {
    let server = start();
    let broken = format!("{}[server]\ncontrol = 'control.sock'\nno_such_key = 1\n", good(0));
    replace(&server, &broken);
    let outcome = process::run(&server.folder.0, &["reload", "-c", "t.toml"], &[]);
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(2), ""), "{outcome:?}");
    for said in ["t.toml:", "no_such_key", "The server was not asked, and goes on", "--control PATH"] {
        assert!(outcome.err.contains(said), "{said}: {outcome:?}");
    }
    // What it advises: the server says itself what it refuses.
    let asked = reload(&server.folder.0);
    assert!(asked.code == Some(1) && asked.err.contains("the old one goes on"), "{asked:?}");
    assert!(asked.err.contains("no_such_key"), "{asked:?}");
}

/// The control socket is found by the file and by the environment too.
#[test]
fn row_j7_run_5_reload_by_command_finds_the_socket_as_the_server_does() {
    let server = start();
    let by_environment = process::run(&server.folder.0, &["reload"], &[("TIDEGATE_CONTROL", "control.sock")]);
    assert_eq!((by_environment.code, by_environment.err.as_str()), (Some(0), ""), "{by_environment:?}");
    replace(&server, &format!("{}[server]\ncontrol = 'control.sock'\n", good(0)));
    let by_file = process::run(&server.folder.0, &["reload", "-c", "t.toml"], &[]);
    assert_eq!((by_file.code, by_file.err.as_str()), (Some(0), ""), "{by_file:?}");
}
