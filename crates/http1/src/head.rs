//! Bytes to head: a resumable scan for line ends, then one pass of httparse, then framing.
//!
//! ```text
//! input ─► Scan::advance ── None ──────────► wait: the next call goes on where this one stopped
//!             │ judges, left to right: leading empty lines, first byte, request line, bare CR/LF, size, count
//!             └─ Some(end) ─► httparse ─► framing::judge ─► Head
//! ```
//!
//! The scan sees every line end exactly once, however the bytes arrive, and reports the leftmost fault: the same
//! bytes give the same verdict in one piece and one by one. httparse only ever sees whole heads whose lines are
//! sound, which is why its leniencies (bare LF, any number of leading empty lines) cannot be reached.

use core::mem::MaybeUninit;

use memchr::memchr2;

use crate::error::{Error, ErrorKind};
use crate::framing::{self, BodyLength, Expect, Field};
use crate::grammar::{TCHAR, field_fault};
use crate::limits::{EMPTY_LINES, EMPTY_LINES_BEHIND, Limits, MAX_FIELDS};
use crate::request_line::{self, Version};

/// Room for the fields of one head, on the caller's stack. It starts uninitialised, so it costs nothing.
pub struct FieldStorage<'b>([MaybeUninit<Field<'b>>; MAX_FIELDS]);

impl FieldStorage<'_> {
    /// Empty room for [`MAX_FIELDS`] fields.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; MAX_FIELDS])
    }
}

impl Default for FieldStorage<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for FieldStorage<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("FieldStorage").finish_non_exhaustive()
    }
}

/// A request head whose syntax, size and framing are sound. It borrows the input; nothing is copied.
#[derive(Debug)]
pub struct Head<'b, 'f> {
    /// Any token (RFC 9110 §9.1); case-sensitive, of any length the request line allows.
    pub method: &'b str,
    /// The request-target as sent: visible ASCII, not empty; its form is for [`Target`](crate::Target) to judge.
    pub target: &'b [u8],
    /// The client's version.
    pub version: Version,
    /// The field lines in the order sent; repeated names stay apart.
    pub fields: &'f [Field<'b>],
    /// How the body is delimited.
    pub body: BodyLength,
    /// What the client expects before it sends the body.
    pub expect: Expect,
    /// Whether the client wants the connection to stay open (RFC 9112 §9.3).
    pub persistent: bool,
    /// Bytes of input the head took, ignored leading empty lines included.
    pub consumed: usize,
    /// Offset of the request line in the input: 0, or 2 more for each empty line.
    pub start: usize,
}

/// Finds the end of a head, over as many calls as it takes. All offsets count from the first byte of the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan {
    /// Everything before this offset has been judged.
    seen: usize,
    /// Where the line being read begins.
    line: usize,
    /// Complete lines so far, the request line included; no more than the fields that are allowed, and two.
    lines: u16,
    /// Where the request line begins.
    start: usize,
    /// Bytes of empty lines that may stand before it.
    skippable: u16,
}

/// A scanned head: where its request line begins and where its body would.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    start: usize,
    end: usize,
}

impl Scan {
    pub(crate) const fn new() -> Self {
        Self { seen: 0, line: 0, lines: 0, start: 0, skippable: 2 * EMPTY_LINES }
    }

    /// A scan for a further head of a connection.
    pub(crate) const fn behind_a_request() -> Self {
        Self { skippable: 2 * EMPTY_LINES_BEHIND, ..Self::new() }
    }

    /// Goes on from where the last call stopped; `input` is what it was then, and more.
    ///
    /// # Errors
    /// The leftmost fault that the bytes present prove.
    #[inline]
    pub(crate) fn advance(&mut self, input: &[u8], limits: &Limits) -> Result<Option<Extent>, Error> {
        if self.seen == 0 && !self.begin(input)? {
            return Ok(None);
        }
        while let Some(found) = input.get(self.seen..).and_then(|rest| memchr2(b'\r', b'\n', rest)) {
            let at = self.seen + found;
            self.check_size(at + 1, 1, limits)?;
            match (input.get(at), input.get(at + 1)) {
                (Some(b'\r'), Some(b'\n')) => {}
                (Some(b'\r'), None) => {
                    self.seen = at;
                    return Ok(None);
                }
                (Some(b'\r'), _) => return Err(self.broken_line(at, "a carriage return without a line feed")),
                _ => return Err(self.broken_line(at, "a line feed without a carriage return")),
            }
            if self.end_line(input, at, limits)? {
                return Ok(Some(Extent { start: self.start, end: self.seen }));
            }
        }
        self.seen = input.len();
        self.check_size(self.seen, 0, limits)?;
        Ok(None)
    }

