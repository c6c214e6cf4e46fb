//! Everything that the server listens on, bound before anything else is done.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::StartError;
use crate::config::{ListenAddr, Settings};
use crate::net::listener::{self, SocketFiles};
use crate::worker::Entrance;

/// The bound sockets.
pub(super) struct Listeners {
    /// For each address a list with one socket per worker.
    pub(super) entrances: Vec<Vec<Entrance>>,
    /// Where `tidegate bans` comes in.
    pub(super) control: Option<UnixListener>,
    /// Those that have a file, which goes with them.
    pub(super) files: SocketFiles,
}

impl Listeners {
    /// Binds all addresses of `settings`, or none.
    pub(super) fn bind(settings: &Settings) -> Result<Self, StartError> {
        let mut files = SocketFiles::default();
        let mut entrances = Vec::new();
        let public = settings.server.listen.iter().map(|addr| (addr, false));
        for (addr, backstage) in public.chain(settings.admin.listen.iter().map(|addr| (addr, true))) {
            let bound = listener::bind(addr, settings.server.workers, settings.server.backlog);
            let bound = bound.map_err(|error| refused(addr, error))?;
            entrances.push(bound.into_iter().map(|bound| Entrance { bound, backstage }).collect());
            files.remember(addr);
        }
        let control = settings.server.control.as_ref().map(|path| bind_control(path, &mut files));
        Ok(Self { entrances, control: control.transpose()?, files })
    }

    /// Where clients find the server, and where operators do if that is elsewhere; with the real ports.
    pub(super) fn places(&self) -> (Vec<ListenAddr>, Option<ListenAddr>) {
        let firsts = || self.entrances.iter().filter_map(|all| all.first());
        let public = firsts().filter(|first| !first.backstage).map(|first| first.bound.at.clone());
        (public.collect(), firsts().find(|first| first.backstage).map(|first| first.bound.at.clone()))
    }

    /// The sockets of each of `workers`.
    pub(super) fn shares(entrances: Vec<Vec<Entrance>>, workers: usize) -> Vec<Vec<Entrance>> {
        let mut shares: Vec<Vec<Entrance>> = (0..workers).map(|_| Vec::new()).collect();
        for bound in entrances {
            for (share, socket) in shares.iter_mut().zip(bound) {
                share.push(socket);
            }
        }
        shares
    }
}

fn bind_control(path: &Path, files: &mut SocketFiles) -> Result<UnixListener, StartError> {
    let addr = ListenAddr::Unix(path.to_owned());
    let bound = listener::bind_private(path).map_err(|error| StartError::Control(path.to_owned(), error))?;
    files.remember(&addr);
    Ok(bound)
}

fn refused(addr: &ListenAddr, error: io::Error) -> StartError {
    match error.kind() {
        io::ErrorKind::AddrInUse => StartError::InUse(addr.clone()),
        io::ErrorKind::PermissionDenied => StartError::Denied(addr.clone()),
        _ => StartError::Listen(addr.clone(), error),
    }
}
