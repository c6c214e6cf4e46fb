//! Several ranges in one request: what comes back is exact, and never costs more than the file (SPEC FILE-5;
//! RFC 9110 §14, CVE-2011-3192).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod multipart;
mod support;

use std::fs::{self, File};
use std::ops::Range;
use std::time::{Duration, SystemTime};

use multipart::{Part, boundary, parts};
use support::client::End;
use support::{Client, Response, SOON, Server, Setup, eventually};

const KIND: &str = "text/html; charset=utf-8";
const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// Kept in memory, sent by `sendfile` in few windows, and in many.
const FILES: [(&str, usize); 3] =
    [("/small.html", 30_000), ("/medium.html", 2 << 20), ("/large.html", 40 << 20)];

/// Bytes whose period is a prime, so that a shifted block shows.
fn content(size: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let period: Vec<u8> = (0..65_521).map(|_| next()).collect();
    let mut bytes = period.repeat(size.div_ceil(period.len()));
    bytes.truncate(size);
    bytes
}

fn server() -> Server {
    let setup = Setup::new().args(&["--max-requests", "0"]).file("empty.html", "");
    let file = |setup: Setup, (name, size): (&str, usize)| {
        let setup = setup.file(&name[1..], content(size));
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let file = File::options().write(true).open(setup.root().join(&name[1..])).unwrap();
        file.set_modified(modified).unwrap();
        setup
    };
    FILES.into_iter().fold(setup, file).start()
}

fn ask(client: &mut Client, method: &str, target: &str, fields: &str) -> Response {
    let head = format!("{method} {target} HTTP/1.1\r\n{fields}");
    client.send_request(&head, b"");
    client.response_to(&head)
}

fn ranges(client: &mut Client, target: &str, set: &str) -> Response {
    ask(client, "GET", target, &format!("Range: bytes={set}\r\n"))
}

/// Each part holds the bytes that it says it holds, none is sent twice, and together they are no more than the file.
fn check_parts(found: &[Part], whole: &[u8], what: &str) {
    for part in found {
        assert!(part.bytes == whole[part.at.clone()], "{what}: other bytes in {:?}", part.at);
    }
    let mut spans: Vec<_> = found.iter().map(|part| part.at.clone()).collect();
    spans.sort_by_key(|span| span.start);
    assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start), "{what}: {spans:?} overlap");
    assert!(spans.iter().map(Range::len).sum::<usize>() <= whole.len(), "{what}");
}

/// Asserts that exactly `expected` came back, in any order.
fn exactly(response: &Response, whole: &[u8], expected: &[Range<usize>], what: &str) {
    let found = parts(response, whole.len(), KIND);
    check_parts(&found, whole, what);
    let mut spans: Vec<_> = found.into_iter().map(|part| part.at).collect();
    spans.sort_by_key(|span| span.start);
    assert_eq!(spans, expected, "{what}");
    assert_eq!(response.status, 206, "{what}");
    assert_eq!(response.field("last-modified"), Some(MODIFIED), "{what}");
    assert!(response.field("etag").is_some(), "{what}");
}

#[test]
fn file_5_several_ranges_are_exact() {
    let server = server();
    for (target, size) in FILES {
        let (whole, mut client) = (content(size), server.connect());
        let (half, last) = (size / 2, size - 1);
        for (set, expected) in [
            (format!("0-9,{half}-{}", half + 9), vec![0..10, half..half + 10]),
            (format!("0-0,{last}-{last}"), vec![0..1, last..size]),
            (format!("0-0,{last}-"), vec![0..1, last..size]),
            ("0-0,-1".to_owned(), vec![0..1, last..size]),
            // Not in their order, and with what a list may hold besides (RFC 9110 §5.6.1).
            ("-100,0-99".to_owned(), vec![0..100, size - 100..size]),
            (format!(" , {half}-{half} ,, 0-9 ,"), vec![0..10, half..half + 1]),
            (format!("0-99,{half}-{},-50", half + 999), vec![0..100, half..half + 1000, size - 50..size]),
            (format!("5-{},{}-", half - 2000, half + 2000), vec![5..half - 1999, half + 2000..size]),
        ] {
            let response = ranges(&mut client, target, &set);
            assert!(boundary(&response).len() > 8, "{target} {set}: several parts");
            exactly(&response, &whole, &expected, &format!("{target} {set}"));
        }
        assert!(client.get(target).body == whole, "{target}: the next answer is where it belongs");
    }
}

