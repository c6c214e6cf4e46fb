//! The ban book from outside (SPEC RUN-4): `tidegate bans list`, `lift` and `export` over the control socket, and
//! lifting from the dashboard.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;
mod visitors;

use std::os::unix::fs::PermissionsExt;

use process::{Outcome, run};
use serde_json::Value;
use support::{Response, Server, Setup};
use visitors::{BEHIND_PROXY, Proxy, assert_refused, from, is_banned, provoke_ban};

const MALLORY: &str = "203.0.113.7";
const V6: &str = "2001:db8:1:2::1";

fn server() -> Server {
    Setup::new()
        .args(&BEHIND_PROXY)
        .args(&["--bans", "on", "--rate-limit", "off", "--control", "control.sock"])
        .start()
}

/// A server that has banned both.
fn with_bans() -> Server {
    let server = server();
    let mut proxy = Proxy::of(&server);
    provoke_ban(&mut proxy, MALLORY);
    provoke_ban(&mut proxy, V6);
    server
}

fn bans(server: &Server, args: &[&str]) -> Outcome {
    run(&server.folder.0, &[&["bans"], args, &["--control", "control.sock"]].concat(), &[])
}

fn said(server: &Server, args: &[&str]) -> String {
    let outcome = bans(server, args);
    assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), ""), "{args:?}: {}", outcome.out);
    outcome.out
}

#[test]
fn run_4_bans_list_tells_who_why_and_for_how_long() {
    let server = server();
    let empty = said(&server, &["list"]);
    assert!(!empty.contains("203.0.113"), "{empty}");
    provoke_ban(&mut Proxy::of(&server), MALLORY);
    let list = said(&server, &["list"]);
    let line = list.lines().find(|line| line.contains(MALLORY)).unwrap_or_else(|| panic!("{list}"));
    assert!(line.contains("traversal"), "{line}");
    assert!(!list.contains("203.0.113.8"));
}

#[test]
fn run_4_bans_lift_frees_one_client_at_once() {
    let server = with_bans();
    let mut proxy = Proxy::of(&server);
    said(&server, &["lift", MALLORY]);
    assert!(!is_banned(&mut proxy, MALLORY) && is_banned(&mut proxy, V6));
    assert!(!said(&server, &["list"]).contains(MALLORY));
    // Its score is forgotten too: one more mistake is one mistake.
    assert_eq!(proxy.get(MALLORY, visitors::TRAVERSAL).code(), "traversal");
    assert!(!is_banned(&mut proxy, MALLORY));
    // As the list writes it.
    said(&server, &["lift", "2001:db8:1:2::/64"]);
    assert!(!is_banned(&mut proxy, V6));
    let nobody = bans(&server, &["lift", "198.51.100.1"]);
    assert_ne!(nobody.code, Some(0), "{}", nobody.out);
    assert!(format!("{}{}", nobody.out, nobody.err).contains("198.51.100.1"), "{nobody:?}");
    let nonsense = bans(&server, &["lift", "not-an-address"]);
    assert_eq!(nonsense.code, Some(2), "{nonsense:?}");
}

#[test]
fn run_4_bans_export_writes_what_other_tools_read() {
    let server = with_bans();
    let json = said(&server, &["export", "--format", "json"]);
    let parse = |line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let lines: Vec<_> = json.lines().map(parse).collect();
    let clients: Vec<_> = lines.iter().map(|ban| ban["client"].as_str().unwrap()).collect();
    assert!(
        clients.len() == 2 && clients.contains(&MALLORY) && clients.contains(&"2001:db8:1:2::/64"),
        "{json}"
    );

    let fail2ban = said(&server, &["export", "--format", "fail2ban"]);
    assert_eq!(fail2ban.lines().count(), 2, "one line a ban: {fail2ban}");
    assert!(fail2ban.contains(MALLORY) && fail2ban.contains("2001:db8:1:2:"), "{fail2ban}");

    let nftables = said(&server, &["export", "--format", "nftables"]);
    let four = nftables.lines().find(|line| line.contains(MALLORY)).unwrap();
    let seconds: u32 = four
        .strip_prefix(&format!("add element inet tidegate banned4 {{ {MALLORY} timeout "))
        .and_then(|rest| rest.strip_suffix("s }"))
        .unwrap_or_else(|| panic!("{four}"))
        .parse()
        .unwrap();
    assert!((1..=600).contains(&seconds), "{seconds}");
    assert!(
        nftables.contains("add element inet tidegate banned6 { 2001:db8:1:2::/64 timeout "),
        "{nftables}"
    );
    let unknown = bans(&server, &["export", "--format", "xml"]);
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
}

