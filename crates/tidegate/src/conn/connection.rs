//! One connection's state, and what every part of the driver does with it: wait for bytes, encode an answer,
//! write an exchange down.

use std::future::{Future, poll_fn};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http1::{Answer, AnswerBody, Framing, Sent};

use super::buffer::Buffer;
use super::deadline::{FIRST_BYTE, LAST_CALL, Slot};
use super::fields::FieldLines;
use super::h2;
use super::local::Local;
use crate::clock::Millis;
use crate::exchange::Exchange;
use crate::http::host::Here;
use crate::http::{Body, Reject, Response};
use crate::limits::Permit;
use crate::net::listener::DEFER_ACCEPT;
use crate::net::tls::{Agreed, Protocol};
use crate::net::{Tls, Transport};
use crate::pipeline::{self, Caller};
use crate::site::Site;

/// Payloads up to this size are copied behind their head, to leave in one `send`: measured, the kernel then copies from
/// memory that is at hand, and that saves more than our copy costs.
const COPIED: usize = 64 * 1024;

/// One HTTP/1 connection.
pub struct Connection {
    pub(super) io: Transport,
    pub(super) proto: http1::Connection,
    pub(super) local: Rc<Local>,
    pub(super) slot: Slot,
    /// Encoded and not yet sent.
    pub(super) out: Vec<u8>,
    /// So much of `out` is whole answers, of which nothing was sent yet.
    pub(super) whole: usize,
    /// The payload behind an encoded head is on its way: to end now is to cut it.
    pub(super) under_way: bool,
    /// A payload that follows `out`: too large to be copied behind its head.
    pub(super) attached: Option<(Arc<[u8]>, Range<usize>)>,
    /// The seat; a connection that got none is only told so.
    pub(super) permit: Option<Permit>,
    /// What was settled when TLS began.
    pub(super) agreed: Option<Rc<Agreed>>,
    pub(super) caller: Caller,
    served: u32,
    /// A head has begun to arrive, and its deadline runs.
    pub(super) in_head: bool,
    /// A request is being answered, or the connection is on its way out: it is not idle.
    pub(super) in_request: bool,
    /// The server ends, and this connection, which is idle, was given a last moment.
    pub(super) last_call: bool,
    /// The client announced that it expects no further answer, and got what it asked for.
    pub(super) client_closes: bool,
    /// When something last happened.
    pub(super) now: Millis,
}

/// What came of waiting for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// There are more.
    Bytes,
    /// There will be none.
    End,
    /// The deadline passed.
    Late,
    /// The connection is idle and must make room for another.
    Leave,
}

/// Nothing is left to say: the peer is gone, or nothing was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone;

impl Connection {
    /// A connection just accepted. Without `permit` it can only be [turned away](Self::turn_away).
    pub fn new(io: Transport, caller: Caller, permit: Option<Permit>, local: &Rc<Local>) -> Self {
        let now = local.clock.now();
        let slot = local.deadlines.slot();
        // A silent TCP connection has been with the kernel for a while before it was accepted.
        let before = if caller.here == Here::Unix { Duration::ZERO } else { DEFER_ACCEPT };
        slot.set(now.after(FIRST_BYTE.saturating_sub(before)));
        Self {
            io,
            proto: http1::Connection::new(),
            local: Rc::clone(local),
            slot,
            out: Vec::new(),
            whole: 0,
            under_way: false,
            attached: None,
            permit,
            agreed: None,
            caller,
            served: 0,
            in_head: false,
            in_request: false,
            last_call: false,
            client_closes: false,
            now,
        }
    }

