//! TLS before the first request: off the accept path, under a deadline of its own (SPEC LOAD-5), and in a lane.
//!
//! ```text
//!  accepted ─► first byte ─► hear ─► a turn in the lane: compute ─► flush ─► agreed
//!                │ a letter: HTTP in the clear      ▲                  │
//!                └─► 400                            └──── hear ◄───────┘
//! ```
//! A connection that has sent nothing costs what an idle one in the clear costs. To answer a hello takes a signature and
//! a key exchange, some tenths of a millisecond: who has one to be answered waits for a turn, in order of arrival, and a
//! worker has one turn in each turn of its event loop. Who was answered comes before them. So a flood of handshakes waits
//! for itself and lets those pass who have theirs behind them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::sync::{Mutex, MutexGuard};
use tokio::task::yield_now;

use super::buffer::Buffer;
use super::connection::{Connection, Fill};
use super::deadline::{FIRST_BYTE, HANDSHAKE, LAST_CALL};
use crate::http::{Code, Reject};
use crate::isolate::{self, Panicked};
use crate::limits::Permit;
use crate::net::tls::Agreed;
use crate::net::{Progress, Tls, Transport};
use crate::telemetry::tally::Handshake;

/// Handshakes that a worker has under way at once; beyond that the oldest one gives way. Each may hold 32 KiB of what it was
/// sent, and the state of rustls: 48 MiB in all. Where each takes a second, as for clients far away, a thousand get
/// through in each.
const UNDER_WAY_MOST: usize = 1024;

/// How a record begins that is an alert (RFC 8446 §5.1), as of a client that gives up before it has begun.
const ALERT: u8 = 21;

/// How the handshakes of one worker share it.
#[derive(Debug, Default)]
pub struct Lane {
    /// Who computes. Fair: first come, first served.
    free: Mutex<()>,
    /// Which hello is the next to wait for that; so those whose hello was answered wait for one of them at most.
    hellos: Mutex<()>,
    /// Those under way, in order of arrival or of their last answer, and how to wake them. Who is not in it any more gives
    /// way.
    under_way: RefCell<BTreeMap<u64, Option<Waker>>>,
    numbered: Cell<u64>,
}

/// A handshake that is under way until this is dropped.
struct Place<'l> {
    lane: &'l Lane,
    number: u64,
    was_answered: bool,
}

/// Leave to compute, until this ends.
struct Turn<'l> {
    _taken: MutexGuard<'l, ()>,
    _next: Option<MutexGuard<'l, ()>>,
}

/// Why there is no session.
enum Ended {
    /// Nothing was ever sent.
    Silent,
    /// The peer speaks HTTP in the clear.
    Plain,
    /// There is no common ground, the peer left, or what it sent made no sense.
    Failed(String),
    /// It was not done in its time.
    Late,
    /// Its seat or its place is another's now.
    GivesWay,
}

impl Connection {
    /// Lets the connection speak TLS from now on; whether it does. What else comes of it is told and counted.
    pub(super) async fn secure(&mut self, tls: &Tls) -> bool {
        let shaken = {
            let mut shaking = pin!(self.shake_hands(tls));
            poll_fn(|cx| isolate::poll(shaking.as_mut(), cx)).await
        };
        match shaken.unwrap_or_else(|Panicked| Err(failed("it panicked"))) {
            Ok(agreed) => {
                self.local.recorder.handshake(Handshake::Ok);
                self.agreed = Some(Rc::new(agreed));
                self.now = self.local.clock.now();
                self.slot.set(self.now.after(FIRST_BYTE));
                self.last_call = false;
                true
            }
            Err(ended) => {
                self.end_handshake(ended).await;
                false
            }
        }
    }

    async fn shake_hands(&mut self, tls: &Tls) -> Result<Agreed, Ended> {
        let first = self.wait(None, Transport::poll_peek).await;
        match first.ok().flatten().ok_or(Ended::Silent)? {
            // So a method begins, and no record of TLS does (RFC 8446 §5.1).
            letter if letter.is_ascii_alphabetic() => return Err(Ended::Plain),
            ALERT => return Err(Ended::Failed("the first word is an alert".to_owned())),
            _ => self.slot.set(self.now.after(HANDSHAKE)),
        }
        self.io.begin_tls(tls).map_err(failed)?;
        let local = Rc::clone(&self.local);
        let mut place = local.handshakes.enter();
        loop {
            self.wait(Some(&place), Transport::poll_hear).await?;
            let mut turn = pin!(local.handshakes.turn(place.was_answered));
            let turn = self.wait(Some(&place), |_, cx| turn.as_mut().poll(cx).map(Ok)).await?;
            crate::failpoint!("handshake");
            let progress = self.io.advance_handshake().map_err(failed)?;
            if let Progress::Answered = progress {
                place.renew();
            }
            turn.end().await;
            if let Progress::Agreed(agreed) = progress {
                return Ok(agreed);
            }
            self.wait(Some(&place), Transport::poll_flush).await?;
        }
    }

