//! All decisions together, against threads that only pretend: each goes on at its own pace, in any order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Threads that do what the crew says, each at its own pace, and a system that may refuse one.
struct Theatre {
    crew: Crew<u32>,
    now: Instant,
    threads: BTreeMap<usize, Thread>,
    accepted: BTreeSet<u32>,
    done: BTreeSet<u32>,
    jobs: u32,
    refused_at: Option<Instant>,
    /// A start was refused; it is tried again when somebody takes a job, at the earliest after a second.
    stalled: bool,
    closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Thread {
    /// The system gave it, and it has not looked for a job yet.
    New,
    Awake,
    Asleep {
        until: Option<Instant>,
    },
    Running(u32),
    /// It has asked the system for the thread of this number before it runs its job, …
    Asking(u32, usize),
    /// … which that thread may know earlier than the one that asked.
    Granted(u32, usize),
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Push,
    Spare,
    Later,
    /// The thread at this place, of those that can move, goes on by one move; a thread that it asks for is refused or
    /// not.
    Move(usize, bool),
    /// A thread wakes for no reason.
    Stir(usize),
    Pass(Duration),
    Resize(usize, usize, usize),
    Close,
}

impl Theatre {
    fn new(range: ThreadRange, queue_limit: usize) -> Self {
        let now = Instant::now();
        let threads = (0..range.least()).map(|number| (number, Thread::Awake)).collect();
        Self {
            crew: crew(range, queue_limit, now),
            now,
            threads,
            accepted: BTreeSet::new(),
            done: BTreeSet::new(),
            jobs: 0,
            refused_at: None,
            stalled: false,
            closed: false,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Push => self.push(),
            Step::Spare => {
                let (free, job) = (self.free(), self.job());
                let taken = self.crew.push_spare(job, self.now);
                assert_eq!(taken.is_ok(), free > 0 && !self.closed);
                if let Ok(number) = taken {
                    self.accepted.insert(self.jobs);
                    self.call(Some(number));
                }
            }
            Step::Later => {
                let job = self.job();
                let number = self.crew.push_later(job, self.now);
                // A pool that has ended does nothing more.
                if !self.threads.is_empty() {
                    self.accepted.insert(self.jobs);
                }
                self.call(number);
            }
            Step::Move(place, granted) => {
                self.go_on(place, granted);
            }
            Step::Stir(number) => self.call(Some(number)),
            Step::Pass(time) => self.now += time,
            Step::Resize(least, more, queue_limit) => self.resize(range(least, least + more), queue_limit),
            Step::Close => {
                self.crew.close();
                self.closed = true;
                self.call_all();
            }
        }
    }

    fn job(&mut self) -> Job<u32> {
        self.jobs += 1;
        job(self.jobs, self.now)
    }

    /// The rule of admission, said by what can be seen from outside.
    fn push(&mut self) {
        let status = self.crew.status(self.now);
        let to_come = if self.is_paused() { 0 } else { status.range.most().saturating_sub(status.size()) };
        let places = status.queue_limit + to_come + usize::from(self.asked_for().is_some());
        let room = !self.closed && (self.free() > 0 || status.queued < places);
        let job = self.job();
        match self.crew.push(job, self.now) {
            Ok(number) => {
                assert!(room, "taken without room: {status:?}");
                self.accepted.insert(self.jobs);
                self.call(number);
            }
            Err(job) => assert!(!room && job.run == self.jobs, "refused with room: {status:?}"),
        }
    }

    fn resize(&mut self, range: ThreadRange, queue_limit: usize) {
        while self.crew.is_starting() {
            let asks = |thread: &Thread| matches!(thread, Thread::Asking(..) | Thread::Granted(..));
            let asking = self.threads.iter().find(|(_, thread)| asks(thread)).map(|(number, _)| *number);
            self.move_on(asking.expect("somebody who starts it"), queue_limit != 1);
        }
        self.crew.resize(range, queue_limit, self.now);
        self.refused_at = None;
        self.call_all();
        let mut start = self.crew.begin_start(self.now);
        while let Some(number) = start {
            assert!(self.threads.insert(number, Thread::Awake).is_none());
            start = self.crew.started(number, self.now);
        }
    }

    /// One move of one thread; false where none can move.
    fn go_on(&mut self, place: usize, granted: bool) -> bool {
        let now = self.now;
        let can_move = |thread: &Thread| !matches!(thread, Thread::Asleep { until } if until.is_none_or(|until| until > now));
        let awake: Vec<usize> =
            self.threads.iter().filter(|(_, thread)| can_move(thread)).map(|(number, _)| *number).collect();
        if awake.is_empty() {
            return false;
        }
        self.move_on(awake[place % awake.len()], granted);
        true
    }

    fn move_on(&mut self, number: usize, granted: bool) {
        let now = self.now;
        match self.threads[&number] {
            Thread::New | Thread::Awake | Thread::Asleep { .. } => self.look(number),
            Thread::Running(job) => {
                assert!(self.done.insert(job), "{job} ran twice");
                self.threads.insert(number, Thread::Awake);
                self.look(number);
            }
            Thread::Asking(job, start) if granted => {
                assert!(self.threads.insert(start, Thread::New).is_none(), "{start} is there already");
                self.threads.insert(number, Thread::Granted(job, start));
            }
            Thread::Granted(job, start) => {
                if self.threads.get(&start) == Some(&Thread::New) {
                    self.threads.insert(start, Thread::Awake);
                }
                let next = self.crew.started(start, now);
                self.threads
                    .insert(number, next.map_or(Thread::Running(job), |next| Thread::Asking(job, next)));
            }
            Thread::Asking(job, _) => {
                (self.refused_at, self.stalled) = (Some(now), true);
                let (_, call) = self.crew.start_refused(now);
                self.call(call);
                self.threads.insert(number, Thread::Running(job));
            }
        }
    }

