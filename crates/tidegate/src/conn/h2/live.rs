//! Payloads without end over HTTP/2, as [`crate::conn::send_live`] has them over HTTP/1: pieces that come as time goes
//! by, to a client that keeps up. A client that takes nothing misses what was replaced meanwhile, and is dropped by the
//! pace of its stream.

use std::rc::Rc;

use tokio::time::timeout;

use super::send::Sender;
use crate::conn::connection::Gone;
use crate::conn::send_live::LOOK;
use crate::http::response::Live;

/// Sends `live` until either side has enough.
pub(super) async fn follow(sender: &mut Sender<'_>, live: &Live) -> Result<(), Gone> {
    let mut updates = live.updates.borrow().clone();
    updates.mark_unchanged();
    sender.bytes(&live.first).await?;
    // After a reload the client must ask again: it may no longer be one who may see this.
    while !sender.shared.local.is_draining() && Rc::ptr_eq(sender.site, &sender.shared.local.site()) {
        match timeout(LOOK, updates.changed()).await {
            Ok(Ok(())) => {
                let piece = updates.borrow_and_update().clone();
                crate::failpoint!("live");
                // Each piece has the time of an answer of its own.
                sender.forgive();
                sender.bytes(&piece).await?;
            }
            Ok(Err(_)) => break,
            Err(_) => {}
        }
    }
    Ok(())
}
