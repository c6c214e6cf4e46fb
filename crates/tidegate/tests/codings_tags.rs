//! The codings of one file told apart: entity tags, preconditions, ranges, heads, and what an edit does to them
//! (SPEC FILE-6, FILE-7; RFC 9110 §8.8.3, §13, §14).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod coded;
mod support;

use std::fs;
use std::time::Duration;

use coded::sidecar::{PLAIN, check, server};
use coded::{Coding, ask, coding_of, get, has_tools};
use support::{Client, Response, Setup};

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
                let mut response = ask(&mut client, method, "/page.html", &fields);
                // A file that somebody may be writing has no validators for a moment; and a process that is being
                // started by another test holds for that moment what we have written.
                for _ in 0..50 {
                    if response.field("etag").is_some() {
                        break;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    response = ask(&mut client, method, "/page.html", &fields);
                }
                let expected = if at == chosen { 304 } else { 200 };
                assert_eq!(response.status, expected, "{method} {fields}");
                assert_eq!(response.field("etag"), Some(tags[chosen].as_str()), "{method} {fields}");
                assert_eq!(response.field("vary"), Some("Accept-Encoding"), "{method} {fields}");
            }
        }
    }
}

/// RFC 9110 §8.8.3: a strong tag stands for bytes, and a sidecar and a coding of our own are not the same bytes.
#[test]
fn file_6_a_tag_tells_a_sidecar_from_what_is_made() {
    if !has_tools("file_6_a_tag_tells_a_sidecar_from_what_is_made") {
        return;
    }
    let page = coded::prose(5000, 1);
    let setup = Setup::new().args(&["--workers", "3", "--max-requests", "0"]).file("page.html", &page);
    let sidecar = Coding::Gzip.encode(&page);
    let server = setup.file("page.html.gz", &sidecar).start();
    let gzip = || get(&mut server.connect(), "/page.html", "gzip");
    let pause = || std::thread::sleep(Duration::from_millis(20));
    let first = |wanted: &dyn Fn(&Response) -> bool| {
        std::iter::repeat_with(gzip).take(500).inspect(|_| pause()).find(|answer| wanted(answer)).unwrap()
    };
    // A worker that looked while a process being started held the sidecar open for writing makes a coding of its own.
    let beside = first(&|answer| answer.body == sidecar);
    fs::remove_file(server.root().join("page.html.gz")).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let made = first(&|answer| coding_of(answer).is_some());
    assert!(beside.body != made.body, "gzip keeps no more than the text");
    assert_ne!(beside.field("etag"), made.field("etag"));
    // Whichever worker answers, the same bytes have the same tag.
    for _ in 0..30 {
        let again = gzip();
        let same = again.body == made.body && again.field("etag") == made.field("etag");
        assert!(same || coding_of(&again).is_none(), "{:?} is {:?}", again.field("etag"), made.field("etag"));
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
fn row_d2_file_6_ranges_are_parts_of_identity() {
    if !has_tools("row_d2_file_6_ranges_are_parts_of_identity") {
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

/// SPEC FILE-7 holds for sidecars: replaced, removed, and outlived by their file.
#[test]
fn file_6_file_7_a_sidecar_that_changes_is_not_served_as_it_was() {
    if !has_tools("file_6_file_7_a_sidecar_that_changes_is_not_served_as_it_was") {
        return;
    }
    let server = server();
    let file = |name: &str| server.root().join(name);
    let br = || get(&mut server.connect(), "/page.html", "br");
    let gzip = || get(&mut server.connect(), "/page.html", "gzip");
    let first = br().field("etag").unwrap().to_owned();
    let renewed = Coding::Br.encode(b"renewed");
    fs::rename(server.folder.write("fresh.br", &renewed), file("page.html.br")).unwrap();
    settles(&renewed, br);
    assert_ne!(br().field("etag"), Some(first.as_str()), "other bytes, another tag");
    fs::remove_file(file("page.html.br")).unwrap();
    settles(PLAIN, br);
    // Edited, the file is newer than what was made of it.
    fs::write(file("page.html"), "edited").unwrap();
    settles(b"edited", gzip);
    assert_eq!(coding_of(&gzip()), None);
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
