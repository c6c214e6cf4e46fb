//! The byte pipe of one accepted connection, in the clear or by TLS, and who is at its other end.
//!
//! A transport knows nothing of HTTP. It begins in the clear; TLS is [begun](Transport::begin_tls) before anything is read,
//! and then what is written is sealed first: some of it may still be with us when all of it is taken, and leaves by
//! [`poll_flush`](Transport::poll_flush), which comes before waiting for input.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags, Shutdown};

use super::pipe::Pipe;
use super::sys;
use super::tls::{Agreed, Broken, Session, Tls};

/// An accepted connection as bytes.
#[derive(Debug)]
pub struct Transport {
    pipe: Pipe,
    tls: Option<Box<Session>>,
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

/// How far a handshake has come.
#[derive(Debug)]
pub enum Progress {
    /// A message is not whole yet.
    Unheard,
    /// The peer has its answer, and it is its turn.
    Answered,
    /// There is a session.
    Agreed(Agreed),
}

impl Transport {
    /// A connection just accepted; `socket` does not block.
    pub fn new(socket: OwnedFd) -> Self {
        Self { pipe: Pipe::new(socket), tls: None }
    }

    /// Whether it is spoken to by TLS.
    #[inline]
    pub const fn is_secured(&self) -> bool {
        self.tls.is_some()
    }

    /// The next byte from the peer, which stays to be read; `None` at the end of stream. For the clear only.
    pub fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        self.pipe.poll_peek(cx)
    }

    /// From here on everything is TLS, and first the handshake.
    ///
    /// # Errors
    /// When rustls refuses its own configuration.
    pub fn begin_tls(&mut self, tls: &Tls) -> Result<(), Broken> {
        self.tls = Some(Box::new(Session::new(tls)?));
        Ok(())
    }

    /// Receives a piece of the handshake. It waits for [`advance_handshake`](Self::advance_handshake), as may those of a
    /// thousand others, in memory of its own size.
    pub fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(tls) = &mut self.tls else { return Poll::Ready(Err(io::ErrorKind::Unsupported.into())) };
        let heard = tls.poll_hear(cx, &mut self.pipe);
        tls.rest();
        heard
    }

    /// Takes the handshake as far as what was received goes, and tells the peer of it; what the socket does not take now is
    /// sent by [`poll_flush`](Self::poll_flush). May take a millisecond of computing.
    ///
    /// # Errors
    /// Why there will be no session.
    pub fn advance_handshake(&mut self) -> Result<Progress, Broken> {
        let Some(tls) = &mut self.tls else { return Err(Broken::Closed) };
        let advanced = tls.advance();
        let answered = tls.unsent() > 0;
        tls.tell_peer(&self.pipe);
        Ok(match advanced? {
            Some(agreed) => Progress::Agreed(agreed),
            None if answered => Progress::Answered,
            None => Progress::Unheard,
        })
    }

    /// Reads into `buf`; `Ok(0)` is the peer's end of stream. With TLS an end that the peer did not announce is
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof).
    #[inline]
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut self.tls {
            None => self.pipe.poll_read(cx, buf),
            Some(tls) => tls.poll_read(cx, &mut self.pipe, buf),
        }
    }

    /// Writes a prefix of `bytes` and tells its length.
    #[inline]
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_two(cx, bytes, &[])
    }

    /// Writes a prefix of `bytes` and tells its length; more follows at once, and may leave in the same packet.
    pub fn poll_write_before_more(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.tls {
            None => self.pipe.poll_send(cx, bytes, SendFlags::MORE),
            Some(tls) => tls.poll_write(cx, &mut self.pipe, (bytes, &[]), SendFlags::MORE),
        }
    }

    /// Writes a prefix of `first` and `second` together, and tells its length. Either may be empty.
    #[inline]
    pub fn poll_write_two(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(tls) = &mut self.tls {
            return tls.poll_write(cx, &mut self.pipe, (first, second), SendFlags::empty());
        }
        match (first, second) {
            (only, []) | ([], only) => self.pipe.poll_send(cx, only, SendFlags::empty()),
            _ => self.pipe.poll_send_two(cx, first, second),
        }
    }

    /// Moves up to `len` bytes at `offset` of `file` to the peer without copying them through this
    /// process; advances `offset`. `Ok(0)` means that the file ends there. For the clear only: what goes by TLS must pass
    /// through here.
    pub fn poll_sendfile(
        &mut self,
        cx: &mut Context<'_>,
        file: BorrowedFd<'_>,
        offset: &mut u64,
        len: usize,
    ) -> Poll<io::Result<usize>> {
        if self.is_secured() {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        }
        self.pipe.poll_sendfile(cx, file, offset, len)
    }

    /// Waits until all that was taken by a write is with the kernel.
    #[inline]
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.tls {
            None => Poll::Ready(Ok(())),
            Some(tls) => tls.poll_flush(cx, &mut self.pipe),
        }
    }

    /// Waits until something can be written.
    pub fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.tls {
            None => self.pipe.poll_writable(cx),
            Some(tls) => tls.poll_writable(cx, &mut self.pipe),
        }
    }

    /// Most bytes that the next write takes: more of them need not be read from anywhere yet.
    pub fn portion(&self) -> usize {
        self.tls.as_ref().map_or(usize::MAX, |tls| tls.portion())
    }

    /// Whether some of what was written is not with the kernel yet.
    #[inline]
    pub fn needs_flush(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.unsent() > 0)
    }

    /// Bytes written that the peer has not yet taken, as far as that can be told; with TLS as they travel.
    pub fn unsent(&self) -> u64 {
        self.sealed() + sys::unsent(&self.pipe).unwrap_or(0)
    }

    /// Bytes written that have not left this machine's socket, as far as that can be told: TCP tells it.
    pub fn unsent_yet(&self) -> u64 {
        self.sealed() + sys::unsent_yet(&self.pipe).unwrap_or(0)
    }

    fn sealed(&self) -> u64 {
        self.tls.as_ref().map_or(0, |tls| tls.unsent() as u64)
    }

    /// Whether the peer has reset the connection, or the network has given it up.
    pub fn has_failed(&self) -> bool {
        !matches!(rustix::net::sockopt::socket_error(&self.pipe), Ok(Ok(())))
    }

    /// Tells the peer of a TLS connection that nothing more will be written (close_notify), if that can be sent at once.
    pub fn say_goodbye(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.goodbye(&self.pipe);
        }
    }

    /// Says that nothing more will be written (TCP: sends FIN).
    pub fn finish_writing(&mut self) {
        self.say_goodbye();
        let _ = rustix::net::shutdown(&self.pipe, Shutdown::Write);
    }

    /// Whether bytes wait to be read, though the event loop may not have said so yet.
    pub fn has_unread(&self) -> bool {
        let mut byte = [0_u8];
        let mut look = || rustix::net::recv(&self.pipe, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        self.tls.as_ref().is_some_and(|tls| tls.has_plain()) || look().is_ok_and(|(count, _)| count > 0)
    }

    /// Makes the close of this connection a reset, which throws away what was written and not yet sent.
    pub fn reset_on_close(&self) {
        let _ = rustix::net::sockopt::set_socket_linger(&self.pipe, Some(Duration::ZERO));
    }

    /// The address on which this connection was accepted; `None` on a unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        rustix::net::getsockname(&self.pipe).ok()?.try_into().ok()
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
