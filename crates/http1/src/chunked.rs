//! The chunked coding, RFC 9112 §7.1: bytes to payload ranges, one byte of state at a time.
//!
//! ```text
//!            hex              CR       LF                    last byte      CR LF
//!  Size ──► Digits ─────────► SizeLf ─────► Data (size > 0) ───────────► DataCr ► DataLf ─► Size
//!              │ ';' BWS        ▲      └──► Trailer (size = 0) ─ CR ─► EndLf ─ LF ─► Done
//!              ▼                │              │ name ':' value CR LF ▲
//!           extensions ─────────┘              └──────────────────────┘
//! ```
//!
//! Extensions and trailers are checked against their grammar and dropped: nothing is buffered, so the state is a few
//! words whatever the peer sends. Every line end is exactly CRLF; the first byte that breaks a rule ends it all.

use crate::error::{Error, ErrorKind};
use crate::framing::BodyEvent;
use crate::grammar::{TCHAR, VALUE, is_blank};
use crate::limits::Limits;

/// What a chunk is charged beside its framing bytes, in bytes: the work of an event. With it a body of one-byte
/// chunks (five framing bytes each) costs more than the ten bytes it earns, and runs out of budget.
const CHUNK_COST: u64 = 8;

/// Framing that a byte of payload pays for, in bytes.
const PAYLOAD_CREDIT: u64 = 10;

/// Digits of a chunk size: what a `u64` holds. The RFC sets no bound but asks for one against overflow (§7.1).
const SIZE_DIGITS: u8 = 16;

/// The decoder's place between two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    Size,
    /// After a digit.
    Digits,
    /// Blanks seen: only a `;` may end them.
    BeforeSemicolon,
    /// After `;`: blanks, then a name.
    BeforeName,
    Name,
    /// Blanks after a name: `=` or `;`.
    AfterName,
    /// After `=`: blanks, then a token or a quoted string.
    BeforeValue,
    Value,
    Quoted,
    /// After a backslash in a quoted string.
    Escaped,
    AfterQuoted,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line, or of the empty line that ends the message.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

/// A chunked body being read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunked {
    state: State,
    /// Digits of the size so far.
    digits: u8,
    /// Trailer lines so far.
    fields: u16,
    /// Bytes of the trailer section so far.
    trailer: u32,
    /// The size of the chunk while it is read, then its bytes still to come.
    left: u64,
    /// Payload announced so far.
    payload: u64,
    /// Framing charged so far.
    cost: u64,
}

