//! The polite close (RFC 9112 §9.6, SPEC H1-9): say that nothing more is written, read and drop what the peer
//! still sends, then close. A close with unread bytes would reset the connection, and the peer might lose the
//! very answer that tells it why.

use super::buffer::Buffer;
use super::connection::{Connection, Fill};
use super::deadline::{LINGER, LINGER_PACE};

/// Beyond the largest body: a client that sent just one byte too many should still learn so.
const SLACK: u64 = http1::DRAIN_LIMIT;

/// Lingers on `connection`, whose answers have been written: [`LINGER`] long, and longer only while the peer goes on
/// taking what is queued for it.
pub(super) async fn linger(connection: &mut Connection) {
    connection.io.finish_writing();
    let mut left = connection.local.site().uploads.max_body.saturating_add(SLACK);
    let mut queued = connection.io.unsent();
    let mut input = Buffer::default();
    connection.slot.set(connection.local.clock.now().after(LINGER));
    loop {
        match connection.fill(&mut input).await {
            Fill::Bytes => {
                let count = input.unread().len();
                input.consume(count);
                let Some(rest) = left.checked_sub(count as u64) else { break };
                left = rest;
            }
            Fill::Late => {
                let still = connection.io.unsent();
                if still == 0 {
                    break;
                }
                if queued.saturating_sub(still) < LINGER_PACE {
                    // Or the kernel would keep what the peer does not take for minutes.
                    connection.io.reset_on_close();
                    break;
                }
                queued = still;
                connection.slot.set(connection.local.clock.now().after(LINGER));
            }
            Fill::End | Fill::Leave => break,
        }
    }
    connection.local.buffers.give_back(&mut input);
}
