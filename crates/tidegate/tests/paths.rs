//! Which spellings of a path reach a file, and which are refused before the disk is asked (SPEC FILE-4).

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may fail loudly")]

mod support;

use std::cell::{Cell, RefCell};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use support::{Server, Setup, eventually};

fn server() -> Server {
    let setup = Setup::new()
        .file("index.html", "index")
        .file("a.html", "a")
        .file("dir/b.html", "b")
        .file("a..b.html", "dots")
        .file("dir;..;/x.html", "semicolon")
        .file("%2e%2e/x.html", "literal percent")
        .file("%2F.html", "literal slash")
        .file("dir/a b+c.html", "space")
        .file(".hidden", "SECRET")
        .file(".env", "SECRET")
        .file(".git/config", "SECRET")
        .file("dir/.hidden/page.html", "SECRET")
        .file(".well-known/security.html", "well known")
        .file(".well-known/.hidden", "SECRET")
        .file(".well-knownx/page.html", "SECRET");
    // What a climb would find.
    setup.folder.write("secret.html", "SECRET");
    // The sandbox would keep it from a server that climbs.
    setup.args(&["--no-sandbox"]).start()
}

const CLIMBS: [&str; 30] = [
    "/../secret.html",
    "/..",
    "/../",
    "/dir/../../secret.html",
    "/dir/..",
    "/dir/../a.html",
    "/./a.html",
    "/dir/./b.html",
    "/dir/.",
    "/%2e%2e/secret.html",
    "/%2E%2E/secret.html",
    "/.%2e/secret.html",
    "/%2e./secret.html",
    "/%2e/a.html",
    "/..%2fsecret.html",
    "/..%2Fsecret.html",
    "/%2e%2e%2fsecret.html",
    "/dir%2f..%2f..%2fsecret.html",
    "/dir%2F%2e%2E%2Fa.html",
    "/..%5csecret.html",
    "/..%5Csecret.html",
    "/..\\secret.html",
    "/dir\\..\\..\\secret.html",
    "/dir%5cb.html",
    "/dir\\b.html",
    "//",
    "//a.html",
    "//evil.example/..",
    "/%5c%5cevil.example/share",
    "/.%5c..%5csecret.html",
];

/// Each in a second of its own group of ten: more events than that per second are only counted (SEC-5).
#[test]
fn row_c1_file_4_every_spelling_of_a_climb_is_403_and_an_event() {
    let server = server();
    for (index, group) in CLIMBS.chunks(9).enumerate() {
        if index > 0 {
            std::thread::sleep(Duration::from_millis(1100));
        }
        for target in group {
            let mut client = server.connect();
            let response = client.get(target);
            assert_eq!((response.status, response.code().as_str()), (403, "traversal"), "{target}");
            assert_eq!(response.field("cache-control"), Some("no-store"), "{target}");
            assert!(!response.closes(), "{target}: soundly framed, so the connection goes on");
            assert_eq!(client.get("/a.html").text(), "a", "{target}");
            let id = response.field("x-request-id").unwrap().to_owned();
            let is_event = |line: &String| {
                line.contains("WARNING") && line.contains("security: traversal") && line.contains(&id)
            };
            eventually(target, || server.log().iter().any(is_event));
        }
    }
}

#[test]
fn row_c1_file_4_a_climb_is_refused_for_every_known_method_and_form() {
    let server = server();
    for method in ["GET", "HEAD", "OPTIONS", "POST"] {
        for target in ["/../secret.html", "/%2e%2e%2fsecret.html", "/upload/../a.html", "/uploads/../a.html"]
        {
            let head = format!("{method} {target} HTTP/1.1\r\nContent-Length: 0\r\n");
            assert_eq!(server.request(&head, b"").status, 403, "{method} {target}");
        }
    }
    let absolute = format!("http://{}/../secret.html", server.host());
    assert_eq!(server.get(&absolute).code(), "traversal");
    // The method is judged first (H1-10), and what stands in a query is no path.
    assert_eq!(server.request("BREW /../secret.html HTTP/1.1\r\n", b"").status, 405);
    assert_eq!(server.get("/a.html?/../../x%2e%2e\\").status, 200);
}

