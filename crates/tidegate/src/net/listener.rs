//! Listening sockets: one of its own per worker for TCP, a shared one for unix sockets.
//!
//! The first worker's TCP socket binds and listens *without* `SO_REUSEPORT` and sets the option only then:
//! `listen` is the exclusive step, so that a second instance, even one started at the same moment, fails with
//! "address in use" instead of silently sharing the port. The other workers' sockets join with the option set,
//! and the kernel spreads new connections over all of them.
//! A unix socket cannot be split: every worker accepts on a duplicate of one descriptor, and a worker that
//! loses the race sees one `EAGAIN`.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::coop::consume_budget;

use super::sys;
use super::transport::{Peer, Transport};
use crate::config::ListenAddr;

/// Most connections that are still taken from an accept queue when the server stops: the largest backlog.
const LAST_ONES: usize = 65_535;

/// Callers of a private socket that may wait: each is a person or a script of the operator's.
const PRIVATE_BACKLOG: i32 = 16;

/// Bytes that may wait in a TCP socket without being on their way (`TCP_NOTSENT_LOWAT`). Without it a peer that does
/// not read holds four megabytes (`tcp_wmem`). Less would cost: with 512 KiB a file of 1 MiB takes 8 % more time.
const UNSENT: u32 = 1024 * 1024;

/// For how long a connection without a byte is left to the kernel, in whole seconds: the least there is.
pub const DEFER_ACCEPT: Duration = Duration::from_secs(1);

/// A bound and listening socket of one worker, not yet attached to its event loop.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    /// Where it listens, with the real port when 0 was asked for.
    pub at: ListenAddr,
    /// Whether a service manager keeps it: its backlog is that of the unit.
    pub lent: bool,
}

impl Bound {
    /// The same socket, for another worker or another process: both accept from one queue.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE`.
    pub fn duplicate(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, at: self.at.clone(), lent: self.lent })
    }
}

impl From<Bound> for OwnedFd {
    fn from(bound: Bound) -> Self {
        bound.socket.into()
    }
}

/// Binds `addr`: a TCP address once per worker, a unix path once for all.
///
/// # Errors
/// The bind error, `AddrInUse` among them.
pub fn bind(addr: &ListenAddr, workers: usize, backlog: i32) -> io::Result<Vec<Bound>> {
    match addr {
        ListenAddr::Tcp(addr) => bind_tcp(*addr, workers, backlog),
        ListenAddr::Unix(path) => Ok(vec![bind_unix(path, backlog)?]),
    }
}

/// Makes a listening socket at `at` that somebody else bound one of ours; one that is `lent` keeps its backlog.
///
/// # Errors
/// Whatever the system says to an option.
pub(super) fn adopted(socket: Socket, at: ListenAddr, lent: bool) -> io::Result<Bound> {
    if let ListenAddr::Tcp(_) = at {
        set_options(&socket)?;
    }
    socket.set_nonblocking(true)?;
    Ok(Bound { socket, at, lent })
}

fn bind_tcp(addr: SocketAddr, workers: usize, backlog: i32) -> io::Result<Vec<Bound>> {
    let first = tcp_socket(addr)?;
    first.bind(&addr.into())?;
    let addr = first.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let first = listening(first, ListenAddr::Tcp(addr), backlog)?;
    first.socket.set_reuse_port(true)?;
    let mut bound = vec![first];
    for _ in 1..workers {
        let next = tcp_socket(addr)?;
        next.set_reuse_port(true)?;
        next.bind(&addr.into())?;
        bound.push(listening(next, ListenAddr::Tcp(addr), backlog)?);
    }
    Ok(bound)
}

fn tcp_socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    set_options(&socket)?;
    Ok(socket)
}

/// What accepted sockets inherit on Linux, so that it costs no system call for each.
fn set_options(listener: &Socket) -> io::Result<()> {
    listener.set_tcp_nodelay(true)?;
    // A connection wakes us with its first byte, which mostly comes at once; one that stays silent does so after a
    // second (man 7 tcp, TCP_DEFER_ACCEPT).
    sys::defer_accept(listener, DEFER_ACCEPT)?;
    // What a peer does not take must not fill the kernel's memory.
    sys::keep_unsent_below(listener, UNSENT)
}

