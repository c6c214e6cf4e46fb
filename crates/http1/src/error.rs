//! What is wrong with a message, where, and which status says so.
//!
//! Every [`Error`] ends its connection: once framing is in doubt, no later byte can be trusted to begin a message
//! (RFC 9112 §6.3, §9.3). One value therefore answers the three questions of the server: the status to send, the
//! stable code to log and count, and the sentence to explain it with.

use core::fmt;

/// A message that was refused. Peers cause it; it never reports a mistake of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    at: usize,
    detail: &'static str,
}

/// The closed set of refusals; each has one status and one code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request line is not `method SP target SP version CRLF` (RFC 9112 §3).
    BadRequestLine,
    /// The request line is longer than [`Limits::request_line`](crate::Limits::request_line).
    TargetTooLong,
    /// A well-formed version that is neither 1.0 nor 1.1 (RFC 9110 §15.6.6).
    HttpVersion,
    /// A field line breaks RFC 9112 §5, or a line does not end in CRLF.
    BadHead,
    /// The head, or the trailer section, is larger than its limit.
    HeadTooLarge,
    /// More field lines than allowed, in the head or in the trailer section.
    TooManyFields,
    /// The length of the body is malformed, contradictory or given twice (RFC 9112 §6.3).
    BadFraming,
    /// A well-formed transfer coding that is not `chunked` (RFC 9112 §6.1).
    UnknownCoding,
    /// The chunked coding is malformed or costs more than it carries (RFC 9112 §7.1).
    BadChunk,
}

impl Error {
    pub(crate) const fn new(kind: ErrorKind, at: usize, detail: &'static str) -> Self {
        Self { kind, at, detail }
    }

    /// Which rule was broken.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The offset, in bytes from the start of the `input` of the failing call, at which it was noticed.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// One sentence for people; a constant, so it never repeats what the peer sent.
    #[must_use]
    pub const fn detail(&self) -> &'static str {
        self.detail
    }

    /// The status code to answer with.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.kind.status()
    }

    /// The stable name of the rule, for logs, metrics and problem documents.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.kind.code()
    }
}

impl ErrorKind {
    /// The status code to answer with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequestLine | Self::BadHead | Self::BadFraming | Self::BadChunk => 400,
            Self::TargetTooLong => 414,
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::UnknownCoding => 501,
            Self::HttpVersion => 505,
        }
    }

    /// The stable name of the rule.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadRequestLine => "bad_request_line",
            Self::TargetTooLong => "target_too_long",
            Self::HttpVersion => "http_version",
            Self::BadHead => "bad_head",
            Self::HeadTooLarge => "head_too_large",
            Self::TooManyFields => "too_many_fields",
            Self::BadFraming => "bad_framing",
            Self::UnknownCoding => "unknown_coding",
            Self::BadChunk => "bad_chunk",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.code(), self.at, self.detail)
    }
}

impl core::error::Error for Error {}
