//! A server of its own for each case: how it is started, and what can be seen of it from outside.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use super::ask::{Client, End};
use super::curl::Protocol;
use super::load::{Ask, Load};
use super::site::{Cold, Site};
use crate::bench::process::{self, Process};
use crate::context::Context;

/// The slowest start takes some tenths of a second on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(10);

/// One worker: which call of a thread is the n-th is mostly known. Whoever is forgotten amid a
/// head is let go within a client's patience; who waits for strace to attach is not.
const FLAGS: [&str; 9] =
    ["--workers", "1", "--header-timeout", "2s", "--keep-alive", "10s", "--access-log", "off", "--listing"];

/// A pool that starts threads while it runs, and one that does not: of it strace may know every thread.
pub(super) const GROWING: &str = "2..6";
pub(super) const FIXED: &str = "2";

/// Every server has an address of its own, so that no two ever want the same port.
const PORT: u16 = 8129;

/// What all cases share.
pub(super) struct Stand<'a> {
    pub(super) context: &'a Context,
    /// The build of tidegate that is tried.
    pub(super) program: PathBuf,
    pub(super) site: Site,
    scratch: &'a Path,
    next: AtomicUsize,
}

impl<'a> Stand<'a> {
    pub(super) fn new(context: &'a Context, program: PathBuf, scratch: &'a Path) -> io::Result<Self> {
        // Paths in a trace are whole.
        let scratch_root = fs::canonicalize(scratch)?.join("root");
        Ok(Self { context, program, site: Site::new(&scratch_root)?, scratch, next: AtomicUsize::new(0) })
    }

    /// A place for one more server, which has so many threads in its pool and speaks as `load` does.
    pub(super) fn place(&self, threads: &'static str, load: Load) -> io::Result<Place> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let part = |number: usize| u8::try_from(number % 250 + 1).unwrap_or(1);
        let process = usize::try_from(std::process::id()).unwrap_or(0);
        let host = Ipv4Addr::new(127, part(process), part(number / 250), part(number));
        let folder = fs::canonicalize(self.scratch)?.join(format!("case-{number}"));
        fs::create_dir(&folder)?;
        let (addr, secured) = (SocketAddrV4::new(host, PORT), load == Load::Secured);
        Ok(Place { addr, folder, threads, secured, cold: self.site.cold(number)? })
    }

    /// The command line of a server at `place`, behind `words` that start it.
    pub(super) fn command(&self, place: &Place, words: &[&str]) -> Command {
        let mut command = match words {
            [] => process::tethered(self.context, None, &self.program),
            [wrapper, args @ ..] => {
                let mut command = process::tethered(self.context, None, Path::new(wrapper));
                command.args(args).arg(&self.program);
                command
            }
        };
        // No variable of the developer's shell may change what is tried.
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.args(place.secured.then_some("--tls-self-signed"));
        command.args(FLAGS).args(["-H", &place.addr.ip().to_string(), "-p", &PORT.to_string()]);
        command
            .args(["--threads", place.threads])
            .arg("--root")
            .arg(&self.site.root)
            .arg("--uploads")
            .arg(place.uploads());
        command
    }
}

/// Where one server lives; its folder is removed on drop.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) addr: SocketAddrV4,
    pub(super) folder: PathBuf,
    /// As `--threads` has them.
    threads: &'static str,
    /// Whether it speaks TLS.
    secured: bool,
    pub(super) cold: Cold,
}

impl Place {
    /// A client of a server here, by this protocol where that is over TLS.
    pub(super) fn client(&self, protocol: Protocol) -> Client {
        let client = Client::new(self.addr);
        if self.secured { client.secured(protocol) } else { client }
    }

    pub(super) fn uploads(&self) -> PathBuf {
        self.folder.join("uploads")
    }

    /// What lies in the folder of uploads: names and bytes.
    pub(super) fn stored(&self) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(self.uploads()).into_iter().flatten().flatten();
        let entries = entries.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap_or_default()));
        entries.map(|(name, bytes)| (name.to_string_lossy().into_owned(), bytes)).collect()
    }

    /// Where a server here writes what it says.
    pub(super) fn output(&self) -> PathBuf {
        self.folder.join("output")
    }

    /// What a server here has said.
    pub(super) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.output()).unwrap_or_default()).into_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // It is in a temporary folder that goes as a whole.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A server that answers.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) process: Process,
    pub(super) place: Place,
}

impl Target {
    pub(super) fn start(stand: &Stand<'_>, threads: &'static str, load: Load) -> Result<Self, String> {
        let place = stand.place(threads, load).map_err(|error| format!("no place for a server: {error}"))?;
        Self::start_at(stand, place)
    }

    /// Starts where another may have been before.
    pub(super) fn start_at(stand: &Stand<'_>, place: Place) -> Result<Self, String> {
        let process = Process::start(&mut stand.command(&place, &[]), &place.output());
        let process = process.map_err(|error| format!("tidegate: {error}"))?;
        let mut target = Self { process, place };
        match target.comes_up(START_LIMIT) {
            true => Ok(target),
            false => Err(format!("tidegate did not come up; it said:\n{}", target.place.said())),
        }
    }

    /// Whether it answers in time, before it ends.
    fn comes_up(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while !answers(&self.place) {
            if self.process.has_ended() || Instant::now() >= deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How many descriptors it holds. The first one of each file that has a name does not count: a cache keeps it.
    pub(super) fn descriptors(&self) -> usize {
        let links = fs::read_dir(format!("/proc/{}/fd", self.pid())).into_iter().flatten().flatten();
        let targets: Vec<PathBuf> =
            links.map(|link| fs::read_link(link.path()).unwrap_or_default()).collect();
        let files: BTreeSet<&PathBuf> = targets.iter().filter(|target| target.is_file()).collect();
        targets.len() - files.len()
    }

    /// The names of its threads, the first one first.
    pub(super) fn threads(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = tasks.map(|task| task.path()).collect();
        paths.sort_by_key(|path| !path.ends_with(self.pid().to_string()));
        let name = |path: PathBuf| fs::read_to_string(path.join("comm")).unwrap_or_default();
        paths.into_iter().map(|path| name(path).trim().to_owned()).collect()
    }
}

/// Whether a new connection is served.
pub(super) fn answers(place: &Place) -> bool {
    let seen = Ask::status("healthz").put_to(&mut place.client(Protocol::Http1));
    matches!(seen.end, End::Answer(answer) if answer.status == 200)
}
