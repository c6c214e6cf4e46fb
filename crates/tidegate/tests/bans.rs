//! The ban book: who gets into it, for how long, what a ban does, and who is never in it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;
mod visitors;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use process::lines_with;
use serde_json::Value;
use support::{Server, Setup, eventually};
use visitors::{
    BEHIND_PROXY, Proxy, TRAVERSAL, assert_refused, from, is_banned, metric, operator_get, provoke_ban,
    snapshot,
};

const MALLORY: &str = "203.0.113.7";
const ALICE: &str = "203.0.113.8";

/// What a busy machine makes of the difference between two clocks, in milliseconds.
const TWO_CLOCKS: u64 = 200;

/// Behind a proxy, and with no rate limit that would come first.
fn setup(args: &[&str]) -> Setup {
    Setup::new().file("index.html", "home").args(&BEHIND_PROXY).args(&["--rate-limit", "off"]).args(args)
}

/// What the book says of `client`.
fn entry(server: &Server, client: &str) -> Option<Value> {
    let list = snapshot(server)["bans"]["list"].as_array().unwrap().clone();
    list.into_iter().find(|ban| ban["client"] == client)
}

/// Asserts that a ban lasts for `millis`.
fn lasts(ban: &Value, millis: u64) {
    let length = ban["until"].as_u64().unwrap() - ban["since"].as_u64().unwrap();
    assert!(length.abs_diff(millis) < TWO_CLOCKS, "{length} ms: {ban}");
}

/// The wall clock, in milliseconds.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

#[test]
fn sec_5_who_tries_to_lead_up_again_and_again_is_banned_and_nobody_else() {
    let server = setup(&["--bans", "on"]).start();
    let mut proxy = Proxy::of(&server);
    assert_eq!(proxy.get(MALLORY, TRAVERSAL).code(), "traversal");
    assert!(!is_banned(&mut proxy, MALLORY), "a single mistake is no attack");
    provoke_ban(&mut proxy, MALLORY);
    let refused = proxy.get(MALLORY, "/index.html");
    assert_refused(&refused, 403, "banned");
    assert_eq!(refused.field("cache-control"), Some("no-store"));
    assert_eq!(proxy.get(ALICE, "/index.html").text(), "home");
    let ban = entry(&server, MALLORY).expect("it is in the book");
    assert_eq!((&ban["shadow"], &ban["reason"]), (&Value::Bool(false), &Value::from("traversal")));
    lasts(&ban, 600_000);
    assert!(!ban["evidence"].as_array().unwrap().is_empty() && ban["times"] == 1, "{ban}");
    assert!(metric(&server, "tidegate_events_total{kind=\"ban\"}") >= 1.0);
    assert!(metric(&server, "tidegate_refusals_total{code=\"banned\"}") >= 1.0);
}

/// The default writes down whom it would ban, and refuses nobody; `off` does neither.
#[test]
fn sec_5_shadow_only_says_so_and_off_says_nothing() {
    for (args, shadow) in [(&[][..], true), (&["--bans", "shadow"], true), (&["--bans", "off"], false)] {
        let server = setup(args).start();
        let mut proxy = Proxy::of(&server);
        for _ in 0..200 {
            assert_eq!(proxy.get(MALLORY, TRAVERSAL).code(), "traversal", "{args:?}");
        }
        assert_eq!(proxy.get(MALLORY, "/index.html").status, 200, "{args:?}");
        let entry = entry(&server, MALLORY);
        assert_eq!(entry.is_some(), shadow, "{args:?}");
        assert!(entry.is_none_or(|ban| ban["shadow"] == true), "{args:?}");
        assert_eq!(snapshot(&server)["bans"]["mode"], if shadow { "shadow" } else { "off" });
    }
}

