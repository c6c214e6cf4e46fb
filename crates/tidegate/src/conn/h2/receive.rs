//! The body of an HTTP/2 request on its way in, whole, under the pace that SPEC LOAD-5 asks of the client. What waits to
//! be read is bounded by the windows (`super::settings`).

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http1::BodyLength;

use super::shared::Shared;
use crate::conn::deadline::{LINGER, body_deadline};
use crate::conn::receive::{Stop, cut_short, late, make_room};
use crate::handlers::upload;

/// What came next.
enum Next {
    Piece(Bytes),
    End,
    Late,
    Broken(h2::Error),
}

/// Reads a body of at most `limit` bytes. Trailers are dropped with what else nobody reads.
pub(super) async fn body(
    shared: &Rc<Shared>,
    stream: &mut RecvStream,
    length: BodyLength,
    limit: u64,
) -> Result<Vec<u8>, Stop> {
    let most = if let BodyLength::Exact(length) = length { length.min(limit) } else { limit };
    let (mut body, slot) = (Vec::new(), shared.local.deadlines.stream_slot());
    let started = shared.local.clock.now();
    loop {
        crate::failpoint!("body");
        slot.set(body_deadline(started, body.len() as u64));
        let next = poll_fn(|cx| match stream.poll_data(cx) {
            Poll::Ready(Some(Ok(piece))) => Poll::Ready(Next::Piece(piece)),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Next::Broken(error)),
            Poll::Ready(None) => Poll::Ready(Next::End),
            Poll::Pending if slot.is_over(cx) => Poll::Ready(Next::Late),
            Poll::Pending => Poll::Pending,
        });
        match next.await {
            Next::Piece(piece) => {
                if body.len() as u64 + piece.len() as u64 > limit {
                    return Err(Stop::Refuse(upload::too_large(limit)));
                }
                make_room(&mut body, piece.len(), most);
                body.extend_from_slice(&piece);
                // It has left the window: as much may follow.
                let _ = stream.flow_control().release_capacity(piece.len());
            }
            Next::End => return Ok(body),
            Next::Late => return Err(Stop::Refuse(late(body.len()))),
            // The connection ended, or the client gave the stream up.
            Next::Broken(error) if error.is_io() || error.is_remote() => return Err(Stop::Gone),
            Next::Broken(_) => return Err(Stop::Refuse(cut_short(length, body.len()))),
        }
    }
}

/// What is left of a body that nobody reads. It is dropped as it comes, while the request is answered and for a short time
/// after it, as over HTTP/1 before a close (SPEC H1-9): where it lay, it would be memory that the client has for nothing.
pub(super) struct Rest<'s> {
    stream: &'s mut RecvStream,
    /// Bytes for which the window is still opened.
    left: u64,
    /// Nothing more comes.
    ended: bool,
}

impl<'s> Rest<'s> {
    /// Of a body that may have `max_body` bytes; `ended`: it had none.
    pub(super) fn new(stream: &'s mut RecvStream, max_body: u64, ended: bool) -> Self {
        Self { stream, left: max_body.saturating_add(http1::DRAIN_LIMIT), ended }
    }

    /// Drops what is there; ready when nothing more comes.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.ended {
            let Some(Ok(piece)) = ready!(self.stream.poll_data(cx)) else {
                self.ended = true;
                break;
            };
            if self.left > 0 {
                let _ = self.stream.flow_control().release_capacity(piece.len());
            }
            self.left = self.left.saturating_sub(piece.len() as u64);
        }
        Poll::Ready(())
    }

    /// Drops what comes within [`LINGER`].
    pub(super) async fn linger(mut self, shared: &Shared) {
        if self.ended {
            return;
        }
        let slot = shared.local.deadlines.stream_slot();
        slot.set(shared.local.clock.now().after(LINGER));
        poll_fn(|cx| match self.poll(cx) {
            Poll::Pending if self.left == 0 || slot.is_over(cx) => Poll::Ready(()),
            polled => polled,
        })
        .await;
    }
}
