//! Listings of folders: what they show and hide, in which order, for whom, and that no name breaks out of the page
//! (SPEC FILE-8, SEC-3, UP-7).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod listed;
mod support;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::time::{Duration, SystemTime};

use listed::{encoded, encoded_again, json_names, links, resolved};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use support::{Client, Response, Server, Setup, eventually};

const HTML: &str = "Accept: text/html\r\n";
const JSON: &str = "Accept: application/json\r\n";

/// As Firefox sends it.
const BROWSER: &str = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";

fn setup() -> Setup {
    Setup::new().args(&["--listing", "--max-requests", "0"])
}

fn ask(client: &mut Client, method: &str, target: &str, fields: &str) -> Response {
    let head = format!("{method} {target} HTTP/1.1\r\n{fields}");
    client.send_request(&head, b"");
    client.response_to(&head)
}

fn get(server: &Server, target: &str, fields: &str) -> Response {
    ask(&mut server.connect(), "GET", target, fields)
}

/// The targets of the entries of the HTML listing at `base`, in its order, without those that are no entry.
fn entries(server: &Server, base: &str) -> Vec<String> {
    let mut found = Vec::new();
    for link in links(&get(server, base, HTML)) {
        let Some(target) = resolved(base, &link) else { continue };
        if !found.contains(&target) {
            found.push(target);
        }
    }
    found
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

fn names_at(server: &Server, target: &str) -> BTreeSet<String> {
    let names = json_names(&get(server, target, JSON));
    let unique: BTreeSet<_> = names.iter().cloned().collect();
    assert_eq!(unique.len(), names.len(), "no name twice: {names:?}");
    unique
}

#[test]
fn file_8_a_folder_is_listed_as_html_and_as_json() {
    let server = setup().file("dir/b.html", "b").file("dir/a.txt", "a").file("dir/sub/c.html", "c").start();
    assert_eq!(names_at(&server, "/dir/"), set(&["a.txt", "b.html", "sub"]));
    let targets: BTreeSet<_> = entries(&server, "/dir/").into_iter().collect();
    assert_eq!(targets, set(&["/dir/a.txt", "/dir/b.html", "/dir/sub/"]), "folders have their slash");
    assert_eq!(names_at(&server, "/dir/sub/"), set(&["c.html"]));
    assert_eq!(names_at(&server, "/"), set(&["dir"]), "the root, without `uploads`");
    // A folder below another can be left upwards, the root cannot.
    assert!(links(&get(&server, "/dir/", HTML)).iter().any(|link| link == "../" || link == "/"));
    assert!(!links(&get(&server, "/", HTML)).iter().any(|link| link.starts_with("..")));
}

#[test]
fn file_8_accept_chooses_between_html_and_json() {
    let server = setup().file("dir/a.html", "a").start();
    for (fields, is_html) in [
        (HTML, true),
        (BROWSER, true),
        (JSON, false),
        ("Accept: TEXT/HTML\r\n", true),
        ("Accept: text/html;q=0, application/json\r\n", false),
        ("Accept: text/html;q=0.5, application/json\r\n", false),
        ("Accept: text/html, application/json;q=0.5\r\n", true),
        ("Accept: image/png, application/json\r\n", false),
    ] {
        let response = get(&server, "/dir/", fields);
        let kind = response.field("content-type").unwrap();
        assert_eq!((response.status, kind.starts_with("text/html")), (200, is_html), "{fields} {kind}");
        assert!(response.field("vary").is_some_and(|vary| vary.contains("Accept")), "{fields}");
    }
    for fields in ["", "Accept: */*\r\n", "Accept: ;;q=,\r\n"] {
        assert_eq!(get(&server, "/dir/", fields).status, 200, "{fields}");
    }
}

#[test]
fn file_8_without_the_flag_nothing_is_listed() {
    let server = Setup::new().file("dir/a.html", "a").start();
    for target in ["/", "/dir/"] {
        for fields in [HTML, JSON] {
            let response = get(&server, target, fields);
            assert_eq!(response.status, 404, "{target}");
            assert!(!response.text().contains("a.html"), "{target}");
        }
    }
}

#[test]
fn file_8_an_index_goes_before_a_listing() {
    let server = setup().file("dir/index.html", "the index").file("dir/a.html", "a").start();
    for fields in [HTML, JSON] {
        assert_eq!(get(&server, "/dir/", fields).text(), "the index");
    }
    let redirect = get(&server, "/dir", HTML);
    assert_eq!((redirect.status, redirect.field("location")), (308, Some("/dir/")));
}

/// Names that would break out of HTML, of a URL or of a line, all of which a file system takes.
const HOSTILE: [&str; 21] = [
    "<script>alert(1)<⁄script>.html",
    "\"><img src=x onerror=alert(1)>.html",
    "' onmouseover='alert(1).html",
    "a&b&lt;c&amp;d.html",
    "javascript:alert(1)",
    "http:evil.example",
    "%2e%2e.html",
    "100%.html",
    "a?b=c.html",
    "a#b.html",
    "line\nfeed.html",
    "carriage\rreturn.html",
    "tab\there.html",
    " both ends ",
    "bidi\u{202e}lmth.txt",
    "\u{1f980}.html",
    "--><!--.html",
    "]]>.html",
    "{{7*7}}${7*7}.html",
    "\u{7f}\u{1}\u{1b}[31m.html",
    "a;b,c=d+e@f!.html",
];

#[test]
fn row_h3_file_8_no_name_breaks_out_of_the_page() {
    let long = "n".repeat(255);
    let names: Vec<&str> = HOSTILE.into_iter().chain([long.as_str()]).collect();
    let server = names.iter().fold(setup(), |setup, name| setup.file(&format!("dir/{name}"), name)).start();
    let expected: BTreeSet<_> = names.iter().map(ToString::to_string).collect();
    assert_eq!(names_at(&server, "/dir/"), expected);
    let page = get(&server, "/dir/", HTML).text();
    for markup in ["<script>alert", "<img", "<!--.html", "a&b"] {
        assert!(!page.contains(markup), "{markup:?} stands in the page");
    }
    // Every link leads to its file: the file holds its name.
    let mut reached = BTreeSet::new();
    for target in entries(&server, "/dir/") {
        let response = server.get(&target);
        assert_eq!(response.status, 200, "{target}");
        assert_eq!(encoded(response.text().as_bytes()), encoded_again(&target["/dir/".len()..]), "{target}");
        reached.insert(response.text());
    }
    assert_eq!(reached, expected);
}

/// Such a name has no URL here (FILE-4): it may be left out, and must not spoil the listing of the others.
#[test]
fn file_8_names_without_a_url_spoil_nothing() {
    let setup = setup().file("dir/good.html", "good");
    for name in [&b"caf\xe9.html"[..], b"\xff\xfe", b"a\\b.html", b"\xed\xa0\x80.html"] {
        fs::write(setup.root().join("dir").join(OsStr::from_bytes(name)), "x").unwrap();
    }
    let server = setup.start();
    assert!(names_at(&server, "/dir/").contains("good.html"));
    let targets = entries(&server, "/dir/");
    assert!(targets.contains(&"/dir/good.html".to_owned()));
    for target in targets {
        assert_eq!(server.get(&target).status, 200, "{target} is offered");
    }
}

#[test]
fn row_c2_row_c4_file_8_what_is_not_served_is_not_listed() {
    let setup = setup().file("dir/shown.html", "x").file("dir/.hidden", "x").file("dir/.git/config", "x");
    let dir = setup.root().join("dir");
    setup.folder.write("outside/secret.html", "SECRET");
    mknodat(CWD, dir.join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _socket = UnixListener::bind(dir.join("socket")).unwrap();
    for (target, name) in [
        ("../../outside/secret.html", "file-out"),
        ("../../outside", "folder-out"),
        ("/", "top"),
        ("nothing", "dangling"),
        ("loop", "loop"),
        ("fifo", "to-fifo"),
    ] {
        symlink(target, dir.join(name)).unwrap();
    }
    symlink("shown.html", dir.join("beneath.html")).unwrap();
    let server = setup.start();
    let mut names = names_at(&server, "/dir/");
    // A link that stays beneath the root is served, and may be shown.
    names.remove("beneath.html");
    assert_eq!(names, set(&["shown.html"]));
    for target in ["/dir/.git/", "/dir/fifo/", "/dir/shown.html/", "/.hidden/", "/missing/"] {
        assert_eq!(get(&server, target, HTML).status, 404, "{target}");
    }
    for target in ["/dir/folder-out/", "/dir/top/", "/../", "/dir/%2e%2e/", "/dir/../", "/dir/..%2f"] {
        for fields in [HTML, JSON] {
            let response = get(&server, target, fields);
            assert_eq!(response.status, 403, "{target}");
            assert!(!response.text().contains("secret.html"), "{target}");
        }
    }
}

#[test]
fn file_8_up_7_reserved_names_are_not_listed_at_the_top() {
    let reserved = ["upload", "metrics", "healthz", "readyz", "status/a", "security-dashboard/a"];
    let setup = setup().file("mine.html", "x").file("uploads/mine.json", "1").file("dir/uploads/a.html", "x");
    let server = reserved.iter().fold(setup, |setup, name| setup.file(name, "x")).start();
    assert_eq!(server.upload(b"[1]").status, 201);
    assert_eq!(names_at(&server, "/"), set(&["dir", "mine.html"]));
    assert_eq!(entries(&server, "/").into_iter().collect::<BTreeSet<_>>(), set(&["/dir/", "/mine.html"]));
    assert_eq!(names_at(&server, "/dir/"), set(&["uploads"]), "below the top it is a name like others");
    assert_eq!(names_at(&server, "/dir/uploads/"), set(&["a.html"]));
    for target in ["/uploads", "/uploads/", "/upload%73/", "/status/a", "/security-dashboard/a"] {
        for fields in [HTML, JSON] {
            let response = get(&server, target, fields);
            assert_eq!(response.status, 404, "{target}");
            assert!(!response.text().contains(".json"), "{target}");
        }
    }
    assert_eq!(get(&server, "/uploads/", JSON).status, 404);
}

#[test]
fn row_h3_file_8_sec_3_a_listing_may_load_and_run_nothing() {
    let server = setup().file("dir/a.html", "x").start();
    for fields in [HTML, JSON] {
        let response = get(&server, "/dir/", fields);
        assert_eq!(response.field("x-content-type-options"), Some("nosniff"));
    }
    let response = get(&server, "/dir/", HTML);
    let policy = response.field("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'"), "{policy}");
    for loose in ["unsafe-", "*", "http:", "https:", "data:"] {
        assert!(!policy.contains(loose), "{policy}");
    }
    let page = response.text();
    for forbidden in [" style=\"", "<script>", "onclick=", "onload=", "javascript:"] {
        assert!(!page.contains(forbidden), "{forbidden} is in vain under the policy");
    }
}

#[test]
fn file_8_head_and_other_methods() {
    let server = setup().file("dir/a.html", "x").start();
    for fields in [HTML, JSON] {
        let mut client = server.connect();
        let got = ask(&mut client, "GET", "/dir/", fields);
        let head = ask(&mut client, "HEAD", "/dir/", fields);
        assert_eq!((head.status, head.body.len()), (200, 0));
        for name in ["content-type", "content-length", "vary", "content-security-policy"] {
            assert_eq!(got.field(name), head.field(name), "{name}");
        }
        assert_eq!(ask(&mut client, "OPTIONS", "/dir/", fields).status, 204);
        assert!(server.get("/dir/a.html").text() == "x", "the next answer is where it belongs");
        assert_eq!(ask(&mut client, "POST", "/dir/", "Content-Length: 0\r\n").status, 405);
    }
}

#[test]
fn file_8_an_empty_folder_has_an_empty_listing() {
    let setup = setup();
    fs::create_dir(setup.root().join("empty")).unwrap();
    let server = setup.start();
    assert!(names_at(&server, "/empty/").is_empty());
    assert!(entries(&server, "/empty/").is_empty());
    assert!(names_at(&server, "/").contains("empty"));
}

#[test]
fn file_8_three_thousand_entries() {
    let file = |setup: Setup, number: usize| setup.file(&format!("dir/{number:04}.html"), "x");
    let server = (0..3000).fold(setup(), file).start();
    let names = names_at(&server, "/dir/");
    let expected: BTreeSet<_> = (0..3000).map(|number| format!("{number:04}.html")).collect();
    assert_eq!(names, expected);
    let mut client = server.connect();
    let shown: BTreeSet<_> = links(&ask(&mut client, "GET", "/dir/", HTML))
        .iter()
        .filter_map(|link| resolved("/dir/", link))
        .collect();
    assert_eq!(shown.len(), 3000);
    // From many sides at once.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(names_at(&server, "/dir/").len(), 3000));
        }
    });
    assert_eq!(client.get("/dir/0000.html").text(), "x");
}

