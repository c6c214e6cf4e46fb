//! `/metrics` (SPEC OBS-2): for Prometheus, or as JSON.

use super::overview::Overview;
use crate::http::response::{Body, Fields};
use crate::http::{Request, Response};
use crate::telemetry::exposition;

/// Prometheus' text format.
const TEXT: Fields =
    Fields::Static("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\nCache-Control: no-store\r\n");

/// All metrics now.
pub fn show(overview: &Overview, request: &Request<'_>) -> Response {
    let families = overview.families();
    let (fields, body) = match super::wants_json(request) {
        true => (super::JSON, exposition::json(&families)),
        false => (TEXT, exposition::text(&families)),
    };
    Response::new(200, fields, Body::Owned(body.into_bytes()))
}
