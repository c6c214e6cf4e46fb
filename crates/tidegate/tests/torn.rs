//! A file changes while it is on its way: what arrives is one version, or visibly cut; no zero, no mix, and no next
//! answer in the place of what is missing (SPEC H1-8, FILE-7, row C6 of the attacks).
//!
//! `RACES_ROUNDS=100 cargo test --release -p tidegate --test torn` does a hundred times as much.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]
#![allow(clippy::print_stdout, reason = "a long run tells what it saw")]

mod nginx;
mod process;
mod support;
mod versions;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;

use nginx::Nginx;
use support::{Folder, SOON, Setup};
use versions::{content, is_even, number, rounds};

/// What happens to a file of version 1 while it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// It ends here from now on.
    Shrink(usize),
    /// It ends here, and then goes on with bytes of version 2.
    Regrow(usize),
    /// Bytes of version 2 follow it.
    Grow,
    /// Another file takes its name.
    Replace,
    /// Version 2 is written over it.
    Overwrite,
    /// It has no name any more.
    Remove,
}

/// What came of a download.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// All that was promised, of one version, and the next answer behind it.
    Whole,
    /// Less, of one version, and then the end of the connection.
    Cut,
    /// Anything else.
    Torn(String),
}

/// By `sendfile` goes what is longer than this, and its pages may be cleared on their way (ARCHITECTURE.md).
const COPIED: usize = 8 << 20;

/// Sizes by each of the three ways that a file is sent (ARCHITECTURE.md), and what of one is read before it changes.
const SIZES: [usize; 5] = [48 << 10, 700 << 10, 3 << 20, 7 << 20, 24 << 20];
const BEFORE: usize = 20_000;

fn changes(size: usize) -> [Change; 9] {
    let (page, middle) = (4096, size / 2 / 8 * 8 + 24);
    [
        Change::Shrink(0),
        Change::Shrink(page),
        Change::Shrink(middle),
        Change::Shrink(size - 8),
        Change::Regrow(middle),
        Change::Grow,
        Change::Replace,
        Change::Overwrite,
        Change::Remove,
    ]
}

impl Change {
    fn happens_to(self, path: &Path, size: usize) {
        let file = || File::options().write(true).open(path).unwrap();
        match self {
            Self::Shrink(length) => file().set_len(length as u64).unwrap(),
            Self::Regrow(length) => {
                let file = file();
                file.set_len(length as u64).unwrap();
                file.write_all_at(&content(2, size - length), length as u64).unwrap();
            }
            Self::Grow => file().write_all_at(&content(2, size), size as u64).unwrap(),
            Self::Replace => {
                let fresh = path.with_extension("new");
                fs::write(&fresh, content(2, size)).unwrap();
                fs::rename(fresh, path).unwrap();
            }
            Self::Overwrite => file().write_all_at(&content(2, size), 0).unwrap(),
            Self::Remove => fs::remove_file(path).unwrap(),
        }
    }

    /// Whether the kernel may clear what a socket refers to.
    fn may_clear(self, size: usize) -> bool {
        size > COPIED && matches!(self, Self::Shrink(_) | Self::Regrow(_))
    }
}

/// Two pipelined requests over a connection that takes little at a time, of which the first is for the file.
fn ask(addr: SocketAddr, name: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    socket2::SockRef::from(&stream).set_recv_buffer_size(16 * 1024).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let get = |name| format!("GET /{name} HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    stream.write_all((get(name) + &get("after.html")).as_bytes()).unwrap();
    stream
}

/// Reads until there are `least` bytes, or the connection ends; whether it goes on.
fn read(stream: &mut TcpStream, into: &mut Vec<u8>, least: usize) -> bool {
    let mut piece = [0; 16 * 1024];
    while into.len() < least {
        match stream.read(&mut piece) {
            Ok(0) => return false,
            Ok(count) => into.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the answer hangs"),
            Err(_) => return false,
        }
    }
    true
}

/// Downloads version 1 of the file at `path`, to which `change` happens on the way.
fn download(addr: SocketAddr, path: &Path, size: usize, change: Change) -> Outcome {
    fs::write(path, content(1, size)).unwrap();
    let mut stream = ask(addr, path.file_name().unwrap().to_str().unwrap());
    let mut bytes = Vec::new();
    assert!(read(&mut stream, &mut bytes, BEFORE), "no answer");
    change.happens_to(path, size);
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(bytes.drain(..end).collect()).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.contains(&format!("Content-Length: {size}\r\n")),
        "{head}"
    );
    let goes_on = read(&mut stream, &mut bytes, size);
    let (body, rest) = bytes.split_at(bytes.len().min(size));
    match judge(body, change.may_clear(size)) {
        Err(why) => Outcome::Torn(why),
        Ok(()) if !goes_on => Outcome::Cut,
        Ok(()) => {
            let mut rest = rest.to_vec();
            let is_next = read(&mut stream, &mut rest, 12) && rest.starts_with(b"HTTP/1.1 200");
            if is_next { Outcome::Whole } else { Outcome::Torn("no next answer".to_owned()) }
        }
    }
}

