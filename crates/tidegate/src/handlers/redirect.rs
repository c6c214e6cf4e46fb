//! What the listener of `--tls-redirect` answers: the same request is served over TLS (SPEC TLS-1).
//!
//! It has this one answer, for `/healthz` too: who probes it learns that it answers, and whether the server behind it is
//! well is asked where that serves, over TLS.

use http1::Target;

use crate::http::host::{self, HTTPS_PORT};
use crate::http::response::{Body, Fields};
use crate::http::{Code, Reject, Request, Response};

/// How long a browser goes on by itself: without a bound it would for good (RFC 9110 §15.4.9), and look for this server
/// at a port from which it has moved. To keep clients on TLS is the business of HSTS.
const REMEMBERED: &str = "Cache-Control: max-age=3600\r\n";

/// The way to the same target of the same host over TLS, at `port`. The status is 308, for a POST stays a POST. The
/// host is one of ours and the target is sound: both were judged.
///
/// # Errors
/// `host_missing` where an HTTP/1.0 request names no host: there is nowhere to send it.
pub fn over_tls(request: &Request<'_>, port: u16) -> Result<Response, Reject> {
    let Some(authority) = host::named(request)? else {
        return Err(Reject::new(Code::HostMissing, "Without a Host field nobody can tell where to go."));
    };
    let mut fields = format!("{REMEMBERED}Location: https://{}", host::written(&authority)).into_bytes();
    if port != HTTPS_PORT {
        fields.extend(format!(":{port}").into_bytes());
    }
    // As sent: visible ASCII. The URL of `OPTIONS *` is that of the host alone (RFC 9112 §3.2.4).
    if let Ok(Target::Origin { path, query } | Target::Absolute { path, query, .. }) =
        Target::parse(request.target)
    {
        fields.extend_from_slice(path);
        if let Some(query) = query {
            fields.push(b'?');
            fields.extend_from_slice(query);
        }
    }
    fields.extend_from_slice(b"\r\n");
    Ok(Response::new(308, Fields::Owned(fields), Body::Static("")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http1::{Connection, FieldStorage, Limits};

    fn location(head: &str, port: u16) -> Result<String, Code> {
        let mut storage = FieldStorage::new();
        let read = Connection::new().read_head(head.as_bytes(), &mut storage, &Limits::default());
        let response = over_tls(&Request::new(&read.unwrap().unwrap(), head.as_bytes()), port);
        response.map_err(|reject| reject.code).map(|response| {
            assert_eq!((response.status, response.body.length()), (308, Some(0)));
            let fields = String::from_utf8(response.fields.as_bytes().to_vec()).unwrap();
            let location = fields.strip_prefix("Cache-Control: max-age=3600\r\nLocation: ").unwrap();
            location.strip_suffix("\r\n").unwrap().to_owned()
        })
    }

    #[test]
    fn tls_1_a_redirect_leads_to_the_same_host_and_target_over_tls() {
        for (target, host, port, expected) in [
            ("/", "a.example", 443, "https://a.example/"),
            ("/a%20b/?q=1?2", "A.Example.:8080", 443, "https://a.example/a%20b/?q=1?2"),
            ("/x", "a.example:80", 8443, "https://a.example:8443/x"),
            ("/?", "[::1]:8080", 8443, "https://[::1]:8443/?"),
            ("/", "127.0.0.1", 443, "https://127.0.0.1/"),
            ("http://b.example:1/x?y", "a.example", 443, "https://b.example/x?y"),
            ("HTTP://b.example?y", "a.example", 443, "https://b.example/?y"),
            ("/a//b", "a.example", 443, "https://a.example/a//b"),
            ("/@evil.example", "a.example", 8443, "https://a.example:8443/@evil.example"),
        ] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(location(&head, port).as_deref(), Ok(expected), "{target} of {host}");
        }
        let star = "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n";
        assert_eq!(location(star, 8443).as_deref(), Ok("https://a.example:8443"));
    }

    #[test]
    fn tls_1_without_a_host_there_is_nowhere_to_lead() {
        assert_eq!(location("GET / HTTP/1.0\r\n\r\n", 443), Err(Code::HostMissing));
        let named = location("GET / HTTP/1.0\r\nHost: a.example\r\n\r\n", 443);
        assert_eq!(named.as_deref(), Ok("https://a.example/"));
    }
}
