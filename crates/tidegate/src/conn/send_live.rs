//! Payloads without end: pieces that come as time goes by (server-sent events), to a client that keeps up.
//!
//! The stream ends when the client leaves or stands still, when nothing more comes, or when the server drains or
//! is told new rules.

use std::time::Duration;

use http1::{CHUNK_END, Framing, LAST_CHUNK, chunk_head};
use tokio::time::timeout;

use super::connection::{Connection, Gone};
use crate::clock::Millis;
use crate::http::response::Live;
use crate::site::Site;

/// Bytes that may be on their way to a client when the next piece is due; with more it misses that piece, for the one
/// after it is newer.
const BEHIND: u64 = 64 * 1024;
/// A client that is behind and takes nothing for so long is dropped.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a stream in which nothing happens looks whether the server drains.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// Sends `live` behind its head; returns the bytes of payload handed to the socket.
pub(super) async fn pieces(
    connection: &mut Connection,
    site: &Site,
    live: &Live,
    framing: Framing,
) -> (u64, Result<(), Gone>) {
    let mut bytes = 0;
    let result = follow(connection, site, live, framing, &mut bytes).await;
    (bytes, result)
}

async fn follow(
    connection: &mut Connection,
    site: &Site,
    live: &Live,
    framing: Framing,
    bytes: &mut u64,
) -> Result<(), Gone> {
    let mut updates = live.updates.borrow().clone();
    updates.mark_unchanged();
    send(connection, &live.first, framing, bytes).await?;
    let mut behind = None;
    // After a reload the client must ask again: it may no longer be one who may see this.
    while !connection.local.is_draining() && std::ptr::eq(site, &raw const *connection.local.site()) {
        match timeout(LOOK, updates.changed()).await {
            Ok(Ok(())) if keeps_up(connection, &mut behind)? => {
                let piece = updates.borrow_and_update().clone();
                send(connection, &piece, framing, bytes).await?;
            }
            Ok(Err(_)) => break,
            // Nothing new, or not for this client.
            Ok(Ok(())) | Err(_) => {}
        }
    }
    if framing == Framing::Chunked {
        connection.out.extend_from_slice(LAST_CHUNK);
    }
    connection.flush().await
}

/// Whether the client has taken enough for the next piece. `behind` is how little was on its way to it at least, and since
/// when, while it has not.
fn keeps_up(connection: &Connection, behind: &mut Option<(u64, Millis)>) -> Result<bool, Gone> {
    let (queued, now) = (connection.io.unsent(), connection.local.clock.now());
    *behind = match *behind {
        _ if queued <= BEHIND => None,
        Some((least, since)) if queued >= least => {
            if now >= since.after(PATIENCE) {
                // Or the kernel would keep what nobody reads for minutes.
                connection.io.reset_on_close();
                return Err(Gone);
            }
            Some((least, since))
        }
        _ => Some((queued, now)),
    };
    Ok(behind.is_none())
}

async fn send(
    connection: &mut Connection,
    piece: &[u8],
    framing: Framing,
    bytes: &mut u64,
) -> Result<(), Gone> {
    crate::failpoint!("live");
    match framing {
        Framing::Chunked => {
            chunk_head(&mut connection.out, piece.len());
            connection.out.extend_from_slice(piece);
            connection.out.extend_from_slice(CHUNK_END);
        }
        _ => connection.out.extend_from_slice(piece),
    }
    *bytes += piece.len() as u64;
    connection.flush().await
}
