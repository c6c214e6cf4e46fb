//! A request body on its way in, whole, under the pace that SPEC LOAD-5 asks of the peer.

use http1::{BodyEvent, BodyLength};

use super::buffer::Buffer;
use super::connection::{Connection, Fill};
use super::deadline::body_deadline;
use crate::handlers::upload;
use crate::http::{Code, Reject};
use crate::site::Site;

/// Least memory taken for a body that does not come whole with its head.
const FIRST_PIECE: usize = 16 * 1024;

/// Why a body did not come to its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// It is refused.
    Refuse(Reject),
    /// Nobody is there to tell.
    Gone,
}

/// Reads the body of the current request, of at most `limit` bytes; `tail` holds what came with its head, and
/// afterwards what came behind the body.
pub(super) async fn body(
    connection: &mut Connection,
    site: &Site,
    tail: &mut Buffer,
    length: BodyLength,
    limit: u64,
) -> Result<Vec<u8>, Stop> {
    connection.proto.ask_for_body(&mut connection.out);
    connection.flush().await.map_err(|_| Stop::Gone)?;
    let most = if let BodyLength::Exact(length) = length { length.min(limit) } else { limit };
    let mut body = Vec::new();
    let started = connection.local.clock.now();
    loop {
        crate::failpoint!("body");
        let input = tail.unread();
        match connection.proto.read_body(input, &site.limits) {
            Err(error) => return Err(Stop::Refuse(Reject::from(&error))),
            Ok(BodyEvent::Data { skip, len }) => {
                if body.len() as u64 + len as u64 > limit {
                    return Err(Stop::Refuse(upload::too_large(limit)));
                }
                make_room(&mut body, len, most);
                body.extend_from_slice(input.get(skip..skip + len).unwrap_or_default());
                tail.consume(skip + len);
            }
            Ok(BodyEvent::End { consumed }) => {
                tail.consume(consumed);
                return Ok(body);
            }
            Ok(BodyEvent::More { consumed }) => {
                tail.consume(consumed);
                connection.slot.set(body_deadline(started, body.len() as u64));
                match connection.fill(tail).await {
                    Fill::Bytes => {}
                    Fill::Late => return Err(Stop::Refuse(late(body.len()))),
                    Fill::End | Fill::Leave => return Err(Stop::Refuse(cut_short(length, body.len()))),
                }
            }
        }
    }
}

/// Room for `more` bytes, growing by doubling, but never beyond `most`: no more is reserved of the body memory, and
/// what is announced counts for nothing until it arrives.
pub(super) fn make_room(body: &mut Vec<u8>, more: usize, most: u64) {
    let needed = body.len().saturating_add(more);
    if needed > body.capacity() {
        let doubled = body.capacity().saturating_mul(2).max(FIRST_PIECE);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        body.reserve_exact(doubled.min(most).max(needed) - body.len());
    }
}

pub(super) fn late(received: usize) -> Reject {
    Reject::new(Code::SlowBody, "The body arrives too slowly.")
        .seen(format!("{received} bytes of a body in time"))
}

/// The client stopped sending in the middle of its body; it may still be listening. Uploads are broken off every
/// day, so this is no alarm.
pub(super) fn cut_short(length: BodyLength, received: usize) -> Reject {
    let code = if length == BodyLength::Chunked { Code::BadChunk } else { Code::BadFraming };
    Reject::new(code, "The body ended before its announced end.")
        .seen(format!("the client stopped after {received} bytes of the body"))
        .harmless()
        .closing()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_8_a_body_holds_no_more_memory_than_was_reserved_for_it() {
        let mut body = Vec::new();
        for _ in 0..100 {
            make_room(&mut body, 1000, 100_000);
            body.extend_from_slice(&[0; 1000]);
            assert!(body.capacity() <= 100_000);
        }
        let mut small = Vec::new();
        make_room(&mut small, 5, 5);
        assert_eq!(small.capacity(), 5);
    }
}
