//! The connection itself: frames in, requests out to their streams, frames out; deadlines, seat, and how it ends.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use tokio::task::coop::consume_budget;
use tokio::task::spawn_local;

use super::patience::Flood;
use super::payload::Payload;
use super::settings::{self, STREAMS};
use super::shared::Shared;
use super::stream;
use super::wire::{Pipe, Wire};
use crate::clock::Millis;
use crate::conn::buffer::Buffer;
use crate::conn::deadline::{FIRST_BYTE, LAST_CALL, LINGER, Slot};
use crate::conn::local::Local;
use crate::exchange::Exchange;
use crate::http::{Code, Reject};
use crate::isolate;
use crate::limits::Permit;
use crate::net::Transport;
use crate::net::tls::Agreed;
use crate::pipeline::{self, Caller};

/// A connection carries so many times the requests of `--max-requests` (SPEC H2-1).
const REQUESTS: u32 = 100;
/// How long requests are still taken that may have been sent before the client knew that we leave.
const ROUND_TRIP: Duration = Duration::from_secs(1);
/// How long the last frames may take to leave.
const FAREWELL: Duration = Duration::from_millis(500);

/// A connection that is known to speak HTTP/2.
pub struct Entry {
    /// Its bytes.
    pub io: Transport,
    /// What was received of them before that was known, from the preface on.
    pub first: Buffer,
    /// Who is at the other end.
    pub caller: Caller,
    /// What was settled when TLS began; `None` in the clear.
    pub agreed: Option<Rc<Agreed>>,
    /// Its seat.
    pub permit: Permit,
    /// Its deadline.
    pub slot: Slot,
    /// What it shares with the others of its worker.
    pub local: Rc<Local>,
}

