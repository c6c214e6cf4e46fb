//! A root in which everything is swapped all the time for what leads out of it, and a visitor who tells an outside byte
//! when he sees one.
//!
//! ```text
//! root/in/f0.html, f1.html, …   even names begin as files, odd ones as links out; 0 ⇄ 1, 2 ⇄ 3, … (renameat2 EXCHANGE)
//! root/a0, a1, …  ─► in         each name has many, so that what is remembered of one does not answer for the next
//! outside/…                     whatever lies here says SECRET, and has a length that nothing inside has
//! ```

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::support::{Folder, SOON};

/// Names of each kind, and other names of the folder that they are in.
const NAMES: u32 = 64;
const ALIASES: u32 = 64;

/// How long everything stays where it is, each time all of it was swapped. To rename a file is a change of it, and one that
/// changed within twenty milliseconds has no coding.
const REST: Duration = Duration::from_millis(30);

/// Bytes of every file outside.
const LENGTH: usize = 4099;

/// What is swapped, and how it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub name: &'static str,
    /// The path that is swapped, below `root/in`.
    swapped: fn(u32) -> String,
    target: fn(u32, u32) -> String,
    fields: &'static str,
    make: fn(&World, u32),
}

/// All ways to a byte of a file, and to the name or length of one.
pub const KINDS: [Kind; 10] = [
    Kind {
        name: "file",
        swapped: |n| format!("f{n}.html"),
        target: |n, alias| format!("/a{alias}/f{n}.html"),
        fields: "",
        make: |world, n| world.file_or_link(&format!("in/f{n}.html"), n),
    },
    Kind {
        name: "folder",
        swapped: |n| format!("d{n}"),
        target: |n, alias| format!("/a{alias}/d{n}/sub/page.html"),
        fields: "",
        make: |world, n| world.folder_or_link(&format!("in/d{n}"), n),
    },
    Kind {
        name: "index",
        swapped: |n| format!("i{n}/index.html"),
        target: |n, alias| format!("/a{alias}/i{n}/"),
        fields: "",
        make: |world, n| world.file_or_link(&format!("in/i{n}/index.html"), n),
    },
    Kind {
        name: "sidecar .gz",
        swapped: |n| format!("g{n}.css.gz"),
        target: |n, alias| format!("/a{alias}/g{n}.css"),
        fields: "Accept-Encoding: gzip\r\n",
        make: |world, n| world.sidecar(&format!("in/g{n}.css"), "gz", n),
    },
    Kind {
        name: "sidecar .br",
        swapped: |n| format!("b{n}.css.br"),
        target: |n, alias| format!("/a{alias}/b{n}.css"),
        fields: "Accept-Encoding: br, gzip\r\n",
        make: |world, n| world.sidecar(&format!("in/b{n}.css"), "br", n),
    },
    Kind {
        name: "upload",
        swapped: |n| format!("../uploads/u{n}.json"),
        target: |n, _| format!("/uploads/u{n}.json"),
        fields: "",
        make: |world, n| world.file_or_link(&format!("uploads/u{n}.json"), n),
    },
    Kind {
        name: "404.html",
        swapped: |n| format!("../{}", only_two(n)),
        target: |n, alias| format!("/missing-{n}-{alias}"),
        fields: "Accept: text/html\r\n",
        make: |world, n| {
            if n < 2 {
                world.file_or_link(only_two(n), n);
            }
        },
    },
    Kind {
        name: "listed folder",
        swapped: |n| format!("l{n}"),
        target: |n, alias| format!("/a{alias}/l{n}/"),
        fields: "Accept: application/json\r\n",
        make: |world, n| world.folder_or_link(&format!("in/l{n}"), n),
    },
    Kind {
        name: "listed entry",
        swapped: |n| format!("list/e{n}.txt"),
        target: |_, alias| format!("/a{alias}/list/"),
        fields: "Accept: application/json\r\n",
        make: |world, n| world.file_or_link(&format!("in/list/e{n}.txt"), n),
    },
    // Out and in again with the links that lie in it: where they lead depends on where the folder is meanwhile.
    Kind {
        name: "moved folder",
        swapped: |n| (if n.is_multiple_of(2) { "m" } else { "../../outside/m" }).to_owned(),
        target: |n, alias| format!("/a{alias}/m/up{n}.html"),
        fields: "",
        make: |world, n| {
            for folder in ["root/in/m", "outside/m"].map(|name| world.top.join(name)) {
                fs::create_dir_all(&folder).unwrap();
                symlink("../target.html", folder.join(format!("up{n}.html"))).unwrap();
            }
        },
    },
];

