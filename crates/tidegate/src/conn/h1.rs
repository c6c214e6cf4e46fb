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
use std::pin::pin;
use std::time::Instant;

use http1::{BodyLength, FieldStorage, Next};
use tokio::task::coop::consume_budget;

use super::buffer::Buffer;
use super::complete::Pending;
use super::connection::{Connection, Fill, Gone};
use super::h2::{self, Preface};
use super::linger;
use crate::exchange::Exchange;
use crate::http::reject::Extra;
use crate::http::{Code, Reject, Reply, Request};
use crate::isolate::{self, Panicked};
use crate::limits::Refused;
use crate::net::tls::Agreed;
use crate::pipeline::{self, Arrival};
use crate::site::Site;

/// Encoded answers that may wait while further pipelined requests are judged; beyond that they are sent
/// first, so that a client that does not read is not read from.
const HIGH_WATER: usize = 64 * 1024;

/// What a new connection may send before anything is acknowledged, with room to spare: ten segments (RFC 6928 §2), of
/// which none is smaller than 536 bytes.
const INITIAL_WINDOW: usize = 5 * 1024;

/// How a conversation ends.
enum End {
    /// The last answer is encoded; this was received behind its request.
    Answered(Buffer),
    /// It was none of HTTP/1: it begins with the preface of HTTP/2, and goes on there.
    Http2(Buffer),
}

/// What came of looking at the bytes received.
enum Step<'b> {
    /// They hold no whole head.
    Hungry,
    /// A request of so many bytes was answered; the next may follow.
    Next(usize),
    /// A request of so many bytes was answered, or bytes were refused; nothing more is read.
    Last(usize),
    /// The answer takes more than the bytes at hand.
    Wait(Box<Pending<'b>>),
}

/// What a step leaves behind.
enum Turn {
    /// So many bytes are done with.
    Consumed(usize),
    /// The bytes behind a request that was answered apart, and what comes next.
    Tail(Buffer, Next),
    /// So many bytes are done with, and nothing more is read.
    Last(usize),
}

impl Connection {
    /// Serves requests until either side has enough, then closes; unless the connection turns out to be one of HTTP/2, of
    /// which the first bytes are returned.
    pub(super) async fn serve_http1(&mut self) -> Option<Buffer> {
        let end = {
            let mut conversation = pin!(self.converse());
            poll_fn(|cx| isolate::poll(conversation.as_mut(), cx)).await
        };
        match end {
            Ok(Ok(End::Http2(first))) => return Some(first),
            Ok(Ok(End::Answered(rest))) => self.goodbye(rest).await,
            Ok(Err(Gone)) => {}
            Err(Panicked) => self.apologise().await,
        }
        None
    }

    /// Serves requests.
    async fn converse(&mut self) -> Result<End, Gone> {
        let mut input = Buffer::default();
        let agreed = self.agreed.clone();
        loop {
            match self.fill(&mut input).await {
                Fill::Bytes => {}
                Fill::Late if !input.is_blank() => {
                    self.refuse_late(input.unread());
                    return Ok(End::Answered(input));
                }
                Fill::Late | Fill::Leave => {
                    self.leave().await;
                    return Err(Gone);
                }
                Fill::End => {
                    self.io.say_goodbye();
                    return Err(Gone);
                }
            }
            let site = self.local.site();
            // Over TLS it is agreed on before (RFC 9113 §3.2).
            if !self.served_any() && agreed.is_none() {
                match h2::preface(input.unread()) {
                    Preface::Whole => return Ok(End::Http2(input)),
                    Preface::Begun => {
                        self.await_head(&site, &mut input);
                        continue;
                    }
                    Preface::Other => {}
                }
            }
            loop {
                let turn = match self.step(&site, agreed.as_deref(), &input) {
                    Step::Hungry => break,
                    Step::Next(consumed) => Turn::Consumed(consumed),
                    Step::Last(consumed) => Turn::Last(consumed),
                    Step::Wait(pending) => {
                        let (tail, next) = Box::pin(self.complete(&site, *pending, &input)).await?;
                        Turn::Tail(tail, next)
                    }
                };
                match turn {
                    Turn::Consumed(count) => input.consume(count),
                    Turn::Tail(tail, Next::Head) => self.replace(&mut input, tail),
                    Turn::Tail(tail, _) => return Ok(End::Answered(tail)),
                    Turn::Last(count) => {
                        input.consume(count);
                        return Ok(End::Answered(input));
                    }
                }
                if self.out.len() >= HIGH_WATER || self.attached.is_some() {
                    self.flush().await?;
                }
                // A client that pipelines without end takes turns with the others.
                consume_budget().await;
            }
            self.flush().await?;
            self.await_head(&site, &mut input);
        }
    }

    /// After a panic of this driver (SPEC LOAD-4): what was encoded whole is sent, a request that has no answer yet is
    /// told so, and the connection closes, for nobody knows where it stands. A payload that is on its way is cut.
    async fn apologise(&mut self) {
        if self.out.len() > self.whole {
            self.out.truncate(self.whole);
            self.attached = None;
        }
        if !self.proto.is_answered() {
            self.refuse_unread(&pipeline::panicked(), None);
        } else if self.under_way && self.whole == 0 {
            self.io.reset_on_close();
            return;
        }
        self.goodbye(Buffer::default()).await;
    }

