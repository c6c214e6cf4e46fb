//! A connected socket as bytes. Reads and writes are tried at once and wait only for readiness. A socket is attached to
//! the event loop only when it has to wait for the first time: one that asks, is answered and closed within a moment
//! never is.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use super::sys;

/// A socket that does not block.
#[derive(Debug)]
pub(super) struct Pipe {
    /// What the event loop knows of the socket.
    attached: Option<AsyncFd<Rc<OwnedFd>>>,
    socket: Rc<OwnedFd>,
}

/// What an operation waits for.
type Readiness = for<'t> fn(
    &'t AsyncFd<Rc<OwnedFd>>,
    &mut Context<'_>,
) -> Poll<io::Result<AsyncFdReadyGuard<'t, Rc<OwnedFd>>>>;

impl Pipe {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { attached: None, socket: Rc::new(socket) }
    }

    /// Reads into `buf`; `Ok(0)` is the peer's end of stream.
    #[inline]
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let whole = buf.len();
        self.poll_now(cx, AsyncFd::poll_read_ready, whole, |socket| {
            Ok(rustix::net::recv(socket, &mut *buf, RecvFlags::empty())?.0)
        })
    }

    /// The next byte, which stays to be read; `None` at the end of stream.
    pub(super) fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        let mut byte = [0];
        let peeked = self.poll_now(cx, AsyncFd::poll_read_ready, byte.len(), |socket| {
            Ok(rustix::net::recv(socket, &mut byte, RecvFlags::PEEK)?.0)
        });
        peeked.map_ok(|count| (count > 0).then_some(byte[0]))
    }

    /// Writes a prefix of `bytes` and tells its length.
    #[inline]
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        flags: SendFlags,
    ) -> Poll<io::Result<usize>> {
        self.poll_now(cx, AsyncFd::poll_write_ready, bytes.len(), |socket| {
            rustix::net::send(socket, bytes, flags | SendFlags::NOSIGNAL)
        })
    }

    /// Writes a prefix of `bytes` if that can be now, and tells its length.
    pub(super) fn try_send(&self, bytes: &[u8]) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).unwrap_or(0)
    }

    /// Writes a prefix of `first` and `second` together, and tells its length.
    #[inline]
    pub(super) fn poll_send_two(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let both = [io::IoSlice::new(first), io::IoSlice::new(second)];
        self.poll_now(cx, AsyncFd::poll_write_ready, first.len() + second.len(), |socket| {
            rustix::io::writev(socket, &both)
        })
    }

    /// Moves up to `len` bytes at `offset` of `file` to the peer; advances `offset`.
    pub(super) fn poll_sendfile(
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

    /// Waits until something can be written.
    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.attached {
            // Never found full so far.
            None => Poll::Ready(Ok(())),
            Some(attached) => attached.poll_write_ready(cx).map_ok(|_| ()),
        }
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
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
