//! Files beyond memory and beyond 32 bits, and very many small ones: every byte is right, and the server's memory is
//! bounded by neither (SPEC FILE-3, FILE-5).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]
#![allow(clippy::cast_possible_truncation, reason = "sizes are constants")]

mod support;

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use support::{Client, Response, Server, Setup};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What two workers may remember of files (32 MiB each), and what all else may take.
const BOUND_KIB: u64 = 112 * 1024;

const MARK: &[u8] = b"<here>";

/// A file of holes with a mark at each of `marks`.
fn sparse(path: &Path, size: u64, marks: &[u64]) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for mark in marks {
        file.write_all_at(MARK, *mark).unwrap();
    }
}

/// The bytes of such a file from `at` on.
fn expected(at: u64, length: usize, marks: &[u64]) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for mark in marks {
        for (offset, byte) in (*mark..).zip(MARK) {
            let place = offset.checked_sub(at).and_then(|offset| usize::try_from(offset).ok());
            if let Some(place) = place.and_then(|place| bytes.get_mut(place)) {
                *place = *byte;
            }
        }
    }
    bytes
}

fn ask(client: &mut Client, head: &str) -> Response {
    client.send_request(head, b"");
    client.response_to(head)
}

/// Kilobytes of memory that the server holds, those of its files in memory too: they are no part of its address space.
fn memory_kib(server: &Server) -> u64 {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
    let in_memory =
        |path: &PathBuf| fs::read_link(path).is_ok_and(|link| link.to_string_lossy().starts_with("/memfd:"));
    let paths = descriptors.map(|entry| entry.unwrap().path()).filter(in_memory);
    // One file may have several descriptors.
    let sizes: HashMap<u64, u64> = paths
        .filter_map(|path| fs::metadata(path).ok())
        .map(|memory| (memory.ino(), memory.blocks() / 2))
        .collect();
    server.memory_kib() + sizes.values().sum::<u64>()
}

/// Near ends of windows of 64 KiB and 1 MiB, and across the 32nd bit.
const MARKS: [u64; 9] =
    [0, 65_533, MIB - 3, MIB + 7, 17 * MIB - 1, GIB - 6, 2 * GIB - 3, 4 * GIB - 3, 4 * GIB + 99_990];

#[test]
fn file_3_file_5_every_byte_beyond_four_gibibytes_can_be_had() {
    const SIZE: u64 = 4 * GIB + 100_000;
    let server = Setup::new().start();
    sparse(&server.root().join("huge.bin"), SIZE, &MARKS);
    let mut client = server.connect();
    let head = ask(&mut client, "HEAD /huge.bin HTTP/1.1\r\n");
    assert_eq!(head.field("content-length"), Some(SIZE.to_string().as_str()));
    for mark in MARKS {
        let first = mark.saturating_sub(20);
        let last = (mark + 30).min(SIZE - 1);
        let part = ask(&mut client, &format!("GET /huge.bin HTTP/1.1\r\nRange: bytes={first}-{last}\r\n"));
        let stated = format!("bytes {first}-{last}/{SIZE}");
        assert_eq!((part.status, part.field("content-range")), (206, Some(stated.as_str())));
        let length = usize::try_from(last - first + 1).unwrap();
        assert!(part.body == expected(first, length, &MARKS), "other bytes at {mark}");
    }
    let part = ask(&mut client, "GET /huge.bin HTTP/1.1\r\nRange: bytes=-100000\r\n");
    assert!(part.body == expected(4 * GIB, 100_000, &MARKS), "other bytes at the end");
    let over = ask(&mut client, &format!("GET /huge.bin HTTP/1.1\r\nRange: bytes={SIZE}-\r\n"));
    assert_eq!(over.status, 416);
}

/// Begins a download of `target` and compares it in pieces, to its end.
fn compare(server: &Server, target: &str, size: u64, marks: &[u64]) {
    let mut client = server.connect();
    client.send_request(&format!("GET {target} HTTP/1.1\r\n"), b"");
    let head = client.try_response(true).unwrap();
    assert_eq!((head.status, head.field("content-length")), (200, Some(size.to_string().as_str())));
    let piece = 256 * 1024;
    let zeros = vec![0; piece];
    for at in (0..size).step_by(piece) {
        let length = usize::try_from((size - at).min(piece as u64)).unwrap();
        let is_marked = marks.iter().any(|mark| mark + 6 > at && *mark < at + length as u64);
        let bytes = client.take(length);
        let same = if is_marked { bytes == expected(at, length, marks) } else { bytes == zeros[..length] };
        assert!(same, "{target}: other bytes within {length} from {at}");
    }
    assert_eq!(client.get("/page.html").text(), "page", "the next answer is where it belongs");
}

