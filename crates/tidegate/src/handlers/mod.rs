//! Who answers what: one module per kind of route. A handler gets the request, answers now, later, or after
//! the body, and says what it refuses by a [`Reject`].

pub mod admin;
pub mod dashboard;
pub mod files;
pub mod health;
pub mod metrics;
pub mod overview;
pub mod redirect;
pub mod status;
pub mod upload;

use crate::http::request::Name;
use crate::http::response::{Body, Fields};
use crate::http::{Reject, Reply, Request, Response, negotiate};

/// A handler's answer: a response, or why there is none.
pub type Answer<'b> = Reply<'b, Result<Response, Reject>>;

/// The fields of a page for operators as JSON.
const JSON: Fields = Fields::Static("Content-Type: application/json\r\nCache-Control: no-store\r\n");

fn json(value: &serde_json::Value) -> Response {
    Response::new(200, JSON, Body::Owned(format!("{value}\n").into_bytes()))
}

/// The media type of the body without its parameters (RFC 9110 §8.3.1), in any case; empty where there is none.
fn media_type<'b>(request: &Request<'b>) -> &'b [u8] {
    let value = request.single(Name::ContentType).unwrap_or_default();
    value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// Whether a page for operators is wanted as JSON: by its query, or by what the client accepts.
fn wants_json(request: &Request<'_>) -> bool {
    let query = request.query();
    query.get(1..).unwrap_or_default().split(|byte| *byte == b'&').any(|pair| pair == b"format=json")
        || negotiate::prefers_json(request.values(Name::Accept))
}
