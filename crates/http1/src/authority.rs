//! `uri-host [ ":" port ]`: the value of a Host field, the authority of a whole-URI target (RFC 9110 §4.2, §7.2).
//!
//! What is accepted is compared with a list of names by the server, so there must be one way to write a host. Whatever
//! RFC 3986 §3.2.2 takes for a name beside that (`a..b`, `127.1`, `%61`, `0.0.0.0=5000`) is well-formed, but kept apart as
//! [`Host::Other`], which is never anybody's name: nothing is decoded, and no number in another form is an address.
//!
//! Stricter than the RFC on purpose: no userinfo (§4.2.4), no zones, no list, no empty host.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::grammar::{Class, class};

/// Longest registered name, in bytes: what DNS can hold (RFC 1035 §3.1) with its trailing dot.
const MAX_NAME: usize = 255;

/// A host and perhaps a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'b> {
    /// The host.
    pub host: Host<'b>,
    /// The port, if one was given.
    pub port: Option<u16>,
}

/// The host of an [`Authority`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'b> {
    /// Labels of letters, digits, `-` and `_`, as sent; perhaps with one trailing dot.
    Name(&'b str),
    /// Four decimal numbers.
    V4(Ipv4Addr),
    /// What stood in brackets.
    V6(Ipv6Addr),
    /// A registered name by the grammar that is neither a host name nor an address, as sent.
    Other(&'b str),
}

/// Why an authority was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAuthority {
    detail: &'static str,
}

impl<'b> Authority<'b> {
    /// Takes an authority apart.
    ///
    /// # Errors
    /// [`BadAuthority`] for anything but a name, an IPv4 address or a bracketed IPv6 address, with or without a
    /// port of 0 to 65535, which may be empty (RFC 3986 §3.2.3).
    pub fn parse(authority: &'b [u8]) -> Result<Self, BadAuthority> {
        let (host, rest) = match authority.strip_prefix(b"[") {
            Some(inner) => parse_v6(inner)?,
            None => parse_name(authority)?,
        };
        let port = match rest {
            [] | [b':'] => None,
            [b':', digits @ ..] => Some(parse_port(digits)?),
            _ => return refuse("a byte that no host may hold"),
        };
        Ok(Self { host, port })
    }
}

impl BadAuthority {
    /// One sentence for people.
    #[must_use]
    pub const fn detail(&self) -> &'static str {
        self.detail
    }
}

impl fmt::Display for BadAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail)
    }
}

impl core::error::Error for BadAuthority {}

fn refuse<T>(detail: &'static str) -> Result<T, BadAuthority> {
    Err(BadAuthority { detail })
}

/// What a label may hold. The underscore is no host name, but it is in use.
static LABEL: Class = class!(b => b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));

/// What a registered name may hold: `unreserved`, `sub-delims` and `%`. A comma would be one; but two Host fields that
/// somebody joined look like that, and two are refused (RFC 9112 §3.2).
static REG_NAME: Class = class!(b => b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'%' | b'!'
        | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'='));

/// Reads the rest of `[` address `]`; a zone (`%`) is no part of an address here (RFC 9844).
fn parse_v6(inner: &[u8]) -> Result<(Host<'_>, &[u8]), BadAuthority> {
    let end = inner.iter().position(|&byte| byte == b']');
    let Some((address, [_, rest @ ..])) = end.and_then(|end| inner.split_at_checked(end)) else {
        return refuse("a bracket that is not closed");
    };
    match str(address).parse() {
        Ok(address) => Ok((Host::V6(address), rest)),
        Err(_) => refuse("no IPv6 address in brackets"),
    }
}

/// Reads a registered name up to the first byte that it cannot hold.
fn parse_name(authority: &[u8]) -> Result<(Host<'_>, &[u8]), BadAuthority> {
    let (name, rest) = authority.split_at_checked(REG_NAME.span(authority)).unwrap_or((authority, b""));
    if name.is_empty() {
        return refuse("an empty host");
    }
    if name.len() > MAX_NAME {
        return refuse("a host name of more than 255 bytes");
    }
    if !is_percent_encoded(name) {
        return refuse("a percent sign without two hexadecimal digits");
    }
    Ok((classify(name), rest))
}

/// Tells a host name from an IPv4 address, and both from whatever else the grammar takes.
fn classify(name: &[u8]) -> Host<'_> {
    let absolute = name.strip_suffix(b".").unwrap_or(name);
    if !absolute.split(|&byte| byte == b'.').all(|label| LABEL.spans(label)) {
        return Host::Other(str(name));
    }
    if !ends_in_number(absolute) {
        return Host::Name(str(name));
    }
    str(absolute).parse().map_or(Host::Other(str(name)), Host::V4)
}

/// `pct-encoded = "%" HEXDIG HEXDIG`, wherever there is a `%`.
fn is_percent_encoded(name: &[u8]) -> bool {
    name.split(|&byte| byte == b'%')
        .skip(1)
        .all(|after| after.first_chunk::<2>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// Whether some client would take `name` for an IPv4 address (the URL Standard, "ends in a number checker").
fn ends_in_number(name: &[u8]) -> bool {
    let last = name.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    match last {
        [b'0', b'x' | b'X', hex @ ..] => hex.iter().all(u8::is_ascii_hexdigit),
        _ => last.iter().all(u8::is_ascii_digit),
    }
}

/// `1*DIGIT` up to 65535.
fn parse_port(digits: &[u8]) -> Result<u16, BadAuthority> {
    let decimal = digits.iter().all(u8::is_ascii_digit);
    match str(digits).parse() {
        Ok(port) if decimal => Ok(port),
        _ => refuse("a port that is not a number up to 65535"),
    }
}

/// Bytes as text; what is not text becomes empty, which no caller accepts.
fn str(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or_default()
}
