//! A fault in a running server: strace attached makes it begin, strace detached makes it end. What it traced meanwhile
//! tells which calls were hit, and which syncs really happened.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::matrix::Aim;
use crate::bench::process::signal;

/// Attaching takes some milliseconds, and on a busy machine some tenths of a second.
const ATTACH_LIMIT: Duration = Duration::from_secs(10);

/// Detaching too; after that it is killed, and the kernel lets its threads go.
const DETACH_LIMIT: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(2);

/// Traced beside the call that fails: what makes an upload durable.
const STORE_CALLS: &str = "linkat,fsync";

/// strace on every thread of a server, also of those to come.
#[derive(Debug)]
pub(super) struct Tracer {
    child: Child,
    output: PathBuf,
}

impl Tracer {
    /// Attaches to those threads of the process `pid` that are meant, with an injection where one is given. Returns when every thread is attached.
    pub(super) fn attach(
        pid: u32,
        call: &str,
        aim: Aim,
        injection: Option<&str>,
        output: &Path,
    ) -> Result<Self, String> {
        let mut command = Command::new("strace");
        // Paths of descriptors, no texts; names are printed whole all the same.
        command.args(["-q", "-y", "-s", "0"]);
        let mut calls = format!("trace={call},{STORE_CALLS}");
        let threads = match aim {
            // To follow is to attach to every thread, whichever is named.
            Aim::Everywhere | Aim::Path(_) => {
                command.arg("-f");
                threads(pid, "")
            }
            Aim::Pool(_) => {
                // A job that ends before it is waited for wakes nobody: its first call takes a moment.
                command.args(["-e", "inject=openat:delay_enter=20000"]);
                calls.push_str(",openat");
                threads(pid, "pool-")
            }
        };
        if threads.is_empty() {
            return Err("there is no thread to attach to".to_owned());
        }
        command.args(["-e", &calls]);
        if let Some(injection) = injection {
            command.args(["-e", injection]);
        }
        if let Aim::Path(path) = aim {
            command.args(["-P", path]);
        }
        command.arg("-o").arg(output);
        for thread in &threads {
            command.args(["-p", &thread.to_string()]);
        }
        let said = output.with_extension("said");
        let stderr = fs::File::create(&said).map_err(|error| format!("strace: {error}"))?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn();
        let child = child.map_err(|error| format!("no strace: {error}"))?;
        let mut tracer = Self { child, output: output.to_path_buf() };
        let deadline = Instant::now() + ATTACH_LIMIT;
        while !threads.iter().all(|thread| is_traced(pid, *thread)) {
            let ended = !matches!(tracer.child.try_wait(), Ok(None));
            if ended || Instant::now() >= deadline {
                let said = fs::read_to_string(said).unwrap_or_default();
                return Err(format!("strace does not attach: {said}"));
            }
            thread::sleep(POLL);
        }
        Ok(tracer)
    }

    /// Lets go: the fault is over.
    pub(super) fn detach(mut self) -> Trace {
        self.end();
        Trace::read(&fs::read(&self.output).unwrap_or_default())
    }

    fn end(&mut self) {
        // INT lets it write what it has.
        signal("INT", &[self.child.id()]);
        let deadline = Instant::now() + DETACH_LIMIT;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() >= deadline {
                let _ = self.child.kill();
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.end();
    }
}

/// The threads of a process whose names begin with this.
fn threads(pid: u32, name: &str) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let named = tasks
        .filter(|task| fs::read_to_string(task.path().join("comm")).unwrap_or_default().starts_with(name));
    named.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
}

/// Also of one that has ended meanwhile.
fn is_traced(pid: u32, thread: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).unwrap_or_default();
    !status.contains("TracerPid:\t0\n")
}

/// The calls of a trace in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Trace {
    calls: Vec<Call>,
}

/// A call from its begin to its end, in lines of the trace; other threads' calls may stand between.
#[derive(Debug)]
struct Call {
    begin: usize,
    end: usize,
    text: String,
}

