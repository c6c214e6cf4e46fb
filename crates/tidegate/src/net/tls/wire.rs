//! A session over its socket. What is sealed goes out before anything else is sealed, so that no more of it waits than
//! one portion.

use std::io;
use std::task::{Context, Poll, ready};

use rustix::net::SendFlags;

use super::session::Session;
use crate::net::pipe::Pipe;

/// So much unsent ciphertext stops us from reading. What a write leaves is less: only answers to what is read, as to key
/// updates, come on top of it, for a peer that does not take them.
const UNSENT_MOST: usize = 128 * 1024;

/// So much that is sealed and unsent waits for what is sealed next.
const WAITING_MOST: usize = 4 * 1024;

impl Session {
    /// Receives a piece of the handshake, to be looked at by [`advance`](Self::advance).
    pub(in crate::net) fn poll_hear(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
    ) -> Poll<io::Result<()>> {
        let received = pipe.poll_read(cx, self.receiving());
        let count = match received {
            Poll::Ready(Ok(count)) => count,
            nothing => {
                self.rest();
                return nothing.map_ok(|_| ());
            }
        };
        if count == 0 {
            self.rest();
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        Poll::Ready(self.received(count).map_err(Into::into))
    }

    /// Reads plaintext into `into`. `Ok(0)` is the peer's close_notify; a connection that ends without one is an error, for
    /// anybody could have cut it (RFC 8446 §6.1).
    pub(in crate::net) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Some(count) = self.take(into) {
                return Poll::Ready(Ok(count));
            }
            // That nothing can be sent any more is no reason not to read what came before.
            if self.poll_flush(cx, pipe).is_pending() && self.unsent() > UNSENT_MOST {
                return Poll::Pending;
            }
            ready!(self.poll_hear(cx, pipe))?;
            match self.open(into) {
                Ok(0) => {}
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(broken) => {
                    self.tell_peer(pipe);
                    return Poll::Ready(Err(broken.into()));
                }
            }
        }
    }

    /// Seals a prefix of `first` and `second` and sends what the socket takes of it; tells the length of the prefix. The rest
    /// is sent before anything else is.
    pub(in crate::net) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        (first, second): (&[u8], &[u8]),
        flags: SendFlags,
    ) -> Poll<io::Result<usize>> {
        // A little that waits, as tickets do, leaves together with what is written.
        if self.unsent() > WAITING_MOST {
            ready!(self.poll_flush(cx, pipe))?;
        }
        ready!(pipe.poll_writable(cx))?;
        let taken = self.seal(first, second)?;
        let sent = self.poll_send(cx, pipe, flags)?;
        self.adapt(sent.is_ready());
        Poll::Ready(Ok(taken))
    }

    /// Waits until something can be sealed and sent.
    pub(in crate::net) fn poll_writable(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx, pipe))?;
        pipe.poll_writable(cx)
    }

    /// Sends what is sealed.
    pub(in crate::net) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
    ) -> Poll<io::Result<()>> {
        self.poll_send(cx, pipe, SendFlags::empty())
    }

    /// Says that nothing more is written, if the socket takes that now.
    pub(in crate::net) fn goodbye(&mut self, pipe: &Pipe) {
        self.say_goodbye();
        self.tell_peer(pipe);
    }

    /// Sends what is sealed, if the socket takes it now: an alert is not waited for.
    pub(in crate::net) fn tell_peer(&mut self, pipe: &Pipe) {
        let out = self.out();
        out.consume(pipe.try_send(out.filled()));
        out.settle();
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe, flags: SendFlags) -> Poll<io::Result<()>> {
        let out = self.out();
        let sent = loop {
            if out.is_empty() {
                break Poll::Ready(Ok(()));
            }
            match pipe.poll_send(cx, out.filled(), flags) {
                Poll::Ready(Ok(count)) => out.consume(count),
                unsent => break unsent.map_ok(|_| ()),
            }
        };
        out.settle();
        sent
    }
}