#[test]
fn row_b2_row_c1_file_4_what_is_no_text_is_400() {
    let server = server();
    for target in [
        "/%00",
        "/a.html%00",
        "/a.html%00.png",
        "/%",
        "/%2",
        "/a%",
        "/%zz",
        "/%2x",
        "/%-1",
        "/%u002e%u002e/secret.html",
        "/%ff",
        "/%c0%ae%c0%ae/secret.html",
        "/%e0%80%ae%e0%80%ae/secret.html",
        "/%c0%afsecret.html",
        "/%ed%a0%80",
        "/%f4%90%80%80",
        "/caf%e9",
    ] {
        let response = server.get(target);
        assert_eq!((response.status, response.code().as_str()), (400, "bad_target"), "{target}");
    }
    for target in ["/caf\u{e9}", "/a\u{0}b", "/a\u{1}b", "/a\u{7f}b", "/a#fragment", "a.html"] {
        assert_eq!(server.get(target).status, 400, "{target:?}");
    }
}

#[test]
fn row_c1_file_4_an_encoded_slash_names_nothing() {
    let server = server();
    for target in ["/dir%2fb.html", "/dir%2Fb.html", "/%2fa.html", "/a.html%2f", "/dir/%2Fb.html", "/%2F"] {
        let response = server.get(target);
        assert_eq!((response.status, response.code().as_str()), (404, "not_found"), "{target}");
    }
}

#[test]
fn row_c1_file_4_paths_are_decoded_once() {
    let server = server();
    for (target, body) in [
        ("/%252e%252e/x.html", "literal percent"),
        ("/%252F.html", "literal slash"),
        ("/dir;..;/x.html", "semicolon"),
        ("/a..b.html", "dots"),
        ("/a%2e%2eb.html", "dots"),
        ("/dir/a%20b+c.html", "space"),
        ("/dir/a%20b%2Bc.html", "space"),
        ("/dir/%62.html", "b"),
    ] {
        let response = server.get(target);
        assert_eq!((response.status, response.text().as_str()), (200, body), "{target}");
    }
    for target in ["/%252e%252e/secret.html", "/..%252fsecret.html", "/dir/a+b+c.html", "/...", "/..;/x.html"]
    {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
}

#[test]
fn row_c4_file_4_dotfiles_are_not_there_but_well_known_is() {
    let server = server();
    for target in [
        "/.hidden",
        "/%2ehidden",
        "/.env",
        "/.git/config",
        "/.git/",
        "/.git",
        "/%2egit/config",
        "/dir/.hidden/page.html",
        "/dir/.hidden",
        "/.well-known/.hidden",
        "/.well-knownx/page.html",
        "/.WELL-KNOWN/security.html",
    ] {
        let response = server.get(target);
        assert_eq!((response.status, response.code().as_str()), (404, "not_found"), "{target}");
        assert_eq!(response.field("location"), None, "{target}: not even that it is a folder");
    }
    for target in ["/.well-known/security.html", "/%2ewell-known/security.html"] {
        assert_eq!(server.get(target).text(), "well known", "{target}");
    }
}

/// Paths of what separates, or might, and of names that are there, are hidden, or lead up.
fn hostile_path() -> impl Strategy<Value = String> {
    let separators = vec!["/", "/", "/", "/", "//", "%2f", "%2F", "%5c", "\\", ";", ""];
    let names = vec![
        "..",
        ".",
        "%2e%2e",
        ".%2E",
        "%c0%ae%c0%ae",
        "%252e%252e",
        "..;",
        "%",
        "%00",
        "a.html",
        "dir",
        "b.html",
        "%61.html",
        "secret.html",
        ".hidden",
        ".git",
        "config",
        ".well-known",
        "uploads",
        "~root",
    ];
    let step = (prop::sample::select(separators), prop::sample::select(names));
    prop::collection::vec(step.prop_map(|(separator, name)| format!("{separator}{name}")), 1..4)
        .prop_map(|steps| format!("/{}", steps.concat().trim_start_matches('/')))
}

/// Whatever a path is put together from, what is served lies beneath the root and is not hidden.
#[test]
fn row_c1_file_4_no_path_at_all_leaves_the_root() {
    let server = server();
    let client = RefCell::new(server.connect());
    let [served, climbs] = [Cell::new(0), Cell::new(0)];
    let config = ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(&hostile_path(), |path| {
        let mut client = client.borrow_mut();
        let response = client.get(&path);
        prop_assert!(matches!(response.status, 200 | 308 | 400 | 403 | 404), "{}", response.status);
        prop_assert!(!response.text().contains("SECRET"), "served: {}", response.text());
        served.set(served.get() + u32::from(response.status == 200));
        climbs.set(climbs.get() + u32::from(response.status == 403));
        if response.closes() {
            *client = server.connect();
        }
        Ok(())
    });
    result.unwrap();
    let met = (served.get(), climbs.get());
    assert!(met.0 > 20 && met.1 > 20, "both were met: {met:?}");
}