#[test]
fn sec_5_each_kind_of_offence_leads_to_a_ban() {
    let args = ["--bans", "on", "--limit-loopback", "--rate-limit", "off", "--admin-token-file", "token"];
    let setup = Setup::new().file("index.html", "home").args(&args);
    setup.folder.write("token", "an-operators-long-secret");
    let server = setup.start();
    let host = server.host();
    for (number, offence) in [
        "GET /%2e%2e/x HTTP/1.1\r\nHost: {H}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {H}\r\nX : y\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: {H}\r\nVia: 1.1 x\r\nAuthorization: Bearer wrong-wrong-wrong-1\r\n\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let ip = format!("127.0.1.{number}");
        let offence = offence.replace("{H}", &host);
        let times = (1..=200).find(|_| {
            let mut client = from(&server, &ip);
            client.send(&offence);
            assert_ne!(client.response().status, 200);
            refuses(&server, &ip)
        });
        let times = times.unwrap_or_else(|| panic!("never banned for {offence}"));
        assert!(times > 1, "banned for a single {offence}");
    }
    assert!(!refuses(&server, "127.0.1.200"), "the control");
}

/// Whether a harmless request of `ip` is refused by a ban.
fn refuses(server: &Server, ip: &str) -> bool {
    let mut client = from(server, ip);
    let response = visitors::ask(&mut client, "GET /index.html HTTP/1.1\r\n");
    assert!(response.status == 200 || response.code() == "banned", "{}", response.text());
    response.status == 403
}

#[test]
fn sec_5_a_scan_for_names_is_banned_and_a_few_dead_links_are_not() {
    let server = setup(&["--bans", "on"]).start();
    let mut proxy = Proxy::of(&server);
    for number in 0..15 {
        assert_eq!(proxy.get(ALICE, &format!("/dead-link-{number}")).status, 404);
    }
    assert!(!is_banned(&mut proxy, ALICE));
    let banned = (0..3_000).any(|number| proxy.get(MALLORY, &format!("/wp-{number}.php")).status == 403);
    assert!(banned, "3,000 names tried and not banned");
    assert!(is_banned(&mut proxy, MALLORY) && !is_banned(&mut proxy, ALICE));
    assert!(metric(&server, "tidegate_events_total{kind=\"scan\"}") >= 1.0);
}

#[test]
fn load_5_slow_heads_lead_to_a_ban_too() {
    let args = ["--bans", "on", "--limit-loopback", "--rate-limit", "off", "--header-timeout", "2s"];
    let server = Setup::new().file("index.html", "home").args(&args).start();
    let crowd: Vec<_> = (0..100)
        .map(|_| {
            let mut client = from(&server, "127.0.2.1");
            client.send("GET / HT");
            client
        })
        .collect();
    eventually("banned", || refuses(&server, "127.0.2.1"));
    drop(crowd);
    assert!(!refuses(&server, "127.0.2.2"));
}

