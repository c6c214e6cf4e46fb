//! Sealing: from the caller's slices straight into what is sent.

use rustls::server::ServerConnectionData;
use rustls::unbuffered::{EncodeError, EncodeTlsData, EncryptError, WriteTraffic};

use super::lent::Lent;
use super::session::Broken;

/// Most plaintext in a record (RFC 8446 §5.1).
pub(super) const RECORD: usize = 16 * 1024;
/// What sealing adds to a portion, and what may have to go before it: five records of 5 + 8 + 16 + 1 bytes, an alert and a
/// key update. rustls says so where it does not suffice.
const OVERHEAD: usize = 512;

/// What is to be done once rustls has gone through what was received.
pub(super) enum Then<'a> {
    Nothing,
    Seal(&'a [u8], &'a [u8]),
    SayGoodbye,
}

/// What may seal.
type Traffic<'c> = WriteTraffic<'c, ServerConnectionData>;

impl Then<'_> {
    /// Does it, into `out`.
    ///
    /// # Errors
    /// [`Broken::WornOut`]
    pub(super) fn be_done(self, traffic: &mut Traffic<'_>, out: &mut Lent) -> Result<(), Broken> {
        match self {
            Self::Nothing => Ok(()),
            Self::Seal(first, second) => {
                crate::failpoint!("seal");
                seal_two(traffic, first, second, out)
            }
            Self::SayGoodbye => put(out, OVERHEAD, |into| traffic.queue_close_notify(into)),
        }
    }
}

/// Seals both; the end of the first and the beginning of the second go into one record.
fn seal_two(traffic: &mut Traffic<'_>, first: &[u8], second: &[u8], out: &mut Lent) -> Result<(), Broken> {
    let tail = if second.is_empty() { 0 } else { first.len() % RECORD };
    let (records, tail) = first.split_at(first.len() - tail);
    let shared = if tail.is_empty() { 0 } else { second.len().min(RECORD - tail.len()) };
    let (shared, rest) = second.split_at(shared);
    let mut joint = Lent::default();
    joint.append(tail);
    joint.append(shared);
    for piece in [records, joint.filled(), rest] {
        put(out, piece.len() + OVERHEAD, |into| traffic.encrypt(piece, into))?;
    }
    Ok(())
}

/// Lets `seal` write behind what is in `out`, where it has `room`, or more if it says so.
fn put(
    out: &mut Lent,
    mut room: usize,
    mut seal: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), Broken> {
    loop {
        match seal(out.spare(room)) {
            Ok(count) => {
                out.add(count);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(more)) if more.required_size > room => {
                room = more.required_size;
            }
            Err(_) => return Err(Broken::WornOut),
        }
    }
}

/// Appends what rustls itself has to say.
pub(super) fn encode(data: &mut EncodeTlsData<'_, ServerConnectionData>, out: &mut Lent) {
    let mut room = OVERHEAD;
    loop {
        match data.encode(out.spare(room)) {
            Ok(count) => return out.add(count),
            Err(EncodeError::InsufficientSize(more)) => room = more.required_size,
            Err(EncodeError::AlreadyEncoded) => return,
        }
    }
}
