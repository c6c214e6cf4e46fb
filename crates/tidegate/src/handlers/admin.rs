//! Who may see metrics, status and dashboard (SPEC SEC-6).

use crate::config::{AdminSettings, Token};
use crate::http::request::{HostField, Name};
use crate::http::{Code, Reject, Request};
use crate::limits::Client;
use crate::net::cidr::CidrSet;

/// The rule.
#[derive(Clone, Debug)]
pub struct Access {
    allow: CidrSet,
    token: Option<Token>,
}

impl Access {
    /// By these settings.
    pub fn new(settings: &AdminSettings) -> Self {
        Self { allow: settings.allow.clone(), token: settings.token.clone() }
    }

    /// Lets in local operators, clients at an allowed address, and whoever sends the token.
    ///
    /// # Errors
    /// `admin_forbidden`.
    pub fn admit(&self, client: &Client, request: &Request<'_>) -> Result<(), Reject> {
        // Where a proxy that nobody trusts may stand between, the address is not the client's.
        let near = !client.hidden && client.address.is_some_and(|address| self.allow.contains(address));
        if client.operator || near {
            return Ok(());
        }
        match (bearer(request), &self.token) {
            (Some(given), Some(token)) if token.is(given) => Ok(()),
            (Some(_), Some(_)) => Err(refused("a wrong bearer token").guessed()),
            // Who guesses nothing may be a lost monitor or a curious visitor: that is no offence.
            (Some(_), None) => Err(refused("a bearer token, but no --admin-token-file is set")),
            (None, _) if client.hidden => {
                Err(refused("through a proxy that is not trusted or names no client, and no token"))
            }
            (None, _) => Err(refused("neither a local operator, nor in --admin-allow, nor with a token")),
        }
    }

    /// What changes something must not come from a page of somebody else's (cross-site request forgery): a browser says
    /// where a request comes from.
    ///
    /// # Errors
    /// `admin_forbidden`.
    pub fn admit_change(&self, request: &Request<'_>) -> Result<(), Reject> {
        let site = request.values(Name::SecFetchSite).all(|site| site == b"same-origin");
        let origin = request.values(Name::Origin).all(|origin| is_own(origin, request));
        if site && origin { Ok(()) } else { Err(refused("sent by a page of another origin")) }
    }
}

fn refused(evidence: &str) -> Reject {
    Reject::new(Code::AdminForbidden, "This page is for the operators of this server.").seen(evidence)
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750 §2.1); the scheme has no case (RFC 9110 §11.1).
fn bearer<'b>(request: &Request<'b>) -> Option<&'b [u8]> {
    let value = request.single(Name::Authorization)?;
    let (scheme, token) = value.split_at_checked(b"bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Whether `origin` is the very server that the request names as its host. Over TLS a page that came in the clear is
/// another's: anybody on its way could have written it. What came to us in the clear may have been TLS up to a proxy.
fn is_own(origin: &[u8], request: &Request<'_>) -> bool {
    let schemes: &[&[u8]] =
        if request.secured.is_some() { &[b"https://"] } else { &[b"http://", b"https://"] };
    let named = schemes.iter().find_map(|scheme| origin.strip_prefix(*scheme));
    match (named, request.host()) {
        (Some(named), HostField::One(host)) => named.eq_ignore_ascii_case(host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::Agreed;
    use http1::{Connection, FieldStorage, Limits};

    /// Whether a page of `origin` may change something, over TLS and in the clear.
    fn admitted(origin: &str) -> [bool; 2] {
        let head = format!("POST /x HTTP/1.1\r\nHost: a.example\r\nOrigin: {origin}\r\n\r\n");
        let mut storage = FieldStorage::new();
        let read = Connection::new().read_head(head.as_bytes(), &mut storage, &Limits::default());
        let request = Request::new(&read.unwrap().unwrap(), head.as_bytes());
        let access = Access { allow: CidrSet::default(), token: None };
        let agreed = Agreed::with(None);
        [Some(&agreed), None].map(|secured| access.admit_change(&request.over(secured)).is_ok())
    }

    #[test]
    fn tls_1_sec_6_over_tls_a_page_that_came_in_the_clear_changes_nothing() {
        assert_eq!(admitted("https://a.example"), [true, true]);
        assert_eq!(admitted("http://a.example"), [false, true]);
        assert_eq!(admitted("https://b.example"), [false; 2]);
        assert_eq!(admitted("null"), [false; 2]);
    }
}