#[test]
fn row_d1_file_5_sixteen_ranges_are_parts_and_seventeen_the_whole() {
    let server = server();
    let set = |count: usize| {
        (0..count).map(|at| format!("{0}-{1}", at * 1500, at * 1500 + 4)).collect::<Vec<_>>().join(",")
    };
    for (target, size) in FILES {
        let (whole, mut client) = (content(size), server.connect());
        let response = ranges(&mut client, target, &set(16));
        let expected: Vec<_> = (0..16).map(|at| at * 1500..at * 1500 + 5).collect();
        exactly(&response, &whole, &expected, target);
        let response = ranges(&mut client, target, &set(17));
        assert_eq!((response.status, response.field("content-range")), (200, None), "{target}");
        assert!(response.body == whole, "{target}");
    }
}

/// What overlaps or lies side by side is sent once, whether as one part or as the whole.
#[test]
fn row_d1_file_5_overlapping_ranges_are_merged() {
    let server = server();
    for (target, size) in FILES {
        let (whole, mut client) = (content(size), server.connect());
        for (set, wanted) in [
            ("0-9,5-14".to_owned(), 0..15),
            ("5-14,0-9".to_owned(), 0..15),
            ("0-99,10-19".to_owned(), 0..100),
            ("0-9,0-9,0-9".to_owned(), 0..10),
            ("0-9,10-19".to_owned(), 0..20),
            (format!("-100,{}-", size - 50), size - 100..size),
            ("0-,0-".to_owned(), 0..size),
            ("0-,-1".to_owned(), 0..size),
            (format!("0-{},{}-", size / 2, size / 2), 0..size),
            (format!("-{size},0-0"), 0..size),
        ] {
            let response = ranges(&mut client, target, &set);
            let found = parts(&response, size, KIND);
            let what = format!("{target} {set}");
            check_parts(&found, &whole, &what);
            let mut covered = wanted.start;
            let mut spans: Vec<_> = found.iter().map(|part| part.at.clone()).collect();
            spans.sort_by_key(|span| span.start);
            for span in spans {
                covered = if span.start <= covered { covered.max(span.end) } else { covered };
            }
            assert!(covered >= wanted.end, "{what}: {covered} of {wanted:?}");
            assert!(response.body.len() <= size, "{what}: {} bytes", response.body.len());
        }
    }
}

#[test]
fn file_5_what_is_not_there_is_left_out() {
    let server = server();
    for (target, size) in FILES {
        let (whole, mut client) = (content(size), server.connect());
        for set in [
            "0-9,999999999-".to_owned(),
            "999999999-9999999999,0-9".to_owned(),
            format!("{size}-,0-9,-0"),
            format!("0-9,{size}-{}", size + 9),
            "0-9,99999999999999999999999-".to_owned(),
        ] {
            let response = ranges(&mut client, target, &set);
            let stated = format!("bytes 0-9/{size}");
            assert_eq!(response.field("content-range"), Some(stated.as_str()), "{target} {set}");
            exactly(&response, &whole, std::slice::from_ref(&(0..10)), &format!("{target} {set}"));
        }
        for set in ["999999999-,9999999999-", "-0,-0", &format!("{size}-,{size}-{size}")] {
            let response = ranges(&mut client, target, set);
            let answer = (response.status, response.code());
            assert_eq!(answer, (416, "range_not_satisfiable".to_owned()), "{target} {set}");
            assert_eq!(response.field("content-range"), Some(format!("bytes */{size}").as_str()), "{set}");
        }
    }
    let response = ranges(&mut server.connect(), "/empty.html", "0-0,1-1");
    assert_eq!((response.status, response.field("content-range")), (416, Some("bytes */0")));
}

