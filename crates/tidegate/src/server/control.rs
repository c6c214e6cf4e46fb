//! The control socket (`--control`): where `tidegate bans`, `tidegate reload` and a successor reach a running server.
//!
//! A caller sends one line, as `bans lift 203.0.113.7`, and reads the answer up to the close: a line `ok` or `error:
//! …`, then what was asked for. (What follows `takeover` is told there.) The socket has mode 0600, so whoever can connect
//! is the user who started the server, or root.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::takeover;
use crate::clock::unix_millis;
use crate::handlers::overview::Overview;
use crate::limits::ClientKey;
use crate::limits::bans::Format;
use crate::net::handover::Sockets;
use crate::net::listener::Bound;

/// Longest request line.
const LINE: usize = 256;
/// How long a caller may take, either way.
const PATIENCE: Duration = Duration::from_secs(5);
/// Callers at once.
const CALLERS: usize = 8;

/// What only the server's main task can do.
#[derive(Debug)]
pub(super) enum Wish {
    /// Reload, and say what came of it.
    Reload(oneshot::Sender<Result<String, String>>),
    /// Write down what a successor should know, and give it the listening sockets.
    Listeners(oneshot::Sender<io::Result<Sockets>>),
    /// End, for the successor is ready.
    MakeWay {
        /// Its process, where the system tells.
        pid: Option<i32>,
    },
}

/// What the socket can ask of the server.
pub(super) struct Control {
    pub(super) overview: Arc<Overview>,
    pub(super) wishes: mpsc::Sender<Wish>,
    /// Whether a successor has the listening sockets.
    pub(super) handed_on: Rc<Cell<bool>>,
}

impl Control {
    /// Answers callers for as long as the server runs.
    pub(super) fn serve(self, bound: Bound) -> io::Result<impl Future<Output = ()>> {
        let listener = UnixListener::from_std(OwnedFd::from(bound).into())?;
        let (control, places) = (Rc::new(self), Arc::new(Semaphore::new(CALLERS)));
        Ok(async move {
            loop {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                match listener.accept().await {
                    Ok((caller, _)) => {
                        let control = Rc::clone(&control);
                        tokio::task::spawn_local(async move {
                            let _ = control.answer(caller).await;
                            drop(place);
                        });
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        })
    }

    async fn answer(&self, mut caller: UnixStream) -> io::Result<()> {
        let line = timeout(PATIENCE, read_line(&mut caller)).await??;
        let answer = match line.trim() {
            takeover::ASK => return takeover::make_way(caller, self).await,
            "reload" => self.reload().await,
            line => self.obey(line),
        };
        let answer = match answer {
            Ok(text) => format!("ok\n{text}"),
            Err(why) => format!("error: {why}\n"),
        };
        timeout(PATIENCE, caller.write_all(answer.as_bytes())).await??;
        caller.shutdown().await
    }

    async fn reload(&self) -> Result<String, String> {
        let (reply, answer) = oneshot::channel();
        let _ = self.wishes.send(Wish::Reload(reply)).await;
        answer.await.unwrap_or_else(|_| Err("the server is shutting down".to_owned())).map(|text| text + "\n")
    }

    fn obey(&self, line: &str) -> Result<String, String> {
        crate::failpoint!("control");
        let (ledger, now) = (&self.overview.parts.ledger, self.overview.now());
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["bans", "export", format] => {
                let format = Format::named(format).ok_or("unknown format")?;
                if format.is_for_firewalls() && !self.overview.enforces_bans() {
                    return Ok("# bans are not on: nobody is shut out\n".to_owned());
                }
                Ok(ledger.bans.export(format, now, unix_millis()))
            }
            ["bans", "lift", client] => {
                let key: ClientKey = client.parse().map_err(|_| format!("{client} is no address"))?;
                if ledger.pardon(key, now) {
                    log::info!("the ban of {key} was lifted by `tidegate bans`");
                    Ok(format!("{key} is no longer banned\n"))
                } else {
                    Err(format!("{key} is not banned"))
                }
            }
            _ => Err("unknown request".to_owned()),
        }
    }
}

async fn read_line(caller: &mut UnixStream) -> io::Result<String> {
    let mut line = Vec::new();
    while !line.contains(&b'\n') && line.len() < LINE {
        if caller.read_buf(&mut line).await? == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}
