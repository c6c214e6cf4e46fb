//! What the tests of a server's life share: processes that follow each other in one folder (`Process`), clients that
//! keep count of what became of each request (`crowd`, by `exchange`), and what a service manager does (`manager`).

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

pub mod crowd;
mod exchange;
pub mod manager;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::process::{Outcome, clean, ended, run, signal};
use crate::support::{BINARY, Client, SOON, Setup, eventually, rest};

/// The variable that asks for the long form of a test: ten times as many rounds.
const LONG: &str = "TIDEGATE_LONG";

/// `few` rounds, or ten times as many in the long form.
pub fn rounds(few: usize) -> usize {
    if std::env::var_os(LONG).is_some() { few * 10 } else { few }
}

/// A server's process, of which others may follow in the same folder; killed on drop.
pub struct Process {
    pub child: Child,
    /// Its first address of TCP.
    pub addr: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts a server of `setup` with further arguments, and waits until it says where it listens.
    pub fn start(setup: &Setup, more: &[&str]) -> Self {
        Self::spawn(setup.command().args(more)).up()
    }

    /// Starts `command` and collects what it says.
    pub fn spawn(command: &mut Command) -> Self {
        Self::spawn_with_stdout(command.stdout(Stdio::piped()))
    }

    /// As [`Process::spawn`], for a command whose standard output is taken already.
    pub fn spawn_with_stdout(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let out = child.stdout.take().map(|out| Box::new(out) as Box<dyn Read + Send>);
        let err = child.stderr.take().map(|err| Box::new(err) as Box<dyn Read + Send>);
        for output in out.into_iter().chain(err) {
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    said.lock().unwrap().push(line);
                }
            });
        }
        Self { child, addr: (Ipv4Addr::LOCALHOST, 0).into(), said }
    }

    /// Waits until it says where it listens.
    pub fn up(mut self) -> Self {
        self.hear("  logs ");
        let urls = self.urls();
        if let Some(addr) = urls.iter().find_map(|url| Some(url.split_once("://")?.1)) {
            self.addr = addr.trim_end_matches('/').parse().unwrap();
        }
        self
    }

    /// Where it says it listens, each as a client types it.
    pub fn urls(&self) -> Vec<String> {
        let said = self.said();
        said.iter().filter_map(|line| Some(line.split_once("  url ")?.1.trim().to_owned())).collect()
    }

    /// What it has said until now.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// The lines with `text` among them.
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        self.said().into_iter().filter(|line| line.contains(text)).collect()
    }

    /// Waits for a line with `text`, and returns the first.
    pub fn hear(&mut self, text: &str) -> String {
        self.hear_again(text, 0)
    }

    /// Waits until it has said `text` more than `times` times, and returns that line.
    pub fn hear_again(&mut self, text: &str, times: usize) -> String {
        let begun = Instant::now();
        loop {
            // Looked at before the lines, so that the last words of one that ended are read.
            let is_over = self.is_heard();
            if let Some(line) = self.lines_with(text).get(times) {
                return line.clone();
            }
            let late = begun.elapsed() > SOON;
            assert!(!is_over && !late, "never said {text:?}: {:#?}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for a line with `text` of one that has ended.
    pub fn hear_last(&self, text: &str) -> String {
        eventually(text, || !self.lines_with(text).is_empty());
        self.lines_with(text).swap_remove(0)
    }

    /// Sends a signal, by name without `SIG`.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end and for its last words; the exit code, and `None` where a signal ended it.
    pub fn end(&mut self) -> Option<i32> {
        let status = ended(&mut self.child, 3 * SOON);
        let status = status.unwrap_or_else(|| panic!("it does not end: {:#?}", self.said()));
        eventually("all that it said is heard", || self.is_heard());
        status.code()
    }

    /// Whether its outputs are closed, and all that it said is there.
    fn is_heard(&self) -> bool {
        Arc::strong_count(&self.said) == 1
    }

    /// Waits until it has done all that it was asked for so far.
    pub fn rests(&self) {
        rest::until(self.child.id(), self.addr.port());
    }

    /// A new connection.
    pub fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// The status of a GET on a connection of its own.
    pub fn status(&self, target: &str) -> u16 {
        self.connect().get(target).status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A pipe in the place of a log: a server with these flags has opened its sockets, root and store, and does not get ready
/// before the gate opens.
pub struct Gate(PathBuf);

impl Gate {
    pub const FLAGS: [&str; 2] = ["--json-log-file", "gate"];

    pub fn of(setup: &Setup) -> Self {
        let path = setup.folder.0.join("gate");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        Self(path)
    }

    /// Reads away what is written from now on.
    pub fn open(self) {
        std::thread::spawn(move || std::io::copy(&mut File::open(self.0)?, &mut std::io::sink()));
    }
}

/// `tidegate ARGS` in the folder of `setup`, with none of its arguments; `wrapper` is a program to run it under.
pub fn bare(setup: &Setup, wrapper: &[&str], args: &[&str]) -> Command {
    let words = [wrapper, &[BINARY], args].concat();
    let mut command = Command::new(words[0]);
    clean(&mut command, &setup.folder.0).args(&words[1..]).stdin(Stdio::null());
    command
}

/// Runs `tidegate reload --control control.sock` in `folder`.
pub fn reload(folder: &Path) -> Outcome {
    run(folder, &["reload", "--control", "control.sock"], &[])
}
