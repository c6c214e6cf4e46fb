//! A program that is measured: on a core of its own, with what its whole family of processes costs, ended on drop.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use crate::command;
use crate::context::Context;

/// A server has this long to end after TERM before it is killed. None has work left by then.
const END_LIMIT: Duration = Duration::from_secs(3);

/// `/proc/PID/stat` counts in ticks of `USER_HZ`, which is 100 on Linux for every program.
const NANOS_PER_TICK: u64 = 10_000_000;

/// A running program and its children.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

/// Memory of a family of processes, in bytes. A page shared by two of them counts half for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) pss: u64,
    /// The part that is no file: heaps and stacks.
    pub(crate) anonymous: u64,
}

/// `program`, limited to one core where one is given, and ended by the kernel should we die first (unless it takes
/// another user's rights, which unties it).
pub(crate) fn tethered(context: &Context, core: Option<&str>, program: &Path) -> Command {
    let mut command = context.command("setpriv", &["--pdeathsig", "TERM"]);
    if let Some(core) = core {
        command.args(["taskset", "--cpu-list", core]);
    }
    command.arg(program);
    command
}

impl Process {
    /// Starts `command` with its output on the file `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> io::Result<Self> {
        Ok(Self { child: command::spawn(command, log)? })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// `None` while it runs, and where a signal ended it.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.child.try_wait().ok().flatten().and_then(|status| status.code())
    }

    /// CPU nanoseconds used so far, by all threads of all its processes.
    pub(crate) fn cpu_nanos(&self) -> u64 {
        family(self.child.id()).into_iter().map(cpu_nanos).sum()
    }

    /// Memory now, of all its processes.
    pub(crate) fn memory(&self) -> Memory {
        let rollups = family(self.child.id()).into_iter().filter_map(|pid| {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            Some(read_memory(&rollup))
        });
        rollups.fold(Memory::default(), |sum, one| Memory {
            pss: sum.pss + one.pss,
            anonymous: sum.anonymous + one.anonymous,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A master that is killed at once would leave its workers behind: it is asked first.
        let pids = family(self.child.id());
        signal("TERM", &pids[..1]);
        let deadline = Instant::now() + END_LIMIT;
        while !self.has_ended() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        // Whoever outlives that, or was left behind by it, is not asked.
        let left: Vec<u32> =
            pids.into_iter().filter(|pid| Path::new(&format!("/proc/{pid}")).exists()).collect();
        if !left.is_empty() {
            signal("KILL", &left);
        }
        let _ = self.child.wait(); // It cannot refuse, and nothing depends on how it went.
    }
}

/// Sends the signal of this name.
pub(crate) fn signal(name: &str, pids: &[u32]) {
    let pids = pids.iter().map(u32::to_string);
    let _ = Command::new("kill").arg(format!("-{name}")).args(pids).stderr(Stdio::null()).status();
}

/// `root` and all that descend from it, `root` first.
fn family(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = numbers(Path::new("/proc"))
        .filter_map(|pid| {
            Some((pid, read_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?.parent))
        })
        .collect();
    let mut family = vec![root];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| pid));
        at += 1;
    }
    family
}

/// Threads that live are known to the nanosecond. What ended (threads, and children that were waited for) is in the
/// ticks of the process alone, so it is what these have beyond the living, and known to two ticks.
fn cpu_nanos(pid: u32) -> u64 {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let stat = fs::read_to_string(folder.join("stat")).ok().and_then(|stat| read_stat(&stat));
    let tasks = folder.join("task");
    let living: u64 = numbers(&tasks)
        .filter_map(|thread| fs::read_to_string(tasks.join(format!("{thread}/schedstat"))).ok())
        .filter_map(|schedstat| schedstat.split(' ').next()?.parse::<u64>().ok())
        .sum();
    living.max(stat.map_or(0, |stat| stat.ticks * NANOS_PER_TICK))
}

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// User and system time of all its threads, and of its children that were waited for.
    ticks: u64,
}

/// The second field, the program's name, may hold blanks and parentheses: fields are counted from its end.
fn read_stat(text: &str) -> Option<Stat> {
    let (_, after) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>());
    Some(Stat { parent: fields.get(1)?.parse().ok()?, ticks: ticks.sum::<Result<u64, _>>().ok()? })
}

fn read_memory(rollup: &str) -> Memory {
    let bytes = |label| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(label));
        let kib: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kib.unwrap_or(0) * 1024
    };
    Memory { pss: bytes("Pss:"), anonymous: bytes("Pss_Anon:") }
}

/// The entries of a folder of `/proc` that are numbers.
fn numbers(folder: &Path) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::TempDir;

    #[test]
    fn stat_is_read_behind_a_name_with_blanks_and_parentheses() {
        let stat = "7 (a) b) S 3 7 7 0 -1 4194304 1 2 3 4 50 60 7 8 20 0 1 0 99";
        assert_eq!(read_stat(stat), Some(Stat { parent: 3, ticks: 125 }));
        assert_eq!(read_stat("7 (a) S 3"), None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let rollup = "Rss:  9 kB\nPss:  5 kB\nPss_Dirty: 1 kB\nPss_Anon:  2 kB\n";
        assert_eq!(read_memory(rollup), Memory { pss: 5 * 1024, anonymous: 2 * 1024 });
    }

    #[test]
    fn a_family_is_counted_whole_and_ended_whole() {
        let folder = TempDir::new("process").unwrap();
        let context = Context::new(&crate::root()).unwrap();
        let script = "n=0; while [ $n -lt 50000 ]; do n=$((n+1)); done; sleep 60 & wait";
        let mut command = tethered(&context, Some("0"), Path::new("sh"));
        let process = Process::start(command.args(["-c", script]), &folder.path().join("log")).unwrap();
        let id = process.child.id();
        let deadline = Instant::now() + Duration::from_secs(10);
        while family(id).len() < 2 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        let pids = family(id);
        assert_eq!(pids.len(), 2);
        assert!(process.cpu_nanos() > 1_000_000 && process.memory().pss > 4096);
        drop(process);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
        // Nobody may have waited for the orphan yet; but what has ended has no command line.
        let command_line = || fs::read(format!("/proc/{}/cmdline", pids[1])).unwrap_or_default();
        while !command_line().is_empty() {
            assert!(Instant::now() < deadline, "a child was left behind");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