#[test]
fn file_8_file_7_a_listing_shows_what_is_there_now() {
    let server = setup().file("dir/a.html", "x").start();
    assert_eq!(names_at(&server, "/dir/"), set(&["a.html"]));
    fs::write(server.root().join("dir/b.html"), "x").unwrap();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(names_at(&server, "/dir/"), set(&["a.html", "b.html"]));
    fs::remove_file(server.root().join("dir/a.html")).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(names_at(&server, "/dir/"), set(&["b.html"]));
    fs::remove_dir_all(server.root().join("dir")).unwrap();
    eventually("it is gone", || get(&server, "/dir/", JSON).status == 404);
}

/// Files whose orders by name, by size and by time are all different.
const SORTED: [(&str, usize, u64); 5] = [
    ("a.html", 300, 4000),
    ("b.html", 100, 5000),
    ("c.html", 500, 1000),
    ("d.html", 200, 3000),
    ("e.html", 400, 2000),
];

fn order(names: &[String]) -> String {
    names.iter().filter_map(|name| name.chars().next()).collect()
}

/// Without script: each order is a link of the page, and the same link orders the JSON.
#[test]
fn file_8_links_sort_by_name_size_and_time() {
    let server = SORTED
        .iter()
        .fold(setup(), |setup, (name, size, time)| {
            let path = setup.folder.write(&format!("root/dir/{name}"), vec![b'x'; *size]);
            let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000 + time);
            File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
            setup
        })
        .start();
    assert_eq!(
        order(&json_names(&get(&server, "/dir/", JSON))),
        "abcde",
        "by name where nothing is asked for"
    );
    // The links of the first page, and those of the pages that they lead to.
    let mut queries = vec![String::new()];
    let mut orders = BTreeSet::new();
    let mut at = 0;
    while at < queries.len() && queries.len() < 50 {
        let target = format!("/dir/{}", queries[at]);
        let page = get(&server, &target, HTML);
        let links = links(&page);
        let shown: Vec<_> = links.iter().filter(|link| link.contains(".html")).cloned().collect();
        let shown: Vec<_> = shown.iter().map(|link| link.rsplit('/').next().unwrap().to_owned()).collect();
        assert_eq!(order(&shown), order(&json_names(&get(&server, &target, JSON))), "{target}");
        orders.insert(order(&shown));
        let more = links.into_iter().filter_map(|link| Some(link[link.find('?')?..].to_owned()));
        for query in more.collect::<Vec<_>>() {
            if !queries.contains(&query) {
                queries.push(query);
            }
        }
        at += 1;
    }
    assert_eq!(orders, set(&["abcde", "edcba", "bdaec", "ceadb", "cedab", "badec"]), "{queries:?}");
}

