//! The server that is struck: started in one of several ways, killed without a word.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};
use std::{io, thread};

use crate::command;
use crate::context::Context;
use crate::tools::Tool;

pub(crate) const STRACE: Tool = Tool::debian("strace", "strace");

/// It needs hundredths of a second; a loaded machine gets a thousand times that.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How often the log of a starting server is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// What the server says of itself when it accepts connections, before its address.
const URL: &str = "http://127.0.0.1:";

/// How a server is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// As it is: uploads are unnamed files until they are complete.
    Unnamed,
    /// On a file system without unnamed files: they have a name that begins with a dot until then.
    Staged,
    /// Negative control: each sync is said to be done, and is not.
    NoFsync,
    /// Negative control: each link is said to be made, and is not.
    NoLink,
}

/// What a server is started with.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) context: &'a Context,
    pub(crate) binary: &'a Path,
    /// For what it says.
    pub(crate) log: &'a Path,
    /// All its arguments.
    pub(crate) flags: &'a [String],
}

/// A server; killed on drop.
#[derive(Debug)]
pub(crate) struct Victim {
    child: Child,
    log: PathBuf,
}

impl Way {
    /// The program that the server is run under, with its arguments. `-D` leaves the server our own child. An unnamed
    /// file is opened by the path `.`, as is the folder for the sweep at the start, so each thread's first is spared:
    /// after the second of any thread all uploads are staged.
    fn wrapper(self) -> Vec<&'static str> {
        let faults: &[&str] = match self {
            Self::Unnamed => return Vec::new(),
            Self::Staged => {
                &["-P", ".", "-e", "trace=openat", "-e", "inject=openat:error=EOPNOTSUPP:when=2+"]
            }
            Self::NoFsync => &["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:retval=0"],
            Self::NoLink => &["-e", "trace=linkat", "-e", "inject=linkat:retval=0"],
        };
        [&["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null"], faults].concat()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unnamed => "unnamed files",
            Self::Staged => "staging files",
            Self::NoFsync => "syncs faked",
            Self::NoLink => "links faked",
        }
    }
}

impl Victim {
    /// Begins to start a server; the kernel kills it should we end first.
    pub(crate) fn spawn(scene: Scene<'_>, way: Way) -> Result<Self, String> {
        let mut command = scene.context.command("setpriv", &["--pdeathsig", "KILL"]);
        // No variable of the developer's shell may change what is tried.
        command.env_clear().args(way.wrapper()).arg(scene.binary).args(scene.flags);
        let child = command::spawn(&mut command, scene.log);
        let child = child.map_err(|error| format!("the server cannot be started: {error}"))?;
        Ok(Self { child, log: scene.log.to_path_buf() })
    }

    /// The port on which it accepts connections, once it does.
    pub(crate) fn port(&mut self) -> Result<u16, String> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(port) = self.port_so_far() {
                return Ok(port);
            }
            if self.ended().is_some() || Instant::now() >= deadline {
                return Err(format!("the server did not come up; it said:\n{}", self.said()));
            }
            thread::sleep(LOOK);
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, once it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGKILL, and its end.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    fn port_so_far(&self) -> Option<u16> {
        let said = self.said();
        let (address, rest) = said.split_once(URL)?.1.split_once('/')?;
        // The line is whole when the next one has begun.
        rest.contains('\n').then(|| address.parse().ok())?
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.kill(); // One that has ended already cannot be killed.
    }
}
