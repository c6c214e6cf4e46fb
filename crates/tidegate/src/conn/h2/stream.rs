//! One request of an HTTP/2 connection, from its head to the end of its answer.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http1::Expect;

use super::head::Head;
use super::payload::Payload;
use super::receive::{self, Rest};
use super::send;
use super::shared::Shared;
use crate::conn::complete::CLIENT_GONE;
use crate::conn::receive::Stop;
use crate::exchange::Exchange;
use crate::http::{Method, Reply, Request, Response};
use crate::isolate::{self, Panicked};
use crate::pipeline::{self, Arrival};
use crate::site::Site;

/// How a request is answered, and its body read.
pub(super) struct Stream {
    pub(super) body: RecvStream,
    pub(super) respond: SendResponse<Payload>,
    /// The request ended with its head.
    bodiless: bool,
    /// All of the answer is on its way.
    answered: bool,
}

/// Answers one request; total. A panic costs this one alone (SPEC LOAD-4).
pub(super) async fn serve(
    shared: Rc<Shared>,
    request: http::Request<RecvStream>,
    respond: SendResponse<Payload>,
) {
    let _under_way = shared.begin();
    let (parts, body) = request.into_parts();
    let mut stream = Stream { bodiless: body.is_end_stream(), body, respond, answered: false };
    let head = isolate::run(|| {
        crate::failpoint!("stream");
        Head::of(&parts, stream.bodiless)
    });
    drop(parts);
    let answered = match &head {
        Ok(head) => answer_behind_walls(&shared, head, &mut stream).await,
        Err(Panicked) => Err(Panicked),
    };
    if answered.is_err() {
        // A stream that is dropped without an answer is reset.
        let _ = isolate::run(|| apologise(&shared, &mut stream));
    }
    let _ = isolate::run(|| drop(stream));
}

/// Answers, as long as there is a driver.
///
/// One that panicked under the lock of the `h2` crate leaves handles that panic when they are dropped; a second one dropped
/// meanwhile would end the process. So each has a wall of its own: what sends here, the stream itself behind it.
async fn answer_behind_walls(shared: &Rc<Shared>, head: &Head, stream: &mut Stream) -> Result<(), Panicked> {
    let mut answering = pin!(Some(answer(shared, head, stream)));
    let mut over = pin!(shared.over());
    let answered = poll_fn(|cx| match answering.as_mut().as_pin_mut() {
        Some(answering) if !shared.is_over() => match isolate::poll(answering, cx) {
            Poll::Pending => over.as_mut().poll(cx).map(Ok),
            answered => answered,
        },
        _ => Poll::Ready(Ok(())),
    });
    let answered = answered.await;
    let _ = isolate::run(|| answering.set(None));
    answered
}

async fn answer(shared: &Rc<Shared>, head: &Head, stream: &mut Stream) {
    crate::failpoint!("head");
    let (local, started) = (&shared.local, Instant::now());
    let site = local.site();
    let request = head.request().over(shared.secured());
    let mut exchange = Exchange::begin(local.ids.next(), shared.caller.peer, started);
    exchange.asked(request);
    let (now, nanos) = (local.clock.at(started), local.clock.nanos(started));
    let arrival = Arrival { caller: shared.caller, now, nanos, id: exchange.id };
    let reply = match head.fault(&site.limits) {
        Some(reject) => Reply::Now(pipeline::refuse(&site, &reject, &request, arrival)),
        None => pipeline::handle(&site, &request, arrival, &mut exchange.client),
    };
    let response = match reply {
        Reply::Now(response) => Some(response),
        reply => {
            let _active = local.recorder.tally().active();
            wait(shared, &site, &request, arrival, reply, stream, &mut exchange).await
        }
    };
    let mut rest = Rest::new(&mut stream.body, site.uploads.max_body, stream.bodiless);
    match response {
        Some(response) => {
            let sending =
                send::response(shared, &site, &request, response, &mut stream.respond, &mut exchange);
            let mut sending = pin!(sending);
            poll_fn(|cx| {
                let _ = rest.poll(cx);
                sending.as_mut().poll(cx)
            })
            .await;
        }
        None => exchange.status = CLIENT_GONE,
    }
    stream.answered = true;
    local.record(&exchange);
    // A reset amid its body would make some clients throw away the answer that they have.
    rest.linger(shared).await;
}

/// What a reply comes to that needs the pool or the body; `None` where the client has left amid its body.
async fn wait<'b>(
    shared: &Rc<Shared>,
    site: &'b Site,
    request: &Request<'b>,
    arrival: Arrival,
    mut reply: Reply<'b>,
    stream: &mut Stream,
    exchange: &mut Exchange<'_>,
) -> Option<Response> {
    loop {
        match reply {
            Reply::Now(response) => return Some(response),
            // Work that was begun is finished and written down, whether its client still listens or not.
            Reply::Later(later) => return Some(later.await),
            Reply::AfterBody { limit, then } => {
                if request.expect == Expect::Continue && !stream.body.is_end_stream() {
                    send::go_on(&mut stream.respond);
                }
                match receive::body(shared, &mut stream.body, request.body, limit).await {
                    Ok(body) => {
                        exchange.received = body.len() as u64;
                        reply = then(body);
                    }
                    Err(Stop::Gone) => return None,
                    Err(Stop::Refuse(reject)) => {
                        return Some(pipeline::refuse(site, &reject, request, arrival));
                    }
                }
            }
        }
    }
}

/// After a panic: who has no answer yet is told so, and whose answer is on its way sees it cut.
fn apologise(shared: &Rc<Shared>, stream: &mut Stream) {
    if stream.answered {
        return;
    }
    let mut exchange = Exchange::begin(shared.local.ids.next(), shared.caller.peer, Instant::now());
    let response = pipeline::refuse_unread(&pipeline::panicked(), exchange.id);
    let site = shared.local.site();
    if send::whole(shared, &site, response, &mut stream.respond, &mut exchange).is_ok() {
        shared.local.record(&exchange);
    } else {
        stream.respond.send_reset(Reason::INTERNAL_ERROR);
    }
}

/// Whether the answer to `request` has no body, whatever its head says.
pub(super) fn wants_head_alone(request: &Request<'_>) -> bool {
    request.known_method() == Some(Method::Head)
}
