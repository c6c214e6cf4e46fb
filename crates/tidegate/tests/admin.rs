//! Who may see metrics, status and dashboard (SPEC SEC-6): addresses, the token and its file, a listener of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;
mod visitors;

use std::net::{Ipv4Addr, SocketAddr};

use process::{Outcome, lines_with, run};
use support::{Client, Response, Server, Setup, eventually};
use visitors::{ask, assert_refused, from};

const PAGES: [&str; 5] =
    ["/metrics", "/status", "/security-dashboard", "/security-dashboard/events", "/status/refusals/0"];
const TOKEN: &str = "sesame-open-1234567890";

/// A request that no local operator sends, with these fields.
fn stranger(server: &Server, target: &str, fields: &str) -> Response {
    server.request(&format!("GET {target} HTTP/1.1\r\nVia: 1.1 x\r\n{fields}"), b"")
}

fn with_token(content: &[u8]) -> Setup {
    let setup = Setup::new().args(&["--admin-token-file", "token", "--rate-limit", "off"]);
    setup.folder.write("token", content);
    setup
}

fn bearer(server: &Server, token: &str) -> u16 {
    stranger(server, "/status", &format!("Authorization: Bearer {token}\r\n")).status
}

#[test]
fn row_h6_sec_6_strangers_get_403_on_every_page_and_on_nothing_else() {
    let server = Server::start(&[]);
    for page in PAGES {
        assert_refused(&stranger(&server, page, ""), 403, "admin_forbidden");
    }
    // By the decoded path and without the query (H1-10).
    for page in ["/%6detrics", "/metrics?format=json", "/status?x=/../", "/%73ecurity-dashboard"] {
        assert_refused(&stranger(&server, page, ""), 403, "admin_forbidden");
    }
    for page in ["/healthz", "/readyz"] {
        assert_eq!(stranger(&server, page, "").status, 200, "{page}");
    }
    assert_refused(&stranger(&server, "/metricsx", ""), 404, "not_found");
    assert_refused(&stranger(&server, "/Metrics", ""), 404, "not_found");
}

/// A file of that name in the root is not shown in their place (FILE-10).
#[test]
fn sec_6_a_file_of_that_name_is_not_the_page() {
    let server = Setup::new().file("metrics", "mine").file("status/index.html", "mine").start();
    assert_refused(&stranger(&server, "/metrics", ""), 403, "admin_forbidden");
    assert_refused(&stranger(&server, "/status/", ""), 403, "admin_forbidden");
    assert!(!server.get("/metrics").text().contains("mine"));
}

#[test]
fn sec_6_head_and_options_answer_as_everywhere() {
    let server = Server::start(&[]);
    for page in ["/metrics", "/status", "/security-dashboard"] {
        let head = server.request(&format!("HEAD {page} HTTP/1.1\r\n"), b"");
        assert_eq!((head.status, head.body.len()), (200, 0), "{page}");
        assert_eq!(head.field("content-type"), server.get(page).field("content-type"), "{page}");
        assert_eq!(head.field("cache-control"), Some("no-store"), "{page} (SEC-3)");
        assert_eq!(server.get(page).field("cache-control"), Some("no-store"), "{page} (SEC-3)");
        let refused = server.request(&format!("HEAD {page} HTTP/1.1\r\nVia: 1.1 x\r\n"), b"");
        assert_eq!((refused.status, refused.body.len()), (403, 0), "{page}");
        for fields in ["", "Via: 1.1 x\r\n"] {
            let options = server.request(&format!("OPTIONS {page} HTTP/1.1\r\n{fields}"), b"");
            assert_eq!((options.status, options.field("allow")), (204, Some("GET, HEAD, OPTIONS")), "{page}");
        }
    }
}

/// Where nothing stands between, the peer's address decides; where something may, it does not.
#[test]
fn sec_6_admin_allow_admits_its_addresses() {
    let server = Server::start(&["--admin-allow", "127.0.0.2", "--admin-allow", "127.1.0.0/16"]);
    // HTTP/1.0, so that no address of loopback is an operator.
    let status = |ip: &str, fields: &str| {
        let mut client = from(&server, ip);
        client.send(format!("GET /metrics HTTP/1.0\r\nHost: {}\r\n{fields}\r\n", server.host()));
        client.response().status
    };
    for (ip, expected) in [
        ("127.0.0.2", 200),
        ("127.1.0.0", 200),
        ("127.1.255.255", 200),
        ("127.0.0.3", 403),
        ("127.2.0.0", 403),
        ("127.0.0.1", 403),
    ] {
        assert_eq!(status(ip, ""), expected, "{ip}");
    }
    // Nobody gets in by naming an address.
    assert_eq!(status("127.0.0.3", "X-Forwarded-For: 127.0.0.2\r\n"), 403);
    assert_eq!(status("127.0.0.3", "Forwarded: for=127.0.0.2\r\n"), 403);
}

