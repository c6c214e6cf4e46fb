//! The decisions of the pool, without threads, locks or clocks: who gets a job, when another thread is started, who
//! leaves, what is refused. [`Crew`] is told what happened, and says what must be done.
//!
//! ```text
//! push ─► a free member's │ queued │ refused         next ─► Run │ Wait │ Leave
//!
//! member: Starting ─► Free ◄─► Given ─► Busy         the last one leaves when it is not needed
//!                       ▲                 │
//!                       └─────────────────┘
//! ```
//!
//! Members are numbered from 0 without a gap, so only the last one may leave. A job goes to the free member with the
//! lowest number: those above have nothing to do for as long as they are not needed. The queue holds jobs only while no
//! member is free.

use std::collections::VecDeque;
use std::mem;
use std::time::{Duration, Instant};

use super::status::{Status, ThreadStatus, WaitHistogram};
use crate::config::ThreadRange;

/// An episode, of refused jobs or of refused threads, is over when nothing was refused for this long.
const EPISODE_GAP: Duration = Duration::from_secs(10);

/// So much work may be put off while there is other work.
const LATER: usize = 64;

/// After the system refused a thread it is not asked for another for so long: each try costs two system calls.
const START_AGAIN: Duration = Duration::from_secs(1);

/// Threads and jobs of one pool; `J` is what a thread runs.
pub(super) struct Crew<J> {
    range: ThreadRange,
    queue_limit: usize,
    /// How long a member above the least stays without anything to do.
    patience: Duration,
    members: Vec<Member<J>>,
    /// Somebody asks the system for the last member, and has not told the answer.
    starting: bool,
    queue: VecDeque<Job<J>>,
    /// Work that nobody waits for: done when there is no other, or when it becomes [much](LATER).
    later: VecDeque<Job<J>>,
    closed: bool,
    saturation: Episodes,
    refused_starts: Episodes,
    finished: u64,
    largest: usize,
    waits: WaitHistogram,
}

/// Something to run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Job<J> {
    /// What it is, in a few words.
    pub(super) what: &'static str,
    /// When it came, where somebody waits for it.
    pub(super) since: Option<Instant>,
    /// The work itself.
    pub(super) run: J,
}

/// One thread, by its number.
struct Member<J> {
    doing: Doing<J>,
    since: Instant,
    served: u64,
}

enum Doing<J> {
    /// The system was asked for it, and it has not been seen; only the last member.
    Starting,
    Free,
    /// A job was given to it, and it was called.
    Given(Job<J>),
    Busy(&'static str),
}

/// What a thread does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<J> {
    /// It first starts the thread of this number, where one is named, and then runs this.
    Run(Job<J>, Option<usize>),
    /// It waits to be called, and looks again after this long.
    Wait(Option<Duration>),
    /// It ends, and calls this one, whose turn to leave it may be.
    Leave(Option<usize>),
}

impl<J> Crew<J> {
    /// Nobody, yet.
    pub(super) fn new(range: ThreadRange, queue_limit: usize, patience: Duration) -> Self {
        Self {
            range,
            queue_limit,
            patience,
            members: Vec::new(),
            starting: false,
            queue: VecDeque::new(),
            later: VecDeque::new(),
            closed: false,
            saturation: Episodes::default(),
            refused_starts: Episodes::default(),
            finished: 0,
            largest: 0,
            waits: WaitHistogram::EMPTY,
        }
    }

    /// Takes a job; the member named is to be called.
    ///
    /// # Errors
    /// The job, where there is no room for it.
    pub(super) fn push(&mut self, job: Job<J>, now: Instant) -> Result<Option<usize>, Job<J>> {
        if !self.has_room(now) {
            return Err(job);
        }
        match self.give(job, now) {
            Ok(number) => Ok(Some(number)),
            Err(job) => {
                self.queue.push_back(job);
                Ok(None)
            }
        }
    }

    /// Takes a job for a member that has nothing else to do, who is to be called.
    ///
    /// # Errors
    /// The job, where nobody is free.
    pub(super) fn push_spare(&mut self, job: Job<J>, now: Instant) -> Result<usize, Job<J>> {
        if self.closed { Err(job) } else { self.give(job, now) }
    }

    /// Takes a job that takes no place from others; the member named is to be called.
    pub(super) fn push_later(&mut self, job: Job<J>, now: Instant) -> Option<usize> {
        self.give(job, now).map_err(|job| self.later.push_back(job)).ok()
    }

