//! The pool with its locks and threads under shuttle: each test runs in many orders of events, and an order in which
//! nobody can go on, as after a call that was lost, fails it.
//!
//! That they can fail was tried by hand: where nobody is called for a job, where a thread gives its handle only after
//! its first look, where the one that leaves calls nobody, where the end is not told, where a pool never grows or a
//! thread that was started forgets the queue, one of these tests fails after some orders.

use std::panic::resume_unwind;

use shuttle::future::block_on;
use shuttle::sync::Barrier;
use shuttle::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::sync::in_many_orders;

/// Orders of events for each test where nothing else is asked for; all together take a few seconds.
const ORDERS: usize = 5_000;

const LONG: Duration = Duration::from_secs(3600);

/// A pool whose threads leave as soon as they have nothing to do.
fn pool(least: usize, most: usize, queue_limit: usize) -> Pool {
    let range = ThreadRange::new(least, most).unwrap();
    Pool::with_patience(range, queue_limit, Duration::ZERO).unwrap()
}

fn shut_down(pool: &Pool) {
    pool.shut_down(Instant::now() + LONG);
    assert_eq!(pool.status().size(), 0, "a thread is left");
}

/// Two who give work of all kinds, one who changes the bounds: what was taken is done once, what was refused never.
#[test]
fn shuttle_load_2_what_is_taken_runs_once_and_what_is_refused_never() {
    in_many_orders(ORDERS, || {
        let pool = pool(1, 3, 1);
        let ran: Arc<[AtomicU32; 8]> = Arc::default();
        let givers: Vec<_> = (0..2)
            .map(|giver| {
                let (pool, ran) = (pool.clone(), Arc::clone(&ran));
                thread::spawn(move || give(&pool, &ran, giver * 4))
            })
            .collect();
        pool.resize(ThreadRange::fixed(2), 1).unwrap();
        pool.resize(ThreadRange::new(1, 2).unwrap(), 2).unwrap();
        let taken: Vec<bool> = givers.into_iter().flat_map(|giver| giver.join().unwrap()).collect();
        shut_down(&pool);
        let ran: Vec<bool> = ran
            .iter()
            .map(|times| {
                let times = times.load(Ordering::SeqCst);
                assert!(times <= 1, "a job ran {times} times");
                times == 1
            })
            .collect();
        assert_eq!(ran, taken);
    });
}

/// Four jobs, of which one panics; whether each was taken.
fn give(pool: &Pool, ran: &Arc<[AtomicU32; 8]>, first: usize) -> [bool; 4] {
    let job = |number: usize| {
        let ran = Arc::clone(ran);
        move || {
            ran[number].fetch_add(1, Ordering::SeqCst);
        }
    };
    let (plain, panicking) = (job(first), job(first + 1));
    let plain = pool.run("testing", plain);
    let lost = pool.run("panicking", move || {
        panicking();
        // A panic without the hook, which shuttle would take for the test's.
        resume_unwind(Box::new("on purpose"));
    });
    let spare = pool.run_spare("tidying", job(first + 2));
    pool.run_later("closing", job(first + 3));
    let taken = [plain.is_ok(), lost.is_ok(), spare, true];
    if let Ok(pending) = plain {
        assert_eq!(block_on(pending), Ok(()));
    }
    if let Ok(pending) = lost {
        assert_eq!(block_on(pending), Err(Lost));
    }
    taken
}

/// Jobs that wait for one another need a thread each: a pool that stops to grow too early never ends.
#[test]
fn shuttle_load_2_a_pool_grows_to_its_most_while_jobs_wait() {
    in_many_orders(ORDERS, || {
        let pool = pool(1, 3, 1);
        let together = Arc::new(Barrier::new(3));
        let pending: Vec<_> = (0..3)
            .map(|_| {
                let together = Arc::clone(&together);
                pool.run("meeting", move || together.wait().is_leader()).unwrap()
            })
            .collect();
        let leaders = pending.into_iter().map(|job| block_on(job).unwrap());
        assert_eq!(leaders.filter(|leads| *leads).count(), 1);
        assert_eq!(pool.status().largest, 3);
        shut_down(&pool);
    });
}

/// The end comes while jobs are given, threads are started and others leave.
#[test]
fn shuttle_load_2_the_end_comes_at_any_moment() {
    in_many_orders(ORDERS, || {
        let pool = pool(1, 2, 2);
        let giver = {
            let pool = pool.clone();
            thread::spawn(move || {
                let jobs: Vec<_> =
                    (0..4).filter_map(|number| pool.run("adding", move || number).ok()).collect();
                jobs.into_iter().map(|job| block_on(job).map_err(drop)).collect::<Vec<_>>()
            })
        };
        shut_down(&pool);
        let results = giver.join().unwrap();
        assert!(results.iter().all(Result::is_ok), "a job that was taken is lost: {results:?}");
    });
}
