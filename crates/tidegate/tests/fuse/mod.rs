//! A file system whose every answer can be delayed, counted or refused: FUSE, spoken by threads of the test itself.
//!
//! Mounted on drop-in folders beneath a root, it is the slow disk of the tests. Only what a server of files needs is
//! answered (linux/fuse.h, protocol 7.31); all else is `ENOSYS`.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::io::Errno;

/// As many requests can be delayed at once.
const THREADS: usize = 48;

/// The longest read that is asked for at once: 32 pages.
const LONGEST: u32 = 128 * 1024;

const ROOT: u64 = 1;

/// The mounted file system; unmounted on drop.
pub struct Fuse {
    at: PathBuf,
    disk: Arc<Disk>,
}

/// A file of it; its bytes are those of [`content`].
pub struct Slow {
    pub name: &'static str,
    pub size: u64,
    /// From here on reading it fails by `EIO`.
    pub broken_from: Option<u64>,
}

/// What the kernel may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Lookup,
    Attributes,
    Open,
    Read,
    Statfs,
    Release,
    Flush,
    Init,
    Forget,
    Other,
}

struct Disk {
    files: Vec<Slow>,
    delay: Mutex<Duration>,
    /// How long the kernel may keep names and attributes.
    remembered: Duration,
    /// What was asked of which file.
    asked: Mutex<Vec<(Op, u64)>>,
}

/// A request as the kernel sent it.
struct Asked<'b> {
    op: Op,
    unique: u64,
    node: u64,
    body: &'b [u8],
}

impl Fuse {
    /// Mounts `files` at a folder that is there; the kernel may remember names and attributes for so long.
    pub fn mount(at: &Path, files: Vec<Slow>, remembered: Duration) -> Self {
        let device = File::options().read(true).write(true).open("/dev/fuse").expect("/dev/fuse");
        let (delay, asked) = (Mutex::new(Duration::ZERO), Mutex::new(Vec::new()));
        let disk = Arc::new(Disk { files, delay, remembered, asked });
        for _ in 0..THREADS {
            let (disk, device) = (Arc::clone(&disk), device.try_clone().unwrap());
            std::thread::spawn(move || disk.serve(&device));
        }
        // The descriptor goes to `mount` as its input, so that no other child can inherit it.
        let options = "fd=0,rootmode=40000,user_id=0,group_id=0,allow_other";
        let mut command = Command::new("mount");
        command.args(["-i", "-t", "fuse", "-o", options, "slow-disk"]).arg(at).stdin(device);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { at: at.to_owned(), disk }
    }

    /// From now on every answer takes so long.
    pub fn delay(&self, delay: Duration) {
        *self.disk.delay.lock().unwrap() = delay;
    }

    /// How often a file was asked for `op`.
    pub fn count(&self, op: Op, name: &str) -> usize {
        let node = self.disk.node(name).expect("a file");
        self.disk.asked.lock().unwrap().iter().filter(|asked| **asked == (op, node)).count()
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.delay(Duration::ZERO);
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
    }
}

/// The first `size` bytes of any file here, from `at` on.
pub fn content(at: u64, size: usize) -> Vec<u8> {
    // The period is a prime, so that a shifted block shows.
    (at..).take(size).map(|at| b'!' + u8::try_from(at % 83).unwrap()).collect()
}

impl Disk {
    /// Answers until the file system is unmounted.
    fn serve(&self, mut device: &File) {
        // The kernel wants room for the longest write, though nobody writes here.
        let mut request = vec![0; 64 * 1024 + LONGEST as usize];
        loop {
            match device.read(&mut request) {
                Ok(length) => {
                    let asked = Asked::parse(&request[..length]);
                    if let Some(answer) = self.answer(&asked) {
                        // Nobody waits any more where the client of it was interrupted.
                        let _ = device.write_all(&framed(asked.unique, answer));
                    }
                }
                Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => {}
                Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {}
                // Not mounted yet.
                Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(_) => return,
            }
        }
    }

    /// The answer to a request, or `None` where none is wanted.
    fn answer(&self, asked: &Asked<'_>) -> Option<Result<Vec<u8>, Errno>> {
        self.asked.lock().unwrap().push((asked.op, asked.node));
        let delay = *self.delay.lock().unwrap();
        if asked.op == Op::Forget {
            return None;
        }
        if asked.op != Op::Init {
            std::thread::sleep(delay);
        }
        Some(match asked.op {
            Op::Init => Ok(init()),
            Op::Lookup => self.look_up(asked),
            Op::Attributes => Ok([self.valid(), vec![0; 4], self.attributes(asked.node)].concat()),
            Op::Open => Ok(vec![0; 16]),
            Op::Read => self.read(asked),
            Op::Statfs => Ok(vec![0; 80]),
            Op::Release | Op::Flush => Ok(Vec::new()),
            Op::Forget | Op::Other => Err(Errno::NOSYS),
        })
    }