#[test]
fn row_h6_sec_6_the_token_opens_and_nothing_like_it_does() {
    let server = with_token(TOKEN.as_bytes()).start();
    assert_eq!(bearer(&server, TOKEN), 200);
    for page in ["/metrics", "/security-dashboard"] {
        let fields = format!("Authorization: Bearer {TOKEN}\r\n");
        assert_eq!(stranger(&server, page, &fields).status, 200, "{page}");
    }
    let scheme = stranger(&server, "/status", &format!("authorization: bEARER {TOKEN}\r\n"));
    assert_eq!(scheme.status, 200, "the scheme has no case (RFC 9110 section 11.1)");
    let flipped = TOKEN.replace('s', "S");
    for wrong in [
        "",
        " ",
        &TOKEN[..TOKEN.len() - 1],
        &TOKEN[..1],
        &TOKEN[1..],
        &format!("{TOKEN}x"),
        &format!("{TOKEN}{TOKEN}"),
        &format!("{TOKEN}\t{TOKEN}"),
        &format!("\"{TOKEN}\""),
        &flipped,
        &"x".repeat(4000),
    ] {
        assert_eq!(bearer(&server, wrong), 403, "{wrong:?}");
    }
    for value in [format!("Basic {TOKEN}"), TOKEN.into(), format!("Bearer{TOKEN}"), format!("Token {TOKEN}")]
    {
        let refused = stranger(&server, "/status", &format!("Authorization: {value}\r\n"));
        assert_refused(&refused, 403, "admin_forbidden");
    }
    let twice = format!("Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer wrong-wrong-wrong-1\r\n");
    assert_ne!(stranger(&server, "/status", &twice).status, 200, "of two nobody knows which counts");
    let query = stranger(&server, &format!("/status?token={TOKEN}&access_token={TOKEN}"), "");
    assert_eq!(query.status, 403, "never in an address, which every log keeps");
}

#[test]
fn sec_6_the_line_end_of_the_file_is_not_part_of_the_token() {
    for end in ["\n", "\r\n"] {
        let server = with_token(format!("{TOKEN}{end}").as_bytes()).start();
        assert_eq!(bearer(&server, TOKEN), 200, "{end:?}");
        assert_eq!(bearer(&server, "wrong-wrong-wrong-1"), 403);
    }
}

#[test]
fn sec_6_run_2_a_file_without_a_token_is_refused_at_start() {
    let setup = Setup::new();
    let start = |name: &str| -> Outcome {
        run(&setup.folder.0, &["-p", "0", "-r", "root", "--admin-token-file", name], &[])
    };
    for content in ["", "\n", "\r\n", "  \n", "two words of a token\n", "first-line-of-token\nsecond\n"] {
        setup.folder.write("token", content);
        let outcome = start("token");
        assert_eq!(outcome.code, Some(2), "{content:?}: {}{}", outcome.out, outcome.err);
        assert!(outcome.err.contains("--admin-token-file"), "{content:?}: {}", outcome.err);
        assert!(!outcome.err.contains("words") && !outcome.err.contains("first"), "{}", outcome.err);
    }
    let outcome = start("nowhere");
    assert_eq!(outcome.code, Some(2), "{}{}", outcome.out, outcome.err);
    assert!(outcome.err.contains("nowhere"), "{}", outcome.err);
}

#[test]
fn sec_6_run_5_hup_reads_the_token_anew_and_a_bad_one_changes_nothing() {
    let setup = Setup::new().args(&["-c", "t.toml", "--rate-limit", "off"]);
    setup.folder.write("token", TOKEN);
    setup.folder.write("t.toml", "[admin]\ntoken_file = 'token'\n");
    let server = setup.start();
    assert_eq!(bearer(&server, TOKEN), 200);
    let next = "another-token-0987654321";
    server.folder.write("token", next);
    assert_eq!(bearer(&server, next), 403, "not before the signal");
    server.signal("HUP");
    // Two workers: each must have been met.
    eventually("the new one opens", || (0..8).all(|_| bearer(&server, next) == 200));
    eventually("the old one does not", || (0..8).all(|_| bearer(&server, TOKEN) == 403));
    server.folder.write("token", "");
    server.signal("HUP");
    eventually("it is refused", || !lines_with(&server, "not reloaded").is_empty());
    assert_eq!((bearer(&server, next), bearer(&server, "")), (200, 403));
}

