//! `/security-dashboard` (SPEC OBS-3): the page, its assets, the live stream, and the one thing that can be changed.

mod assets;

use serde::Deserialize;
use serde_json::json;

use super::Answer;
use super::overview::{Overview, snapshot};
use crate::clock::Millis;
use crate::http::response::{Body, Fields};
use crate::http::{Code, Reject, Reply, Request, Response};
use crate::limits::{ClientKey, Guard};

/// The page as HTML, or what it shows as JSON.
pub fn show(overview: &Overview, request: &Request<'_>) -> Response {
    if super::wants_json(request) {
        return super::json(&json!({
            "snapshot": snapshot::now(overview), "history": snapshot::history(overview),
        }));
    }
    assets::page()
}

/// A file that the page needs.
///
/// # Errors
/// `not_found` for any other name.
pub fn asset(name: &str) -> Result<Response, Reject> {
    assets::named(name).ok_or_else(Reject::not_found)
}

/// The news of each second, as server-sent events.
///
/// # Errors
/// `too_many_connections` where there are too many viewers.
pub fn follow(overview: &Overview) -> Result<Response, Reject> {
    const FIELDS: Fields = Fields::Static(
        "Content-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Accel-Buffering: no\r\n",
    );
    let live = overview.watch()?;
    Ok(Response { close: true, ..Response::new(200, FIELDS, Body::Live(live.into())) })
}

/// Largest body of a request to lift a ban.
const LIFT_BODY: u64 = 1024;

/// Lifts the ban of the client that the body names.
///
/// # Errors
/// `not_json` and `length_required` as for an upload; `invalid_json` where the body names no client,
/// `not_found` where that one is not banned.
pub fn lift<'b>(guard: &'b Guard, request: &Request<'b>, now: Millis) -> Result<Answer<'b>, Reject> {
    if request.body == http1::BodyLength::None {
        return Err(Reject::new(Code::LengthRequired, "The body names the client."));
    }
    // A form of another site can post this type only after asking (Fetch standard, CORS-safelisted request-header).
    if !super::media_type(request).eq_ignore_ascii_case(b"application/json") {
        return Err(Reject::new(Code::NotJson, "The body names the client, as JSON."));
    }
    let then = move |body: Vec<u8>| Reply::Now(lifted(guard, &body, now));
    Ok(Reply::AfterBody { limit: LIFT_BODY, then: Box::new(then) })
}

/// What the body says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    client: String,
}

fn lifted(guard: &Guard, body: &[u8], now: Millis) -> Result<Response, Reject> {
    let asked: Option<ClientKey> =
        serde_json::from_slice::<Asked>(body).ok().and_then(|asked| asked.client.parse().ok());
    let Some(client) = asked else {
        return Err(Reject::new(Code::InvalidJson, "The body is {\"client\":\"ADDRESS\"}.")
            .seen("not {\"client\":\"ADDRESS\"}"));
    };
    if !guard.ledger.pardon(client, now) {
        return Err(Reject::new(Code::NotFound, "This client is not banned."));
    }
    log::info!("the ban of {client} was lifted from the dashboard");
    Ok(super::json(&json!({"lifted": true})))
}
