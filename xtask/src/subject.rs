//! The server that another project's tool examines: our binary as it is by default, on a free port of loopback, ended
//! on drop.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::bench::process::{self, Process};
use crate::bench::servers;
use crate::command::TempDir;
use crate::context::Context;

/// It listens within milliseconds; a loaded machine gets a thousand times that.
const START_LIMIT: Duration = Duration::from_secs(10);

/// What it serves: some tools take an empty answer for none.
const PAGE: &str = "<!doctype html>\n<title>A page</title>\n<h1>A page</h1>\n";
/// So often, which is more than the first window of HTTP/2: its stream is still open when a test sends the next frame.
const TIMES: usize = 4_000;

/// A server that listens.
pub(crate) struct Subject {
    pub(crate) port: u16,
    _process: Process,
    _folder: TempDir,
}

impl Subject {
    /// Starts `program` with `flags` beside its port and its root. An `Err` says what it said.
    pub(crate) fn start(context: &Context, program: &Path, flags: &[String]) -> Result<Self, String> {
        let folder = TempDir::new("subject").map_err(|error| format!("no temporary folder: {error}"))?;
        let page = fs::write(folder.path().join("index.html"), PAGE.repeat(TIMES));
        page.map_err(|error| format!("no page to serve: {error}"))?;
        let port = servers::free_port().map_err(|error| format!("no free port: {error}"))?;
        let mut command = process::tethered(context, None, program);
        // A TIDEGATE_ variable of the developer's shell must not change what is examined.
        command.env_clear().args(["--port", &port.to_string(), "--root"]).arg(folder.path()).args(flags);
        Self::wait(&mut command, port, folder)
    }

    fn wait(command: &mut Command, port: u16, folder: TempDir) -> Result<Self, String> {
        // Beside the folder, not in it: what is said is not served.
        let log = folder.path().with_extension("log");
        let started = Process::start(command, &log).map_err(|error| format!("no server: {error}"));
        let deadline = Instant::now() + START_LIMIT;
        let listens = started.and_then(|mut process| {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
                if process.has_ended() || Instant::now() >= deadline {
                    let said = fs::read_to_string(&log).unwrap_or_default();
                    return Err(format!("the server did not come up; it said:\n{said}"));
                }
                thread::sleep(Duration::from_millis(5));
            }
            Ok(process)
        });
        // It writes on: the name alone is gone.
        let _ = fs::remove_file(&log);
        Ok(Self { port, _process: listens?, _folder: folder })
    }
}

/// The binary that `--binary` names, or else one freshly built.
pub(crate) fn program(context: &Context, given: Option<&Path>) -> Result<PathBuf, String> {
    if let Some(program) = given {
        return Ok(program.to_path_buf());
    }
    let ran = context.run("cargo", &["build", "-p", "tidegate"]);
    let program = context.target.join("debug").join("tidegate");
    if ran.success { Ok(program) } else { Err(format!("the build failed:\n{}", ran.output)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(script: &str) -> Result<Subject, String> {
        let folder = TempDir::new("subject").unwrap();
        Subject::wait(Command::new("sh").args(["-c", script]), servers::free_port().unwrap(), folder)
    }

    #[test]
    fn a_server_that_does_not_come_up_is_quoted() {
        let problem = started("echo port in use; exit 1").err().unwrap();
        assert!(problem.ends_with("port in use\n"), "{problem}");
    }
}
