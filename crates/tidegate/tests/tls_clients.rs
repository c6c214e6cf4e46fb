//! TLS as other people's clients speak it, with HTTP/1.1 and HTTP/2 inside: curl, Python, nghttp and h2load (SPEC TLS-1,
//! H2-1). openssl is in `tls_openssl.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod clients;
mod process;
mod support;
mod tls;

use clients::curl::{self, Curl};
use process::free_port;
use support::{Server, Setup};
use tls::Authority;

/// A server with a certificate for `localhost`, whose authority stands in `authority.pem` of its folder.
fn start(setup: Setup) -> Server {
    let authority = Authority::new();
    setup.folder.write("authority.pem", authority.pem());
    authority.leaf(&["localhost", "127.0.0.1"]).write(&setup.folder, "site");
    let flags = tls::flags("site");
    setup.args(&flags.each_ref().map(String::as_str)).start()
}

fn url(server: &Server) -> String {
    format!("https://localhost:{}", server.addr.port())
}

/// curl that believes the server's authority and nobody else.
fn trusting<'s>(server: &'s Server, base: String, options: &[&str]) -> Curl<'s> {
    let authority = server.folder.0.join("authority.pem");
    let trust = ["--ipv4", "--cacert", authority.to_str().unwrap()];
    Curl::new(server, base, &[&trust[..], options].concat())
}

#[test]
fn tls_1_curl_does_everything_over_tls_1_2() {
    let server = start(curl::setup());
    let options = ["--tlsv1.2", "--tls-max", "1.2"];
    trusting(&server, url(&server), &[&options[..], &["--http1.1"]].concat()).everything("1.1");
    let http2 = trusting(&server, url(&server), &[&options[..], &["--http2"]].concat());
    http2.everything("2");
    http2.streams_of_one_connection();
}

#[test]
fn tls_1_curl_does_everything_over_tls_1_3() {
    let server = start(curl::setup());
    trusting(&server, url(&server), &["--tlsv1.3", "--http1.1"]).everything("1.1");
    let http2 = trusting(&server, url(&server), &["--tlsv1.3"]);
    http2.everything("2");
    http2.streams_of_one_connection();
}

#[test]
fn tls_1_curl_believes_the_certificate_and_no_other() {
    let server = start(Setup::new());
    let ask = |base: String, options: &[&str]| Curl::new(&server, base, options).try_ask(&[], "/healthz");
    assert_eq!(trusting(&server, url(&server), &[]).ask(&[], "/healthz").status, 200);
    // 60: the certificate is of nobody whom curl knows, or for another name.
    assert_eq!(ask(url(&server), &["--ipv4"]).code, Some(60));
    let resolve = format!("other.example:{}:127.0.0.1", server.addr.port());
    let elsewhere = format!("https://other.example:{}", server.addr.port());
    let ended = trusting(&server, elsewhere, &["--resolve", &resolve]).try_ask(&[], "/healthz");
    assert!(matches!(ended.code, Some(35 | 60)), "{ended:?}");
}

#[test]
fn tls_1_curl_remembers_to_ask_by_tls_alone() {
    let server = start(Setup::new().args(&["--hsts", "1h"]));
    let cache = server.folder.0.join("hsts");
    let cached = trusting(&server, url(&server), &["--hsts", cache.to_str().unwrap()]);
    let answer = cached.ask(&[], "/healthz");
    assert_eq!((answer.status, answer.field("strict-transport-security")), (200, Some("max-age=3600")));
    let remembered = std::fs::read_to_string(&cache).unwrap();
    assert!(remembered.contains("localhost \""), "{remembered}");
    // What would be in the clear, curl now asks by TLS: the port speaks nothing else.
    let clear = format!("http://localhost:{}", server.addr.port());
    let again = trusting(&server, clear, &["--hsts", cache.to_str().unwrap()]).ask(&[], "/healthz");
    assert_eq!((again.status, again.version.as_str()), (200, "2"));
}

