//! One request from head to response: judge → respond → finish. Total: whatever happens, there is a reply.
//!
//! The order of judgement is SPEC H1-10; the numbers stand beside the lines. (1), the head itself, is judged
//! by `http1` before a request exists; (10) is the upload handler's, (11) the file handler's.

use std::future::poll_fn;

use http1::{Expect, Target};

use crate::clock::Millis;
use crate::handlers::{Answer, dashboard, health, metrics, redirect, status};
use crate::http::host::{Here, Ours};
use crate::http::reject::Extra;
use crate::http::request::Name;
use crate::http::response::Fields;
use crate::http::url_path::UrlPath;
use crate::http::{Code, Method, Reject, Reply, Request, Response, negotiate, problem};
use crate::isolate::{self, Panicked};
use crate::limits::Client;
use crate::net::Peer;
use crate::router::{ALLOW_ALL, ALLOW_READ, Page, Route};
use crate::site::Site;

/// Who is at the other end, and by which entrance it came.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Its address.
    pub peer: Peer,
    /// The address on which it was accepted.
    pub here: Here,
    /// What that listener is for.
    pub purpose: Purpose,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// All that the server serves; the pages for operators too, where these have no listener of their own.
    Public,
    /// The pages for operators, and nothing else.
    Operators,
    /// Says in the clear that what is asked for is served over TLS, and where.
    Redirect,
}

/// Where and when a request came, and what it is called in the log.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Who is at the other end of its connection.
    pub caller: Caller,
    /// When its head was complete.
    pub now: Millis,
    /// The same, in nanoseconds.
    pub nanos: u64,
    /// Its id.
    pub id: u64,
}

/// Answers `request`, and notes whose it is.
#[inline]
pub fn handle<'b>(site: &'b Site, request: &Request<'b>, arrival: Arrival, client: &mut Client) -> Reply<'b> {
    let answer = isolate::run(|| judge(site, request, arrival, client));
    match answer.unwrap_or_else(|Panicked| Err(panicked())) {
        Ok(Reply::Now(Ok(response))) => Reply::Now(response),
        Ok(Reply::Now(Err(reject))) | Err(reject) => Reply::Now(refuse(site, &reject, request, arrival)),
        Ok(answer) => {
            let request = *request;
            isolated(answer).map(move |outcome| finish(site, outcome, &request, arrival))
        }
    }
}

#[inline]
fn judge<'b>(
    site: &'b Site,
    request: &Request<'b>,
    arrival: Arrival,
    client: &mut Client,
) -> Result<Answer<'b>, Reject> {
    crate::failpoint!("judge");
    let host = judge_host(site, request, arrival); // (2)
    *client =
        site.guard.identity.of(arrival.caller.peer, request, host.as_ref().is_ok_and(|ours| ours.loopback));
    host?;
    site.guard.admit(client, arrival.nanos)?; // (3)
    let Some(method) = request.known_method() else { return Err(unknown_method(request)) }; // (4)
    let path = judge_target(request, method)?; // (5)
    if arrival.caller.purpose == Purpose::Redirect {
        return Ok(Reply::Now(redirect::over_tls(request, arrival.caller.here, site.https_port)));
    }
    let Some(path) = path else { return Ok(options(ALLOW_ALL)) };
    let route = Route::of(path.as_str());
    if method == Method::Options {
        return Ok(options(route.allow())); // (6)
    }
    if let Route::Admin(_) = route {
        admit_to_admin(site, request, arrival, client)?; // (7)
    }
    if !route.answers(method) {
        let detail = "This address answers other methods; see Allow.";
        return Err(Reject::new(Code::MethodNotAllowed, detail).with(Extra::Allow(route.allow()))); // (8)
    }
    if request.expect == Expect::Other {
        return Err(unknown_expectation(request)); // (9)
    }
    respond(site, request, route, &path, arrival, client)
}

/// The path that is asked for; `None` for the server as a whole, which has only options (RFC 9112 §3.2.4).
#[inline]
fn judge_target<'b>(request: &Request<'b>, method: Method) -> Result<Option<UrlPath<'b>>, Reject> {
    match Target::parse(request.target) {
        Ok(Target::Origin { path, .. } | Target::Absolute { path, .. }) => UrlPath::parse(path).map(Some),
        Ok(Target::Asterisk) if method == Method::Options => Ok(None),
        Ok(Target::Asterisk) => Err(Reject::new(Code::BadTarget, "`*` is for OPTIONS only.")),
        Err(bad) => {
            Err(Reject::new(Code::BadTarget, "The target is no path and no URL.").seen(bad.to_string()))
        }
    }
}

/// The pages for operators stand where they were told to, and open to operators.
fn admit_to_admin(
    site: &Site,
    request: &Request<'_>,
    arrival: Arrival,
    client: &Client,
) -> Result<(), Reject> {
    if site.has_backstage && arrival.caller.purpose != Purpose::Operators {
        return Err(Reject::not_found());
    }
    site.access.admit(client, request)
}

#[inline]
fn judge_host(site: &Site, request: &Request<'_>, arrival: Arrival) -> Result<Ours, Reject> {
    let judgement = site.last_host.judge(&site.hosts, request, arrival.caller.here);
    if log::log_enabled!(log::Level::Debug) {
        let host = String::from_utf8_lossy(request.values(Name::Host).next().unwrap_or(b"-"));
        let result = judgement.as_ref().map_or_else(|reject| reject.code.row().name, |_| "ours");
        log::debug!("{:016x}: host check of {}: {result}", arrival.id, host.escape_debug());
    }
    judgement
}