/// Who is banned only in the shadow must not be banned in earnest by a firewall.
#[test]
fn run_4_bans_export_leaves_shadow_bans_out_of_firewalls() {
    let server = Setup::new()
        .args(&BEHIND_PROXY)
        .args(&["--bans", "shadow", "--rate-limit", "off", "--control", "control.sock"])
        .start();
    let mut proxy = Proxy::of(&server);
    for _ in 0..200 {
        assert_eq!(proxy.get(MALLORY, visitors::TRAVERSAL).code(), "traversal");
    }
    assert!(said(&server, &["list"]).contains(MALLORY), "the list has it");
    for format in ["fail2ban", "nftables"] {
        assert!(!said(&server, &["export", "--format", format]).contains(MALLORY), "{format}");
    }
}

#[test]
fn run_4_bans_finds_the_server_by_file_and_environment() {
    let setup = Setup::new().args(&BEHIND_PROXY).args(&["-c", "t.toml"]);
    setup
        .folder
        .write("t.toml", "[server]\ncontrol = 'by-file.sock'\n[limits]\nbans = 'on'\nrate_limit = 'off'\n");
    let server = setup.start();
    provoke_ban(&mut Proxy::of(&server), MALLORY);
    for (args, env) in [
        (&["bans", "list", "-c", "t.toml"][..], &[][..]),
        (&["bans", "list"], &[("TIDEGATE_CONTROL", "by-file.sock")]),
        (&["bans", "list"], &[("TIDEGATE_CONFIG", "t.toml")]),
    ] {
        let outcome = run(&server.folder.0, args, env);
        assert!(
            outcome.code == Some(0) && outcome.out.contains(MALLORY),
            "{args:?} {env:?}: {}{}",
            outcome.out,
            outcome.err
        );
    }
}

#[test]
fn run_4_bans_without_a_server_fails_and_says_why() {
    let folder = support::Folder::new();
    let outcome = run(&folder.0, &["bans", "list", "--control", "nowhere.sock"], &[]);
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(1), ""));
    assert!(outcome.err.contains("nowhere.sock"), "{}", outcome.err);
}

/// Whoever may write to the socket may free an attacker.
#[test]
fn run_4_the_control_socket_is_its_owners_alone() {
    let mut server = server();
    let path = server.folder.0.join("control.sock");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(!path.exists(), "it is removed at the end");
}

/// A socket of a living server is not taken from it; that of a dead one is.
#[test]
fn run_4_a_control_socket_in_use_is_not_taken_and_a_dead_one_is() {
    let mut server = with_bans();
    let path = server.folder.0.join("control.sock");
    let second = run(&server.folder.0, &["-p", "0", "-r", "root", "--control", "control.sock"], &[]);
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.err.contains("control.sock"), "{second:?}");
    assert!(said(&server, &["list"]).contains(MALLORY), "the first one has it still");
    server.signal("KILL");
    server.wait();
    assert!(path.exists(), "the control: nobody tidied up");
    let again = Setup::new().args(&["--control", path.to_str().unwrap()]).start();
    assert!(!said(&server, &["list"]).contains(MALLORY), "this is another server's book");
    drop(again);
}

/// One that speaks nonsense to the socket, or nothing, keeps nobody from it.
#[test]
fn run_4_the_control_socket_survives_its_callers() {
    use std::io::Write;
    let server = with_bans();
    let path = server.folder.0.join("control.sock");
    let mut callers = Vec::new();
    for bytes in [&b""[..], b"\n", b"\xff\x00garbage\n", b"{\"half\":", &[b'x'; 100_000]] {
        let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
        stream.set_nonblocking(true).unwrap();
        let _ = stream.write(bytes);
        callers.push(stream);
    }
    assert!(said(&server, &["list"]).contains(MALLORY));
    assert_eq!(visitors::operator_get(&server, "/healthz").status, 200);
    drop(callers);
    assert!(said(&server, &["list"]).contains(MALLORY));
}

