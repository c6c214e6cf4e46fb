//! Thousands of downloads of files that change all the time: each is one version, whole or visibly cut, and none is
//! older than a second (SPEC FILE-3, FILE-7).
//!
//! `RACES_ROUNDS=20 cargo test --release -p tidegate --test fresh_versions` does twenty times as much.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod nginx;
mod process;
mod support;
mod versions;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nginx::Nginx;
use support::{Folder, SOON, Setup};
use versions::{content, is_even, number, rounds};

/// How old an answer may be, with what a busy machine takes between looking and answering.
const STALE: Duration = Duration::from_millis(1500);

/// So many versions each file goes through at least.
const VERSIONS: usize = 8;

/// They come at least so often, and all of them within so long.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(60);

/// What is written at once: as much as `cp` writes.
const PIECE: usize = 128 * 1024;

/// A writer that pauses for longer looks done to everybody who asks for the time of the last change.
const HELD_UP: Duration = Duration::from_millis(15);

/// A version that has been in the file since `begun`, and was wholly there at `done`.
#[derive(Clone, Copy, Debug)]
struct Version {
    begun: Instant,
    done: Instant,
    /// Whether its writer was held up on the way, so that for a while the file itself was a mix.
    held_up: bool,
}

/// The history of a file that is changed in all ways in turn.
struct Writer<'p> {
    path: &'p Path,
    size: usize,
    ways: &'p [Way],
    pause: Duration,
    begun: Instant,
    /// By number.
    versions: &'p Mutex<Vec<Version>>,
}

/// How a file gets its next version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Another file takes its name.
    Rename,
    /// The same inode and the same size, written piece by piece as a copy is.
    InPlace,
    /// Half of it is cut off, and comes back: the same version throughout.
    TruncateAndAppend,
    /// Emptied and written again, as most programs save a file.
    Rewrite,
}

impl Writer<'_> {
    /// Changes the file until told to stop; less often where nobody has come to the end of a version, for the machine is
    /// busy.
    fn run(&self, stop: &AtomicBool, whole: &AtomicU32) {
        let mut pause = self.pause;
        for step in 0.. {
            let before = whole.load(Relaxed);
            std::thread::sleep(pause);
            if stop.load(Relaxed) {
                return;
            }
            self.change(self.ways[step % self.ways.len()]);
            if whole.load(Relaxed) == before {
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    fn change(&self, way: Way) {
        let number = self.versions.lock().unwrap().len();
        if way == Way::TruncateAndAppend {
            let file = File::options().write(true).open(self.path).unwrap();
            // At the end of a page, for the kernel clears the rest of one even under a socket's feet.
            let half = (self.size / 2).next_multiple_of(4096).min(self.size);
            file.set_len(half as u64).unwrap();
            std::thread::sleep(self.pause);
            let bytes = content(number - 1, self.size);
            file.write_all_at(&bytes[half..], half as u64).unwrap();
            return;
        }
        let bytes = content(number, self.size);
        // Before it begins, for its bytes may be seen before it is done.
        let begun = Instant::now();
        self.versions.lock().unwrap().push(Version { begun, done: begun + SOON, held_up: false });
        match way {
            Way::Rename => {
                let fresh = self.path.with_extension("new");
                fs::write(&fresh, &bytes).unwrap();
                fs::rename(&fresh, self.path).unwrap();
            }
            Way::InPlace => {
                let file = File::options().write(true).open(self.path).unwrap();
                let mut last = Instant::now();
                for (at, piece) in bytes.chunks(PIECE).enumerate() {
                    file.write_all_at(piece, (at * PIECE) as u64).unwrap();
                    if last.elapsed() > HELD_UP {
                        self.versions.lock().unwrap()[number].held_up = true;
                    }
                    last = Instant::now();
                }
            }
            Way::Rewrite => fs::write(self.path, &bytes).unwrap(),
            Way::TruncateAndAppend => unreachable!("done above"),
        }
        self.versions.lock().unwrap()[number].done = Instant::now();
    }
}

/// A download as it came.
struct Download {
    /// As the head promised.
    length: usize,
    body: Vec<u8>,
}

/// GETs `target` and reads all of it, pausing as told; `None` where the connection ended before a head.
fn download(stream: &mut TcpStream, head: &str, pause: Option<Duration>) -> Option<Download> {
    stream.write_all(head.as_bytes()).ok()?;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    let mut length = None;
    loop {
        if length.is_none()
            && let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n")
        {
            let head = String::from_utf8(bytes.drain(..end + 4).collect()).unwrap();
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            let value = head.split("Content-Length: ").nth(1).unwrap().split("\r\n").next().unwrap();
            length = Some(value.parse().unwrap());
        }
        if let Some(length) = length
            && bytes.len() >= length
        {
            assert_eq!(bytes.len(), length, "bytes behind the answer");
            return Some(Download { length, body: bytes });
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return length.map(|length| Download { length, body: bytes }),
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
        }
        if let Some(pause) = pause {
            std::thread::sleep(pause);
        }
    }
}

/// What the bytes of an answer are.
enum Bytes {
    /// None: the file is being written anew.
    Empty,
    /// Of one version.
    One(usize),
    /// Of this version up to the end of a piece, and from there of the one before: as its writer has left it, if it was
    /// held up there.
    HalfWritten(usize),
}

/// Tells what `body` is; any other mix, a hole or padding panics.
fn judge_bytes(body: &[u8]) -> Bytes {
    let Some(first) = body.get(..8) else { return Bytes::Empty };
    let number = number(first).unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(first)));
    if is_even(body) {
        return Bytes::One(number);
    }
    let at = 8 * body.chunks(8).position(|word| *word != first[..word.len()]).unwrap();
    let rest = &body[at..];
    let word = String::from_utf8_lossy(&rest[..rest.len().min(8)]);
    let half_written =
        at % PIECE == 0 && is_even(rest) && rest.starts_with(&content(number.wrapping_sub(1), 8));
    assert!(half_written, "version {number} and then {word:?} at {at} of {} bytes", body.len());
    Bytes::HalfWritten(number)
}

