//! Files on their way out: what is promised is sent exactly, or visibly cut (SPEC FILE-7, H1-8).
//!
//! ```text
//! 0 ──────────────── sendfile ────────────────┐        the kernel moves its own pages: cheap, but their bytes are taken
//!                                             │        when the *peer* reads them, and may be another version by then
//!                       end ├── copied ───────┼─ last ─┤
//!                         a copy is compared with the version before it is sent: it cannot change any more
//! ```
//! The copied end is longer than what a receiver on this machine can hold unread, and the last piece is held back until
//! most of it has arrived there: then nothing that was sent by reference can still wait to be read. The version is
//! compared once more, and whoever has the last byte has bytes of one version. A cut is a reset: it throws away what
//! still waits in the socket.
//!
//! A file that is no longer than that end is copied whole, through one buffer that the transfers of a worker share. A
//! file that a cache holds sealed in memory is sent by reference to that, for it cannot change; when the cache lets go
//! of it the transfer goes on from the file. A slow client holds no memory of ours, but for what no cache keeps: a
//! listing, and a file that changes all the time, within the bound of all sealed memory.
//!
//! With TLS nothing is sent by reference: sealed memory is encrypted from where it is, and all of any other file is copied.

use std::future::poll_fn;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustix::io::Errno;

use super::connection::{Connection, Gone};
use super::deadline::TICK;
use super::send::Watch;
use super::send_sealed;
use crate::disk::{self, Descriptor, WouldBlock};
use crate::http::response::{OpenFile, Parts};
use crate::net::{Transport, sys};
use crate::pool::Pool;
use crate::site::Site;

/// So much may be unacknowledged when the last piece is let go.
const ON_ITS_WAY: u64 = 1024 * 1024;
/// So much that is sent by reference may wait in our own socket, in bytes.
const UNSENT: u32 = 128 * 1024;
/// The last piece of a file of which some was sent by reference.
const LAST: u64 = 64 * 1024;
/// How soon the socket is asked whether it has drained that far.
const DRAIN_POLL: Duration = Duration::from_millis(5);
/// The part of a file that is sent by reference after one look whether it is in memory.
const WINDOW: u64 = 1024 * 1024;
/// The largest piece that is copied at once; it stays in a core's own cache.
const PIECE: usize = 128 * 1024;
/// The least piece: smaller ones cost more in calls than in copies.
const LEAST_PIECE: usize = 16 * 1024;
/// How long a transfer waits for a place in the pool before it asks again.
const POOL_RETRY: Duration = Duration::from_millis(10);

/// How many bytes at the end of a transfer are copied, where a receiver can hold `queue` bytes unread; at least as much
/// as a file of medium size, for which `sendfile` saves little.
pub fn copied_end(queue: u64) -> u64 {
    const LEAST: u64 = 8 * 1024 * 1024;
    (queue + ON_ITS_WAY + LAST).max(LEAST)
}

/// Sends `range` of `file` behind what is encoded, and tells how many of its bytes went out.
pub(super) async fn part(
    connection: &mut Connection,
    site: &Site,
    file: &OpenFile,
    range: Range<u64>,
) -> (u64, Result<(), Gone>) {
    let first = range.start;
    let mut transfer = Transfer::new(connection, site, file);
    let result = transfer.run(range).await;
    (transfer.offset.saturating_sub(first), result)
}

/// Sends several parts of `file`, each behind its head, and tells how many bytes went out.
pub(super) async fn parts(
    connection: &mut Connection,
    site: &Site,
    file: &OpenFile,
    parts: &Parts,
) -> (u64, Result<(), Gone>) {
    let mut sent = 0;
    for (head, range) in &parts.parts {
        connection.out.extend_from_slice(head);
        let (bytes, result) = part(connection, site, file, range.clone()).await;
        sent += head.len() as u64 + bytes;
        if result.is_err() {
            return (sent, result);
        }
    }
    connection.out.extend_from_slice(&parts.end);
    (sent + parts.end.len() as u64, connection.flush().await)
}

struct Transfer<'a> {
    connection: &'a mut Connection,
    site: &'a Site,
    file: &'a OpenFile,
    /// The next byte to send.
    offset: u64,
    /// Bytes of what was encoded before, its head, that are sent.
    head: usize,
    /// How much to read at once: about what the socket took last.
    stride: usize,
    watch: Watch,
}

/// What came of copying.
enum Copied {
    /// All that was asked for.
    All,
    /// The next bytes are not in memory.
    Cold,
}