    fn look(&mut self, number: usize) {
        let next = self.crew.next(number, self.now);
        match next {
            Next::Run(job, start) => {
                assert!(self.accepted.contains(&job.run));
                self.stalled &= self.is_paused();
                let thread = start.map_or(Thread::Running(job.run), |start| Thread::Asking(job.run, start));
                self.threads.insert(number, thread);
            }
            Next::Wait(patience) => {
                let until = patience.map(|patience| self.now + patience);
                self.threads.insert(number, Thread::Asleep { until });
            }
            Next::Leave(call) => {
                self.threads.remove(&number);
                self.call(call);
            }
        }
    }

    fn call(&mut self, number: Option<usize>) {
        if let Some(thread) = number.and_then(|number| self.threads.get_mut(&number))
            && matches!(thread, Thread::Asleep { .. })
        {
            *thread = Thread::Awake;
        }
    }

    fn call_all(&mut self) {
        for number in 0..self.threads.len() {
            self.call(Some(number));
        }
    }

    /// The thread of which the crew does not know yet whether it comes.
    fn asked_for(&self) -> Option<usize> {
        self.threads.iter().find_map(|(number, thread)| match thread {
            Thread::Asking(_, number) => Some(*number),
            Thread::New => Some(*number),
            _ => None,
        })
    }

    fn is_paused(&self) -> bool {
        self.refused_at.is_some_and(|at| self.now - at < START_AGAIN)
    }

    /// Threads that could take a job now.
    fn free(&self) -> usize {
        let status = self.crew.status(self.now);
        let free = |(number, thread): &(usize, &ThreadStatus)| {
            thread.doing.is_none() && Some(*number) != self.asked_for() && *number < status.range.most()
        };
        status.threads.iter().enumerate().filter(free).count()
    }

    fn check(&self) {
        let status = self.crew.status(self.now);
        let numbers: BTreeSet<usize> = self.threads.keys().copied().chain(self.asked_for()).collect();
        assert!(numbers.into_iter().eq(0..status.size()), "numbers with a gap: {:?}", self.threads);
        assert!(status.queued == 0 || self.free() == 0, "a job waits though a thread is free: {status:?}");
        let mut about_to_take = false;
        for (number, thread) in &self.threads {
            let has_job = status.threads[*number].doing.is_some();
            match thread {
                Thread::Asleep { .. } => assert!(!has_job, "{number} sleeps on its job"),
                Thread::Awake => about_to_take |= has_job,
                Thread::New => assert!(!has_job),
                Thread::Running(_) | Thread::Asking(..) | Thread::Granted(..) => assert!(has_job),
            }
        }
        let may_grow =
            !self.closed && !self.is_paused() && !self.stalled && status.size() < status.range.most();
        let grows = self.crew.is_starting() || about_to_take;
        assert!(
            !may_grow || self.free() > 0 || grows,
            "nobody is free, and nobody starts a thread: {status:?}"
        );
    }

    /// Everything goes on to its end; time passes as long as anything comes of it.
    fn end(&mut self) {
        for _ in 0..50 {
            while self.go_on(0, true) {
                self.check();
            }
            self.now += PATIENCE;
        }
        assert_eq!(self.done, self.accepted, "lost jobs");
        let status = self.crew.status(self.now);
        let expected = if self.closed { 0 } else { status.range.least() };
        assert_eq!(self.threads.len(), expected);
        assert_eq!((status.size(), status.queued, status.busy()), (expected, 0, 0));
        assert_eq!(status.finished, self.done.len() as u64);
    }
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Push),
        2 => Just(Step::Spare),
        2 => Just(Step::Later),
        16 => (0..8_usize, prop::bool::weighted(0.8)).prop_map(|(place, granted)| Step::Move(place, granted)),
        2 => (0..6_usize).prop_map(Step::Stir),
        2 => (0..11_000_u64).prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
        1 => (1..4_usize, 0..4_usize, 1..4_usize).prop_map(|(a, b, c)| Step::Resize(a, b, c)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 600, ..ProptestConfig::default() })]

    /// No job is lost or run twice; none waits beside a free thread; a thread sleeps only without a job; the pool grows
    /// while nobody is free, and is back at its least, or gone, in the end.
    #[test]
    fn load_2_no_job_is_lost_and_no_thread_too_many_in_any_order_of_events(
        least in 1..4_usize,
        more in 0..4_usize,
        queue_limit in 1..4_usize,
        steps in prop::collection::vec(a_step(), 0..120),
        closes in any::<bool>(),
    ) {
        let mut theatre = Theatre::new(range(least, least + more), queue_limit);
        for step in steps {
            theatre.step(step);
            theatre.check();
        }
        if closes {
            theatre.step(Step::Close);
            for step in [Step::Push, Step::Spare, Step::Later] {
                theatre.step(step);
            }
        }
        theatre.end();
    }
}
