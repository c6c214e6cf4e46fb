//! The polite close (RFC 9112 §9.6, SPEC H1-9): say that nothing more is written, read and drop what the peer
//! still sends, then close. A close with unread bytes would reset the connection, and the peer might lose the
//! very answer that tells it why.

use super::buffer::Buffer;
use super::connection::{Connection, Fill};
use super::deadline::LINGER;

/// Beyond the largest body: a client that sent just one byte too many should still learn so.
const SLACK: u64 = http1::DRAIN_LIMIT;

/// Lingers on `connection`, whose answers have been sent.
pub(super) async fn linger(connection: &mut Connection) {
    connection.io.finish_writing();
    connection.slot.set(connection.local.clock.now().after(LINGER));
    let mut left = connection.local.site().uploads.max_body.saturating_add(SLACK);
    let mut input = Buffer::default();
    while connection.fill(&mut input).await == Fill::Bytes {
        let count = input.unread().len();
        input.consume(count);
        let Some(rest) = left.checked_sub(count as u64) else { break };
        left = rest;
    }
    connection.local.buffers.give_back(&mut input);
}
