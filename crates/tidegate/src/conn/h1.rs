//! The HTTP/1 driver: one task per connection, one loop, read from top to bottom.
//!
//! ```text
//!        ┌──────────────────────────────────────────────────────────────┐
//!        ▼                                                              │
//!      fill ─► step ─ whole head, answer at hand ─► encode ─► step …    │
//!        │      │                                          no more ─► flush
//!        │      └ waits for pool, body or file ─► complete (boxed) ─► step …
//!        └ end, late, evicted, draining ─► goodbye
//! ```
//! The loop's own state is what an idle connection costs: it holds no buffer, and whatever needs more state
//! than a cached answer does runs in a box of its own.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use http1::{Answer, AnswerBody, BodyLength, FieldStorage, Framing, Next, Sent};

use super::buffer::Buffer;
use super::complete::Pending;
use super::deadline::{FIRST_BYTE, Slot};
use super::local::Local;
use super::{linger, send};
use crate::clock::Millis;
use crate::exchange::Exchange;
use crate::http::host::Here;
use crate::http::reject::Extra;
use crate::http::{Code, Reject, Reply, Request, Response};
use crate::limits::Permit;
use crate::net::{Peer, Transport};
use crate::pipeline::{self, Arrival};
use crate::site::Site;

/// Encoded answers that may wait while further pipelined requests are judged; beyond that they are sent
/// first, so that a client that does not read is not read from.
const HIGH_WATER: usize = 64 * 1024;

/// One HTTP/1 connection.
pub struct Connection {
    pub(super) io: Transport,
    pub(super) proto: http1::Connection,
    pub(super) local: Rc<Local>,
    pub(super) slot: Slot,
    /// Encoded and not yet sent.
    pub(super) out: Vec<u8>,
    /// The seat; a connection that got none is only told so.
    permit: Option<Permit>,
    peer: Peer,
    here: Here,
    served: u32,
    /// A head has begun to arrive, and its deadline runs.
    in_head: bool,
    /// A request is being answered, or the connection is on its way out: it is not idle.
    pub(super) in_request: bool,
    /// The client announced that it expects no further answer.
    client_closes: bool,
    /// When something last happened.
    now: Millis,
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
    /// The connection is idle and must make room.
    Leave,
}

/// Nothing is left to say: the peer is gone, or nothing was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone;

/// What came of looking at the bytes received.
enum Step<'b> {
    /// They hold no whole head.
    Hungry,
    /// A request of so many bytes was answered; the next may follow.
    Next(usize),
    /// A request was answered, and it was the last.
    Last,
    /// The answer takes more than the bytes at hand.
    Wait(Box<Pending<'b>>),
}

/// What a step leaves behind.
enum Turn {
    /// So many bytes are done with.
    Consumed(usize),
    /// The bytes behind a request that was answered apart, and what comes next.
    Tail(Buffer, Next),
    /// Nothing more is read.
    Last,
}

impl Connection {
    /// A connection just accepted at `here`. Without `permit` it can only be [turned away](Self::turn_away).
    pub fn new(io: Transport, peer: Peer, here: Here, permit: Option<Permit>, local: &Rc<Local>) -> Self {
        let now = local.clock.now();
        let slot = local.deadlines.slot();
        slot.set(now.after(FIRST_BYTE));
        Self {
            io,
            proto: http1::Connection::new(),
            local: Rc::clone(local),
            slot,
            out: Vec::new(),
            permit,
            peer,
            here,
            served: 0,
            in_head: false,
            in_request: false,
            client_closes: false,
            now,
        }
    }

    /// Serves requests until either side has enough, then closes.
    pub async fn serve(&mut self) {
        if let Ok(rest) = self.converse().await {
            self.goodbye(rest).await;
        }
    }

    /// Serves requests; returns what was received and not consumed when the last answer is encoded.
    async fn converse(&mut self) -> Result<Buffer, Gone> {
        let mut input = Buffer::default();
        loop {
            match self.fill(&mut input).await {
                Fill::Bytes => {}
                Fill::Late if !input.is_empty() => {
                    self.refuse_late(input.unread());
                    return Ok(input);
                }
                Fill::Late | Fill::End | Fill::Leave => return Err(Gone),
            }
            let site = self.local.site();
            loop {
                let turn = match self.step(&site, &input) {
                    Step::Hungry => break,
                    Step::Next(consumed) => Turn::Consumed(consumed),
                    Step::Last => Turn::Last,
                    Step::Wait(pending) => {
                        let (tail, next) = Box::pin(self.complete(&site, *pending, &input)).await?;
                        Turn::Tail(tail, next)
                    }
                };
                match turn {
                    Turn::Consumed(count) => input.consume(count),
                    Turn::Tail(tail, Next::Head) => self.replace(&mut input, tail),
                    Turn::Tail(tail, _) => return Ok(tail),
                    Turn::Last => return Ok(input),
                }
                if self.out.len() >= HIGH_WATER {
                    self.flush().await?;
                }
            }
            self.flush().await?;
            self.await_head(&site, &mut input);
        }
    }

    /// Tells a connection that has no seat so, and closes it.
    pub async fn turn_away(&mut self) {
        self.refuse_unread(&no_seat(), None);
        self.goodbye(Buffer::default()).await;
    }

    /// Closes a connection that has no seat, when too many are being told already. It is counted all the same.
    pub fn turn_away_silently(&mut self) {
        self.refuse_unread(&no_seat(), None);
    }

    fn replace(&self, input: &mut Buffer, tail: Buffer) {
        self.local.buffers.give_back(&mut std::mem::replace(input, tail));
    }

