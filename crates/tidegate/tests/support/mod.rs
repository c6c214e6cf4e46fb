//! What the integration tests share: a real server process on a port of its own, and a raw client.
//!
//! `Server` starts the binary under test in a folder of its own and ends it on drop · `Client` is a plain
//! socket that sends bytes as given and reads responses strictly · `rest` tells when a server has nothing left to do.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

pub mod client;
pub mod rest;

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use client::{Client, Response};

/// How long anything that should happen soon may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// What a server is told of the environment: where programs are, and how a sanitizer behaves (`cargo xtask sanitize`).
const PASSED_ON: [&str; 3] = ["PATH", "ASAN_OPTIONS", "TSAN_OPTIONS"];

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_tidegate");

/// A folder that is removed on drop.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tidegate-test-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file, making its folders; nobody has it open for writing any more.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.put(name, content);
        settle();
        path
    }

    /// As [`Folder::write`], where a child that is being started may have it open for a moment more.
    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How a server under test is started.
pub struct Setup {
    pub folder: Folder,
    args: Vec<String>,
    env: Vec<(String, String)>,
    /// A program to run it under, with its arguments, like `strace …` or `prlimit …`.
    wrapper: Vec<String>,
}

/// A running server.
pub struct Server {
    pub child: Child,
    /// Its address, where it listens on TCP.
    pub addr: SocketAddr,
    pub folder: Folder,
    log: Arc<Mutex<Vec<String>>>,
}

impl Setup {
    /// A server of an empty root; `root/` in its folder.
    pub fn new() -> Self {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.0.join("root")).unwrap();
        Self { folder, args: Vec::new(), env: Vec::new(), wrapper: Vec::new() }
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(ToString::to_string));
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    pub fn wrapper(mut self, words: &[&str]) -> Self {
        self.wrapper = words.iter().map(ToString::to_string).collect();
        self
    }

    /// Puts a file into the root.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.folder.put(&format!("root/{name}"), content);
        self
    }

    pub fn root(&self) -> PathBuf {
        self.folder.0.join("root")
    }

    /// The command, with `-p 0 -r root` unless the arguments choose otherwise. What was written for it is settled.
    pub fn command(&self) -> Command {
        settle();
        let mut words = self.wrapper.clone();
        words.push(BINARY.into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(&self.folder.0).stdin(Stdio::null());
        let chooses = |flags: &[&str]| self.args.iter().any(|arg| flags.contains(&arg.as_str()));
        if !chooses(&["-r", "--root"]) {
            command.args(["-r", "root"]);
        }
        if !chooses(&["-p", "--port", "--listen"]) {
            command.args(["-p", "0"]);
        }
        command.args(&self.args).env_clear();
        command.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it and waits until it says where it listens.
    pub fn start(self) -> Server {
        let mut child = self.command().stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, output) = (Arc::clone(&log), BufReader::new(child.stdout.take().unwrap()));
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        let mut server = Server { child, addr: (Ipv4Addr::LOCALHOST, 0).into(), folder: self.folder, log };
        let url = server.wait_for_log("  url ");
        if let Some(addr) = url.split("://").nth(1) {
            server.addr = addr.trim_end_matches('/').parse().unwrap();
        }
        server
    }
}

impl Server {
    /// A server of an empty root.
    pub fn start(args: &[&str]) -> Self {
        Setup::new().args(args).start()
    }

    pub fn root(&self) -> PathBuf {
        self.folder.0.join("root")
    }

    pub fn uploads(&self) -> PathBuf {
        self.root().join("uploads")
    }

    /// The server's process; under a wrapper, the wrapper's child.
    pub fn pid(&self) -> u32 {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let name = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if name(self.child.id()).trim() == "tidegate" {
            return self.child.id();
        }
        let children = std::fs::read_to_string(children).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).next().unwrap_or(self.child.id())
    }

    /// Sends a signal, by name without `SIG`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Waits for its end, and for its last words.
    pub fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            let status = self.child.try_wait().unwrap();
            match status {
                Some(status) if self.is_heard() => return status,
                _ => assert!(begun.elapsed() < 3 * SOON, "the server does not end: {status:?}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether all that it said is in the log: its output is closed, and who read it has gone.
    fn is_heard(&self) -> bool {
        Arc::strong_count(&self.log) == 1
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a line that contains `text`, and returns it.
    pub fn wait_for_log(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            // Looked at before the lines, so that the last words of one that ended are read.
            let is_over = self.is_heard();
            if let Some(line) = self.log.lock().unwrap().iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            assert!(!is_over, "the server ended before it said {text:?}: {:#?}", self.log());
            assert!(begun.elapsed() < SOON, "never said {text:?}: {:#?}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it has done all that it was asked for so far.
    pub fn rests(&self) {
        rest::until(self.pid(), self.addr.port());
    }

    /// A new connection.
    pub fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// The Host of this server.
    pub fn host(&self) -> String {
        self.addr.to_string()
    }

    /// Sends one request with the right Host on a connection of its own; `head` is the request line and fields
    /// without the final empty line, each line ended by `\r\n`, the Host field added.
    pub fn request(&self, head: &str, body: &[u8]) -> Response {
        let mut client = self.connect();
        client.send_request(head, body);
        client.response_to(head)
    }

    /// GETs `target`.
    pub fn get(&self, target: &str) -> Response {
        self.request(&format!("GET {target} HTTP/1.1\r\n"), b"")
    }

    /// POSTs JSON to `/upload`.
    pub fn upload(&self, body: &[u8]) -> Response {
        let head = format!(
            "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        self.request(&head, body)
    }

    /// Kilobytes of memory that the process itself holds (`Pss_Anon`).
    pub fn memory_kib(&self) -> u64 {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid())).unwrap();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Names of its threads.
    pub fn threads(&self) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let name =
            |path: &Path| std::fs::read_to_string(path.join("comm")).unwrap_or_default().trim().to_owned();
        tasks.map(|task| name(&task.unwrap().path())).collect()
    }

    /// Seconds of processor time that its threads have used, to the nanosecond: `/proc/PID/stat` counts in ticks of ten
    /// milliseconds, in which a few requests are lost.
    pub fn cpu_seconds(&self) -> f64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let ran = |task: std::io::Result<std::fs::DirEntry>| -> Option<f64> {
            let stat = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            stat.split_whitespace().next()?.parse().ok()
        };
        tasks.filter_map(ran).sum::<f64>() / 1e9
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = self.pid();
        if pid != self.child.id() && self.child.try_wait().unwrap().is_none() {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `what` holds.
pub fn eventually(name: &str, what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < SOON, "never: {name}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until each child that was forked so far runs its own program: until then it holds open what we had open at that
/// moment, a file for writing and a listener too, though we have closed it long since.
pub fn settle() {
    let own = std::fs::read_link("/proc/self/exe").unwrap();
    let is_ours =
        |child: &String| std::fs::read_link(format!("/proc/{child}/exe")).is_ok_and(|exe| exe == own);
    for child in children() {
        eventually("a child runs its own program", || !is_ours(&child));
    }
}

/// The processes that any thread of ours has started and not waited for.
fn children() -> Vec<String> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let of = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("children"));
    let lists = threads.filter_map(|thread| of(thread).ok());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}
