//! Bytes on their way out, under the pace that SPEC LOAD-5 asks of the peer.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::connection::{Connection, Gone};
use super::deadline::{Slot, WritePace};
use crate::clock::{Clock, Millis};
use crate::net::Transport;

/// Watches one transfer.
pub(super) struct Watch {
    pace: Option<WritePace>,
    /// Bytes handed to the socket by this transfer.
    sent: i64,
}

impl Watch {
    pub(super) const fn new() -> Self {
        Self { pace: None, sent: 0 }
    }

    pub(super) fn add(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Starts to measure anew: that we waited for a disk is not the peer's fault.
    pub(super) fn forgive(&mut self) {
        self.pace = None;
    }

    /// The socket takes no more for now: waits, or gives up when the peer took too little for too long.
    pub(super) fn wait(
        &mut self,
        cx: &Context<'_>,
        io: &Transport,
        slot: &Slot,
        clock: &Clock,
    ) -> Poll<Gone> {
        if self.pace.is_some() && !slot.is_over(cx) {
            return Poll::Pending;
        }
        match self.judge(io, clock.now()) {
            Ok(deadline) => slot.set(deadline),
            Err(gone) => return Poll::Ready(gone),
        }
        // Registers for the deadline just set.
        let _ = slot.is_over(cx);
        Poll::Pending
    }

    /// Whether the peer, which keeps us waiting, has taken enough so far; by when it must have taken more. What waits
    /// in the socket's own buffer has not been taken.
    pub(super) fn judge(&mut self, io: &Transport, now: Millis) -> Result<Millis, Gone> {
        let waiting = i64::try_from(io.unsent()).unwrap_or(i64::MAX);
        let taken = self.sent.saturating_sub(waiting);
        let pace = self.pace.get_or_insert_with(|| WritePace::new(now, taken));
        if pace.deadline() <= now && !pace.go_on(now, taken) {
            // Or the kernel would keep what the peer does not take for many minutes more.
            io.reset_on_close();
            return Err(Gone);
        }
        Ok(pace.deadline())
    }
}

impl Connection {
    /// Sends what is encoded, and what of it is sealed already.
    pub(super) async fn flush(&mut self) -> Result<(), Gone> {
        if self.out.is_empty() && !self.io.needs_flush() {
            return Ok(());
        }
        self.write_out().await?;
        self.attached = None;
        self.give_back_output();
        Ok(())
    }

    /// Sends what is encoded, behind which more follows at once.
    pub(super) async fn flush_before_more(&mut self) -> Result<(), Gone> {
        self.whole = 0;
        let Self { io, out, .. } = self;
        let written = poll_fn(|cx| match io.poll_write_before_more(cx, out) {
            // What does not fit into the socket at once is sent as ever.
            Poll::Pending => Poll::Ready(Ok(0)),
            Poll::Ready(written) => Poll::Ready(written),
        });
        let written = written.await.map_err(|_| Gone)?;
        self.out.drain(..written);
        self.flush().await?;
        self.give_back_output();
        Ok(())
    }

    /// What was encoded is sent: its memory is for others.
    pub(super) fn give_back_output(&mut self) {
        let out = std::mem::take(&mut self.out);
        self.local.buffers.give_back_output(out);
    }

    async fn write_out(&mut self) -> Result<(), Gone> {
        self.whole = 0;
        let Self { io, out, attached, slot, local, .. } = self;
        let attached =
            attached.as_ref().and_then(|(bytes, part)| bytes.get(part.clone())).unwrap_or_default();
        let mut watch = Watch::new();
        let mut sent = 0;
        poll_fn(|cx| {
            while sent < out.len() + attached.len() {
                let front = out.get(sent..).unwrap_or_default();
                let behind = attached.get(sent.saturating_sub(out.len())..).unwrap_or_default();
                match io.poll_write_two(cx, front, behind) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Gone)),
                    Poll::Ready(Ok(count)) => {
                        sent += count;
                        watch.add(count);
                    }
                    Poll::Pending => return watch.wait(cx, io, slot, &local.clock).map(Err),
                }
            }
            match io.poll_flush(cx) {
                Poll::Ready(flushed) => Poll::Ready(flushed.map_err(|_| Gone)),
                Poll::Pending => watch.wait(cx, io, slot, &local.clock).map(Err),
            }
        })
        .await
    }
}
