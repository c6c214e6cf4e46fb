//! One connection's TLS as bytes and bytes: what the peer sent goes in, plaintext and what to send come out. It knows no
//! socket and waits for nothing.
//!
//! ```text
//!  received ─► unread ─► rustls ─► plain ─► the caller's buffer      unread: no whole record yet
//!  the caller's slices ─► rustls ─► out ─► the socket                out: sealed, alerts, key updates, handshake
//! ```
//! rustls keeps no buffer of its own here (its unbuffered interface); the three queues are lent by the thread.

use std::fmt;
use std::io;
use std::ops::ControlFlow::{Break, Continue};
use std::rc::Rc;
use std::sync::Arc;

use rustls::HandshakeKind;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};

use super::Tls;
use super::lent::Lent;
use super::names;
use super::seal::{RECORD, Then, encode};

/// Most bytes that a peer may send before the handshake is done. A hello with the keys of two post-quantum groups is
/// 2 KiB, two of them and what else belongs to a handshake less than 8; four times that.
const HANDSHAKE_MOST: usize = 32 * 1024;
/// Most ciphertext that is held: a record that is not whole yet, and what is received at once behind it. A record is at
/// most 16,384 + 256 bytes in TLS 1.3, 2,048 more than its plaintext in TLS 1.2 (RFC 8446 §5.2, RFC 5246 §6.2.3), and no
/// message behind the handshake is longer than a few bytes.
const UNREAD_MOST: usize = 16 * 1024 + 2 * 1024 + 5 + RECEIVED_AT_ONCE;
/// How much is received at once: the largest record, and some that follows.
const RECEIVED_AT_ONCE: usize = 20 * 1024;
/// Most plaintext that is sealed at once: four records leave in one call, and stay in a core's cache on their way.
const PORTION: usize = 4 * RECORD;

/// The TLS of one connection.
pub(in crate::net) struct Session {
    tls: UnbufferedServerConnection,
    unread: Lent,
    plain: Lent,
    out: Lent,
    /// Bytes received before the handshake was done.
    heard: usize,
    /// How much is sealed at once: less for a peer that does not take much.
    portion: usize,
    /// The name that the peer asked for.
    server_name: Option<Rc<str>>,
    end: End,
}

/// Whether more can come from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Yes.
    Open,
    /// It said that nothing more comes (close_notify, RFC 8446 §6.1).
    Closed,
    /// An error ended the session; what is in `out` tells the peer.
    Broken,
}

/// What the handshake settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// What is spoken (RFC 7301).
    pub protocol: Protocol,
    /// The server that the peer asked for (RFC 6066 §3), lower case; who knows but an address names none.
    pub server_name: Option<Rc<str>>,
    /// The version of TLS as its messages have it: 0x0303 is 1.2, 0x0304 is 1.3 (RFC 8446 §4.2.1).
    pub version: u16,
    /// The cipher suite by its number (RFC 8446 §B.4, RFC 5246 §A.5).
    pub cipher_suite: u16,
    /// Whether a session of before goes on, by its ticket.
    pub resumed: bool,
}

impl Agreed {
    /// What was settled with a client that asked for this server by HTTP/1.1, and by the best that TLS has.
    #[cfg(test)]
    pub fn with(server_name: Option<&str>) -> Self {
        let server_name = server_name.map(Into::into);
        Self { protocol: Protocol::Http1, server_name, version: 0x0304, cipher_suite: 0x1301, resumed: false }
    }
}

/// Protocols that can be agreed on by their name (ALPN).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `http/1.1`, also where nothing was offered.
    Http1,
    /// `h2`
    Http2,
}

/// Why a session ended by an error.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The peer broke the protocol, or there is no common ground.
    #[error("{0}")]
    Protocol(rustls::Error),
    /// A bound of our own.
    #[error("the peer sent {0} bytes that are no whole message")]
    TooLong(usize),
    /// A key has sealed as much as it may (RFC 8446 §5.5).
    #[error("the keys are used up")]
    WornOut,
    /// Both sides have closed, or the handshake is not done.
    #[error("the session is not open")]
    Closed,
    /// The error was told before.
    #[error("the session is broken")]
    Before,
}