fn connect(addr: SocketAddr, slow: bool) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    if slow {
        socket2::SockRef::from(&stream).set_recv_buffer_size(32 * 1024).unwrap();
    }
    stream
}

/// What clients found.
#[derive(Default)]
struct Tally {
    whole: AtomicU32,
    cut: AtomicU32,
    half_written: Mutex<Vec<usize>>,
}

/// Downloads `target` until `count` answers were whole and the file went through enough versions, now on a kept
/// connection and now on a new one, and judges each answer.
fn client(addr: SocketAddr, writer: &Writer<'_>, count: u32, pause: Option<Duration>, tally: &Tally) {
    let head = format!("GET /file.bin HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    let mut stream = connect(addr, pause.is_some());
    let mut whole = 0;
    loop {
        let versions = writer.versions.lock().unwrap().len();
        let asked = Instant::now();
        if asked - writer.begun > PATIENCE * rounds() || (whole >= count && versions > VERSIONS) {
            return;
        }
        let found = download(&mut stream, &head, pause);
        // One that is cut is thrown away by its client, whatever it holds.
        let Some(found) = found.filter(|found| found.body.len() == found.length) else {
            tally.cut.fetch_add(1, Relaxed);
            stream = connect(addr, pause.is_some());
            continue;
        };
        match judge_bytes(&found.body) {
            Bytes::Empty => {}
            Bytes::HalfWritten(version) => tally.half_written.lock().unwrap().push(version),
            Bytes::One(version) => {
                judge(writer, version, &found, asked, Instant::now());
                tally.whole.fetch_add(1, Relaxed);
                whole += 1;
                if whole % 64 == 0 {
                    stream = connect(addr, pause.is_some());
                }
            }
        }
    }
}

/// A version may be seen from when it begins to be written until a second after the next one is there.
fn judge(writer: &Writer<'_>, version: usize, found: &Download, asked: Instant, ended: Instant) {
    assert!(found.length <= writer.size, "{} bytes of {}", found.length, writer.size);
    let rewritten = writer.ways.iter().any(|way| matches!(way, Way::TruncateAndAppend | Way::Rewrite));
    assert!(rewritten || found.length == writer.size, "{} bytes of {}", found.length, writer.size);
    let (of, next) = {
        let versions = writer.versions.lock().unwrap();
        (versions.get(version).copied(), versions.get(version + 1).copied())
    };
    let of = of.unwrap_or_else(|| panic!("version {version} was never begun"));
    assert!(of.begun <= ended, "version {version} before it was written");
    if let Some(next) = next {
        let late = asked.saturating_duration_since(next.done);
        assert!(late <= STALE, "version {version} was asked for {late:?} after the next one was there");
    }
}

/// A file of `size` bytes that changes each `pause`, and three clients that download it at least `count` times each.
fn under_change(size: usize, ways: &[Way], pause: Duration, count: u32, slowly: Option<Duration>) {
    let server = Setup::new().args(&["--max-requests", "0"]).file("file.bin", content(0, size)).start();
    let path = server.root().join("file.bin");
    let count = count * rounds();
    let (tally, versions) = watch(server.addr, &path, size, ways, pause, count, slowly);
    let (whole, cut) = (tally.whole.into_inner(), tally.cut.into_inner());
    for version in tally.half_written.into_inner().unwrap() {
        assert!(versions[version].held_up, "version {version} was served half written");
    }
    let changes = versions.len();
    assert!(whole >= 3 * count, "{whole} whole and {cut} cut downloads of {changes} versions");
    assert!(changes > VERSIONS, "the file changed {changes} times");
    // It stays as it is from now on, and all of it is there.
    std::thread::sleep(STALE);
    let last = fs::read(&path).unwrap();
    assert!(server.get("/file.bin").body == last);
}

/// Lets three clients download `file.bin` from `addr` while it changes; a panic of one of them is passed on.
fn watch(
    addr: SocketAddr,
    path: &Path,
    size: usize,
    ways: &[Way],
    pause: Duration,
    count: u32,
    slowly: Option<Duration>,
) -> (Tally, Vec<Version>) {
    let now = Instant::now();
    let versions = Mutex::new(vec![Version { begun: now, done: now, held_up: false }]);
    let writer = Writer { path, size, ways, pause, begun: now, versions: &versions };
    let (stop, tally) = (AtomicBool::new(false), Tally::default());
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| writer.run(&stop, &tally.whole));
        let clients: Vec<_> =
            (0..3).map(|_| scope.spawn(|| client(addr, &writer, count, slowly, &tally))).collect();
        let ended: Vec<_> = clients.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        stop.store(true, Relaxed);
        writing.join().unwrap();
        for client in ended {
            client.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
    (tally, versions.into_inner().unwrap())
}

/// The control: what the same clients complain of at an nginx with these `lines`; `None` where there is no nginx.
fn complaint_at_nginx(lines: &str, size: usize, ways: &[Way], slowly: Option<Duration>) -> Option<String> {
    let folder = Folder::new();
    let path = folder.write("root/file.bin", content(0, size));
    let nginx = Nginx::start(folder, &format!("root root; {lines}"))?;
    let watched = || watch(nginx.addr, &path, size, ways, millis(300), u32::MAX, slowly);
    let complaint = std::panic::catch_unwind(watched).map_or_else(|panic| panic.downcast().ok(), |_| None);
    Some(complaint.map_or_else(String::new, |complaint: Box<String>| *complaint))
}

/// What leaves the bytes of a version where they are: another file, or other pages of the same.
const ANEW: [Way; 2] = [Way::Rename, Way::Rewrite];

/// What changes the very bytes that may be on their way.
const IN_PLACE: [Way; 2] = [Way::InPlace, Way::TruncateAndAppend];

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn file_7_downloads_of_a_kibibyte_made_anew() {
    under_change(1024, &ANEW, millis(60), 1000, None);
}

#[test]
fn file_7_downloads_of_a_hundred_kibibytes_made_anew() {
    under_change(100 * 1024, &ANEW, millis(60), 600, None);
}

#[test]
fn file_7_downloads_of_a_mebibyte_made_anew() {
    under_change(1 << 20, &ANEW, millis(80), 200, None);
}

#[test]
fn file_7_downloads_of_three_mebibytes_made_anew() {
    under_change(3 << 20, &ANEW, millis(120), 70, None);
}

#[test]
fn file_7_downloads_of_twelve_mebibytes_made_anew() {
    under_change(12 << 20, &ANEW, millis(250), 12, None);
}

#[test]
fn file_7_downloads_of_a_kibibyte_edited_in_place() {
    under_change(1024, &IN_PLACE, millis(60), 1000, None);
}

#[test]
fn file_7_downloads_of_a_hundred_kibibytes_edited_in_place() {
    under_change(100 * 1024, &IN_PLACE, millis(60), 600, None);
}

#[test]
fn file_7_downloads_of_a_mebibyte_edited_in_place() {
    under_change(1 << 20, &IN_PLACE, millis(80), 200, None);
}

#[test]
fn file_7_downloads_of_three_mebibytes_edited_in_place() {
    under_change(3 << 20, &IN_PLACE, millis(120), 70, None);
}

#[test]
fn file_7_downloads_of_twelve_mebibytes_edited_in_place() {
    under_change(12 << 20, &IN_PLACE, millis(250), 12, None);
}

#[test]
fn file_7_slow_readers_of_three_mebibytes_made_anew() {
    under_change(3 << 20, &ANEW, millis(400), 3, Some(millis(4)));
}

#[test]
fn file_7_slow_readers_of_three_mebibytes_edited_in_place() {
    under_change(3 << 20, &[Way::InPlace], millis(400), 3, Some(millis(4)));
}

#[test]
fn file_7_slow_readers_of_twelve_mebibytes_edited_in_place() {
    under_change(12 << 20, &[Way::InPlace], millis(700), 2, Some(millis(3)));
}

#[test]
fn row_c7_file_7_the_control_keeps_files_open_and_is_seen_to_be_stale() {
    let cached = "open_file_cache max=10; open_file_cache_valid 1h;";
    if let Some(found) = complaint_at_nginx(cached, 1024, &[Way::Rename], None) {
        assert!(found.contains("after the next one was there"), "{found}");
    }
}

#[test]
fn row_c6_file_7_the_control_sends_by_reference_and_is_seen_to_mix() {
    if let Some(found) = complaint_at_nginx("sendfile on;", 12 << 20, &[Way::InPlace], Some(millis(3))) {
        assert!(found.contains(" and then "), "{found}");
    }
}