    /// Serves the connection to its end: first by `tls`, where that is spoken, then by the protocol that was agreed on.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn holds its arguments twice, and each idle connection with it"
    )]
    pub fn serve(mut self, tls: Option<Arc<Tls>>) -> impl Future<Output = ()> {
        async move {
            if let Some(tls) = tls
                && !Box::pin(self.secure(&tls)).await
            {
                return;
            }
            let first = match self.agreed.as_ref().map_or(Protocol::Http1, |agreed| agreed.protocol) {
                Protocol::Http1 => self.serve_http1().await,
                Protocol::Http2 => Some(Buffer::default()),
            };
            if let Some(entry) = first.and_then(|first| self.into_http2(first)) {
                Box::pin(h2::serve(entry)).await;
            }
        }
    }

    /// The same connection for the HTTP/2 driver, with what was received of it; one without a seat never gets so far.
    fn into_http2(self, first: Buffer) -> Option<h2::Entry> {
        let Self { io, local, slot, permit, caller, agreed, .. } = self;
        Some(h2::Entry { io, first, caller, agreed, permit: permit?, slot, local })
    }

    /// Waits for bytes from the peer.
    pub(super) async fn fill(&mut self, input: &mut Buffer) -> Fill {
        let between = input.is_blank() && !self.in_request;
        let filled = poll_fn(|cx| {
            let room = self.local.room();
            match self.local.buffers.receive(input, room, |spare| self.io.poll_read(cx, spare)) {
                Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Fill::End),
                Poll::Ready(Ok(_)) => Poll::Ready(Fill::Bytes),
                // What came in time, though the event loop has not said so, is answered: it will say so at once.
                Poll::Pending if self.slot.is_over(cx) && !(between && self.io.has_unread()) => {
                    Poll::Ready(Fill::Late)
                }
                Poll::Pending if between && self.permit.as_ref().is_some_and(Permit::evicted) => {
                    Poll::Ready(Fill::Leave)
                }
                Poll::Pending => {
                    if between && self.local.is_draining() && !std::mem::replace(&mut self.last_call, true) {
                        self.slot.set(self.local.clock.now().after(LAST_CALL));
                    }
                    if let Some(permit) = self.permit.as_ref().filter(|_| between) {
                        permit.idle(self.now, cx.waker());
                    }
                    Poll::Pending
                }
            }
        });
        match filled.await {
            // Its seat was given away while the bytes were on their way: as if they had come too late.
            Fill::Bytes if between && !self.permit.as_ref().is_none_or(Permit::busy) => Fill::Leave,
            filled => filled,
        }
    }

    /// Encodes the head of `response`, and its body where that is in memory. What was attached before is sent by now.
    pub(super) fn encode(&mut self, site: &Site, response: &Response, exchange: &mut Exchange<'_>) -> Sent {
        crate::failpoint!("encode");
        debug_assert!(self.attached.is_none(), "an attachment is followed by a flush");
        if self.out.capacity() == 0 {
            self.out = self.local.buffers.take_output();
        }
        self.served = self.served.saturating_add(1);
        let close = response.close || self.served >= site.max_requests || self.local.is_draining();
        let lines = FieldLines::of(&self.local, site, response, exchange, self.agreed.is_some());
        let answer = Answer {
            status: response.status,
            fields: &lines.slices(),
            body: match &response.body {
                Body::Live(_) => AnswerBody::Stream,
                body => body.length().map_or(AnswerBody::None, AnswerBody::Exact),
            },
            close,
            keep_alive: &site.keep_alive_fields,
        };
        let sent = self.proto.answer(&mut self.out, &answer);
        // Who is refused may not have meant to end here, and still be sending (H1-9).
        self.client_closes &= response.status < 400;
        exchange.answered(response);
        if let (Some(bytes), Framing::Exact(length)) = (response.body.bytes(), sent.framing) {
            match &response.body {
                Body::Shared(whole, range) if bytes.len() > COPIED => {
                    self.attached = Some((Arc::clone(whole), range.clone()));
                }
                _ => self.out.extend_from_slice(bytes),
            }
            exchange.bytes = length;
        }
        if response.body.bytes().is_some() || sent.framing == Framing::Nothing {
            self.whole = self.out.len();
        }
        sent
    }

    /// Whether any answer was given so far.
    pub(super) const fn served_any(&self) -> bool {
        self.served > 0
    }

    /// Whether no more than one answer was given so far.
    pub(super) const fn is_first_answer(&self) -> bool {
        self.served <= 1
    }

    /// Bytes that are encoded and not yet sent.
    pub(super) fn waiting(&self) -> usize {
        self.out.len() + self.attached.as_ref().map_or(0, |(_, part)| part.len())
    }

    /// Refuses what could not be read as a request, and closes.
    pub(super) fn refuse_unread(&mut self, reject: &Reject, input: Option<&[u8]>) {
        let mut exchange = Exchange::begin(self.local.ids.next(), self.caller.peer, Instant::now());
        exchange.line = input.and_then(http1::request_line);
        let response = pipeline::refuse_unread(reject, exchange.id);
        let site = self.local.site();
        self.encode(&site, &response, &mut exchange);
        self.record(&exchange);
    }

    /// Writes down how an exchange ended, which is now.
    pub(super) fn record(&mut self, exchange: &Exchange<'_>) {
        // From here on the connection is idle, however long the answer took.
        self.now = self.local.record(exchange);
    }
}