/// Whether all of `body` is of version 1; where pages may have been cleared, their zeros count for it.
fn judge(body: &[u8], may_be_cleared: bool) -> Result<(), String> {
    let words = body.len() / 8 * 8;
    if is_even(body) && number(body) == Some(1) {
        return Ok(());
    }
    let expected = content(1, words + 8);
    let fits = |at: usize| body[at] == expected[at] || (may_be_cleared && body[at] == 0);
    match (0..body.len()).find(|at| !fits(*at)) {
        None => Ok(()),
        Some(at) => {
            let found = String::from_utf8_lossy(&body[at..body.len().min(at + 24)]);
            Err(format!("{found:?} at {at} of {}", body.len()))
        }
    }
}

/// Every change to a file of every size, each under a name that nobody has asked for; what came of it.
fn all_changes(addr: SocketAddr, root: &Path, sizes: &[usize]) -> Vec<(usize, Change, Outcome)> {
    let mut outcomes = Vec::new();
    for _ in 0..rounds() {
        for (size, change) in sizes.iter().flat_map(|&size| changes(size).map(|change| (size, change))) {
            let path = root.join(format!("{}.bin", outcomes.len()));
            outcomes.push((size, change, download(addr, &path, size, change)));
            // One that was removed is gone already.
            let _ = fs::remove_file(path);
        }
    }
    outcomes
}

#[test]
fn row_c6_h1_8_what_changes_on_its_way_is_of_one_version_or_cut() {
    let server = Setup::new().args(&["--max-requests", "0"]).file("after.html", "after").start();
    let outcomes = all_changes(server.addr, &server.root(), &SIZES);
    let count = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|(_, _, outcome)| is(outcome)).count();
    let [whole, cut] =
        [count(|outcome| *outcome == Outcome::Whole), count(|outcome| *outcome == Outcome::Cut)];
    println!("{} downloads: {whole} whole, {cut} cut", outcomes.len());
    let torn: Vec<_> =
        outcomes.iter().filter(|(_, _, outcome)| matches!(outcome, Outcome::Torn(_))).collect();
    assert!(torn.is_empty(), "{torn:#?}");
    for &(size, change, ref outcome) in &outcomes {
        // Nobody changed these bytes, whatever became of the name.
        let stays = matches!(change, Change::Replace | Change::Remove);
        assert!(!stays || *outcome == Outcome::Whole, "{size} {change:?}: {outcome:?}");
        // What is not in memory cannot be had any more.
        let is_gone = size > COPIED && matches!(change, Change::Shrink(length) if length < size / 2);
        assert!(!is_gone || *outcome == Outcome::Cut, "{size} {change:?}: {outcome:?}");
    }
}

/// The control: nginx sends whatever is in the file when its turn comes.
#[test]
fn row_c6_h1_8_the_control_mixes_and_is_seen() {
    let folder = Folder::new();
    let root = folder.0.join("root");
    folder.write("root/after.html", "after");
    let Some(nginx) = Nginx::start(folder, "root root;") else { return };
    let outcomes = all_changes(nginx.addr, &root, &[24 << 20]);
    let is_mixed = |change| {
        matches!(outcomes.iter().find(|(_, made, _)| *made == change), Some((_, _, Outcome::Torn(_))))
    };
    assert!(is_mixed(Change::Overwrite), "{outcomes:?}");
}
