//! The forms of a request-target, RFC 9112 §3.2.
//!
//! ```text
//! "/where?q"            Origin     the usual one
//! "http://host/where"   Absolute   §3.2.2; its authority replaces the Host field
//! "*"                   Asterisk   §3.2.4; the server allows it with OPTIONS only
//! "host:443"            refused    §3.2.3 is for CONNECT, which is not served
//! ```
//!
//! Only the form is judged here: percent-encoding and dot segments belong to whoever maps the path to something.

use core::fmt;

use crate::grammar::{Class, class};

/// A request-target, taken apart; all parts are as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'b> {
    /// An absolute path on this server.
    Origin {
        /// Begins with `/`.
        path: &'b [u8],
        /// What follows the first `?`.
        query: Option<&'b [u8]>,
    },
    /// A whole `http` or `https` URI.
    Absolute {
        /// `http` or `https`, in any case.
        scheme: &'b [u8],
        /// Not empty; for [`Authority`](crate::Authority) to judge.
        authority: &'b [u8],
        /// Begins with `/`; an empty path is `/`, before a query too (RFC 9110 §4.2.3).
        path: &'b [u8],
        /// What follows the first `?`.
        query: Option<&'b [u8]>,
    },
    /// The server as a whole.
    Asterisk,
}

/// Why a request-target was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadTarget {
    detail: &'static str,
}

impl<'b> Target<'b> {
    /// Takes a request-target apart, in one pass for the usual form.
    ///
    /// # Errors
    /// [`BadTarget`] for a fragment, a raw control, space, DEL or non-ASCII byte, and for every other form.
    #[inline]
    pub fn parse(target: &'b [u8]) -> Result<Self, BadTarget> {
        match target {
            [b'/', ..] => split_query(target).map(|(path, query)| Self::Origin { path, query }),
            b"*" => Ok(Self::Asterisk),
            _ => Self::parse_absolute(target),
        }
    }

    fn parse_absolute(target: &'b [u8]) -> Result<Self, BadTarget> {
        let (before, query) = split_query(target)?;
        let scheme = [&b"https"[..], b"http"].into_iter().find_map(|name| {
            let (scheme, rest) = before.split_at_checked(name.len())?;
            Some((scheme, rest.strip_prefix(b"://")?)).filter(|_| scheme.eq_ignore_ascii_case(name))
        });
        let (scheme, rest) = scheme.ok_or(BadTarget { detail: "neither a path nor an http or https URI" })?;
        let end = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
        match rest.split_at_checked(end) {
            Some((authority @ [_, ..], path)) => Ok(Self::Absolute {
                scheme,
                authority,
                path: if path.is_empty() { b"/" } else { path },
                query,
            }),
            _ => Err(BadTarget { detail: "a URI without a host" }),
        }
    }
}

impl BadTarget {
    /// One sentence for people.
    #[must_use]
    pub const fn detail(&self) -> &'static str {
        self.detail
    }
}

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail)
    }
}

impl core::error::Error for BadTarget {}

/// What a target may hold before its query: visible ASCII without the delimiters `?` and `#`.
static PATH: Class = class!(b => matches!(b, b'!'..=0x7e) && b != b'?' && b != b'#');

/// What a query may hold: the same, and more question marks (RFC 3986 §3.4).
static QUERY: Class = class!(b => matches!(b, b'!'..=0x7e) && b != b'#');

/// Splits at the first `?` and checks every byte on both sides.
#[inline]
fn split_query(target: &[u8]) -> Result<(&[u8], Option<&[u8]>), BadTarget> {
    let (path, rest) = target.split_at_checked(PATH.span(target)).unwrap_or((target, b""));
    match rest {
        [] => Ok((path, None)),
        [b'?', query @ ..] => match query.get(QUERY.span(query)) {
            None => Ok((path, Some(query))),
            Some(&byte) => Err(bad_byte(byte)),
        },
        [byte, ..] => Err(bad_byte(*byte)),
    }
}

#[cold]
fn bad_byte(byte: u8) -> BadTarget {
    let detail = match byte {
        b'#' => "a fragment, which is never sent to a server",
        b' ' => "a raw space",
        0x80.. => "a raw non-ASCII byte",
        _ => "a raw control byte",
    };
    BadTarget { detail }
}
