//! What tests of the command line and of whole processes share beside the harness: the binary run to its end,
//! a server whose every argument the test gives, and requests over a unix socket.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should say where"
)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::support::{BINARY, Folder, SOON, Server, eventually, settle};

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs `tidegate ARGS` in `folder` to its end; one that serves instead is ended after 20 s with code 124.
pub fn run(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Outcome {
    settle();
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "20", BINARY]).args(args);
    outcome(clean(&mut command, folder).envs(env.iter().copied()))
}

/// Runs `command` to its end.
pub fn outcome(command: &mut Command) -> Outcome {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// In `folder`, with no variable but PATH.
pub fn clean<'c>(command: &'c mut Command, folder: &Path) -> &'c mut Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.current_dir(folder).env_clear().env("PATH", path)
}

/// A server started with exactly these arguments, which logs to `log` in its folder.
pub struct Bare {
    pub child: Child,
    pub folder: Folder,
}

impl Bare {
    pub fn start(folder: Folder, args: &[&str], env: &[(&str, &str)]) -> Self {
        settle();
        let mut command = Command::new(BINARY);
        clean(&mut command, &folder.0).args(args).env("LOG_FILE", "log").envs(env.iter().copied());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        Self { child, folder }
    }

    /// A server of `root` in `folder` on a port of its own; unlike the harness's it may log in any format.
    pub fn serve(folder: Folder, args: &[&str], env: &[(&str, &str)]) -> (Self, SocketAddr) {
        let port = free_port();
        let addr = (Ipv4Addr::LOCALHOST, port).into();
        std::fs::create_dir_all(folder.0.join("root")).unwrap();
        let server = Self::start(folder, &[&["-r", "root", "-p", &port.to_string()], args].concat(), env);
        eventually("it accepts", || TcpStream::connect(addr).is_ok());
        (server, addr)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.0.join("log")).unwrap_or_default()
    }

    pub fn wait_for_log(&self, text: &str) {
        eventually(text, || self.log().contains(text));
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    pub fn wait(&mut self) -> ExitStatus {
        ended(&mut self.child, 3 * SOON).expect("the server does not end")
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal, by name without `SIG`.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.unwrap().success());
}

/// How `child` ended, or `None` where it did not within `patience`.
pub fn ended(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < patience {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

/// A port that was free a moment ago, below those that the kernel gives out, so that no other test gets it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(101).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + u16::try_from(number % 20_000).unwrap();
        if is_free((Ipv4Addr::LOCALHOST, port).into()) {
            return port;
        }
    }
}

/// Whether a server may listen at `addr`. Bound and never listening: a process that another test forks at this moment holds
/// a copy for an instant, and a copy that listened would take the connections meant for the server.
pub fn is_free(addr: SocketAddr) -> bool {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&addr.into()).is_ok()
}

/// The lines with `text` that the log holds now.
pub fn lines_with(server: &Server, text: &str) -> Vec<String> {
    server.log().into_iter().filter(|line| line.contains(text)).collect()
}

/// One GET over a unix socket, with the whole answer as text.
pub fn get_over_unix(path: &Path, target: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Whether the tests run as root; says which test is skipped where not, and fails in CI.
pub fn is_root(name: &str) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
    if !root {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{name} needs root");
        println!("skipped: {name} needs root");
    }
    root
}
