//! Sealed memory on its way out: by reference in the clear, and encrypted from where it lies over TLS.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use super::connection::{Connection, Gone};
use super::send::Watch;
use crate::disk::Sealed;
use crate::net::Transport;

/// Sends all of `bytes` behind what is encoded, and tells how many went out.
pub(super) async fn whole(connection: &mut Connection, bytes: &Sealed) -> (u64, Result<(), Gone>) {
    let (mut offset, mut watch) = (0, Watch::new());
    if connection.flush_before_more().await.is_err() {
        return (0, Err(Gone));
    }
    let end = bytes.len() as u64;
    let result = up_to(connection, &mut watch, &mut offset, end, || Some(bytes)).await;
    (offset, result)
}

/// Sends from the memory that `memory` gives up to `end`, or until it gives none any more.
///
/// # Errors
/// The peer is gone.
pub(super) async fn up_to<S: std::ops::Deref<Target = Sealed>>(
    connection: &mut Connection,
    watch: &mut Watch,
    offset: &mut u64,
    end: u64,
    memory: impl Fn() -> Option<S>,
) -> Result<(), Gone> {
    let Connection { io, slot, local, .. } = connection;
    poll_fn(|cx| {
        while *offset < end {
            let Some(memory) = memory() else { break };
            match poll_send_sealed(io, cx, &memory, offset, end) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Gone)),
                Poll::Ready(Ok(count)) => watch.add(count),
                Poll::Pending => return watch.wait(cx, io, slot, &local.clock).map(Err),
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// Sends some of `memory` up to `end`, and advances `offset`.
fn poll_send_sealed(
    io: &mut Transport,
    cx: &mut Context<'_>,
    memory: &Sealed,
    offset: &mut u64,
    end: u64,
) -> Poll<io::Result<usize>> {
    let left = usize::try_from(end - *offset).unwrap_or(usize::MAX);
    if !io.is_secured() {
        return io.poll_sendfile(cx, memory.as_fd(), offset, left);
    }
    let start = usize::try_from(*offset).unwrap_or(usize::MAX);
    let rest = memory.bytes()?.get(start..).unwrap_or_default();
    let written = io.poll_write(cx, rest.get(..left).unwrap_or(rest));
    if let Poll::Ready(Ok(count)) = written {
        *offset += count as u64;
    }
    written
}
