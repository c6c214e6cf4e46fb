//! What a new server makes of each thing that the old one may answer when it is ready (SPEC RUN-5). The old one is
//! played by the test.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod life;
mod process;
mod support;

use std::fs::DirEntry;
use std::io::{Seek, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use life::{Gate, Process};
use rustix::fs::{MemfdFlags, memfd_create};
use support::{Setup, eventually};
use tidegate::net::handover::{self, Sockets};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::runtime::Builder;

/// What the old server says, and when.
enum Answer {
    /// A line before the new one is ready, and nothing more.
    TooEarly(&'static [u8]),
    /// A line with these files beside it, once the new one is ready.
    Ready(&'static [u8], Vec<OwnedFd>),
}

/// Starts a server that takes over from one which gives this answer.
fn taking_over(setup: &Setup, answer: Answer) -> Process {
    let control = UnixListener::bind(setup.folder.0.join("control.sock")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = vec![listener.into(), control.try_clone().unwrap().into()];
    let gate = Gate::of(setup);
    let args = ["--takeover", "--control", "control.sock"];
    let new = Process::spawn(setup.command().args(args).args(Gate::FLAGS));
    let (caller, _) = control.accept().unwrap();
    caller.set_nonblocking(true).unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut caller = UnixStream::from_std(caller).unwrap();
        caller.read_exact(&mut [0; b"takeover\n".len()]).await.unwrap();
        handover::send(&caller, &Sockets { ours, lent: Vec::new() }).await.unwrap();
        match answer {
            Answer::TooEarly(line) => {
                eventually("it has the sockets and goes on", || has_open(&new, &setup.root()));
                handover::write(&caller, line, &[]).await.unwrap();
                drop(caller);
                gate.open();
            }
            Answer::Ready(line, files) => {
                gate.open();
                caller.read_exact(&mut [0; b"ready\n".len()]).await.unwrap();
                let beside: Vec<_> = files.iter().map(AsFd::as_fd).collect();
                handover::write(&caller, line, &beside).await.unwrap();
            }
        }
    });
    new
}

/// Whether `server` has `folder` open.
fn has_open(server: &Process, folder: &Path) -> bool {
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.child.id()));
    let target = |entry: DirEntry| std::fs::read_link(entry.path()).ok();
    let folder = folder.canonicalize().unwrap();
    open.is_ok_and(|mut open| open.any(|entry| entry.ok().and_then(target).as_ref() == Some(&folder)))
}

/// A file with this content, at its beginning.
fn file(content: &str) -> OwnedFd {
    let mut file = std::fs::File::from(memfd_create("test", MemfdFlags::CLOEXEC).unwrap());
    file.write_all(content.as_bytes()).unwrap();
    file.rewind().unwrap();
    file.into()
}

/// It took too long, and the old one has gone away from it: there would be two servers.
#[test]
fn run_5_a_new_server_that_was_told_that_it_is_too_late_does_not_serve() {
    for answer in [Answer::TooEarly(b"error: too late\n"), Answer::Ready(b"error: too late\n", Vec::new())] {
        let setup = Setup::new();
        let mut new = taking_over(&setup, answer);
        assert_eq!(new.end(), Some(1), "{:#?}", new.said());
        assert!(new.hear_last("tidegate: ").contains("error: too late"), "{:#?}", new.said());
    }
}

/// The control: a yes is one in each of its forms, and no book of bans, or none that can be read, is no reason to fail
/// when there is no way back.
#[test]
fn run_5_a_yes_without_bans_or_with_rubbish_is_a_yes() {
    let pipe = std::io::pipe().unwrap().0.into();
    for (files, said) in [
        (Vec::new(), ""),
        (vec![file("")], ""),
        (vec![file("no\nban\n")], ""),
        (vec![pipe], "no bans are taken over from the server before"),
    ] {
        let setup = Setup::new().file("a.html", "here");
        let mut new = taking_over(&setup, Answer::Ready(b"ok\n", files)).up();
        assert_eq!(new.status("/a.html"), 200);
        new.hear(said);
    }
}

/// One that ends without a word leaves its sockets.
#[test]
fn run_5_a_server_that_ends_before_it_has_answered_is_followed() {
    for answer in [Answer::TooEarly(b""), Answer::Ready(b"", Vec::new())] {
        let setup = Setup::new().file("a.html", "here");
        let new = taking_over(&setup, answer).up();
        eventually("it serves", || new.status("/a.html") == 200);
    }
}
