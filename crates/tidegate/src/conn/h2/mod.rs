//! The HTTP/2 driver (RFC 9113): one task per connection that moves frames, and one per request whose answer is not at
//! hand. Frames, HPACK, windows and states of streams are the `h2` crate's; what comes of a request is the same pipeline
//! as over HTTP/1.
//!
//! ```text
//!  bytes ─► wire ─► patience ─► h2 ─► a request ─► stream ─ answer at hand ─► h2 ─► wire gathers ─► one send
//!                      │                              └ waits for pool, body or windows: a task of its own
//!                      └ flood, mistake, late, idle, drain ─► GOAWAY ─► the polite close
//! ```
//! `shared` what requests and driver tell each other · `wire` bytes in and out · `frames` and `patience` what a client may
//! do · `head` a request as text · `answer` the head of a response · `stream` one request · `receive` bodies in · `send`
//! and `live` bodies out, in `payload`s · `settings` every bound of the protocol.

mod answer;
mod driver;
mod frames;
mod head;
mod live;
pub mod patience;
mod payload;
mod receive;
mod send;
mod settings;
mod shared;
mod stream;
mod wire;

pub use driver::{Entry, serve};

/// What is seen of the client's connection preface (RFC 9113 §3.4) in the first bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preface {
    /// All of it.
    Whole,
    /// A beginning that may become one.
    Begun,
    /// Something else.
    Other,
}

/// Whether a connection that begins with `bytes` speaks HTTP/2 by prior knowledge.
pub(super) fn preface(bytes: &[u8]) -> Preface {
    let seen = bytes.len().min(frames::PREFACE.len());
    // A method may begin like it (PROPFIND, PRI): nobody knows until a byte differs.
    match frames::PREFACE.get(..seen) == bytes.get(..seen) {
        true if seen == frames::PREFACE.len() => Preface::Whole,
        true if seen > 0 => Preface::Begun,
        _ => Preface::Other,
    }
}
