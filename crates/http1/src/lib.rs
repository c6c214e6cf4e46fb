//! HTTP/1.1 (RFC 9112), the server's side, as bytes and events.
//!
//! Sans-IO: no socket, no clock, no task. The caller owns the buffers and the deadlines, feeds bytes in, and writes
//! out what was encoded. Nothing is allocated for a request; a head borrows the input.
//!
//! ```text
//!             ┌───────────── Next::Head ◄──────────────────────────────────────┐
//!             ▼                                                                │
//! read_head ──┬─ None: feed more                                               │
//!             ├─ Head ──► ask_for_body ──► read_body ─┬─► answer ─► payload ─► after_answer
//!             │             (if wanted)    until End  │                   ▲    │        │
//!             └─ Error ───────────────────── Error ───┘      read_body ◄──┼─ Next::Drain  ▼
//!                                                                └────────┘        Next::Close
//! ```
//!
//! The answer may come at any time after a head: a body that was not read is drained, or costs the connection. After
//! an [`Error`] the answer always closes.
//!
//! # Strict by design
//! What two servers could read differently is refused, never repaired: the price of a wrong guess is request
//! smuggling. Every [`Error`] names its rule, its place, and its status.
//!
//! # Example
//! ```
//! use http1::{Answer, AnswerBody, BodyEvent, BodyLength, Connection, FieldStorage, Framing, Limits, Next};
//!
//! let limits = Limits::default();
//! let mut connection = Connection::new();
//! let mut input: &[u8] = b"POST /notes HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
//!                          5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
//!
//! let mut storage = FieldStorage::new();
//! let head = connection.read_head(input, &mut storage, &limits)?.expect("the head is complete");
//! assert_eq!((head.method, head.target, head.body), ("POST", &b"/notes"[..], BodyLength::Chunked));
//! input = &input[head.consumed..];
//!
//! let mut note = Vec::new();
//! loop {
//!     let event = connection.read_body(input, &limits)?;
//!     if let BodyEvent::Data { skip, len } = event {
//!         note.extend_from_slice(&input[skip..skip + len]);
//!     }
//!     input = &input[event.consumed()..];
//!     if matches!(event, BodyEvent::End { .. }) {
//!         break;
//!     }
//! }
//! assert_eq!(note, b"hello");
//!
//! let mut output = Vec::new();
//! let body = AnswerBody::Exact(4);
//! let answer = Answer { status: 201, fields: &[b"Server: a\r\n"], body, close: false, keep_alive: b"" };
//! let sent = connection.answer(&mut output, &answer);
//! assert_eq!((sent.framing, sent.persistent), (Framing::Exact(4), true));
//! output.extend_from_slice(b"kept");
//! assert_eq!(output, b"HTTP/1.1 201 Created\r\nServer: a\r\nContent-Length: 4\r\n\r\nkept");
//!
//! assert_eq!(connection.after_answer(), Next::Head);
//! let mut storage = FieldStorage::new();
//! assert!(connection.read_head(input, &mut storage, &limits)?.is_some_and(|head| head.method == "GET"));
//! # Ok::<(), http1::Error>(())
//! ```

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::string_slice, clippy::panic, clippy::unreachable)]

mod authority;
mod chunked;
mod connection;
mod encode;
mod error;
mod framing;
mod grammar;
mod head;
mod limits;
mod request_line;
mod target;

pub use authority::{Authority, BadAuthority, Host};
pub use connection::{Connection, DRAIN_LIMIT, Next, Sent};
pub use encode::{Answer, AnswerBody, CHUNK_END, Framing, LAST_CHUNK, chunk_head, reason};
pub use error::{Error, ErrorKind};
pub use framing::{BodyEvent, BodyLength, Expect, Field};
pub use head::{FieldStorage, Head};
pub use limits::{Limits, MAX_FIELDS};
pub use request_line::{Version, request_line};
pub use target::{BadTarget, Target};
