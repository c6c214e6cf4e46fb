//! One connection: which request is being read, which answer is owed, and whether another may follow.
//!
//! Two small states move side by side. [`Reading`] follows the peer's bytes, [`Writing`] the server's answer; the
//! only place where they meet is [`Connection::persists`], the joint rule of RFC 9112 §9.3 on keeping a connection.

use crate::chunked::Chunked;
use crate::encode::{self, Answer, AnswerBody, Framing};
use crate::error::{Error, ErrorKind};
use crate::framing::{BodyEvent, BodyLength, Expect};
use crate::head::{self, FieldStorage, Head, Scan};
use crate::limits::Limits;
use crate::request_line::Version;

/// The most that is read and dropped, in bytes, to keep a connection whose body the answer did not need: 64 KiB, as
/// Apache's and nginx's order of size. Reading more costs both sides more than a new connection.
pub const DRAIN_LIMIT: u64 = 64 * 1024;

/// The server's side of one HTTP/1 connection. A few words: an idle connection is nothing more.
#[derive(Debug)]
pub struct Connection {
    reading: Reading,
    writing: Writing,
    request: Request,
}

/// Where the peer's bytes are.
#[derive(Debug)]
enum Reading {
    Head(Scan),
    /// Bytes still to come; never 0.
    Exact(u64),
    Chunked(Chunked),
    /// The message was read to its end.
    Finished,
    /// A message was refused: no later byte means anything.
    Failed,
}

/// Where the server's answer is.
#[derive(Debug)]
enum Writing {
    /// No head has been read: there is nobody to answer, but an error or a deadline still may.
    Waiting,
    /// A head was handed out.
    Owed,
    /// The head of the answer was encoded; `drained` counts body bytes read since then.
    Answered { persistent: bool, drained: u64 },
}

/// What an answer has to know about its request. The default stands for a request that was never understood.
#[derive(Debug)]
struct Request {
    is_head: bool,
    version: Version,
    persistent: bool,
    /// The client holds its body back until it is asked (RFC 9110 §10.1.1).
    holds_back: bool,
}

/// What was decided about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// How the payload must be written.
    pub framing: Framing,
    /// Whether the answer said that the connection stays open.
    pub persistent: bool,
}

/// What to do once the payload of an answer has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Read the next head.
    Head,
    /// Read some more of the old body with [`Connection::read_body`], drop it, and ask again.
    Drain,
    /// Close the connection, politely if the peer may still be sending (RFC 9112 §9.6).
    Close,
}

impl Connection {
    /// A connection on which nothing has happened.
    #[must_use]
    pub const fn new() -> Self {
        Self { reading: Reading::Head(Scan::new()), writing: Writing::Waiting, request: Request::UNKNOWN }
    }

    /// Reads a request head; `None` asks for more input.
    ///
    /// `input` starts at the first byte not yet consumed and only grows between calls that return `None`: what was
    /// scanned is not scanned again. An empty `input` is fine.
    ///
    /// # Errors
    /// Any [`ErrorKind`] but `BadChunk`. The connection has failed then: send an answer, then close. The same is
    /// returned for a call out of turn, that is after an error or before the last request was answered and read.
    #[inline]
    pub fn read_head<'b, 'f>(
        &mut self,
        input: &'b [u8],
        storage: &'f mut FieldStorage<'b>,
        limits: &Limits,
    ) -> Result<Option<Head<'b, 'f>>, Error> {
        if self.is_answered() && self.after_answer() == Next::Head {
            *self = Self { reading: Reading::Head(Scan::behind_a_request()), ..Self::new() };
        }
        let Reading::Head(scan) = &mut self.reading else { return Err(OUT_OF_TURN) };
        let head = match scan.advance(input, limits) {
            Ok(Some(extent)) => head::parse(input, extent, storage),
            Ok(None) => return Ok(None),
            Err(error) => Err(error),
        };
        match &head {
            Ok(head) => self.begin(head),
            Err(_) => self.reading = Reading::Failed,
        }
        head.map(Some)
    }

    /// Takes the next step through the body of the current request, until [`BodyEvent::End`].
    ///
    /// `input` starts at the first byte not yet consumed. Nothing is kept between calls but a few counters.
    ///
    /// # Errors
    /// `BadChunk`, or `HeadTooLarge` and `TooManyFields` for the trailer section; the connection has failed then.
    #[inline]
    pub fn read_body(&mut self, input: &[u8], limits: &Limits) -> Result<BodyEvent, Error> {
        let event = match &mut self.reading {
            Reading::Exact(left) => exact(left, input.len()),
            Reading::Chunked(chunked) => chunked.read(input, limits),
            Reading::Finished => Ok(BodyEvent::End { consumed: 0 }),
            Reading::Head(_) | Reading::Failed => Err(OUT_OF_TURN),
        };
        match &event {
            Ok(event) => self.note_body(event),
            Err(_) => self.reading = Reading::Failed,
        }
        event
    }

    /// Whether nothing of the current request's body is left to read; true for a request without a body.
    #[inline]
    #[must_use]
    pub const fn body_finished(&self) -> bool {
        matches!(self.reading, Reading::Finished)
    }

    /// Whether the client waits to be asked before it sends the body.
    #[must_use]
    pub const fn holds_back(&self) -> bool {
        self.request.holds_back
    }