#[test]
fn file_3_a_gibibyte_is_exact_and_takes_no_memory() {
    let server = Setup::new().file("page.html", "page").start();
    let marks = &MARKS[..6];
    sparse(&server.root().join("large.bin"), GIB, marks);
    assert_eq!(server.get("/page.html").text(), "page");
    let before = memory_kib(&server);
    compare(&server, "/large.bin", GIB, marks);
    let grown = memory_kib(&server).saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB for one gibibyte");
}

#[test]
fn file_3_three_thousand_files_take_bounded_memory() {
    const SIZE: usize = 60 * 1024;
    let content = |number: usize| format!("{number:07}\n").into_bytes().repeat(SIZE / 8);
    let file = |setup: Setup, number: usize| setup.file(&format!("dir/{number}.html"), content(number));
    let setup = Setup::new().args(&["--max-requests", "0", "--workers", "2"]).file("page.html", "page");
    let server = (0..3000).fold(setup, file).start();
    let mut client = server.connect();
    assert_eq!(client.get("/page.html").text(), "page");
    let before = memory_kib(&server);
    // More than one connection, so that each worker remembers what it can.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = server.connect();
                for number in 0..3000 {
                    let response = client.get(&format!("/dir/{number}.html"));
                    assert!(response.body == content(number), "{number}: other bytes");
                }
            });
        }
    });
    let grown = memory_kib(&server).saturating_sub(before);
    assert!(grown < BOUND_KIB, "{grown} KiB for 176 MiB of files");
    assert_eq!(client.get("/page.html").text(), "page");
}

/// Nearly a mebibyte: a file that fits into memory, unlike three hundred of them.
const MIDDLE: u64 = 900 * 1024;

/// A server of three hundred such files, each with its mark at another place.
fn server_of_three_hundred() -> Server {
    let setup = Setup::new().args(&["--max-requests", "0", "--workers", "2"]).file("page.html", "page");
    for number in 0..300 {
        sparse(&setup.root().join(format!("{number}.bin")), MIDDLE, &[number * 3000]);
    }
    let server = setup.start();
    assert_eq!(server.get("/page.html").text(), "page");
    server
}

#[test]
fn file_3_three_hundred_files_of_nearly_a_mebibyte_take_bounded_memory() {
    let server = server_of_three_hundred();
    let before = memory_kib(&server);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = server.connect();
                for number in 0..300 {
                    let response = client.get(&format!("/{number}.bin"));
                    let right = response.body == expected(0, MIDDLE as usize, &[number * 3000]);
                    assert!(right, "{number}: other bytes");
                }
            });
        }
    });
    let grown = memory_kib(&server).saturating_sub(before);
    assert!(grown < BOUND_KIB, "{grown} KiB for 264 MiB of files");
}

/// Clients that take nothing for now keep no file in memory, and get the right bytes later.
#[test]
fn file_3_downloads_that_wait_hold_no_file_in_memory() {
    let server = server_of_three_hundred();
    let before = memory_kib(&server);
    let begin = |number: u64| {
        let client = server.connect();
        // Little room on both sides, so that most of the file stays with the server.
        socket2::SockRef::from(&client.stream).set_recv_buffer_size(64 * 1024).unwrap();
        let mut client = client;
        client.send_request(&format!("GET /{number}.bin HTTP/1.1\r\n"), b"");
        assert_eq!(client.try_response(true).unwrap().status, 200);
        client
    };
    let clients: Vec<_> = (0..300).map(begin).collect();
    let grown = memory_kib(&server).saturating_sub(before);
    assert!(grown < BOUND_KIB, "{grown} KiB for 264 MiB of files on their way");
    for (number, mut client) in (0..).zip(clients).step_by(30) {
        assert!(client.take(MIDDLE as usize) == expected(0, MIDDLE as usize, &[number * 3000]), "{number}");
    }
}
