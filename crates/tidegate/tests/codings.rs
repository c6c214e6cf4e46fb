//! Content codings that the operator made: sidecars beside the file, chosen by `Accept-Encoding`, with validators
//! of their own (SPEC FILE-6; RFC 9110 §8.4, §8.8.3, §12.5.3).
//!
//! The files are below 1 KiB, so that what is coded came from a sidecar; each sidecar holds another text than its
//! file, so that the bytes tell where they came from.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod coded;
mod support;

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use coded::{Coding, ask, coding_of, content_of, get, has_tools};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use support::{Client, Response, Server, Setup, eventually};

const PLAIN: &[u8] = b"<h1>the file itself</h1>\n";

/// When the files of these tests were last modified; their sidecars are later by some seconds.
fn modified(later: i64) -> SystemTime {
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let by = Duration::from_nanos(later.unsigned_abs());
    if later < 0 { then - by } else { then + by }
}

fn touch(path: &Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// What the sidecar of a coding holds.
fn sidecar(coding: Coding) -> Vec<u8> {
    coding.encode(format!("<h1>the sidecar for {}</h1>\n", coding.token()).as_bytes())
}

/// A file of the root and some sidecars, newer than it by `later` nanoseconds.
fn with_sidecars(setup: Setup, name: &str, codings: &[Coding], later: i64) -> Setup {
    let setup = setup.file(name, PLAIN);
    touch(&setup.root().join(name), modified(0));
    for coding in codings {
        let path = setup.folder.write(&format!("root/{name}.{}", coding.suffix()), sidecar(*coding));
        touch(&path, modified(later));
    }
    setup
}

const SECOND: i64 = 1_000_000_000;

/// A server of `page.html` with all sidecars.
fn server() -> Server {
    let setup = Setup::new().args(&["--max-requests", "0"]);
    let server = with_sidecars(setup, "page.html", &Coding::ALL, SECOND).start();
    for coding in Coding::ALL {
        found(&server, "/page.html", coding);
    }
    server
}

/// Waits until the sidecar is served: a first look at it may have to wait for the disk, and an answer need not.
fn found(server: &Server, target: &str, coding: Coding) -> Response {
    let accepted = || get(&mut server.connect(), target, coding.token());
    eventually(target, || coding_of(&accepted()) == Some(coding));
    accepted()
}

/// What no coding may change.
fn check(response: &Response, coding: Option<Coding>, what: &str) {
    assert_eq!(response.status, 200, "{what}");
    assert_eq!(coding_of(response), coding, "{what}");
    assert_eq!(response.field("content-type"), Some("text/html; charset=utf-8"), "{what}");
    assert_eq!(response.field("vary"), Some("Accept-Encoding"), "{what}");
    assert!(response.body == coding.map_or_else(|| PLAIN.to_vec(), sidecar), "{what}: other bytes");
}

/// Values of `Accept-Encoding`, and what must be chosen where all three sidecars are there.
const CHOICES: [(&str, Option<Coding>); 47] = [
    ("br", Some(Coding::Br)),
    ("zstd", Some(Coding::Zstd)),
    ("gzip", Some(Coding::Gzip)),
    // RFC 9110 §8.4.1.3: a recipient takes x-gzip for gzip.
    ("x-gzip", Some(Coding::Gzip)),
    ("BR", Some(Coding::Br)),
    ("GZip", Some(Coding::Gzip)),
    ("gzip, deflate, br, zstd", Some(Coding::Br)),
    ("gzip, deflate, zstd", Some(Coding::Zstd)),
    ("gzip, deflate", Some(Coding::Gzip)),
    ("gzip,zstd,br", Some(Coding::Br)),
    ("gzip\t,\t zstd", Some(Coding::Zstd)),
    (", ,gzip, ,", Some(Coding::Gzip)),
    ("br;q=1, zstd;q=1, gzip;q=1", Some(Coding::Br)),
    ("br;q=0.5, zstd;q=0.5, gzip;q=0.5", Some(Coding::Br)),
    ("br;q=0.9, zstd;q=0.9, gzip", Some(Coding::Gzip)),
    ("br;q=0.998, zstd;q=0.999", Some(Coding::Zstd)),
    ("gzip;q=0.002, br;q=0.001", Some(Coding::Gzip)),
    ("br;q=0.5, gzip;q=0.50, zstd;q=0.500", Some(Coding::Br)),
    ("gzip ; q=0.5 , br ; q=0.4", Some(Coding::Gzip)),
    ("gzip;Q=0.6, br;Q=0.5", Some(Coding::Gzip)),
    ("br;q=1.000, gzip;q=1.0", Some(Coding::Br)),
    ("br;q=0.001", Some(Coding::Br)),
    ("br;q=0", None),
    ("br;q=0.0, gzip;q=0.000", None),
    ("br;q=0, gzip", Some(Coding::Gzip)),
    ("br;q=0, zstd;q=0, gzip;q=0", None),
    ("*", Some(Coding::Br)),
    ("*;q=0.1", Some(Coding::Br)),
    ("*;q=0", None),
    ("br;q=0, *", Some(Coding::Zstd)),
    ("br;q=0, zstd;q=0, *;q=0.3", Some(Coding::Gzip)),
    ("*, br;q=0", Some(Coding::Zstd)),
    ("gzip, *;q=0", Some(Coding::Gzip)),
    ("gzip;q=0.5, *;q=0.8", Some(Coding::Br)),
    ("gzip;q=0.8, *;q=0.5", Some(Coding::Gzip)),
    ("identity", None),
    ("identity, br;q=0.5", None),
    ("br;q=0.5, identity;q=0.4", Some(Coding::Br)),
    ("identity;q=0, gzip", Some(Coding::Gzip)),
    ("identity;q=0.5, *;q=0.6", Some(Coding::Br)),
    // Nothing that is there is accepted: the file as it is serves better than a refusal (RFC 9110 §12.5.3).
    ("identity;q=0", None),
    ("identity;q=0, *;q=0", None),
    ("deflate", None),
    ("compress, deflate, bzip2", None),
    ("brotli", None),
    ("xbr, brx, br-x, gzipx, zstdx", None),
    ("", None),
];

#[test]
fn file_6_accept_encoding_chooses_among_sidecars() {
    if !has_tools("file_6_accept_encoding_chooses_among_sidecars") {
        return;
    }
    let server = server();
    let mut client = server.connect();
    for (accepted, coding) in CHOICES {
        check(&get(&mut client, "/page.html", accepted), coding, accepted);
    }
    check(&client.get("/page.html"), None, "no field");
    let two_lines = ask(&mut client, "GET", "/page.html", "Accept-Encoding: gzip\r\nAccept-Encoding: br\r\n");
    check(&two_lines, Some(Coding::Br), "two field lines are one list");
    let two_lines =
        ask(&mut client, "GET", "/page.html", "Accept-Encoding: br;q=0\r\naccept-encoding: *\r\n");
    check(&two_lines, Some(Coding::Zstd), "two field lines are one list");
}

/// Whatever is made of it, the bytes are those that the answer says they are.
#[test]
fn file_6_a_malformed_accept_encoding_gets_a_right_answer() {
    if !has_tools("file_6_a_malformed_accept_encoding_gets_a_right_answer") {
        return;
    }
    let server = server();
    let mut client = server.connect();
    let long = "a,".repeat(3000);
    let deep = format!("br{}", ";q=0".repeat(1500));
    for accepted in [
        ",",
        ";",
        "=",
        ";q=1",
        "br;",
        "br;q",
        "br;q=",
        "br;q=2",
        "br;q=-1",
        "br;q=0.0001",
        "br;q=1.001",
        "br;q=.5",
        "br;q=NaN",
        "br;q=1e0",
        "br;q=0;q=1",
        "br;q=0, br",
        "br gzip",
        "br;q=1 gzip",
        "\"br\"",
        "br;level=5",
        "**",
        "*;*",
        "br\u{a0}",
        &long,
        &deep,
    ] {
        let response = get(&mut client, "/page.html", accepted);
        let coding = coding_of(&response);
        check(&response, coding, accepted);
    }
}

#[test]
fn file_6_only_the_sidecars_that_are_there_count() {
    if !has_tools("file_6_only_the_sidecars_that_are_there_count") {
        return;
    }
    let setup = with_sidecars(Setup::new(), "gz.html", &[Coding::Gzip], SECOND);
    let setup = with_sidecars(setup, "dir/index.html", &[Coding::Zstd], SECOND);
    let setup = with_sidecars(setup, ".well-known/page.html", &[Coding::Br], SECOND);
    let server = with_sidecars(setup, "none.html", &[], 0).start();
    for (target, coding) in
        [("/gz.html", Coding::Gzip), ("/dir/", Coding::Zstd), ("/.well-known/page.html", Coding::Br)]
    {
        found(&server, target, coding);
        let mut client = server.connect();
        check(&get(&mut client, target, "br, zstd, gzip"), Some(coding), target);
        let others: Vec<_> = Coding::ALL.into_iter().filter(|other| *other != coding).collect();
        let others = others.into_iter().map(Coding::token).collect::<Vec<_>>().join(", ");
        check(&get(&mut client, target, &others), None, &others);
    }
    let response = get(&mut server.connect(), "/none.html", "br, zstd, gzip");
    assert_eq!((response.status, coding_of(&response)), (200, None));
    assert!(response.body == PLAIN);
}

/// A sidecar that was forgotten when its file was edited would show the old text for ever.
#[test]
fn file_6_a_sidecar_older_than_its_file_is_not_used() {
    if !has_tools("file_6_a_sidecar_older_than_its_file_is_not_used") {
        return;
    }
    let setup = with_sidecars(Setup::new(), "older.html", &Coding::ALL, -1);
    let setup = with_sidecars(setup, "much-older.html", &Coding::ALL, -3600 * SECOND);
    let server = with_sidecars(setup, "same.html", &Coding::ALL, 0).start();
    found(&server, "/same.html", Coding::Br);
    for coding in Coding::ALL {
        check(&get(&mut server.connect(), "/same.html", coding.token()), Some(coding), "as new as its file");
        for target in ["/older.html", "/much-older.html"] {
            stays_plain(&server, target, coding.token());
        }
    }
}

/// Asked some times over, so that what is looked up late is seen as well.
fn stays_plain(server: &Server, target: &str, accepted: &str) {
    for _ in 0..4 {
        let response = get(&mut server.connect(), target, accepted);
        assert_eq!((response.status, coding_of(&response)), (200, None), "{target} {accepted}");
        assert!(response.body == PLAIN, "{target} {accepted}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sidecars are names like others: what may not be served as itself is not served as a coding.
#[test]
fn file_6_a_sidecar_that_is_no_file_of_the_root_is_not_used() {
    if !has_tools("file_6_a_sidecar_that_is_no_file_of_the_root_is_not_used") {
        return;
    }
    let names = ["outside.html", "absolute.html", "fifo.html", "folder.html", "dangling.html", "loop.html"];
    let setup =
        names.iter().fold(Setup::new().args(&["--threads", "2"]), |setup, name| setup.file(name, PLAIN));
    let root = setup.root();
    for name in names {
        touch(&root.join(name), modified(0));
    }
    let outside = setup.folder.write("outside.br", Coding::Br.encode(b"SECRET: this lies outside"));
    symlink("../outside.br", root.join("outside.html.br")).unwrap();
    symlink(outside, root.join("absolute.html.br")).unwrap();
    let fifo = root.join("fifo.html.br");
    mknodat(CWD, fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR | Mode::ROTH, 0).unwrap();
    fs::create_dir(root.join("folder.html.br")).unwrap();
    symlink("nothing", root.join("dangling.html.br")).unwrap();
    symlink("loop.html.br", root.join("loop.html.br")).unwrap();
    let server = setup.start();
    for name in names {
        stays_plain(&server, &format!("/{name}"), "br");
    }
}

#[test]
fn file_6_a_sidecar_makes_no_name_of_its_own() {
    if !has_tools("file_6_a_sidecar_makes_no_name_of_its_own") {
        return;
    }
    let setup = with_sidecars(Setup::new(), "page.html", &Coding::ALL, SECOND);
    let setup = with_sidecars(setup, ".hidden.html", &Coding::ALL, SECOND);
    let server = setup.file("lonely.html.br", sidecar(Coding::Br)).file("dir/.br", "x").start();
    for target in ["/lonely.html", "/.hidden.html", "/.hidden.html.br", "/dir/.br", "/dir/"] {
        assert_eq!(get(&mut server.connect(), target, "br").status, 404, "{target}");
    }
    // Asked for by its own name it is a file like any other, and not coded.
    for coding in Coding::ALL {
        let target = format!("/page.html.{}", coding.suffix());
        let response = get(&mut server.connect(), &target, "br, zstd, gzip");
        assert_eq!((response.status, coding_of(&response)), (200, None), "{target}");
        assert!(response.body == sidecar(coding), "{target}");
    }
}

#[test]
fn file_6_a_coded_attachment_is_an_attachment() {
    if !has_tools("file_6_a_coded_attachment_is_an_attachment") {
        return;
    }
    let server = with_sidecars(Setup::new(), "notes.txt", &[Coding::Br], SECOND).start();
    let coded = found(&server, "/notes.txt", Coding::Br);
    assert_eq!(coded.field("content-disposition"), Some("attachment; filename=\"notes.txt\""));
    assert_eq!(coded.field("content-type"), Some("application/octet-stream"));
    assert!(coded.body == sidecar(Coding::Br));
}

/// The entity tags of identity and of each coding.
fn tags(client: &mut Client) -> [String; 4] {
    ["identity", "br", "zstd", "gzip"].map(|accepted| {
        let response = get(client, "/page.html", accepted);
        let tag = response.field("etag").expect("a tag").to_owned();
        assert!(tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"'), "a strong tag: {tag}");
        tag
    })
}

#[test]
fn file_6_each_coding_has_a_tag_of_its_own() {
    if !has_tools("file_6_each_coding_has_a_tag_of_its_own") {
        return;
    }
    let server = server();
    let mut client = server.connect();
    let tags = tags(&mut client);
    let accepted = ["identity", "br", "zstd", "gzip"];
    for (at, tag) in tags.iter().enumerate() {
        for (chosen, accepted) in accepted.iter().enumerate() {
            let fields = format!("Accept-Encoding: {accepted}\r\nIf-None-Match: {tag}\r\n");
            for method in ["GET", "HEAD"] {
                let response = ask(&mut client, method, "/page.html", &fields);
                let expected = if at == chosen { 304 } else { 200 };
                assert_eq!(response.status, expected, "{method} {fields}");
                assert_eq!(response.field("etag"), Some(tags[chosen].as_str()), "{method} {fields}");
                assert_eq!(response.field("vary"), Some("Accept-Encoding"), "{method} {fields}");
            }
        }
    }
}

#[test]
fn file_6_if_match_is_about_the_coding_chosen() {
    if !has_tools("file_6_if_match_is_about_the_coding_chosen") {
        return;
    }
    let server = server();
    let mut client = server.connect();
    let [plain, br, ..] = tags(&mut client);
    for (accepted, tags, status) in [
        ("br", &*br, 200),
        ("br", "*", 200),
        ("br", "\"x\"", 412),
        ("gzip", &br, 412),
        ("identity", &br, 412),
        ("identity", &plain, 200),
        ("br", &format!("{plain}, {br}"), 200),
    ] {
        let fields = format!("Accept-Encoding: {accepted}\r\nIf-Match: {tags}\r\n");
        assert_eq!(ask(&mut client, "GET", "/page.html", &fields).status, status, "{fields}");
    }
}

#[test]
fn file_6_ranges_are_parts_of_identity() {
    if !has_tools("file_6_ranges_are_parts_of_identity") {
        return;
    }
    let server = server();
    let mut client = server.connect();
    let [plain, br, ..] = tags(&mut client);
    for condition in [String::new(), format!("If-Range: {plain}\r\n")] {
        let fields = format!("Accept-Encoding: br, zstd, gzip\r\nRange: bytes=4-11\r\n{condition}");
        let response = ask(&mut client, "GET", "/page.html", &fields);
        assert_eq!((response.status, coding_of(&response)), (206, None), "{fields}");
        assert!(response.body == PLAIN[4..12], "{fields}");
        let stated = format!("bytes 4-11/{}", PLAIN.len());
        assert_eq!(response.field("content-range"), Some(stated.as_str()), "{fields}");
        assert_eq!(response.field("etag"), Some(plain.as_str()), "a part of identity has its tag");
        assert_eq!(response.field("vary"), Some("Accept-Encoding"), "{fields}");
    }
    // A client that holds a part of the coded bytes must not put a part of the plain ones behind it.
    let fields = format!("Accept-Encoding: br\r\nRange: bytes=4-11\r\nIf-Range: {br}\r\n");
    let response = ask(&mut client, "GET", "/page.html", &fields);
    let coding = coding_of(&response);
    check(&response, coding, &fields);
    let unsatisfiable =
        ask(&mut client, "GET", "/page.html", "Accept-Encoding: br\r\nRange: bytes=9999-\r\n");
    assert_eq!(unsatisfiable.status, 416);
    assert_eq!(unsatisfiable.field("content-range"), Some(format!("bytes */{}", PLAIN.len()).as_str()));
    assert_eq!(coding_of(&unsatisfiable), None);
}

#[test]
fn file_6_head_is_the_head_of_get() {
    if !has_tools("file_6_head_is_the_head_of_get") {
        return;
    }
    let server = server();
    let mut client = server.connect();
    for accepted in ["identity", "br", "zstd", "gzip"] {
        let fields = format!("Accept-Encoding: {accepted}\r\n");
        let [got, head] = ["GET", "HEAD"].map(|method| ask(&mut client, method, "/page.html", &fields));
        let lasting = |response: &Response| {
            let fields = response.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date"));
            fields.cloned().collect::<Vec<_>>()
        };
        assert_eq!((got.status, lasting(&got)), (head.status, lasting(&head)), "{accepted}");
        assert_eq!(got.field("content-length"), Some(got.body.len().to_string().as_str()));
        assert!(head.body.is_empty());
    }
    // Nothing of a body followed.
    assert!(client.get("/page.html").body == PLAIN);
}

/// SPEC FILE-7 holds for sidecars: replaced, outlived by their file, and removed.
#[test]
fn file_6_file_7_a_sidecar_that_changes_is_served_new() {
    if !has_tools("file_6_file_7_a_sidecar_that_changes_is_served_new") {
        return;
    }
    let server = server();
    let path = server.root().join("page.html.br");
    let br = || get(&mut server.connect(), "/page.html", "br");
    let first = br().field("etag").unwrap().to_owned();
    let renewed = Coding::Br.encode(b"renewed");
    let fresh = server.folder.write("fresh.br", &renewed);
    fs::rename(fresh, &path).unwrap();
    settles(&renewed, br);
    assert_ne!(br().field("etag"), Some(first.as_str()), "other bytes, another tag");
    // The file is edited: the sidecar is of an older version now.
    fs::write(server.root().join("page.html"), "edited").unwrap();
    touch(&server.root().join("page.html"), SystemTime::now() + Duration::from_secs(5));
    settles(b"edited", br);
    touch(&path, SystemTime::now() + Duration::from_secs(10));
    settles(&renewed, br);
    fs::remove_file(&path).unwrap();
    settles(b"edited", br);
    assert_eq!(content_of(&br()), b"edited");
}

/// Nothing but `body` is answered to what is asked for a second later.
fn settles(body: &[u8], ask: impl Fn() -> Response) {
    std::thread::sleep(Duration::from_secs(1));
    for _ in 0..3 {
        let response = ask();
        assert_eq!(response.status, 200);
        assert!(response.body == body, "{:?} after a second", String::from_utf8_lossy(&response.body));
    }
}
