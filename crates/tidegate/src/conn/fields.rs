//! The field lines that an answer carries beside those of its framing: one list for every version of HTTP.

use std::cell::Ref;

use super::local::Local;
use crate::exchange::Exchange;
use crate::http::{Response, problem};
use crate::pipeline;
use crate::site::Site;

/// Encoded lines of one answer, lent by whoever made them.
pub(super) struct FieldLines<'a> {
    /// `Server`, `Date`, `X-Content-Type-Options`.
    common: Ref<'a, [u8]>,
    own: &'a [u8],
    cors: &'a [u8],
    hsts: &'a [u8],
    /// `X-Request-Id` of a refusal.
    id: Option<[u8; 32]>,
}

impl<'a> FieldLines<'a> {
    /// The lines of `response`, which answers `exchange`. What is said of TLS is said `over_tls` only: in the clear
    /// anybody could have said it (RFC 6797 §7.2).
    #[inline]
    pub(super) fn of(
        local: &'a Local,
        site: &'a Site,
        response: &'a Response,
        exchange: &Exchange<'_>,
        over_tls: bool,
    ) -> Self {
        Self {
            common: local.clock.common_fields(),
            own: response.fields.as_bytes(),
            cors: exchange.request.as_ref().map_or(&[], |request| pipeline::cors_fields(site, request)),
            hsts: if over_tls { &site.hsts_field } else { &[] },
            id: response.refusal.as_ref().map(|_| problem::id_field(exchange.id)),
        }
    }

    /// The lines, as `Name: value\r\n` each, in the order in which they are sent.
    #[inline]
    pub(super) fn slices(&self) -> [&[u8]; 5] {
        let id = self.id.as_ref().map_or(&[][..], |id| id);
        [&self.common, self.own, self.cors, self.hsts, id]
    }
}