/// The page for refusals has one name, and its counterpart another.
fn only_two(n: u32) -> &'static str {
    if n.is_multiple_of(2) { "404.html" } else { "404.out" }
}

/// The root, in a folder that also holds what is outside.
pub struct World {
    top: PathBuf,
}

impl World {
    /// Fills `folder/root` and `folder/outside`.
    pub fn make(folder: &Folder) -> Self {
        let world = Self { top: folder.0.clone() };
        let secret = "SECRET ".repeat(LENGTH / 7 + 1)[..LENGTH].to_owned();
        for name in ["file", "target.html", "folder/sub/page.html", "folder/SECRET-name"] {
            folder.write(&format!("outside/{name}"), &secret);
        }
        folder.write("root/in/target.html", "inside");
        (0..ALIASES).for_each(|alias| symlink("in", world.root().join(format!("a{alias}"))).unwrap());
        for kind in KINDS {
            (0..NAMES).for_each(|n| (kind.make)(&world, n));
        }
        world
    }

    pub fn root(&self) -> PathBuf {
        self.top.join("root")
    }

    /// Swaps everything, pair by pair, until told to stop; the number of swaps.
    pub fn swap(&self, stop: &AtomicBool) -> u64 {
        let inner = self.root().join("in");
        let pair = |kind: &Kind, n| [inner.join((kind.swapped)(n)), inner.join((kind.swapped)(n + 1))];
        let pairs: Vec<_> = (0..NAMES).step_by(2).flat_map(|n| KINDS.map(|kind| pair(&kind, n))).collect();
        let mut swaps = 0;
        while !stop.load(Relaxed) {
            for [one, other] in &pairs {
                renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
                swaps += 1;
                if swaps % 16 == 0 {
                    // The kernel resolves no link with `..` while it renames.
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
            std::thread::sleep(REST);
        }
        swaps
    }

    fn file_or_link(&self, name: &str, n: u32) {
        let path = self.make_way(name);
        if n.is_multiple_of(2) {
            fs::write(path, "inside").unwrap();
        } else {
            self.link_out(&path, "file", n);
        }
    }

    fn folder_or_link(&self, name: &str, n: u32) {
        let path = self.make_way(name);
        if n.is_multiple_of(2) {
            fs::create_dir_all(path.join("sub")).unwrap();
            fs::write(path.join("sub/page.html"), "inside").unwrap();
        } else {
            self.link_out(&path, "folder", n);
        }
    }

    /// A file with its coding beside it. It is an old file: a coding is only served where it is no older.
    fn sidecar(&self, name: &str, extension: &str, n: u32) {
        let file = File::create(self.make_way(name)).unwrap();
        (&file).write_all(b"inside").unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        self.file_or_link(&format!("{name}.{extension}"), n);
    }

    fn make_way(&self, name: &str) -> PathBuf {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// A link to what is outside: relative, absolute, or by the process's own idea of the root.
    fn link_out(&self, path: &Path, name: &str, n: u32) {
        let outside = self.top.join("outside").join(name);
        let depth = path.strip_prefix(self.root()).unwrap().components().count();
        let target = match n / 2 % 3 {
            0 => Path::new(&"../".repeat(depth)).join("outside").join(name),
            1 => outside,
            _ => Path::new("/proc/self/root").join(outside.strip_prefix("/").unwrap()),
        };
        symlink(target, path).unwrap();
    }
}

/// What visitors saw of one kind.
#[derive(Debug, Default)]
pub struct Seen {
    pub inside: AtomicU64,
    pub refused: AtomicU64,
    pub leaks: AtomicU64,
}

/// One who asks for everything in turn.
pub struct Visitor {
    addr: SocketAddr,
    stream: Option<TcpStream>,
    /// Whether answers have a length and the connection goes on.
    persistent: bool,
    random: u32,
}

impl Visitor {
    pub fn new(addr: SocketAddr, persistent: bool, seed: u32) -> Self {
        Self { addr, stream: None, persistent, random: seed }
    }

    /// Asks for any name of any kind, now and then for the head or a part only.
    pub fn ask(&mut self, seen: &[Seen; KINDS.len()]) {
        let number = self.next() as usize % KINDS.len();
        let (kind, seen) = (&KINDS[number], &seen[number]);
        let (n, alias) = (self.next() % NAMES, self.next() % ALIASES);
        let (method, range) = match self.next() % 8 {
            0 => ("HEAD", ""),
            1 => ("GET", "Range: bytes=1-4\r\n"),
            _ => ("GET", ""),
        };
        let target = (kind.target)(n, alias);
        let close = if self.persistent { "" } else { "Connection: close\r\n" };
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n{range}{close}{}\r\n", self.addr, kind.fields);
        let answer = self.exchange(head.as_bytes(), method == "HEAD");
        let counted = match judge(&answer, kind.fields.contains("Encoding")) {
            Judged::Leak => &seen.leaks,
            Judged::Inside => &seen.inside,
            Judged::Refused => &seen.refused,
            Judged::Odd => panic!("{target}: {}", String::from_utf8_lossy(&answer)),
        };
        counted.fetch_add(1, Relaxed);
    }

    fn next(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.random >> 16
    }

    /// The whole answer to `request`.
    fn exchange(&mut self, request: &[u8], to_head: bool) -> Vec<u8> {
        let addr = self.addr;
        let mut stream = self.stream.take().unwrap_or_else(|| {
            let stream = TcpStream::connect(addr).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            stream
        });
        stream.write_all(request).unwrap();
        let (mut answer, mut piece) = (Vec::new(), [0; 16 * 1024]);
        while !self.persistent || !is_whole(&answer, to_head) {
            let read = match stream.read(&mut piece) {
                // Where a read has a time limit the kernel may interrupt it for no reason of ours.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.unwrap(),
            };
            if read == 0 {
                assert!(!self.persistent, "cut: {}", String::from_utf8_lossy(&answer));
                return answer;
            }
            answer.extend_from_slice(&piece[..read]);
        }
        self.stream = Some(stream);
        answer
    }
}

fn is_whole(answer: &[u8], to_head: bool) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]);
    let length: usize = head
        .split("Content-Length: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next()?.parse().ok())
        .unwrap();
    to_head || answer.len() == end + 4 + length
}

/// What an answer is.
enum Judged {
    /// It tells of the outside.
    Leak,
    /// What lies inside, whole, in part, or its head alone.
    Inside,
    /// Neither: it leads out or, between two look-ups of one open, nowhere; or there is the file alone for its coding.
    Refused,
    /// Nothing that should happen.
    Odd,
}

/// A byte, the name or the length of something outside is a leak.
fn judge(answer: &[u8], is_coded: bool) -> Judged {
    let text = String::from_utf8_lossy(answer);
    let length = LENGTH.to_string();
    let lengths =
        [format!("Content-Length: {length}\r\n"), format!("/{length}\r\n"), format!("\"size\":{length}")];
    if text.contains("SECRET") || lengths.iter().any(|length| text.contains(length)) {
        return Judged::Leak;
    }
    match text.get(9..12) {
        Some("200" | "206") if is_coded && !text.contains("Content-Encoding") => Judged::Refused,
        Some("200" | "206") => Judged::Inside,
        Some("404") if text.contains("\r\n\r\ninside") => Judged::Inside,
        Some("301" | "403" | "404") => Judged::Refused,
        _ => Judged::Odd,
    }
}