    /// Whether the head of the answer to the last request was encoded.
    #[inline]
    #[must_use]
    pub const fn is_answered(&self) -> bool {
        matches!(self.writing, Writing::Answered { .. })
    }

    /// Asks for the body: writes `100 Continue`, once, to a client that waits for it, and nothing otherwise.
    ///
    /// A client that already sends needs no asking (RFC 9110 §10.1.1).
    pub fn ask_for_body(&mut self, out: &mut Vec<u8>) {
        if self.request.holds_back && matches!(self.writing, Writing::Owed) {
            out.extend_from_slice(encode::CONTINUE);
            self.request.holds_back = false;
        }
    }

    /// Encodes the head of the final answer onto `out`, and decides its framing and what becomes of the connection.
    ///
    /// Where no head was understood, it answers as to an HTTP/1.1 GET and closes. One answer is due per request.
    #[inline]
    pub fn answer(&mut self, out: &mut Vec<u8>, answer: &Answer<'_>) -> Sent {
        debug_assert!(!self.is_answered(), "a request has one final answer");
        let framing = self.framing(answer);
        let persistent = self.persists(answer, framing);
        encode::head(out, answer, framing, persistent);
        self.writing = Writing::Answered { persistent, drained: 0 };
        // RFC 9110 §9.3.2: HEAD gets the head that GET would get, and nothing else.
        Sent { framing: if self.request.is_head { Framing::Nothing } else { framing }, persistent }
    }

    /// What comes after the answer's payload has been written, and after each step of a drain.
    ///
    /// [`Next::Drain`] turns into [`Next::Close`] once more than [`DRAIN_LIMIT`] bytes were read for it.
    #[inline]
    #[must_use]
    pub fn after_answer(&self) -> Next {
        match (&self.writing, &self.reading) {
            (Writing::Answered { persistent: true, .. }, Reading::Finished) => Next::Head,
            (Writing::Answered { persistent: true, drained }, Reading::Exact(_) | Reading::Chunked(_))
                if *drained <= DRAIN_LIMIT =>
            {
                Next::Drain
            }
            _ => Next::Close,
        }
    }

    /// Turns to the body, and remembers what the answer will have to know.
    #[inline]
    fn begin(&mut self, head: &Head<'_, '_>) {
        self.reading = match head.body {
            BodyLength::None | BodyLength::Exact(0) => Reading::Finished,
            BodyLength::Exact(left) => Reading::Exact(left),
            BodyLength::Chunked => Reading::Chunked(Chunked::new()),
        };
        self.writing = Writing::Owed;
        self.request = Request {
            is_head: head.method == "HEAD",
            version: head.version,
            persistent: head.persistent,
            holds_back: head.expect == Expect::Continue,
        };
    }

    /// Moves on after a step through the body.
    fn note_body(&mut self, event: &BodyEvent) {
        if let Writing::Answered { drained, .. } = &mut self.writing {
            *drained = drained.saturating_add(event.consumed() as u64);
        }
        // A client that sends has stopped waiting, asked or not.
        self.request.holds_back &= event.consumed() == 0;
        if matches!(event, BodyEvent::End { .. }) || matches!(self.reading, Reading::Exact(0)) {
            self.reading = Reading::Finished;
        }
    }

    /// The framing that a GET would get (RFC 9112 §6.3, seen from the sender; RFC 9110 §8.6).
    #[inline]
    fn framing(&self, answer: &Answer<'_>) -> Framing {
        match (answer.body, self.request.version) {
            _ if matches!(answer.status, 100..=199 | 204 | 304) => Framing::Nothing,
            (AnswerBody::None, _) => Framing::Exact(0),
            (AnswerBody::Exact(length), _) => Framing::Exact(length),
            (AnswerBody::Stream, Version::Http11) => Framing::Chunked,
            (AnswerBody::Stream, Version::Http10) => Framing::UntilClose,
        }
    }

    /// The joint rule: the connection stays only if client and server want it, the answer has an end of its own, and
    /// the rest of the request can be read away (RFC 9112 §9.3).
    #[inline]
    fn persists(&self, answer: &Answer<'_>, framing: Framing) -> bool {
        let drainable = match self.reading {
            Reading::Finished => true,
            // Not asked for: it may come or not, so its end cannot be told from the next request.
            Reading::Exact(_) | Reading::Chunked(_) if self.request.holds_back => false,
            Reading::Exact(left) => left <= DRAIN_LIMIT,
            Reading::Chunked(_) => true,
            Reading::Head(_) | Reading::Failed => false,
        };
        self.request.persistent && !answer.close && framing != Framing::UntilClose && drainable
    }
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

impl Request {
    const UNKNOWN: Self =
        Self { is_head: false, version: Version::Http11, persistent: false, holds_back: false };
}

/// For a read that the state graph does not have.
const OUT_OF_TURN: Error =
    Error::new(ErrorKind::BadHead, 0, "the connection has failed, or an answer is due first");

/// A step through a body of known length.
fn exact(left: &mut u64, available: usize) -> Result<BodyEvent, Error> {
    if available == 0 {
        return Ok(BodyEvent::More { consumed: 0 });
    }
    let len = usize::try_from(*left).map_or(available, |left| left.min(available));
    *left -= len as u64;
    Ok(BodyEvent::Data { skip: 0, len })
}
