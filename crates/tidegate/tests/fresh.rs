//! A file that changes is served new within a second, and never as a mix of old and new, while several
//! connections ask for it without pause (SPEC FILE-7).

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may fail loudly")]

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use support::{SOON, Server, Setup};

/// How old an answer may be.
const STALE: Duration = Duration::from_secs(1);

/// What a client saw, or what there is to see: a version, or no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Version(u32),
    Missing,
}

/// When a state was being brought about.
#[derive(Clone, Copy, Debug)]
struct Change {
    to: Seen,
    begun: Instant,
    done: Instant,
}

/// The file of one version: its number over and over.
fn content(version: u32, size: usize) -> Vec<u8> {
    format!("{version:07}\n").into_bytes().repeat(size / 8)
}

/// GETs `target`; `None` where the connection ended before the whole answer, which is allowed for a file that
/// is edited under way. A mix of versions panics.
fn ask(stream: &mut TcpStream, host: &str, target: &str) -> Option<Seen> {
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).ok()?;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 65_536]);
    loop {
        let end = bytes.windows(4).take(2000).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = head.split("Content-Length: ").nth(1).unwrap().split("\r\n").next().unwrap();
            let body = &bytes[end + 4..];
            if body.len() == length.parse::<usize>().unwrap() {
                return Some(judge(&head, body));
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
        }
    }
}

fn judge(head: &str, body: &[u8]) -> Seen {
    if head.starts_with("HTTP/1.1 404 ") {
        return Seen::Missing;
    }
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let first = &body[..8];
    let mixed = body.chunks(8).find(|number| *number != first);
    assert!(mixed.is_none(), "a mix of {first:?} and {mixed:?} in {} bytes", body.len());
    Seen::Version(std::str::from_utf8(&first[..7]).unwrap().parse().unwrap())
}

/// Asks until told to stop; each answer with when it was asked for and when it was there.
fn watch(server: &Server, target: &str, stop: &AtomicBool, found: &Mutex<Vec<(Seen, Instant, Instant)>>) {
    let host = server.host();
    let connect = || {
        let stream = TcpStream::connect(server.addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    };
    let mut stream = connect();
    while !stop.load(Relaxed) {
        let begun = Instant::now();
        match ask(&mut stream, &host, target) {
            Some(seen) => found.lock().unwrap().push((seen, begun, Instant::now())),
            None => stream = connect(),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Brings one change about: a replacement by rename, a deletion, or a new file.
fn change(path: &Path, size: usize, step: u32) -> Change {
    let begun = Instant::now();
    let to = if step % 3 == 2 {
        fs::remove_file(path).unwrap();
        Seen::Missing
    } else {
        let staged = path.with_extension("new");
        fs::write(&staged, content(step, size)).unwrap();
        fs::rename(&staged, path).unwrap();
        Seen::Version(step)
    };
    Change { to, begun, done: Instant::now() }
}

/// Each answer must be of a state that held at some time between `STALE` before it was asked for and its end.
fn check(history: &[Change], found: &[(Seen, Instant, Instant)]) {
    for (seen, begun, ended) in found {
        let fits = history.iter().enumerate().any(|(index, state)| {
            let over = history.get(index + 1).map(|next| next.done);
            state.to == *seen && state.begun <= *ended && over.is_none_or(|over| *begun <= over + STALE)
        });
        assert!(fits, "{seen:?}, asked for {:?} before the end: {history:?}", ended.duration_since(*begun));
    }
    for state in history {
        assert!(found.iter().any(|(seen, ..)| *seen == state.to), "{state:?} was never seen");
    }
}

/// Runs `changes` on a file of `size` bytes while three connections ask for it, and checks all they saw.
fn under_watch(size: usize, changes: u32, change: impl Fn(&Path, usize, u32) -> Change) {
    let server = Setup::new().args(&["--max-requests", "0"]).file("counter.html", content(0, size)).start();
    let path = server.root().join("counter.html");
    let (stop, found) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let now = Instant::now();
    let mut history = vec![Change { to: Seen::Version(0), begun: now, done: now }];
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| watch(&server, "/counter.html", &stop, &found));
        }
        for step in 1..=changes {
            std::thread::sleep(STALE + Duration::from_millis(300));
            history.push(change(&path, size, step));
            // What nobody sees while it is there is found by the check.
            let (made, to) = (Instant::now(), history[history.len() - 1].to);
            let is_seen = || found.lock().unwrap().iter().rev().any(|(seen, ..)| *seen == to);
            while !is_seen() && made.elapsed() < SOON {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        std::thread::sleep(STALE + Duration::from_millis(300));
        stop.store(true, Relaxed);
    });
    check(&history, &found.lock().unwrap());
}

#[test]
fn row_c7_file_7_a_small_file_replaced_deleted_and_made_again() {
    under_watch(40_000, 4, change);
}

#[test]
fn row_c7_file_7_a_large_file_replaced_deleted_and_made_again() {
    under_watch(400_000, 4, change);
}

/// The same inode, the same size, by one write; what tells is the time of change.
#[test]
fn row_c7_file_7_a_small_file_edited_in_place() {
    under_watch(40_000, 3, |path, size, step| {
        let bytes = content(step, size);
        let file = File::options().write(true).open(path).unwrap();
        let begun = Instant::now();
        assert_eq!(file.write_at(&bytes, 0).unwrap(), bytes.len());
        Change { to: Seen::Version(step), begun, done: Instant::now() }
    });
}

/// The modification time set back to what it was hides nothing: the change time tells.
#[test]
fn row_c7_file_7_an_edit_that_keeps_size_and_modification_time() {
    under_watch(8_000, 2, |path, size, step| {
        let modified = fs::metadata(path).unwrap().modified().unwrap();
        let file = File::options().write(true).open(path).unwrap();
        let begun = Instant::now();
        file.write_at(&content(step, size), 0).unwrap();
        file.set_modified(modified).unwrap();
        Change { to: Seen::Version(step), begun, done: Instant::now() }
    });
}