    /// Tells a connection that has no seat so, and closes it.
    pub async fn turn_away(&mut self, refused: Refused) {
        crate::failpoint!("turn_away");
        self.refuse_unread(&no_seat(refused), None);
        self.goodbye(Buffer::default()).await;
    }

    /// Closes a connection that has no seat, when too many are being told already. It is counted all the same.
    pub fn turn_away_silently(&mut self, refused: Refused) {
        self.refuse_unread(&no_seat(refused), None);
    }

    fn replace(&self, input: &mut Buffer, tail: Buffer) {
        self.local.buffers.give_back(&mut std::mem::replace(input, tail));
    }

    /// Sets the deadline for what comes next: the rest of a head, or its first byte.
    fn await_head(&mut self, site: &Site, input: &mut Buffer) {
        if input.is_empty() {
            self.local.buffers.give_back(input);
        }
        if input.is_blank() {
            self.in_head = false;
            // Neither the time for the first byte nor a last call is made longer by what is no request.
            if self.served_any() && !self.last_call {
                self.slot.set(self.now.after(site.keep_alive));
            }
        } else if !self.in_head {
            self.in_head = true;
            self.slot.set(self.local.clock.now().after(site.header_timeout));
        }
    }

    /// Judges the bytes received, and answers if that needs nothing else.
    fn step<'b>(&mut self, site: &'b Site, agreed: Option<&'b Agreed>, input: &'b Buffer) -> Step<'b> {
        let bytes = input.unread();
        let mut storage = FieldStorage::new();
        let head = match self.proto.read_head(bytes, &mut storage, &site.limits) {
            Ok(Some(head)) => head,
            Ok(None) => return Step::Hungry,
            Err(error) => {
                self.refuse_unread(&Reject::from(&error), Some(bytes));
                return Step::Last(0);
            }
        };
        crate::failpoint!("head");
        let started = Instant::now();
        self.now = self.local.clock.at(started);
        self.in_head = false;
        self.client_closes = !head.persistent;
        let request = Request::new(&head, bytes).over(agreed);
        let mut exchange = Exchange::begin(self.local.ids.next(), self.caller.peer, started);
        exchange.asked(request);
        let nanos = self.local.clock.nanos(started);
        let arrival = Arrival { caller: self.caller, now: self.now, nanos, id: exchange.id };
        match pipeline::handle(site, &request, arrival, &mut exchange.client) {
            Reply::Now(response) if request.body == BodyLength::None && response.body.bytes().is_some() => {
                self.encode(site, &response, &mut exchange);
                self.record(&exchange);
                match self.proto.after_answer() {
                    Next::Head => Step::Next(head.consumed),
                    _ => Step::Last(head.consumed),
                }
            }
            reply => {
                Step::Wait(Box::new(Pending { request, arrival, exchange, reply, consumed: head.consumed }))
            }
        }
    }

    /// 408 for a head that did not come to its end in time.
    fn refuse_late(&mut self, input: &[u8]) {
        let reject = Reject::new(Code::SlowHead, "The head of the request did not arrive in time.")
            .seen(format!("{} bytes of a head in time", input.len()));
        self.refuse_unread(&reject, Some(input));
    }

    /// Closes: at once where the client expects no more and sends no more, else politely.
    pub(super) async fn goodbye(&mut self, mut input: Buffer) {
        let nothing_more = self.client_closes && input.is_empty() && self.proto.body_finished();
        let leaves_at_once = self.is_first_answer() && (1..=INITIAL_WINDOW).contains(&self.waiting());
        self.local.buffers.give_back(&mut input);
        self.in_request = true;
        if self.flush().await.is_ok() && !(nothing_more && (leaves_at_once || self.all_left())) {
            Box::pin(linger::linger(self)).await;
        }
        self.io.say_goodbye();
    }

    /// Closes an idle connection. What its peer has not taken of an answer it gets as long as it goes on taking it.
    async fn leave(&mut self) {
        if self.served_any() && self.io.unsent() > 0 {
            self.in_request = true;
            Box::pin(linger::linger(self)).await;
        }
        self.io.say_goodbye();
    }

    /// Whether all that was written has left this machine's socket: a close cannot take it back then.
    fn all_left(&self) -> bool {
        self.io.unsent_yet() == 0
    }
}

fn no_seat(refused: Refused) -> Reject {
    match refused {
        Refused::HouseFull => Reject::new(Code::TooManyConnections, "All connections are in use; try again.")
            .seen("max-connections reached, and none of them is idle"),
        Refused::ClientFull => {
            Reject::new(Code::TooManyFromClient, "You have too many connections open; close some.")
                .seen("max-connections-per-ip reached, and none of this client's is idle")
        }
    }
    .with(Extra::RetryAfter(1))
}