/// A lift from the dashboard, by the operator, with further fields.
fn lift(server: &Server, fields: &str, body: &str) -> Response {
    let mut client = from(server, "127.0.0.9");
    let head =
        format!("POST /security-dashboard/bans/lift HTTP/1.1\r\nContent-Length: {}\r\n{fields}", body.len());
    client.send_request(&head, body.as_bytes());
    client.response()
}

#[test]
fn obs_3_a_ban_is_lifted_from_the_dashboard() {
    let server = with_bans();
    let mut proxy = Proxy::of(&server);
    let json = "Content-Type: application/json\r\n";
    let body = format!("{{\"client\":\"{MALLORY}\"}}");
    let response = lift(&server, json, &body);
    assert_eq!((response.status, &response.json()["lifted"]), (200, &Value::Bool(true)));
    assert!(!is_banned(&mut proxy, MALLORY) && is_banned(&mut proxy, V6));
    let own = format!("{json}Origin: http://{}\r\nSec-Fetch-Site: same-origin\r\n", server.host());
    assert_eq!(lift(&server, &own, "{\"client\":\"2001:db8:1:2::/64\"}").status, 200);
    assert!(!is_banned(&mut proxy, V6));
}

/// A page of another origin that the operator's browser shows cannot lift one (cross-site request forgery).
#[test]
fn row_h6_sec_6_a_foreign_page_lifts_nothing() {
    let server = with_bans();
    let mut proxy = Proxy::of(&server);
    let json = "Content-Type: application/json\r\n";
    let body = format!("{{\"client\":\"{MALLORY}\"}}");
    for fields in [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: \r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Origin: http://localhost:1\r\n",
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Site: same-origin\r\n",
    ] {
        assert_refused(&lift(&server, &format!("{json}{fields}"), &body), 403, "admin_forbidden");
    }
    let near = format!("{json}Origin: http://{}.evil.example\r\n", server.host());
    assert_refused(&lift(&server, &near, &body), 403, "admin_forbidden");
    for kind in ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"] {
        assert_refused(&lift(&server, kind, &body), 415, "not_json");
    }
    let stranger = format!("{json}Via: 1.1 x\r\n");
    assert_refused(&lift(&server, &stranger, &body), 403, "admin_forbidden");
    for body in ["", "{", "[]", "{\"client\":7}", "{\"client\":\"x\"}", "{}", "{\"client\":\"203.0.113.7\"}x"]
    {
        let refused = lift(&server, json, body);
        assert_eq!(refused.status, 400, "{body}: {}", refused.text());
    }
    assert!(is_banned(&mut proxy, MALLORY) && is_banned(&mut proxy, V6), "none of these lifted anything");
    let nobody = lift(&server, json, "{\"client\":\"198.51.100.1\"}");
    assert!(nobody.status == 404 || nobody.json()["lifted"] == false, "{}", nobody.text());
}

/// The body is small, and judged as that of an upload is (H1-10, step 10).
#[test]
fn h1_10_obs_3_the_body_of_a_lift_is_bounded() {
    let server = server();
    let json = "Content-Type: application/json\r\n";
    let mut client = from(&server, "127.0.0.9");
    client.send_request(&format!("POST /security-dashboard/bans/lift HTTP/1.1\r\n{json}"), b"");
    assert_refused(&client.response(), 411, "length_required");
    let long = format!("{{\"client\":\"{}\"}}", "1".repeat(5_000));
    assert_refused(&lift(&server, json, &long), 413, "body_too_large");
    let body = "29\r\n{\"client\":                \"198.51.100.1\"}\r\n0\r\n\r\n";
    let mut client = from(&server, "127.0.0.9");
    let head = format!("POST /security-dashboard/bans/lift HTTP/1.1\r\n{json}Transfer-Encoding: chunked\r\n");
    client.send_request(&head, body.as_bytes());
    let chunked = client.response();
    assert!(chunked.status == 404 || chunked.json()["lifted"] == false, "{}", chunked.text());
}
