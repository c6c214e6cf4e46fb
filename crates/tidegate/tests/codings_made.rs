//! Content codings that the server makes: which files are worth it, what the answers say, how they follow an edit,
//! and that making them delays nobody (SPEC FILE-6, FILE-7, LOAD-2, LOAD-3).
//!
//! The first answers may be the file as it is, so that each test waits for a coded one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod coded;
mod support;

use std::fs::{self, File};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use coded::{Coding, ask, coding_of, content_of, get, has_tools, prose};
use support::client::End;
use support::{Client, Response, SOON, Server, Setup, eventually};

const KIB: usize = 1024;

/// Any of the codings.
const ANY: &str = "br, zstd, gzip";

/// How old an answer may be.
const STALE: Duration = Duration::from_secs(1);

/// How long a file may be served as it is before a coding of it must be there; the largest are made by a debug
/// build.
const MAKING: Duration = Duration::from_secs(60);

/// Asks until the answer is coded as asked.
fn made(client: &mut Client, target: &str, coding: Coding) -> Response {
    let begun = Instant::now();
    loop {
        let response = get(client, target, coding.token());
        assert_eq!(response.status, 200, "{target}");
        if let Some(found) = coding_of(&response) {
            assert_eq!(found, coding, "{target}");
            return response;
        }
        assert_eq!(response.field("vary"), Some("Accept-Encoding"), "{target} before it is coded");
        assert!(begun.elapsed() < MAKING, "{target} is never coded by {}", coding.token());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn many(setup: Setup) -> Setup {
    setup.args(&["--max-requests", "0"])
}

#[test]
fn file_6_types_worth_it_are_coded() {
    if !has_tools("file_6_types_worth_it_are_coded") {
        return;
    }
    let content = prose(20 * KIB, 1);
    let names = ["a.html", "a.HTM", "a.css", "a.js", "a.mjs", "a.json", "a.svg", "a.xml", "a.md"];
    let server = names.iter().fold(many(Setup::new()), |setup, name| setup.file(name, &content)).start();
    for name in names {
        let (target, mut client) = (format!("/{name}"), server.connect());
        let plain = client.get(&target);
        assert_eq!(coding_of(&plain), None, "{name} for a client that asks for no coding");
        assert!(plain.body == content, "{name}");
        for coding in Coding::ALL {
            let response = made(&mut client, &target, coding);
            assert!(coding.decode(&response.body) == content, "{name} {coding:?}: other bytes");
            assert!(response.body.len() < content.len() / 2, "{name} {coding:?}: {}", response.body.len());
            for field in ["content-type", "last-modified", "content-disposition"] {
                assert_eq!(response.field(field), plain.field(field), "{name} {coding:?}: {field}");
            }
        }
    }
}

#[test]
fn row_d5_file_6_from_one_kibibyte_to_eight_mebibytes() {
    if !has_tools("row_d5_file_6_from_one_kibibyte_to_eight_mebibytes") {
        return;
    }
    let largest = 8 * KIB * KIB;
    // Text over and over, so that a debug build is done with it in seconds.
    let large = prose(4 * KIB, 2).repeat(largest / (4 * KIB) + 1);
    let server = many(Setup::new())
        .file("smallest.html", prose(KIB, 3))
        .file("smaller.html", prose(KIB - 1, 3))
        .file("empty.html", "")
        .file("largest.html", &large[..largest])
        .file("larger.html", &large[..=largest])
        .start();
    let mut client = server.connect();
    assert!(content_of(&made(&mut client, "/smallest.html", Coding::Br)) == prose(KIB, 3));
    assert!(content_of(&made(&mut client, "/largest.html", Coding::Gzip)) == large[..largest]);
    never_coded(&server, &["/smaller.html", "/empty.html", "/larger.html"]);
    assert!(get(&mut client, "/larger.html", ANY).body == large[..=largest]);
}

/// Asked again and again for longer than a small file takes to be coded, each is served as it is.
fn never_coded(server: &Server, targets: &[&str]) {
    let mut client = server.connect();
    for _ in 0..8 {
        for target in targets {
            let response = get(&mut client, target, ANY);
            assert_eq!((response.status, coding_of(&response)), (200, None), "{target}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// They are packed by their own format, and coding them again costs time for nothing.
#[test]
fn file_6_packed_types_are_not_coded() {
    let content = prose(20 * KIB, 4);
    let names = ["a.png", "a.jpg", "a.jpeg", "a.gif", "a.webp", "a.zip", "a.gz", "a.br", "a.mp4", "a.woff2"];
    let setup = many(Setup::new()).args(&["--inline"]);
    let server = names.iter().fold(setup, |setup, name| setup.file(name, &content)).start();
    let targets = names.map(|name| format!("/{name}"));
    never_coded(&server, &targets.each_ref().map(String::as_str));
    assert!(get(&mut server.connect(), "/a.png", ANY).body == content);
}

#[test]
fn file_6_an_upload_is_read_as_it_was_sent() {
    let server = many(Setup::new()).start();
    let body = format!("[{}1]", "\"the same\", ".repeat(800));
    let stored = server.upload(body.as_bytes());
    assert_eq!(stored.status, 201);
    let target = stored.field("location").unwrap();
    never_coded(&server, &[target]);
    assert_eq!(get(&mut server.connect(), target, ANY).text(), body);
}

#[test]
fn file_6_what_is_made_has_a_tag_of_its_own_that_lasts() {
    if !has_tools("file_6_what_is_made_has_a_tag_of_its_own_that_lasts") {
        return;
    }
    let content = prose(10 * KIB, 5);
    let server = many(Setup::new()).file("page.html", &content).start();
    let mut client = server.connect();
    let plain = client.get("/page.html").field("etag").unwrap().to_owned();
    let mut tags = vec![plain.clone()];
    for coding in Coding::ALL {
        let tag = made(&mut client, "/page.html", coding).field("etag").unwrap().to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "a strong tag: {tag}");
        for (accepted, status) in [(coding.token(), 304), ("identity", 200)] {
            let fields = format!("Accept-Encoding: {accepted}\r\nIf-None-Match: {tag}\r\n");
            let response = ask(&mut client, "GET", "/page.html", &fields);
            assert_eq!(response.status, status, "{fields}");
            assert_eq!(response.field("vary"), Some("Accept-Encoding"), "{fields}");
            let of = if status == 304 { &tag } else { &plain };
            assert_eq!(response.field("etag"), Some(of.as_str()), "{fields}");
        }
        tags.push(tag);
    }
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), 4, "{tags:?}");
}

#[test]
fn file_6_heads_and_ranges_of_what_is_made() {
    if !has_tools("file_6_heads_and_ranges_of_what_is_made") {
        return;
    }
    // One that is kept in memory, one that goes out by `sendfile` as it is.
    let sizes = [("/small.html", 10 * KIB), ("/large.html", 700 * KIB)];
    let setup = many(Setup::new());
    let file = |setup: Setup, (name, size): (&str, usize)| setup.file(&name[1..], prose(size, size));
    let server = sizes.into_iter().fold(setup, file).start();
    for (target, size) in sizes {
        let (content, mut client) = (prose(size, size), server.connect());
        let coded = made(&mut client, target, Coding::Gzip);
        let head = ask(&mut client, "HEAD", target, "Accept-Encoding: gzip\r\n");
        assert_eq!((head.status, head.body.len()), (200, 0));
        for name in ["content-length", "content-encoding", "content-type", "etag", "vary", "last-modified"] {
            assert_eq!(head.field(name), coded.field(name), "{target}: {name}");
        }
        let fields = "Accept-Encoding: gzip\r\nRange: bytes=1000-1999\r\n";
        let part = ask(&mut client, "GET", target, fields);
        assert_eq!((part.status, coding_of(&part)), (206, None), "{target}");
        assert!(part.body == content[1000..2000], "{target}: a part of the file as it is");
        assert_eq!(part.field("vary"), Some("Accept-Encoding"), "{target}");
        let tag = coded.field("etag").unwrap();
        let whole = ask(&mut client, "GET", target, &format!("{fields}If-Range: {tag}\r\n"));
        assert_eq!(whole.status, 200, "{target}");
        assert!(content_of(&whole) == content, "{target}");
        assert!(client.get(target).body == content, "{target}: the next answer is where it belongs");
    }
}

/// Whatever is asked a second after an edit is answered from the new text, coded or not.
#[test]
fn file_6_file_7_an_edited_file_is_coded_anew() {
    if !has_tools("file_6_file_7_an_edited_file_is_coded_anew") {
        return;
    }
    let server = many(Setup::new()).file("page.html", prose(20 * KIB, 0)).start();
    let path = server.root().join("page.html");
    let mut client = server.connect();
    let mut before = made(&mut client, "/page.html", Coding::Br).field("etag").unwrap().to_owned();
    for version in 1..4 {
        let content = prose(20 * KIB, version);
        if version == 2 {
            let fresh = server.folder.write("fresh", &content);
            fs::rename(fresh, &path).unwrap();
        } else {
            fs::write(&path, &content).unwrap();
        }
        let edited = Instant::now();
        let mut fields = format!("Accept-Encoding: br\r\nIf-None-Match: {before}\r\n");
        let after = loop {
            let begun = Instant::now();
            let response = ask(&mut client, "GET", "/page.html", &fields);
            let is_new = response.status == 200 && content_of(&response) == content;
            assert!(is_new || begun < edited + STALE, "version {version} is not served");
            if is_new && coding_of(&response).is_some() {
                break response;
            }
            if is_new {
                fields = "Accept-Encoding: br\r\n".to_owned();
            }
            assert!(edited.elapsed() < SOON, "version {version} is never coded");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_ne!(after.field("etag"), Some(before.as_str()), "version {version}");
        before = after.field("etag").unwrap().to_owned();
    }
    fs::remove_file(&path).unwrap();
    eventually("it is gone", || get(&mut server.connect(), "/page.html", "br").status == 404);
}

/// A file that is being written while it is coded: what arrives is one version, whole.
#[test]
fn file_6_file_7_no_coding_mixes_versions() {
    if !has_tools("file_6_file_7_no_coding_mixes_versions") {
        return;
    }
    let version = |number: u32| format!("{number:07}\n").repeat(8 * KIB).into_bytes();
    let server = many(Setup::new()).file("page.html", version(0)).start();
    let path = server.root().join("page.html");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            let mut number = 0;
            while !stop.load(Relaxed) && begun.elapsed() < SOON {
                number += 1;
                // In place: the same length, the same inode.
                let file = File::options().write(true).open(&path).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&file, &version(number), 0).unwrap();
                // What somebody may still write to is not coded.
                drop(file);
                // Now and then long enough for a coding to be made.
                let pause = if number % 6 == 0 { 700 } else { number * 7 % 90 };
                std::thread::sleep(Duration::from_millis(u64::from(pause)));
            }
        });
        let begun = Instant::now();
        let mut coded = 0;
        while begun.elapsed() < Duration::from_secs(3) || (coded < 5 && begun.elapsed() < SOON) {
            let Some(response) = whole_or_cut(&server) else { continue };
            let content = content_of(&response);
            assert_eq!(content.len(), 64 * KIB);
            assert!(content.chunks(8).all(|word| *word == content[..8]), "a mix of versions");
            coded += usize::from(coding_of(&response).is_some());
        }
        stop.store(true, Relaxed);
        assert!(coded >= 5, "{coded} coded answers");
    });
}

