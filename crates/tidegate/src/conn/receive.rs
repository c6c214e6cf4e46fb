//! A request body on its way in, whole, under the pace that SPEC LOAD-5 asks of the peer.

use http1::{BodyEvent, BodyLength};

use super::buffer::Buffer;
use super::deadline::body_deadline;
use super::h1::{Connection, Fill};
use crate::handlers::upload;
use crate::http::{Code, Reject};
use crate::site::Site;

/// Memory taken before the first byte: what is announced counts for nothing until it arrives.
const FIRST_PIECE: u64 = 64 * 1024;

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
    let announced = if let BodyLength::Exact(length) = length { length } else { 0 };
    let mut body = Vec::with_capacity(usize::try_from(announced.min(FIRST_PIECE)).unwrap_or(0));
    let started = connection.local.clock.now();
    loop {
        let input = tail.unread();
        match connection.proto.read_body(input, &site.limits) {
            Err(error) => return Err(Stop::Refuse(Reject::from(&error))),
            Ok(BodyEvent::Data { skip, len }) => {
                if body.len() as u64 + len as u64 > limit {
                    return Err(Stop::Refuse(upload::too_large(limit)));
                }
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
                    Fill::End | Fill::Leave => return Err(Stop::Refuse(cut_short(length))),
                }
            }
        }
    }
}

fn late(received: usize) -> Reject {
    Reject::new(Code::SlowBody, "The body arrives too slowly.")
        .seen(format!("{received} bytes of a body in time"))
}

/// The client stopped sending in the middle of its body; it may still be listening.
fn cut_short(length: BodyLength) -> Reject {
    let code = if length == BodyLength::Chunked { Code::BadChunk } else { Code::BadFraming };
    Reject::new(code, "The body ended before its announced end.").closing()
}
