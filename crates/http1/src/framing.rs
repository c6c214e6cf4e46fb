//! Fields to body length: the whole anti-smuggling policy, RFC 9112 §6, and the two other fields that steer a
//! connection (`Connection`, `Expect`), read in one pass.
//!
//! Whatever two recipients could read differently is refused, never repaired, even where the RFC allows a repair.
//! `Connection` cannot take a framing field away: nominations are not looked at here (RFC 9110 §7.6.1).

use crate::error::{Error, ErrorKind};
use crate::grammar::{TCHAR, VALUE, trim};
use crate::request_line::Version;

/// How the body of a request is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// Neither length nor coding: there is no body (RFC 9112 §6.3 item 7).
    None,
    /// `Content-Length`, in bytes; at most `i64::MAX`.
    Exact(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// A field line: its name as sent, and its value without surrounding white space, as bytes.
pub type Field<'b> = httparse::Header<'b>;

/// A step through a request's body. `consumed` bytes of the input are done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEvent {
    /// `skip` bytes of framing, then `len` bytes of payload, at least 1; both are consumed.
    Data {
        /// Framing bytes before the payload.
        skip: usize,
        /// Payload bytes.
        len: usize,
    },
    /// All of the input was framing, or there was none; more is needed.
    More {
        /// Bytes of the input taken: all of them.
        consumed: usize,
    },
    /// The body is complete.
    End {
        /// Bytes of the input that still belonged to the body's framing.
        consumed: usize,
    },
}

impl BodyEvent {
    /// Bytes of the input that the event took.
    #[inline]
    #[must_use]
    pub const fn consumed(&self) -> usize {
        match *self {
            Self::Data { skip, len } => skip + len,
            Self::More { consumed } | Self::End { consumed } => consumed,
        }
    }
}

/// What the client expects before it sends its body (RFC 9110 §10.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No expectation; the only value for an HTTP/1.0 client.
    None,
    /// Exactly `100-continue`, in any case.
    Continue,
    /// Anything else: the server answers 417.
    Other,
}

/// What the fields say about the message and its connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) body: BodyLength,
    pub(crate) expect: Expect,
    pub(crate) persistent: bool,
}

/// The fields that matter here, as found.
#[derive(Default)]
struct Found<'f, 'b> {
    length: Option<&'f Field<'b>>,
    coding: Option<&'f Field<'b>>,
    /// A further field of a name that may come once.
    repeated: Option<&'f Field<'b>>,
    expect: Option<Expect>,
    close: bool,
    keep_alive: bool,
}