/// Serves requests until either side has enough, then closes.
pub async fn serve(entry: Entry) {
    let mut driver = Driver::new(entry);
    let end = {
        let mut driving = pin!(driver.drive());
        poll_fn(|cx| isolate::poll(driving.as_mut(), cx)).await
    };
    match end {
        Ok(End::Politely) => driver.linger().await,
        Ok(End::AtOnce) => driver.pipe.borrow_mut().io.say_goodbye(),
        Err(isolate::Panicked) => driver.shared.give_up(),
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Our last frames are on their way, and the client may not have read them.
    Politely,
    /// Nobody is there, or nobody who takes anything.
    AtOnce,
}

/// What the next turn is about.
enum Event {
    Request(http::Request<RecvStream>, SendResponse<Payload>),
    /// The client is done, or the connection is.
    Closed,
    Failed(h2::Error),
    /// It is to be cut off, and recorded.
    Cut(Reason, Reject),
    /// It is idle, and its time, its seat or the server's is over.
    Leave,
    /// The client takes too little of its answers.
    Stuck,
}

type Http2 = Connection<Wire, Payload>;

struct Driver {
    shared: Rc<Shared>,
    pipe: Rc<RefCell<Pipe>>,
    permit: Permit,
    slot: Slot,
    /// Requests so far.
    served: u32,
    /// Since when there has been nothing to do.
    idle_since: Option<Millis>,
    /// Since when a header block has been on its way.
    block_since: Option<Millis>,
    /// The server ends, and this connection, which has not begun, was given a last moment.
    called: bool,
    /// Since when the client has been told that no further request is taken.
    leaving: Option<Millis>,
}

impl Driver {
    fn new(entry: Entry) -> Self {
        let Entry { io, first, caller, agreed, permit, slot, local } = entry;
        let pipe = Rc::new(RefCell::new(Pipe::new(io, first, &local)));
        Self {
            idle_since: Some(local.clock.now()),
            shared: Rc::new(Shared::new(&local, caller, agreed)),
            pipe,
            permit,
            slot,
            served: 0,
            block_since: None,
            called: false,
            leaving: None,
        }
    }

    async fn drive(&mut self) -> End {
        let local = &self.shared.local;
        self.slot.set(local.clock.now().after(FIRST_BYTE));
        let settings = settings::of(&local.site());
        let mut beginning = pin!(settings.handshake(Wire(Rc::clone(&self.pipe))));
        let begun = poll_fn(|cx| {
            let begun = beginning.as_mut().poll(cx);
            let sent = self.pipe.borrow_mut().poll_end_turn(cx);
            match (begun, sent) {
                (Poll::Ready(begun), _) => Poll::Ready(begun.ok()),
                (Poll::Pending, Poll::Ready(Err(_))) => Poll::Ready(None),
                (Poll::Pending, _) => self.poll_silence(cx).map(|()| None),
            }
        });
        let Some(mut http2) = begun.await else { return End::AtOnce };
        loop {
            match poll_fn(|cx| self.poll_event(&mut http2, cx)).await {
                // It may be asked for again, elsewhere (RFC 9113 §8.7).
                Event::Request(_, mut respond) if self.has_left() => {
                    respond.send_reset(Reason::REFUSED_STREAM);
                }
                Event::Request(request, respond) if self.takes_another() => {
                    self.begin(request, respond).await;
                    // A client that asks without end takes turns with the others.
                    consume_budget().await;
                    if self.served >= self.shared.local.site().max_requests.saturating_mul(REQUESTS) {
                        self.leave(&mut http2);
                    }
                }
                Event::Request(..) | Event::Leave => {
                    let said = self.farewell(http2, Reason::NO_ERROR).await;
                    // Who waits for the seat or for the end of the server does not wait for this client.
                    let hurry = self.shared.local.is_draining() || self.permit.evicted();
                    return if hurry { End::AtOnce } else { said };
                }
                Event::Cut(reason, reject) => {
                    self.note(&reject);
                    return self.farewell(http2, reason).await;
                }
                Event::Failed(error) => return self.failed(http2, &error).await,
                Event::Stuck => {
                    self.pipe.borrow().io.reset_on_close();
                    return End::AtOnce;
                }
                Event::Closed => return End::Politely,
            }
        }
    }

    /// No preface so far: the connection is as idle as any that was asked nothing.
    fn poll_silence(&mut self, cx: &Context<'_>) -> Poll<()> {
        let now = self.shared.local.clock.now();
        if self.shared.local.is_draining() && !std::mem::replace(&mut self.called, true) {
            self.slot.set(now.after(LAST_CALL));
        }
        if self.slot.is_over(cx) || self.permit.evicted() {
            return Poll::Ready(());
        }
        self.permit.idle(self.idle_since.unwrap_or(now), cx.waker());
        Poll::Pending
    }

    /// One turn: frames in, frames out, then whether there is anything to be done.
    fn poll_event(&mut self, http2: &mut Http2, cx: &mut Context<'_>) -> Poll<Event> {
        self.shared.watch(cx);
        if self.shared.local.is_draining() {
            self.leave(http2);
        }
        // Streams that the client has reset leave the crate's count, but what was begun for them goes on.
        let accepted = if self.shared.under_way() < STREAMS {
            http2.poll_accept(cx)
        } else {
            http2.poll_closed(cx).map(|closed| closed.err().map(Err))
        };
        if let Poll::Ready(Some(Ok((request, respond)))) = accepted {
            return Poll::Ready(Event::Request(request, respond));
        }
        let sent = self.pipe.borrow_mut().poll_end_turn(cx);
        match accepted {
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Event::Failed(error)),
            Poll::Ready(_) => return Poll::Ready(Event::Closed),
            Poll::Pending => {}
        }
        if let Some((reason, reject)) = self.flood() {
            return Poll::Ready(Event::Cut(reason, reject));
        }
        match sent {
            Poll::Ready(Err(_)) => Poll::Ready(Event::Stuck),
            Poll::Ready(Ok(())) if self.shared.owed() == 0 => self.poll_idle(http2, cx),
            Poll::Ready(Ok(())) | Poll::Pending => {
                self.idle_since = None;
                let mut pipe = self.pipe.borrow_mut();
                pipe.poll_patience(cx, &self.slot).map(|()| Event::Stuck)
            }
        }
    }

    /// Nothing waits to be sent: how long that may last.
    fn poll_idle(&mut self, http2: &Http2, cx: &Context<'_>) -> Poll<Event> {
        self.pipe.borrow_mut().forgive();
        let (local, now) = (&self.shared.local, self.shared.local.clock.now());
        let site = local.site();
        self.block_since = self.pipe.borrow().in_block().then(|| self.block_since.unwrap_or(now));
        let busy = self.shared.under_way() > 0 || (http2.has_streams() && !self.has_left());
        self.idle_since = (!busy).then(|| self.idle_since.unwrap_or(now));
        let block = self.block_since.map(|since| since.after(site.header_timeout));
        let patience = match self.leaving {
            Some(_) if local.is_draining() => LAST_CALL,
            Some(_) => ROUND_TRIP,
            None => site.keep_alive,
        };
        let idle = self.idle_since.map(|since| since.after(patience));
        let left = self.leaving.map(|since| since.after(ROUND_TRIP)).filter(|left| *left > now);
        let deadline = block.into_iter().chain(idle).chain(left).min().unwrap_or(Millis::NEVER);
        self.slot.set(deadline);
        let _ = self.slot.is_over(cx);
        if block.is_some_and(|block| block <= now) {
            let reject = Reject::new(Code::SlowHead, "The head of the request did not arrive in time.")
                .seen("HTTP/2: a header block that was begun and not ended in time");
            return Poll::Ready(Event::Cut(Reason::ENHANCE_YOUR_CALM, reject));
        }
        if busy {
            return Poll::Pending;
        }
        if deadline <= now || self.permit.evicted() || self.has_left() {
            return Poll::Ready(Event::Leave);
        }
        self.permit.idle(self.idle_since.unwrap_or(now), cx.waker());
        Poll::Pending
    }

    /// Whether the connection still has its seat, now that a request is there.
    fn takes_another(&self) -> bool {
        self.permit.busy()
    }

    /// Answers a request at once where its answer is at hand; else in a task of its own.
    async fn begin(&mut self, request: http::Request<RecvStream>, respond: SendResponse<Payload>) {
        self.served = self.served.saturating_add(1);
        self.idle_since = None;
        let mut answering = Box::pin(stream::serve(Rc::clone(&self.shared), request, respond));
        let answered = poll_fn(|cx| Poll::Ready(answering.as_mut().poll(cx).is_ready())).await;
        if !answered {
            spawn_local(answering);
        }
    }

    /// Tells the client, once, that no further request is taken; what it has asked for is answered (RFC 9113 §6.8).
    fn leave(&mut self, http2: &mut Http2) {
        if self.leaving.is_none() {
            http2.graceful_shutdown();
            self.leaving = Some(self.shared.local.clock.now());
            // A last call begins now.
            self.idle_since = None;
        }
    }

    /// Whether the client has had time to hear that we leave. The crate waits for it to say so, which it need not.
    fn has_left(&self) -> bool {
        self.leaving.is_some_and(|since| since.after(ROUND_TRIP) <= self.shared.local.clock.now())
    }

    /// What the client did too often; mistakes for which the crate has reset a stream are recorded on the way.
    fn flood(&self) -> Option<(Reason, Reject)> {
        let (mistakes, verdict) = {
            let mut pipe = self.pipe.borrow_mut();
            (pipe.take_mistakes(), pipe.verdict())
        };
        for _ in 0..mistakes {
            let reject = Reject::new(Code::BadHead, "The request is not HTTP/2 as RFC 9113 has it.");
            self.note(&reject.seen("HTTP/2: a stream was reset for a mistake of the client"));
        }
        let flood = verdict?;
        let (reason, reject) = match flood {
            Flood::Stranger => (Reason::PROTOCOL_ERROR, broken()),
            _ => (Reason::ENHANCE_YOUR_CALM, calm()),
        };
        Some((reason, reject.seen(flood.text())))
    }

    /// Ends a connection for which the crate has no use any more.
    async fn failed(&mut self, http2: Http2, error: &h2::Error) -> End {
        match error.reason() {
            // Its frames are on their way out; what it did is ours to tell.
            Some(reason) if error.is_library() => {
                let reject = if reason == Reason::ENHANCE_YOUR_CALM { calm() } else { broken() };
                self.note(&reject.seen(format!("HTTP/2: {error}")));
                self.farewell(http2, reason).await
            }
            _ => End::AtOnce,
        }
    }

    /// Says goodbye, and lets what was said leave.
    async fn farewell(&mut self, mut http2: Http2, reason: Reason) -> End {
        http2.abrupt_shutdown(reason);
        self.pipe.borrow_mut().stop_reading();
        self.slot.set(self.shared.local.clock.now().after(FAREWELL));
        poll_fn(|cx| {
            let closed = http2.poll_closed(cx).is_ready();
            match self.pipe.borrow_mut().poll_end_turn(cx) {
                Poll::Ready(Ok(())) if closed => Poll::Ready(End::Politely),
                Poll::Ready(Err(_)) => Poll::Ready(End::AtOnce),
                _ if self.slot.is_over(cx) => Poll::Ready(End::AtOnce),
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// Records what ends this connection, or a stream of which we know no request.
    fn note(&self, reject: &Reject) {
        let local = &self.shared.local;
        let mut exchange = Exchange::begin(local.ids.next(), self.shared.caller.peer, Instant::now());
        exchange.answered(&pipeline::refuse_unread(reject, exchange.id));
        local.record(&exchange);
    }

    /// The polite close (RFC 9112 §9.6): nothing more is written, and what still comes is read and dropped for a while,
    /// lest a reset take our last frames from the client.
    async fn linger(&mut self) {
        let local = Rc::clone(&self.shared.local);
        let patience = if local.is_draining() { LAST_CALL } else { LINGER };
        self.slot.set(local.clock.now().after(patience));
        self.pipe.borrow_mut().io.finish_writing();
        let mut left = http1::DRAIN_LIMIT;
        let mut input = Buffer::default();
        while left > 0 {
            let received = poll_fn(|cx| {
                let mut pipe = self.pipe.borrow_mut();
                match local.buffers.receive(&mut input, local.room(), |spare| pipe.io.poll_read(cx, spare)) {
                    Poll::Pending if self.slot.is_over(cx) => Poll::Ready(0),
                    Poll::Ready(received) => Poll::Ready(received.unwrap_or(0)),
                    Poll::Pending => Poll::Pending,
                }
            });
            let count = received.await;
            if count == 0 {
                break;
            }
            input.consume(input.unread().len());
            left = left.saturating_sub(count as u64);
        }
        local.buffers.give_back(&mut input);
    }
}

/// Too much of what is no request.
fn calm() -> Reject {
    Reject::new(Code::RateLimited, "Too many frames that are no request.")
}

fn broken() -> Reject {
    Reject::new(Code::BadFraming, "The bytes are not HTTP/2 as RFC 9113 has it.")
}
