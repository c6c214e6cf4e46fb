//! `uri-host [ ":" port ]`: the value of a Host field, the authority of a whole-URI target (RFC 9110 §4.2, §7.2).
//!
//! Stricter than RFC 3986 §3.2 on purpose. What is accepted is compared with a list of names by the server, so there
//! must be one way to write a host: no percent-encoding, no userinfo (§4.2.4), no IPv4 in other bases, no zones.

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
    /// port of 0 to 65535.
    pub fn parse(authority: &'b [u8]) -> Result<Self, BadAuthority> {
        let (host, rest) = match authority.strip_prefix(b"[") {
            Some(inner) => parse_v6(inner)?,
            None => parse_name(authority)?,
        };
        let port = match rest {
            [] => None,
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

/// A name with its dots.
static NAME: Class = class!(b => b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));

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

/// Reads a name or an IPv4 address up to the first byte that neither can hold.
fn parse_name(authority: &[u8]) -> Result<(Host<'_>, &[u8]), BadAuthority> {
    let (name, rest) = authority.split_at_checked(NAME.span(authority)).unwrap_or((authority, b""));
    let absolute = name.strip_suffix(b".").unwrap_or(name);
    if name.len() > MAX_NAME {
        return refuse("a host name of more than 255 bytes");
    }
    if !absolute.split(|&byte| byte == b'.').all(|label| LABEL.spans(label)) {
        return refuse("an empty host or label");
    }
    if !ends_in_number(absolute) {
        return Ok((Host::Name(str(name)), rest));
    }
    match str(absolute).parse() {
        Ok(address) => Ok((Host::V4(address), rest)),
        Err(_) => refuse("a name that ends in a number and is no IPv4 address"),
    }
}

/// Whether some client would take `name` for an IPv4 address (the URL Standard, "ends in a number checker").
fn ends_in_number(name: &[u8]) -> bool {
    let last = name.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    match last {
        [b'0', b'x' | b'X', hex @ ..] => hex.iter().all(u8::is_ascii_hexdigit),
        _ => last.iter().all(u8::is_ascii_digit),
    }
}

/// `1*DIGIT` up to 65535. The RFC also allows an empty port; nothing sends one.
fn parse_port(digits: &[u8]) -> Result<u16, BadAuthority> {
    let decimal = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    match str(digits).parse() {
        Ok(port) if decimal => Ok(port),
        _ => refuse("a port that is not a number up to 65535"),
    }
}

/// Bytes as text; what is not text becomes empty, which no caller accepts.
fn str(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or_default()
}
