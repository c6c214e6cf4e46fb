//! What is served from the root, and as what: index and redirect, media types and attachments, reserved names
//! (SPEC FILE-1, FILE-2, FILE-10).

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may fail loudly")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use support::{Response, Server, Setup};

/// Every byte percent-encoded: a name survives that whatever it holds.
fn encoded(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'%' {
            let digits = std::str::from_utf8(&after[..2]).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// A 404 that says nothing but that.
fn is_missing(server: &Server, target: &str) {
    let response = server.get(target);
    assert_eq!((response.status, response.code().as_str()), (404, "not_found"), "{target}");
    assert_eq!(response.field("location"), None, "{target}");
}

#[test]
fn file_1_index_files_and_what_is_missing() {
    let server = Setup::new()
        .file("index.html", "top")
        .file("dir/index.html", "inner")
        .file("dir/page.html", "page")
        .file("bare/page.html", "bare")
        .start();
    for (target, body) in [
        ("/", "top"),
        ("/?q=1", "top"),
        ("/index.html", "top"),
        ("/dir/", "inner"),
        ("/dir/?/../x", "inner"),
        ("/dir/page.html", "page"),
        ("/dir/page.html?x=%zz", "page"),
        ("/%64ir/p%61ge.html", "page"),
    ] {
        let response = server.get(target);
        assert_eq!((response.status, response.text().as_str()), (200, body), "{target}");
        assert_eq!(response.field("content-type"), Some("text/html; charset=utf-8"), "{target}");
    }
    for target in
        ["/missing", "/missing/", "/bare/", "/dir/page.html/", "/dir/page.html/x", "/DIR/", "/dir//"]
    {
        is_missing(&server, target);
    }
    let long = format!("/{}", "n".repeat(300));
    is_missing(&server, &long);
    let deep = format!("/{}x", "d/".repeat(3000));
    is_missing(&server, &deep);
}

#[test]
fn file_1_head_is_get_without_the_body() {
    let server = Setup::new().file("index.html", "top").file("big.html", vec![b'x'; 100_000]).start();
    for (target, status) in [("/", 200), ("/big.html", 200), ("/missing", 404)] {
        let mut client = server.connect();
        let got = client.get(target);
        client.send_request(&format!("HEAD {target} HTTP/1.1\r\n"), b"");
        let head = client.response_to("HEAD ");
        assert_eq!((got.status, head.status), (status, status), "{target}");
        assert!(head.body.is_empty());
        for name in ["content-length", "content-type", "etag", "last-modified", "accept-ranges"] {
            assert_eq!(got.field(name), head.field(name), "{target}: {name}");
        }
        // Nothing of a body followed: the next response is where it belongs.
        assert_eq!(client.get("/").text(), "top");
    }
}

#[test]
fn row_b7_file_1_a_folder_redirects_to_its_slash() {
    let setup = Setup::new();
    let nasty = "n\r\nX-Injected: y\"<b>";
    for name in ["dir", "dir/sub", "a b", "dü", "evil.example", nasty] {
        fs::create_dir_all(setup.root().join(name)).unwrap();
    }
    std::os::unix::fs::symlink("dir/sub", setup.root().join("short")).unwrap();
    let server = setup.start();
    let absolute = format!("http://{}/dir?x", server.host());
    for (target, location) in [
        ("/dir", "/dir/"),
        ("/dir?x=1&y=/../..", "/dir/?x=1&y=/../.."),
        ("/dir?", "/dir/?"),
        ("/%64ir", "/dir/"),
        ("/dir/sub", "/dir/sub/"),
        ("/a%20b?q", "/a%20b/?q"),
        ("/d%c3%bc", "/d%C3%BC/"),
        ("/short", "/short/"),
        ("/evil.example", "/evil.example/"),
        (absolute.as_str(), "/dir/?x"),
        (&format!("/{}", encoded(nasty)), "/n%0D%0AX-Injected%3A%20y%22%3Cb%3E/"),
    ] {
        let response = server.get(target);
        assert_eq!(response.status, 308, "{target}");
        assert_eq!(response.field("location"), Some(location), "{target}");
        assert_eq!(response.field("x-injected"), None, "{target}");
        assert!(!response.closes(), "{target}");
        let head = server.request(&format!("HEAD {target} HTTP/1.1\r\n"), b"");
        assert_eq!((head.status, head.field("location")), (308, Some(location)), "{target}");
    }
}

/// RUSTSEC-2022-0072: a `Location` that begins with two slashes leads to another host.
#[test]
fn row_b7_file_1_no_redirect_leads_to_another_host() {
    let setup = Setup::new();
    for name in ["evil.example", "dir/evil.example", "\t/evil.example"] {
        fs::create_dir_all(setup.root().join(name)).unwrap();
    }
    let server = setup.start();
    for target in [
        "//evil.example",
        "//evil.example/",
        "//evil.example/%2e%2e",
        "//evil.example?",
        "///evil.example",
        "/%2fevil.example",
        "/%2Fevil.example/..",
        "/%5cevil.example",
        "/\\evil.example",
        "/dir//evil.example",
        "/%09//evil.example",
        "/./evil.example",
        "/x/..//evil.example",
    ] {
        let response = server.get(target);
        assert!(matches!(response.status, 403 | 404), "{target}: {}", response.status);
        assert_eq!(response.field("location"), None, "{target}");
    }
    let location = server.get("/%09/evil.example").field("location").map(str::to_owned);
    assert_eq!(location.as_deref(), Some("/%09/evil.example/"));
}

/// A folder called `index.html` is no index, and its parent must not redirect to `//` for it.
#[test]
fn row_c5_file_1_a_folder_is_no_index() {
    let setup = Setup::new();
    for name in ["index.html", "dir/index.html"] {
        fs::create_dir_all(setup.root().join(name)).unwrap();
    }
    let server = setup.start();
    for target in ["/", "/?x", "/dir/", "/dir/?x", "/dir/index.html/"] {
        is_missing(&server, target);
    }
    assert_eq!(server.get("/dir/index.html").field("location"), Some("/dir/index.html/"));
}

/// Runs the server as nobody when the test is root, which may read everything.
fn as_nobody(setup: Setup) -> Setup {
    if !rustix::process::geteuid().is_root() {
        return setup;
    }
    // A copy, for nobody may be kept from the folder of the original.
    fs::copy(support::BINARY, setup.folder.0.join("tidegate")).unwrap();
    let run = "shift; exec ./tidegate \"$@\"";
    setup.wrapper(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", run, "sh"])
}

#[test]
fn file_1_what_may_not_be_read_is_403() {
    let setup = Setup::new()
        .file("open.html", "open")
        .file("shut.html", "secret")
        .file("large.html", vec![b's'; 100_000])
        .file("locked/index.html", "secret")
        .file("index/index.html", "secret");
    let root = setup.root();
    let locked = ["shut.html", "large.html", "locked", "index/index.html"];
    for name in locked {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let server = as_nobody(setup).start();
    for target in ["/shut.html", "/large.html", "/locked/", "/locked/index.html", "/index/"] {
        let response = server.get(target);
        assert_eq!((response.status, response.code().as_str()), (403, "unreadable"), "{target}");
        assert!(!response.text().contains("secret"), "{target}");
    }
    assert_eq!(server.get("/open.html").text(), "open");
    // Readable from now on, and from now on served: a refusal is not remembered.
    for name in locked {
        let mode = if name == "locked" { 0o755 } else { 0o644 };
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    assert_eq!(server.get("/shut.html").text(), "secret");
    assert_eq!(server.get("/locked/").text(), "secret");
}

fn shown(server: &Server, name: &str, kind: &str) {
    let response = server.get(&format!("/{name}"));
    assert_eq!((response.status, response.field("content-type")), (200, Some(kind)), "{name}");
    assert_eq!(response.field("content-disposition"), None, "{name}");
}

fn attached(server: &Server, name: &str) {
    let response = server.get(&format!("/{name}"));
    let expected = Some("application/octet-stream");
    assert_eq!((response.status, response.field("content-type")), (200, expected), "{name}");
    let disposition = format!("attachment; filename=\"{name}\"");
    assert_eq!(response.field("content-disposition"), Some(disposition.as_str()), "{name}");
}

fn with_files(names: &[&str]) -> Setup {
    names.iter().fold(Setup::new(), |setup, name| setup.file(name, "x"))
}

const ATTACHED: [&str; 8] = ["a.txt", "a.png", "a.jpg", "a.jpeg", "B.TXT", "B.Png", "B.JPG", "B.JpEg"];

#[test]
fn file_2_types_and_attachments() {
    let table = [
        ("a.html", "text/html; charset=utf-8"),
        ("a.HTM", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.svg", "image/svg+xml"),
        ("a.gif", "image/gif"),
        ("a.pdf", "application/pdf"),
        ("a.wasm", "application/wasm"),
        ("a.txt.html", "text/html; charset=utf-8"),
        ("a.png.unknown", "application/octet-stream"),
        ("README", "application/octet-stream"),
        ("txt", "application/octet-stream"),
        ("trailing.", "application/octet-stream"),
    ];
    let names: Vec<_> = table.iter().map(|(name, _)| *name).chain(ATTACHED).collect();
    let server = with_files(&names).start();
    for (name, kind) in table {
        shown(&server, name, kind);
    }
    for name in ATTACHED {
        attached(&server, name);
    }
    // A query has no extension.
    assert_eq!(server.get("/a.html?b.txt").field("content-disposition"), None);
}

#[test]
fn file_2_inline_and_an_empty_download_list_show_everything() {
    let table = [("a.txt", "text/plain; charset=utf-8"), ("a.png", "image/png"), ("B.JpEg", "image/jpeg")];
    let names = ATTACHED;
    let flag = with_files(&names).args(&["--inline"]).start();
    let setup = with_files(&names).args(&["-c", "tidegate.toml"]);
    setup.folder.write("tidegate.toml", "[files]\ndownload = []\n");
    let config = setup.start();
    for (name, kind) in table {
        shown(&flag, name, kind);
        shown(&config, name, kind);
    }
}

#[test]
fn file_2_a_download_list_of_ones_own() {
    let setup = with_files(&["a.txt", "a.pdf", "b.PDF"]).args(&["-c", "tidegate.toml"]);
    setup.folder.write("tidegate.toml", "[files]\ndownload = [\"pdf\"]\n");
    let server = setup.start();
    shown(&server, "a.txt", "text/plain; charset=utf-8");
    attached(&server, "a.pdf");
    attached(&server, "b.PDF");
}

/// Takes a `Content-Disposition` apart as RFC 6266 has it: the plain name, and the extended one decoded.
fn names_in(response: &Response) -> (String, Option<String>) {
    let value = response.field("content-disposition").unwrap();
    assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{value:?}");
    let rest = value.strip_prefix("attachment; filename=\"").unwrap_or_else(|| panic!("{value:?}"));
    let (plain, rest) = rest.split_once('"').unwrap_or_else(|| panic!("{value:?}"));
    assert!(!plain.contains('\\'), "{value:?}");
    if rest.is_empty() {
        return (plain.to_owned(), None);
    }
    let extended = rest.strip_prefix("; filename*=UTF-8''").unwrap_or_else(|| panic!("{value:?}"));
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~%".contains(&byte);
    assert!(extended.bytes().all(allowed), "{value:?}");
    (plain.to_owned(), Some(decoded(extended)))
}

#[test]
fn row_h2_file_2_no_file_name_breaks_out_of_its_field() {
    let names = [
        "quote\"; filename=\"evil.html.txt",
        "line\r\nX-Injected: yes\r\n\r\n<script>.txt",
        "bare\rcr.txt",
        "bare\nlf.txt",
        "\u{1f980} crab.png",
        "percent%0d%0a%22.txt",
        "semi;colon=x.txt",
        "apostrophe'UTF-8''x.txt",
        "tab\tdel\u{7f}.txt",
        "nel\u{85}bidi\u{202e}gnp.txt",
        " space at both ends.txt",
        "ünïcode.JPEG",
    ];
    let setup = names.iter().fold(Setup::new(), |setup, name| setup.file(name, name));
    let server = setup.start();
    for name in names {
        let response = server.get(&format!("/{}", encoded(name)));
        assert_eq!((response.status, response.text().as_str()), (200, name), "{name:?}");
        assert_eq!(response.field("x-injected"), None, "{name:?}");
        let (plain, extended) = names_in(&response);
        assert_eq!(extended.unwrap_or(plain), *name, "the name arrives whole");
    }
}

#[test]
fn file_10_reserved_names_in_the_root_are_never_served() {
    let mut server = Setup::new()
        .args(&["--uploads", "elsewhere"])
        .file("index.html", "index")
        .file("upload", "MINE")
        .file("uploads/mine.json", "\"MINE\"")
        .file("uploads/index.html", "MINE")
        .file("metrics", "MINE")
        .file("status/index.html", "MINE")
        .file("status/refusals/1", "MINE")
        .file("healthz", "MINE")
        .file("readyz", "MINE")
        .file("security-dashboard/index.html", "MINE")
        .file("security-dashboard/x", "MINE")
        .file("statuses.html", "yours")
        .start();
    let own = ["upload", "uploads", "metrics", "status", "healthz", "readyz", "security-dashboard"];
    for target in [
        "/upload",
        "/uploads",
        "/uploads/",
        "/uploads/mine.json",
        "/uploads/index.html",
        "/metrics",
        "/%6detrics",
        "/metric%73?x",
        "/status",
        "/status/",
        "/status/index.html",
        "/status/refusals/1",
        "/statu%73/index.html",
        "/healthz",
        "/readyz",
        "/security-dashboard",
        "/security-dashboard/",
        "/security-dashboard/index.html",
        "/security-dashboard/x",
        "/security%2Ddashboard/x",
    ] {
        let response = server.get(target);
        assert!(!response.text().contains("MINE"), "{target}: {response:?}");
    }
    assert_eq!(server.get("/statuses.html").text(), "yours");
    for name in own {
        server.wait_for_log(&format!("/{name} "));
        let log = server.log();
        let lines = log.iter().filter(|line| line.contains(&format!("/{name} ")) && !line.contains("GET "));
        assert_eq!(lines.count(), 1, "{name}: {log:#?}");
    }
}

#[test]
fn file_10_no_line_where_the_root_holds_no_reserved_name() {
    let server = Setup::new().file("index.html", "index").start();
    assert_eq!(server.get("/").status, 200);
    let log = server.log();
    assert!(!log.iter().any(|line| line.contains("the server's own")), "{log:#?}");
}
