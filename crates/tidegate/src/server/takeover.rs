//! An upgrade without a refused connection (`--takeover`): a new server asks the one that runs for its listening
//! sockets, by its control socket, and the old one ends when the new one could accept.
//!
//! ```text
//! new                                  old
//!  takeover⏎        ──────────────►    writes its bans
//!                   ◄──────────────    ok ⏎ with all listening sockets; goes on accepting
//!  starts
//!  ready⏎           ──────────────►    drains
//!  accepts          ◄──────────────    ok⏎ with its bans of this moment
//! ```
//! A new one that fails before it is ready closes the connection, and the old one goes on as if nothing had been. One
//! that is not ready in time is told so. Where the old one ends meanwhile, the new one has the sockets.
//!
//! The bans go over as a file in memory beside the last word, so that they and the server change hands at once, however
//! many they are. With `--state` the new one has read those of the hand-over before, for the case that the old one ends.

use std::fs::File;
use std::io::{self, ErrorKind, Seek, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as Blocking;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::control::{Control, Wish};
use super::{StartError, state};
use crate::clock::unix_millis;
use crate::config::{Invocation, ListenAddr, Settings};
use crate::net::handover::{self, Message, Sockets};
use crate::net::inherited::Inherited;

/// What the new server asks.
pub(super) const ASK: &str = "takeover";
/// What it says when it can accept.
const READY: &[u8] = b"ready\n";
/// The old server's yes to that.
const GO: &[u8] = b"ok\n";

/// How long a new server may take to start: it opens folders, counts what is kept there, and starts threads.
const STARTING: Duration = Duration::from_secs(60);
/// How long either may take to answer: the old one writes its bans to the disk.
const ANSWERING: Duration = Duration::from_secs(10);

/// The server that runs, as the new one sees it.
#[derive(Debug)]
pub(super) struct Predecessor {
    stream: Blocking,
    at: PathBuf,
}

impl Predecessor {
    /// The server that is to be replaced, where `--takeover` asks for it.
    pub(super) fn of(invocation: &Invocation, settings: &Settings) -> Result<Option<Self>, StartError> {
        let control = settings.server.control.as_deref();
        control.filter(|_| invocation.takeover).map(Self::find).transpose()
    }

    fn find(path: &Path) -> Result<Self, StartError> {
        let connect = || -> io::Result<Blocking> {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            // One that stands still, with a full queue, must not hold us up.
            socket.set_nonblocking(true)?;
            socket.connect(&SockAddr::unix(path)?)?;
            socket.set_nonblocking(false)?;
            let stream = Blocking::from(OwnedFd::from(socket));
            stream.set_read_timeout(Some(ANSWERING))?;
            stream.set_write_timeout(Some(ANSWERING))?;
            Ok(stream)
        };
        let stream = connect().map_err(|error| refused(path, format!("no server answers there: {error}")))?;
        Ok(Self { stream, at: path.to_owned() })
    }

    /// Where it listens for commands, as it spells the path: the same may have many names.
    pub(super) fn control(&self) -> Option<ListenAddr> {
        self.stream.peer_addr().ok()?.as_pathname().map(|path| ListenAddr::Unix(path.to_owned()))
    }

    /// Takes its listening sockets, its own and those lent to it. It goes on accepting from them.
    pub(super) fn listeners(&mut self) -> Result<(Vec<Inherited>, Vec<Inherited>), StartError> {
        let look = |sockets: Vec<OwnedFd>| sockets.into_iter().map(Inherited::new).collect::<io::Result<_>>();
        let take = |stream: &mut Blocking| -> io::Result<_> {
            writeln!(stream, "{ASK}")?;
            let Sockets { ours, lent } = handover::receive(stream)?;
            Ok((look(ours)?, look(lent)?))
        };
        take(&mut self.stream).map_err(|error| refused(&self.at, error.to_string()))
    }

    /// Tells it that it may go, for this server can accept. Returns its bans, which are this server's from now on;
    /// `None` where it told none.
    pub(super) fn relieve(mut self) -> Result<Option<String>, StartError> {
        // Where that cannot be said, for the other end is closed, an answer may have come before.
        let _ = self.stream.write_all(READY);
        let answer = match handover::read(&self.stream) {
            // It stands still, and may wake up: then it must find that we have gone, unless it has said yes by now.
            Err(error) if !is_gone(&error) => {
                let _ = self.stream.shutdown(Shutdown::Both);
                let answered = handover::read(&self.stream).ok().filter(|answer| answer.text == GO);
                answered.ok_or_else(|| refused(&self.at, format!("no answer: {error}")))?
            }
            answered => answered.unwrap_or_default(),
        };
        match answer.text.as_slice() {
            GO => Ok(bans(answer)),
            // Gone without an answer: the sockets are ours, then.
            [] => Ok(None),
            why => Err(refused(&self.at, String::from_utf8_lossy(why).trim().to_owned())),
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// What [`written_down`] wrote, where it came along: there is no way back for want of it.
fn bans(answer: Message) -> Option<String> {
    if answer.cut {
        log::error!("no bans are taken over from the server before: too many files are open");
    }
    let text = state::content(answer.descriptors.into_iter().next()?.into());
    let text =
        text.inspect_err(|error| log::error!("no bans are taken over from the server before: {error}"));
    Some(String::from_utf8_lossy(&text.ok()?).into_owned())
}

fn refused(path: &Path, why: String) -> StartError {
    StartError::Takeover(path.to_owned(), why)
}

/// The old server's part: gives `successor` the listening sockets, and makes way when it is ready.
pub(super) async fn make_way(mut successor: UnixStream, server: &Control) -> io::Result<()> {
    if server.handed_on.replace(true) {
        return say(&mut successor, "error: another new server is taking over\n").await;
    }
    let relieved = hand_on(&mut successor, server).await;
    if !matches!(relieved, Ok(true)) {
        server.handed_on.set(false);
    }
    relieved.map(drop)
}

/// Whether the successor is the server now.
async fn hand_on(successor: &mut UnixStream, server: &Control) -> io::Result<bool> {
    let (reply, answer) = oneshot::channel();
    let _ = server.wishes.send(Wish::Listeners(reply)).await;
    let sockets = match answer.await {
        Ok(Ok(sockets)) => sockets,
        Ok(Err(error)) => return refuse(successor, &error.to_string()).await,
        Err(_) => return refuse(successor, "the server is shutting down").await,
    };
    let pid = successor.peer_cred().ok().and_then(|who| who.pid());
    let who = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
    let sent = timeout(ANSWERING, handover::send(successor, &sockets)).await;
    drop(sockets);
    if !matches!(sent, Ok(Ok(()))) {
        log::error!(
            "a new server{who} asked for the listening sockets and did not take them; this one goes on"
        );
        return Ok(false);
    }
    log::info!("a new server{who} takes over: it has the listening sockets");
    let late = match timeout(STARTING, ready(successor)).await {
        Ok(true) if go_ahead(successor, server).await.is_ok() => {
            let _ = server.wishes.send(Wish::MakeWay { pid }).await;
            return Ok(true);
        }
        in_time => in_time.is_err(),
    };
    let why = if late { "is not ready in time" } else { "did not start" };
    log::error!("the new server{who} {why}; this one goes on");
    refuse(successor, "too late, the server before goes on").await
}

/// Whether the new server says so; `false` when it has gone.
async fn ready(successor: &mut UnixStream) -> bool {
    let mut said = [0; READY.len()];
    successor.read_exact(&mut said).await.is_ok() && said == READY
}

/// Says yes, with the bans of this moment. Nothing may fail behind it: who has heard it is the server.
async fn go_ahead(successor: &UnixStream, server: &Control) -> io::Result<()> {
    let bans = server.overview.parts.ledger.bans.save(server.overview.now(), unix_millis());
    let bans = written_down(&bans).inspect_err(|error| log::error!("the new server gets no bans: {error}"));
    let beside: Vec<_> = bans.iter().map(AsFd::as_fd).collect();
    handover::write(successor, GO, &beside).await
}

/// `text` as a file in memory, at its beginning.
fn written_down(text: &str) -> io::Result<File> {
    let mut file = File::from(memfd_create("bans", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

async fn say(successor: &mut UnixStream, line: &str) -> io::Result<()> {
    successor.write_all(line.as_bytes()).await?;
    successor.shutdown().await
}

async fn refuse(successor: &mut UnixStream, why: &str) -> io::Result<bool> {
    say(successor, &format!("error: {why}\n")).await.map(|()| false)
}