    fn node(&self, name: &str) -> Option<u64> {
        let at = self.files.iter().position(|file| file.name == name)?;
        Some(ROOT + 1 + at as u64)
    }

    fn file(&self, node: u64) -> Option<&Slow> {
        self.files.get(usize::try_from(node.checked_sub(ROOT + 1)?).ok()?)
    }

    /// `fuse_entry_out`
    fn look_up(&self, asked: &Asked<'_>) -> Result<Vec<u8>, Errno> {
        let name = asked.body.strip_suffix(b"\0").and_then(|name| std::str::from_utf8(name).ok());
        let node = name.and_then(|name| self.node(name)).ok_or(Errno::NOENT)?;
        let seconds = self.remembered.as_secs().to_ne_bytes();
        let nanos = self.remembered.subsec_nanos().to_ne_bytes();
        let head = [node.to_ne_bytes(), [0; 8], seconds, seconds].concat();
        Ok([head, nanos.to_vec(), nanos.to_vec(), self.attributes(node)].concat())
    }

    /// How long attributes hold: the begin of `fuse_attr_out`.
    fn valid(&self) -> Vec<u8> {
        let seconds = self.remembered.as_secs().to_ne_bytes();
        [&seconds[..], &self.remembered.subsec_nanos().to_ne_bytes()].concat()
    }

    /// `fuse_attr`
    fn attributes(&self, node: u64) -> Vec<u8> {
        let file = self.file(node);
        let size = file.map_or(0, |file| file.size);
        let mode: u32 = if file.is_some() { 0o100_644 } else { 0o040_755 };
        // Inode, size, blocks, and three times of a day long ago.
        let long = [node, size, size.div_ceil(512), 1_700_000_000, 1_700_000_000, 1_700_000_000];
        // Their nanoseconds, mode, links, owner, group, device, block size, flags.
        let short = [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0];
        let long = long.into_iter().flat_map(u64::to_ne_bytes);
        long.chain(short.into_iter().flat_map(u32::to_ne_bytes)).collect()
    }

    fn read(&self, asked: &Asked<'_>) -> Result<Vec<u8>, Errno> {
        let file = self.file(asked.node).ok_or(Errno::ISDIR)?;
        let at = u64::from_ne_bytes(asked.body[8..16].try_into().unwrap());
        let length = u32::from_ne_bytes(asked.body[16..20].try_into().unwrap());
        let end = file.size.min(at + u64::from(length));
        if file.broken_from.is_some_and(|from| end > from) {
            return Err(Errno::IO);
        }
        Ok(content(at, usize::try_from(end.saturating_sub(at)).unwrap()))
    }
}

impl<'b> Asked<'b> {
    /// `fuse_in_header`: length, operation, a number of its own, the node; owner, group and process follow.
    fn parse(request: &'b [u8]) -> Self {
        let op = match u32::from_ne_bytes(request[4..8].try_into().unwrap()) {
            1 => Op::Lookup,
            2 | 36 | 42 => Op::Forget,
            3 => Op::Attributes,
            14 | 27 => Op::Open,
            15 => Op::Read,
            17 => Op::Statfs,
            18 | 29 => Op::Release,
            25 => Op::Flush,
            26 => Op::Init,
            _ => Op::Other,
        };
        let unique = u64::from_ne_bytes(request[8..16].try_into().unwrap());
        let node = u64::from_ne_bytes(request[16..24].try_into().unwrap());
        Self { op, unique, node, body: &request[40..] }
    }
}

/// `fuse_init_out`
fn init() -> Vec<u8> {
    const ASYNC_READ: u32 = 1;
    const AUTO_INVAL_DATA: u32 = 1 << 12;
    const PARALLEL_DIROPS: u32 = 1 << 18;
    let flags = ASYNC_READ | AUTO_INVAL_DATA | PARALLEL_DIROPS;
    // Major, minor, longest read ahead, flags; background requests and congestion; longest write, granularity.
    let fields = [7, 31, LONGEST, flags, u32::from_ne_bytes([64, 0, 48, 0]), LONGEST, 1];
    let mut out: Vec<u8> = fields.into_iter().flat_map(u32::to_ne_bytes).collect();
    out.resize(64, 0);
    out
}

/// `fuse_out_header` and what follows it.
fn framed(unique: u64, answer: Result<Vec<u8>, Errno>) -> Vec<u8> {
    let (error, body) = match answer {
        Ok(body) => (0, body),
        Err(errno) => (-errno.raw_os_error(), Vec::new()),
    };
    let length = u32::try_from(16 + body.len()).unwrap();
    [&length.to_ne_bytes()[..], &error.to_ne_bytes(), &unique.to_ne_bytes(), &body].concat()
}
