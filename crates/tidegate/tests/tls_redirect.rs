//! The listener of `--tls-redirect`: one answer to all, and only for a host that is ours (SPEC TLS-1).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;
mod tls;

use std::net::SocketAddr;
use std::process::Command;

use support::{Client, Response, Server, Setup};
use tls::{Trust, connect};

/// A server with a certificate of its own, and where it redirects.
fn server(args: &[&str]) -> (Server, SocketAddr) {
    let setup = Setup::new().file("index.html", "home").file("a b.html", "here");
    let flags = ["--tls-self-signed", "--tls-redirect", "127.0.0.1:0"];
    let mut server = setup.args(&flags).args(args).start();
    let line = server.wait_for_log("  redirect ");
    let (_, addr) = line.split_once("http://").unwrap();
    let addr = addr.split('/').next().unwrap().parse().unwrap();
    (server, addr)
}

/// What the redirecting listener answers to `line` and `fields`, among them Host.
fn ask(addr: SocketAddr, line: &str, fields: &str) -> Response {
    let mut client = Client::connect(addr);
    client.send(format!("{line}\r\n{fields}\r\n"));
    client.response_to(line)
}

#[test]
fn tls_1_every_method_is_sent_on_to_the_same_target_over_tls() {
    let (server, addr) = server(&[]);
    let https = |target: &str| format!("https://127.0.0.1:{}{target}", server.addr.port());
    let mut client = Client::connect(addr);
    for (line, target) in [
        ("GET / HTTP/1.1", "/"),
        ("HEAD /a%20b.html?x=1?y HTTP/1.1", "/a%20b.html?x=1?y"),
        ("OPTIONS /upload HTTP/1.1", "/upload"),
        ("OPTIONS * HTTP/1.1", ""),
        ("GET http://127.0.0.1/x HTTP/1.1", "/x"),
        ("GET /no/such//file HTTP/1.1", "/no/such//file"),
    ] {
        let line = line.replace("127.0.0.1/", &format!("{addr}/"));
        client.send(format!("{line}\r\nHost: {addr}\r\n\r\n"));
        let answer = client.response_to(&line);
        assert_eq!((answer.status, answer.field("location")), (308, Some(&*https(target))), "{line}");
        assert_eq!((answer.field("content-length"), answer.closes()), (Some("0"), false), "{line}");
    }
    client.send_request("POST /upload HTTP/1.1\r\nContent-Length: 2\r\n", b"{}");
    let answer = client.response();
    assert_eq!((answer.status, answer.field("location")), (308, Some(&*https("/upload"))));
    assert_eq!(client.get("/").status, 308, "the body was read");
}

/// The way leads somewhere, and the control: the listener that speaks TLS sends nobody on.
#[test]
fn tls_1_who_follows_finds_what_was_asked_for() {
    let (server, addr) = server(&[]);
    let location = ask(addr, "GET /a%20b.html HTTP/1.1", &format!("Host: {addr}\r\n"));
    let location = location.field("location").unwrap().to_owned();
    let target = location.strip_prefix(&format!("https://{}", server.addr)).unwrap();
    let mut client = connect(server.addr, &Trust::blind().config(), "127.0.0.1").unwrap().client();
    let answer = client.get(target);
    assert_eq!((answer.status, answer.text().as_str()), (200, "here"));
    let output = Command::new("curl").args(["-skL", "--max-time", "20", &format!("http://{addr}/")]).output();
    assert_eq!(String::from_utf8(output.unwrap().stdout).unwrap(), "home");
}

#[test]
fn tls_1_nobody_is_sent_to_a_host_that_is_not_ours() {
    let (_server, addr) = server(&["--allow-host", "files.example"]);
    let port = addr.port();
    let refusal = |line: &str, fields: &str| {
        let answer = ask(addr, line, fields);
        assert_eq!(answer.field("location"), None, "{line} {fields}");
        (answer.status, answer.code())
    };
    let (get, refused) = ("GET / HTTP/1.1", |status: u16, code: &str| (status, code.to_owned()));
    for host in ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example"] {
        assert_eq!(refusal(get, &format!("Host: {host}\r\n")), refused(403, "host_not_allowed"), "{host}");
    }
    let ours = format!("Host: localhost:{port}\r\n");
    assert_eq!(refusal("GET http://evil.example/ HTTP/1.1", &ours), refused(403, "host_not_allowed"));
    assert_eq!(refusal(get, "Host: files.example/@evil.example\r\n"), refused(400, "bad_host"));
    assert_eq!(refusal(get, ""), refused(400, "host_missing"));
    assert_eq!(refusal("GET / HTTP/1.0", ""), refused(400, "host_missing"));
    // The control: each of these names is ours.
    for host in
        ["files.example", "Files.Example.:9", &format!("localhost:{port}"), &format!("127.0.0.1:{port}")]
    {
        let answer = ask(addr, get, &format!("Host: {host}\r\n"));
        assert!(answer.field("location").is_some_and(|to| to.starts_with("https://")), "{host}");
    }
}