impl Trace {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut calls: Vec<Call> = Vec::new();
        let mut unfinished: HashMap<String, usize> = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let Some((thread, text)) = line.split_once(' ') else { continue };
            let text = text.trim_start();
            if let Some(tail) = text.strip_prefix("<... ") {
                let Some(call) = unfinished.remove(thread).and_then(|at| calls.get_mut(at)) else { continue };
                call.end = at;
                call.text.push_str(tail.split_once("resumed>").map_or("", |(_, tail)| tail));
                continue;
            }
            let begun = text.strip_suffix("<unfinished ...>");
            if begun.is_some() {
                unfinished.insert(thread.to_owned(), calls.len());
            }
            let end = if begun.is_some() { usize::MAX } else { at };
            let text = begun.unwrap_or(text).to_owned();
            calls.push(Call { begin: at, end, text });
        }
        Self { calls }
    }

    /// How often `call` failed by our will.
    pub(super) fn hits(&self, call: &str) -> usize {
        self.calls.iter().filter(|one| one.is(call) && one.is_injected()).count()
    }

    /// How often any call did.
    pub(super) fn all_hits(&self) -> usize {
        self.calls.iter().filter(|one| one.is_injected()).count()
    }

    /// How often the kernel itself answered with this error.
    pub(super) fn refusals(&self, errno: &str) -> usize {
        let answer = format!(" = -1 {errno} ");
        self.calls.iter().filter(|one| !one.is_injected() && one.text.contains(&answer)).count()
    }

    /// Whether one of them was meant for the descriptor by which threads wake the event loop.
    pub(super) fn hits_event_loop(&self) -> bool {
        self.calls.iter().any(|call| call.is_injected() && call.text.contains("anon_inode:[eventfd]"))
    }

    /// Whether the file `name` was synced, got its name, and the folder was synced after that. What strace replaced by
    /// a success of its own never happened.
    pub(super) fn is_durable(&self, name: &str, folder: &Path) -> bool {
        let quoted = format!("\"{name}\"");
        let of_folder = format!("<{}>", folder.display());
        let done =
            |call: &&Call, name: &str| call.is(name) && call.text.contains("= 0") && !call.is_injected();
        let of_file = |sync: &&Call, link: &Call| !sync.text.contains(&of_folder) && link.names_file_of(sync);
        let link = self.calls.iter().find(|call| done(call, "linkat") && call.text.contains(&quoted));
        link.is_some_and(|link| {
            let mut syncs = self.calls.iter().filter(|call| done(call, "fsync"));
            syncs.any(|sync| sync.end < link.begin && of_file(&sync, link))
                && syncs.any(|sync| sync.begin > link.end && sync.text.contains(&of_folder))
        })
    }
}

impl Call {
    fn is(&self, name: &str) -> bool {
        self.text.strip_prefix(name).is_some_and(|rest| rest.starts_with('('))
    }

    /// Whether this link is of the file that `sync` made durable: an unnamed file is known by its inode or, where it is
    /// linked by way of `/proc`, by its descriptor; a staging file by its name.
    fn names_file_of(&self, sync: &Self) -> bool {
        let own = sync.text.rsplit('/').next().and_then(|rest| rest.split('>').next());
        let number = sync.text.split(['(', '<']).nth(1).unwrap_or_default();
        own.is_some_and(|own| self.text.contains(own))
            || self.text.contains(&format!("/proc/self/fd/{number}\""))
    }

    fn is_injected(&self) -> bool {
        self.text.ends_with("(INJECTED)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: [&str; 4] = [
        "7 fsync(9</up/#5>(deleted)) = 0",
        "7 linkat(9</up/#5>(deleted), \"\", 8</up>, \"upload_x.json\", AT_EMPTY_PATH <unfinished ...>",
        "7 <... linkat resumed>) = 0",
        "8 fsync(8</up>) = 0",
    ];

    fn is_durable(lines: &[&str]) -> bool {
        Trace::read(lines.join("\n").as_bytes()).is_durable("upload_x.json", Path::new("/up"))
    }

    #[test]
    fn an_upload_is_durable_by_both_syncs_and_its_link() {
        assert!(is_durable(&STORED));
        let by_proc =
            "7 linkat(AT_FDCWD</>, \"/proc/self/fd/9\", 8</up>, \"upload_x.json\", AT_SYMLINK_FOLLOW) = 0";
        assert!(is_durable(&[STORED[0], by_proc, STORED[3]]));
        assert!(!is_durable(&[&STORED[0].replace('9', "6"), by_proc, STORED[3]]), "of another file");
        assert!(!is_durable(&STORED[1..]), "no sync of the file");
        assert!(!is_durable(&STORED[..3]), "no sync of the folder");
        assert!(!is_durable(&[STORED[0], STORED[3]]), "no link");
        assert!(!is_durable(&[STORED[3], STORED[0], STORED[1], STORED[2]]), "a sync of the folder before");
    }

    #[test]
    fn a_sync_that_strace_made_up_never_happened() {
        let faked = "7 fsync(9</up/#5>(deleted)) = 0 (INJECTED)";
        assert!(!is_durable(&[faked, STORED[1], STORED[2], STORED[3]]));
        let faked = "8 fsync(8</up>) = 0 (INJECTED)";
        assert!(!is_durable(&[STORED[0], STORED[1], STORED[2], faked]));
    }

    #[test]
    fn hits_are_counted_by_their_call() {
        let trace = Trace::read(
            b"7 write(17<anon_inode:[eventfd]>, \"\"..., 8) = -1 EIO (Input/output error) (INJECTED)\n\
              7 fsync(9) = 0\n",
        );
        assert_eq!((trace.hits("write"), trace.hits("fsync")), (1, 0));
        assert!(trace.hits_event_loop());
    }
}