    /// What the thread of this number does next: asked when it begins, when it was called, and after each job.
    pub(super) fn next(&mut self, number: usize, now: Instant) -> Next<J> {
        self.settle(number, now);
        let Some(member) = self.members.get_mut(number) else { return Next::Leave(None) };
        match mem::replace(&mut member.doing, Doing::Free) {
            Doing::Given(job) => {
                (member.doing, member.since) = (Doing::Busy(job.what), now);
                if let Some(since) = job.since {
                    self.waits.record(now.saturating_duration_since(since));
                }
                Next::Run(job, self.begin_start(now))
            }
            _ if self.is_needed(number, now) => Next::Wait(self.looks_again(number, now)),
            _ => {
                self.members.pop();
                Next::Leave(self.last_if_free())
            }
        }
    }

    /// Whether another thread should be started now, and its number: where there are fewer than the least, and where
    /// nobody is free. One at a time, so that a refused one leaves no gap; whoever starts it tells
    /// [how that went](Crew::started).
    pub(super) fn begin_start(&mut self, now: Instant) -> Option<usize> {
        let wanted = if self.has_spare() { self.range.least() } else { self.range.most() };
        let number = self.members.len();
        if self.closed || number >= wanted || self.starting || self.is_start_paused(now) {
            return None;
        }
        self.starting = true;
        self.members.push(Member { doing: Doing::Starting, since: now, served: 0 });
        self.largest = self.largest.max(self.members.len());
        Some(number)
    }

    /// The system gave the thread of this number, which may have been here and gone already. Names the next one to
    /// start: as long as the least is not reached, and where somebody who took the last free member's job could not
    /// start one, for this one was under way.
    pub(super) fn started(&mut self, number: usize, now: Instant) -> Option<usize> {
        self.starting = false;
        if self.members.get(number).is_some_and(|member| matches!(member.doing, Doing::Starting)) {
            self.settle(number, now);
        }
        let taken_soon = self.members.iter().any(|member| matches!(member.doing, Doing::Given(_)));
        if taken_soon && self.members.len() >= self.range.least() { None } else { self.begin_start(now) }
    }

    /// The system refused the thread that was starting; whether that is news, and who is to be called.
    pub(super) fn start_refused(&mut self, now: Instant) -> (bool, Option<usize>) {
        self.starting = false;
        self.members.pop();
        (self.refused_starts.one_more(now), self.last_if_free())
    }

    /// Whether somebody asks the system for a thread now.
    pub(super) fn is_starting(&self) -> bool {
        self.starting
    }

    /// Changes the bounds, while nobody starts a thread. Everybody is to be called, and [`Crew::begin_start`] to be
    /// asked.
    pub(super) fn resize(&mut self, range: ThreadRange, queue_limit: usize, now: Instant) {
        (self.range, self.queue_limit) = (range, queue_limit);
        // The operator may know that there is room for threads now.
        self.refused_starts.last = None;
        for number in 0..self.members.len() {
            self.hand(number, now);
        }
    }