    /// Skips empty lines and judges the first byte; false while there is none to judge.
    fn begin(&mut self, input: &[u8]) -> Result<bool, Error> {
        let mut start = 0;
        while start < usize::from(self.skippable)
            && input.get(start..).is_some_and(|rest| rest.starts_with(b"\r\n"))
        {
            start += 2;
        }
        let first = match input.get(start..).unwrap_or_default() {
            [] => return Ok(false),
            [b'\r'] if start < usize::from(self.skippable) => return Ok(false),
            [first, ..] => *first,
        };
        if !TCHAR.has(first) {
            let detail = "the first byte can begin no method";
            return Err(Error::new(ErrorKind::BadRequestLine, start, detail));
        }
        *self = Self { seen: start, line: start, lines: 0, start, ..*self };
        Ok(true)
    }

    /// Takes the line whose CR is at `at`; true when it is the empty one that ends the head.
    #[inline]
    fn end_line(&mut self, input: &[u8], at: usize, limits: &Limits) -> Result<bool, Error> {
        let empty = at == self.line;
        if self.lines == 0 {
            request_line::judge(input.get(self.start..at).unwrap_or_default(), self.start)?;
        } else if !empty && usize::from(self.lines) > limits.field_bound() {
            return Err(Error::new(ErrorKind::TooManyFields, self.line, "more fields than allowed"));
        }
        self.seen = at + 2;
        self.line = self.seen;
        self.lines += 1;
        if self.seen - self.start > limits.head {
            return Err(self.too_large(limits));
        }
        Ok(empty)
    }

    /// Refuses a line, or a head, that is too long already with the bytes before `end`; the last `ending` of them
    /// belong to a line end, which the limit of the request line does not count.
    ///
    /// The request line comes first: until it is complete only its own limit is asked.
    #[inline]
    fn check_size(&self, end: usize, ending: usize, limits: &Limits) -> Result<(), Error> {
        let length = end - self.start;
        if self.lines == 0 && length - ending > limits.request_line {
            let at = self.start + limits.request_line;
            return Err(Error::new(ErrorKind::TargetTooLong, at, "the request line is longer than allowed"));
        }
        if self.lines > 0 && length > limits.head {
            return Err(self.too_large(limits));
        }
        Ok(())
    }

    fn too_large(&self, limits: &Limits) -> Error {
        Error::new(ErrorKind::HeadTooLarge, self.start + limits.head, "the head is larger than allowed")
    }

    fn broken_line(&self, at: usize, detail: &'static str) -> Error {
        let kind = if self.lines == 0 { ErrorKind::BadRequestLine } else { ErrorKind::BadHead };
        Error::new(kind, at, detail)
    }
}

/// Takes a scanned head apart and decides its framing.
///
/// # Errors
/// `BadHead` for a field line that breaks the grammar, and whatever [`framing::judge`] refuses.
#[inline]
pub(crate) fn parse<'b, 'f>(
    input: &'b [u8],
    extent: Extent,
    storage: &'f mut FieldStorage<'b>,
) -> Result<Head<'b, 'f>, Error> {
    let Extent { start, end } = extent;
    let bytes = input.get(start..end).unwrap_or_default();
    let mut request = httparse::Request::new(&mut []);
    let (Ok(httparse::Status::Complete(_)), Some(method), Some(target)) =
        (request.parse_with_uninit_headers(bytes, &mut storage.0), request.method, request.path)
    else {
        return Err(explain(bytes, start));
    };
    let version = if request.version == Some(0) { Version::Http10 } else { Version::Http11 };
    let fields: &'f [Field<'b>] = request.headers;
    let framing::Verdict { body, expect, persistent } = framing::judge(input, version, fields)?;
    Ok(Head {
        method,
        target: target.as_bytes(),
        version,
        fields,
        body,
        expect,
        persistent,
        consumed: end,
        start,
    })
}

/// Says what httparse only refused: the first field line that breaks the grammar.
#[cold]
fn explain(head: &[u8], start: usize) -> Error {
    let mut at = start;
    for (number, line) in head.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let text = line.strip_suffix(b"\r\n").unwrap_or(line);
        let fault = if number == 0 || text.is_empty() { None } else { field_fault(text) };
        if let Some((offset, detail)) = fault {
            return Error::new(ErrorKind::BadHead, at + offset, detail);
        }
        at += line.len();
    }
    Error::new(ErrorKind::BadHead, start, "the head is malformed")
}
