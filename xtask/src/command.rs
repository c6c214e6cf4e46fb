//! Running another program: no stdin, one log for both its streams, and a deadline.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, io};

/// How often a running program is looked at. Short enough not to show in a step's time.
const POLL: Duration = Duration::from_millis(20);

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) success: bool,
    /// Everything it wrote to stdout and stderr, in order; where it could not run, why.
    pub(crate) output: String,
}

/// Runs `command` to its end, or kills it after `limit`. Its output goes through the file `log`, which is replaced:
/// a file has no pipe that fills up, and can be watched meanwhile.
pub(crate) fn run(command: &mut Command, log: &Path, limit: Duration) -> Ran {
    let ended = spawn(command, log).and_then(|child| wait(child, limit));
    let mut output =
        fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    match ended {
        Ok(Some(status)) => return Ran { success: status.success(), output },
        Ok(None) => output.push_str(&format!("\nkilled: not done after {} s\n", limit.as_secs())),
        Err(error) => output.push_str(&format!("could not run {}: {error}\n", name(command))),
    }
    Ran { success: false, output }
}

/// Starts `command` with both its streams on the file `log`.
pub(crate) fn spawn(command: &mut Command, log: &Path) -> io::Result<Child> {
    let stdout = File::create(log)?;
    let stderr = stdout.try_clone()?;
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn()
}

/// `None` where the child had to be killed at the deadline.
fn wait(mut child: Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// A folder of its own, below the system's temporary one where nothing else is said; removed on drop.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new(purpose: &str) -> io::Result<Self> {
        Self::new_in(&env::temp_dir(), purpose)
    }

    /// The same below `parent`, for what must lie on a certain file system.
    pub(crate) fn new_in(parent: &Path, purpose: &str) -> io::Result<Self> {
        // Neither another process nor another test of this one may be given the same folder.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("tidegate-{purpose}-{}-{number}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// Removes folders of this purpose whose processes ended without a chance to.
    pub(crate) fn sweep(parent: &Path, purpose: &str) {
        let prefix = format!("tidegate-{purpose}-");
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let process = name.strip_prefix(&prefix).and_then(|rest| rest.split('-').next());
            if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                // One that will not go is in nobody's way.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Nothing more can be done about a folder that will not go, and nothing depends on it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Ran {
        let folder = TempDir::new("command").unwrap();
        run(Command::new("sh").args(["-c", script]), &folder.path().join("log"), limit)
    }

    #[test]
    fn both_streams_and_the_exit_code_are_kept() {
        let ran = sh("echo out; echo err >&2; exit 3", Duration::from_secs(10));
        assert!(!ran.success);
        assert_eq!(ran.output, "out\nerr\n");
        assert!(sh("true", Duration::from_secs(10)).success);
    }

    #[test]
    fn a_program_that_hangs_is_killed_and_that_is_said() {
        let ran = sh("echo begun; exec sleep 60", Duration::from_secs(3));
        assert!(!ran.success);
        assert!(ran.output.starts_with("begun\n") && ran.output.contains("killed"), "{}", ran.output);
    }

    #[test]
    fn a_folder_is_swept_when_its_process_is_gone() {
        let parent = TempDir::new("command").unwrap();
        let mine = TempDir::new_in(parent.path(), "sweep").unwrap();
        // No process has so high a number.
        let left = parent.path().join("tidegate-sweep-4194305-0");
        fs::create_dir(&left).unwrap();
        TempDir::sweep(parent.path(), "sweep");
        assert!(mine.path().exists() && !left.exists());
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let folder = TempDir::new("command").unwrap();
        let log = folder.path().join("log");
        let ran = run(&mut Command::new("no-such-program"), &log, Duration::from_secs(1));
        assert!(!ran.success && ran.output.starts_with("could not run no-such-program: "), "{}", ran.output);
    }
}
