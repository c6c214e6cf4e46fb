//! The transport as the `h2` crate sees it, with two things of ours between them: what the client sends passes by our
//! [`Patience`], and what is written gathers here until the driver's turn ends, so that many small frames leave in one
//! `send`.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::patience::{Flood, Patience};
use crate::conn::buffer::Buffer;
use crate::conn::deadline::{Slot, WritePace};
use crate::conn::local::Local;
use crate::net::Transport;

/// Bytes that may gather before they are sent in the middle of a turn; with so many that the socket does not take, no
/// more is written and no more is read.
const GATHERED: usize = 64 * 1024;

/// Both ends of the pipe share it: `h2` reads and writes, the driver sends and judges.
#[derive(Clone)]
pub(super) struct Wire(pub(super) Rc<RefCell<Pipe>>);

pub(super) struct Pipe {
    pub(super) io: Transport,
    local: Rc<Local>,
    /// What had been received before it was known to be HTTP/2.
    first: Buffer,
    out: Vec<u8>,
    /// Bytes of `out` that are sent.
    sent: usize,
    patience: Patience,
    /// How fast the client takes answers, while any wait for it.
    pace: Option<WritePace>,
    /// `h2` was kept from reading or writing until what has gathered is sent, and does not know it.
    held: bool,
    /// Nothing more is read: what the client sends counts no longer.
    deaf: bool,
}

impl Pipe {
    pub(super) fn new(io: Transport, first: Buffer, local: &Rc<Local>) -> Self {
        let patience = Patience::new(local.clock.now());
        let local = Rc::clone(local);
        Self { io, local, first, out: Vec::new(), sent: 0, patience, pace: None, held: false, deaf: false }
    }

    /// Why the client is to be cut off, once it is.
    pub(super) fn verdict(&self) -> Option<Flood> {
        self.patience.verdict()
    }

    /// Whether a header block has begun and not ended.
    pub(super) fn in_block(&self) -> bool {
        self.patience.in_block()
    }

    /// How many streams were reset for a mistake of the client since this was last asked.
    pub(super) fn take_mistakes(&mut self) -> u32 {
        self.patience.take_mistakes()
    }

    /// Reads nothing more.
    pub(super) fn stop_reading(&mut self) {
        self.deaf = true;
        self.local.buffers.give_back(&mut self.first);
    }

    /// Bytes that wait to be sent.
    pub(super) fn waiting(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Sends what has gathered, at the end of a turn.
    pub(super) fn poll_end_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = ready!(self.poll_send(cx));
        if std::mem::take(&mut self.held) {
            // There is room again: `h2` may go on, in the next turn.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(sent)
    }

    /// Sends what has gathered.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(self.io.poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        self.sent = 0;
        let out = std::mem::take(&mut self.out);
        if out.capacity() > 0 {
            self.local.buffers.give_back_output(out);
        }
        self.io.poll_flush(cx)
    }

    /// The client keeps us waiting: `Ready` when it has taken too little of its answers for too long (SPEC LOAD-5).
    pub(super) fn poll_patience(&mut self, cx: &Context<'_>, slot: &Slot) -> Poll<()> {
        if self.pace.is_some() && !slot.is_over(cx) {
            return Poll::Pending;
        }
        let waiting = (self.waiting() as u64).saturating_add(self.io.unsent());
        let taken = self.patience.answered().saturating_sub_unsigned(waiting);
        let now = self.local.clock.now();
        let pace = self.pace.get_or_insert_with(|| WritePace::new(now, taken));
        if pace.deadline() <= now && !pace.go_on(now, taken) {
            return Poll::Ready(());
        }
        slot.set(pace.deadline());
        // Registers for the deadline just set.
        let _ = slot.is_over(cx);
        Poll::Pending
    }

    /// The client does not keep us waiting.
    pub(super) fn forgive(&mut self) {
        self.pace = None;
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.deaf || self.verdict().is_some() {
            return Poll::Pending;
        }
        ready!(self.poll_room(cx))?;
        if self.first.is_empty() {
            let count = ready!(self.io.poll_read(cx, into.initialize_unfilled()))?;
            into.advance(count);
        } else {
            let count = self.first.unread().len().min(into.remaining());
            into.put_slice(self.first.unread().get(..count).unwrap_or_default());
            self.first.consume(count);
            if self.first.is_empty() {
                self.local.buffers.give_back(&mut self.first);
            }
        }
        crate::failpoint!("frames");
        self.patience.receive(into.filled(), self.local.clock.now());
        // What condemns it is not worth another look.
        if self.verdict().is_some() {
            into.clear();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn gather(&mut self, bytes: &[u8]) {
        if self.out.capacity() == 0 {
            self.out = self.local.buffers.take_output();
        }
        self.patience.send(bytes);
        self.out.extend_from_slice(bytes);
    }

    /// Room for more, if need be by sending what is there.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let room = if self.waiting() < GATHERED { Poll::Ready(Ok(())) } else { self.poll_send(cx) };
        self.held |= room.is_pending();
        room
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_read(cx, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.0.borrow_mut();
        ready!(pipe.poll_room(cx))?;
        pipe.gather(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.0.borrow_mut();
        ready!(pipe.poll_room(cx))?;
        slices.iter().for_each(|bytes| pipe.gather(bytes));
        Poll::Ready(Ok(slices.iter().map(|bytes| bytes.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What has gathered is sent at the end of the driver's turn.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_room(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_send(cx)
    }
}