/// One answer on a connection of its own; `None` where it was cut, which is allowed while the file changes.
fn whole_or_cut(server: &Server) -> Option<Response> {
    let mut client = server.connect();
    client.send_request("GET /page.html HTTP/1.1\r\nAccept-Encoding: gzip\r\nConnection: close\r\n", b"");
    let mut response = client.try_response(true)?;
    let length: usize = response.field("content-length").unwrap().parse().unwrap();
    let (body, end) = client.rest(SOON);
    assert!(end != End::Open && body.len() <= length, "{} of {length} bytes, {end:?}", body.len());
    response.body = body;
    (response.body.len() == length).then_some(response)
}

/// What takes long to code is served as it is meanwhile, and so is everything else.
#[test]
fn file_6_no_answer_waits_for_a_coding() {
    if !has_tools("file_6_no_answer_waits_for_a_coding") {
        return;
    }
    let content = prose(6 * KIB * KIB, 6);
    let setup = many(Setup::new()).args(&["--workers", "1", "--threads", "1"]);
    let server = setup.file("large.html", &content).file("small.html", "small").start();
    let mut client = server.connect();
    let first = get(&mut client, "/large.html", "br");
    assert_eq!((first.status, coding_of(&first)), (200, None), "the first answer is the file as it is");
    assert!(first.body == content);
    assert_eq!(client.get("/healthz").status, 200);
    assert_eq!(client.get("/small.html").text(), "small");
    assert!(content_of(&made(&mut client, "/large.html", Coding::Br)) == content);
}

