//! Validators, preconditions and ranges over the wire (SPEC FILE-5; RFC 9110 §13 and §14).

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may fail loudly")]

mod support;

use std::fs::File;
use std::time::{Duration, SystemTime};

use support::{Client, Response, Server, Setup};

const OLDER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const NEWER: &str = "Mon, 07 Nov 1994 08:49:37 GMT";

/// One file that is served from memory, one that goes out by `sendfile`.
const SIZES: [(&str, usize); 2] = [("/small.html", 1000), ("/large.html", 200_000)];

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| b'!' + u8::try_from(at % 83).unwrap_or_default()).collect()
}

fn server() -> Server {
    let mut setup = Setup::new().args(&["--max-requests", "0"]).file("empty.html", "");
    for (name, size) in SIZES {
        setup = setup.file(&name[1..], content(size));
    }
    for (name, _) in SIZES {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let file = File::options().write(true).open(setup.root().join(&name[1..])).unwrap();
        file.set_modified(modified).unwrap();
    }
    setup.start()
}

fn ask(client: &mut Client, method: &str, target: &str, fields: &str) -> Response {
    let head = format!("{method} {target} HTTP/1.1\r\n{fields}");
    client.send_request(&head, b"");
    client.response_to(&head)
}

#[test]
fn file_5_every_file_has_strong_validators() {
    let server = server();
    let mut tags = Vec::new();
    for (target, _) in SIZES {
        let response = server.get(target);
        assert_eq!(response.field("last-modified"), Some(SAME), "{target}");
        assert_eq!(response.field("accept-ranges"), Some("bytes"), "{target}");
        let tag = response.field("etag").unwrap().to_owned();
        assert!(tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"'), "{tag}");
        assert_eq!(server.get(target).field("etag"), Some(tag.as_str()), "it stays");
        tags.push(tag);
    }
    assert_ne!(tags[0], tags[1]);
}

/// RFC 9110 §8.8.2.1: never later than the `Date` of the response.
#[test]
fn file_5_last_modified_is_not_in_the_future() {
    let setup = Setup::new().file("tomorrow.html", "x");
    let file = File::options().write(true).open(setup.root().join("tomorrow.html")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(86_400)).unwrap();
    // What somebody may still write to has no validators.
    drop(file);
    let server = setup.start();
    let response = server.get("/tomorrow.html");
    let date = |name: &str| httpdate::parse_http_date(response.field(name).unwrap()).unwrap();
    assert!(date("last-modified") <= date("date") + Duration::from_secs(1), "{response:?}");
}

/// The table of RFC 9110 §13.2.2, each row with the status that it must give; `TAG` is the file's own.
fn preconditions() -> Vec<(String, u16)> {
    let rows = [
        ("If-None-Match: TAG\r\n", 304),
        ("If-None-Match: W/TAG\r\n", 304),
        ("If-None-Match: *\r\n", 304),
        ("If-None-Match: \"x\"\r\n", 200),
        ("If-None-Match: \"x\", \"y,z\" ,TAG\r\n", 304),
        ("If-None-Match: \"x\"\r\nIf-None-Match: TAG\r\n", 304),
        ("If-None-Match: \"x\"\r\nIf-Modified-Since: NEWER\r\n", 200),
        ("If-None-Match: TAG\r\nIf-Modified-Since: OLDER\r\n", 304),
        ("If-Modified-Since: SAME\r\n", 304),
        ("If-Modified-Since: NEWER\r\n", 304),
        ("If-Modified-Since: OLDER\r\n", 200),
        ("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n", 304),
        ("If-Modified-Since: Sun Nov  6 08:49:37 1994\r\n", 304),
        ("If-Modified-Since: Sun Nov  6 08:49:36 1994\r\n", 200),
        ("If-Modified-Since: yesterday\r\n", 200),
        ("If-Modified-Since: \r\n", 200),
        ("If-Modified-Since: Sun, 06 Nov 99999 08:49:37 GMT\r\n", 200),
        ("If-Match: TAG\r\n", 200),
        ("If-Match: *\r\n", 200),
        ("If-Match: \"x\", TAG\r\n", 200),
        ("If-Match: \"x\"\r\n", 412),
        ("If-Match: W/TAG\r\n", 412),
        ("If-Match: \"x\"\r\nIf-None-Match: TAG\r\n", 412),
        ("If-Match: TAG\r\nIf-None-Match: TAG\r\n", 304),
        ("If-Match: TAG\r\nIf-Unmodified-Since: OLDER\r\n", 200),
        ("If-Match: \"x\"\r\nIf-Unmodified-Since: NEWER\r\n", 412),
        ("If-Unmodified-Since: OLDER\r\n", 412),
        ("If-Unmodified-Since: SAME\r\n", 200),
        ("If-Unmodified-Since: NEWER\r\n", 200),
        ("If-Unmodified-Since: yesterday\r\n", 200),
        ("If-Unmodified-Since: OLDER\r\nIf-None-Match: TAG\r\n", 412),
        // Ranges come last, and an unsatisfiable one does not overtake the preconditions.
        ("Range: bytes=0-9\r\nIf-None-Match: TAG\r\n", 304),
        ("Range: bytes=0-9\r\nIf-Match: \"x\"\r\n", 412),
        ("Range: bytes=0-9\r\nIf-Modified-Since: SAME\r\n", 304),
        ("Range: bytes=9999999-\r\nIf-None-Match: TAG\r\n", 304),
        ("Range: bytes=9999999-\r\nIf-Match: \"x\"\r\n", 412),
        ("Range: bytes=0-9\r\nIf-Match: TAG\r\n", 206),
        ("Range: bytes=0-9\r\nIf-None-Match: \"x\"\r\n", 206),
        // If-Range: the part where the file is still the same, else the whole.
        ("Range: bytes=0-9\r\nIf-Range: TAG\r\n", 206),
        ("Range: bytes=0-9\r\nIf-Range: SAME\r\n", 206),
        ("Range: bytes=0-9\r\nIf-Range: W/TAG\r\n", 200),
        ("Range: bytes=0-9\r\nIf-Range: \"x\"\r\n", 200),
        ("Range: bytes=0-9\r\nIf-Range: NEWER\r\n", 200),
        ("Range: bytes=0-9\r\nIf-Range: OLDER\r\n", 200),
        ("Range: bytes=0-9\r\nIf-Range: nonsense\r\n", 200),
        ("Range: bytes=9999999-\r\nIf-Range: \"x\"\r\n", 200),
        ("Range: bytes=9999999-\r\nIf-Range: TAG\r\n", 416),
        ("If-Range: \"x\"\r\n", 200),
    ];
    rows.map(|(fields, status)| (fields.to_owned(), status)).to_vec()
}

fn fill_in(fields: &str, tag: &str) -> String {
    fields.replace("TAG", tag).replace("SAME", SAME).replace("NEWER", NEWER).replace("OLDER", OLDER)
}

#[test]
fn row_d2_row_d3_file_5_preconditions_in_the_order_of_the_rfc() {
    let server = server();
    for (target, size) in SIZES {
        let mut client = server.connect();
        let tag = client.get(target).field("etag").unwrap().to_owned();
        for (fields, status) in preconditions() {
            let fields = fill_in(&fields, &tag);
            let response = ask(&mut client, "GET", target, &fields);
            assert_eq!(response.status, status, "{target} {fields}");
            match status {
                200 => assert!(response.body == content(size), "{target} {fields}"),
                206 => assert!(response.body == content(size)[..10], "{target} {fields}"),
                304 => assert_eq!(response.field("etag"), Some(tag.as_str()), "{target} {fields}"),
                412 => assert_eq!(response.code(), "precondition_failed", "{target} {fields}"),
                _ => assert_eq!(response.code(), "range_not_satisfiable", "{target} {fields}"),
            }
            if status != 206 && status != 416 {
                assert_eq!(response.field("content-range"), None, "{target} {fields}");
                // Range is for GET alone; all else holds for HEAD too.
                let head = ask(&mut client, "HEAD", target, &fields);
                assert_eq!((head.status, head.body.len()), (status, 0), "{target} {fields}");
            }
        }
    }
}

#[test]
fn row_d3_file_5_a_thousand_tags_are_read_or_refused() {
    let server = server();
    let tag = server.get("/small.html").field("etag").unwrap().to_owned();
    let mut client = server.connect();
    let many = "\"0123456789abcdef\",".repeat(380);
    let response = ask(&mut client, "GET", "/small.html", &format!("If-None-Match: {many}{tag}\r\n"));
    assert_eq!(response.status, 304);
    let response = ask(&mut client, "GET", "/small.html", &format!("If-Match: {many}\"x\"\r\n"));
    assert_eq!(response.status, 412);
}

#[test]
fn file_5_what_changes_gets_another_etag() {
    let server = Setup::new().file("a.html", "one").start();
    let mut client = server.connect();
    let first = client.get("/a.html").field("etag").unwrap().to_owned();
    server.folder.write("root/a.html", "two");
    let (mut status, mut tries) = (304, 0);
    while status == 304 {
        assert!(tries < 200, "still the old one");
        std::thread::sleep(Duration::from_millis(20));
        let response = ask(&mut client, "GET", "/a.html", &format!("If-None-Match: {first}\r\n"));
        (status, tries) = (response.status, tries + 1);
        if status == 200 {
            assert_eq!(response.text(), "two");
            assert_ne!(response.field("etag"), Some(first.as_str()));
        }
    }
    assert_eq!(ask(&mut client, "GET", "/a.html", &format!("If-Match: {first}\r\n")).status, 412);
}

#[test]
fn row_d2_file_5_single_ranges_are_exact() {
    let server = server();
    for (target, size) in SIZES {
        let (whole, last, mut client) = (content(size), size - 1, server.connect());
        for (range, part) in [
            ("0-0".to_owned(), 0..1),
            ("0-9".to_owned(), 0..10),
            ("1-1".to_owned(), 1..2),
            ("000-0009".to_owned(), 0..10),
            ("0-".to_owned(), 0..size),
            (format!("0-{last}"), 0..size),
            (format!("0-{size}"), 0..size),
            ("500-".to_owned(), 500..size),
            ("500-18446744073709551615".to_owned(), 500..size),
            ("500-99999999999999999999999999".to_owned(), 500..size),
            (format!("{last}-{last}"), last..size),
            (format!("{last}-"), last..size),
            ("-1".to_owned(), last..size),
            ("-700".to_owned(), size - 700..size),
            (format!("-{size}"), 0..size),
            ("-18446744073709551616".to_owned(), 0..size),
        ] {
            let response = ask(&mut client, "GET", target, &format!("Range: bytes={range}\r\n"));
            assert_eq!(response.status, 206, "{target} {range}");
            let stated = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            assert_eq!(response.field("content-range"), Some(stated.as_str()), "{target} {range}");
            assert!(response.body == whole[part], "{target} {range}: other bytes");
            assert!(response.field("etag").is_some() && response.field("last-modified").is_some());
        }
    }
}

#[test]
fn row_d2_file_5_unsatisfiable_ranges_are_416_with_the_size() {
    let server = server();
    for (target, size) in [SIZES[0], SIZES[1], ("/empty.html", 0)] {
        let mut client = server.connect();
        let mut ranges = vec![format!("{size}-"), format!("{size}-{size}"), "-0".to_owned()];
        ranges.extend(
            ["18446744073709551615-", "18446744073709551616-", "99999999999999999999999999-"]
                .map(String::from),
        );
        if size == 0 {
            ranges.extend(["0-", "0-0"].map(String::from));
        }
        for range in ranges {
            let response = ask(&mut client, "GET", target, &format!("Range: bytes={range}\r\n"));
            assert_eq!(
                (response.status, response.code().as_str()),
                (416, "range_not_satisfiable"),
                "{range}"
            );
            assert_eq!(response.field("content-range"), Some(format!("bytes */{size}").as_str()), "{range}");
        }
    }
}

#[test]
fn row_d2_file_5_what_is_no_range_gets_the_whole_file() {
    let server = server();
    for (target, size) in SIZES {
        let (whole, mut client) = (content(size), server.connect());
        for range in [
            "bytes=5-2",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=0x0-0x9",
            "bytes=1",
            "bytes=--1",
            "bytes=1-2-3",
            "bytes 0-9",
            "items=0-9",
            "=0-9",
            "0-9",
            "bytes=0-9;",
            "bytes=-+5",
            "",
        ] {
            let response = ask(&mut client, "GET", target, &format!("Range: {range}\r\n"));
            assert_eq!((response.status, response.field("content-range")), (200, None), "{target} {range}");
            assert!(response.body == whole, "{target} {range}");
        }
        let head = ask(&mut client, "HEAD", target, "Range: bytes=0-9\r\n");
        assert_eq!((head.status, head.field("content-length")), (200, Some(size.to_string().as_str())));
    }
}
