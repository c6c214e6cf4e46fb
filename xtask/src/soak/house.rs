//! The server of a soak: its configuration, its processes one after another, and the disk of its uploads.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::context::Context;
use crate::crash::victim::{Scene, Victim, Way};
use crate::dice::Dice;
use crate::mounts::{Mount, run, text};

/// What a server has to end the requests under way: longer than any but the slow ones need.
const DRAIN: Duration = Duration::from_secs(3);
/// And to end afterwards, on a busy machine.
const GRACE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

/// Kibibytes that a full disk still has: less than an upload of a page needs.
const REST: u64 = 4;
/// Uploads go on while the disk is made full.
const FULL_TRIES: u32 = 20;

/// Keep-alive by configuration, in seconds: what a client sees of a reload.
pub(super) const KEEP_ALIVE: u64 = 30;

/// A server that runs, and what it takes to run the next one.
pub(super) struct House<'a> {
    context: &'a Context,
    binary: &'a Path,
    folder: PathBuf,
    flags: Vec<String>,
    pub(super) port: u16,
    victim: Victim,
    /// Logs are kept apart, one for each process.
    started: u32,
    /// Where uploads lie, in memory, of so many mebibytes where it is not made full.
    disk: Mount<'a>,
    disk_size: u64,
}

/// What a process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) descriptors: usize,
    /// Bytes of heaps and stacks.
    pub(super) memory: u64,
}

impl<'a> House<'a> {
    /// Starts the first server. `folder` has the files to serve in `root`; the disk of the uploads has `disk_size`
    /// mebibytes.
    pub(super) fn new(
        context: &'a Context,
        binary: &'a Path,
        folder: &Path,
        disk_size: u64,
        dice: &mut Dice,
    ) -> Result<Self, String> {
        let disk = Mount::memory(context, disk_size, &folder.join("uploads"))?;
        let port = free_port(dice)?;
        let drain = format!("{}s", DRAIN.as_secs());
        let mut flags = ["--drain", &drain, "--port", &port.to_string()].map(str::to_owned).to_vec();
        for (flag, name) in
            [("--config", "config"), ("--root", "root"), ("--uploads", "uploads"), ("--control", "control")]
        {
            flags.extend([flag.to_owned(), text(&folder.join(name))]);
        }
        write_config(folder, &config(KEEP_ALIVE))?;
        let victim = spawn(context, binary, folder, &flags, 0)?;
        let folder = folder.to_path_buf();
        let mut house = Self { context, binary, folder, flags, port, victim, started: 1, disk, disk_size };
        house.victim.port()?;
        Ok(house)
    }

    /// The folder of the uploads.
    pub(super) fn uploads(&self) -> &Path {
        self.disk.at()
    }

    /// Whether this build knows `--takeover`.
    pub(super) fn can_take_over(&self) -> bool {
        self.context.run(&text(self.binary), &["--help"]).output.contains("--takeover")
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.victim.ended().is_some()
    }

    /// SIGKILL, and a new one.
    pub(super) fn kill_and_start(&mut self) -> Result<(), String> {
        self.victim.kill().map_err(|error| format!("the server cannot be killed: {error}"))?;
        self.start(&[])
    }

    /// SIGTERM, its end, and a new one.
    pub(super) fn end_and_start(&mut self) -> Result<(), String> {
        self.signal("TERM")?;
        has_drained(wait(&mut self.victim)?)?;
        self.start(&[])
    }

    /// A new server that takes the place of the running one.
    pub(super) fn take_over(&mut self) -> Result<(), String> {
        let flags = [&self.flags[..], &["--takeover".to_owned()]].concat();
        let mut next = spawn(self.context, self.binary, &self.folder, &flags, self.started)?;
        next.port()?;
        self.started += 1;
        let mut before = std::mem::replace(&mut self.victim, next);
        has_drained(wait(&mut before)?)
    }

    /// Writes the configuration, where there is one, and sends HUP.
    pub(super) fn reload(&self, config: &str) -> Result<(), String> {
        write_config(&self.folder, config)?;
        self.signal("HUP")
    }

