//! What is shown where there is no answer of its own: the application of `--spa`, and the operator's pages for
//! refusals (SPEC FILE-9, SEC-4).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use support::{Client, Response, Server, Setup, eventually};

const APP: &str = "<!doctype html><title>the application</title>";
const PAGE_404: &str = "<!doctype html><title>our page for what is missing</title>";
const PAGE_50X: &str = "<!doctype html><title>our page for trouble</title>";

const HTML: &str = "Accept: text/html\r\n";

/// As Chromium sends it.
const BROWSER: &str = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,\
                       image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7\r\n";

/// Fields that do not ask for a page.
const NOT_HTML: [&str; 8] = [
    "",
    "Accept: */*\r\n",
    "Accept: application/json\r\n",
    "Accept: text/html;q=0\r\n",
    "Accept: text/html;q=0.000, */*\r\n",
    "Accept: text/htmlx, text/xhtml, xtext/html\r\n",
    "Accept: text/plain\r\n",
    "Accept:\r\n",
];

/// Fields that do.
const NAMES_HTML: [&str; 5] = [
    HTML,
    BROWSER,
    "Accept: TEXT/Html\r\n",
    "Accept: application/json, text/html;q=0.1\r\n",
    "Accept: application/json\r\nAccept: text/html\r\n",
];

fn ask(client: &mut Client, head: &str, fields: &str) -> Response {
    let head = format!("{head} HTTP/1.1\r\n{fields}");
    client.send_request(&head, b"");
    client.response_to(&head)
}

fn get(server: &Server, target: &str, fields: &str) -> Response {
    ask(&mut server.connect(), &format!("GET {target}"), fields)
}

fn spa() -> Setup {
    Setup::new().args(&["--spa", "--max-requests", "0"]).file("index.html", APP).file("app.js", "run()")
}

fn is_app(response: &Response) -> bool {
    response.status == 200 && response.text() == APP
}

/// A refusal as a client without a screen gets it.
fn is_problem(response: &Response, status: u16, code: &str, what: &str) {
    assert_eq!(response.status, status, "{what}");
    assert_eq!(response.field("content-type"), Some("application/problem+json"), "{what}");
    assert_eq!(response.code(), code, "{what}");
    is_refusal(response, what);
}

/// A refusal as the operator wrote it.
fn is_page(response: &Response, status: u16, page: &str, what: &str) {
    assert_eq!((response.status, response.text().as_str()), (status, page), "{what}");
    assert_eq!(response.field("content-type"), Some("text/html; charset=utf-8"), "{what}");
    is_refusal(response, what);
}

/// What every refusal carries, and what only a file has.
fn is_refusal(response: &Response, what: &str) {
    assert!(response.field("x-request-id").is_some_and(|id| !id.is_empty()), "{what}");
    assert_eq!(response.field("cache-control"), Some("no-store"), "{what}");
    for name in ["etag", "last-modified", "accept-ranges", "content-disposition"] {
        assert_eq!(response.field(name), None, "{what}: {name}");
    }
}

#[test]
fn file_9_unknown_paths_are_the_application_for_browsers() {
    let server = spa().file("dir/page.html", "page").start();
    let own = server.get("/index.html");
    for target in [
        "/users",
        "/users/",
        "/users/42/edit",
        "/a/b/c?d=e",
        "/missing.js",
        "/dir/missing",
        "/%C3%BC",
        "/users%20x",
    ] {
        for fields in NAMES_HTML {
            let response = get(&server, target, fields);
            assert!(is_app(&response), "{target} {fields} {}", response.status);
            assert_eq!(response.field("content-type"), Some("text/html; charset=utf-8"), "{target}");
            assert_eq!(response.field("etag"), own.field("etag"), "{target}: it is that file");
        }
        for fields in NOT_HTML {
            is_problem(&get(&server, target, fields), 404, "not_found", &format!("{target} {fields}"));
        }
    }
}

#[test]
fn file_9_what_is_there_is_served_as_ever() {
    let server = spa().file("dir/page.html", "page").file("inner/index.html", "inner").start();
    for (target, body) in [
        ("/app.js", "run()"),
        ("/dir/page.html", "page"),
        ("/inner/", "inner"),
        ("/", APP),
        ("/index.html", APP),
    ] {
        let response = get(&server, target, HTML);
        assert_eq!((response.status, response.text().as_str()), (200, body), "{target}");
    }
    let redirect = get(&server, "/inner", HTML);
    assert_eq!((redirect.status, redirect.field("location")), (308, Some("/inner/")));
}

