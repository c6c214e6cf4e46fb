//! The decisions one by one, and all of them against threads that only pretend.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn range(least: usize, most: usize) -> ThreadRange {
    ThreadRange::new(least, most).unwrap()
}

fn job(run: u32, now: Instant) -> Job<u32> {
    Job { what: "testing", since: Some(now), run }
}

/// A crew whose least threads are there and wait.
fn crew(range: ThreadRange, queue_limit: usize, now: Instant) -> Crew<u32> {
    let mut crew = Crew::new(range, queue_limit, PATIENCE);
    let mut start = crew.begin_start(now);
    while let Some(number) = start {
        start = crew.started(number, now);
    }
    assert_eq!(crew.status(now).size(), range.least());
    crew
}

/// The job that this thread runs next, and which thread it starts before.
fn runs(crew: &mut Crew<u32>, number: usize, now: Instant) -> (u32, Option<usize>) {
    match crew.next(number, now) {
        Next::Run(job, start) => (job.run, start),
        other => panic!("{number} has nothing to run: {other:?}"),
    }
}

/// Makes all of `count` members busy.
fn occupy(crew: &mut Crew<u32>, count: u32, now: Instant) {
    for run in 0..count {
        let number = crew.push(job(run, now), now).unwrap().unwrap();
        if let (_, Some(start)) = runs(crew, number, now) {
            assert_eq!(crew.started(start, now), None);
        }
    }
}

#[test]
fn load_2_a_job_goes_to_the_free_thread_with_the_lowest_number() {
    let now = Instant::now();
    let mut crew = crew(range(3, 3), 1, now);
    assert_eq!(crew.push(job(1, now), now), Ok(Some(0)));
    assert_eq!(crew.push(job(2, now), now), Ok(Some(1)));
    assert_eq!(runs(&mut crew, 0, now), (1, None));
    assert_eq!(crew.next(0, now), Next::Wait(None));
    assert_eq!(crew.push(job(3, now), now), Ok(Some(0)));
}

#[test]
fn load_2_jobs_wait_in_their_order_and_work_for_later_behind_them() {
    let now = Instant::now();
    let mut crew = crew(range(1, 1), 9, now);
    occupy(&mut crew, 1, now);
    assert_eq!(crew.push_later(job(10, now), now), None);
    assert_eq!(crew.push_spare(job(9, now), now), Err(job(9, now)));
    assert_eq!((crew.push(job(1, now), now), crew.push(job(2, now), now)), (Ok(None), Ok(None)));
    let order: Vec<u32> = (0..3).map(|_| runs(&mut crew, 0, now).0).collect();
    assert_eq!(order, [1, 2, 10]);
}

#[test]
fn load_2_much_work_for_later_is_not_put_off_for_ever() {
    let now = Instant::now();
    let mut crew = crew(range(1, 1), 9, now);
    occupy(&mut crew, 1, now);
    for run in 0..=u32::try_from(LATER).unwrap() {
        crew.push_later(job(100 + run, now), now);
    }
    assert_eq!(crew.push(job(1, now), now), Ok(None));
    assert_eq!((runs(&mut crew, 0, now).0, runs(&mut crew, 0, now).0), (100, 1));
}

#[test]
fn load_2_who_leaves_nobody_free_starts_another_up_to_the_most() {
    let now = Instant::now();
    let mut crew = crew(range(1, 3), 1, now);
    for (run, starts) in [(0, Some(1)), (1, Some(2)), (2, None)] {
        let number = crew.push(job(run, now), now).unwrap().unwrap();
        assert_eq!(runs(&mut crew, number, now), (run, starts));
        if let Some(start) = starts {
            crew.started(start, now);
        }
    }
    assert_eq!(crew.push(job(3, now), now), Ok(None));
    assert_eq!(crew.push(job(4, now), now), Err(job(4, now)));
}

/// While threads are to come a job is taken over the bound of the queue: it will be theirs.
#[test]
fn load_3_nothing_is_refused_while_the_pool_can_grow() {
    let now = Instant::now();
    let mut crew = crew(range(1, 3), 1, now);
    for run in 0..4 {
        assert!(crew.push(job(run, now), now).is_ok(), "{run}");
    }
    assert_eq!(crew.push(job(4, now), now), Err(job(4, now)));
    assert_eq!(crew.status(now).queued, 3);
    for (number, starts) in [(0, Some(1)), (1, Some(2)), (2, None)] {
        assert_eq!(runs(&mut crew, number, now).1, starts);
        if let Some(start) = starts {
            crew.started(start, now);
        }
    }
    assert_eq!(crew.status(now).queued, 1);
}