#[test]
fn tls_1_curl_is_led_from_the_redirect_listener() {
    let door = format!("127.0.0.1:{}", free_port());
    let server = start(Setup::new().file("a b.txt", "high water").args(&["--tls-redirect", &door]));
    let clear = door.replace("127.0.0.1", "http://localhost");
    let target = "/a%20b.txt?tide=in";
    let redirect = trusting(&server, clear.clone(), &[]).ask(&[], target);
    let wanted = format!("{}{target}", url(&server));
    assert_eq!((redirect.status, redirect.field("location")), (308, Some(wanted.as_str())));
    assert_eq!(
        redirect.field("strict-transport-security"),
        None,
        "never in the clear (RFC 6797 section 7.2)"
    );
    let led = trusting(&server, clear.clone(), &["--location"]).ask(&[], target);
    assert_eq!((led.status, led.body.as_slice()), (200, b"high water".as_slice()));
    // 308 keeps the method and the body (RFC 9110 section 15.4.9).
    let json = ["-H", "Content-Type: application/json", "--data-binary", "{\"tide\":1}"];
    assert_eq!(trusting(&server, clear, &["--location"]).ask(&json, "/upload").status, 201);
}

/// Prints version, protocol, status and body of two requests on one connection.
const PYTHON: &str = r"
import http.client, ssl, sys
port, authority, version = int(sys.argv[1]), sys.argv[2], sys.argv[3]
context = ssl.create_default_context(cafile=authority)
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
context.set_alpn_protocols(['http/1.1'])
connection = http.client.HTTPSConnection('localhost', port, context=context, timeout=30)
for path in ['/a.txt', '/missing']:
    connection.request('GET', path)
    answer = connection.getresponse()
    body = answer.read()
    print(connection.sock.version(), connection.sock.selected_alpn_protocol(), answer.status, len(body) > 0)
";

#[test]
fn tls_1_python_is_served_over_both_versions() {
    let server = start(Setup::new().file("a.txt", "high water"));
    let (port, authority) = (server.addr.port().to_string(), server.folder.0.join("authority.pem"));
    for (version, named) in [("TLSv1_2", "TLSv1.2"), ("TLSv1_3", "TLSv1.3")] {
        let args = ["-c", PYTHON, &port, authority.to_str().unwrap(), version];
        let Some(ended) = clients::run(&server.folder.0, "python3", &args) else { return };
        assert_eq!(ended.out, format!("{named} http/1.1 200 True\n{named} http/1.1 404 True\n"), "{ended:?}");
    }
}

#[test]
fn h2_1_nghttp_is_served_over_tls() {
    let server = start(Setup::new().file("a.txt", "high water"));
    let url = format!("{}/a.txt", url(&server));
    let Some(ended) = clients::run(&server.folder.0, "nghttp", &["-v", "--no-verify-peer", &url]) else {
        return;
    };
    assert!(ended.out.contains("The negotiated protocol: h2"), "{}", ended.out);
    assert!(ended.out.contains(":status: 200") && ended.out.contains("high water"), "{}", ended.out);
}

#[test]
fn h2_1_h2load_is_answered_every_time_over_tls() {
    let server = start(Setup::new().file("small.txt", "x".repeat(1000)).args(&["--max-requests", "0"]));
    let url = format!("{}/small.txt", url(&server));
    for (options, protocol) in [(&["-m", "20"][..], "h2"), (&["--h1"], "http/1.1")] {
        let args = [&["-n", "1000", "-c", "10"], options, &[&url]].concat();
        let Some(ended) = clients::run(&server.folder.0, "h2load", &args) else { return };
        assert!(ended.out.contains(&format!("Application protocol: {protocol}\n")), "{}", ended.out);
        assert!(ended.out.contains("1000 succeeded, 0 failed, 0 errored, 0 timeout"), "{}", ended.out);
    }
}