impl<'a> Transfer<'a> {
    fn new(connection: &'a mut Connection, site: &'a Site, file: &'a OpenFile) -> Self {
        Self { connection, site, file, offset: 0, head: 0, stride: PIECE, watch: Watch::new() }
    }

    async fn run(&mut self, range: Range<u64>) -> Result<(), Gone> {
        crate::failpoint!("send");
        self.offset = range.start;
        if range.is_empty() {
            return self.connection.flush().await;
        }
        self.connection.whole = 0;
        let copied = range.end.saturating_sub(self.site.copied_end).max(range.start);
        if self.file.memory.strong_count() > 0 {
            self.connection.flush_before_more().await?;
            self.send_sealed(range.end).await?;
        } else if copied > range.start && !self.connection.io.is_secured() {
            self.connection.flush().await?;
            // What waits in our own socket could still change: little of it may wait there.
            let _ = sys::keep_unsent_below(&self.connection.io, UNSENT);
            self.refer(copied).await?;
            self.copy(range.end - LAST).await?;
            self.drain().await?;
            self.require_same_version()?;
        }
        self.copy(range.end).await?;
        self.connection.give_back_output();
        Ok(())
    }

    /// Sends from sealed memory up to `end`, or until there is none any more.
    async fn send_sealed(&mut self, end: u64) -> Result<(), Gone> {
        let Self { connection, file, offset, watch, .. } = self;
        send_sealed::up_to(connection, watch, offset, end, || file.memory.upgrade()).await
    }

    /// Sends by reference up to `end`, window by window.
    async fn refer(&mut self, end: u64) -> Result<(), Gone> {
        while self.offset < end {
            let window = self.offset..end.min(self.offset + WINDOW);
            if !disk::is_in_memory(&self.file.fd, window.clone()) {
                self.ask_pool(read_ahead, window.clone()).await?;
            }
            self.send_window(window.end).await?;
            self.require_same_version()?;
        }
        Ok(())
    }

    async fn send_window(&mut self, end: u64) -> Result<(), Gone> {
        let Self { connection, file, offset, watch, .. } = self;
        let Connection { io, slot, local, .. } = &mut **connection;
        poll_fn(|cx| {
            while *offset < end {
                if !disk::is_unchanged(&file.fd, &file.identity) {
                    return Poll::Ready(Err(cut(io)));
                }
                let left = usize::try_from(end - *offset).unwrap_or(usize::MAX);
                match io.poll_sendfile(cx, file.fd.as_fd(), offset, left) {
                    // The file ends here, before its time.
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(cut(io))),
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Gone)),
                    Poll::Ready(Ok(count)) => watch.add(count),
                    Poll::Pending => return watch.wait(cx, io, slot, &local.clock).map(Err),
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Sends copies up to `end`.
    async fn copy(&mut self, end: u64) -> Result<(), Gone> {
        let mut held = None;
        loop {
            let before = self.offset;
            if matches!(self.copy_cached(end).await?, Copied::All) {
                return Ok(());
            }
            match held.take() {
                // Read, and still not in memory: this file system keeps nothing there.
                Some(piece) if self.offset == before => self.send_held(piece).await?,
                _ => {
                    let part = self.offset..end.min(self.offset + PIECE as u64);
                    held = Some(self.ask_pool(read_piece, part).await?);
                }
            }
        }
    }

    /// Copies to the socket what is in memory, as long as it is.
    async fn copy_cached(&mut self, end: u64) -> Result<Copied, Gone> {
        let Self { connection, file, offset, head, stride, watch, .. } = self;
        let Connection { io, out, slot, local, .. } = &mut **connection;
        poll_fn(|cx| {
            while *offset < end {
                crate::failpoint!("piece");
                let front = out.get(*head..).unwrap_or_default();
                let left = usize::try_from(end - *offset).unwrap_or(usize::MAX);
                match io.poll_writable(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Gone)),
                    Poll::Pending => return watch.wait(cx, io, slot, &local.clock).map(Err),
                }
                let mut scratch = local.buffers.scratch.borrow_mut();
                scratch.resize(PIECE, 0);
                let piece = scratch.get_mut(..left.min(*stride).min(io.portion())).unwrap_or_default();
                let written = match disk::read_cached(&file.fd, piece, *offset) {
                    Ok(Ok(count)) if count > 0 && disk::is_unchanged(&file.fd, &file.identity) => {
                        io.poll_write_two(cx, front, piece.get(..count).unwrap_or_default())
                    }
                    Ok(Err(WouldBlock)) => return Poll::Ready(Ok(Copied::Cold)),
                    _ => return Poll::Ready(Err(cut(io))),
                };
                match written {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Gone)),
                    Poll::Ready(Ok(count)) => {
                        watch.add(count);
                        let of_head = count.min(front.len());
                        *head += of_head;
                        *offset += (count - of_head) as u64;
                        *stride = (2 * count).clamp(LEAST_PIECE, PIECE);
                    }
                    Poll::Pending => return watch.wait(cx, io, slot, &local.clock).map(Err),
                }
            }
            Poll::Ready(Ok(Copied::All))
        })
        .await
    }

    /// Sends a piece that a pool thread has read.
    async fn send_held(&mut self, piece: Vec<u8>) -> Result<(), Gone> {
        self.require_same_version()?;
        let out = &mut self.connection.out;
        // What is left of the head goes before it, in one vector.
        out.drain(..std::mem::take(&mut self.head).min(out.len()));
        out.extend_from_slice(&piece);
        self.connection.flush().await?;
        self.offset += piece.len() as u64;
        self.watch.add(piece.len());
        Ok(())
    }

    /// Waits until the peer's kernel has so much of the copies that nothing sent by reference is left to be read there.
    async fn drain(&mut self) -> Result<(), Gone> {
        let io = &self.connection.io;
        let mut pause = DRAIN_POLL;
        while io.unsent() > ON_ITS_WAY {
            if io.has_failed() {
                return Err(Gone);
            }
            self.watch.judge(io, self.connection.local.clock.now())?;
            tokio::time::sleep(pause).await;
            // A peer that takes its time is looked at less often.
            pause = (2 * pause).min(TICK);
        }
        Ok(())
    }

    /// Cuts, unless the file still is what was promised.
    fn require_same_version(&self) -> Result<(), Gone> {
        if disk::is_unchanged(&self.file.fd, &self.file.identity) {
            return Ok(());
        }
        Err(cut(&self.connection.io))
    }

    /// Lets a pool thread read `part`.
    async fn ask_pool<T: Send + 'static>(&mut self, read: Read<T>, part: Range<u64>) -> Result<T, Gone> {
        let io = &self.connection.io;
        let read = by_pool(&self.site.pool, &self.file.fd, part, read, || io.has_failed()).await;
        self.watch.forgive();
        match read {
            Some(read) => Ok(read),
            None => Err(cut(&self.connection.io)),
        }
    }
}

