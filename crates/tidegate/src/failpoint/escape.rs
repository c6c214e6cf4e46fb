//! What an intruder who runs code in this process would try. Each attempt is one line of the log with what came of it:
//! `escape: NAME: done`, or the system's refusal.
//!
//! The test gives the targets: `ESCAPE_FOLDER`, a folder that the server has no business in, with a file `there`;
//! `ESCAPE_PORT`, a TCP port of 127.0.0.1 that somebody listens on; `ESCAPE_SOCKET`, an abstract socket likewise.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

/// An attempt: what it is called, and what it does to the folder outside.
type Attempt = (&'static str, fn(&Path) -> io::Result<()>);

const ATTEMPTS: &[Attempt] = &[
    ("read a system file", |_| File::open("/etc/passwd").map(drop)),
    ("list a system folder", |_| fs::read_dir("/etc").map(drop)),
    ("read its own memory map", |_| File::open("/proc/self/maps").map(drop)),
    ("read outside", |folder| File::open(folder.join("there")).map(drop)),
    ("write outside", |folder| OpenOptions::new().append(true).open(folder.join("there")).map(drop)),
    ("truncate outside", |folder| File::create(folder.join("there")).map(drop)),
    ("create outside", |folder| File::create(folder.join("made")).map(drop)),
    ("link to outside", |folder| symlink("/", folder.join("link"))),
    ("move outside", |folder| fs::rename(folder.join("there"), folder.join("moved"))),
    ("make a folder outside", |folder| fs::create_dir(folder.join("folder"))),
    ("create in the root", |_| File::create("root/made").map(drop)),
    ("remove from the root", |_| fs::remove_file("root/page.html")),
    ("write to the root", |_| OpenOptions::new().append(true).open("root/other.html").map(drop)),
    ("run a program", |_| Command::new("/bin/true").status().map(drop)),
    ("run an upload", run_an_upload),
    ("listen", |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map(drop)),
    ("connect", |_| TcpStream::connect((Ipv4Addr::LOCALHOST, number("ESCAPE_PORT")?)).map(drop)),
    ("connect to an abstract socket", |_| {
        let name = SocketAddr::from_abstract_name(text("ESCAPE_SOCKET")?)?;
        UnixStream::connect_addr(&name).map(drop)
    }),
    ("signal its parent", |_| {
        let parent = rustix::process::getppid().ok_or_else(|| io::Error::other("no parent"))?;
        Ok(rustix::process::test_kill_process(parent)?)
    }),
];

/// Makes every attempt, one after the other.
pub(super) fn attempt_all() {
    let folder = text("ESCAPE_FOLDER").map(PathBuf::from).unwrap_or_default();
    for (name, attempt) in ATTEMPTS {
        match attempt(&folder) {
            Ok(()) => log::info!("escape: {name}: done"),
            Err(error) => log::info!("escape: {name}: {error}"),
        }
    }
    log::info!("escape: end of {} attempts", ATTEMPTS.len());
}

/// A program of the intruder's own, put where the server may write.
fn run_an_upload(_: &Path) -> io::Result<()> {
    let program = std::env::current_dir()?.join("root/uploads/program");
    fs::write(&program, "#!/bin/true\n")?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let run = Command::new(&program).status().map(drop);
    fs::remove_file(&program)?;
    run
}

fn text(variable: &str) -> io::Result<String> {
    std::env::var(variable).map_err(io::Error::other)
}

fn number(variable: &str) -> io::Result<u16> {
    text(variable)?.parse().map_err(io::Error::other)
}