impl Chunked {
    pub(crate) const fn new() -> Self {
        Self { state: State::Size, digits: 0, fields: 0, trailer: 0, left: 0, payload: 0, cost: 0 }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads framing up to the next payload byte, the end of the body or the end of `input`.
    ///
    /// # Errors
    /// `BadChunk` at the first bad byte or the first over budget; `HeadTooLarge`, `TooManyFields` in trailers.
    pub(crate) fn read(&mut self, input: &[u8], limits: &Limits) -> Result<BodyEvent, Error> {
        for (skip, &byte) in input.iter().enumerate() {
            match self.state {
                State::Data => return Ok(self.data(skip, input.len() - skip)),
                State::Done => return Ok(BodyEvent::End { consumed: skip }),
                _ => self.step(byte, limits).map_err(|(kind, detail)| Error::new(kind, skip, detail))?,
            }
        }
        let consumed = input.len();
        Ok(if self.is_done() { BodyEvent::End { consumed } } else { BodyEvent::More { consumed } })
    }

    /// Hands out what is there of the current chunk: at least one byte.
    fn data(&mut self, skip: usize, available: usize) -> BodyEvent {
        let len = usize::try_from(self.left).map_or(available, |left| left.min(available));
        self.left -= len as u64;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        BodyEvent::Data { skip, len }
    }

    /// Takes one framing byte.
    fn step(&mut self, byte: u8, limits: &Limits) -> Result<(), Fault> {
        self.state = match self.state {
            State::Trailer | State::TrailerName | State::TrailerValue | State::TrailerLf | State::EndLf => {
                self.trailer_byte(byte, limits)?
            }
            State::Size | State::Digits if byte.is_ascii_hexdigit() => self.digit(byte)?,
            State::SizeLf if byte == b'\n' => self.end_size()?,
            state => line_byte(state, byte)?,
        };
        self.cost = self.cost.saturating_add(1);
        let budget = self.payload.saturating_mul(PAYLOAD_CREDIT).saturating_add(limits.chunk_overhead);
        if self.trailer == 0 && self.cost > budget {
            return Err((ErrorKind::BadChunk, "the chunked coding costs more than it carries"));
        }
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<State, Fault> {
        if self.digits == SIZE_DIGITS {
            return Err((ErrorKind::BadChunk, "a chunk size of more than 16 digits"));
        }
        self.digits += 1;
        self.left = (self.left << 4) | char::from(byte).to_digit(16).map_or(0, u64::from);
        Ok(State::Digits)
    }

    /// The size is known: opens its chunk, or the trailer section.
    fn end_size(&mut self) -> Result<State, Fault> {
        // The same bound as for Content-Length, on the sum, so that no caller's arithmetic can overflow.
        let payload = self.payload.checked_add(self.left).filter(|&sum| sum <= i64::MAX.unsigned_abs());
        self.payload = payload.ok_or((ErrorKind::BadChunk, "the body would be larger than 2^63 bytes"))?;
        self.cost = self.cost.saturating_add(CHUNK_COST);
        self.digits = 0;
        Ok(if self.left == 0 { State::Trailer } else { State::Data })
    }

    /// RFC 9112 §7.1.2: a trailer line obeys the rules of a field line and is dropped.
    fn trailer_byte(&mut self, byte: u8, limits: &Limits) -> Result<State, Fault> {
        self.trailer = self.trailer.saturating_add(1);
        if usize::try_from(self.trailer).map_or(true, |size| size > limits.trailers) {
            return Err((ErrorKind::HeadTooLarge, "the trailer section is larger than allowed"));
        }
        match (self.state, byte) {
            (State::Trailer, b'\r') => Ok(State::EndLf),
            (State::Trailer, _) if TCHAR.has(byte) => {
                self.fields = self.fields.saturating_add(1);
                if usize::from(self.fields) > limits.trailer_fields {
                    return Err((ErrorKind::TooManyFields, "more trailer fields than allowed"));
                }
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerName, _) if TCHAR.has(byte) => Ok(State::TrailerName),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, _) if VALUE.has(byte) => Ok(State::TrailerValue),
            (State::TrailerLf, b'\n') => Ok(State::Trailer),
            (State::EndLf, b'\n') => Ok(State::Done),
            _ => Err((ErrorKind::BadChunk, "a malformed trailer section")),
        }
    }
}

type Fault = (ErrorKind, &'static str);

/// The transitions that need no counter: the rest of a size line with its extensions (RFC 9112 §7.1.1), and the
/// CRLF after a chunk's data. Blanks are allowed where the grammar has BWS, and nowhere else.
fn line_byte(state: State, byte: u8) -> Result<State, Fault> {
    use State::{
        AfterName, AfterQuoted, BeforeName, BeforeSemicolon, BeforeValue, DataCr, DataLf, Digits, Escaped,
    };
    use State::{Name, Quoted, Size, SizeLf, Value};
    let next = match (state, byte) {
        (Digits | Name | Value | AfterQuoted, b'\r') => SizeLf,
        (Digits | BeforeSemicolon | Name | AfterName | Value | AfterQuoted, b';') => BeforeName,
        (Digits | BeforeSemicolon | Value | AfterQuoted, b' ' | b'\t') => BeforeSemicolon,
        (Name | AfterName, b'=') => BeforeValue,
        (Name | AfterName, b' ' | b'\t') => AfterName,
        (BeforeName | BeforeValue, _) if is_blank(byte) => state,
        (BeforeName | Name, _) if TCHAR.has(byte) => Name,
        (BeforeValue, b'"') => Quoted,
        (BeforeValue | Value, _) if TCHAR.has(byte) => Value,
        (Quoted, b'"') => AfterQuoted,
        (Quoted, b'\\') => Escaped,
        (Quoted | Escaped, _) if VALUE.has(byte) => Quoted,
        (DataCr, b'\r') => DataLf,
        (DataLf, b'\n') => Size,
        (DataCr | DataLf, _) => {
            return Err((ErrorKind::BadChunk, "the data of a chunk is not followed by CRLF"));
        }
        (SizeLf, _) => return Err((ErrorKind::BadChunk, "a carriage return without a line feed")),
        (Size | Digits, _) => return Err((ErrorKind::BadChunk, "a chunk size is not a hexadecimal number")),
        _ => return Err((ErrorKind::BadChunk, "a malformed chunk extension")),
    };
    Ok(next)
}
