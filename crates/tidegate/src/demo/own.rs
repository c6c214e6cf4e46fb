//! The demo's own server: a child process in a temporary folder, both gone when it is dropped.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::client::{Client, Stop, Target};
use super::secure::Secure;

/// How long anything that should happen soon may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// How long an interrupted server may take to end by itself.
const POLITE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(5);

/// A text in the configuration, and what stands there instead.
pub(super) type Change = (&'static str, &'static str);

const CONFIG_NAME: &str = "tidegate.toml";

/// The configuration to begin with: short deadlines, two pool threads and a queue of two.
const CONFIG: &str = r#"[server]
port = 0
threads = 2
queue = 2
drain = "10s"

[limits]
header_timeout = "1s"
keep_alive = "5s"
max_connections = 300

[files]
root = "site"
listing = true

[uploads]
dir = "uploads"

[log]
file = "server.log"
"#;

/// The site that is served: names of the bundled one, a folder with an index and one without.
const PAGES: [(&str, &str); 6] = [
    ("index.html", "<!doctype html>\n<title>tidegate</title>\n<h1>Multi-threaded HTTP Server Running</h1>\n"),
    ("sample.txt", "The tide comes in, the gate decides.\n"),
    ("sample.json", "{\"name\": \"tidegate\", \"threads\": 2}\n"),
    ("tides/index.html", "<!doctype html>\n<title>Tides</title>\n<h1>High water at noon</h1>\n"),
    ("harbour/boats.txt", "Four boats.\n"),
    ("harbour/chart.txt", "Keep between the buoys.\n"),
];

/// The smallest picture: its signature is all that the tour looks at.
const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR";

/// Lines of the page that is worth a coding: some kilobytes of text.
const LONG_LINES: u32 = 200;

/// Lines of the large file.
const LARGE_LINES: u32 = 160_000;

/// A server process of our own.
pub(super) struct Own {
    /// How to reach it.
    pub(super) target: Target,
    child: Child,
    folder: PathBuf,
}

impl Own {
    /// Lays out the folder, starts the server with a configuration that differs by `changes`, and waits until it is
    /// ready.
    pub(super) fn start(stop: &Stop, changes: &[Change]) -> io::Result<Self> {
        let folder = Folder::new()?;
        lay_out(&folder.0, changes)?;
        let errors = File::create(folder.0.join("errors.txt"))?;
        let child = tidegate(&folder.0)?
            .args(["-c", CONFIG_NAME])
            // An interrupt from the terminal is for the tour, which ends the server in its own way.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()?;
        let addr = ([127, 0, 0, 1], 0).into();
        let target = Target { addr, host: String::new(), secure: None, patience: SOON, stop: stop.clone() };
        let mut own = Self { target, child, folder: folder.keep() };
        own.find()?;
        own.wait_until_ready()?;
        Ok(own)
    }

    /// Learns from the start-up block where it is, and by which certificate it is known.
    fn find(&mut self) -> io::Result<()> {
        let line = self.wait_for_log("  url ", 0)?;
        let host = line.rsplit("://").next().unwrap_or_default().trim_end_matches('/').to_owned();
        self.target.addr = host.parse().map_err(|_| io::Error::other(format!("no address in {line:?}")))?;
        self.target.host = host;
        if line.contains("https://") {
            let line = self.wait_for_log("SHA-256 ", 0)?;
            let fingerprint = line.rsplit(' ').next().unwrap_or_default();
            self.target.secure = Some(Secure::pinned(fingerprint));
        }
        Ok(())
    }

    fn wait_until_ready(&self) -> io::Result<()> {
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {}\r\n\r\n", self.target.host);
        let begun = Instant::now();
        while begun.elapsed() < SOON {
            let mut client = Client::connect(&self.target)?;
            client.send(request.as_bytes());
            if client.response(false).is_ok_and(|response| response.status == 200) {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        Err(io::Error::other("the server does not become ready"))
    }

    /// A file of the site, or a stored upload: `site/NAME`, `uploads/NAME`.
    pub(super) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.folder.join(name))
    }

