//! The servers that are measured: how each is started with one event-loop thread, and its version.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use super::certificate::Certificate;
use super::http::Client;
use super::process::{self, Process};
use super::wire::{WIRES, Wire};
use crate::context::Context;
use crate::tools::{self, Tool};

/// One row of every table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    /// Prints the version.
    version: &'static [&'static str],
    /// Below `bench/peers/`; empty where the command line says all.
    config: &'static str,
    /// Whether the server itself can end a connection after so many requests.
    pub(crate) ends_connections: bool,
    /// What it can speak.
    wires: &'static [Wire],
}

impl Kind {
    pub(crate) fn speaks(&self, wire: Wire) -> bool {
        self.wires.contains(&wire)
    }
}

/// What its figures mean to the others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// What cannot be undercut.
    Floor,
    /// What is judged.
    Ours,
    /// Ours in another build, or run in another way.
    Variant,
    /// What it is judged by.
    Peer,
}

pub(crate) const TIDEGATE: Kind = Kind {
    name: "tidegate",
    role: Role::Ours,
    version: &["--version"],
    config: "",
    ends_connections: true,
    wires: &WIRES,
};
/// The build given by `--binary`.
pub(crate) const TIDEGATE_B: Kind = Kind { name: "tidegate-b", role: Role::Variant, ..TIDEGATE };
/// Beside one with the log on: what the log costs.
pub(crate) const TIDEGATE_QUIET: Kind = Kind { name: "tidegate, no log", role: Role::Variant, ..TIDEGATE };
pub(crate) const FLOOR: Kind = Kind {
    name: "floor",
    role: Role::Floor,
    version: &[],
    ends_connections: false,
    wires: &[Wire::Clear],
    ..TIDEGATE
};

/// Everything that a plain run measures, in the order of the tables.
pub(crate) const KINDS: [Kind; 7] = [
    FLOOR,
    TIDEGATE,
    Kind { ends_connections: true, ..peer("nginx", "nginx.conf", &["-v"]) },
    peer("h2o", "h2o.conf", &["-v"]),
    Kind { ends_connections: true, ..peer("lighttpd", "lighttpd.conf", &["-v"]) },
    peer("caddy", "Caddyfile", &["version"]),
    Kind { wires: &[Wire::Clear], ..peer("static-web-server", "static-web-server.toml", &["--version"]) },
];

/// Of crates.io, pinned; without TLS, and without compression, as nobody else compresses here either.
const TOOLS: [Tool; 5] = [
    Tool::debian("nginx", "nginx"),
    Tool::debian("h2o", "h2o"),
    Tool::debian("lighttpd", "lighttpd"),
    Tool::debian("caddy", "caddy"),
    Tool::from_crate("static-web-server", "2.44.0", &["--no-default-features"]),
];

/// The programs behind these servers; our own are built, not installed.
pub(crate) fn tools_of(kinds: &[Kind]) -> Vec<Tool> {
    TOOLS.into_iter().filter(|tool| kinds.iter().any(|kind| kind.name == tool.name)).collect()
}

const fn peer(name: &'static str, config: &'static str, version: &'static [&'static str]) -> Kind {
    Kind { name, role: Role::Peer, version, config, ends_connections: false, wires: &WIRES }
}

/// The event loops of all servers share this core; the load generator has another.
const CORE: &str = "0";

/// The slowest needs a tenth of a second; a loaded machine gets a hundred times that.
const START_LIMIT: Duration = Duration::from_secs(10);

/// In a server's folder: its access log, as the configurations name it too, and what it says on its streams.
const ACCESS_LOG: &str = "access.log";
const OUTPUT: &str = "output";

/// lighttpd holds its limit in 16 bits. One new connection in so many requests does not show.
const UNLIMITED_REQUESTS: u32 = 65_535;

/// How the servers of one run are set up.
#[derive(Clone)]
pub(crate) struct Setup<'a> {
    pub(crate) context: &'a Context,
    /// Holds the folder of files, `root`, and one folder for each server.
    pub(crate) scratch: &'a Path,
    /// The build of `--binary`.
    pub(crate) binary: Option<PathBuf>,
    pub(crate) access_log: bool,
    /// Requests on one connection, where a server has such a limit; `None` for as many as it allows.
    pub(crate) requests: Option<u32>,
    /// Flags of tidegate in place of those of a plain run; where it listens and what it serves is added.
    pub(crate) flags: Option<Vec<String>>,
    /// Whether they share one core.
    pub(crate) pinned: bool,
    /// What their ports speak.
    pub(crate) wire: Wire,
}

