//! `/security-dashboard` (SPEC OBS-3): what the page is made of, and that the state behind it follows an attack
//! within two seconds.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;
mod visitors;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use support::{Response, Server, Setup, eventually};
use visitors::{BEHIND_PROXY, Proxy, TRAVERSAL, operator_get, snapshot};

const MALLORY: &str = "203.0.113.7";

fn setup() -> Setup {
    Setup::new().args(&BEHIND_PROXY).args(&["--rate-limit", "off"])
}

/// Asserts that `value` has these members, and that the test `holds` for each.
fn numbers(value: &Value, names: &[&str]) {
    for name in names {
        assert!(value[name].is_u64(), "{name} is no count: {value}");
    }
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn second(value: &Value) {
    numbers(value, &["at", "requests", "connections", "active", "pool_busy", "pool_queue", "bytes_sent"]);
    numbers(&value["refusals"], &["malformed", "refused", "not_served", "too_slow", "internal"]);
    numbers(&value["events"], &KINDS);
    for name in ["p50", "p90", "p99"] {
        let latency = &value["latency_us"][name];
        assert!(latency.is_number() || latency.is_null(), "{name}: {value}");
    }
}

const KINDS: [&str; 9] =
    ["traversal", "host", "malformed", "slow", "rate", "connections", "admin", "scan", "ban"];

#[test]
fn obs_3_the_json_has_everything_the_page_shows() {
    let server = setup().start();
    let mut proxy = Proxy::of(&server);
    assert_eq!(proxy.get(MALLORY, TRAVERSAL).status, 403);
    eventually("the attack is there", || {
        snapshot(&server)["events"].as_array().is_some_and(|events| !events.is_empty())
    });
    let document = operator_get(&server, "/security-dashboard?format=json").json();
    let (snapshot, history) = (&document["snapshot"], &document["history"]["seconds"]);
    assert_eq!(snapshot["version"], env!("CARGO_PKG_VERSION"));
    assert!(snapshot["at"].as_u64().unwrap().abs_diff(now_ms()) < 20_000, "{}", snapshot["at"]);
    numbers(snapshot, &["at", "uptime_seconds", "log_dropped", "viewers"]);
    for name in ["level", "line", "advice"] {
        assert!(snapshot["verdict"][name].is_string(), "{name}: {}", snapshot["verdict"]);
    }
    second(&snapshot["second"]);
    history.as_array().expect("a history").iter().for_each(second);
    numbers(&snapshot["totals"], &["requests", "connections_peak"]);
    numbers(&snapshot["totals"]["uploads"], &["stored", "refused", "failed"]);
    assert!(snapshot["totals"]["refusals"]["traversal"].as_u64() >= Some(1));
    assert!(snapshot["totals"]["events"]["traversal"].as_u64() >= Some(1));
    for worker in snapshot["workers"].as_array().unwrap() {
        numbers(worker, &["id", "connections", "served"]);
        assert!(["idle", "busy", "draining"].contains(&worker["state"].as_str().unwrap()), "{worker}");
    }
    numbers(
        &snapshot["pool"],
        &["size", "least", "most", "busy", "queue_depth", "queue_limit", "saturations"],
    );
    for thread in snapshot["pool"]["threads"].as_array().unwrap() {
        numbers(thread, &["id", "served"]);
        assert!(["idle", "busy"].contains(&thread["state"].as_str().unwrap()), "{thread}");
    }
    numbers(&snapshot["rate_limit"], &["tracked", "capacity", "table_bytes"]);
    assert_eq!(snapshot["rate_limit"]["policy"], "off");
    assert!(snapshot["rate_limit"]["limited"].is_array());
    assert_eq!(snapshot["bans"]["mode"], "shadow");
    numbers(
        &snapshot["memory"],
        &["resident_bytes", "bodies_bytes", "bodies_limit", "open_files", "open_files_limit"],
    );
    assert_eq!(snapshot["memory"]["bodies_limit"], 256 << 20);
    assert!(snapshot["memory"]["cpu_seconds"].is_number());
    assert_eq!(snapshot["reload"]["ok"], true);
}

#[test]
fn obs_3_an_attack_shows_within_two_seconds_with_who_and_what() {
    let server = setup().start();
    let mut proxy = Proxy::of(&server);
    assert_eq!(proxy.get("203.0.113.8", "/healthz").status, 200);
    eventually("it is calm", || snapshot(&server)["verdict"]["level"] == "well");
    let begun = Instant::now();
    let mut ids: Vec<String> = Vec::new();
    for number in 0..40 {
        let refused = proxy.get(MALLORY, &format!("/../etc/passwd-{number}"));
        assert_eq!(refused.code(), "traversal");
        ids.push(refused.field("x-request-id").unwrap().to_owned());
    }
    let attack = loop {
        let seen = snapshot(&server);
        let all_of = |one: &Value| one["client"] == MALLORY && one["refusals"].as_u64() >= Some(40);
        if seen["offenders"].as_array().is_some_and(|all| all.iter().any(all_of))
            && seen["verdict"]["level"] != "well"
            && seen["second"]["events"]["traversal"].is_u64()
        {
            break seen;
        }
        // Two seconds are the promise; a busy machine gets some more from a test.
        assert!(begun.elapsed() < Duration::from_secs(6), "never: {seen}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(attack["verdict"]["line"].as_str().unwrap().len() > 10, "{}", attack["verdict"]);
    let offenders = attack["offenders"].as_array().unwrap();
    let mallory = offenders.iter().find(|one| one["client"] == MALLORY).unwrap();
    assert!(mallory["refusals"].as_u64() >= Some(40) && mallory["events"]["traversal"].as_u64() >= Some(40));
    assert!(mallory["last_seen"].as_u64().unwrap().abs_diff(now_ms()) < 20_000, "{mallory}");
    assert!(offenders.iter().all(|one| one["client"] != "203.0.113.8"), "{offenders:?}");
    let events = attack["events"].as_array().unwrap();
    let event = events.iter().find(|event| event["kind"] == "traversal").expect("newest events");
    assert_eq!((&event["client"], &event["code"]), (&MALLORY.into(), &"traversal".into()), "{event}");
    assert!(event["request"].as_str().unwrap().starts_with("GET /../etc/passwd-"), "{event}");
    assert!(event["evidence"].is_string() && event["at"].is_u64(), "{event}");
    let id = event["id"].as_str().unwrap();
    assert!(ids.iter().any(|one| one == id), "the id that the client has");
    assert_eq!(operator_get(&server, &format!("/status/refusals/{id}")).json()["code"], "traversal");
}

#[test]
fn obs_3_the_history_adds_up_to_what_happened() {
    let server = setup().start();
    let mut proxy = Proxy::of(&server);
    for _ in 0..30 {
        assert_eq!(proxy.get(MALLORY, TRAVERSAL).status, 403);
        assert_eq!(proxy.get(MALLORY, "/missing").status, 404);
    }
    let history = || {
        let document = operator_get(&server, "/security-dashboard?format=json").json();
        document["history"]["seconds"].as_array().unwrap().clone()
    };
    let sum = |part: &str, name: &str| -> u64 {
        history().iter().map(|second| second[part][name].as_u64().unwrap()).sum()
    };
    eventually("thirty traversals", || sum("events", "traversal") == 30);
    // The last of each may lie in two seconds, of which the second is not over yet.
    eventually("thirty of each", || (sum("refusals", "refused"), sum("refusals", "not_served")) == (30, 30));
    std::thread::sleep(Duration::from_secs(2));
    let seconds = history();
    assert!(seconds.len() >= 2 && seconds.len() <= 300);
    for pair in seconds.windows(2) {
        assert!(pair[0]["at"].as_u64() < pair[1]["at"].as_u64(), "in order, each second once");
    }
    assert_eq!(sum("events", "traversal"), 30, "each is counted in one second alone");
}

#[test]
fn obs_3_limits_show_whom_they_limit() {
    let server = Setup::new().args(&BEHIND_PROXY).args(&["--rate-limit", "1/m:5"]).start();
    let mut proxy = Proxy::of(&server);
    for _ in 0..30 {
        proxy.get(MALLORY, "/healthz");
    }
    eventually("it is listed", || {
        let rate = snapshot(&server)["rate_limit"].clone();
        let limited = rate["limited"].as_array().unwrap().clone();
        let listed =
            limited.iter().any(|one| one["client"] == MALLORY && one["refused"].as_u64() >= Some(25));
        listed && rate["tracked"].as_u64() >= Some(1) && rate["policy"] != "off"
    });
}

fn page(server: &Server, target: &str, accept: &str) -> Response {
    server.request(&format!("GET {target} HTTP/1.1\r\nAccept: {accept}\r\n"), b"")
}

#[test]
fn obs_3_the_page_is_html_and_json_by_accept_and_format() {
    let server = Server::start(&[]);
    for (target, accept, json) in [
        ("/security-dashboard", "text/html,application/xhtml+xml,*/*;q=0.8", false),
        ("/security-dashboard", "application/json", true),
        ("/security-dashboard?format=json", "text/html", true),
        ("/security-dashboard", "*/*", false),
    ] {
        let response = page(&server, target, accept);
        assert_eq!(response.status, 200, "{target} {accept}");
        let kind = response.field("content-type").unwrap();
        assert_eq!(kind.starts_with("application/json"), json, "{target} {accept}: {kind}");
        assert!(json || kind.starts_with("text/html"), "{kind}");
        assert_eq!(response.field("cache-control"), Some("no-store"));
    }
}

#[test]
fn row_h3_obs_3_sec_3_the_page_loads_nothing_from_outside_and_runs_nothing_inline() {
    let server = Server::start(&[]);
    let html = page(&server, "/security-dashboard", "text/html");
    let policy = html.field("content-security-policy").expect("a policy").to_owned();
    for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy}");
    let text = html.text();
    assert!(text.to_lowercase().starts_with("<!doctype html>"));
    for part in
        ["http://", "https://", "src=\"//", "href=\"//", " style=\"", " onclick", " onload", "javascript:"]
    {
        assert!(!text.contains(part), "{part} in the page");
    }
    let assets: Vec<_> =
        text.split(['"', '\'']).filter(|word| word.starts_with("/security-dashboard/")).collect();
    assert!(assets.len() >= 2, "a style and a script: {assets:?}");
    for asset in assets {
        let response = server.get(asset);
        assert_eq!(response.status, 200, "{asset}");
        let kind = response.field("content-type").unwrap();
        let fits = [(".js", "javascript"), (".css", "text/css"), (".svg", "image/svg+xml")];
        let expected = fits.iter().find(|(end, _)| asset.ends_with(end)).map_or("", |(_, kind)| kind);
        assert!(kind.contains(expected), "{asset}: {kind}");
    }
}

/// What clients send comes back as JSON text: it cannot end the string, nor the script element around it.
#[test]
fn row_h3_obs_3_what_clients_send_stays_text() {
    let server = setup().start();
    let mut proxy = Proxy::of(&server);
    let hostile = "/../</script><img%20src=x>\"'`${1}";
    assert_eq!(proxy.get(MALLORY, hostile).code(), "traversal");
    let mut client = server.connect();
    client.send(format!("GET /../x HTTP/1.1\r\nHost: {}\r\nX-Forwarded-For: <b>\r\n\r\n", server.host()));
    assert_eq!(client.response().status, 403);
    eventually("seen", || {
        let events = snapshot(&server)["events"].clone();
        events
            .as_array()
            .unwrap()
            .iter()
            .any(|event| event["request"].as_str().is_some_and(|text| text.contains("</script><img")))
    });
    let html = operator_get(&server, "/security-dashboard").text();
    assert!(!html.contains("<img%20src=x>"), "the page itself holds nothing of it");
}
