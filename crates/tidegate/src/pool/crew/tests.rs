//! The decisions one by one; [`theatre`] has all of them together.

mod theatre;

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

/// A thread may be seen, and even leave, before the one that started it tells of it: until then nobody starts another,
/// and then that one does.
#[test]
fn load_2_a_start_that_is_told_late_is_taken_for_no_other() {
    let now = Instant::now();
    let mut crew = crew(range(1, 3), 1, now);
    crew.push(job(0, now), now).unwrap();
    assert_eq!(runs(&mut crew, 0, now), (0, Some(1)));
    crew.push(job(1, now), now).unwrap();
    assert_eq!(runs(&mut crew, 1, now), (1, None), "the start of 1 is still under way");
    assert_eq!(crew.started(1, now), Some(2));
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
