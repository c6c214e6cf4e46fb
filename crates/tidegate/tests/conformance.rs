//! Raw vectors over the whole of HTTP/1.1, each with the exact statuses that it must get: the families of public
//! probes (request line, fields, framing, host, target, path, range), answered strictly.
//!
//! Behind each vector a sentinel request is sent that closes. A vector that is refused with a close gets its own
//! statuses and the end; one that keeps the connection gets a 200 more. So no test waits for silence.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;

use support::client::End;
use support::{SOON, Server, Setup};

/// What it is, its bytes with `{H}` for the Host line, and the statuses before the sentinel's.
type Vector = (&'static str, &'static str, &'static [u16]);

/// Whether the connection goes on behind a vector.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Goes,
    Ends,
}
use Then::{Ends, Goes};

const BIG: usize = 1 << 20;

fn server() -> Server {
    let setup = Setup::new()
        .file("index.html", "home")
        .file("sub/a.txt", "a")
        .file("sub/index.html", "sub")
        .file("big.bin", vec![b'b'; BIG])
        .file(".hidden", "secret");
    let root = setup.root();
    std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(root.join("fifo")).status();
    assert!(made.is_ok_and(|status| status.success()));
    setup.start()
}

fn check(vectors: &[(Then, Vector)]) {
    let server = server();
    let host = format!("Host: {}\r\n", server.host());
    let sentinel = format!("GET /healthz HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
    for (then, (name, bytes, statuses)) in vectors {
        let mut client = server.connect();
        client.send(bytes.replace("{H}", &host) + &sentinel);
        let mut seen = Vec::new();
        while let Some(response) = client.try_response(false) {
            let body = String::from_utf8_lossy(&response.body);
            assert!(!body.contains("root:") && !body.contains("secret"), "{name} leaks: {body}");
            seen.push(response.status);
            if response.closes() {
                break;
            }
        }
        let mut wanted = statuses.to_vec();
        wanted.extend((*then == Goes).then_some(200));
        assert_eq!(seen, wanted, "{name}");
        assert_eq!(client.rest(SOON), (Vec::new(), End::Closed), "{name}");
    }
}

fn all(then: Then, vectors: &[Vector]) -> Vec<(Then, Vector)> {
    vectors.iter().map(|vector| (then, *vector)).collect()
}

#[test]
fn row_a7_h1_4_fields_that_break_the_grammar_end_the_connection() {
    check(&all(
        Ends,
        &[
            ("bare LF behind the request line", "GET / HTTP/1.1\n{H}\r\n", &[400]),
            ("bare LF behind a field", "GET / HTTP/1.1\r\n{H}X: y\nZ: z\r\n\r\n", &[400]),
            ("bare LF as the empty line", "GET / HTTP/1.1\r\n{H}\n", &[400]),
            ("LF everywhere", "GET / HTTP/1.1\nHost: localhost\n\n", &[400]),
            ("CR everywhere", "GET / HTTP/1.1\rHost: localhost\r\r", &[400]),
            ("bare CR in a value", "GET / HTTP/1.1\r\n{H}X: a\rb\r\n\r\n", &[400]),
            ("bare CR before CRLF", "GET / HTTP/1.1\r\n{H}X: a\r\r\n\r\n", &[400]),
            ("bare CR in a name", "GET / HTTP/1.1\r\n{H}X\r: a\r\n\r\n", &[400]),
            ("NUL in a value", "GET / HTTP/1.1\r\n{H}X: a\0b\r\n\r\n", &[400]),
            ("SOH in a value", "GET / HTTP/1.1\r\n{H}X: a\u{1}b\r\n\r\n", &[400]),
            ("VT in a value", "GET / HTTP/1.1\r\n{H}X: a\u{b}b\r\n\r\n", &[400]),
            ("ESC in a value", "GET / HTTP/1.1\r\n{H}X: \u{1b}[0m\r\n\r\n", &[400]),
            ("DEL in a value", "GET / HTTP/1.1\r\n{H}X: a\u{7f}b\r\n\r\n", &[400]),
            ("obs-fold by a space", "GET / HTTP/1.1\r\n{H}X: a\r\n b\r\n\r\n", &[400]),
            ("obs-fold by a tab", "GET / HTTP/1.1\r\n{H}X: a\r\n\tb\r\n\r\n", &[400]),
            ("obs-fold of nothing", "GET / HTTP/1.1\r\n{H}X:\r\n \r\n\r\n", &[400]),
            ("blank before the first field", "GET / HTTP/1.1\r\n X: y\r\n{H}\r\n", &[400]),
            ("no colon", "GET / HTTP/1.1\r\n{H}foobar\r\n\r\n", &[400]),
            ("no name", "GET / HTTP/1.1\r\n{H}: v\r\n\r\n", &[400]),
            ("space in a name", "GET / HTTP/1.1\r\n{H}a b: v\r\n\r\n", &[400]),
            ("NUL in a name", "GET / HTTP/1.1\r\n{H}a\0b: v\r\n\r\n", &[400]),
            ("non-ASCII name", "GET / HTTP/1.1\r\n{H}\u{e9}: v\r\n\r\n", &[400]),
            ("separator in a name", "GET / HTTP/1.1\r\n{H}a(b: v\r\n\r\n", &[400]),
            ("space before the colon", "GET / HTTP/1.1\r\n{H}X : v\r\n\r\n", &[400]),
            ("tab before the colon", "GET / HTTP/1.1\r\n{H}X\t: v\r\n\r\n", &[400]),
            ("two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\n{H}\r\n", &[400]),
            (
                "three empty lines in between",
                "GET / HTTP/1.1\r\n{H}\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n{H}\r\n",
                &[200, 400],
            ),
            ("a bare LF before", "\nGET / HTTP/1.1\r\n{H}\r\n", &[400]),
            ("a bare CR before", "\rGET / HTTP/1.1\r\n{H}\r\n", &[400]),
            ("a blank before", " GET / HTTP/1.1\r\n{H}\r\n", &[400]),
            ("a TLS hello", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}", &[400]),
            ("junk behind a sound request", "GET / HTTP/1.1\r\n{H}\r\n\u{16}", &[200, 400]),
        ],
    ));
}

#[test]
fn h1_4_odd_but_sound_requests_are_answered() {
    check(&all(
        Goes,
        &[
            ("plain", "GET / HTTP/1.1\r\n{H}\r\n", &[200]),
            ("an empty line before", "\r\nGET / HTTP/1.1\r\n{H}\r\n", &[200]),
            (
                "an empty line before each",
                "\r\nGET / HTTP/1.1\r\n{H}\r\n\r\nGET / HTTP/1.1\r\n{H}\r\n\r\n",
                &[200, 200],
            ),
            (
                "two empty lines in between",
                "\r\nGET / HTTP/1.1\r\n{H}\r\n\r\n\r\nGET / HTTP/1.1\r\n{H}\r\n",
                &[200, 200],
            ),
            ("an empty value", "GET / HTTP/1.1\r\n{H}X:\r\nY: \t \r\n\r\n", &[200]),
            ("no blank behind the colon", "GET / HTTP/1.1\r\n{H}X:y\r\n\r\n", &[200]),
            ("blanks around a value", "GET / HTTP/1.1\r\n{H}X: \t y \t \r\n\r\n", &[200]),
            ("tab in a value", "GET / HTTP/1.1\r\n{H}X: a\tb\r\n\r\n", &[200]),
            ("obs-text in a value", "GET / HTTP/1.1\r\n{H}X: \u{e9}\r\n\r\n", &[200]),
            ("every token byte in a name", "GET / HTTP/1.1\r\n{H}!#$%&'*+-.^_`|~09azAZ: v\r\n\r\n", &[200]),
            (
                "a length that looks like one",
                "GET / HTTP/1.1\r\n{H}Content_Length: 9\r\nContent-Lengthx: 9\r\n\r\n",
                &[200],
            ),
            (
                "a coding that looks like one",
                "GET / HTTP/1.1\r\n{H}Transfer_Encoding: chunked\r\n\r\n",
                &[200],
            ),
            ("TE", "GET / HTTP/1.1\r\n{H}TE: trailers, gzip;q=0.5\r\nConnection: TE\r\n\r\n", &[200]),
            (
                "an unknown upgrade",
                "GET / HTTP/1.1\r\n{H}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                &[200],
            ),
            (
                "an upgrade to h2c",
                "GET / HTTP/1.1\r\n{H}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n",
                &[200],
            ),
            ("Host nominated", "GET / HTTP/1.1\r\n{H}Connection: Host\r\n\r\n", &[200]),
            ("a length of 0", "GET / HTTP/1.1\r\n{H}Content-Length: 0\r\n\r\n", &[200]),
            ("a length of 000", "GET / HTTP/1.1\r\n{H}Content-Length: 000\r\n\r\n", &[200]),
            ("no chunks at all", "GET / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[200]),
            ("a 100-continue without a body", "GET / HTTP/1.1\r\n{H}Expect: 100-continue\r\n\r\n", &[200]),
        ],
    ));
}

#[test]
fn row_b2_h1_7_targets_get_their_status() {
    check(&all(
        Goes,
        &[
            ("asterisk", "GET * HTTP/1.1\r\n{H}\r\n", &[400]),
            ("authority", "GET localhost:80 HTTP/1.1\r\n{H}\r\n", &[400]),
            ("fragment", "GET /#x HTTP/1.1\r\n{H}\r\n", &[400]),
            ("%00", "GET /index.html%00.txt HTTP/1.1\r\n{H}\r\n", &[400]),
            ("%2", "GET /%2 HTTP/1.1\r\n{H}\r\n", &[400]),
            ("%", "GET /% HTTP/1.1\r\n{H}\r\n", &[400]),
            ("%zz", "GET /%zz HTTP/1.1\r\n{H}\r\n", &[400]),
            ("no UTF-8", "GET /%c0%ae%c0%ae/etc/passwd HTTP/1.1\r\n{H}\r\n", &[400]),
            ("userinfo", "GET http://u:p@localhost/ HTTP/1.1\r\n{H}\r\n", &[400]),
            ("another authority", "GET http://other/ HTTP/1.1\r\n{H}\r\n", &[403]),
            ("up", "GET /../../../etc/passwd HTTP/1.1\r\n{H}\r\n", &[403]),
            ("up, encoded", "GET /%2e%2e/%2E%2E/etc/passwd HTTP/1.1\r\n{H}\r\n", &[403]),
            ("up, encoded slash", "GET /..%2f..%2Fetc/passwd HTTP/1.1\r\n{H}\r\n", &[403]),
            ("up, backslash", "GET /..\\..\\etc/passwd HTTP/1.1\r\n{H}\r\n", &[403]),
            ("up, encoded backslash", "GET /..%5c..%5Cetc/passwd HTTP/1.1\r\n{H}\r\n", &[403]),
            ("here", "GET /./index.html HTTP/1.1\r\n{H}\r\n", &[403]),
            ("two slashes", "GET //sub HTTP/1.1\r\n{H}\r\n", &[403]),
            ("a link that leaves", "GET /link HTTP/1.1\r\n{H}\r\n", &[403]),
            ("decoded once", "GET /%252e%252e/%252e%252e/etc/passwd HTTP/1.1\r\n{H}\r\n", &[404]),
            ("up with a parameter", "GET /..;/..;/etc/passwd HTTP/1.1\r\n{H}\r\n", &[404]),
            ("encoded slash", "GET /sub%2fa.txt HTTP/1.1\r\n{H}\r\n", &[404]),
            ("dotfile", "GET /.hidden HTTP/1.1\r\n{H}\r\n", &[404]),
            ("FIFO", "GET /fifo HTTP/1.1\r\n{H}\r\n", &[404]),
            ("two slashes inside", "GET /sub//a.txt HTTP/1.1\r\n{H}\r\n", &[404]),
            ("folder", "GET /sub HTTP/1.1\r\n{H}\r\n", &[308]),
            ("encoded letter", "GET /%69ndex.html HTTP/1.1\r\n{H}\r\n", &[200]),
            ("query", "GET /?../..%zz HTTP/1.1\r\n{H}\r\n", &[200]),
        ],
    ));
}

#[test]
fn row_b2_h1_1_methods_and_h1_6_expectations_get_their_status() {
    let ends: &[Vector] = &[
        ("CONNECT", "CONNECT localhost:80 HTTP/1.1\r\n{H}\r\n", &[405]),
        ("TRACE", "TRACE / HTTP/1.1\r\n{H}Cookie: s\r\n\r\n", &[405]),
        ("lower case", "get / HTTP/1.1\r\n{H}\r\n", &[405]),
        ("no token", "G=\":<> / HTTP/1.1\r\n{H}\r\n", &[400]),
        ("unknown, with a body", "PUT / HTTP/1.1\r\n{H}Content-Length: 1\r\n\r\nx", &[405]),
        (
            "expectation and a body",
            "POST /upload HTTP/1.1\r\n{H}Expect: x\r\nContent-Length: 1\r\n\r\n1",
            &[417],
        ),
        ("version 2", "GET / HTTP/2.0\r\n{H}\r\n", &[505]),
        ("lower-case version", "GET / http/1.1\r\n{H}\r\n", &[400]),
        ("close", "GET / HTTP/1.1\r\n{H}Connection: close\r\n\r\n", &[200]),
        ("1.0", "GET / HTTP/1.0\r\n{H}\r\n", &[200]),
    ];
    let goes: &[Vector] = &[
        ("OPTIONS *", "OPTIONS * HTTP/1.1\r\n{H}\r\n", &[204]),
        ("OPTIONS with a body", "OPTIONS / HTTP/1.1\r\n{H}Content-Length: 3\r\n\r\nabc", &[204]),
        ("POST to a file", "POST / HTTP/1.1\r\n{H}Content-Length: 3\r\n\r\nabc", &[405]),
        ("expectation without a body", "GET / HTTP/1.1\r\n{H}Expect: x\r\n\r\n", &[417]),
        ("1.0 keep-alive", "GET / HTTP/1.0\r\n{H}Connection: keep-alive\r\n\r\n", &[200]),
        ("no Host on 1.0", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &[200]),
        ("a body that holds a request", "GET / HTTP/1.1\r\n{H}Content-Length: 7\r\n\r\nGET / H", &[200]),
        ("no length", "POST /upload HTTP/1.1\r\n{H}Content-Type: application/json\r\n\r\n", &[411]),
        ("wrong type", "POST /upload HTTP/1.1\r\n{H}Content-Length: 2\r\n\r\n{}", &[415]),
        (
            "JSON in chunks, with trailers",
            "POST /upload HTTP/1.1\r\n{H}Content-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nHost: x\r\n\r\n",
            &[415],
        ),
    ];
    check(&[all(Ends, ends), all(Goes, goes)].concat());
}

#[test]
fn row_d1_file_5_hostile_ranges_cost_no_more_than_the_file() {
    let server = server();
    let overlapping = (0..1300).map(|at| format!("{at}-")).collect::<Vec<_>>().join(",");
    let tiny = (0..10).map(|at| format!("{}-{}", at * 10, at * 10 + 1)).collect::<Vec<_>>().join(",");
    for (range, statuses) in [
        (overlapping.as_str(), &[200, 206, 416][..]),
        (&tiny, &[200, 206]),
        ("-0", &[416]),
        ("18446744073709551616-", &[416]),
        ("5-2", &[200]),
        ("0-0,0-0,0-0", &[200, 206]),
        ("-18446744073709551616", &[206, 200]),
    ] {
        let response = server.request(&format!("GET /big.bin HTTP/1.1\r\nRange: bytes={range}\r\n"), b"");
        assert!(statuses.contains(&response.status), "{range:.30}: {}", response.status);
        assert!(response.body.len() <= BIG + 16 * 256, "{range:.30}: {} bytes", response.body.len());
    }
}