/// Two hundred files at once on two threads: each is answered right, and the pool stays free for uploads.
#[test]
fn row_d5_file_6_load_3_a_storm_of_codings_saturates_nothing() {
    if !has_tools("row_d5_file_6_load_3_a_storm_of_codings_saturates_nothing") {
        return;
    }
    const FILES: usize = 200;
    let size = 64 * KIB;
    let file = |setup: Setup, number: usize| setup.file(&format!("{number}.html"), prose(size, number));
    let setup = many(Setup::new()).args(&["--threads", "2", "--queue", "20"]);
    let server = (0..FILES).fold(setup, file).start();
    let mut client = server.connect();
    for number in 0..FILES {
        // Read once, so that the pool has nothing to do but to code.
        assert_eq!(client.get(&format!("/{number}.html")).body.len(), size);
    }
    let mut clients: Vec<Client> = (0..FILES).map(|_| server.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send_request(&format!("GET /{number}.html HTTP/1.1\r\nAccept-Encoding: br\r\n"), b"");
    }
    for _ in 0..5 {
        assert_eq!(server.get("/healthz").status, 200);
        assert_eq!(server.get("/readyz").status, 200, "the pool is not saturated");
        assert_eq!(server.upload(b"[1]").status, 201, "and takes what has to be done");
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let response = client.response();
        assert_eq!(response.status, 200, "{number}");
        assert!(content_of(&response) == prose(size, number), "{number}: other bytes");
    }
    for number in [0, FILES / 2, FILES - 1] {
        let response = made(&mut client, &format!("/{number}.html"), Coding::Br);
        assert!(content_of(&response) == prose(size, number), "{number}: other bytes");
    }
    let said: Vec<_> = server.log().into_iter().filter(|line| line.contains("saturated")).collect();
    assert!(said.is_empty(), "{said:?}");
}
