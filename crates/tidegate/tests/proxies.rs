//! A real nginx in front (SPEC SEC-0): the world behind it is no local operator, whatever nginx was told to send,
//! and with `--trusted-proxy` each visitor is a client of his own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should say where"
)]

mod nginx;
mod process;
mod support;
mod visitors;

use nginx::Nginx;
use support::{Client, Folder, Response, Server, Setup};
use visitors::{assert_refused, operator_get};

const ADMIN: [&str; 4] = ["/metrics", "/status", "/security-dashboard", "/security-dashboard/events"];

/// What most people write.
const BARE: &str = "";
const HTTP_1_1: &str = "proxy_http_version 1.1; proxy_set_header Connection '';";
const NAMES_CLIENT: &str = "proxy_http_version 1.1; proxy_set_header Connection ''; \
                            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;";

/// nginx before `server`, with further lines for its location; `None` where there is no nginx.
fn before(server: &Server, lines: &str) -> Option<Nginx> {
    let location = format!("location / {{ proxy_pass http://{}; {lines} }}", server.addr);
    Nginx::start(Folder::new(), &location)
}

/// A visitor's request through nginx. Its answer is nginx's own to frame; only what came of it counts here.
fn get(nginx: &Nginx, target: &str, fields: &str) -> (u16, String) {
    let mut client = Client::connect(nginx.addr);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n"));
    let (bytes, _) = client.rest(support::SOON);
    let answer = String::from_utf8(bytes).unwrap();
    let status = answer.split(' ').nth(1).unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap();
    (status, answer)
}

fn setup() -> Setup {
    Setup::new().file("index.html", "home").args(&["--rate-limit", "6/m:5", "--max-requests", "0"])
}

fn control(server: &Server) {
    let own: Response = operator_get(server, "/metrics");
    assert_eq!(own.status, 200, "the control: the operator himself");
}

#[test]
fn row_h6_sec_0_a_bare_nginx_opens_no_admin_page_and_no_exemption() {
    let server = setup().start();
    let Some(nginx) = before(&server, BARE) else { return };
    assert_eq!(get(&nginx, "/", "").0, 200);
    for page in ADMIN {
        let (status, answer) = get(&nginx, page, "");
        assert_eq!(status, 403, "{page}: {answer}");
        assert!(answer.contains("admin_forbidden"), "{page}: {answer}");
    }
    assert_eq!(get(&nginx, "/", "").0, 429, "one client, and its five requests are used up");
    control(&server);
}

/// What a visitor adds by himself passes nginx; none of it may make him an operator.
#[test]
fn row_j10_sec_0_nothing_that_a_visitor_sends_through_nginx_opens_them() {
    let server = Setup::new().args(&["--rate-limit", "off"]).start();
    let Some(nginx) = before(&server, BARE) else { return };
    for field in [
        "X-Forwarded-For: 127.0.0.1\r\n",
        "Forwarded: for=127.0.0.1;host=localhost\r\n",
        "X-Forwarded-Host: localhost\r\n",
        "X-Real-IP: 127.0.0.1\r\n",
        "Authorization: Bearer \r\n",
        "Connection: close, x-forwarded-for\r\nX-Forwarded-For: 127.0.0.1\r\n",
    ] {
        for page in ADMIN {
            assert_eq!(get(&nginx, page, field).0, 403, "{page} {field}");
        }
    }
}

#[test]
fn sec_0_an_nginx_that_speaks_1_1_and_names_its_client_opens_nothing_either() {
    let server = setup().start();
    let Some(nginx) = before(&server, NAMES_CLIENT) else { return };
    for page in ADMIN {
        assert_eq!(get(&nginx, page, "").0, 403, "{page}");
    }
    assert_eq!(get(&nginx, "/", "").0, 200);
    assert_eq!(get(&nginx, "/", "X-Forwarded-For: 203.0.113.9\r\n").0, 429, "one client, whatever it says");
    control(&server);
}