    /// Puts a configuration in its place that the next start or reload will read.
    pub(super) fn restore(&self, config: &str) -> Result<(), String> {
        write_config(&self.folder, config)
    }

    /// How often the running server said this.
    pub(super) fn times_said(&self, what: &str) -> usize {
        fs::read_to_string(log(&self.folder, self.started - 1)).unwrap_or_default().matches(what).count()
    }

    /// Makes the disk of the uploads as small as what lies there.
    pub(super) fn fill_disk(&self) -> Result<(), String> {
        let uploads = text(self.uploads());
        let mut said = String::new();
        for _ in 0..FULL_TRIES {
            let ran = self.context.run("df", &["--output=used", "-k", &uploads]);
            let used: Option<u64> = ran.output.lines().nth(1).and_then(|line| line.trim().parse().ok());
            let used = used.ok_or_else(|| format!("df said:\n{}", ran.output))?;
            let options = format!("remount,size={}k", used + REST);
            match run(self.context, "mount", &["-o", &options, &uploads]) {
                Ok(()) => return Ok(()),
                Err(problem) => said = problem,
            }
        }
        Err(format!("the disk cannot be made full: {said}"))
    }

    pub(super) fn empty_disk(&self) -> Result<(), String> {
        let options = format!("remount,size={}m", self.disk_size);
        run(self.context, "mount", &["-o", &options, &text(self.uploads())])
    }

    /// What the running process holds now.
    pub(super) fn held(&self) -> Held {
        let process = PathBuf::from(format!("/proc/{}", self.victim.id()));
        let descriptors = fs::read_dir(process.join("fd")).map_or(0, Iterator::count);
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        Held { descriptors, memory: kib.unwrap_or(0) * 1024 }
    }

    /// Ends the last server, which must take its leave in time.
    pub(super) fn end(mut self) -> Result<(), String> {
        self.signal("TERM")?;
        has_drained(wait(&mut self.victim)?)
    }

    fn start(&mut self, more: &[String]) -> Result<(), String> {
        let flags = [&self.flags[..], more].concat();
        self.victim = spawn(self.context, self.binary, &self.folder, &flags, self.started)?;
        self.started += 1;
        self.victim.port().map(drop)
    }

    fn signal(&self, name: &str) -> Result<(), String> {
        run(self.context, "kill", &[&format!("-{name}"), &self.victim.id().to_string()])
    }
}

/// What is in the file that the server reads: loopback is limited like everybody, for all our clients live there.
pub(super) fn config(keep_alive: u64) -> String {
    format!("[limits]\nkeep_alive = \"{keep_alive}s\"\nlimit_loopback = true\n[log]\naccess = \"off\"\n")
}

fn write_config(folder: &Path, text: &str) -> Result<(), String> {
    fs::write(folder.join("config"), text).map_err(|error| format!("no configuration: {error}"))
}

fn log(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("log-{number}"))
}

fn spawn(
    context: &Context,
    binary: &Path,
    folder: &Path,
    flags: &[String],
    number: u32,
) -> Result<Victim, String> {
    Victim::spawn(Scene { context, binary, log: &log(folder, number), flags }, Way::Unnamed)
}

fn wait(victim: &mut Victim) -> Result<ExitStatus, String> {
    let deadline = Instant::now() + DRAIN + GRACE;
    while Instant::now() < deadline {
        if let Some(status) = victim.ended() {
            return Ok(status);
        }
        thread::sleep(LOOK);
    }
    Err("the server did not end when it was told to".to_owned())
}

/// 3 tells that slow clients were cut at the end of the drain (RUN-5).
fn has_drained(status: ExitStatus) -> Result<(), String> {
    match status.code() {
        Some(0 | 3) => Ok(()),
        _ => Err(format!("the server ended with {status} when it was told to")),
    }
}

/// Free when asked, and below those that the kernel gives to connections, for the server comes back to it.
fn free_port(dice: &mut Dice) -> Result<u16, String> {
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let mut drawn = (0..100).map(|_| 10_000 + u16::try_from(dice.below(20_000)).unwrap_or(0));
    drawn.find(free).ok_or_else(|| "no port is free".to_owned())
}
