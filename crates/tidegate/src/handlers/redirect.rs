//! What the listener of `--tls-redirect` answers: the same request is served over TLS (SPEC TLS-1).
//!
//! It has this one answer, for `/healthz` too: who probes it learns that it answers, and whether the server behind it is
//! well is asked where that serves, over TLS.

use http1::Target;

use crate::http::host::{self, HTTP_PORT, HTTPS_PORT, Here};
use crate::http::response::{Body, Fields};
use crate::http::{Code, Reject, Request, Response};

/// How long a browser goes on by itself: without a bound it would for good (RFC 9110 §15.4.9), and look for this server
/// at a port from which it has moved. To keep clients on TLS is the business of HSTS.
const REMEMBERED: &str = "Cache-Control: max-age=3600\r\n";

/// The way to the same target of the same host over TLS, where the server itself speaks it at `https`. `here` is where
/// the request came in. The status is 308, for a POST stays a POST. The host is one of ours and the target is sound: both
/// were judged.
///
/// # Errors
/// `host_missing` where an HTTP/1.0 request names no host: there is nowhere to send it.
pub fn over_tls(request: &Request<'_>, here: Here, https: u16) -> Result<Response, Reject> {
    let Some(authority) = host::named(request)? else {
        return Err(Reject::new(Code::HostMissing, "Without a Host field nobody can tell where to go."));
    };
    let mut fields = format!("{REMEMBERED}Location: https://{}", host::written(&authority)).into_bytes();
    let port = port_outside(authority.port, here, https);
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

/// The port of TLS as clients see it. Who named no port, or that of `http`, came to that one, for any other has to be
/// named (RFC 9110 §7.2). Where this listener has another, somebody before it maps ports, as for a container, and clients
/// know none of ours: they find TLS where `https` implies it.
fn port_outside(named: Option<u16>, here: Here, https: u16) -> u16 {
    let came_to = named.unwrap_or(HTTP_PORT);
    let is_mapped = came_to == HTTP_PORT && matches!(here, Here::Ip(_, own) if own != HTTP_PORT);
    if is_mapped { HTTPS_PORT } else { https }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http1::{Connection, FieldStorage, Limits};

    fn location(head: &str, [own, https]: [u16; 2]) -> Result<String, Code> {
        let here = Here::Ip(std::net::Ipv4Addr::LOCALHOST.into(), own);
        let mut storage = FieldStorage::new();
        let read = Connection::new().read_head(head.as_bytes(), &mut storage, &Limits::default());
        let response = over_tls(&Request::new(&read.unwrap().unwrap(), head.as_bytes()), here, https);
        response.map_err(|reject| reject.code).map(|response| {
            assert_eq!((response.status, response.body.length()), (308, Some(0)));
            let fields = String::from_utf8(response.fields.as_bytes().to_vec()).unwrap();
            let location = fields.strip_prefix("Cache-Control: max-age=3600\r\nLocation: ").unwrap();
            location.strip_suffix("\r\n").unwrap().to_owned()
        })
    }

    #[test]
    fn tls_1_a_redirect_leads_to_the_same_host_and_target_over_tls() {
        for (target, host, ports, expected) in [
            ("/", "a.example", [80, 443], "https://a.example/"),
            ("/a%20b/?q=1?2", "A.Example.:8080", [8080, 443], "https://a.example/a%20b/?q=1?2"),
            ("/x", "a.example:80", [80, 8443], "https://a.example:8443/x"),
            ("/?", "[::1]:8080", [8080, 8443], "https://[::1]:8443/?"),
            ("/", "127.0.0.1", [80, 443], "https://127.0.0.1/"),
            ("http://b.example:1/x?y", "a.example", [80, 443], "https://b.example/x?y"),
            ("HTTP://b.example?y", "a.example", [80, 443], "https://b.example/?y"),
            ("/a//b", "a.example", [80, 443], "https://a.example/a//b"),
            ("/@evil.example", "a.example", [80, 8443], "https://a.example:8443/@evil.example"),
        ] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(location(&head, ports).as_deref(), Ok(expected), "{target} of {host}");
        }
        let star = "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n";
        assert_eq!(location(star, [80, 8443]).as_deref(), Ok("https://a.example:8443"));
    }

    #[test]
    fn tls_1_a_redirect_behind_a_mapping_of_ports_names_none_of_ours() {
        for (host, ports, port) in [
            // 80 and 443 lead to 8080 and 8443 of a container.
            ("a.example", [8080, 8443], ""),
            ("a.example:80", [8080, 8443], ""),
            ("[2001:db8::1]", [8080, 8443], ""),
            // Who names the port that is ours came straight, and who names a third may have come by any way.
            ("a.example:8080", [8080, 8443], ":8443"),
            ("a.example:8081", [8080, 8443], ":8443"),
            ("a.example", [80, 8443], ":8443"),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let host = host.trim_end_matches(":80").trim_end_matches(":8080").trim_end_matches(":8081");
            let expected = format!("https://{host}{port}/");
            assert_eq!(location(&head, ports), Ok(expected), "{host} at {ports:?}");
        }
    }

    #[test]
    fn tls_1_without_a_host_there_is_nowhere_to_lead() {
        assert_eq!(location("GET / HTTP/1.0\r\n\r\n", [80, 443]), Err(Code::HostMissing));
        let named = location("GET / HTTP/1.0\r\nHost: a.example\r\n\r\n", [80, 443]);
        assert_eq!(named.as_deref(), Ok("https://a.example/"));
    }
}