impl From<Broken> for io::Error {
    fn from(broken: Broken) -> Self {
        Self::new(io::ErrorKind::InvalidData, broken)
    }
}

impl Session {
    /// A session that waits for a hello.
    ///
    /// # Errors
    /// When rustls refuses its own configuration.
    pub(in crate::net) fn new(tls: &Tls) -> Result<Self, Broken> {
        Ok(Self {
            tls: UnbufferedServerConnection::new(Arc::clone(&tls.config)).map_err(Broken::Protocol)?,
            unread: Lent::default(),
            plain: Lent::default(),
            out: Lent::default(),
            heard: 0,
            portion: PORTION,
            server_name: None,
            end: End::Open,
        })
    }

    /// Where to put bytes from the peer.
    pub(super) fn receiving(&mut self) -> &mut [u8] {
        let spare = self.unread.spare(RECEIVED_AT_ONCE);
        spare.get_mut(..RECEIVED_AT_ONCE).unwrap_or_default()
    }

    /// `count` bytes were put there; they are looked at by [`advance`](Self::advance) or [`open`](Self::open).
    ///
    /// # Errors
    /// [`Broken::TooLong`], for a handshake.
    pub(super) fn received(&mut self, count: usize) -> Result<(), Broken> {
        self.unread.add(count);
        if self.tls.is_handshaking() {
            self.heard += count;
        }
        self.bounded(self.heard, HANDSHAKE_MOST)
    }

    fn bounded(&mut self, held: usize, most: usize) -> Result<(), Broken> {
        if held > most {
            self.end = End::Broken;
            return Err(Broken::TooLong(held));
        }
        Ok(())
    }

    /// Takes the handshake as far as what was received goes. This is what costs: up to a millisecond where the answer to a
    /// hello is signed.
    ///
    /// # Errors
    /// Why there will be no session; an alert stands in `out`.
    pub(in crate::net) fn advance(&mut self) -> Result<Option<Agreed>, Broken> {
        // One that panicked may have left a name, which is not this one's.
        let _ = names::take();
        self.run(&mut [], Then::Nothing)?;
        if self.tls.is_handshaking() {
            return Ok(None);
        }
        let protocol =
            if self.tls.alpn_protocol() == Some(b"h2") { Protocol::Http2 } else { Protocol::Http1 };
        Ok(Some(Agreed {
            protocol,
            server_name: self.server_name.take(),
            version: self.tls.protocol_version().map_or(0, u16::from),
            cipher_suite: self.tls.negotiated_cipher_suite().map_or(0, |suite| suite.suite().into()),
            resumed: self.tls.handshake_kind() == Some(HandshakeKind::Resumed),
        }))
    }

    /// Opens what was received, as much as fits into `into`; the rest is kept for [`take`](Self::take).
    ///
    /// # Errors
    /// The peer broke the protocol, or bytes were changed on their way; an alert stands in `out`.
    pub(super) fn open(&mut self, into: &mut [u8]) -> Result<usize, Broken> {
        self.run(into, Then::Nothing)
    }

    /// What was opened before; `Some(0)` at the end of what the peer sends.
    pub(super) fn take(&mut self, into: &mut [u8]) -> Option<usize> {
        if self.plain.is_empty() {
            return (self.end != End::Open).then_some(0);
        }
        let count = self.plain.move_to(into);
        self.plain.settle();
        Some(count)
    }

    /// Seals a prefix of `first` and `second` into `out`, and tells its length. The end of one and the beginning of the
    /// other share a record.
    ///
    /// # Errors
    /// The session is broken, or its keys are used up.
    pub(super) fn seal(&mut self, first: &[u8], second: &[u8]) -> Result<usize, Broken> {
        let first = first.get(..self.portion).unwrap_or(first);
        let second = second.get(..self.portion - first.len()).unwrap_or(second);
        self.run(&mut [], Then::Seal(first, second))?;
        Ok(first.len() + second.len())
    }

