//! How one request reads in the access log: `pretty` for a person, `combined` as nginx writes it, `json` in
//! Caddy's shape (SPEC OBS-1). Bytes are appended as they are: `fmt` took three to six times as long.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use super::digits::{push_digits, push_hex, push_number};
use super::escape::{push_json, push_text};
use super::stamp::Stamp;
use crate::exchange::Exchange;
use crate::http::request::Name;
use crate::net::Peer;
use crate::net::tls::Protocol;

/// What a line tells.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The request and its response.
    pub exchange: &'a Exchange<'a>,
    /// When it ended.
    pub ended: &'a Stamp,
    /// How long it took.
    pub took: Duration,
    /// The thread that served it.
    pub thread: &'a str,
}

/// Appends `line` for a person; `colour` for a terminal.
pub fn pretty(out: &mut Vec<u8>, line: Line<'_>, colour: bool) {
    let exchange = line.exchange;
    line.ended.push_iso(out);
    out.extend(b" INFO    ");
    push_client(out, exchange.client.address);
    out.extend(b" \"");
    push_request_line(out, exchange);
    let (on, off) = if colour { (colour_of(exchange.status), "\x1b[0m") } else { ("", "") };
    out.extend(b"\" ");
    out.extend_from_slice(on.as_bytes());
    push_number(out, exchange.status);
    out.extend_from_slice(off.as_bytes());
    out.push(b' ');
    push_number(out, exchange.bytes);
    out.extend(b"B ");
    push_millis(out, line.took);
    out.extend(b"ms ");
    out.extend_from_slice(line.thread.as_bytes());
    out.push(b' ');
    push_hex(out, exchange.id);
    if let Some(refusal) = &exchange.refusal {
        out.push(b' ');
        out.extend_from_slice(refusal.code.row().name.as_bytes());
    }
    out.push(b'\n');
}

const fn colour_of(status: u16) -> &'static str {
    match status {
        200..300 => "\x1b[32m",
        300..400 => "\x1b[36m",
        400..500 => "\x1b[33m",
        _ => "\x1b[31m",
    }
}

/// Appends `took` in milliseconds with two digits behind the point, rounded.
fn push_millis(out: &mut Vec<u8>, took: Duration) {
    let hundredths = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).saturating_add(5) / 10;
    push_number(out, hundredths / 100);
    out.push(b'.');
    push_digits::<2>(out, (hundredths % 100) as u32);
}

/// Appends `line` in nginx's `combined` format.
pub fn combined(out: &mut Vec<u8>, line: Line<'_>) {
    let exchange = line.exchange;
    push_client(out, exchange.client.address);
    out.extend(b" - - [");
    line.ended.push_nginx(out);
    out.extend(b"] \"");
    push_request_line(out, exchange);
    out.extend(b"\" ");
    push_number(out, exchange.status);
    out.push(b' ');
    push_number(out, exchange.bytes);
    for value in referer_and_agent(exchange) {
        out.extend(b" \"");
        match value {
            Some(value) => push_text(out, value),
            None => out.push(b'-'),
        }
        out.push(b'"');
    }
    out.push(b'\n');
}

/// The first value of either field, by one walk through the head, which ends with the last field that is there.
fn referer_and_agent<'b>(exchange: &Exchange<'b>) -> [Option<&'b [u8]>; 2] {
    let mut values = [None; 2];
    let Some(request) = &exchange.request else { return values };
    let wanted = [Name::Referer, Name::UserAgent];
    let mut missing = wanted.iter().filter(|&&name| request.has(&[name])).count();
    let mut fields = request.fields();
    while missing > 0
        && let Some((name, value)) = fields.next()
    {
        for (found, wanted) in values.iter_mut().zip(wanted) {
            if found.is_none() && name.eq_ignore_ascii_case(wanted.text()) {
                *found = Some(value);
                missing -= 1;
            }
        }
    }
    values
}