/// A server that answers.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) port: u16,
    pub(crate) process: Process,
    folder: PathBuf,
}

impl Server {
    /// Starts a server and waits until it answers. An `Err` says what it said.
    pub(crate) fn start(setup: &Setup<'_>, kind: Kind) -> Result<Self, String> {
        let problem = |error: io::Error| format!("{}: {error}", kind.name);
        let folder = setup.scratch.join(kind.name.replace([',', ' '], "-"));
        fs::create_dir_all(&folder).map_err(problem)?;
        let port = free_port().map_err(problem)?;
        let mut command = setup.command(kind, port, &folder).map_err(problem)?;
        let log = folder.join(OUTPUT);
        let process = Process::start(&mut command, &log).map_err(problem)?;
        let mut server = Self { kind, port, process, folder };
        match server.wait_until_it_answers(setup) {
            true => Ok(server),
            false => Err(format!("{} did not come up; it said:\n{}", kind.name, server.said())),
        }
    }

    /// Empties what the server has logged so far, which would be gigabytes at the end of a run.
    pub(crate) fn forget_logs(&self) {
        for name in [ACCESS_LOG, OUTPUT] {
            // One that is not there is as good as empty.
            let log = fs::OpenOptions::new().write(true).open(self.folder.join(name));
            let _ = log.and_then(|file| file.set_len(0));
        }
    }

    /// What it has said on its streams.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(self.folder.join(OUTPUT)).unwrap_or_default()
    }

    fn wait_until_it_answers(&mut self, setup: &Setup<'_>) -> bool {
        let deadline = Instant::now() + START_LIMIT;
        while !self.answers(setup) {
            if self.process.has_ended() || Instant::now() >= deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    fn answers(&self, setup: &Setup<'_>) -> bool {
        match setup.wire {
            Wire::Clear => Client::connect(self.port).and_then(|mut one| one.get("/small.bin", &[])).is_ok(),
            wire => wire.get(setup.context, false, self.port, "/small.bin").is_ok(),
        }
    }
}

impl<'a> Setup<'a> {
    /// A plain run: one core for all servers, no log, no limit of requests.
    pub(crate) fn new(context: &'a Context, scratch: &'a Path) -> Self {
        Self {
            context,
            scratch,
            binary: None,
            access_log: false,
            requests: None,
            flags: None,
            pinned: true,
            wire: Wire::Clear,
        }
    }

    pub(crate) fn program(&self, kind: Kind) -> Option<PathBuf> {
        match kind.role {
            Role::Floor => Some(self.context.target.join("bench/release/floor")),
            Role::Variant if kind == TIDEGATE_B => self.binary.clone(),
            Role::Ours | Role::Variant => Some(self.context.target.join("release/tidegate")),
            Role::Peer => self.context.find(kind.name),
        }
    }

    /// The version as the program itself says it; empty where it has none.
    pub(crate) fn version(&self, kind: Kind) -> String {
        let Some(program) = self.program(kind).filter(|_| !kind.version.is_empty()) else {
            return String::new();
        };
        let ran = self.context.run(&program.to_string_lossy(), kind.version);
        first_version(&ran.output).unwrap_or_default().to_owned()
    }

    fn command(&self, kind: Kind, port: u16, folder: &Path) -> io::Result<Command> {
        let program = self.program(kind).ok_or_else(|| io::Error::other("not installed"))?;
        let mut command = process::tethered(self.context, self.pinned.then_some(CORE), &program);
        // Some servers tell a format by the file's name.
        let config = folder.join(kind.config);
        if !kind.config.is_empty() {
            let template = fs::read_to_string(self.context.root.join("bench/peers").join(kind.config))?;
            fs::write(&config, self.fill(&template, port, folder))?;
        }
        match kind.name {
            "floor" => command.args(["answers", &port.to_string()]),
            "nginx" | "h2o" => command.arg("-c").arg(config),
            "lighttpd" => command.arg("-D").arg("-f").arg(config),
            "caddy" => {
                command.env("GOMAXPROCS", "1").env("HOME", folder).env("XDG_DATA_HOME", folder);
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(config)
            }
            "static-web-server" => command.arg("--config-file").arg(config),
            _ => self.tidegate(&mut command, kind, port, folder),
        };
        Ok(command)
    }

    fn tidegate<'c>(
        &self,
        command: &'c mut Command,
        kind: Kind,
        port: u16,
        folder: &Path,
    ) -> &'c mut Command {
        // No variable of the developer's shell may change what is measured.
        command.env_clear();
        command.args(["--port", &port.to_string()]);
        command.arg("--root").arg(self.scratch.join("root")).arg("--uploads").arg(folder.join("uploads"));
        if self.pinned {
            command.args(["--workers", "1"]);
        }
        if self.wire == Wire::Tls {
            let Certificate { chain, key } = Certificate::below(self.scratch);
            command.arg("--tls-cert").arg(chain).arg("--tls-key").arg(key);
        }
        if let Some(flags) = &self.flags {
            return command.args(flags);
        }
        let requests = self.requests.unwrap_or(0).to_string();
        command.args(["--max-requests", &requests, "--keep-alive", "300s", "--max-connections", "18000"]);
        if self.access_log && kind != TIDEGATE_QUIET {
            command.args(["--access-log", "combined", "--log-file"]).arg(folder.join(ACCESS_LOG))
        } else {
            command.args(["--access-log", "off"])
        }
    }

    /// A configuration from its template: what `bench/peers/` says of `@NAMES@` and of marked lines.
    fn fill(&self, template: &str, port: u16, folder: &Path) -> String {
        let absent = [
            (self.access_log, "# only without --log"),
            (!self.access_log, "# only with --log"),
            (!tools::is_root(), "# only under root"),
            (self.wire != Wire::Clear, "# only in the clear"),
            (self.wire != Wire::Tls, "# only with TLS"),
            (self.wire != Wire::H2c, "# only with h2c"),
        ];
        let Certificate { chain, key } = Certificate::below(self.scratch);
        let is_absent = |line: &str| absent.iter().any(|(absent, mark)| *absent && line.contains(mark));
        let lines = template.lines().filter(|line| !is_absent(line));
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        text.replace("@PORT@", &port.to_string())
            .replace("@ROOT@", &self.scratch.join("root").to_string_lossy())
            .replace("@TEMP@", &folder.to_string_lossy())
            .replace("@SCHEME@", self.wire.scheme())
            .replace("@CERTIFICATE@", &chain.to_string_lossy())
            .replace("@KEY@", &key.to_string_lossy())
            .replace("@REQUESTS@", &self.requests.unwrap_or(UNLIMITED_REQUESTS).to_string())
    }
}