    /// Waits for `what`, which is up to the peer, for as long as there is time and nobody else needs the seat or the place;
    /// the connection counts as idle meanwhile.
    async fn wait<T>(
        &mut self,
        place: Option<&Place<'_>>,
        mut what: impl FnMut(&mut Transport, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Result<T, Ended> {
        let waited = poll_fn(|cx| match what(&mut self.io, cx) {
            Poll::Ready(done) => Poll::Ready(done.map_err(failed)),
            Poll::Pending if self.slot.is_over(cx) => Poll::Ready(Err(Ended::Late)),
            Poll::Pending if self.permit.as_ref().is_some_and(Permit::evicted) => {
                Poll::Ready(Err(Ended::GivesWay))
            }
            Poll::Pending if place.is_some_and(|place| place.gives_way(cx)) => {
                Poll::Ready(Err(Ended::GivesWay))
            }
            Poll::Pending => {
                if self.local.is_draining() && !std::mem::replace(&mut self.last_call, true) {
                    self.slot.set(self.local.clock.now().after(LAST_CALL));
                }
                if let Some(permit) = &self.permit {
                    permit.idle(self.now, cx.waker());
                }
                Poll::Pending
            }
        });
        let done = waited.await?;
        if self.permit.as_ref().is_none_or(Permit::busy) { Ok(done) } else { Err(Ended::GivesWay) }
    }

    async fn end_handshake(&mut self, ended: Ended) {
        let outcome = match ended {
            Ended::Silent => return,
            Ended::Plain | Ended::Failed(_) => Handshake::Failed,
            Ended::Late | Ended::GivesWay => Handshake::Late,
        };
        self.local.recorder.handshake(outcome);
        match ended {
            Ended::Plain => self.refuse_plain().await,
            Ended::Failed(why) => log::debug!("no TLS with {}: {why}", self.caller.peer),
            Ended::Late if !self.last_call => {
                let reject = Reject::new(Code::SlowHead, "The TLS handshake did not end in time.");
                // It is counted, and nothing is answered: there is no session by which it could be.
                self.refuse_unread(&reject.seen("a TLS handshake that did not end in time"), None);
            }
            Ended::Late | Ended::GivesWay | Ended::Silent => {}
        }
    }

    /// Tells a client that speaks HTTP in the clear so, in the clear.
    async fn refuse_plain(&mut self) {
        let mut input = Buffer::default();
        if self.fill(&mut input).await == Fill::Bytes {
            let reject =
                Reject::new(Code::BadRequestLine, "This port speaks HTTPS; ask for an https:// address.")
                    .seen("HTTP in the clear on a port that speaks TLS");
            self.refuse_unread(&reject, Some(input.unread()));
            self.goodbye(input).await;
        }
    }
}

impl Lane {
    /// A place for one more; the oldest gives way where there are too many.
    fn enter(&self) -> Place<'_> {
        let number = self.next_number();
        let mut under_way = self.under_way.borrow_mut();
        under_way.insert(number, None);
        if under_way.len() > UNDER_WAY_MOST
            && let Some((_, Some(oldest))) = under_way.pop_first()
        {
            oldest.wake();
        }
        Place { lane: self, number, was_answered: false }
    }

    fn next_number(&self) -> u64 {
        self.numbered.replace(self.numbered.get() + 1)
    }

    /// A turn, when all who asked before have had theirs. Hellos stand in a queue of their own: what was spent on one that
    /// was answered is lost if its end waits behind a thousand others.
    async fn turn(&self, was_answered: bool) -> Turn<'_> {
        let next = if was_answered { None } else { Some(self.hellos.lock().await) };
        Turn { _taken: self.free.lock().await, _next: next }
    }
}

impl Turn<'_> {
    /// Lets whoever else has something to do go first: the event loop turns once before the next one computes.
    async fn end(self) {
        yield_now().await;
    }
}