    /// Says that nothing more is written: appends close_notify to `out`, unless an alert has ended the session.
    pub(super) fn say_goodbye(&mut self) {
        let _ = self.run(&mut [], Then::SayGoodbye);
    }

    /// Sealed bytes that are not sent yet.
    pub(super) fn out(&mut self) -> &mut Lent {
        &mut self.out
    }

    /// The peer took all that was sealed, or not: how much is sealed next.
    pub(super) fn adapt(&mut self, took_all: bool) {
        self.portion = if took_all { (2 * self.portion).min(PORTION) } else { RECORD };
    }

    /// Most plaintext that a write takes now.
    pub(in crate::net) const fn portion(&self) -> usize {
        self.portion
    }

    /// How many sealed bytes are not sent yet.
    pub(in crate::net) const fn unsent(&self) -> usize {
        self.out.len()
    }

    /// Whether plaintext is at hand.
    pub(in crate::net) const fn has_plain(&self) -> bool {
        !self.plain.is_empty()
    }

    /// Gives memory back while nothing is done with what was received.
    pub(in crate::net) fn rest(&mut self) {
        self.unread.settle();
    }

    /// Lets rustls go through what was received, and then does what is wanted; tells how many bytes are in `into`.
    fn run(&mut self, into: &mut [u8], then: Then<'_>) -> Result<usize, Broken> {
        // Until this is done, so that after a panic nothing more is opened or sealed.
        let mut end = std::mem::replace(&mut self.end, End::Broken);
        if end == End::Broken {
            return Err(Broken::Before);
        }
        let Self { tls, unread, plain, out, .. } = self;
        let (mut then, mut filled) = (Some(then), 0);
        let result = loop {
            let UnbufferedStatus { discard, state } = tls.process_tls_records(unread.filled_mut());
            let flow = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    crate::failpoint!("unseal");
                    while let Some(Ok(record)) = traffic.next_record() {
                        filled += keep(record.payload, into.get_mut(filled..).unwrap_or_default(), plain);
                    }
                    Continue(())
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut data, out);
                    Continue(())
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    Continue(())
                }
                Ok(ConnectionState::PeerClosed) => {
                    end = End::Closed;
                    Continue(())
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    Break(then.take().map_or(Ok(()), |then| then.be_done(&mut traffic, out)))
                }
                // It waits for more, or both sides have closed. Early data is off.
                Ok(_) => Break(Ok(())),
                Err(error) => Break(Err(Broken::Protocol(error))),
            };
            unread.consume(discard);
            if let Break(result) = flow {
                break result;
            }
        };
        self.end = end;
        let missed = matches!(then, Some(Then::Seal(..)));
        self.settle(if missed { result.and(Err(Broken::Closed)) } else { result })?;
        Ok(filled)
    }

    /// Gives memory back; after an error, lets the alert out that tells the peer of it.
    fn settle(&mut self, result: Result<(), Broken>) -> Result<(), Broken> {
        if let Some(name) = names::take() {
            self.server_name = Some(name);
        }
        if result.is_err() {
            self.end = End::Broken;
            while self.tls.wants_write() {
                let state = self.tls.process_tls_records(self.unread.filled_mut()).state;
                let Ok(ConnectionState::EncodeTlsData(mut data)) = state else { break };
                encode(&mut data, &mut self.out);
            }
            self.unread = Lent::default();
        }
        self.unread.settle();
        self.plain.settle();
        result.and(self.bounded(self.unread.len(), UNREAD_MOST))
    }
}

/// Keeps `payload`: in `into` as long as there is room, and nothing waits in `plain` before it.
fn keep(payload: &[u8], into: &mut [u8], plain: &mut Lent) -> usize {
    let fits = if plain.is_empty() { payload.len().min(into.len()) } else { 0 };
    let (now, later) = payload.split_at(fits);
    if let Some(front) = into.get_mut(..fits) {
        front.copy_from_slice(now);
    }
    if !later.is_empty() {
        plain.append(later);
    }
    fits
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("end", &self.end)
            .field("unsent", &self.out.len())
            .finish_non_exhaustive()
    }
}
