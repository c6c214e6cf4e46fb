//! The rate limit of each client (SPEC SEC-1): how many requests pass, what a refusal tells, and for how long it
//! holds. Who counts as one client is tested in `client_identity.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;
mod visitors;

use std::time::{Duration, Instant};

use process::lines_with;
use support::{Response, Server, Setup, eventually};
use visitors::{BEHIND_PROXY, Proxy, assert_refused, metric};

const ALICE: &str = "203.0.113.7";
const BOB: &str = "203.0.113.8";

fn server(rate: &str) -> Server {
    Setup::new().args(&BEHIND_PROXY).args(&["--rate-limit", rate]).start()
}

fn seconds(response: &Response) -> u64 {
    response.field("retry-after").expect("when to come again").parse().unwrap()
}

/// The number of parameter `name` in a structured field (RFC 9651).
fn parameter(response: &Response, field: &str, name: &str) -> u64 {
    let value = response.field(field).unwrap_or_else(|| panic!("no {field}: {response:?}"));
    let found = value.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name} in {field}: {value}")).parse().unwrap()
}

#[test]
fn sec_1_a_client_over_its_burst_is_429_and_nobody_else() {
    let server = server("6/m:5");
    let mut proxy = Proxy::of(&server);
    for _ in 0..5 {
        assert_eq!(proxy.get(ALICE, "/healthz").status, 200);
    }
    let refused = proxy.get(ALICE, "/healthz");
    assert_refused(&refused, 429, "rate_limited");
    assert!(!refused.closes(), "what is framed soundly keeps its connection (H1-11)");
    assert_eq!(refused.field("cache-control"), Some("no-store"));
    assert_eq!(proxy.get(BOB, "/healthz").status, 200);
    assert_refused(&proxy.get(ALICE, "/nothing"), 429, "rate_limited");
    assert!(metric(&server, "tidegate_refusals_total{code=\"rate_limited\"}") >= 2.0);
    assert!(metric(&server, "tidegate_events_total{kind=\"rate\"}") >= 2.0);
}

#[test]
fn sec_1_a_refusal_tells_its_policy_and_when_to_come_again() {
    let server = server("6/m:1");
    let mut proxy = Proxy::of(&server);
    assert_eq!(proxy.get(ALICE, "/healthz").status, 200);
    let refused = proxy.get(ALICE, "/healthz");
    // The next token comes ten seconds after the first was taken.
    let wait = seconds(&refused);
    assert!((8..=10).contains(&wait), "{wait}");
    assert_eq!(parameter(&refused, "ratelimit", "r"), 0);
    assert_eq!(parameter(&refused, "ratelimit", "t"), wait);
    let policy = (parameter(&refused, "ratelimit-policy", "q"), parameter(&refused, "ratelimit-policy", "w"));
    assert_eq!(policy, (6, 60));
    let name = |field| refused.field(field).unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(name("ratelimit"), name("ratelimit-policy"), "they speak of the same policy");
    assert!(name("ratelimit").starts_with('"') && name("ratelimit").ends_with('"'), "a string");
}

#[test]
fn sec_1_after_the_time_told_exactly_one_request_passes() {
    let server = server("20/m:1");
    let mut proxy = Proxy::of(&server);
    assert_eq!(proxy.get(ALICE, "/healthz").status, 200);
    let mut wait = 0;
    for _ in 0..10 {
        let refused = proxy.get(ALICE, "/healthz");
        assert_refused(&refused, 429, "rate_limited");
        wait = seconds(&refused);
    }
    assert!((1..=3).contains(&wait), "a refusal takes nothing: {wait}");
    std::thread::sleep(Duration::from_secs(wait) + Duration::from_millis(20));
    assert_eq!(proxy.get(ALICE, "/healthz").status, 200);
    assert_refused(&proxy.get(ALICE, "/healthz"), 429, "rate_limited");
}

/// For three seconds as fast as it goes: what passes is the burst and the rate, no more and no less.
#[test]
fn sec_1_the_rate_is_exact() {
    let server =
        Setup::new().args(&BEHIND_PROXY).args(&["--rate-limit", "200/s:200", "--access-log", "off"]).start();
    // Whoever sleeps for as long as a bucket takes to fill loses what would have come, and nothing can be said.
    let counted = (1..=5).find_map(|attempt| passing(&server, &format!("203.0.113.{attempt}")));
    let (passed, seconds) = counted.expect("this machine is too busy");
    let expected = 200.0 + 200.0 * seconds;
    let error = (f64::from(passed) - expected).abs() / expected;
    assert!(error < 0.05, "{passed} passed, {expected:.0} should have");
}