/// Reads the steering fields of a head that was parsed from `input`.
///
/// # Errors
/// `BadFraming` or `UnknownCoding`, at the offending field's name.
#[inline]
pub(crate) fn judge(input: &[u8], version: Version, fields: &[Field<'_>]) -> Result<Verdict, Error> {
    let mut found = Found::default();
    for field in fields {
        found.note(field);
    }
    let body = body_length(version, &found)
        .map_err(|(kind, field, detail)| Error::new(kind, offset_in(input, field.name.as_bytes()), detail))?;
    let (expect, persistent) = match version {
        // RFC 9110 §10.1.1: an expectation in an HTTP/1.0 request is ignored.
        Version::Http10 => (Expect::None, found.keep_alive && !found.close),
        Version::Http11 => (found.expect.unwrap_or(Expect::None), !found.close),
    };
    Ok(Verdict { body, expect, persistent })
}

impl<'f, 'b> Found<'f, 'b> {
    /// Keeps `field` if it is one of ours; its length tells most others apart without a comparison.
    #[inline]
    fn note(&mut self, field: &'f Field<'b>) {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        match field.name.len() {
            6 if is("expect") => self.expect = Some(self.note_expect(field.value)),
            10 if is("connection") => self.note_connection(field.value),
            14 if is("content-length") => keep_once(&mut self.length, &mut self.repeated, field),
            17 if is("transfer-encoding") => keep_once(&mut self.coding, &mut self.repeated, field),
            _ => {}
        }
    }

    /// RFC 9110 §10.1.1; two expectations are more than `100-continue`, so they are something else.
    fn note_expect(&self, value: &[u8]) -> Expect {
        if self.expect.is_none() && value.eq_ignore_ascii_case(b"100-continue") {
            Expect::Continue
        } else {
            Expect::Other
        }
    }

    /// RFC 9110 §7.6.1, RFC 9112 §9.3: options in any case, over any number of lines; `close` wins.
    fn note_connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(trim) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}

/// Keeps a field that may come once in `slot`, and any further one in `repeated`.
fn keep_once<'f, 'b>(
    slot: &mut Option<&'f Field<'b>>,
    repeated: &mut Option<&'f Field<'b>>,
    field: &'f Field<'b>,
) {
    let place = if slot.is_none() { slot } else { repeated };
    *place = Some(field);
}

type Refusal<'f, 'b> = (ErrorKind, &'f Field<'b>, &'static str);

/// The length of the body, in the order of RFC 9112 §6.
fn body_length<'f, 'b>(version: Version, found: &Found<'f, 'b>) -> Result<BodyLength, Refusal<'f, 'b>> {
    let bad = |field, detail| Err((ErrorKind::BadFraming, field, detail));
    // §6.3 item 5 would let identical lengths be merged, §6.1 a coding be spread over lines: both are read
    // differently along a chain of servers.
    if let Some(field) = found.repeated {
        return bad(field, "a framing field is given twice");
    }
    match (found.coding, found.length) {
        // §6.3 item 3: the classic smuggling pair.
        (Some(coding), Some(_)) => bad(coding, "both Transfer-Encoding and Content-Length"),
        // §6.1: a client that speaks 1.0 cannot mean it, and a 1.0 server in between would not have obeyed it.
        (Some(coding), None) if version == Version::Http10 => {
            bad(coding, "Transfer-Encoding in an HTTP/1.0 request")
        }
        // §6.1, §7: exactly one coding is served.
        (Some(coding), None) => match classify(coding.value) {
            Coding::Chunked => Ok(BodyLength::Chunked),
            Coding::Unknown => {
                Err((ErrorKind::UnknownCoding, coding, "a transfer coding other than chunked"))
            }
            Coding::Malformed => bad(coding, "a malformed Transfer-Encoding"),
        },
        // §6.2, §6.3 item 5.
        (None, Some(length)) => match decimal(length.value) {
            Some(bytes) => Ok(BodyLength::Exact(bytes)),
            None => bad(length, "Content-Length is not a decimal number below 2^63"),
        },
        // §6.3 item 7.
        (None, None) => Ok(BodyLength::None),
    }
}

/// `1*DIGIT`, at most `i64::MAX`: what a file offset, and every other recipient, can hold.
fn decimal(value: &[u8]) -> Option<u64> {
    let (first, _) = value.split_first()?;
    let number = value.iter().try_fold(0_u64, |number, &byte| {
        let digit = char::from(byte).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })?;
    (first.is_ascii_digit() && number <= i64::MAX.unsigned_abs()).then_some(number)
}

/// What a Transfer-Encoding value amounts to.
#[derive(Debug, PartialEq, Eq)]
enum Coding {
    Chunked,
    Unknown,
    Malformed,
}

/// RFC 9112 §6.1 and §7: `chunked` alone is ours. Where it stands anywhere but last, stands twice or has a
/// parameter, the body has no agreed end, so the message is malformed; so is whatever breaks the grammar.
fn classify(value: &[u8]) -> Coding {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Coding::Chunked;
    }
    let mut chunked_before = false;
    for element in value.split(|&byte| byte == b',').map(trim) {
        let chunked = match element.get(..7) {
            Some(name) if name.eq_ignore_ascii_case(b"chunked") => {
                !element.get(7).is_some_and(|&b| TCHAR.has(b))
            }
            _ => false,
        };
        if chunked_before || !is_coding(element) || (chunked && element.len() > 7) {
            return Coding::Malformed;
        }
        chunked_before = chunked;
    }
    Coding::Unknown
}

/// `transfer-coding = token *( OWS ";" OWS token BWS "=" BWS ( token / quoted-string ) )`, RFC 9112 §7.
///
/// A comma or semicolon inside a quoted string is taken for a separator, so such a value counts as malformed: it is
/// refused either way.
fn is_coding(element: &[u8]) -> bool {
    let mut parts = element.split(|&byte| byte == b';').map(trim);
    parts.next().is_some_and(|name| TCHAR.spans(name)) && parts.all(is_parameter)
}

fn is_parameter(part: &[u8]) -> bool {
    let Some(equals) = part.iter().position(|&byte| byte == b'=') else { return false };
    let (name, value) = (part.get(..equals).unwrap_or_default(), part.get(equals + 1..).unwrap_or_default());
    let value = trim(value);
    let quoted = matches!(value, [b'"', text @ .., b'"'] if text.iter().all(|&b| VALUE.has(b) && b != b'"' && b != b'\\'));
    TCHAR.spans(trim(name)) && (quoted || TCHAR.spans(value))
}

/// Where `part`, a slice of `input`, begins in it; 0 if it is none.
fn offset_in(input: &[u8], part: &[u8]) -> usize {
    let offset = part.as_ptr().addr().wrapping_sub(input.as_ptr().addr());
    if offset < input.len() { offset } else { 0 }
}
