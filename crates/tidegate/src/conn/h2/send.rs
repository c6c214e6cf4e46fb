//! Answers on their way out of an HTTP/2 stream: what is in memory goes to the `h2` crate at once, by reference; a file
//! only in pieces for which the client's windows have room, so that a client that opens none costs no memory.

use std::future::poll_fn;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use h2::server::SendResponse;
use h2::{Reason, SendStream};

use super::answer;
use super::payload::{Bytes, Payload};
use super::shared::Shared;
use super::stream::wants_head_alone;
use crate::clock::Millis;
use crate::conn::connection::Gone;
use crate::conn::deadline::{Slot, WritePace};
use crate::conn::fields::FieldLines;
use crate::conn::send_file::read_by_pool;
use crate::disk::{self, Sealed, WouldBlock};
use crate::exchange::Exchange;
use crate::http::response::{OpenFile, Parts};
use crate::http::{Body, Request, Response};
use crate::site::Site;

/// The largest piece of a file that is read at once: four frames of the usual size.
const PIECE: usize = 64 * 1024;

/// 100 (Continue): the body is wanted.
pub(super) fn go_on(respond: &mut SendResponse<Payload>) {
    let _ = respond.send_informational(answer::head(100, &[], None));
}

/// Sends `response` to `request`, and notes in `exchange` what went out.
pub(super) async fn response(
    shared: &Rc<Shared>,
    site: &Rc<Site>,
    request: &Request<'_>,
    response: Response,
    respond: &mut SendResponse<Payload>,
    exchange: &mut Exchange<'_>,
) {
    if wants_head_alone(request) || response.body.bytes().is_some() {
        let _ = whole(shared, site, response, respond, exchange);
        return;
    }
    exchange.answered(&response);
    let Ok(sender) = respond.send_response(head_of(shared, site, &response, exchange), false) else {
        return;
    };
    let slot = shared.local.deadlines.stream_slot();
    let mut sender = Sender { shared, site, stream: sender, slot, pace: None, sent: 0, live: false };
    sender.live = matches!(response.body, Body::Live(_));
    let sent = match &response.body {
        Body::Sealed(memory) => sender.sealed(memory).await,
        Body::File(file, range) => sender.part(file, range.clone()).await,
        Body::Parts(file, parts) => sender.parts(file, parts).await,
        Body::Live(live) => super::live::follow(&mut sender, live).await,
        Body::None | Body::Static(_) | Body::Owned(_) | Body::Shared(..) => Ok(()),
    };
    exchange.bytes = sender.sent;
    match sent {
        Ok(()) => sender.end(),
        Err(Gone) => sender.stream.send_reset(Reason::INTERNAL_ERROR),
    }
}

/// Sends a response whose body is in memory, or that has none.
pub(super) fn whole(
    shared: &Rc<Shared>,
    site: &Site,
    response: Response,
    respond: &mut SendResponse<Payload>,
    exchange: &mut Exchange<'_>,
) -> Result<(), h2::Error> {
    crate::failpoint!("encode");
    exchange.answered(&response);
    let head_alone = exchange.request.as_ref().is_some_and(wants_head_alone);
    let length = response.body.bytes().map_or(0, <[u8]>::len);
    let ends = head_alone || length == 0;
    let mut sender = respond.send_response(head_of(shared, site, &response, exchange), ends)?;
    if ends {
        return Ok(());
    }
    crate::failpoint!("answer");
    let (bytes, part) = match response.body {
        Body::Static(text) => (Bytes::Static(text), 0..length),
        Body::Shared(bytes, part) => (Bytes::Shared(bytes), part),
        Body::Owned(bytes) => (Bytes::Owned(bytes), 0..length),
        Body::None | Body::Sealed(_) | Body::File(..) | Body::Parts(..) | Body::Live(_) => return Ok(()),
    };
    exchange.bytes = length as u64;
    sender.send_data(Payload::new(shared, bytes, part), true)
}

