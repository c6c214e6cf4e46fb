//! File systems of our own: mounted where only this process and its children see them.

use std::os::unix::process::{CommandExt, parent_id};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use crate::context::Context;
use crate::{Verdict, tools};

/// A file system is busy for a moment after its last user was killed.
const UNMOUNT_LIMIT: Duration = Duration::from_secs(5);

/// A mounted file system; unmounted on drop.
pub(crate) struct Mount<'a> {
    context: &'a Context,
    /// For `mount`: options, and what is mounted.
    args: Vec<String>,
    at: PathBuf,
}

/// Does `work` of the command `name` where mounts are seen by nobody else: becomes the same command with mounts of its
/// own first. The kernel then removes them with our last process, however it ends. `need` says why that takes root.
pub(crate) fn apart(
    name: &str,
    flags: &[&str],
    need: &str,
    work: impl FnOnce() -> Result<Verdict, String>,
) -> Verdict {
    let done = if !tools::is_root() {
        Err(need.to_owned())
    } else if is_apart() {
        work()
    } else {
        Err(format!("no mounts of our own: {}", become_apart(&[&[name], flags].concat())))
    };
    done.unwrap_or_else(|problem| {
        eprintln!("{name}: {problem}");
        Verdict::Bad
    })
}

fn is_apart() -> bool {
    let mounts = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    mounts("self") != mounts(&parent_id().to_string())
}

/// Returns only what stood in the way.
fn become_apart(words: &[&str]) -> io::Error {
    match env::current_exe() {
        Ok(program) => Command::new("unshare").args(["--mount", "--"]).arg(program).args(words).exec(),
        Err(error) => error,
    }
}

impl<'a> Mount<'a> {
    /// Mounts at `at`, a folder that is made where it is missing; `args` are options, and what is mounted.
    pub(crate) fn new(context: &'a Context, args: &[&str], at: &Path) -> Result<Self, String> {
        fs::create_dir_all(at).map_err(|error| format!("nowhere to mount: {error}"))?;
        let args = args.iter().map(ToString::to_string).collect();
        let mount = Self { context, args, at: at.to_path_buf() };
        mount.mount()?;
        Ok(mount)
    }

    /// Memory of at most so many mebibytes.
    pub(crate) fn memory(context: &'a Context, mebibytes: u64, at: &Path) -> Result<Self, String> {
        Self::new(context, &["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"], at)
    }

    pub(crate) fn at(&self) -> &Path {
        &self.at
    }

    /// Takes it away from whoever is left, and brings it back.
    pub(crate) fn again(&self) -> Result<(), String> {
        let deadline = Instant::now() + UNMOUNT_LIMIT;
        while let Err(problem) = run(self.context, "umount", &[&text(&self.at)]) {
            if Instant::now() >= deadline {
                return Err(problem);
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.mount()
    }

    fn mount(&self) -> Result<(), String> {
        let at = text(&self.at);
        let args: Vec<&str> = self.args.iter().map(String::as_str).chain([at.as_str()]).collect();
        run(self.context, "mount", &args)
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        // Lazily: who is still on it is about to be killed. One that will not go goes with our last process.
        let _ = run(self.context, "umount", &["--lazy", &text(&self.at)]);
    }
}

/// Runs a program that must succeed; an `Err` is what it said.
pub(crate) fn run(context: &Context, program: &str, args: &[&str]) -> Result<(), String> {
    let ran = context.run(program, args);
    if ran.success { Ok(()) } else { Err(format!("{program} {}: {}", args.join(" "), ran.output)) }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
