//! Origins: whose scripts may read our answers from a page of another site (SEC-2).

use super::address::{AllowedHost, allowed_host};
use super::error::BadValue;

/// Letters of a scheme: no browser or application shell uses one nearly as long.
const SCHEME_MAX: usize = 32;

/// Reads one `--cors-origin`: `*`, `null`, or scheme, host and perhaps a port.
///
/// What comes of it is what a browser sends (Fetch, "serializing a request origin"; RFC 6454 §6.1): lower case, and
/// without a port that the scheme implies. Any other way to write the same host would never match, so it is refused.
pub(super) fn origin(text: &str) -> Result<String, BadValue> {
    if matches!(text, "*" | "null") {
        return Ok(text.to_owned());
    }
    serialized(&text.to_ascii_lowercase()).ok_or_else(|| {
        BadValue::expected("scheme://host[:port] without a path, like https://app.example, or * or null")
    })
}

fn serialized(text: &str) -> Option<String> {
    let (scheme, authority) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme))?;
    let Ok(AllowedHost::Named(name, port)) = allowed_host(authority) else { return None };
    let shown = port.map_or_else(|| name.clone(), |port| format!("{name}:{port}"));
    if shown != authority {
        return None;
    }
    let authority = if port.is_some() && port == default_port(scheme) { name } else { shown };
    Some(format!("{scheme}://{authority}"))
}

/// RFC 3986 §3.1, in lower case.
fn is_scheme(text: &str) -> bool {
    let known =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.');
    text.len() <= SCHEME_MAX
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(known)
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_2_an_origin_is_kept_as_a_browser_sends_it() {
        for (text, kept) in [
            ("https://app.example", "https://app.example"),
            ("HTTPS://App.Example:443", "https://app.example"),
            ("http://app.example:80", "http://app.example"),
            ("http://app.example:443", "http://app.example:443"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("*", "*"),
            ("null", "null"),
        ] {
            assert_eq!(origin(text).as_deref(), Ok(kept), "{text}");
        }
    }

    #[test]
    fn sec_2_what_no_browser_sends_is_refused() {
        for text in [
            "",
            "app.example",
            "https://",
            "https://a/",
            "https://a/path",
            "https://a?b",
            "https://user@a",
            "https://*.example",
            "https://*",
            "https://a.",
            "https://a:",
            "https://a:0",
            "https://a:0443",
            "https://[0::1]",
            "https://bücher.example",
            "https://a\r\nx: y",
            "1http://a",
            "://a",
            "NULL",
            "https://a, https://b",
        ] {
            assert!(origin(text).is_err(), "{text:?}");
        }
    }
}