/// Appends `line` as a JSON object in Caddy's shape.
pub fn json(out: &mut Vec<u8>, line: Line<'_>) {
    let exchange = line.exchange;
    out.extend(b"{\"level\":\"info\",\"ts\":");
    line.ended.push_seconds(out);
    out.extend(b",\"logger\":\"http.log.access\",\"msg\":\"handled request\",\"request\":{");
    push_json_request(out, exchange);
    out.extend(b"},\"bytes_read\":");
    push_number(out, exchange.received);
    out.extend(b",\"user_id\":\"\",\"duration\":");
    push_number(out, line.took.as_secs());
    out.push(b'.');
    push_digits::<9>(out, line.took.subsec_nanos());
    out.extend(b",\"size\":");
    push_number(out, exchange.bytes);
    out.extend(b",\"status\":");
    push_number(out, exchange.status);
    out.extend(b",\"thread\":\"");
    out.extend_from_slice(line.thread.as_bytes());
    out.extend(b"\",\"id\":\"");
    push_hex(out, exchange.id);
    if let Some(refusal) = &exchange.refusal {
        out.extend(b"\",\"code\":\"");
        out.extend_from_slice(refusal.code.row().name.as_bytes());
    }
    out.extend(b"\"}\n");
}

fn push_json_request(out: &mut Vec<u8>, exchange: &Exchange<'_>) {
    let port = match exchange.peer {
        Peer::Ip(peer) => peer.port(),
        Peer::Unix => 0,
    };
    let (method, target, version) = exchange.line.unwrap_or(("-", b"-", b"-"));
    let host = exchange.request.as_ref().and_then(|request| request.values(Name::Host).next());
    out.extend(b"\"remote_ip\":\"");
    push_client(out, exchange.peer.ip());
    out.extend(b"\",\"remote_port\":\"");
    push_number(out, port);
    out.extend(b"\",\"client_ip\":\"");
    push_client(out, exchange.client.address);
    out.extend(b"\",\"proto\":");
    push_json(out, version);
    out.extend(b",\"method\":");
    push_json(out, method.as_bytes());
    out.extend(b",\"host\":");
    push_json(out, host.unwrap_or_default());
    out.extend(b",\"uri\":");
    push_json(out, target);
    out.extend(b",\"headers\":{");
    push_headers(out, exchange);
    out.push(b'}');
    push_tls(out, exchange);
}

/// What was settled when TLS began; nothing in the clear.
fn push_tls(out: &mut Vec<u8>, exchange: &Exchange<'_>) {
    let Some(agreed) = exchange.request.as_ref().and_then(|request| request.secured) else { return };
    let (resumed, protocol): (&[u8], &[u8]) = (
        if agreed.resumed { b"true" } else { b"false" },
        if agreed.protocol == Protocol::Http2 { b"h2" } else { b"http/1.1" },
    );
    out.extend(b",\"tls\":{\"resumed\":");
    out.extend_from_slice(resumed);
    out.extend(b",\"version\":");
    push_number(out, agreed.version);
    out.extend(b",\"cipher_suite\":");
    push_number(out, agreed.cipher_suite);
    out.extend(b",\"proto\":\"");
    out.extend_from_slice(protocol);
    out.extend(b"\",\"server_name\":");
    push_json(out, agreed.server_name.as_deref().unwrap_or_default().as_bytes());
    out.push(b'}');
}

/// Fields whose value is a secret.
const REDACTED: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// Each field name once, with all its values, as Caddy writes them.
fn push_headers(out: &mut Vec<u8>, exchange: &Exchange<'_>) {
    let Some(request) = &exchange.request else { return };
    let mut fields: Vec<_> = request.fields().collect();
    let mut rest = fields.as_mut_slice();
    while let [(name, value), later @ ..] = rest {
        if !name.is_empty() {
            let secret = REDACTED.iter().any(|redacted| name.eq_ignore_ascii_case(redacted));
            let push_value =
                |out: &mut Vec<u8>, value: &[u8]| push_json(out, if secret { b"REDACTED" } else { value });
            push_separated(out, b'{');
            push_json(out, name.as_bytes());
            out.extend(b":[");
            push_value(out, value);
            for (other, value) in later.iter_mut().filter(|(other, _)| other.eq_ignore_ascii_case(name)) {
                out.push(b',');
                push_value(out, value);
                // Its turn has been: no field has an empty name.
                *other = "";
            }
            out.push(b']');
        }
        rest = later;
    }
}