    /// Names in the uploads folder, hidden ones too.
    pub(super) fn uploads(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(self.folder.join("uploads"))?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    /// Everything it has logged.
    pub(super) fn log(&self) -> String {
        fs::read(self.folder.join("server.log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Waits for a line of the log that contains `text`, not looking at its first `known` bytes.
    pub(super) fn wait_for_log(&mut self, text: &str, known: usize) -> io::Result<String> {
        let begun = Instant::now();
        loop {
            let log = self.log();
            // A line counts when it is whole.
            let mut lines = log.get(known..).unwrap_or_default().split_inclusive('\n');
            if let Some(line) = lines.find(|line| line.contains(text) && line.ends_with('\n')) {
                return Ok(line.trim_end().to_owned());
            }
            if let Some(status) = self.child.try_wait()? {
                let said = fs::read_to_string(self.folder.join("errors.txt")).unwrap_or_default();
                let why = format!("the server ended ({status}) before it said {text:?}: {}", said.trim());
                return Err(io::Error::other(why));
            }
            self.keep_waiting(begun, || format!("the log never said {text:?}"))?;
        }
    }

    /// Replaces the configuration by `change`d text and asks the server to read it.
    pub(super) fn reload(&self, changes: &[Change]) -> io::Result<()> {
        fs::write(self.folder.join(CONFIG_NAME), changed(changes))?;
        self.signal(Signal::HUP)
    }

    /// What `tidegate bans WORDS` prints of this server, which must have a control socket.
    pub(super) fn bans(&self, words: &[&str]) -> io::Result<String> {
        let mut command = tidegate(&self.folder)?;
        let output = command.arg("bans").args(words).args(["-c", CONFIG_NAME]).output()?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("tidegate bans: {}", why.trim())));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Waits for its end.
    pub(super) fn wait(&mut self) -> io::Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            self.keep_waiting(begun, || "the server does not end".into())?;
        }
    }

    /// Removes the folder; what it was called.
    pub(super) fn remove(&self) -> io::Result<&Path> {
        fs::remove_dir_all(&self.folder)?;
        Ok(&self.folder)
    }

    /// Names of its threads.
    pub(super) fn threads(&self) -> io::Result<Vec<String>> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()))?;
        let mut names: Vec<_> = tasks
            .map(|task| Ok(fs::read_to_string(task?.path().join("comm"))?.trim().to_owned()))
            .collect::<io::Result<_>>()?;
        names.sort_unstable();
        Ok(names)
    }

    /// Memory that it holds, in KiB.
    pub(super) fn memory(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        Ok(line.split_whitespace().next().and_then(|count| count.parse().ok()).unwrap_or_default())
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// One short sleep of a wait that `begun` then.
    fn keep_waiting(&self, begun: Instant, late: impl Fn() -> String) -> io::Result<()> {
        if self.target.stop.is_asked() {
            return Err(io::Error::other("interrupted"));
        }
        if begun.elapsed() > SOON {
            return Err(io::Error::other(late()));
        }
        std::thread::sleep(POLL);
        Ok(())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let begun = Instant::now();
        // Once it was waited for, its number may be another's.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.terminate();
            while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < POLITE {
                std::thread::sleep(POLL);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A folder that is removed unless it is kept.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let number = u64::from_le_bytes(crate::random::bytes());
        let path = std::env::temp_dir().join(format!("tidegate-demo-{number:016x}"));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        Ok(Self(path))
    }

    fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// This program, for a run in `folder`. Settings of the environment are meant for another server.
fn tidegate(folder: &Path) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.current_dir(folder).env_clear();
    Ok(command)
}

/// The configuration with `changes`.
fn changed(changes: &[Change]) -> String {
    changes.iter().fold(CONFIG.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn lay_out(folder: &Path, changes: &[Change]) -> io::Result<()> {
    for name in ["site/tides", "site/harbour"] {
        fs::create_dir_all(folder.join(name))?;
    }
    fs::write(folder.join(CONFIG_NAME), changed(changes))?;
    for (name, content) in PAGES {
        fs::write(folder.join("site").join(name), content)?;
    }
    fs::write(folder.join("site/logo.png"), PICTURE)?;
    let long: String = (0..LONG_LINES).map(|number| format!("<p>Tide {number} came in.</p>\n")).collect();
    fs::write(folder.join("site/about.html"), format!("<!doctype html>\n<title>Tides</title>\n{long}"))?;
    let large: String = (0..LARGE_LINES).map(|number| format!("{number:07}\n")).collect();
    fs::write(folder.join("site/banner.png"), large)
}
