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

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        sys::ignore_signals();
        // The first use makes tokio open such a pair too, and panic where it cannot.
        drop(UnixStream::pair()?);
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