/// A comma, unless the list that `open` began is still empty.
fn push_separated(out: &mut Vec<u8>, open: u8) {
    if out.last() != Some(&open) {
        out.push(b',');
    }
}

/// Appends the request line as received, or `-`.
pub(super) fn push_request_line(out: &mut Vec<u8>, exchange: &Exchange<'_>) {
    match exchange.line {
        Some((method, target, version)) => {
            push_text(out, method.as_bytes());
            out.push(b' ');
            push_text(out, target);
            out.push(b' ');
            push_text(out, version);
        }
        None => out.push(b'-'),
    }
}

/// Appends `address`; that of a peer on a unix socket is `unix`.
fn push_client(out: &mut Vec<u8>, address: Option<IpAddr>) {
    match address {
        Some(IpAddr::V4(address)) => {
            let [first, rest @ ..] = address.octets();
            push_number(out, first);
            for octet in rest {
                out.push(b'.');
                push_number(out, octet);
            }
        }
        // Which zeros an IPv6 address leaves out, the standard library knows. Writing to a vector cannot fail.
        Some(IpAddr::V6(address)) => drop(write!(out, "{address}")),
        None => out.extend(b"unix"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Request;
    use crate::http::request::Version;
    use crate::net::tls::Agreed;
    use http1::{Connection, FieldStorage, Limits};
    use serde_json::Value;
    use std::time::{Instant, SystemTime};

    const HEAD: &[u8] = b"GET /a%0a\"x HTTP/1.1\r\nHost: a\r\nCookie: secret\r\nAuthorization: secret\r\nUser-Agent: me\"\r\n\r\n";

    fn lines() -> [String; 3] {
        lines_of(|request| request)
    }

    /// The same request, but for a change.
    fn lines_of<'b>(change: impl FnOnce(Request<'b>) -> Request<'b>) -> [String; 3] {
        let mut storage = FieldStorage::new();
        let head = Connection::new().read_head(HEAD, &mut storage, &Limits::default()).unwrap().unwrap();
        let peer = Peer::Ip("192.0.2.1:99".parse().unwrap());
        let mut exchange = Exchange::begin(0xfeed, peer, Instant::now());
        exchange.asked(change(Request::new(&head, HEAD)));
        exchange.status = 200;
        exchange.bytes = 5;
        write(&exchange, Duration::from_micros(1500))
    }

    /// `exchange` in each format, ended at the same moment.
    fn write(exchange: &Exchange<'_>, took: Duration) -> [String; 3] {
        let ended = Stamp::at(SystemTime::UNIX_EPOCH + Duration::new(1_795_240_112, 7_654_321));
        let line = Line { exchange, ended: &ended, took, thread: "worker-0" };
        let mut texts = [Vec::new(), Vec::new(), Vec::new()];
        pretty(&mut texts[0], line, false);
        combined(&mut texts[1], line);
        json(&mut texts[2], line);
        texts.map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn obs_1_each_format_tells_the_request_in_one_line() {
        let [pretty, combined, json] = lines();
        for line in [&pretty, &combined, &json] {
            assert_eq!(line.matches('\n').count(), 1);
            assert!(!line.contains("secret"), "{line}");
        }
        assert!(
            pretty.contains("192.0.2.1 \"GET /a%0a\\x22x HTTP/1.1\" 200 5B 1.50ms worker-0 000000000000feed")
        );
        assert!(combined.starts_with("192.0.2.1 - - ["));
        assert!(combined.ends_with("] \"GET /a%0a\\x22x HTTP/1.1\" 200 5 \"-\" \"me\\x22\"\n"), "{combined}");
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["request"]["uri"], "/a%0a\"x");
        assert_eq!(value["request"]["headers"]["Cookie"][0], "REDACTED");
        assert_eq!(value["id"], "000000000000feed");
        assert_eq!(value["thread"], "worker-0");
    }

    #[test]
    fn obs_1_each_format_tells_the_protocol() {
        let [pretty, combined, json] = lines_of(|mut request| {
            request.version = Version::Http2;
            request
        });
        assert!(pretty.contains(" HTTP/2.0\" 200 ") && combined.contains(" HTTP/2.0\" 200 "), "{pretty}");
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["request"]["proto"], &json["request"]["tls"]), (&"HTTP/2.0".into(), &Value::Null));
    }

    /// In Caddy's shape: numbers as in the handshake, and an empty name where none was asked for.
    #[test]
    fn tls_1_obs_1_json_tells_what_tls_settled() {
        let named = Agreed { protocol: Protocol::Http2, resumed: true, ..Agreed::with(Some("a.example")) };
        let nameless = Agreed { version: 0x0303, cipher_suite: 0xc02b, ..Agreed::with(None) };
        for (agreed, told) in [
            (
                named,
                r#"{"resumed":true,"version":772,"cipher_suite":4865,"proto":"h2","server_name":"a.example"}"#,
            ),
            (
                nameless,
                r#"{"resumed":false,"version":771,"cipher_suite":49195,"proto":"http/1.1","server_name":""}"#,
            ),
        ] {
            let [_, _, json] = lines_of(|request| request.over(Some(&agreed)));
            assert!(json.contains(&format!("}},\"tls\":{told}}},\"bytes_read\"")), "{json}");
        }
    }

    #[test]
    fn obs_1_an_unreadable_request_line_is_a_dash() {
        let exchange = Exchange::begin(1, Peer::Unix, Instant::now());
        let [_, combined, _] = write(&exchange, Duration::ZERO);
        assert!(combined.contains("] \"-\" 0 0 \"-\" \"-\""));
    }

    /// Byte for byte, for others have parsers of these.
    #[test]
    fn obs_1_the_formats_do_not_drift() {
        let [pretty, combined, json] = lines();
        assert_eq!(
            pretty,
            "2026-11-21T05:48:32.007Z INFO    192.0.2.1 \"GET /a%0a\\x22x HTTP/1.1\" 200 5B 1.50ms worker-0 \
             000000000000feed\n"
        );
        assert_eq!(
            combined,
            "192.0.2.1 - - [21/Nov/2026:05:48:32 +0000] \"GET /a%0a\\x22x HTTP/1.1\" 200 5 \"-\" \"me\\x22\"\n"
        );
        assert_eq!(
            json,
            concat!(
                r#"{"level":"info","ts":1795240112.007654,"logger":"http.log.access","msg":"handled request","#,
                r#""request":{"remote_ip":"192.0.2.1","remote_port":"99","client_ip":"192.0.2.1","#,
                r#""proto":"HTTP/1.1","method":"GET","host":"a","uri":"/a%0a\"x","#,
                r#""headers":{"Host":["a"],"Cookie":["REDACTED"],"Authorization":["REDACTED"],"#,
                r#""User-Agent":["me\""]}},"bytes_read":0,"user_id":"","duration":0.001500000,"size":5,"#,
                r#""status":200,"thread":"worker-0","id":"000000000000feed"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn obs_1_a_duration_is_rounded_to_its_last_digit() {
        for (nanos, text) in [
            (0, "0.00"),
            (4_999, "0.00"),
            (5_000, "0.01"),
            (994_999, "0.99"),
            (995_000, "1.00"),
            (61_234_567_891, "61234.57"),
        ] {
            let mut out = Vec::new();
            push_millis(&mut out, Duration::from_nanos(nanos));
            assert_eq!(String::from_utf8(out).unwrap(), text, "{nanos} ns");
        }
    }

    #[test]
    fn obs_1_a_client_reads_as_its_address_displays() {
        for address in
            ["0.0.0.0:1", "255.10.9.1:2", "[::1]:3", "[2001:db8::1:0:0:1]:4", "[::ffff:192.0.2.1]:5"]
        {
            let peer = Peer::Ip(address.parse().unwrap());
            let mut out = Vec::new();
            push_client(&mut out, peer.ip());
            assert_eq!(String::from_utf8(out).unwrap(), peer.to_string());
        }
    }
}