#[test]
fn file_9_head_and_conditions_hold_for_the_application() {
    let server = spa().start();
    let mut client = server.connect();
    let got = ask(&mut client, "GET /users", HTML);
    let head = ask(&mut client, "HEAD /users", HTML);
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["content-type", "content-length", "etag", "last-modified"] {
        assert_eq!(head.field(name), got.field(name), "{name}");
    }
    let tag = got.field("etag").unwrap();
    assert_eq!(ask(&mut client, "GET /users", &format!("{HTML}If-None-Match: {tag}\r\n")).status, 304);
    assert_eq!(ask(&mut client, "GET /users", &format!("{HTML}If-Match: \"x\"\r\n")).status, 412);
    assert!(is_app(&ask(&mut client, "GET /users", HTML)), "the next answer is where it belongs");
}

/// Every other judgement comes first (SPEC H1-10): only what would be 404 becomes the application.
#[test]
fn file_9_the_application_hides_no_refusal() {
    let setup = spa().file(".env", "SECRET").file("dir/.git/config", "SECRET");
    setup.folder.write("outside.html", "SECRET");
    symlink("../outside.html", setup.root().join("out.html")).unwrap();
    let server = setup.start();
    for (target, status) in [
        ("/../users", 403),
        ("/users/..", 403),
        ("/users/%2e%2e/x", 403),
        ("//users", 403),
        ("/users\\x", 403),
        ("/out.html", 403),
        ("/users%00", 400),
        ("/users%zz", 400),
        ("/%ff", 400),
        ("/uploads/missing.json", 404),
        ("/uploads/", 404),
        ("/uploads", 404),
        ("/upload", 405),
        ("/.env", 404),
        ("/.missing", 404),
        ("/dir/.git/config", 404),
        ("/dir/.git/missing", 404),
    ] {
        let response = get(&server, target, HTML);
        assert_eq!(response.status, status, "{target}");
        assert!(!response.text().contains("SECRET") && response.text() != APP, "{target}");
    }
    // Reserved, whether a later feature answers it or nothing does.
    for target in
        ["/metrics", "/status", "/status/x", "/security-dashboard", "/security-dashboard/x", "/healthz"]
    {
        assert_ne!(get(&server, target, HTML).text(), APP, "{target}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let response =
            ask(&mut server.connect(), &format!("{method} /users"), &format!("{HTML}Content-Length: 0\r\n"));
        assert_eq!(response.status, 405, "{method}");
    }
}

#[test]
fn file_9_without_the_flag_or_an_index_there_is_no_application() {
    let server = Setup::new().file("index.html", APP).start();
    assert_eq!(get(&server, "/users", HTML).status, 404);
    let server = Setup::new().args(&["--spa"]).start();
    assert_eq!(get(&server, "/users", HTML).status, 404);
    assert_eq!(get(&server, "/", HTML).status, 404);
    server.folder.write("root/index.html", APP);
    eventually("an index that came later", || is_app(&get(&server, "/users", HTML)));
}

#[test]
fn file_9_file_7_an_edited_application_is_shown() {
    let server = spa().start();
    assert!(is_app(&get(&server, "/users", HTML)));
    settles(&server, "index.html", "/users", 200);
}

/// Puts new pages in the place of `name`, edited and replaced: a second later each is the answer.
fn settles(server: &Server, name: &str, target: &str, status: u16) {
    let path = server.root().join(name);
    let shown = || {
        std::thread::sleep(Duration::from_secs(1));
        let response = get(server, target, HTML);
        assert_eq!(response.status, status, "{target}");
        response.text()
    };
    fs::write(&path, "edited").unwrap();
    assert_eq!(shown(), "edited");
    let fresh = server.folder.write("fresh", "replaced");
    fs::rename(fresh, &path).unwrap();
    assert_eq!(shown(), "replaced");
    fs::write(&path, "").unwrap();
    assert_eq!(shown(), "", "an empty page is a page");
}

#[test]
fn file_9_sec_4_a_page_of_ones_own_for_what_is_missing() {
    let server = Setup::new().args(&["--max-requests", "0"]).file("404.html", PAGE_404).start();
    let mut client = server.connect();
    let mut ids = BTreeSet::new();
    for target in ["/missing", "/missing/", "/dir/missing.png", "/.hidden", "/uploads/missing.json", "/"] {
        for fields in NAMES_HTML {
            let response = ask(&mut client, &format!("GET {target}"), fields);
            is_page(&response, 404, PAGE_404, &format!("{target} {fields}"));
            assert!(ids.insert(response.field("x-request-id").unwrap().to_owned()), "an id twice");
        }
        for fields in NOT_HTML {
            let response = ask(&mut client, &format!("GET {target}"), fields);
            is_problem(&response, 404, "not_found", &format!("{target} {fields}"));
        }
        let head = ask(&mut client, &format!("HEAD {target}"), HTML);
        assert_eq!((head.status, head.body.len()), (404, 0), "{target}");
        assert_eq!(head.field("content-length"), Some(PAGE_404.len().to_string().as_str()), "{target}");
    }
    // By its own name it is a file like others.
    let own = get(&server, "/404.html", HTML);
    assert_eq!((own.status, own.text().as_str()), (200, PAGE_404));
    assert!(own.field("etag").is_some());
}

#[test]
fn file_9_conditions_and_ranges_mean_nothing_to_a_refusal() {
    let server = Setup::new().file("404.html", PAGE_404).start();
    let tag = server.get("/404.html").field("etag").unwrap().to_owned();
    for condition in [
        format!("If-None-Match: {tag}\r\n"),
        "If-None-Match: *\r\n".to_owned(),
        "If-Match: \"x\"\r\n".to_owned(),
        "Range: bytes=0-3\r\n".to_owned(),
        "Range: bytes=9999-\r\n".to_owned(),
        "Accept-Encoding: br, gzip\r\n".to_owned(),
    ] {
        let response = get(&server, "/missing", &format!("{HTML}{condition}"));
        is_page(&response, 404, PAGE_404, &condition);
    }
}

/// A page is for one status: other refusals keep their own.
#[test]
fn file_9_other_refusals_are_not_404() {
    let server =
        Setup::new().file("404.html", PAGE_404).file("50x.html", PAGE_50X).file("a.html", "a").start();
    for (head, status) in [("GET /../x", 403), ("GET /%zz", 400), ("GET /upload", 405)] {
        let response = ask(&mut server.connect(), head, HTML);
        assert_eq!(response.status, status, "{head}");
        assert!(response.text() != PAGE_404 && response.text() != PAGE_50X, "{head}");
    }
    let response = get(&server, "/a.html", &format!("{HTML}If-Match: \"x\"\r\n"));
    assert_eq!(response.status, 412);
    assert!(response.text() != PAGE_404 && response.text() != PAGE_50X);
}

/// The page that comes with the server.
fn is_built_in(response: &Response, status: u16, what: &str) {
    assert_eq!(response.status, status, "{what}");
    assert_eq!(response.field("content-type"), Some("text/html; charset=utf-8"), "{what}");
    assert!(response.text().contains(&status.to_string()) && !response.text().contains("SECRET"), "{what}");
    is_refusal(response, what);
}

#[test]
fn file_9_file_7_a_page_that_changes_is_shown() {
    let server = Setup::new().file("404.html", PAGE_404).start();
    is_page(&get(&server, "/missing", HTML), 404, PAGE_404, "at first");
    settles(&server, "404.html", "/missing", 404);
    fs::remove_file(server.root().join("404.html")).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    is_built_in(&get(&server, "/missing", HTML), 404, "removed");
    server.folder.write("root/404.html", PAGE_404);
    std::thread::sleep(Duration::from_secs(1));
    is_page(&get(&server, "/missing", HTML), 404, PAGE_404, "made again");
}

/// A page is a file of the root like others: what may not be served is not shown, and nothing waits for it.
#[test]
fn row_c2_file_9_a_page_that_is_no_file_of_the_root_is_not_shown() {
    let spoil: [fn(&Path); 4] = [
        |path| symlink("../outside.html", path).unwrap(),
        |path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap(),
        |path| fs::create_dir(path).unwrap(),
        |path| symlink("404.html", path).unwrap(),
    ];
    for (number, spoil) in spoil.into_iter().enumerate() {
        let setup = Setup::new().args(&["--threads", "1"]).file("a.html", "a");
        setup.folder.write("outside.html", "SECRET");
        spoil(&setup.root().join("404.html"));
        let server = setup.start();
        for _ in 0..3 {
            is_built_in(&get(&server, "/missing", HTML), 404, &format!("way {number}"));
            is_problem(&get(&server, "/missing", ""), 404, "not_found", &format!("way {number}"));
        }
        assert_eq!(server.get("/a.html").text(), "a");
    }
}

#[test]
fn file_9_the_application_goes_before_the_page() {
    let server = spa().file("404.html", PAGE_404).file("50x.html", PAGE_50X).start();
    assert!(is_app(&get(&server, "/users", HTML)));
    is_problem(&get(&server, "/users", "Accept: */*\r\n"), 404, "not_found", "no browser");
    is_page(&get(&server, "/uploads/missing.json", HTML), 404, PAGE_404, "an upload");
    is_page(&get(&server, "/.hidden", HTML), 404, PAGE_404, "a dotfile");
    fs::remove_file(server.root().join("index.html")).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    is_page(&get(&server, "/users", HTML), 404, PAGE_404, "the application is gone");
}

const UPLOAD: &str = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\n";

/// A server whose memory for bodies is taken as long as the client lives, so that it refuses uploads by 503.
fn busy(setup: Setup) -> (Server, Client) {
    let server = setup.args(&["--body-memory", "60KiB", "--max-body", "50KiB"]).start();
    let mut client = server.connect();
    client.send_request(&format!("{UPLOAD}Expect: 100-continue\r\nContent-Length: 51200\r\n"), b"");
    assert_eq!(client.read_response(false).unwrap().status, 100);
    (server, client)
}

fn refused(server: &Server, fields: &str) -> Response {
    server.request(&format!("{UPLOAD}Content-Length: 20000\r\n{fields}"), &[b'1'; 20_000])
}

#[test]
fn file_9_sec_4_a_page_of_ones_own_for_trouble() {
    for flags in [&[][..], &["--spa"]] {
        let setup = Setup::new().args(flags).file("index.html", APP).file("50x.html", PAGE_50X);
        let (server, _busy) = busy(setup);
        for fields in NAMES_HTML {
            let response = refused(&server, fields);
            is_page(&response, 503, PAGE_50X, fields);
            assert!(response.field("retry-after").unwrap().parse::<u32>().unwrap() >= 1, "{fields}");
        }
        for fields in NOT_HTML {
            let response = refused(&server, fields);
            is_problem(&response, 503, "uploads_busy", fields);
            assert!(response.field("retry-after").is_some(), "{fields}");
        }
        // What is missing is no trouble of ours.
        is_problem(&get(&server, "/missing", ""), 404, "not_found", "missing");
        assert_ne!(get(&server, "/uploads/missing.json", HTML).text(), PAGE_50X);
    }
}

#[test]
fn file_9_file_7_a_page_for_trouble_that_changes_is_shown() {
    let (server, _busy) = busy(Setup::new().file("404.html", PAGE_404));
    is_built_in(&refused(&server, HTML), 503, "none yet");
    for page in [PAGE_50X, "edited"] {
        server.folder.write("root/50x.html", page);
        std::thread::sleep(Duration::from_secs(1));
        is_page(&refused(&server, HTML), 503, page, "a second later");
    }
    fs::remove_file(server.root().join("50x.html")).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    is_built_in(&refused(&server, HTML), 503, "removed");
}

/// Trouble with the disk is when the page is needed: where uploads have no folder, it is shown all the same.
#[test]
fn file_9_up_3_the_page_for_uploads_without_a_folder() {
    let setup =
        Setup::new().args(&["--uploads", "root/a.html/below"]).file("a.html", "a").file("50x.html", PAGE_50X);
    let server = setup.start();
    let upload = |fields: &str| server.request(&format!("{UPLOAD}Content-Length: 1\r\n{fields}"), b"1");
    is_page(&upload(HTML), 503, PAGE_50X, "uploads_unavailable");
    is_problem(&upload(""), 503, "uploads_unavailable", "uploads_unavailable");
    assert_eq!(server.get("/a.html").text(), "a");
}