#[inline]
fn respond<'b>(
    site: &'b Site,
    request: &Request<'b>,
    route: Route<'_>,
    path: &UrlPath<'b>,
    arrival: Arrival,
    client: &Client,
) -> Result<Answer<'b>, Reject> {
    crate::failpoint!("handler");
    match route {
        Route::Upload | Route::Uploaded(_) | Route::File if arrival.caller.purpose == Purpose::Operators => {
            Err(Reject::not_found())
        }
        Route::Upload => {
            let counted = (!site.guard.identity.exempts(client)).then_some(client.key);
            site.uploads.begin(request, counted, &site.pool)
        }
        Route::Health => Ok(Reply::Now(Ok(health::alive()))),
        Route::Ready => {
            Ok(Reply::Now(health::ready(&site.draining, site.uploads.store.as_deref(), &site.pool)))
        }
        Route::Admin(page) => admin_page(site, request, page, arrival),
        Route::Reserved => Err(Reject::not_found()),
        Route::Uploaded(name) => {
            let servable = path.name().is_some() && !name.contains('/');
            let stored = site.stored.as_ref().filter(|_| servable).ok_or_else(Reject::not_found)?;
            Ok(stored.serve(request, name, arrival.now))
        }
        Route::File => {
            let name = path.name().ok_or_else(Reject::not_found)?;
            Ok(site.files.serve(request, name, arrival.now))
        }
    }
}

fn admin_page<'b>(
    site: &'b Site,
    request: &Request<'b>,
    page: Page<'_>,
    arrival: Arrival,
) -> Result<Answer<'b>, Reject> {
    let overview = &site.overview;
    let answer = match page {
        Page::Metrics => Ok(metrics::show(overview, request)),
        Page::Status => Ok(status::show(overview)),
        Page::Refusal(id) => status::refusal(overview, request, id),
        Page::Dashboard => Ok(dashboard::show(overview, request)),
        Page::Events => dashboard::follow(overview),
        Page::Asset(name) => dashboard::asset(name),
        Page::Lift => {
            site.access.admit_change(request)?;
            return dashboard::lift(&site.guard, request, arrival.now);
        }
        Page::Nothing => Err(Reject::not_found()),
    };
    Ok(Reply::Now(answer))
}

/// The response to the refusal of a request, in the form that its client prefers.
pub fn refuse(site: &Site, reject: &Reject, request: &Request<'_>, arrival: Arrival) -> Response {
    if !negotiate::names_html(request.values(Name::Accept)) {
        return problem::response(reject, arrival.id, false);
    }
    match site.files.pages().of(reject.code.row().status, arrival.now) {
        Some(page) => problem::with_page(reject, page),
        None => problem::response(reject, arrival.id, true),
    }
}

/// The fields by which a script of another origin may read whatever answers `request` (SEC-2).
#[inline]
pub fn cors_fields<'s>(site: &'s Site, request: &Request<'_>) -> &'s [u8] {
    if site.cors.is_off() {
        return &[];
    }
    match path_of(request) {
        Some(path) if Route::of(path.as_str()).is_for_operators() => &[],
        _ => site.cors.fields(request),
    }
}

/// The response where there is no request, for its head could not be read.
pub fn refuse_unread(reject: &Reject, id: u64) -> Response {
    problem::response(reject, id, false)
}

fn finish(
    site: &Site,
    outcome: Result<Response, Reject>,
    request: &Request<'_>,
    arrival: Arrival,
) -> Response {
    outcome.unwrap_or_else(|reject| refuse(site, &reject, request, arrival))
}

/// The same answer, in which a panic on the way costs this request alone (SPEC LOAD-4).
fn isolated(answer: Answer<'_>) -> Answer<'_> {
    match answer {
        Reply::Now(outcome) => Reply::Now(outcome),
        Reply::Later(mut later) => Reply::Later(Box::pin(poll_fn(move |cx| {
            isolate::poll(later.as_mut(), cx)
                .map(|outcome| outcome.unwrap_or_else(|Panicked| Err(panicked())))
        }))),
        Reply::AfterBody { limit, then } => Reply::AfterBody {
            limit,
            then: Box::new(move |body| match isolate::run(|| then(body)) {
                Ok(answer) => isolated(answer),
                Err(Panicked) => Reply::Now(Err(panicked())),
            }),
        },
    }
}

/// 500 for a request that met a panic.
pub fn panicked() -> Reject {
    Reject::new(Code::Internal, "The server made a mistake; this request alone is lost.")
        .seen("it panicked; the log tells where")
}

fn options<'b>(allow: &'static str) -> Answer<'b> {
    let fields = format!("Allow: {allow}\r\n");
    Reply::Now(Ok(Response::empty(204, Fields::Owned(fields.into_bytes()))))
}

/// 405 whatever the target; the route only tells which methods there are (H1-1).
fn unknown_method(request: &Request<'_>) -> Reject {
    let allow = path_of(request).map_or(ALLOW_READ, |path| Route::of(path.as_str()).allow());
    Reject::new(Code::MethodNotAllowed, "This server does not know the method.")
        .with(Extra::Allow(allow))
        .closing()
}

/// The path of the target, where that has a sound one.
fn path_of<'b>(request: &Request<'b>) -> Option<UrlPath<'b>> {
    match Target::parse(request.target) {
        Ok(Target::Origin { path, .. } | Target::Absolute { path, .. }) => UrlPath::parse(path).ok(),
        _ => None,
    }
}

/// 417; where a body was announced nobody can tell whether it comes, so the connection closes (H1-11).
fn unknown_expectation(request: &Request<'_>) -> Reject {
    let reject = Reject::new(Code::ExpectationFailed, "Only 100-continue can be expected here.");
    if request.body == http1::BodyLength::None { reject } else { reject.closing() }
}