/// A unix socket that only its owner may connect to, in the place of one that nobody listens on.
///
/// # Errors
/// The bind error, `AddrInUse` among them.
pub fn bind_private(path: &Path) -> io::Result<Bound> {
    remove_dead_socket(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Nobody can connect before `listen`: there is no moment in which it is open to all.
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    listening(socket, ListenAddr::Unix(path.to_owned()), PRIVATE_BACKLOG)
}

fn bind_unix(path: &Path, backlog: i32) -> io::Result<Bound> {
    remove_dead_socket(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    listening(socket, ListenAddr::Unix(path.to_owned()), backlog)
}

/// A socket file that nobody listens on is a leftover of a crash; one that answers in any other way than by a
/// refusal is in use.
fn remove_dead_socket(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => {
            let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            // A listener whose queue is full must not hold us up.
            probe.set_nonblocking(true)?;
            match probe.connect(&SockAddr::unix(path)?) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
                _ => Err(io::ErrorKind::AddrInUse.into()),
            }
        }
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "a file that is not a socket is there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn listening(socket: Socket, at: ListenAddr, backlog: i32) -> io::Result<Bound> {
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(Bound { socket, at, lent: false })
}

/// A listening socket attached to a worker's event loop.
#[derive(Debug)]
pub struct Listener {
    socket: AsyncFd<Rc<OwnedFd>>,
    at: ListenAddr,
    lent: bool,
}

impl Listener {
    /// Attaches `bound` to the event loop of the calling thread.
    ///
    /// # Errors
    /// When the loop's epoll refuses the descriptor.
    pub fn attach(bound: Bound) -> io::Result<Self> {
        let Bound { socket, at, lent } = bound;
        Ok(Self { socket: sys::watch(&Rc::new(socket.into()), Interest::READABLE)?, at, lent })
    }

    /// Where it listens.
    pub fn at(&self) -> &ListenAddr {
        &self.at
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// `accept(2)`'s: `EMFILE`, `ENFILE`, `ECONNABORTED` and the like. The listener stays usable.
    pub async fn accept(&self) -> io::Result<(Transport, Peer)> {
        loop {
            // A flood of connections takes turns with those that are there.
            consume_budget().await;
            let mut ready = self.socket.readable().await?;
            match accept(ready.get_inner()) {
                Err(Errno::AGAIN) => ready.clear_ready(),
                accepted => return Ok(accepted?),
            }
        }
    }

    /// Leaves the event loop, and returns those who already wait to be accepted: closing the socket would reset
    /// them.
    pub fn last_ones(self) -> Vec<(Transport, Peer)> {
        let socket = self.socket.into_inner();
        std::iter::from_fn(|| accept(&socket).ok()).take(LAST_ONES).collect()
    }

    /// Changes the length of the accept queue (`listen(2)` may be called again on Linux), where it is ours.
    ///
    /// # Errors
    /// `listen(2)`'s.
    pub fn set_backlog(&self, backlog: i32) -> io::Result<()> {
        if self.lent { Ok(()) } else { Ok(rustix::net::listen(self.socket.get_ref(), backlog)?) }
    }
}

/// Accepts one connection, if one waits.
fn accept(socket: &OwnedFd) -> rustix::io::Result<(Transport, Peer)> {
    let (accepted, peer) = acceptfrom_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok()).map_or(Peer::Unix, Peer::Ip);
    Ok((Transport::new(accepted), peer))
}

/// Removes the files of unix listeners when the server ends, unless a successor has put its own there, or has taken
/// these.
#[derive(Debug, Default)]
pub struct SocketFiles {
    ours: Vec<(PathBuf, FileId)>,
    /// Still the server's that runs, until we take its place.
    handed: Vec<(PathBuf, FileId)>,
}

/// Device and inode.
type FileId = (u64, u64);

impl SocketFiles {
    /// Remembers the file of `at`, if it has one, as ours.
    pub fn remember(&mut self, at: &ListenAddr) {
        self.ours.extend(file_of(at));
    }

    /// Remembers the file of `at`, if it has one, as that of the server which hands it over.
    pub fn remember_handed(&mut self, at: &ListenAddr) {
        self.handed.extend(file_of(at));
    }

    /// All are ours: the other server has gone.
    pub fn take_over(&mut self) {
        self.ours.append(&mut self.handed);
    }

    /// Leaves them to a successor.
    pub fn leave(&mut self) {
        self.ours.clear();
    }
}

impl Drop for SocketFiles {
    fn drop(&mut self) {
        for (path, id) in &self.ours {
            if file_id(path) == Some(*id) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

fn file_of(at: &ListenAddr) -> Option<(PathBuf, FileId)> {
    let ListenAddr::Unix(path) = at else { return None };
    Some((path.clone(), file_id(path)?))
}

fn file_id(path: &Path) -> Option<FileId> {
    let meta = std::fs::symlink_metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(addr: &str) -> ListenAddr {
        ListenAddr::Tcp(addr.parse().unwrap())
    }

    #[test]
    fn run_3_a_second_instance_on_the_same_port_is_refused() {
        let first = bind(&tcp("127.0.0.1:0"), 3, 16).unwrap();
        assert_eq!(first.len(), 3);
        assert!(first.iter().all(|bound| bound.at == first[0].at), "all workers share one port");
        let error = bind(&first[0].at, 1, 16).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn run_2_a_dead_unix_socket_is_replaced_and_a_live_one_is_not() {
        let dir = std::env::temp_dir().join(format!("tidegate-listener-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let addr = ListenAddr::Unix(dir.join("socket"));
        let live = bind(&addr, 2, 16).unwrap();
        assert_eq!(bind(&addr, 1, 16).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(live);
        assert!(bind(&addr, 1, 16).is_ok(), "nobody listens there any more");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