/// Free when asked. Should another program take it meanwhile, the server does not come up, and that is said.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The first number with a dot in it: `nginx/1.22.1`, `v2.6.2`, `h2o version 2.2.5`.
fn first_version(text: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '+';
    let words = text.split(|c| !is_part(c)).map(|word| word.trim_start_matches('v'));
    words.into_iter().find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::TempDir;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        let said =
            ["nginx version: nginx/1.22.1", "h2o version 2.2.5\nOpenSSL: x 3.0.1", "v2.6.2 h1:abc=", "none"];
        let found = [Some("1.22.1"), Some("2.2.5"), Some("2.6.2"), None];
        assert_eq!(said.map(first_version), found);
    }

    #[test]
    fn every_peer_can_be_installed() {
        let peers: Vec<_> =
            KINDS.iter().filter(|kind| kind.role == Role::Peer).map(|kind| kind.name).collect();
        assert_eq!(tools_of(&KINDS).iter().map(|tool| tool.name).collect::<Vec<_>>(), peers);
        assert!(tools_of(&[FLOOR, TIDEGATE]).is_empty());
    }

    #[test]
    fn a_configuration_is_filled_whole_with_and_without_the_log() {
        let context = Context::new(&crate::root()).unwrap();
        let scratch = TempDir::new("servers").unwrap();
        for kind in KINDS.iter().filter(|kind| !kind.config.is_empty()) {
            let template = fs::read_to_string(context.root.join("bench/peers").join(kind.config)).unwrap();
            let fill = |access_log| {
                let plain = Setup::new(&context, scratch.path());
                let setup = Setup { access_log, requests: Some(7), ..plain };
                setup.fill(&template, 4321, Path::new("of-this-server"))
            };
            let (with, without) = (fill(true), fill(false));
            for text in [&with, &without] {
                let settings = text.lines().filter(|line| !line.starts_with('#')).collect::<String>();
                assert!(settings.contains("4321") && !settings.contains('@'), "{}: {text}", kind.name);
            }
            assert_ne!(with, without, "{}", kind.name);
        }
    }
}
