//! Requests whose answer takes more than the bytes at hand: the pool, a body, or a file. Each runs in a box of
//! its own, so that a connection that never needs one does not pay for it.

use http1::{BodyEvent, BodyLength, DRAIN_LIMIT, Framing, Next};

use super::buffer::Buffer;
use super::connection::{Connection, Fill, Gone};
use super::deadline::LINGER;
use super::{receive, send_file, send_live, send_sealed};
use crate::clock::Millis;
use crate::exchange::Exchange;
use crate::http::{Body, Reject, Reply, Request, Response};
use crate::pipeline::{self, Arrival};
use crate::site::Site;

/// What the log says of a client that left before there was an answer: nginx's number for that.
pub(super) const CLIENT_GONE: u16 = 499;

/// A request whose answer is not at hand.
pub(super) struct Pending<'b> {
    /// What was asked.
    pub(super) request: Request<'b>,
    /// Where and when.
    pub(super) arrival: Arrival,
    /// Its record so far.
    pub(super) exchange: Exchange<'b>,
    /// How it will be answered.
    pub(super) reply: Reply<'b>,
    /// The length of its head.
    pub(super) consumed: usize,
}

/// What was seen of a body that nobody reads.
enum Judged {
    /// All of it, or there was no need to look.
    Well,
    /// It is malformed.
    Wrong(Reject),
    /// It is long, or does not come.
    Endless,
}

impl Connection {
    /// Answers a request whose answer needs the pool, its body, or a file; returns the bytes that follow it.
    pub(super) async fn complete<'b>(
        &mut self,
        site: &'b Site,
        pending: Pending<'b>,
        input: &Buffer,
    ) -> Result<(Buffer, Next), Gone> {
        let Pending { request, arrival, mut exchange, mut reply, consumed } = pending;
        let active = self.local.recorder.tally().active();
        self.in_request = true;
        let rest = input.unread().get(consumed..).unwrap_or_default();
        let mut tail = self.local.buffers.holding(rest, self.local.room());
        self.slot.set(Millis::NEVER);
        let response = loop {
            match reply {
                Reply::Now(response) => break response,
                Reply::Later(later) => {
                    // Work that was begun is finished and written down, whether its client still listens or not.
                    let _ = self.flush().await;
                    self.slot.set(Millis::NEVER);
                    break later.await;
                }
                Reply::AfterBody { limit, then } => {
                    match receive::body(self, site, &mut tail, request.body, limit).await {
                        Ok(body) => {
                            exchange.received = body.len() as u64;
                            self.slot.set(Millis::NEVER);
                            reply = then(body);
                        }
                        Err(receive::Stop::Gone) => {
                            exchange.status = CLIENT_GONE;
                            self.record(&exchange);
                            return Err(Gone);
                        }
                        Err(receive::Stop::Refuse(reject)) => {
                            break pipeline::refuse(site, &reject, &request, arrival);
                        }
                    }
                }
            }
        };
        let response = match self.judge_body(site, &response, &request, &mut tail).await {
            Judged::Wrong(reject) => pipeline::refuse(site, &reject, &request, arrival),
            // It was waited for once.
            Judged::Endless => Response { close: true, ..response },
            Judged::Well => response,
        };
        // What never ends is not waited for.
        let _active = Some(active).filter(|_| !matches!(response.body, Body::Live(_)));
        let sent = self.send(site, &response, &mut exchange).await;
        self.record(&exchange);
        sent?;
        let next = self.finish_request(site, &mut tail).await?;
        self.in_request = false;
        Ok((tail, next))
    }

    /// What is wrong with a chunked body that nobody reads: before an answer says that all was well, it is looked at,
    /// for a request that is malformed has no good answer (RFC 9112 §7.1). One that is long, late or held back is not
    /// waited for.
    async fn judge_body(
        &mut self,
        site: &Site,
        response: &Response,
        request: &Request<'_>,
        tail: &mut Buffer,
    ) -> Judged {
        if response.status >= 400 || request.body != BodyLength::Chunked || self.proto.holds_back() {
            return Judged::Well;
        }
        let mut left = DRAIN_LIMIT;
        if self.flush().await.is_err() {
            return Judged::Endless;
        }
        self.slot.set(self.local.clock.now().after(LINGER));
        while !self.proto.body_finished() {
            let event = match self.proto.read_body(tail.unread(), &site.limits) {
                Ok(event) => event,
                Err(error) => return Judged::Wrong(Reject::from(&error)),
            };
            tail.consume(event.consumed());
            let Some(rest) = left.checked_sub(event.consumed() as u64) else { return Judged::Endless };
            left = rest;
            if matches!(event, BodyEvent::More { .. }) && self.fill(tail).await != Fill::Bytes {
                return Judged::Endless;
            }
        }
        Judged::Well
    }

    /// Sends a response whose body may be a file.
    async fn send(
        &mut self,
        site: &Site,
        response: &Response,
        exchange: &mut Exchange<'_>,
    ) -> Result<(), Gone> {
        let sent = self.encode(site, response, exchange);
        if sent.framing == Framing::Nothing {
            return Ok(());
        }
        self.under_way = true;
        let (bytes, result) = match &response.body {
            Body::Sealed(bytes) => send_sealed::whole(self, bytes).await,
            Body::File(file, range) => send_file::part(self, site, file, range.clone()).await,
            Body::Parts(file, parts) => send_file::parts(self, site, file, parts).await,
            Body::Live(live) => send_live::pieces(self, site, live, sent.framing).await,
            _ => (exchange.bytes, Ok(())),
        };
        self.under_way = false;
        exchange.bytes = bytes;
        result
    }

    /// After an answer: drops the rest of its request's body, where that is little and comes soon (H1-11).
    async fn finish_request(&mut self, site: &Site, tail: &mut Buffer) -> Result<Next, Gone> {
        if self.proto.after_answer() != Next::Drain {
            return Ok(self.proto.after_answer());
        }
        self.flush().await?;
        self.slot.set(self.local.clock.now().after(LINGER));
        loop {
            match self.proto.read_body(tail.unread(), &site.limits) {
                Ok(event) => tail.consume(event.consumed()),
                Err(_) => return Ok(Next::Close),
            }
            match self.proto.after_answer() {
                Next::Drain if tail.is_empty() => {
                    if self.fill(tail).await != Fill::Bytes {
                        return Ok(Next::Close);
                    }
                }
                Next::Drain => {}
                next => return Ok(next),
            }
        }
    }
}
