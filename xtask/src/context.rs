//! Where programs run: the folders, the search path, and the one way to start a program.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, fs, io};

use crate::command::{self, Ran, TempDir};

/// No command may take longer: well above a cold build with its tests on two cores, and a test that hangs
/// does not hold a CI machine for hours.
const COMMAND_LIMIT: Duration = Duration::from_secs(20 * 60);

pub(crate) struct Context {
    pub(crate) root: PathBuf,
    /// cargo's target folder.
    pub(crate) target: PathBuf,
    /// Where this project installs its tools: never outside of its target folder.
    pub(crate) tools: PathBuf,
    /// Where the output of each program goes. Not below the target folder: our own unit tests run inside of a
    /// step, and must not write to that step's log.
    logs: TempDir,
    /// Nothing may be skipped (`CI=true`).
    pub(crate) strict: bool,
}

impl Context {
    pub(crate) fn new(root: &Path) -> io::Result<Self> {
        let target =
            env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
        let tools = target.join("tools");
        fs::create_dir_all(&tools)?;
        let strict = env::var("CI").is_ok_and(|value| value == "true");
        Ok(Self { root: root.to_path_buf(), target, tools, logs: TempDir::new("logs")?, strict })
    }

    /// A command at the top of the checkout that finds our own tools first.
    pub(crate) fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(&self.root).env("PATH", self.search_path());
        command.env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// Runs `program` to its end.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Ran {
        self.finish(&mut self.command(program, args))
    }

    pub(crate) fn finish(&self, command: &mut Command) -> Ran {
        self.finish_within(command, COMMAND_LIMIT)
    }

    /// Runs `command` to its end, which must come within `limit`.
    pub(crate) fn finish_within(&self, command: &mut Command, limit: Duration) -> Ran {
        // Each has a log of its own, for some run side by side.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let log = format!("log-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        command::run(command, &self.logs.path().join(log), limit)
    }

    /// The program of this name on our search path.
    pub(crate) fn find(&self, program: &str) -> Option<PathBuf> {
        env::split_paths(&self.search_path()).map(|folder| folder.join(program)).find(|path| path.is_file())
    }

    fn search_path(&self) -> OsString {
        let mut path = self.tools.join("bin").into_os_string();
        if let Some(inherited) = env::var_os("PATH") {
            path.push(":");
            path.push(inherited);
        }
        // Debian keeps servers there, and not every user's path leads to it.
        path.push(":/usr/sbin");
        path
    }
}