/// Neither the token nor a guess at it is written anywhere.
#[test]
fn sec_6_obs_1_no_token_is_ever_written_down() {
    let guess = "wrong-guess-1234567890";
    let args = [
        "--log-level",
        "DEBUG",
        "--access-log",
        "combined",
        "--json-log-file",
        "j",
        "--audit-log",
        "a.jsonl",
    ];
    let server = with_token(TOKEN.as_bytes()).args(&args).start();
    for token in [TOKEN, guess] {
        bearer(&server, token);
        stranger(&server, "/missing", &format!("Authorization: Bearer {token}\r\n"));
    }
    assert_eq!(server.get("/security-dashboard?format=json").text().matches(guess).count(), 0);
    assert_eq!(server.get("/last").status, 404);
    let read = |name: &str| std::fs::read_to_string(server.folder.0.join(name)).unwrap_or_default();
    eventually("all is written", || read("j").contains("/last") && !lines_with(&server, "/last").is_empty());
    eventually("the wrong one is an event", || read("a.jsonl").contains("admin"));
    let all = format!("{}{}{}", server.log().join("\n"), read("j"), read("a.jsonl"));
    assert!(all.contains("/missing"), "the control");
    for secret in [TOKEN, guess] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    let check = run(&server.folder.0, &["check", "--admin-token-file", "token"], &[]);
    assert!(check.code == Some(0) && check.out.contains("token_file"), "{}", check.err);
    assert!(!check.out.contains(TOKEN), "{}", check.out);
}

#[test]
fn row_h6_sec_6_a_listener_of_their_own_takes_the_pages_away_from_the_others() {
    let port = process::free_port();
    let own: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
    let setup = Setup::new().args(&["-c", "t.toml"]);
    setup.folder.write("t.toml", format!("[admin]\nlisten = '{own}'\n"));
    let server = setup.start();
    let at = |addr: SocketAddr, page: &str, fields: &str| {
        let mut client = Client::connect(addr);
        ask(&mut client, &format!("GET {page} HTTP/1.1\r\n{fields}"))
    };
    for page in ["/metrics", "/status", "/security-dashboard"] {
        assert_eq!(at(own, page, "").status, 200, "{page}");
        assert_refused(&at(own, page, "Via: 1.1 x\r\n"), 403, "admin_forbidden");
    }
    for page in PAGES {
        assert_refused(&at(server.addr, page, ""), 404, "not_found");
        assert_refused(&at(server.addr, page, "Via: 1.1 x\r\n"), 404, "not_found");
    }
    assert_eq!(at(server.addr, "/healthz", "").status, 200);
}

/// The admin listener is no way around HOST-1.
#[test]
fn sec_6_host_1_the_admin_listener_judges_the_host_too() {
    let port = process::free_port();
    let own: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
    let setup = Setup::new().args(&["-c", "t.toml"]);
    setup.folder.write("t.toml", format!("[admin]\nlisten = '{own}'\n"));
    let _server = setup.start();
    let mut client = Client::connect(own);
    client.send(format!("GET /metrics HTTP/1.1\r\nHost: rebound.example:{port}\r\n\r\n"));
    assert_refused(&client.response(), 403, "host_not_allowed");
    client.send(format!("GET /metrics HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"));
    assert_eq!(client.response().status, 200);
}

/// A trusted proxy in the place of the client is a proxy that named nobody: it opens nothing.
#[test]
fn sec_6_a_trusted_proxy_is_never_admitted_by_its_address() {
    let server = Setup::new()
        .args(&[
            "--trusted-proxy",
            "127.0.0.0/8",
            "--admin-allow",
            "127.0.0.0/8",
            "--admin-allow",
            "203.0.113.0/24",
        ])
        .start();
    let ask = |fields: &str| server.request(&format!("GET /metrics HTTP/1.1\r\n{fields}"), b"").status;
    for fields in ["", "X-Forwarded-For: 127.0.0.7\r\n", "X-Forwarded-For: x, 127.0.0.7\r\n"] {
        assert_eq!(ask(fields), 403, "{fields}");
    }
    assert_eq!(ask("X-Forwarded-For: 203.0.113.7\r\n"), 200);
}