fn head_of(shared: &Shared, site: &Site, response: &Response, exchange: &Exchange<'_>) -> http::Response<()> {
    let lines = FieldLines::of(&shared.local, site, response, exchange, shared.secured().is_some());
    answer::head(response.status, &lines.slices(), response.body.length())
}

/// How long a stream waits for the client's windows. One that stands still while others move may be waiting for its turn:
/// the window of the connection is shared by all.
struct Pace {
    own: WritePace,
    all: WritePace,
    /// Windows of time in which it got nothing.
    silent: u32,
}

/// So many windows of time a stream may get nothing while others do: five minutes.
const SILENT_MOST: u32 = 10;

impl Pace {
    fn new(now: Millis, sent: i64, moved: i64) -> Self {
        Self { own: WritePace::new(now, sent), all: WritePace::new(now, moved), silent: 0 }
    }

    fn deadline(&self) -> Millis {
        self.own.deadline()
    }

    /// A window of time ended with `sent` bytes of this stream and `moved` of all: true if that is enough.
    fn go_on(&mut self, now: Millis, sent: i64, moved: i64) -> bool {
        let (own, all) = (self.own.go_on(now, sent), self.all.go_on(now, moved));
        self.silent = if own { 0 } else { self.silent + 1 };
        own || (all && self.silent < SILENT_MOST)
    }
}

/// A body that goes out piece by piece.
pub(super) struct Sender<'s> {
    pub(super) shared: &'s Rc<Shared>,
    pub(super) site: &'s Rc<Site>,
    stream: SendStream<Payload>,
    slot: Slot,
    pace: Option<Pace>,
    /// Bytes handed over.
    sent: u64,
    /// It never ends by itself: a drain does not wait for it.
    live: bool,
}