/// What a pool thread does with a part of a file.
type Read<T> = fn(&Descriptor, Range<u64>) -> rustix::io::Result<T>;

/// Lets a pool thread read the piece `part` of a file; `None` where it cannot be had, or is not wanted any more.
pub(super) async fn read_by_pool(
    pool: &Pool,
    fd: &Arc<Descriptor>,
    part: Range<u64>,
    unwanted: impl Fn() -> bool,
) -> Option<Vec<u8>> {
    by_pool(pool, fd, part, read_piece, unwanted).await
}

/// Lets a pool thread do `read`, and waits for a place in the pool as long as it takes.
async fn by_pool<T: Send + 'static>(
    pool: &Pool,
    fd: &Arc<Descriptor>,
    part: Range<u64>,
    read: Read<T>,
    unwanted: impl Fn() -> bool,
) -> Option<T> {
    loop {
        let (fd, part) = (Arc::clone(fd), part.clone());
        match pool.run("reading a file", move || read(&fd, part)) {
            Ok(pending) => return pending.await.ok()?.ok(),
            Err(_) if unwanted() => return None,
            Err(_) => tokio::time::sleep(POOL_RETRY).await,
        }
    }
}

/// What was promised cannot be kept, and is never made up (SPEC H1-8).
fn cut(io: &Transport) -> Gone {
    io.reset_on_close();
    Gone
}

/// Brings `part` into memory.
fn read_ahead(fd: &Descriptor, part: Range<u64>) -> rustix::io::Result<()> {
    let mut scratch = vec![0; PIECE];
    for offset in part.step_by(PIECE) {
        disk::read(fd, &mut scratch, offset)?;
    }
    Ok(())
}

/// The bytes of `part`, which is at most a piece; an empty part is an error, for the file ended before its time.
fn read_piece(fd: &Descriptor, part: Range<u64>) -> rustix::io::Result<Vec<u8>> {
    let mut piece = vec![0; usize::try_from(part.end - part.start).unwrap_or(0)];
    let count = disk::read(fd, &mut piece, part.start)?;
    piece.truncate(count);
    if piece.is_empty() { Err(Errno::IO) } else { Ok(piece) }
}
