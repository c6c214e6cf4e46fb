//! `/status`, and a refusal by its id (SPEC OBS-4).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod strace;
mod support;
mod visitors;

use serde_json::Value;
use strace::{Strace, is_root};
use support::{Response, Server, Setup, eventually};
use visitors::{BEHIND_PROXY, Proxy, ask, assert_refused, from, operator_get, provoke_ban};

fn status(server: &Server) -> Value {
    let response = operator_get(server, "/status");
    assert_eq!((response.status, response.field("content-type")), (200, Some("application/json")));
    assert_eq!(response.field("cache-control"), Some("no-store"));
    response.json()
}

fn members(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

fn id_of(response: &Response) -> &str {
    response.field("x-request-id").expect("an id")
}

/// What the operator reads of a refusal, once it is told.
fn refusal(server: &Server, id: &str) -> Value {
    server.rests();
    let response = operator_get(server, &format!("/status/refusals/{id}"));
    assert_eq!(response.status, 200, "{id}: {}", response.text());
    assert_eq!(response.field("cache-control"), Some("no-store"));
    response.json()
}

#[test]
fn obs_4_status_has_the_promised_shape() {
    let server = Server::start(&["--workers", "2", "--threads", "3", "--queue", "7"]);
    let status = status(&server);
    for name in ["version", "uptime_seconds", "workers", "pool"] {
        assert!(status.get(name).is_some(), "{name}: {status}");
    }
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert!(status["uptime_seconds"].is_number());
    let workers = status["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 2);
    for (at, worker) in workers.iter().enumerate() {
        for name in ["id", "state", "connections", "served"] {
            assert!(members(worker).contains(&name), "{name}: {worker}");
        }
        assert_eq!(worker["id"], at);
        assert!(worker["connections"].is_u64() && worker["served"].is_u64(), "{worker}");
    }
    let pool = &status["pool"];
    assert_eq!((&pool["size"], &pool["queue_limit"]), (&3.into(), &7.into()), "{pool}");
    assert!(pool["busy"].is_u64() && pool["queue_depth"].is_u64(), "{pool}");
    let threads = pool["threads"].as_array().unwrap();
    assert_eq!(threads.len(), 3);
    for (at, thread) in threads.iter().enumerate() {
        for name in ["id", "state", "doing", "since", "served"] {
            assert!(members(thread).contains(&name), "{name}: {thread}");
        }
        assert_eq!((&thread["id"], &thread["state"]), (&at.into(), &"idle".into()), "{thread}");
        assert!(thread["doing"].is_null(), "{thread}");
    }
}

#[test]
fn obs_4_status_counts_connections_and_what_was_served() {
    let server = Setup::new().file("index.html", "home").args(&["--workers", "2"]).start();
    let sum = |name: &str| -> u64 {
        let workers = status(&server)["workers"].clone();
        workers.as_array().unwrap().iter().map(|worker| worker[name].as_u64().unwrap()).sum()
    };
    let held: Vec<_> = (0..6)
        .map(|_| {
            let mut client = server.connect();
            assert_eq!(client.get("/").status, 200);
            client
        })
        .collect();
    eventually("six at least", || sum("connections") >= 6);
    server.rests();
    assert!(sum("served") >= 6);
    drop(held);
    eventually("gone again", || sum("connections") <= 2);
}

#[test]
fn obs_4_load_2_a_thread_tells_what_it_does() {
    if !is_root("obs_4_load_2_a_thread_tells_what_it_does") {
        return;
    }
    let server = Server::start(&["--threads", "2", "--queue", "5"]);
    let slow = ["-e", "trace=fsync", "-e", "inject=fsync:delay_enter=15s"];
    let pool = Strace::attach(&server, "pool-", &slow);
    let mut clients: Vec<_> = (0..3)
        .map(|_| {
            let mut client = server.connect();
            let head = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 1\r\n";
            client.send_request(head, b"1");
            client
        })
        .collect();
    eventually("two store, and the third waits", || {
        let pool = status(&server)["pool"].clone();
        (pool["busy"].as_u64(), pool["queue_depth"].as_u64()) == (Some(2), Some(1))
    });
    let threads = status(&server)["pool"]["threads"].clone();
    let busy: Vec<_> = threads.as_array().unwrap().iter().filter(|one| one["state"] == "busy").collect();
    assert!(!busy.is_empty(), "{threads}");
    for thread in busy {
        assert!(thread["doing"].as_str().is_some_and(|text| !text.is_empty()), "{thread}");
        assert!(thread["since"].is_number(), "{thread}");
    }
    drop(pool);
    for client in &mut clients {
        assert_eq!(client.response().status, 201);
    }
    eventually("idle, and their work counted", || {
        let pool = status(&server)["pool"].clone();
        let served: u64 =
            pool["threads"].as_array().unwrap().iter().map(|one| one["served"].as_u64().unwrap()).sum();
        pool["busy"] == 0 && served >= 3
    });
}

#[test]
fn obs_4_sec_4_a_refusal_is_explained_by_its_id() {
    let server = Server::start(&[]);
    for (line, fields, status, code) in [
        ("GET /../x", "", 403, "traversal"),
        ("GET /missing", "", 404, "not_found"),
        ("PUT /thing", "", 405, "method_not_allowed"),
        ("POST /upload", "Content-Length: 99999999\r\n", 413, "body_too_large"),
        ("GET /%zz", "", 400, "bad_target"),
    ] {
        let refused = server.request(&format!("{line} HTTP/1.1\r\n{fields}"), b"");
        assert_eq!((refused.status, refused.code().as_str()), (status, code));
        let told = refusal(&server, id_of(&refused));
        let of = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        assert_eq!((of("id"), of("code")), (id_of(&refused).to_owned(), code.to_owned()), "{told}");
        assert_eq!((&told["status"], of("client").as_str()), (&status.into(), "127.0.0.1"), "{told}");
        assert!(of("request").starts_with(line), "{told}");
        assert!(!of("time").is_empty(), "{told}");
        assert!(!told["explanation"].is_null(), "{told}");
        for name in ["kind", "rule", "key", "limit", "evidence"] {
            assert!(told.get(name).is_some(), "{name}: {told}");
        }
    }
}

/// Also of a head that could not be read, a client that a proxy names, and one that is limited or banned.
#[test]
fn obs_4_every_kind_of_refusal_can_be_looked_up() {
    let server = Setup::new()
        .args(&BEHIND_PROXY)
        .args(&["--bans", "on", "--rate-limit", "1/m:450", "--max-connections", "500"])
        .start();
    let mut client = server.connect();
    client.send("nonsense\r\n\r\n");
    let unread = client.response();
    assert_eq!(refusal(&server, id_of(&unread))["code"], "bad_request_line");
    let mut proxy = Proxy::of(&server);
    provoke_ban(&mut proxy, "203.0.113.7");
    let banned = proxy.get("203.0.113.7", "/");
    let told = refusal(&server, id_of(&banned));
    assert_eq!((&told["code"], &told["client"]), (&"banned".into(), &"203.0.113.7".into()), "{told}");
    let limited = (0..500)
        .map(|_| proxy.get("203.0.113.8", "/healthz"))
        .find(|response| response.status == 429)
        .expect("limited");
    let told = refusal(&server, id_of(&limited));
    assert_eq!((&told["code"], &told["kind"]), (&"rate_limited".into(), &"rate".into()), "{told}");
    assert!(!told["limit"].is_null(), "which limit: {told}");
}

#[test]
fn row_h3_obs_4_a_browser_gets_a_page_in_which_nothing_of_the_client_is_markup() {
    let server = Server::start(&[]);
    let refused = server.get("/../<script>alert(1)</script>\"'&amp;");
    assert_eq!(refused.code(), "traversal");
    server.rests();
    let target = format!("/status/refusals/{}", id_of(&refused));
    let page = server.request(&format!("GET {target} HTTP/1.1\r\nAccept: text/html\r\n"), b"");
    assert_eq!((page.status, page.field("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(
        page.field("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'"))
    );
    let text = page.text();
    assert!(text.contains("traversal") && text.contains(id_of(&refused)), "{text}");
    assert!(!text.contains("<script>alert") && text.contains("&lt;script&gt;"), "{text}");
}

#[test]
fn obs_4_an_id_that_is_none_is_404() {
    let server = Server::start(&[]);
    let refused = server.get("/missing");
    let id = id_of(&refused);
    for wrong in [
        "0123456789abcdef",
        "",
        "x",
        &id[1..],
        &format!("{id}0"),
        &format!("{id}/"),
        &format!("0x{id}"),
        "ffffffffffffffffffffffffffffffff",
        "+123456789abcdef",
    ] {
        let response = operator_get(&server, &format!("/status/refusals/{wrong}"));
        assert_refused(&response, 404, "not_found");
    }
    assert_eq!(refusal(&server, id)["code"], "not_found", "the control");
}

/// The newest are kept, the oldest forgotten; a flood of them costs no memory.
#[test]
fn obs_4_refusals_are_kept_for_a_while() {
    let server = Server::start(&["--workers", "1", "--max-requests", "0", "--access-log", "off"]);
    let mut client = from(&server, "127.0.0.3");
    let first = ask(&mut client, "GET /missing HTTP/1.1\r\n");
    for number in 0..200 {
        assert_eq!(ask(&mut client, &format!("GET /missing-{number} HTTP/1.1\r\n")).status, 404);
    }
    assert_eq!(refusal(&server, id_of(&first))["code"], "not_found", "two hundred others do not push it out");
    let event = ask(&mut client, "GET /../x HTTP/1.1\r\n");
    let before = server.memory_kib();
    let one = format!("GET /missing HTTP/1.1\r\nHost: {}\r\n\r\n", server.host());
    for _ in 0..300 {
        client.send(one.repeat(100));
        for _ in 0..100 {
            assert_eq!(client.response().status, 404);
        }
    }
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB for 30,000 refusals");
    assert_eq!(refusal(&server, id_of(&event))["code"], "traversal", "no flood of 404s hides an event");
}
