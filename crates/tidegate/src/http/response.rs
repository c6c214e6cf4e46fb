//! One response as data: the driver of each protocol version decides how to move it.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use tokio::sync::watch;

use super::reject::{Code, Event};
use crate::disk::{Descriptor, Sealed};

/// A final answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Fields of this response alone, encoded as `Name: value\r\n` lines; those that every response or every
    /// refusal carries and those of framing are added by the driver.
    pub fields: Fields,
    /// The payload.
    pub body: Body,
    /// Whether the connection must close after it.
    pub close: bool,
    /// The reason, where this is a refusal.
    pub refusal: Option<Refusal>,
}

/// What the log says of a refusal.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Its code.
    pub code: Code,
    /// What an operator should know and a client need not.
    pub evidence: Option<Arc<str>>,
    /// Whether it is worth an alarm.
    pub event: Option<Event>,
    /// Whether a secret was guessed at.
    pub guess: bool,
}

impl Refusal {
    /// What an operator should know, in any case.
    pub fn why(&self) -> &str {
        self.evidence.as_deref().unwrap_or(self.code.row().title)
    }
}

/// Encoded fields, owned by whoever made them.
#[derive(Clone, Debug)]
pub enum Fields {
    /// Known when the program was written.
    Static(&'static str),
    /// Kept by a cached file.
    Shared(Rc<[u8]>),
    /// Made for this response.
    Owned(Vec<u8>),
}

impl Fields {
    /// The encoded lines.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Static(text) => text.as_bytes(),
            Self::Shared(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// A payload.
#[derive(Clone, Debug)]
pub enum Body {
    /// No payload and no length field: 204 and 304.
    None,
    /// Bytes known when the program was written.
    Static(&'static str),
    /// Bytes made for this response.
    Owned(Vec<u8>),
    /// A part of bytes kept in memory.
    Shared(Arc<[u8]>, Range<usize>),
    /// Bytes made for this response that are too many to be held in our own memory for a slow client.
    Sealed(Rc<Sealed>),
    /// A part of an open file.
    File(Rc<OpenFile>, Range<u64>),
    /// Several parts of an open file.
    Parts(Rc<OpenFile>, Rc<Parts>),
    /// Pieces that come as time goes by, until either side has enough.
    Live(Rc<Live>),
}

/// A payload without end.
#[derive(Debug)]
pub struct Live {
    /// What is sent at once.
    pub first: Arc<[u8]>,
    /// Each value is a piece; whoever is late misses what was replaced meanwhile.
    pub updates: RefCell<watch::Receiver<Arc<[u8]>>>,
    /// Held for as long as the payload is being sent.
    pub place: Arc<dyn Any + Send + Sync>,
}

/// Parts of a file, each behind the bytes that announce it (`multipart/byteranges`, RFC 9110 §14.6).
#[derive(Debug)]
pub struct Parts {
    /// What stands before a part, and the part.
    pub parts: Vec<(Vec<u8>, Range<u64>)>,
    /// What stands behind the last one.
    pub end: Vec<u8>,
}

/// An open regular file and what it was when it was looked at.
#[derive(Debug)]
pub struct OpenFile {
    /// The descriptor. Shared with the pool while a thread reads ahead.
    pub fd: Arc<Descriptor>,
    /// What the descriptor must still be while it is sent.
    pub identity: super::validators::Identity,
    /// The whole content, while a cache holds it. A slow client must not keep it alive, or memory would grow with
    /// the number of files that are being sent.
    pub memory: Weak<Sealed>,
    /// The same for a file that no cache remembers, since it changes all the time: what was read of it is sent whole.
    pub held: Option<Rc<Sealed>>,
}

impl Parts {
    /// Length in bytes of everything.
    pub fn length(&self) -> u64 {
        let parts = self.parts.iter().map(|(head, part)| head.len() as u64 + (part.end - part.start));
        parts.sum::<u64>() + self.end.len() as u64
    }
}

impl Body {
    /// Length in bytes; `None` where there is none, or no length field belongs.
    #[inline]
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Static(text) => Some(text.len() as u64),
            Self::Owned(bytes) => Some(bytes.len() as u64),
            Self::Shared(_, range) => Some(range.len() as u64),
            Self::Sealed(bytes) => Some(bytes.len() as u64),
            Self::File(_, range) => Some(range.end.saturating_sub(range.start)),
            Self::Parts(_, parts) => Some(parts.length()),
            Self::Live(_) => None,
        }
    }

    /// The payload, where it is in memory.
    #[inline]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::None => Some(&[]),
            Self::Static(text) => Some(text.as_bytes()),
            Self::Owned(bytes) => Some(bytes),
            Self::Shared(bytes, range) => Some(bytes.get(range.clone()).unwrap_or_default()),
            Self::Sealed(_) | Self::File(..) | Self::Parts(..) | Self::Live(_) => None,
        }
    }
}

impl Response {
    /// A response without payload: 204 or 304.
    pub fn empty(status: u16, fields: Fields) -> Self {
        Self { status, fields, body: Body::None, close: false, refusal: None }
    }

    /// A response with `body`.
    pub fn new(status: u16, fields: Fields, body: Body) -> Self {
        Self { status, fields, body, close: false, refusal: None }
    }
}

/// How a request is answered: by a `T` now or later. `'b` is the life of the request's bytes.
pub enum Reply<'b, T = Response> {
    /// At once.
    Now(T),
    /// When some work of the pool is done.
    Later(Pin<Box<dyn Future<Output = T> + 'b>>),
    /// When the whole body, of at most `limit` bytes, has been read.
    AfterBody {
        /// Most bytes of payload.
        limit: u64,
        /// What to do with it.
        then: Box<dyn FnOnce(Vec<u8>) -> Reply<'b, T> + 'b>,
    },
}

impl<'b, T: 'b> Reply<'b, T> {
    /// The same reply with `change` made to its answer, whenever that comes.
    pub fn map<U: 'b>(self, change: impl FnOnce(T) -> U + 'b) -> Reply<'b, U> {
        match self {
            Self::Now(answer) => Reply::Now(change(answer)),
            Self::Later(answer) => Reply::Later(Box::pin(async move { change(answer.await) })),
            Self::AfterBody { limit, then } => {
                Reply::AfterBody { limit, then: Box::new(move |body| then(body).map(change)) }
            }
        }
    }
}

impl<T> std::fmt::Debug for Reply<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Now(_) => "Now",
            Self::Later(_) => "Later",
            Self::AfterBody { .. } => "AfterBody",
        })
    }
}