#[test]
fn sec_0_sec_1_behind_a_trusted_nginx_each_visitor_is_a_client() {
    let server = setup().args(&["--trusted-proxy", "127.0.0.1"]).start();
    let Some(nginx) = before(&server, NAMES_CLIENT) else { return };
    for page in ADMIN {
        assert_eq!(get(&nginx, page, "").0, 403, "{page}");
    }
    // nginx adds the address that it sees, 127.0.0.1, which is trusted: the walk goes on to what came before it.
    for visitor in ["203.0.113.7", "203.0.113.8"] {
        let field = format!("X-Forwarded-For: {visitor}\r\n");
        let statuses: Vec<_> = (0..6).map(|_| get(&nginx, "/", &field).0).collect();
        assert_eq!(statuses, [200, 200, 200, 200, 200, 429], "{visitor}");
        assert_eq!(get(&nginx, "/metrics", &field).0, 429);
    }
    control(&server);
}

/// nginx writes `X-Forwarded-For` and passes the visitor's own `Forwarded` on.
#[test]
fn row_j10_sec_1_a_visitor_behind_a_trusted_nginx_cannot_choose_his_address() {
    let server = setup().args(&["--trusted-proxy", "127.0.0.1"]).start();
    let Some(nginx) = before(&server, NAMES_CLIENT) else { return };
    let passed = (0..15)
        .filter(|number| {
            let fields = format!("Forwarded: for=198.51.100.{number}\r\nX-Forwarded-For: 203.0.113.7\r\n");
            get(&nginx, "/", &fields).0 == 200
        })
        .count();
    assert!(passed <= 5, "{passed} of 15 passed");
}

/// Where the proxy lies in `--admin-allow` itself, that admits nobody who stands behind it.
#[test]
fn sec_6_a_visitor_behind_a_trusted_nginx_cannot_choose_an_admitted_address() {
    let args = ["--trusted-proxy", "127.0.0.1", "--admin-allow", "10.0.0.0/8", "--admin-allow", "127.0.0.1"];
    let server = Setup::new().args(&["--rate-limit", "off"]).args(&args).start();
    let Some(nginx) = before(&server, NAMES_CLIENT) else { return };
    for own in ["for=10.1.1.1", "for=\"", "for=unknown", "for=127.0.0.1", "for=_x", ""] {
        for chain in ["203.0.113.8", "10.1.1.1, 203.0.113.8", "127.0.0.1, garbage", "10.1.1.1, unknown"] {
            let fields = format!("Forwarded: {own}\r\nX-Forwarded-For: {chain}\r\n");
            let (status, answer) = get(&nginx, "/status", &fields);
            assert_eq!(status, 403, "{fields}: {answer}");
        }
    }
    let (status, answer) = get(&nginx, "/status", "X-Forwarded-For: 10.1.1.1\r\n");
    assert_eq!(status, 200, "the control, an operator whose address nginx did see: {answer}");
}

/// A proxy that speaks 1.1, keeps the Host and adds nothing cannot be told from a browser on this machine; the
/// manual says to name it with `--trusted-proxy`, and then it is closed.
#[test]
fn sec_0_a_trusted_proxy_that_adds_nothing_is_a_stranger() {
    let server = setup().args(&["--trusted-proxy", "127.0.0.1"]).start();
    let Some(nginx) = before(&server, HTTP_1_1) else { return };
    for page in ADMIN {
        assert_eq!(get(&nginx, page, "").0, 403, "{page}");
    }
    control(&server);
}

#[test]
fn sec_6_a_token_passes_through_a_bare_nginx() {
    let setup = setup().args(&["--admin-token-file", "token"]);
    setup.folder.write("token", "an-operators-long-secret\n");
    let server = setup.start();
    let Some(nginx) = before(&server, BARE) else { return };
    let (status, answer) = get(&nginx, "/metrics", "Authorization: Bearer an-operators-long-secret\r\n");
    assert_eq!(status, 200, "{answer}");
    assert_eq!(get(&nginx, "/metrics", "Authorization: Bearer an-operators-long-secreT\r\n").0, 403);
    let missing = get(&nginx, "/status", "").0;
    assert_eq!(missing, 403);
    assert_refused(&server.request("GET /status HTTP/1.1\r\nVia: 1.1 x\r\n", b""), 403, "admin_forbidden");
}