#[test]
fn load_2_a_refused_thread_is_news_once_and_tried_again_after_a_second() {
    let mut now = Instant::now();
    let mut crew = crew(range(1, 2), 1, now);
    crew.push(job(0, now), now).unwrap();
    assert_eq!(runs(&mut crew, 0, now), (0, Some(1)));
    assert_eq!(crew.start_refused(now), (true, None));
    assert_eq!(crew.push(job(1, now), now), Ok(None));
    assert_eq!(crew.push(job(2, now), now), Err(job(2, now)), "no thread is to come");
    assert_eq!(runs(&mut crew, 0, now), (1, None));
    now += START_AGAIN;
    crew.push(job(3, now), now).unwrap();
    assert_eq!(runs(&mut crew, 0, now), (3, Some(1)));
    assert_eq!(crew.start_refused(now), (false, None));
    now += EPISODE_GAP + Duration::from_millis(1);
    crew.push(job(4, now), now).unwrap();
    assert_eq!(runs(&mut crew, 0, now), (4, Some(1)));
    assert_eq!(crew.start_refused(now), (true, None));
}

#[test]
fn load_2_idle_threads_leave_from_the_top_one_after_the_other() {
    let mut now = Instant::now();
    let mut crew = crew(range(1, 4), 1, now);
    occupy(&mut crew, 4, now);
    for number in 0..3 {
        assert_eq!(crew.next(number, now), Next::Wait(None), "{number} is not the last");
    }
    assert_eq!(crew.next(3, now), Next::Wait(Some(PATIENCE)));
    now += PATIENCE / 2;
    assert_eq!(crew.next(3, now), Next::Wait(Some(PATIENCE / 2)));
    now += PATIENCE / 2;
    assert_eq!(crew.next(3, now), Next::Leave(Some(2)));
    assert_eq!(crew.next(2, now), Next::Leave(Some(1)));
    assert_eq!(crew.next(1, now), Next::Leave(Some(0)));
    assert_eq!(crew.next(0, now), Next::Wait(None));
}

/// As many long jobs as the least: the one free thread stays, or it would leave and be started again for ever.
#[test]
fn load_2_the_only_free_thread_stays() {
    let mut now = Instant::now();
    let mut crew = crew(range(1, 4), 1, now);
    occupy(&mut crew, 1, now);
    now += PATIENCE;
    assert_eq!(crew.next(1, now), Next::Wait(Some(PATIENCE)));
    assert_eq!(crew.next(0, now), Next::Wait(None));
    assert_eq!(crew.next(1, now), Next::Leave(Some(0)));
}

#[test]
fn load_2_a_smaller_pool_loses_threads_though_work_waits() {
    let now = Instant::now();
    let mut crew = crew(range(3, 3), 9, now);
    occupy(&mut crew, 3, now);
    assert_eq!(crew.push(job(9, now), now), Ok(None));
    crew.resize(range(1, 1), 9, now);
    assert_eq!(crew.next(1, now), Next::Wait(None), "it takes nothing more, and is not the last");
    assert_eq!(crew.next(2, now), Next::Leave(Some(1)));
    assert_eq!(crew.next(1, now), Next::Leave(None));
    assert_eq!(runs(&mut crew, 0, now), (9, None));
}

#[test]
fn load_2_a_larger_pool_takes_what_waits() {
    let now = Instant::now();
    let mut crew = crew(range(1, 1), 9, now);
    occupy(&mut crew, 1, now);
    for run in [5, 6] {
        assert_eq!(crew.push(job(run, now), now), Ok(None));
    }
    crew.resize(range(2, 2), 9, now);
    assert_eq!(crew.begin_start(now), Some(1));
    assert_eq!(crew.started(1, now), None);
    assert_eq!(runs(&mut crew, 1, now), (5, None));
}

#[test]
fn load_3_refusals_are_counted_and_said_once_an_episode() {
    let now = Instant::now();
    let mut crew = crew(range(1, 1), 1, now);
    let seconds = [0, 1, 10, 20, 31, 41].map(Duration::from_secs);
    let news = seconds.map(|seconds| crew.refuse(now + seconds));
    assert_eq!(news, [true, false, false, false, true, false]);
    let status = crew.status(now);
    assert_eq!((status.refused, status.saturations), (6, 2));
}

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
    /// The thread at this place, of those that can move, goes on by one move; a thread that it asks for is refused or not.
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
        let number = awake[place % awake.len()];
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
        true
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
        let grows = self.asked_for().is_some() || about_to_take;
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