    /// Takes no more jobs; those that wait are still done. Everybody is to be called.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether a job would be taken: by a free member, by a place in the queue, or by a member that is still to come.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        let to_come = if self.is_start_paused(now) { 0 } else { self.room_to_grow() };
        let asked_for = usize::from(self.is_last_awaited());
        let places = self.queue_limit.saturating_add(to_come).saturating_add(asked_for);
        !self.closed && (self.has_spare() || self.queue.len() < places)
    }

    /// Whether a member has nothing to do.
    pub(super) fn has_spare(&self) -> bool {
        self.free().is_some()
    }

    /// A job was refused; whether an episode begins by it.
    pub(super) fn refuse(&mut self, now: Instant) -> bool {
        self.saturation.one_more(now)
    }

    /// Whether all have left.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Everything at this moment.
    pub(super) fn status(&self, now: Instant) -> Status {
        let thread = |member: &Member<J>| ThreadStatus {
            doing: match &member.doing {
                Doing::Starting | Doing::Free => None,
                Doing::Given(job) => Some(job.what),
                Doing::Busy(what) => Some(what),
            },
            since: now.saturating_duration_since(member.since),
            served: member.served,
        };
        Status {
            range: self.range,
            threads: self.members.iter().map(thread).collect(),
            largest: self.largest,
            queued: self.queue.len(),
            queue_limit: self.queue_limit,
            finished: self.finished,
            refused: self.saturation.times,
            saturations: self.saturation.begun,
            waits: self.waits.clone(),
        }
    }

    /// A member that begins or has done its job gets the next one, or is free.
    fn settle(&mut self, number: usize, now: Instant) {
        let Some(member) = self.members.get_mut(number) else { return };
        match member.doing {
            Doing::Free | Doing::Given(_) => return,
            Doing::Starting => {}
            Doing::Busy(_) => {
                member.served += 1;
                self.finished += 1;
            }
        }
        (member.doing, member.since) = (Doing::Free, now);
        self.hand(number, now);
    }

    /// Gives the next job to this member, where there is one and the member is free and to stay.
    fn hand(&mut self, number: usize, now: Instant) {
        let is_free = self.members.get(number).is_some_and(|member| matches!(member.doing, Doing::Free));
        if is_free
            && number < self.range.most()
            && let Some(job) = self.next_job()
        {
            self.assign(number, job, now);
        }
    }

    fn assign(&mut self, number: usize, job: Job<J>, now: Instant) {
        if let Some(member) = self.members.get_mut(number) {
            (member.doing, member.since) = (Doing::Given(job), now);
        }
    }

    fn next_job(&mut self) -> Option<Job<J>> {
        let overdue = if self.later.len() > LATER { self.later.pop_front() } else { None };
        overdue.or_else(|| self.queue.pop_front()).or_else(|| self.later.pop_front())
    }

    /// Gives `job` to a free member.
    fn give(&mut self, job: Job<J>, now: Instant) -> Result<usize, Job<J>> {
        let Some(number) = self.free() else { return Err(job) };
        self.assign(number, job, now);
        Ok(number)
    }

    /// The free member with the lowest number; one above the most gets nothing more.
    fn free(&self) -> Option<usize> {
        let mut staying = self.members.iter().take(self.range.most());
        staying.position(|member| matches!(member.doing, Doing::Free))
    }

    /// Whether this free member, for which there is no job, has to stay.
    fn is_needed(&self, number: usize, now: Instant) -> bool {
        if number + 1 < self.members.len() {
            return true;
        }
        let ours = !self.closed && number < self.range.most();
        ours && (number < self.range.least() || self.is_wanted(number, now))
    }

    /// Whether a member above the least is worth keeping: it was lately needed, or nobody else is free. Without the
    /// second reason a pool with as many long jobs as its least would lose a thread and start it again, over and over.
    fn is_wanted(&self, number: usize, now: Instant) -> bool {
        self.idle(number, now) < self.patience || self.free().is_none_or(|free| free == number)
    }

    /// When a waiting member looks by itself whether it is still needed; only the last one may leave.
    fn looks_again(&self, number: usize, now: Instant) -> Option<Duration> {
        if number < self.range.least() || number + 1 < self.members.len() {
            return None;
        }
        let left = self.patience.saturating_sub(self.idle(number, now));
        Some(if left.is_zero() { self.patience } else { left })
    }

    fn idle(&self, number: usize, now: Instant) -> Duration {
        let since = self.members.get(number).map_or(now, |member| member.since);
        now.saturating_duration_since(since)
    }

    fn last_if_free(&self) -> Option<usize> {
        let last = self.members.last().filter(|last| matches!(last.doing, Doing::Free));
        last.map(|_| self.members.len() - 1)
    }

    fn is_last_awaited(&self) -> bool {
        self.members.last().is_some_and(|last| matches!(last.doing, Doing::Starting))
    }

    fn is_start_paused(&self, now: Instant) -> bool {
        self.refused_starts.last.is_some_and(|last| now.saturating_duration_since(last) < START_AGAIN)
    }

    fn room_to_grow(&self) -> usize {
        self.range.most().saturating_sub(self.members.len())
    }
}

/// Refusals, counted one by one and by episode.
#[derive(Default)]
struct Episodes {
    last: Option<Instant>,
    begun: u64,
    times: u64,
}

impl Episodes {
    /// Counts one; true where an episode begins by it.
    fn one_more(&mut self, now: Instant) -> bool {
        self.times += 1;
        let goes_on = |last| now.saturating_duration_since(last) <= EPISODE_GAP;
        let begins = !self.last.replace(now).is_some_and(goes_on);
        self.begun += u64::from(begins);
        begins
    }
}

#[cfg(test)]
mod tests;
