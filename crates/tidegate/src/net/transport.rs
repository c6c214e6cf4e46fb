//! The byte pipe of one accepted connection, and who is at its other end.
//!
//! A transport knows nothing of HTTP. Reads and writes are tried at once and wait only for readiness;
//! files go out by `sendfile(2)`. TLS will be another variant.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// An accepted connection as bytes.
#[derive(Debug)]
pub enum Transport {
    /// TCP, in the clear.
    Tcp(TcpStream),
    /// A unix stream socket.
    Unix(UnixStream),
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

/// Runs `$body` with the stream of whichever variant bound to `$stream`.
macro_rules! each {
    ($transport:expr, $stream:ident => $body:expr) => {
        match $transport {
            Transport::Tcp($stream) => $body,
            Transport::Unix($stream) => $body,
        }
    };
}

impl Transport {
    /// Reads into `buf`; `Ok(0)` is the peer's end of stream.
    #[inline]
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        let read = each!(self, stream => Pin::new(stream).poll_read(cx, &mut buf));
        read.map_ok(|()| buf.filled().len())
    }

    /// Writes a prefix of `bytes` and tells its length.
    #[inline]
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, bytes))
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
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, &both))
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
        self.poll_now(cx, |io| {
            Ok(each!(io, stream => rustix::fs::sendfile(stream, file, Some(offset), len))?)
        })
    }

    /// Does `work`, a system call that writes, as soon as it does not block.
    fn poll_now(
        &mut self,
        cx: &mut Context<'_>,
        mut work: impl FnMut(&Self) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let io = &*self;
        loop {
            std::task::ready!(each!(io, stream => stream.poll_write_ready(cx)))?;
            match each!(io, stream => stream.try_io(Interest::WRITABLE, || work(io))) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return Poll::Ready(other),
            }
        }
    }

    /// Writes a prefix of `bytes` and tells its length; more follows at once, and may leave in the same packet.
    pub fn poll_write_before_more(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        use rustix::net::{SendFlags, send};
        self.poll_now(cx, |io| {
            Ok(each!(io, stream => send(stream, bytes, SendFlags::MORE | SendFlags::NOSIGNAL))?)
        })
    }

    /// Waits until something can be written.
    pub fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_write_ready(cx))
    }

    /// Whether the peer has reset the connection, or the network has given it up.
    pub fn has_failed(&self) -> bool {
        each!(self, stream => socket2::SockRef::from(stream).take_error()).is_ok_and(|error| error.is_some())
    }

    /// Says that nothing more will be written (TCP: sends FIN).
    pub fn finish_writing(&self) {
        let _ = each!(self, stream => rustix::net::shutdown(stream, rustix::net::Shutdown::Write));
    }

    /// Whether bytes wait to be read.
    pub fn has_unread(&self) -> bool {
        use rustix::net::{RecvFlags, recv};
        let mut byte = [0_u8];
        let look = each!(self, stream => recv(stream, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT));
        look.is_ok_and(|(count, _)| count > 0)
    }

    /// Makes the close of this connection a reset, which throws away what was written and not yet sent.
    pub fn reset_on_close(&self) {
        let _ = each!(self, stream => socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)));
    }

    /// The address on which this connection was accepted; `None` on a unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        each!(self, stream => stream.as_fd())
    }
}