impl Sender<'_> {
    /// Measures the client's pace anew.
    pub(super) fn forgive(&mut self) {
        self.pace = None;
    }

    /// Sends `bytes` as the windows have room.
    pub(super) async fn bytes(&mut self, bytes: &Arc<[u8]>) -> Result<(), Gone> {
        let mut start = 0;
        while start < bytes.len() {
            let end = start + self.room(bytes.len() - start).await?;
            self.send(Payload::new(self.shared, Bytes::Shared(Arc::clone(bytes)), start..end))?;
            start = end;
        }
        Ok(())
    }

    async fn parts(&mut self, file: &OpenFile, parts: &Parts) -> Result<(), Gone> {
        for (head, range) in &parts.parts {
            self.bytes(&head.clone().into()).await?;
            self.part(file, range.clone()).await?;
        }
        self.bytes(&parts.end.clone().into()).await
    }

    /// Sends from memory what the cache holds there, and from the file what it let go of.
    async fn part(&mut self, file: &OpenFile, range: Range<u64>) -> Result<(), Gone> {
        crate::failpoint!("send");
        let mut offset = range.start;
        while offset < range.end {
            let room = self.room(piece_of(&(offset..range.end))).await?;
            crate::failpoint!("piece");
            match file.memory.upgrade() {
                Some(memory) => offset += self.sealed_piece(&memory, offset, room)?,
                None => {
                    let piece = self.read(file, offset, room).await?;
                    offset += piece.len() as u64;
                    self.send(Payload::owned(self.shared, piece))?;
                }
            }
        }
        Ok(())
    }

    async fn sealed(&mut self, memory: &Rc<Sealed>) -> Result<(), Gone> {
        let mut left = 0..memory.len() as u64;
        while !left.is_empty() {
            let room = self.room(piece_of(&left)).await?;
            left.start += self.sealed_piece(memory, left.start, room)?;
        }
        Ok(())
    }

    /// Sends up to `room` bytes at `offset` from where they lie; they stay there until they are sent.
    fn sealed_piece(&mut self, memory: &Rc<Sealed>, offset: u64, room: usize) -> Result<u64, Gone> {
        let length = memory.bytes().map_err(|_| Gone)?.len();
        let start = usize::try_from(offset).map_err(|_| Gone)?;
        let end = start.saturating_add(room).min(length);
        if start >= end {
            return Err(Gone);
        }
        self.send(Payload::new(self.shared, Bytes::Sealed(Rc::clone(memory)), start..end))?;
        Ok((end - start) as u64)
    }

    /// A piece of the version that was promised; a pool thread reads what is not in memory.
    async fn read(&mut self, file: &OpenFile, offset: u64, room: usize) -> Result<Vec<u8>, Gone> {
        let mut piece = vec![0; room];
        let read = match disk::read_cached(&file.fd, &mut piece, offset) {
            Ok(Ok(count)) => {
                piece.truncate(count);
                piece
            }
            Ok(Err(WouldBlock)) => {
                let part = offset..offset + room as u64;
                let read = read_by_pool(&self.site.pool, &file.fd, part, || false).await.ok_or(Gone)?;
                // That we waited for a disk is not the client's fault.
                self.pace = None;
                read
            }
            Err(_) => return Err(Gone),
        };
        // Compared after it was copied: these bytes cannot change any more.
        let same = disk::is_unchanged(&file.fd, &file.identity);
        Some(read).filter(|read| same && !read.is_empty()).ok_or(Gone)
    }

    /// Waits until the client's windows have room for some of `wanted` bytes, and tells for how many.
    async fn room(&mut self, wanted: usize) -> Result<usize, Gone> {
        let Self { shared, stream, slot, pace, sent, live, .. } = self;
        let clock = &shared.local.clock;
        poll_fn(|cx| {
            // What is reserved and not used is taken from the other streams: nothing is, while too much is owed already.
            let may_owe = shared.poll_room(cx).is_ready();
            stream.reserve_capacity(if may_owe { wanted } else { 0 });
            if !may_owe {
                // Others have all that may be on its way; whether the client takes it is the driver's to judge.
                *pace = None;
                return Poll::Pending;
            }
            if stream.capacity() > 0 {
                return Poll::Ready(Ok(stream.capacity().min(wanted)));
            }
            match stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(room))) if room > 0 => return Poll::Ready(Ok(room.min(wanted))),
                Poll::Ready(None | Some(Err(_))) => return Poll::Ready(Err(Gone)),
                // No room is news of no room.
                Poll::Ready(Some(Ok(_))) => cx.waker().wake_by_ref(),
                Poll::Pending => {}
            }
            if *live && shared.local.is_draining() {
                return Poll::Ready(Err(Gone));
            }
            let (now, taken) = (clock.now(), i64::try_from(*sent).unwrap_or(i64::MAX));
            let pace = pace.get_or_insert_with(|| Pace::new(now, taken, shared.moved()));
            if pace.deadline() <= now && !pace.go_on(now, taken, shared.moved()) {
                return Poll::Ready(Err(Gone));
            }
            slot.set(pace.deadline());
            let _ = slot.is_over(cx);
            Poll::Pending
        })
        .await
    }

    fn send(&mut self, piece: Payload) -> Result<(), Gone> {
        self.sent += bytes::Buf::remaining(&piece) as u64;
        self.stream.send_data(piece, false).map_err(|_| Gone)
    }

    fn end(&mut self) {
        let _ = self.stream.send_data(Payload::owned(self.shared, Vec::new()), true);
    }
}

/// How much of `range` is sent at once, at most.
fn piece_of(range: &Range<u64>) -> usize {
    usize::try_from(range.end - range.start).unwrap_or(PIECE).min(PIECE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_5_h2_1_a_stream_may_wait_for_its_turn_but_not_for_ever() {
        let window = |number: u32| Millis(u64::from(number) * 30_000);
        let mut alone = Pace::new(Millis(0), 0, 0);
        assert!(!alone.go_on(window(1), 1024, 1024), "nobody gets anything");
        let mut among = Pace::new(Millis(0), 0, 0);
        for number in 1..SILENT_MOST {
            assert!(among.go_on(window(number), 0, i64::from(number) * 100_000), "{number}");
        }
        assert!(!among.go_on(window(SILENT_MOST), 0, 10_000_000));
        assert!(among.go_on(window(SILENT_MOST + 1), 100_000, 10_000_000), "its own pace is enough");
    }
}
