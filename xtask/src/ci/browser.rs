//! Pages in a real browser: each script of `crates/tidegate/tests/browser/` against a server of its own, in the clear and
//! over TLS, where a browser chooses HTTP/2.
//!
//! A script is a `node:test` file. It is told `TIDEGATE_URL` (with its closing slash) of a server of the bundled site,
//! `TIDEGATE_PROGRAM` and `TIDEGATE_FLAGS` to start another, and `CHROMIUM` (the program), and finds `playwright-core` by
//! `createRequire(import.meta.url)`. What scripts share lies in folders below them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use std::{fs, thread};

use super::report::{Report, Tally};
use super::setup::{CHROMIUM, NODE};
use crate::command::{self, TempDir};
use crate::context::Context;
use crate::parallel::in_parallel;
use crate::tools;

const SCRIPTS: &str = "crates/tidegate/tests/browser";

/// The flags of its server, for each way a browser comes.
const WAYS: [&str; 2] = ["", "--tls-self-signed"];

/// So many run at once: a page waits for most of its time.
const BROWSERS: usize = 2;

/// The server says its address within milliseconds; a loaded machine gets a thousand times that.
const START_LIMIT: Duration = Duration::from_secs(10);

/// Builds the server and runs every script.
pub(super) fn run(context: &Context) -> Report {
    let built = context.run("cargo", &["build", "-p", "tidegate"]);
    if !built.success {
        return Report::failed(built.output);
    }
    let scripts = scripts(&context.root.join(SCRIPTS));
    if scripts.is_empty() {
        return Report::failed(format!("there is no script in {SCRIPTS}"));
    }
    let visits: Vec<_> = scripts.iter().flat_map(|script| WAYS.map(|flags| (script, flags))).collect();
    let reports = in_parallel(&visits, BROWSERS, |(script, flags)| {
        run_script(context, script, flags).unwrap_or_else(Report::failed)
    });
    Report::sum(reports)
}

/// An `Err` says why the script could not even begin.
fn run_script(context: &Context, script: &Path, flags: &str) -> Result<Report, String> {
    let chromium = context.find(CHROMIUM.name).ok_or("chromium is not there")?;
    let folder = TempDir::new("browser").map_err(|error| format!("no temporary folder: {error}"))?;
    let server = Server::start(tidegate(context, flags, &folder), folder)?;
    let mut node = context.command(NODE.name, &["--test-reporter=tap"]);
    node.arg(script)
        .env("TIDEGATE_URL", &server.url)
        .env("TIDEGATE_PROGRAM", program(context))
        .env("TIDEGATE_FLAGS", flags)
        .env("CHROMIUM", chromium)
        .env("NODE_PATH", tools::node_modules(context));
    let ran = context.finish(&mut node);
    let tally = tap_tally(&ran.output);
    Ok(Report::counted(ran, tally))
}

/// The freshly built server with the bundled site and a throw-away uploads folder.
fn tidegate(context: &Context, flags: &str, folder: &TempDir) -> Command {
    let mut command = Command::new(program(context));
    command
        .env_clear() // A TIDEGATE_ variable of the developer's shell must not change what is tested.
        .args(["--port", "0"])
        .args(flags.split_whitespace())
        .arg("--root")
        .arg(context.root.join("resources"))
        .arg("--uploads")
        .arg(folder.path().join("uploads"));
    command
}

fn program(context: &Context) -> PathBuf {
    context.target.join("debug").join("tidegate")
}

/// A running server; stopped on drop.
struct Server {
    child: Child,
    url: String,
    _folder: TempDir,
}

impl Server {
    /// Starts `program` and waits until it says its address. `folder` lives as long as the server.
    fn start(mut program: Command, folder: TempDir) -> Result<Self, String> {
        let log = folder.path().join("log");
        let child = command::spawn(&mut program, &log);
        let child = child.map_err(|error| format!("cannot start the server: {error}"))?;
        let mut server = Self { child, url: String::new(), _folder: folder };
        server.url = server.wait_for_url(&log)?;
        Ok(server)
    }

    /// Reads the address from the start-up block (RUN-1).
    fn wait_for_url(&mut self, log: &Path) -> Result<String, String> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let said = fs::read_to_string(log).unwrap_or_default();
            if let Some(url) = local_url(&said) {
                return Ok(url);
            }
            let ended = self.child.try_wait().is_ok_and(|status| status.is_some());
            if ended || Instant::now() >= deadline {
                return Err(format!("the server did not say its address; it said:\n{said}"));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to stop.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first complete loopback URL in `text`. Without its closing slash the port may be half-written.
fn local_url(text: &str) -> Option<String> {
    const BASE: &str = "://127.0.0.1:";
    let mut places = text.match_indices(BASE);
    places.find_map(|(at, _)| {
        let scheme = text[..at].rsplit(' ').next().filter(|scheme| ["http", "https"].contains(scheme))?;
        let (port, _) = text[at + BASE.len()..].split_once('/')?;
        port.parse::<u16>().ok().map(|port| format!("{scheme}{BASE}{port}/"))
    })
}

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut scripts: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "mjs")).collect();
    scripts.sort();
    scripts
}

/// Reads the closing lines of a TAP report: `# pass 4`, `# fail 0`, `# skipped 0`.
fn tap_tally(output: &str) -> Tally {
    let count = |label: &str| {
        let counts = output.lines().filter_map(|line| line.strip_prefix(label)?.trim().parse::<usize>().ok());
        counts.sum()
    };
    Tally { passed: count("# pass "), failed: count("# fail "), skipped: count("# skipped ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_start_up_block() {
        let block = "tidegate 0.1.0\n  url   http://127.0.0.1:43210/\n";
        assert_eq!(local_url(block).as_deref(), Some("http://127.0.0.1:43210/"));
        assert_eq!(local_url("  url  https://127.0.0.1:8443/\n").as_deref(), Some("https://127.0.0.1:8443/"));
        assert_eq!(local_url("url http://127.0.0.1:432"), None);
        assert_eq!(local_url("url http://127.0.0.1:x/"), None);
    }

    fn started(script: &str) -> Result<Server, String> {
        let mut program = Command::new("sh");
        program.args(["-c", script]);
        Server::start(program, TempDir::new("browser").unwrap())
    }

    #[test]
    fn a_server_is_up_when_it_says_where_and_gone_when_dropped() {
        let server = started("echo url http://127.0.0.1:43210/; exec sleep 60").unwrap();
        assert_eq!(server.url, "http://127.0.0.1:43210/");
        let process = PathBuf::from(format!("/proc/{}", server.child.id()));
        assert!(process.exists());
        drop(server);
        assert!(!process.exists());
    }

    #[test]
    fn a_server_that_does_not_start_is_quoted() {
        let problem = started("echo port in use; exit 1").err().unwrap();
        assert!(problem.ends_with("port in use\n"), "{problem}");
    }

    #[test]
    fn tap_counts_are_read() {
        let output = "ok 1 - a\n# tests 6\n# pass 4\n# fail 1\n# cancelled 0\n# skipped 1\n";
        assert_eq!(tap_tally(output), Tally { passed: 4, failed: 1, skipped: 1 });
        assert_eq!(tap_tally("SyntaxError"), Tally::default());
    }
}
