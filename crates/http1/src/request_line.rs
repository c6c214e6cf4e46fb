//! The request line, RFC 9112 §3: judged as soon as it is complete, before anything that follows it.
//!
//! ```text
//! request-line = method SP request-target SP HTTP-version          (one space each, nothing else)
//!                tchar+    VCHAR+            "HTTP/" DIGIT "." DIGIT
//! ```
//!
//! httparse cannot tell an unknown version (505) from junk (400), so the verdict is ours.

use memchr::memchr;

use crate::error::{Error, ErrorKind};
use crate::grammar::{TCHAR, VALUE, VISIBLE};
use crate::limits::EMPTY_LINES_BEHIND;

/// The protocol versions that are served. Both are answered as `HTTP/1.1` (RFC 9110 §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: closed after the answer unless the client asks otherwise; no chunked coding.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// Splits the request line at the start of `input` into method, target and version, for a log line.
///
/// A best effort for a head that was refused: `Some` only if the line is complete, its method is a token and its
/// target has no space and no control byte. Leading empty lines are skipped. The version is what follows.
#[must_use]
pub fn request_line(input: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let empty =
        input.chunks_exact(2).take(EMPTY_LINES_BEHIND.into()).take_while(|line| *line == b"\r\n").count();
    let input = input.get(2 * empty..)?;
    let (line, _) = input.split_at_checked(memchr(b'\n', input)?)?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (method, rest) = line.split_at_checked(TCHAR.span(line))?;
    let rest = rest.strip_prefix(b" ")?;
    let space = rest.iter().rposition(|&byte| byte == b' ')?;
    let (target, version) = (rest.get(..space)?, rest.get(space + 1..)?);
    let clean =
        !method.is_empty() && VALUE.spans(target) && !target.iter().any(|byte| matches!(byte, b' ' | b'\t'));
    clean.then_some((core::str::from_utf8(method).ok()?, target, version))
}

/// Judges a complete request line, given without its CRLF; it begins at `start` of the input.
///
/// # Errors
/// `BadRequestLine` or `HttpVersion`, at the first byte that decides it.
pub(crate) fn judge(line: &[u8], start: usize) -> Result<(), Error> {
    let refuse = |at: usize, detail| Err(Error::new(ErrorKind::BadRequestLine, start + at, detail));
    let method = TCHAR.span(line);
    let Some((b' ', rest)) = line.get(method..).and_then(<[u8]>::split_first) else {
        return refuse(method, "the method is not a token followed by a space");
    };
    let target = VISIBLE.span(rest);
    let end = method + 1 + target;
    if method == 0 || target == 0 {
        return refuse(end, "the request line has an empty part");
    }
    match rest.get(target..).and_then(<[u8]>::split_first) {
        Some((b' ', version)) => judge_version(version, start + end + 1),
        Some(_) => refuse(end, "a control or non-ASCII byte in the target"),
        None => refuse(end, "the request line has no version"),
    }
}

/// RFC 9112 §2.3: the name is case-sensitive and each number is one digit.
fn judge_version(version: &[u8], at: usize) -> Result<(), Error> {
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(Error::new(ErrorKind::HttpVersion, at, "the version is neither HTTP/1.0 nor HTTP/1.1"))
        }
        _ => Err(Error::new(ErrorKind::BadRequestLine, at, "the version is not HTTP/digit.digit")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obs_1_a_refused_line_is_split_for_the_log_when_it_is_clean() {
        let some = |input| request_line(input).expect("clean");
        assert_eq!(some(b"GET /a HTTP/9.9\r\n"), ("GET", &b"/a"[..], &b"HTTP/9.9"[..]));
        assert_eq!(some(b"\r\nget / x\nHost: a"), ("get", &b"/"[..], &b"x"[..]));
        for unclean in [
            &b"GET / HTTP/1.1"[..],
            b"G\x01T / HTTP/1.1\r\n",
            b"GET /\x07 HTTP/1.1\r\n",
            b"GET /\r\n",
            b"GET /a b HTTP/1.1\r\n",
            b"GET  / HTTP/1.1\r\n",
            b"\r\n",
        ] {
            assert_eq!(request_line(unclean), None, "{unclean:?}");
        }
    }
}
