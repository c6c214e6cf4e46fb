//! What a service manager does for a server: it hands over listening sockets (sd_listen_fds(3)) and hears how the
//! server is (sd_notify(3)).

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::clean;
use crate::support::{BINARY, SOON};

/// Becomes the program that follows, with its standard input as descriptor 3.
const ONE: &str = "exec 3<&0 0</dev/null; export LISTEN_PID=${PID:-$$} LISTEN_FDS=1; exec \"$@\"";
/// The same, with the standard output as descriptor 4.
const TWO: &str = "exec 3<&0 4<&1 0</dev/null 1>&2; export LISTEN_PID=${PID:-$$} LISTEN_FDS=2; exec \"$@\"";

/// `tidegate ARGS` in `folder`, with `first` as its only inherited descriptor. The variable `PID` names another process
/// for whom it is.
pub fn activated(folder: &Path, first: impl Into<OwnedFd>, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    clean(&mut command, folder).args(["-c", ONE, "sh", BINARY]).args(args);
    command.stdin(Stdio::from(first.into()));
    command
}

/// `tidegate ARGS` in `folder`, with two inherited descriptors; its log goes to the standard error.
pub fn activated_twice(
    folder: &Path,
    first: impl Into<OwnedFd>,
    second: impl Into<OwnedFd>,
    args: &[&str],
) -> Command {
    let mut command = Command::new("sh");
    clean(&mut command, folder).args(["-c", TWO, "sh", BINARY]).args(args);
    command.stdin(Stdio::from(first.into())).stdout(Stdio::from(second.into()));
    command
}

/// Where a server says how it is (`NOTIFY_SOCKET`).
pub struct Notified {
    socket: UnixDatagram,
    /// What stands in the variable.
    pub name: String,
}

/// One message: variables and their values.
pub type Message = HashMap<String, String>;

impl Notified {
    /// At `path`.
    pub fn at(path: &Path) -> Self {
        Self::of(UnixDatagram::bind(path).unwrap(), path.display().to_string())
    }

    /// Without a file.
    pub fn without_file(name: &str) -> Self {
        let addr = SocketAddr::from_abstract_name(name).unwrap();
        Self::of(UnixDatagram::bind_addr(&addr).unwrap(), format!("@{name}"))
    }

    fn of(socket: UnixDatagram, name: String) -> Self {
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self { socket, name }
    }

    /// The next message.
    pub fn hear(&self) -> Message {
        self.receive().expect("a message")
    }

    /// The next message that has the variable `name`; those on the way to it may tell nothing but a `STATUS`.
    pub fn hear_of(&self, name: &str) -> Message {
        loop {
            let message = self.hear();
            if message.contains_key(name) {
                return message;
            }
            assert!(message.keys().all(|name| name == "STATUS"), "{message:?} before {name}");
        }
    }

    /// What has come and was not heard yet.
    pub fn rest(&self) -> Vec<Message> {
        self.socket.set_nonblocking(true).unwrap();
        let messages = std::iter::from_fn(|| self.receive()).collect();
        self.socket.set_nonblocking(false).unwrap();
        messages
    }

    fn receive(&self) -> Option<Message> {
        let mut bytes = [0; 4096];
        // Where a read has a time limit the kernel may interrupt it for no reason of ours.
        let length = loop {
            match self.socket.recv(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received.ok()?,
            }
        };
        let text = std::str::from_utf8(&bytes[..length]).unwrap();
        let pairs = text.lines().map(|line| {
            let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("NAME=VALUE: {line:?}"));
            (name.to_owned(), value.to_owned())
        });
        Some(pairs.collect())
    }
}