/// One member that is no range makes the whole field none (RFC 9110 §14.2).
#[test]
fn file_5_a_list_with_a_malformed_member_gets_the_whole_file() {
    let server = server();
    for (target, size) in &FILES[..2] {
        let (whole, mut client) = (content(*size), server.connect());
        for set in
            ["0-9,a-b", "0-9,5-2", "0-9,-", "0-9,5", "0-9;20-29", "0-9,+20-29", "0-9 20-29", ",", "0-9,--5"]
        {
            let response = ranges(&mut client, target, set);
            assert_eq!((response.status, response.field("content-range")), (200, None), "{target} {set}");
            assert!(response.body == whole, "{target} {set}");
        }
    }
}

#[test]
fn file_5_several_ranges_after_the_preconditions() {
    let server = server();
    for (target, size) in &FILES[..2] {
        let (whole, mut client) = (content(*size), server.connect());
        let tag = client.get(target).field("etag").unwrap().to_owned();
        let expected = [0..10, 10_000..10_010];
        for (condition, status) in [
            (format!("If-Range: {tag}"), 206),
            (format!("If-Range: {MODIFIED}"), 206),
            ("If-Range: \"x\"".to_owned(), 200),
            (format!("If-Range: W/{tag}"), 200),
            ("If-Range: Sun, 06 Nov 1994 08:49:36 GMT".to_owned(), 200),
            (format!("If-None-Match: {tag}"), 304),
            (format!("If-Match: {tag}"), 206),
            ("If-Match: \"x\"".to_owned(), 412),
        ] {
            let fields = format!("Range: bytes=0-9,10000-10009\r\n{condition}\r\n");
            let response = ask(&mut client, "GET", target, &fields);
            assert_eq!(response.status, status, "{target} {condition}");
            if status == 206 {
                assert_eq!(response.field("etag"), Some(tag.as_str()));
                exactly(&response, &whole, &expected, &condition);
            } else if status == 200 {
                assert!(response.body == whole, "{target} {condition}");
            }
        }
        // Range is for GET alone (RFC 9110 §14.2).
        let head = ask(&mut client, "HEAD", target, "Range: bytes=0-9,10000-10009\r\n");
        assert_eq!((head.status, head.field("content-length")), (200, Some(size.to_string().as_str())));
        assert_eq!(head.field("content-type"), Some(KIND));
    }
}

/// The boundary is told to everybody: a file that holds it must not be taken apart at it.
#[test]
fn file_5_the_boundary_does_not_stand_in_the_file() {
    let server = server();
    let first = boundary(&ranges(&mut server.connect(), "/small.html", "0-9,20000-20009"));
    let end = format!("\r\n--{first}--\r\n");
    let hostile = end.repeat(40_000 / end.len());
    server.folder.write("root/hostile.html", &hostile);
    let mut client = server.connect();
    let response = ranges(&mut client, "/hostile.html", "0-9999,20000-29999");
    exactly_at(&response, hostile.as_bytes(), &[0..10_000, 20_000..30_000]);
    let second = boundary(&response);
    assert!(!hostile.contains(&format!("--{second}")), "{second} stands in the file");
}

fn exactly_at(response: &Response, whole: &[u8], expected: &[Range<usize>]) {
    let found = parts(response, whole.len(), KIND);
    check_parts(&found, whole, "hostile");
    assert_eq!(found.into_iter().map(|part| part.at).collect::<Vec<_>>(), expected);
}

