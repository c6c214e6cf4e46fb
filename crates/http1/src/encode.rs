//! Answer to bytes: status line, fields, framing, chunk frames. The payload passes through untouched.

/// The response a server wants to send, without its payload.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Status code of a final answer, 200..=599; interim ones are [`ask_for_body`](crate::Connection::ask_for_body)'s.
    pub status: u16,
    /// Pieces of encoded field lines, each line `Name: value\r\n`; neither framing nor connection fields, which are
    /// decided here.
    pub fields: &'a [&'a [u8]],
    /// What the payload is.
    pub body: AnswerBody,
    /// The server wants this to be the last answer.
    pub close: bool,
    /// Encoded field lines to write when the connection stays open, e.g. `Connection: keep-alive\r\n` and
    /// `Keep-Alive: timeout=30\r\n`. When it does not, `Connection: close\r\n` is written instead.
    pub keep_alive: &'a [u8],
}

/// The payload of an answer, as the server knows it. What is sent also depends on method, status and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerBody {
    /// No payload. Where the status would allow one this is announced as a length of 0.
    None,
    /// So many bytes.
    Exact(u64),
    /// A length not known beforehand.
    Stream,
}

/// How the server must write the payload that follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Not at all: HEAD, 204, 304, or a payload of none.
    Nothing,
    /// Exactly so many bytes; fewer means the connection must be cut.
    Exact(u64),
    /// As chunks: [`chunk_head`], bytes, [`CHUNK_END`], …, [`LAST_CHUNK`].
    Chunked,
    /// As it is, up to the close (an HTTP/1.0 client, RFC 9112 §6.3 item 8).
    UntilClose,
}

/// What follows the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// What ends a chunked payload: the chunk of size zero and an empty trailer section.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The interim answer that asks for the body (RFC 9110 §15.2.1).
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Writes the size line of a chunk of `len` bytes.
///
/// A `len` of 0 writes nothing: an empty chunk would end the payload (RFC 9112 §7.1).
pub fn chunk_head(out: &mut Vec<u8>, len: usize) {
    if len > 0 {
        number::<16>(out, len as u64);
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes a whole head: status line, the caller's fields, the length field of `framing`, connection fields.
///
/// `framing` is what a GET would get, so that a HEAD is answered with the very same head (RFC 9110 §9.3.2).
pub(crate) fn head(out: &mut Vec<u8>, answer: &Answer<'_>, framing: Framing, persistent: bool) {
    status_line(out, answer.status);
    for piece in answer.fields {
        out.extend_from_slice(piece);
    }
    match framing {
        Framing::Exact(length) => {
            out.extend_from_slice(b"Content-Length: ");
            number::<10>(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Nothing | Framing::UntilClose => {}
    }
    out.extend_from_slice(if persistent { answer.keep_alive } else { b"Connection: close\r\n" });
    out.extend_from_slice(b"\r\n");
}

/// RFC 9112 §4: always our own version; the space before an empty reason stays.
fn status_line(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    number::<10>(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes `number` in base 10 or 16, without the cost of `core::fmt`.
fn number<const BASE: u64>(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut first = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        let low = usize::try_from(number % BASE).unwrap_or_default();
        *digit = b"0123456789abcdef".get(low).copied().unwrap_or_default();
        first = at;
        number /= BASE;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(first..).unwrap_or_default());
}

/// The reason phrase of `status` (RFC 9110 §15, RFC 6585); empty for a status that is not registered there.
#[must_use]
pub const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        511 => "Network Authentication Required",
        _ => "",
    }
}
