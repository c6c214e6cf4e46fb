//! The signals that the server hears (SPEC RUN-5).

use std::io;
use std::os::unix::net::UnixStream;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::net::sys;

/// The signals that the server hears.
pub(super) struct Signals {
    hup: Signal,
    int: Signal,
    term: Signal,
}

/// What a signal asks for.
pub(super) enum Asked {
    Reload,
    /// By the signal of this name.
    End(&'static str),
}

/// What comes before the first event loop.
///
/// # Errors
/// Where there are no descriptors left: the first event loop opens such a pair for signals, and panics where it cannot.
pub(super) fn prepare() -> io::Result<()> {
    sys::ignore_signals();
    UnixStream::pair().map(drop)
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            hup: signal(SignalKind::hangup())?,
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
        })
    }

    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hup.recv() => Asked::Reload,
            _ = self.int.recv() => Asked::End("INT"),
            _ = self.term.recv() => Asked::End("TERM"),
        }
    }

    /// Waits for one that asks for the end.
    pub(super) async fn end(&mut self) {
        while matches!(self.next().await, Asked::Reload) {}
    }
}