#[test]
fn tls_1_h1_10_what_is_wrong_with_a_request_is_said_before_it_is_sent_on() {
    let (_server, addr) = server(&[]);
    let host = format!("Host: {addr}\r\n");
    for (line, code) in [
        ("BREW / HTTP/1.1", "method_not_allowed"),
        ("GET //evil.example/ HTTP/1.1", "traversal"),
        ("GET /%2e%2e/x HTTP/1.1", "traversal"),
        ("GET /%zz HTTP/1.1", "bad_target"),
        ("GET * HTTP/1.1", "bad_target"),
        ("GET / HTTP/1.2", "http_version"),
    ] {
        let answer = ask(addr, line, &host);
        assert_eq!((answer.code().as_str(), answer.field("location")), (code, None), "{line}");
    }
}

/// In a container 80 and 443 lead to ports that nobody outside knows.
#[test]
fn tls_1_behind_a_mapping_of_ports_the_way_leads_to_443_and_else_to_our_own() {
    let (server, addr) = server(&["--allow-host", "files.example"]);
    let (own, https) = (addr.port(), server.addr.port());
    for (host, to) in [
        ("files.example".to_owned(), "https://files.example/x?y".to_owned()),
        ("files.example:80".to_owned(), "https://files.example/x?y".to_owned()),
        (format!("files.example:{own}"), format!("https://files.example:{https}/x?y")),
        ("files.example:81".to_owned(), format!("https://files.example:{https}/x?y")),
    ] {
        let answer = ask(addr, "GET /x?y HTTP/1.1", &format!("Host: {host}\r\n"));
        assert_eq!((answer.status, answer.field("location")), (308, Some(&*to)), "{host}");
    }
}

/// Nothing is served in the clear: not what is for operators, and not how well the server is.
#[test]
fn tls_1_sec_6_nothing_but_the_way_is_told_in_the_clear() {
    let (_server, addr) = server(&[]);
    for target in
        ["/healthz", "/readyz", "/metrics", "/status", "/security-dashboard", "/uploads/x", "/upload"]
    {
        let answer = ask(addr, &format!("GET {target} HTTP/1.1"), &format!("Host: {addr}\r\n"));
        assert_eq!((answer.status, answer.body.len()), (308, 0), "{target}");
    }
}

#[test]
fn tls_1_sec_1_the_rate_is_limited_there_too() {
    let (_server, addr) = server(&["--limit-loopback", "--rate-limit", "1/s:3"]);
    let mut client = Client::connect(addr);
    let statuses: Vec<_> = (0..6).map(|_| client.get("/").status).collect();
    assert_eq!(statuses[..3], [308; 3], "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[test]
fn tls_1_obs_1_each_is_a_line_of_the_access_log() {
    let (mut server, addr) = server(&["--access-log", "combined"]);
    ask(addr, "GET /seen HTTP/1.1", &format!("Host: {addr}\r\n"));
    let line = server.wait_for_log("GET /seen");
    assert!(line.contains("\"GET /seen HTTP/1.1\" 308 0 "), "{line}");
}

#[test]
fn h2_1_who_comes_by_http_2_in_the_clear_is_sent_on_as_well() {
    let (server, addr) = server(&[]);
    let output = Command::new("curl")
        .args(["-s", "--max-time", "20", "--http2-prior-knowledge", "-o", "/dev/null"])
        .args(["-w", "%{http_code} %{http_version} %{redirect_url}", &format!("http://{addr}/x?y")])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, format!("308 2 https://{}/x?y", server.addr));
}