/// How many of the requests of three seconds pass, and the seconds; `None` where there were long pauses between them.
fn passing(server: &Server, client: &str) -> Option<(u32, f64)> {
    let mut proxy = Proxy::of(server);
    let begun = Instant::now();
    let (mut passed, mut longest) = (0, Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(3) {
        let before = begun.elapsed();
        passed += u32::from(proxy.get(client, "/healthz").status == 200);
        longest = longest.max(begun.elapsed() - before);
    }
    (longest < Duration::from_millis(800)).then(|| (passed, begun.elapsed().as_secs_f64()))
}

/// The clock is fine enough for the rate: a token every 10 µs, and one request at a time takes longer.
#[test]
fn sec_1_a_high_rate_with_a_small_burst_lets_its_rate_pass() {
    let server = server("100000/s:1");
    let mut proxy = Proxy::of(&server);
    let passed = (0..500).filter(|_| proxy.get(ALICE, "/healthz").status == 200).count();
    assert_eq!(passed, 500);
}

/// The default is 100/s with a burst of 200; `off` is the control.
#[test]
fn sec_1_the_limit_is_on_by_default_and_off_is_off() {
    let default = Setup::new().args(&BEHIND_PROXY).start();
    let begun = Instant::now();
    let passed = Proxy::of(&default).burst(ALICE, 1000).iter().filter(|status| **status == 200).count();
    let most = 200.0 + 100.0 * begun.elapsed().as_secs_f64() + 1.0;
    assert!(passed >= 200, "{passed} of the burst");
    assert!(f64::from(u32::try_from(passed).unwrap()) <= most, "{passed} passed, {most} may");
    let off = server("off");
    assert!(Proxy::of(&off).burst(ALICE, 1000).iter().all(|status| *status == 200));
}

#[test]
fn sec_1_run_5_a_bucket_survives_a_reload() {
    let setup = Setup::new().args(&BEHIND_PROXY).args(&["-c", "t.toml"]);
    setup.folder.write("t.toml", "[limits]\nrate_limit = '3/m:3'");
    let server = setup.start();
    let mut proxy = Proxy::of(&server);
    assert_eq!(proxy.burst(ALICE, 4), [200, 200, 200, 429]);
    reload(&server, "[limits]\nrate_limit = '3/m:3'\nkeep_alive = '9s'");
    eventually("the reload has reached the worker", || {
        server.get("/healthz").field("keep-alive").unwrap().starts_with("timeout=9")
    });
    assert_eq!(proxy.burst(ALICE, 2), [429, 429]);
    assert_eq!(proxy.get(BOB, "/healthz").status, 200, "who had not asked has his whole burst");
    reload(&server, "[limits]\nrate_limit = 'off'");
    eventually("unlimited", || Proxy::of(&server).get(ALICE, "/healthz").status == 200);
    reload(&server, "[limits]\nrate_limit = '3/m:3'");
    eventually("limited again", || Proxy::of(&server).get(ALICE, "/healthz").status == 429);
}

fn reload(server: &Server, text: &str) {
    let before = lines_with(server, "configuration reloaded").len();
    server.folder.write("t.toml", text);
    server.signal("HUP");
    eventually("reloaded", || lines_with(server, "configuration reloaded").len() > before);
}

#[test]
fn sec_1_every_route_and_method_takes_a_token() {
    let server = server("3/m:3");
    let mut proxy = Proxy::of(&server);
    for (client, line) in
        [("198.51.100.1", "GET /missing"), ("198.51.100.2", "OPTIONS /"), ("198.51.100.3", "POST /upload")]
    {
        let head = format!("{line} HTTP/1.1\r\nX-Forwarded-For: {client}\r\n");
        for _ in 0..3 {
            assert_ne!(proxy.ask(&head).status, 429, "{line}");
        }
        assert_refused(&proxy.ask(&head), 429, "rate_limited");
    }
    let head = format!("HEAD / HTTP/1.1\r\nX-Forwarded-For: {ALICE}\r\n");
    for _ in 0..3 {
        proxy.ask(&head);
    }
    let refused = proxy.ask(&head);
    assert_eq!((refused.status, refused.body.len()), (429, 0), "HEAD has no body, refused or not");
}

/// An upload over the limit is refused before its body is asked for.
#[test]
fn sec_1_an_upload_over_the_limit_is_refused_before_its_body() {
    let server = server("3/m:1");
    let mut proxy = Proxy::of(&server);
    assert_eq!(proxy.get(ALICE, "/healthz").status, 200);
    proxy.0.send_request(
        &format!(
            "POST /upload HTTP/1.1\r\nX-Forwarded-For: {ALICE}\r\nContent-Type: application/json\r\n\
             Content-Length: 2\r\nExpect: 100-continue\r\n"
        ),
        b"",
    );
    let first = proxy.0.read_response(false).unwrap();
    assert_refused(&first, 429, "rate_limited");
    assert_eq!(std::fs::read_dir(server.uploads()).unwrap().count(), 0);
}
