//! Bytes on their way out: exact at any size, by `sendfile`, in little memory, and cut rather than made up
//! (SPEC FILE-3, H1-8).

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may fail loudly")]

mod support;

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use support::client::End;
use support::{Client, Response, SOON, Server, Setup, eventually};

/// Bytes that repeat nowhere near a power of two, so that a shifted or repeated block shows.
fn content(size: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}

/// Asks for `target` and reads the head alone: its length.
fn begin(client: &mut Client, target: &str) -> usize {
    client.send_request(&format!("GET {target} HTTP/1.1\r\n"), b"");
    let head: Response = client.try_response(true).unwrap();
    assert_eq!(head.status, 200, "{target}");
    head.field("content-length").unwrap().parse().unwrap()
}

/// GETs `target` in pieces and compares each with `expected`.
fn compare(client: &mut Client, target: &str, expected: &[u8]) {
    assert_eq!(begin(client, target), expected.len(), "{target}");
    for (index, piece) in expected.chunks(64 * 1024).enumerate() {
        assert!(client.take(piece.len()) == piece, "{target}: other bytes in piece {index}");
    }
}

#[test]
fn file_3_every_size_is_exact() {
    const KIB: usize = 1024;
    let sizes = [
        0,
        1,
        2,
        511,
        4095,
        4096,
        4097,
        8191,
        8192,
        8193,
        16 * KIB - 1,
        16 * KIB,
        32 * KIB + 1,
        64 * KIB - 1,
        64 * KIB,
        64 * KIB + 1,
        128 * KIB,
        256 * KIB - 1,
        KIB * KIB - 1,
        KIB * KIB,
        KIB * KIB + 1,
        2 * KIB * KIB + 7,
    ];
    let whole = content(3 * KIB * KIB);
    let file = |setup: Setup, size: usize| setup.file(&format!("{size}.html"), &whole[..size]);
    let server = sizes.into_iter().fold(Setup::new().args(&["--max-requests", "0"]), file).start();
    let mut client = server.connect();
    // The second time from what is remembered.
    for _ in 0..2 {
        for size in sizes {
            compare(&mut client, &format!("/{size}.html"), &whole[..size]);
        }
    }
}

/// Pipelined: where one body is a byte too long or too short, the next head is not found.
#[test]
fn file_3_pipelined_files_follow_each_other_exactly() {
    let (small, large) = (content(65_536), content(65_537));
    let server = Setup::new().file("small.html", &small).file("large.html", &large).start();
    let mut client = server.connect();
    for _ in 0..10 {
        client.send_request("GET /small.html HTTP/1.1\r\n", b"");
        client.send_request("GET /large.html HTTP/1.1\r\n", b"");
    }
    for _ in 0..10 {
        assert!(client.response().body == small);
        assert!(client.response().body == large);
    }
}

#[test]
fn file_3_forty_clients_at_once_get_every_byte() {
    let big = content(5_000_000);
    let server = Setup::new().file("big.html", &big).start();
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| compare(&mut server.connect(), "/big.html", &big));
        }
    });
    assert_eq!(server.get("/big.html").body.len(), big.len());
}

/// Sums what the traced calls returned, in `strace -f` output.
fn sent_by_sendfile(trace: &Path) -> usize {
    let text = fs::read_to_string(trace).unwrap_or_default();
    let of_sendfile = text.lines().filter(|line| line.contains("sendfile"));
    of_sendfile
        .filter_map(|line| line.rsplit_once("= ")?.1.split_whitespace().next()?.parse::<usize>().ok())
        .sum()
}

#[test]
fn file_3_a_large_file_is_exact_and_goes_by_sendfile_but_for_its_end() {
    let big = content(70_000_000);
    let mut setup = Setup::new().file("big.html", &big);
    let traced = std::process::Command::new("strace").arg("-V").output().is_ok();
    if traced {
        setup =
            setup.wrapper(&["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=sendfile", "-o", "trace"]);
    } else {
        assert!(std::env::var_os("CI").is_none(), "strace is missing");
        println!("skipped: file_3_a_large_file by sendfile needs strace");
    }
    let server = setup.start();
    compare(&mut server.connect(), "/big.html", &big);
    if traced {
        let trace = server.folder.0.join("trace");
        // What a receiver may hold unread is copied.
        let queues = fs::read_to_string("/proc/sys/net/ipv4/tcp_rmem").unwrap();
        let queue: usize = queues.split_whitespace().last().unwrap().parse().unwrap();
        let referred = big.len() - (queue + (1 << 20) + (64 << 10)).max(8 << 20);
        eventually("all but the end went by sendfile", || sent_by_sendfile(&trace) == referred);
    }
}

/// Reads and drops `count` bytes.
fn skip(client: &mut Client, mut count: usize) {
    let mut scratch = vec![0; 256 * 1024];
    while count > 0 {
        let most = scratch.len().min(count);
        let read = client.stream.read(&mut scratch[..most]).unwrap();
        assert!(read > 0, "the connection ended");
        count -= read;
    }
}

