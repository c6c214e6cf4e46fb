//! The byte pipe of one accepted connection, and who is at its other end.
//!
//! A transport knows nothing of HTTP. Reads and writes are tried at once and wait only for readiness; files go out by
//! `sendfile(2)`. A connection is attached to the event loop only when it has to wait for the first time: one that
//! asks, is answered and closed within a moment never is. TLS will be another kind of pipe.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use super::sys;

/// An accepted connection as bytes, in the clear.
#[derive(Debug)]
pub struct Transport {
    /// What the event loop knows of the socket.
    attached: Option<AsyncFd<Rc<OwnedFd>>>,
    socket: Rc<OwnedFd>,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Address and port of a TCP peer.
    Ip(SocketAddr),
    /// A process on this machine, by a unix socket.
    Unix,
}

impl Peer {
    /// The peer's address; a unix peer has none.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(addr) => Some(addr.ip()),
            Self::Unix => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => addr.ip().fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// What an operation waits for.
type Readiness = for<'t> fn(
    &'t AsyncFd<Rc<OwnedFd>>,
    &mut Context<'_>,
) -> Poll<io::Result<AsyncFdReadyGuard<'t, Rc<OwnedFd>>>>;

impl Transport {
    /// A connection just accepted; `socket` does not block.
    pub fn new(socket: OwnedFd) -> Self {
        Self { attached: None, socket: Rc::new(socket) }
    }

    /// Reads into `buf`; `Ok(0)` is the peer's end of stream.
    #[inline]
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let whole = buf.len();
        self.poll_now(cx, AsyncFd::poll_read_ready, whole, |socket| {
            Ok(rustix::net::recv(socket, &mut *buf, RecvFlags::empty())?.0)
        })
    }

    /// Writes a prefix of `bytes` and tells its length.
    #[inline]
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, bytes, SendFlags::NOSIGNAL)
    }

    /// Writes a prefix of `bytes` and tells its length; more follows at once, and may leave in the same packet.
    pub fn poll_write_before_more(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, bytes, SendFlags::NOSIGNAL | SendFlags::MORE)
    }

    /// Writes a prefix of `first` and `second` together, and tells its length. Either may be empty.
    #[inline]
    pub fn poll_write_two(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        if second.is_empty() {
            return self.poll_write(cx, first);
        }
        if first.is_empty() {
            return self.poll_write(cx, second);
        }
        let both = [io::IoSlice::new(first), io::IoSlice::new(second)];
        self.poll_now(cx, AsyncFd::poll_write_ready, first.len() + second.len(), |socket| {
            rustix::io::writev(socket, &both)
        })
    }

    /// Moves up to `len` bytes at `offset` of `file` to the peer without copying them through this
    /// process; advances `offset`. `Ok(0)` means that the file ends there.
    pub fn poll_sendfile(
        &mut self,
        cx: &mut Context<'_>,
        file: BorrowedFd<'_>,
        offset: &mut u64,
        len: usize,
    ) -> Poll<io::Result<usize>> {
        // Fewer bytes than asked for may be the file's end: only the socket says when it is full.
        self.poll_now(cx, AsyncFd::poll_write_ready, 0, |socket| {
            rustix::fs::sendfile(socket, file, Some(offset), len)
        })
    }

    #[inline]
    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8], flags: SendFlags) -> Poll<io::Result<usize>> {
        self.poll_now(cx, AsyncFd::poll_write_ready, bytes.len(), |socket| {
            rustix::net::send(socket, bytes, flags)
        })
    }

    /// Does `work`, a system call on the socket, as soon as it does not block. When it moves less than `whole` bytes
    /// there is no more to move now, and the next call waits to be told.
    #[inline]
    fn poll_now(
        &mut self,
        cx: &mut Context<'_>,
        readiness: Readiness,
        whole: usize,
        mut work: impl FnMut(&OwnedFd) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let Some(attached) = &self.attached else {
                match work(&self.socket) {
                    Err(Errno::AGAIN) => self.attach()?,
                    Err(Errno::INTR) => {}
                    done => return Poll::Ready(Ok(done?)),
                }
                continue;
            };
            let mut ready = ready!(readiness(attached, cx))?;
            match work(&self.socket) {
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                done => {
                    if done.is_ok_and(|count| count < whole) {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(done?));
                }
            }
        }
    }

    /// Lets the event loop watch the socket.
    #[cold]
    fn attach(&mut self) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.attached = Some(sys::watch(&self.socket, both)?);
        Ok(())
    }

    /// Sends what was taken and is not with the kernel yet: in the clear there is nothing such.
    pub fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Waits until something can be written.
    pub fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.attached {
            // Never found full so far.
            None => Poll::Ready(Ok(())),
            Some(attached) => attached.poll_write_ready(cx).map_ok(|_| ()),
        }
    }

    /// Whether the peer has reset the connection, or the network has given it up.
    pub fn has_failed(&self) -> bool {
        !matches!(rustix::net::sockopt::socket_error(&self.socket), Ok(Ok(())))
    }

    /// Says that nothing more will be written (TCP: sends FIN).
    pub fn finish_writing(&self) {
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
    }

    /// Whether bytes wait to be read, though the event loop may not have said so yet.
    pub fn has_unread(&self) -> bool {
        let mut byte = [0_u8];
        let look = rustix::net::recv(&self.socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        look.is_ok_and(|(count, _)| count > 0)
    }

    /// Makes the close of this connection a reset, which throws away what was written and not yet sent.
    pub fn reset_on_close(&self) {
        let _ = rustix::net::sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO));
    }

    /// The address on which this connection was accepted; `None` on a unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        rustix::net::getsockname(&self.socket).ok()?.try_into().ok()
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