/// A thousand members, all of them the whole file or nearly: the answer is no longer than the file.
#[test]
fn row_d1_file_5_a_bomb_of_ranges_costs_no_more_than_the_whole() {
    let server = server();
    let bombs = [
        vec!["0-"; 1000].join(","),
        (0..1000).map(|at| format!("{at}-")).collect::<Vec<_>>().join(","),
        (0..1000).map(|at| format!("-{}", at + 1)).collect::<Vec<_>>().join(","),
        (0..900).map(|at| format!("{0}-{0}", at * 2)).collect::<Vec<_>>().join(","),
        vec!["0-"; 16].join(","),
    ];
    for (target, size) in FILES {
        let (whole, mut client) = (content(size), server.connect());
        for set in &bombs {
            let response = ranges(&mut client, target, set);
            assert!(response.body.len() <= size, "{target}: {} bytes of {size}", response.body.len());
            check_parts(&parts(&response, size, KIND), &whole, target);
        }
        assert!(client.get(target).body == whole, "{target}: the next answer is where it belongs");
    }
}

/// Parts of a large file go out as the whole does: from the file, not from memory.
#[test]
fn file_5_parts_of_large_files_take_no_memory() {
    let server = server();
    let before = server.memory_kib();
    let mut waiting: Vec<Client> = (0..12).map(|_| server.connect()).collect();
    let fields = "Range: bytes=100-19999999,20100000-41000000\r\n";
    for client in &mut waiting {
        client.send_request(&format!("GET /large.html HTTP/1.1\r\n{fields}"), b"");
        // The head alone: the parts wait.
        assert_eq!(client.try_response(true).unwrap().status, 206);
    }
    std::thread::sleep(Duration::from_millis(300));
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 24 * 1024, "{grown} KiB for twelve downloads of 40 MB");
    assert_eq!(server.get("/small.html").status, 200);
}

/// SPEC H1-8: what is gone cannot be sent, and nothing is sent instead.
#[test]
fn row_c6_file_5_h1_8_parts_of_a_file_cut_short_end_the_connection() {
    let server = Setup::new().file("page.html", "page").file("t.html", vec![b'A'; 30_000_000]).start();
    let client = server.connect();
    socket2::SockRef::from(&client.stream).set_recv_buffer_size(64 * 1024).unwrap();
    let mut client = client;
    client.send_request("GET /t.html HTTP/1.1\r\nRange: bytes=0-9,10000000-29999999\r\n", b"");
    let head = client.try_response(true).unwrap();
    let length: usize = head.field("content-length").unwrap().parse().unwrap();
    assert_eq!(head.status, 206);
    assert!(length > 20_000_010);
    File::options().write(true).open(server.root().join("t.html")).unwrap().set_len(1000).unwrap();
    client.send_request("GET /page.html HTTP/1.1\r\n", b"");
    let (bytes, end) = client.rest(SOON);
    assert_ne!(end, End::Open);
    assert!(bytes.len() < length, "{} bytes, all that was promised", bytes.len());
    assert!(!bytes.windows(8).any(|window| window == b"HTTP/1.1"), "no answer stands where the parts should");
    assert_eq!(server.get("/page.html").text(), "page");
}

/// SPEC FILE-7 in parts: the tag tells one version from the next.
#[test]
fn file_5_file_7_parts_are_of_one_version() {
    let server = Setup::new().file("page.html", vec![b'A'; 30_000]).start();
    let tag = server.get("/page.html").field("etag").unwrap().to_owned();
    let path = server.folder.write("fresh", vec![b'B'; 30_000]);
    fs::rename(path, server.root().join("page.html")).unwrap();
    let fields = format!("Range: bytes=0-9,20000-20009\r\nIf-Range: {tag}\r\n");
    eventually("the new version, whole", || {
        let response = ask(&mut server.connect(), "GET", "/page.html", &fields);
        if response.status == 206 {
            let old = parts(&response, 30_000, KIND);
            assert!(old.iter().all(|part| part.bytes == [b'A'; 10]), "a part of another version");
        }
        response.status == 200 && response.body == [b'B'; 30_000]
    });
}
