//! How one request reads in the access log: `pretty` for a person, `combined` as nginx writes it, `json` in
//! Caddy's shape (SPEC OBS-1).

use std::io::Write;
use std::time::Duration;

use super::escape::{push_json, push_text};
use crate::clock::Utc;
use crate::exchange::Exchange;
use crate::http::request::Name;
use crate::net::Peer;

/// Appends the line of `exchange`; `colour` for a terminal.
pub fn pretty(out: &mut Vec<u8>, exchange: &Exchange<'_>, took: Duration, thread: &str, colour: bool) {
    let now = Utc::now();
    let _ = write!(
        out,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z INFO    ",
        now.year, now.month, now.day, now.hour, now.minute, now.second, now.millis
    );
    let _ = write!(out, "{} \"", exchange.peer);
    push_line(out, exchange);
    let (on, off) = if colour { (colour_of(exchange.status), "\x1b[0m") } else { ("", "") };
    let millis = took.as_secs_f64() * 1000.0;
    let _ = write!(
        out,
        "\" {on}{}{off} {}B {millis:.2}ms {thread} {:016x}",
        exchange.status, exchange.bytes, exchange.id
    );
    if let Some(refusal) = &exchange.refusal {
        let _ = write!(out, " {}", refusal.code.row().name);
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

/// Appends the line of `exchange` in nginx's `combined` format.
pub fn combined(out: &mut Vec<u8>, exchange: &Exchange<'_>) {
    let now = Utc::now();
    let _ = write!(
        out,
        "{} - - [{:02}/{}/{:04}:{:02}:{:02}:{:02} +0000] \"",
        exchange.peer,
        now.day,
        now.month_name(),
        now.year,
        now.hour,
        now.minute,
        now.second
    );
    push_line(out, exchange);
    let _ = write!(out, "\" {} {}", exchange.status, exchange.bytes);
    for name in [Name::Referer, Name::UserAgent] {
        out.extend(b" \"");
        match exchange.request.as_ref().and_then(|request| request.values(name).next()) {
            Some(value) => push_text(out, value),
            None => out.push(b'-'),
        }
        out.push(b'"');
    }
    out.push(b'\n');
}

/// Appends the line of `exchange` as a JSON object in Caddy's shape.
pub fn json(out: &mut Vec<u8>, exchange: &Exchange<'_>, took: Duration, thread: &str) {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let _ = write!(
        out,
        "{{\"level\":\"info\",\"ts\":{:.6},\"logger\":\"http.log.access\",\"msg\":\"handled request\",\"request\":{{",
        since.as_secs_f64()
    );
    let (address, port) = match exchange.peer {
        Peer::Ip(peer) => (peer.ip().to_string(), peer.port()),
        Peer::Unix => ("unix".to_owned(), 0),
    };
    let _ = write!(
        out,
        "\"remote_ip\":\"{address}\",\"remote_port\":\"{port}\",\"client_ip\":\"{address}\",\"proto\":"
    );
    let (method, target, version) = exchange.line.unwrap_or(("-", b"-", b"-"));
    push_json(out, version);
    out.extend(b",\"method\":");
    push_json(out, method.as_bytes());
    out.extend(b",\"host\":");
    let host = exchange.request.as_ref().and_then(|request| request.values(Name::Host).next());
    push_json(out, host.unwrap_or_default());
    out.extend(b",\"uri\":");
    push_json(out, target);
    out.extend(b",\"headers\":{");
    push_headers(out, exchange);
    let _ = write!(
        out,
        "}}}},\"bytes_read\":{},\"user_id\":\"\",\"duration\":{:.9},\"size\":{},\"status\":{},\"thread\":\"{thread}\",\"id\":\"{:016x}\"",
        exchange.received,
        took.as_secs_f64(),
        exchange.bytes,
        exchange.status,
        exchange.id
    );
    if let Some(refusal) = &exchange.refusal {
        let _ = write!(out, ",\"code\":\"{}\"", refusal.code.row().name);
    }
    out.extend(b"}\n");
}

/// Fields whose value is a secret.
const REDACTED: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// Each field name once, with all its values, as Caddy writes them.
fn push_headers(out: &mut Vec<u8>, exchange: &Exchange<'_>) {
    let Some(request) = &exchange.request else { return };
    for (index, (name, _)) in request.fields().enumerate() {
        let same = |(other, _): &(&str, &[u8])| other.eq_ignore_ascii_case(name);
        if request.fields().take(index).any(|field| same(&field)) {
            continue;
        }
        let secret = REDACTED.iter().any(|redacted| name.eq_ignore_ascii_case(redacted));
        push_separated(out, b'{');
        push_json(out, name.as_bytes());
        out.extend(b":[");
        for (_, value) in request.fields().filter(same) {
            push_separated(out, b'[');
            push_json(out, if secret { b"REDACTED" } else { value });
        }
        out.push(b']');
    }
}

/// A comma, unless the list that `open` began is still empty.
fn push_separated(out: &mut Vec<u8>, open: u8) {
    if out.last() != Some(&open) {
        out.push(b',');
    }
}

/// Appends the request line as received, or `-`.
pub(super) fn push_line(out: &mut Vec<u8>, exchange: &Exchange<'_>) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Request;
    use http1::{Connection, FieldStorage, Limits};
    use std::time::Instant;

    const HEAD: &[u8] = b"GET /a%0a\"x HTTP/1.1\r\nHost: a\r\nCookie: secret\r\nAuthorization: secret\r\nUser-Agent: me\"\r\n\r\n";

    fn lines() -> [String; 3] {
        let mut storage = FieldStorage::new();
        let head = Connection::new().read_head(HEAD, &mut storage, &Limits::default()).unwrap().unwrap();
        let peer = Peer::Ip("192.0.2.1:99".parse().unwrap());
        let mut exchange = Exchange::begin(0xfeed, peer, Instant::now());
        exchange.asked(Request::new(&head, HEAD));
        exchange.status = 200;
        exchange.bytes = 5;
        let mut texts = [Vec::new(), Vec::new(), Vec::new()];
        pretty(&mut texts[0], &exchange, Duration::from_micros(1500), "worker-0", false);
        combined(&mut texts[1], &exchange);
        json(&mut texts[2], &exchange, Duration::from_micros(1500), "worker-0");
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
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["request"]["uri"], "/a%0a\"x");
        assert_eq!(value["request"]["headers"]["Cookie"][0], "REDACTED");
        assert_eq!(value["id"], "000000000000feed");
        assert_eq!(value["thread"], "worker-0");
    }

    #[test]
    fn obs_1_an_unreadable_request_line_is_a_dash() {
        let exchange = Exchange::begin(1, Peer::Unix, Instant::now());
        let mut out = Vec::new();
        combined(&mut out, &exchange);
        assert!(String::from_utf8(out).unwrap().contains("] \"-\" 0 0 \"-\" \"-\""));
    }
}
