//! Every bound of the protocol that a server may set, with its default and the reason for it.

/// Upper bound of [`Limits::fields`], and the size of [`FieldStorage`](crate::FieldStorage): 256, as pingora; 8 KiB of
/// stack.
pub const MAX_FIELDS: usize = 256;

/// Empty lines that are ignored before the first request line of a connection: one, as RFC 9112 §2.2 asks for.
pub(crate) const EMPTY_LINES: u16 = 1;

/// The same behind a request: one more, the CRLF that old clients send behind a body (RFC 9112 §2.2). Not all that come,
/// for no limit counts them.
pub(crate) const EMPTY_LINES_BEHIND: u16 = 2;

/// The most a message may cost before it is refused. Sizes are in bytes.
///
/// The buffer behind [`Connection::read_head`](crate::Connection::read_head) must be able to hold the larger of
/// `head` and `request_line`, plus two ignored CRLFs and one byte: the one that shows that a limit is passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest request line, without its CRLF; above it 414.
    ///
    /// Default 8000: what RFC 9112 §3 recommends every recipient to support. nginx 8 KiB, Apache 8190.
    pub request_line: usize,
    /// Largest head, from the first byte of the request line to the empty line, both inclusive; above it 431.
    ///
    /// Default 8192: two pages, room for a full request line and little else beside it; ordinary heads are below
    /// 1 KiB. nginx 4 × 8 KiB, HAProxy 15 KiB, Apache 8190 a field, h2o and hyper 408 KiB.
    pub head: usize,
    /// Most field lines in a head; above it 431. Values over [`MAX_FIELDS`] count as [`MAX_FIELDS`].
    ///
    /// Default 100, as Apache, h2o, hyper and Envoy; browsers send about 20.
    pub fields: usize,
    /// The fixed part of what chunked framing may cost beyond ten bytes for each byte of payload; above it 400.
    ///
    /// Default 16 KiB, as hyper allows for extensions; h2o closes at 100 KiB of overhead that is 4 × the payload.
    /// Each chunk is charged its framing bytes and eight more for the work, so that a body sent as a million
    /// one-byte chunks is refused after a few thousand of them.
    pub chunk_overhead: u64,
    /// Largest trailer section, up to its empty line, inclusive; above it 431.
    ///
    /// Default 16 KiB, as hyper; trailers are checked and dropped, so they cost time and no memory.
    pub trailers: usize,
    /// Most field lines in a trailer section; above it 431.
    ///
    /// Default 100, the same as for a head.
    pub trailer_fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_line: 8000,
            head: 8192,
            fields: 100,
            chunk_overhead: 16 * 1024,
            trailers: 16 * 1024,
            trailer_fields: 100,
        }
    }
}

impl Limits {
    /// The limit on fields that is in force: never more than the storage has room for.
    #[inline]
    pub(crate) fn field_bound(&self) -> usize {
        self.fields.min(MAX_FIELDS)
    }
}