/// A query that means nothing is none: the listing is there, and what was asked does not stand in it.
#[test]
fn file_8_a_strange_query_changes_nothing() {
    let server = setup().file("dir/a.html", "x").file("dir/b.html", "x").start();
    for query in
        ["?", "?sort", "?sort=%00", "?sort=size;drop", "?%3Cscript%3E", "?x=%22%3E%3Cb%3E", "?sort=../../"]
    {
        let target = format!("/dir/{query}");
        assert_eq!(names_at(&server, &target), set(&["a.html", "b.html"]), "{target}");
        let page = get(&server, &target, HTML).text();
        assert!(!page.contains("<script>") && !page.contains("\"><b>"), "{target}");
    }
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
fn file_8_a_folder_that_may_not_be_read_is_403() {
    let setup = setup().file("shut/a.html", "a").file("passable/a.html", "a").file("open/a.html", "a");
    let root = setup.root();
    let mode = |name: &str, mode| fs::set_permissions(root.join(name), Permissions::from_mode(mode));
    mode("shut", 0o000).unwrap();
    mode("passable", 0o311).unwrap();
    let server = as_nobody(setup).start();
    for target in ["/shut/", "/passable/"] {
        let response = get(&server, target, JSON);
        assert_eq!((response.status, response.code().as_str()), (403, "unreadable"), "{target}");
    }
    assert_eq!(server.get("/passable/a.html").text(), "a");
    assert_eq!(names_at(&server, "/open/"), set(&["a.html"]));
    for name in ["shut", "passable"] {
        mode(name, 0o755).unwrap();
        assert_eq!(names_at(&server, &format!("/{name}/")), set(&["a.html"]), "readable from now on");
    }
}