    /// Sets the deadline for what comes next: the rest of a head, or its first byte.
    fn await_head(&mut self, site: &Site, input: &mut Buffer) {
        if input.is_empty() {
            self.local.buffers.give_back(input);
            self.in_head = false;
            self.slot.set(self.now.after(site.keep_alive));
        } else if !self.in_head {
            self.in_head = true;
            self.slot.set(self.local.clock.now().after(site.header_timeout));
        }
    }

    /// Waits for bytes from the peer.
    pub(super) async fn fill(&mut self, input: &mut Buffer) -> Fill {
        let between = input.is_empty() && !self.in_request;
        let filled = poll_fn(|cx| {
            let room = self.local.room();
            match self.local.buffers.receive(input, room, |spare| self.io.poll_read(cx, spare)) {
                Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Fill::End),
                Poll::Ready(Ok(_)) => Poll::Ready(Fill::Bytes),
                Poll::Pending if self.slot.is_over(cx) => Poll::Ready(Fill::Late),
                Poll::Pending if between && self.must_leave() => Poll::Ready(Fill::Leave),
                Poll::Pending => {
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

    fn must_leave(&self) -> bool {
        self.local.is_draining() || self.permit.as_ref().is_some_and(Permit::evicted)
    }

    /// Judges the bytes received, and answers if that needs nothing else.
    fn step<'b>(&mut self, site: &'b Site, input: &'b Buffer) -> Step<'b> {
        let bytes = input.unread();
        let mut storage = FieldStorage::new();
        let head = match self.proto.read_head(bytes, &mut storage, &site.limits) {
            Ok(Some(head)) => head,
            Ok(None) => return Step::Hungry,
            Err(error) => {
                self.refuse_unread(&Reject::from(&error), Some(bytes));
                return Step::Last;
            }
        };
        let started = Instant::now();
        self.now = self.local.clock.at(started);
        self.in_head = false;
        self.client_closes = !head.persistent;
        let request = Request::new(&head, bytes);
        let mut exchange = Exchange::begin(self.local.ids.next(), self.peer, started);
        exchange.asked(request);
        let arrival = Arrival { here: self.here, now: self.now, id: exchange.id };
        match pipeline::handle(site, &request, arrival) {
            Reply::Now(response) if request.body == BodyLength::None && response.body.bytes().is_some() => {
                self.encode(site, &response, &mut exchange);
                self.record(&exchange);
                if self.proto.after_answer() == Next::Head { Step::Next(head.consumed) } else { Step::Last }
            }
            reply => {
                Step::Wait(Box::new(Pending { exchange, reply, body: request.body, consumed: head.consumed }))
            }
        }
    }

    /// Encodes the head of `response`, and its body where that is in memory.
    pub(super) fn encode(&mut self, site: &Site, response: &Response, exchange: &mut Exchange<'_>) -> Sent {
        if self.out.capacity() == 0 {
            self.out = self.local.buffers.take_output();
        }
        self.served = self.served.saturating_add(1);
        let close = response.close || self.served >= site.max_requests || self.local.is_draining();
        let common = self.local.clock.common_fields();
        let answer = Answer {
            status: response.status,
            fields: &[&common, response.fields.as_bytes()],
            body: response.body.length().map_or(AnswerBody::None, AnswerBody::Exact),
            close,
            keep_alive: &site.keep_alive_fields,
        };
        let sent = self.proto.answer(&mut self.out, &answer);
        exchange.answered(response);
        if let (Some(bytes), Framing::Exact(length)) = (response.body.bytes(), sent.framing) {
            self.out.extend_from_slice(bytes);
            exchange.bytes = length;
        }
        sent
    }

    /// 408 for a head that did not come to its end in time.
    fn refuse_late(&mut self, input: &[u8]) {
        let reject = Reject::new(Code::SlowHead, "The head of the request did not arrive in time.")
            .seen(format!("{} bytes of a head in time", input.len()));
        self.refuse_unread(&reject, Some(input));
    }

    /// Refuses what could not be read as a request, and closes.
    fn refuse_unread(&mut self, reject: &Reject, input: Option<&[u8]>) {
        let mut exchange = Exchange::begin(self.local.ids.next(), self.peer, Instant::now());
        exchange.line = input.and_then(http1::request_line);
        let response = pipeline::refuse(reject, None, exchange.id);
        let site = self.local.site();
        self.encode(&site, &response, &mut exchange);
        self.record(&exchange);
    }

    pub(super) fn record(&self, exchange: &Exchange<'_>) {
        let ended = Instant::now();
        self.local.recorder.record(exchange, ended, self.local.clock.at(ended));
    }

    /// Sends what is encoded.
    pub(super) async fn flush(&mut self) -> Result<(), Gone> {
        if self.out.is_empty() {
            return Ok(());
        }
        send::encoded(self).await?;
        let out = std::mem::take(&mut self.out);
        self.local.buffers.give_back_output(out);
        Ok(())
    }

    /// Closes: at once where the client expects no more and sends no more, else politely.
    async fn goodbye(&mut self, mut input: Buffer) {
        let nothing_more = self.client_closes && input.is_empty() && self.proto.body_finished();
        self.local.buffers.give_back(&mut input);
        self.in_request = true;
        if self.flush().await.is_ok() && !nothing_more {
            Box::pin(linger::linger(self)).await;
        }
    }
}

fn no_seat() -> Reject {
    Reject::new(Code::TooManyConnections, "All connections are in use; try again.")
        .with(Extra::RetryAfter(1))
        .seen("max-connections reached, and none of them is idle")
}
