//! The pool with real threads.

use std::sync::mpsc;

use super::*;

fn wait<T>(pending: Pending<T>) -> Result<T, Lost> {
    pending.0.blocking_recv().map_err(|_| Lost)
}

/// A job that holds its thread until the sender is dropped.
fn hold(pool: &Pool) -> (mpsc::Sender<()>, Result<Pending<()>, Full>) {
    let (release, held) = mpsc::channel::<()>();
    let pending = pool.run("holding", move || {
        let _ = held.recv();
    });
    (release, pending)
}

fn until(pool: &Pool, what: impl Fn(&Status) -> bool) {
    for _ in 0..2000 {
        if what(&pool.status()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("never came: {:?}", pool.status());
}

#[test]
fn load_3_one_thread_and_a_queue_of_one_take_two_jobs_and_refuse_the_third() {
    let pool = Pool::start(ThreadRange::fixed(1), 1).unwrap();
    let (release, first) = hold(&pool);
    let (_second_release, second) = hold(&pool);
    assert!(second.is_ok());
    assert!(pool.is_saturated());
    assert_eq!(pool.check_room(), Err(Full));
    assert!(hold(&pool).1.is_err());
    drop(release);
    assert_eq!(wait(first.unwrap()), Ok(()));
    until(&pool, |status| status.queued == 0);
    assert!(!pool.is_saturated());
}

#[test]
fn load_2_spare_work_never_waits_in_the_queue() {
    let pool = Pool::start(ThreadRange::fixed(1), 8).unwrap();
    let (release, held) = hold(&pool);
    assert!(!pool.run_spare("tidying", || ()));
    assert_eq!(pool.status().queued, 0);
    drop(release);
    assert_eq!(wait(held.unwrap()), Ok(()));
    until(&pool, |status| status.busy() == 0);
    let (done, finished) = mpsc::channel();
    assert!(pool.run_spare("tidying", move || done.send(()).unwrap()));
    assert_eq!(finished.recv_timeout(Duration::from_secs(10)), Ok(()));
}

#[test]
fn load_2_work_for_later_is_done_though_the_queue_is_full() {
    let pool = Pool::start(ThreadRange::fixed(1), 1).unwrap();
    let (release, held) = hold(&pool);
    let queued = pool.run("waiting", || ()).unwrap();
    let (done, finished) = mpsc::channel();
    pool.run_later("closing", move || done.send(()).unwrap());
    drop(release);
    assert_eq!((wait(held.unwrap()), wait(queued)), (Ok(()), Ok(())));
    assert_eq!(finished.recv_timeout(Duration::from_secs(10)), Ok(()));
}

#[test]
fn load_4_a_panicking_job_is_lost_alone() {
    let pool = Pool::start(ThreadRange::fixed(1), 8).unwrap();
    let lost: Result<Pending<()>, Full> = pool.run("panicking", || panic!("on purpose"));
    assert_eq!(wait(lost.unwrap()), Err(Lost));
    assert_eq!(wait(pool.run("adding", || 2 + 2).unwrap()), Ok(4));
}

#[test]
fn load_2_the_pool_can_be_resized_while_it_works() {
    let pool = Pool::start(ThreadRange::fixed(4), 8).unwrap();
    pool.resize(ThreadRange::fixed(2), 3).unwrap();
    until(&pool, |status| status.threads.len() == 2);
    assert_eq!(pool.status().queue_limit, 3);
    pool.resize(ThreadRange::fixed(3), 3).unwrap();
    until(&pool, |status| status.threads.len() == 3);
    assert_eq!(wait(pool.run("adding", || 1 + 1).unwrap()), Ok(2));
}

#[test]
fn load_2_the_pool_shrinks_while_there_is_work() {
    let pool = Pool::start(ThreadRange::fixed(4), 100_000).unwrap();
    let work: Vec<_> =
        (0..2000).map(|_| pool.run("waiting", || std::thread::sleep(Duration::from_millis(1)))).collect();
    pool.resize(ThreadRange::fixed(1), 100_000).unwrap();
    until(&pool, |status| status.threads.len() == 1);
    assert!(pool.status().queued > 0, "it did not wait for the queue to empty");
    pool.resize(ThreadRange::fixed(4), 100_000).unwrap();
    for pending in work {
        assert_eq!(wait(pending.unwrap()), Ok(()));
    }
}

/// Jobs that all wait for one another: each needs a thread of its own.
#[test]
fn load_2_a_range_grows_to_its_most_and_shrinks_to_its_least() {
    let range = ThreadRange::new(2, 5).unwrap();
    let pool = Pool::with_patience(range, 1, Duration::from_millis(50)).unwrap();
    assert_eq!(pool.status().size(), 2);
    let held: Vec<_> = (0..5).map(|_| hold(&pool)).collect();
    until(&pool, |status| status.busy() == 5);
    assert_eq!(pool.status().queued, 0);
    let waiting = pool.run("waiting", || ()).unwrap();
    assert!(pool.is_saturated());
    assert!(hold(&pool).1.is_err());
    for (release, pending) in held {
        drop(release);
        assert_eq!(wait(pending.unwrap()), Ok(()));
    }
    assert_eq!(wait(waiting), Ok(()));
    until(&pool, |status| status.size() == 2);
    let status = pool.status();
    assert_eq!((status.largest, status.finished), (5, 6));
    assert_eq!((status.refused, status.saturations), (1, 1));
    assert_eq!(status.waits.counts.iter().sum::<u64>(), 6);
}

#[test]
fn load_2_a_fixed_pool_has_always_as_many_threads() {
    let pool = Pool::with_patience(ThreadRange::fixed(2), 8, Duration::ZERO).unwrap();
    for _ in 0..20 {
        assert_eq!(wait(pool.run("adding", || 1 + 1).unwrap()), Ok(2));
        assert_eq!(pool.status().size(), 2);
    }
    assert_eq!(pool.status().largest, 2);
}

#[test]
fn load_2_a_thread_tells_what_it_does_since_when_and_how_often_it_did() {
    let pool = Pool::start(ThreadRange::fixed(2), 8).unwrap();
    assert_eq!(wait(pool.run("adding", || 1 + 1).unwrap()), Ok(2));
    until(&pool, |status| status.finished == 1);
    let (release, held) = hold(&pool);
    let status = pool.status();
    let [first, second] = status.threads[..] else { panic!("two threads: {status:?}") };
    assert_eq!((first.doing, first.served), (Some("holding"), 1), "the lowest that is free");
    assert_eq!((second.doing, second.served), (None, 0));
    assert!(second.since >= first.since);
    drop(release);
    assert_eq!(wait(held.unwrap()), Ok(()));
}

#[test]
fn load_2_shutting_down_does_what_waits_and_ends_every_thread() {
    let pool = Pool::start(ThreadRange::fixed(2), 100).unwrap();
    let work: Vec<_> =
        (0..50).map(|_| pool.run("waiting", || std::thread::sleep(Duration::from_millis(1)))).collect();
    pool.shut_down(Instant::now() + Duration::from_secs(20));
    assert_eq!(pool.status().size(), 0);
    for pending in work {
        assert_eq!(wait(pending.unwrap()), Ok(()));
    }
    assert_eq!(pool.run("too late", || ()).unwrap_err(), Full);
    assert!(!pool.run_spare("too late", || ()));
}

#[test]
fn load_2_shutting_down_waits_no_longer_than_it_may() {
    let pool = Pool::start(ThreadRange::fixed(1), 1).unwrap();
    let (_release, _held) = hold(&pool);
    let begun = Instant::now();
    pool.shut_down(begun + Duration::from_millis(30));
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(pool.status().size(), 1);
}

#[test]
fn load_1_threads_carry_their_name_for_the_kernel_too() {
    let pool = Pool::start(ThreadRange::fixed(1), 1).unwrap();
    let name = pool.run("reading its name", || std::fs::read_to_string("/proc/thread-self/comm").unwrap());
    assert_eq!(wait(name.unwrap()).unwrap().trim(), "pool-0");
}
