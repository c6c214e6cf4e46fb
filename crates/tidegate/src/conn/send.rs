//! Bytes and files on their way out, under the pace that SPEC LOAD-5 asks of the peer.

use std::future::poll_fn;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::io::{Errno, ReadWriteFlags};

use super::connection::{Connection, Gone};
use super::deadline::{Slot, WritePace};
use crate::clock::Clock;
use crate::handlers::files::resolve;
use crate::http::response::OpenFile;
use crate::net::{Transport, sys};
use crate::pool::Pool;

/// The part of a file that is sent after one look whether it is in memory.
const WINDOW: u64 = 1024 * 1024;
/// How far apart the bytes are that are looked at.
const PROBE: usize = 256 * 1024;
/// A pool thread reads ahead in pieces of this size.
const READ_AHEAD: usize = 128 * 1024;
/// How long a transfer waits for a place in the pool before it asks again.
const POOL_RETRY: std::time::Duration = std::time::Duration::from_millis(10);

/// Watches one transfer.
struct Watch {
    pace: Option<WritePace>,
    /// Bytes handed to the socket by this transfer.
    sent: i64,
}

impl Watch {
    const fn new() -> Self {
        Self { pace: None, sent: 0 }
    }

    fn add(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The socket takes no more for now: waits, or gives up when the peer took too little for too long. What
    /// waits in the socket's own buffer has not been taken.
    fn wait(
        &mut self,
        cx: &Context<'_>,
        io: &Transport,
        slot: &Slot,
        clock: &Clock,
    ) -> Poll<Result<(), Gone>> {
        if self.pace.is_some() && !slot.is_over(cx) {
            return Poll::Pending;
        }
        let now = clock.now();
        let waiting = i64::try_from(sys::unsent(io).unwrap_or(0)).unwrap_or(i64::MAX);
        let taken = self.sent.saturating_sub(waiting);
        let pace = self.pace.get_or_insert_with(|| WritePace::new(now, taken));
        if pace.deadline() <= now && !pace.go_on(now, taken) {
            // Or the kernel would keep what the peer does not take for many minutes more.
            io.reset_on_close();
            return Poll::Ready(Err(Gone));
        }
        slot.set(pace.deadline());
        // Registers for the deadline just set.
        let _ = slot.is_over(cx);
        Poll::Pending
    }
}

impl Connection {
    /// Sends what is encoded.
    pub(super) async fn flush(&mut self) -> Result<(), Gone> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.write_out().await?;
        let out = std::mem::take(&mut self.out);
        self.local.buffers.give_back_output(out);
        Ok(())
    }

    async fn write_out(&mut self) -> Result<(), Gone> {
        let Self { io, out, slot, local, .. } = self;
        let mut watch = Watch::new();
        let mut sent = 0;
        poll_fn(|cx| {
            while let Some(rest) = out.get(sent..).filter(|rest| !rest.is_empty()) {
                match io.poll_write(cx, rest) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Gone)),
                    Poll::Ready(Ok(count)) => {
                        sent += count;
                        watch.add(count);
                    }
                    Poll::Pending => return watch.wait(cx, io, slot, &local.clock),
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }
}

/// Sends `range` of `file`, and tells how many bytes went out. A file that is written to or ends meanwhile is cut
/// there: what was promised cannot be kept, and it is never made up (SPEC H1-8, FILE-7). The cut is a reset, which
/// throws away what still waits in the socket: pages of the file itself, that now hold other bytes or zeros.
pub(super) async fn file(
    connection: &mut Connection,
    pool: &Pool,
    file: &OpenFile,
    range: Range<u64>,
) -> (u64, Result<(), Gone>) {
    let mut watch = Watch::new();
    let mut offset = range.start;
    while offset < range.end {
        let window = (range.end - offset).min(WINDOW);
        if bring_into_memory(pool, file, offset..offset + window).await {
            // That we waited is not the peer's fault.
            watch.pace = None;
        }
        let sent = window_out(connection, &mut watch, file, &mut offset, window).await;
        let now = resolve::identity_of(&file.fd);
        if !now.is_ok_and(|now| file.identity.has_the_bytes_of(&now)) {
            connection.io.reset_on_close();
            return (offset - range.start, Err(Gone));
        }
        if sent.is_err() {
            return (offset - range.start, Err(Gone));
        }
    }
    (offset - range.start, Ok(()))
}

async fn window_out(
    connection: &mut Connection,
    watch: &mut Watch,
    file: &OpenFile,
    offset: &mut u64,
    window: u64,
) -> Result<(), Gone> {
    let Connection { io, slot, local, .. } = connection;
    let end = *offset + window;
    poll_fn(|cx| {
        while *offset < end {
            let left = usize::try_from(end - *offset).unwrap_or(usize::MAX);
            match io.poll_sendfile(cx, file.fd.as_fd(), offset, left) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Gone)),
                Poll::Ready(Ok(count)) => watch.add(count),
                Poll::Pending => return watch.wait(cx, io, slot, &local.clock),
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// Makes sure that sending this part will not wait for a disk: a look at some of its bytes, the last among them, and
/// where one is not in memory a pool thread reads the part first. Tells whether it waited.
async fn bring_into_memory(pool: &Pool, file: &OpenFile, part: Range<u64>) -> bool {
    let last = part.end.saturating_sub(1);
    if std::iter::once(last).chain(part.clone().step_by(PROBE)).all(|offset| is_in_memory(file, offset)) {
        return false;
    }
    loop {
        let (fd, part) = (Arc::clone(&file.fd), part.clone());
        match pool.run("reading a file ahead", move || read_ahead(&fd, part)) {
            Ok(pending) => {
                let _ = pending.await;
                return true;
            }
            Err(_) => tokio::time::sleep(POOL_RETRY).await,
        }
    }
}

fn is_in_memory(file: &OpenFile, offset: u64) -> bool {
    let mut byte = [0];
    let mut part = [std::io::IoSliceMut::new(&mut byte)];
    rustix::io::preadv2(&file.fd, &mut part, offset, ReadWriteFlags::NOWAIT).is_ok()
}

fn read_ahead(fd: impl AsFd, part: Range<u64>) {
    let mut scratch = vec![0; READ_AHEAD];
    let mut offset = part.start;
    while offset < part.end {
        let left = usize::try_from(part.end - offset).unwrap_or(READ_AHEAD).min(READ_AHEAD);
        let Some(piece) = scratch.get_mut(..left) else { return };
        match rustix::io::pread(&fd, piece, offset) {
            Ok(0) => return,
            Ok(count) => offset += count as u64,
            Err(Errno::INTR) => {}
            // Whoever sends it will meet the same error, and cut.
            Err(_) => return,
        }
    }
}