impl Place<'_> {
    /// Whether this place is another's now; the calling task is woken when it is.
    fn gives_way(&self, cx: &Context<'_>) -> bool {
        let mut under_way = self.lane.under_way.borrow_mut();
        let Some(waker) = under_way.get_mut(&self.number) else { return true };
        waker.get_or_insert_with(|| cx.waker().clone());
        false
    }

    /// Makes this the newest of all. Where hellos come faster than they are answered, the one that is answered is the oldest:
    /// without this it would give way to the next that arrives, and no handshake would ever end.
    fn renew(&mut self) {
        self.was_answered = true;
        let mut under_way = self.lane.under_way.borrow_mut();
        if let Some(waker) = under_way.remove(&self.number) {
            self.number = self.lane.next_number();
            under_way.insert(self.number, waker);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.lane.under_way.borrow_mut().remove(&self.number);
    }
}

fn failed(error: impl Display) -> Ended {
    Ended::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use tokio::runtime::{Builder, LocalOptions};
    use tokio::task::spawn_local;

    #[test]
    fn load_5_beyond_the_bound_the_oldest_handshake_gives_way() {
        let lane = Lane::default();
        let cx = Context::from_waker(Waker::noop());
        let mut places: Vec<_> = (0..UNDER_WAY_MOST).map(|_| lane.enter()).collect();
        assert!(places.iter().all(|place| !place.gives_way(&cx)));
        let newest = lane.enter();
        assert!(places[0].gives_way(&cx) && !places[1].gives_way(&cx) && !newest.gives_way(&cx));
        places.truncate(10);
        let next = lane.enter();
        assert!(!places[1].gives_way(&cx) && !next.gives_way(&cx), "places were given back");
    }

    #[test]
    fn row_g5_load_5_who_was_answered_does_not_give_way_to_the_next_hello() {
        let lane = Lane::default();
        let cx = Context::from_waker(Waker::noop());
        let mut waiting: VecDeque<_> = (0..UNDER_WAY_MOST).map(|_| lane.enter()).collect();
        // Two hellos come for each that is answered.
        for _ in 0..UNDER_WAY_MOST / 4 {
            waiting.extend([lane.enter(), lane.enter()]);
            waiting.retain(|place| !place.gives_way(&cx));
            let mut answered = waiting.pop_front().unwrap();
            answered.renew();
            let next = [lane.enter(), lane.enter()];
            assert!(!answered.gives_way(&cx), "its client had no time to go on");
            waiting.extend(next);
        }
        assert!(lane.under_way.borrow().len() <= UNDER_WAY_MOST);
        // Who has given way stays away.
        let mut gone = lane.enter();
        lane.under_way.borrow_mut().clear();
        gone.renew();
        assert!(gone.gives_way(&cx));
    }

    #[test]
    fn row_g5_tls_1_who_was_answered_waits_for_one_hello_at_most() {
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default()).unwrap();
        let order = Rc::new(RefCell::new(Vec::new()));
        runtime.block_on(async {
            let lane = Rc::new(Lane::default());
            let turns = (0..50).map(|number| {
                let (lane, order) = (Rc::clone(&lane), Rc::clone(&order));
                // The last one to come was answered before.
                spawn_local(async move {
                    let turn = lane.turn(number == 49).await;
                    order.borrow_mut().push(number);
                    turn.end().await;
                })
            });
            for turn in turns.collect::<Vec<_>>() {
                turn.await.unwrap();
            }
        });
        let order = order.take();
        assert!(order.iter().position(|number| *number == 49) <= Some(2), "{order:?}");
        assert!(order.iter().filter(|number| **number != 49).copied().eq(0..49), "{order:?}");
    }

    #[test]
    fn row_g5_tls_1_between_two_that_compute_everybody_else_has_a_turn() {
        const NEIGHBOUR: usize = usize::MAX;
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default()).unwrap();
        let order = Rc::new(RefCell::new(Vec::new()));
        runtime.block_on(async {
            let lane = Rc::new(Lane::default());
            for number in 0..100 {
                let (lane, order) = (Rc::clone(&lane), Rc::clone(&order));
                spawn_local(async move {
                    let turn = lane.turn(false).await;
                    order.borrow_mut().push(number);
                    turn.end().await;
                });
            }
            let order = Rc::clone(&order);
            let neighbour = spawn_local(async move {
                for _ in 0..200 {
                    order.borrow_mut().push(NEIGHBOUR);
                    yield_now().await;
                }
            });
            neighbour.await.unwrap();
        });
        let order = order.take();
        assert!(order.iter().filter(|number| **number != NEIGHBOUR).copied().eq(0..100), "{order:?}");
        let together = order.windows(2).any(|two| !two.contains(&NEIGHBOUR));
        assert!(!together, "{order:?}");
    }
}