#[test]
fn file_3_memory_does_not_grow_with_the_file() {
    const SIZE: usize = 400 << 20;
    let setup = Setup::new().file("page.html", "page");
    File::create(setup.root().join("huge.html")).unwrap().set_len(SIZE as u64).unwrap();
    let server = setup.start();
    assert_eq!(server.get("/page.html").text(), "page");
    let before = server.memory_kib();
    let mut most = 0;
    std::thread::scope(|scope| {
        let reader = || {
            let mut client = server.connect();
            assert_eq!(begin(&mut client, "/huge.html"), SIZE);
            skip(&mut client, SIZE / 2);
            client
        };
        let readers: Vec<_> = (0..4).map(|_| scope.spawn(reader)).collect();
        let stalled: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        for _ in 0..10 {
            most = most.max(server.memory_kib());
            std::thread::sleep(Duration::from_millis(50));
        }
        // Four clients that take nothing keep nobody from being served.
        assert_eq!(server.get("/page.html").text(), "page");
        drop(stalled);
    });
    assert!(most < before + 32 * 1024, "{before} KiB before, {most} KiB with four downloads");
}

/// A download of `size` bytes that has begun and is not read for now; the first piece has been compared.
fn begun(server: &Server, target: &str, expected: &[u8]) -> Client {
    let client = server.connect();
    socket2::SockRef::from(&client.stream).set_recv_buffer_size(64 * 1024).unwrap();
    let mut client = client;
    assert_eq!(begin(&mut client, target), expected.len());
    assert!(client.take(50_000) == expected[..50_000]);
    client
}

/// What follows the first piece must be a part of `expected` and nothing else, and then the end.
fn ends_short(client: &mut Client, expected: &[u8], length: usize) {
    // A second request waits behind the first: its answer must not be taken for the rest of the file.
    client.send_request("GET /page.html HTTP/1.1\r\n", b"");
    let begun = Instant::now();
    let (bytes, end) = client.rest(SOON);
    assert_ne!(end, End::Open, "the connection is left open {:?} later", begun.elapsed());
    let rest = &expected[50_000..];
    assert!(bytes.len() < rest.len(), "{} bytes, all that was promised", bytes.len());
    // The kernel zeroes pages past the new end even while they wait in a socket; nothing else may differ.
    let differs = |at: usize| bytes[at] != rest[at] && (50_000 + at < length || bytes[at] != 0);
    let other = (0..bytes.len()).find(|at| differs(*at));
    assert_eq!(other, None, "something other than the file followed");
}

const SIZE: usize = 30_000_000;

#[test]
fn row_c6_h1_8_a_file_cut_short_ends_the_connection() {
    // Never a zero in it: padding would show.
    let expected = vec![b'A'; SIZE];
    let server = Setup::new().file("page.html", "page").file("t.html", &expected).start();
    let path = server.root().join("t.html");
    for length in [1_000_000, 60_000, 0] {
        fs::write(&path, &expected).unwrap();
        eventually("the whole file is served", || {
            server.request("HEAD /t.html HTTP/1.1\r\n", b"").field("content-length")
                == Some(&SIZE.to_string())
        });
        let mut client = begun(&server, "/t.html", &expected);
        File::options().write(true).open(&path).unwrap().set_len(length as u64).unwrap();
        ends_short(&mut client, &expected, length);
    }
    assert_eq!(server.get("/page.html").text(), "page", "nobody else noticed");
}

/// The new length is served at once to whoever asks next, while the cut download still hangs on.
#[test]
fn row_c6_h1_8_after_a_truncation_the_new_file_is_served() {
    let expected = vec![b'A'; SIZE];
    let server = Setup::new().file("page.html", "page").file("t.html", &expected).start();
    let mut client = begun(&server, "/t.html", &expected);
    File::options().write(true).open(server.root().join("t.html")).unwrap().set_len(100_000).unwrap();
    eventually("the short file is served", || server.get("/t.html").body == expected[..100_000]);
    ends_short(&mut client, &expected, 100_000);
}

/// A file that grows keeps its promise to those who asked before, or cuts; it never sends more.
#[test]
fn row_c6_h1_8_a_file_that_grows_never_sends_more_than_promised() {
    let expected = vec![b'A'; SIZE];
    let server = Setup::new().file("page.html", "page").file("t.html", &expected).start();
    let mut client = begun(&server, "/t.html", &expected);
    let mut file = File::options().append(true).open(server.root().join("t.html")).unwrap();
    std::io::Write::write_all(&mut file, &[b'B'; 1_000_000]).unwrap();
    client.finish();
    let (bytes, end) = client.rest(SOON);
    assert_ne!(end, End::Open);
    assert!(bytes.len() <= SIZE - 50_000 && bytes.iter().all(|byte| *byte == b'A'), "{} bytes", bytes.len());
}

/// Replacing a file by `rename` leaves the old one whole for those who read it; so does deleting it.
#[test]
fn row_c6_file_7_a_download_outlives_the_replacement_of_its_file() {
    let expected = content(SIZE);
    let server = Setup::new().file("page.html", "page").file("t.html", &expected).start();
    let path = server.root().join("t.html");
    let fresh = server.folder.write("t.new", vec![b'B'; SIZE]);
    let mut first = begun(&server, "/t.html", &expected);
    fs::rename(fresh, &path).unwrap();
    assert!(first.take(SIZE - 50_000) == expected[50_000..], "the old version to its end");
    assert_eq!(first.get("/page.html").text(), "page");
    let new = vec![b'B'; SIZE];
    eventually("the new version", || server.get("/t.html").body == new);
    let mut second = begun(&server, "/t.html", &new);
    fs::remove_file(&path).unwrap();
    assert!(second.take(SIZE - 50_000) == new[50_000..], "the deleted version to its end");
    eventually("it is gone", || server.get("/t.html").status == 404);
}