#[test]
fn sec_5_a_ban_ends_by_itself_and_the_next_one_is_longer() {
    let server = setup(&["--bans", "on", "--ban-time", "3s"]).start();
    let mut proxy = Proxy::of(&server);
    provoke_ban(&mut proxy, MALLORY);
    let begun = Instant::now();
    let first = entry(&server, MALLORY).expect("in the book");
    lasts(&first, 3_000);
    while is_banned(&mut proxy, MALLORY) {
        assert!(begun.elapsed() < support::SOON, "it never ends");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (now, until) = (now_ms(), first["until"].as_u64().unwrap());
    assert!(now + TWO_CLOCKS > until, "free {} ms before its time", until - now);
    provoke_ban(&mut proxy, MALLORY);
    let second = entry(&server, MALLORY).expect("in the book again");
    lasts(&second, 6_000);
    assert_eq!(second["times"], 2);
}

#[test]
fn sec_5_ban_allow_is_never_banned() {
    let allow = ["--bans", "on", "--ban-allow", "203.0.113.0/29", "--ban-allow", "2001:db8::/32"];
    let server = setup(&allow).start();
    let mut proxy = Proxy::of(&server);
    for client in [MALLORY, "2001:db8::1"] {
        for _ in 0..100 {
            assert_eq!(proxy.get(client, TRAVERSAL).code(), "traversal");
        }
        assert!(!is_banned(&mut proxy, client));
        assert!(entry(&server, client).is_none());
    }
    provoke_ban(&mut proxy, ALICE);
}

#[test]
fn sec_1_local_operators_are_never_banned_unless_loopback_is_limited() {
    let server = Server::start(&["--bans", "on"]);
    for _ in 0..200 {
        assert_eq!(server.get(TRAVERSAL).code(), "traversal");
    }
    assert_eq!(server.get("/healthz").status, 200);
    let limited = Server::start(&["--bans", "on", "--limit-loopback", "--rate-limit", "off"]);
    let banned = (0..200).any(|_| limited.get(TRAVERSAL).code() == "banned");
    assert!(banned, "the control");
}

/// What a proxy passes on malformed cannot be told from what it made: the proxy itself is never banned for it.
#[test]
fn sec_1_a_trusted_proxy_is_never_banned_with_all_who_stand_behind_it() {
    let server = setup(&["--bans", "on"]).start();
    for _ in 0..100 {
        let mut client = server.connect();
        client.send(format!("GET / HTTP/1.1\r\nHost: {}\r\nX : y\r\n\r\n", server.host()));
        assert_eq!(client.response().status, 400);
        assert_eq!(server.get(TRAVERSAL).code(), "traversal", "with no client named");
    }
    assert!(!is_banned(&mut Proxy::of(&server), ALICE));
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn sec_1_a_ban_is_of_an_ipv6_64() {
    let server = setup(&["--bans", "on"]).start();
    let mut proxy = Proxy::of(&server);
    provoke_ban(&mut proxy, "2001:db8:1:2::1");
    assert!(is_banned(&mut proxy, "2001:db8:1:2:ffff::9"), "another address of the same /64");
    assert!(!is_banned(&mut proxy, "2001:db8:1:3::1"));
    assert!(entry(&server, "2001:db8:1:2::/64").is_some(), "{}", snapshot(&server)["bans"]);
}

#[test]
fn run_5_bans_survive_a_reload() {
    let setup = setup(&["-c", "t.toml"]);
    setup.folder.write("t.toml", "[limits]\nbans = 'on'\n");
    let server = setup.start();
    let mut proxy = Proxy::of(&server);
    provoke_ban(&mut proxy, MALLORY);
    let reload = |text: &str| {
        let before = lines_with(&server, "configuration reloaded").len();
        server.folder.write("t.toml", text);
        server.signal("HUP");
        eventually("reloaded", || lines_with(&server, "configuration reloaded").len() > before);
    };
    reload("[limits]\nbans = 'on'\nkeep_alive = '9s'\n");
    eventually("the workers know", || {
        server.get("/healthz").field("keep-alive").is_some_and(|value| value.starts_with("timeout=9"))
    });
    assert!(is_banned(&mut proxy, MALLORY));
    reload("[limits]\nbans = 'off'\n");
    eventually("off is off", || !is_banned(&mut Proxy::of(&server), MALLORY));
}

/// Whoever sees an attack in the shadow and switches bans on means the attackers of this moment.
#[test]
fn run_5_bans_switched_on_by_reload_catch_whoever_goes_on() {
    let setup = setup(&["-c", "t.toml"]);
    setup.folder.write("t.toml", "[limits]\nbans = 'shadow'\n");
    let server = setup.start();
    let mut proxy = Proxy::of(&server);
    for _ in 0..20 {
        assert_eq!(proxy.get(MALLORY, TRAVERSAL).code(), "traversal");
    }
    assert_eq!(entry(&server, MALLORY).expect("in the book")["shadow"], true);
    server.folder.write("t.toml", "[limits]\nbans = 'on'\n");
    server.signal("HUP");
    eventually("on", || snapshot(&server)["bans"]["mode"] == "on");
    // Each on a connection of its own: the worker of `proxy` may hear of it last.
    eventually("he is caught", || Proxy::of(&server).get(MALLORY, TRAVERSAL).code() == "banned");
    assert!(!is_banned(&mut proxy, ALICE));
}

/// A monitor that nobody has allowed asks again and again; that is a nuisance and no attack.
#[test]
fn sec_5_asking_without_a_token_is_no_guess() {
    let setup = setup(&["--bans", "on", "--admin-token-file", "token"]);
    setup.folder.write("token", "0123456789abcdef\n");
    let server = setup.start();
    let mut proxy = Proxy::of(&server);
    let fields = ["", "Authorization: Basic Ym9iOnNlY3JldA==\r\n", "Authorization: \r\n"];
    for fields in fields.iter().cycle().take(30) {
        let head = format!("GET /metrics HTTP/1.1\r\nX-Forwarded-For: {ALICE}\r\n{fields}");
        assert_eq!(proxy.ask(&head).code(), "admin_forbidden");
    }
    assert!(!is_banned(&mut proxy, ALICE));
    let guess = format!("GET /metrics HTTP/1.1\r\nX-Forwarded-For: {ALICE}\r\nAuthorization: Bearer x\r\n");
    (0..10).for_each(|_| drop(proxy.ask(&guess)));
    assert!(is_banned(&mut proxy, ALICE), "and a guess is one");
}

#[test]
fn run_5_bans_survive_a_restart_where_there_is_a_state_folder() {
    let mut server = setup(&["--bans", "on", "--state", "state"]).start();
    let mut proxy = Proxy::of(&server);
    provoke_ban(&mut proxy, MALLORY);
    let until = entry(&server, MALLORY).unwrap()["until"].clone();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let again = setup(&["--bans", "on"]);
    let state = server.folder.0.join("state");
    let again = again.args(&["--state", state.to_str().unwrap()]).start();
    let mut proxy = Proxy::of(&again);
    assert!(is_banned(&mut proxy, MALLORY) && !is_banned(&mut proxy, ALICE));
    let restored = entry(&again, MALLORY).unwrap()["until"].clone();
    let difference = restored.as_i64().unwrap() - until.as_i64().unwrap();
    assert!(difference.abs() < 2_000, "it ends when it would have: {difference} ms off");
}

/// No orderly end: what was written in time is there.
#[test]
fn run_5_bans_survive_a_server_that_is_killed() {
    let mut server = setup(&["--bans", "on", "--state", "state"]).start();
    provoke_ban(&mut Proxy::of(&server), MALLORY);
    let state = server.folder.0.join("state");
    eventually("it is written while the server runs", || {
        let files = std::fs::read_dir(&state).unwrap().map(|file| file.unwrap().path());
        // What begins with a dot is still being written.
        let whole = files.filter(|file| !file.file_name().unwrap().as_encoded_bytes().starts_with(b"."));
        whole.filter_map(|file| std::fs::read_to_string(file).ok()).any(|text| text.contains(MALLORY))
    });
    server.signal("KILL");
    server.wait();
    let again = setup(&["--bans", "on", "--state", state.to_str().unwrap()]).start();
    assert!(is_banned(&mut Proxy::of(&again), MALLORY));
}

/// A book that was damaged is no reason not to start, nor to forget what can be read.
#[test]
fn run_5_a_damaged_book_is_read_as_far_as_it_can_be() {
    let mut server = setup(&["--bans", "on", "--state", "state"]).start();
    provoke_ban(&mut Proxy::of(&server), MALLORY);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let state = server.folder.0.join("state");
    let mut files = 0;
    for file in std::fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path()) {
        let mut bytes = b"garbage\n{\"half\":\n\x00\xff\n".to_vec();
        bytes.extend(std::fs::read(&file).unwrap());
        bytes.extend(b"{\"client\":\"203.0.1");
        std::fs::write(&file, bytes).unwrap();
        files += 1;
    }
    assert!(files > 0, "nothing was written");
    let again = setup(&["--bans", "on", "--state", state.to_str().unwrap()]).start();
    assert!(is_banned(&mut Proxy::of(&again), MALLORY));
    assert_eq!(operator_get(&again, "/healthz").status, 200);
}
