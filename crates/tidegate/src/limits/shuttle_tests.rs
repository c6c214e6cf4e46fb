//! What workers hold against clients, in many orders of events: memory of bodies, rates over a reload, bans. (Seats have
//! theirs in `admission`.)
//!
//! That they can fail was tried by hand: where a budget looks and takes in two steps, or does not take back, where a token
//! is taken in two steps, where the end of the last ban is noted outside of the register's lock.

use std::time::Duration;

use super::bans::{Offence, Outcome, Policy};
use super::budget::Bounds;
use super::rate::{Rate, RateTable, Verdict};
use super::{BanBook, Budget, ClientKey};
use crate::clock::Millis;
use crate::config::BanMode;
use crate::http::reject::Event;
use crate::sync::atomic::{AtomicU64, Ordering::SeqCst};
use crate::sync::{Arc, in_many_orders, thread};

/// Orders of events for each test where nothing else is asked for.
const ORDERS: usize = 5_000;

const CLIENT: ClientKey = ClientKey::UNIX;

/// Lets two workers do `work`, and returns what each of them made.
fn two_workers<T: Send + 'static>(work: impl Fn() -> T + Clone + Send + 'static) -> Vec<T> {
    let workers = [work.clone(), work].map(|work| thread::spawn(work));
    workers.into_iter().map(|worker| worker.join().unwrap()).collect()
}

#[test]
fn shuttle_load_8_a_budget_is_never_overdrawn_and_comes_back() {
    in_many_orders(ORDERS, || {
        let bounds = Bounds { all: 100, body: 60 };
        let (budget, held) = (Budget::default(), Arc::new(AtomicU64::new(0)));
        let (shared, counted) = (budget.clone(), Arc::clone(&held));
        two_workers(move || {
            for bytes in [60, 40, 30] {
                let Ok(reserved) = shared.take(bytes, bounds, Some(CLIENT)) else { continue };
                assert!(counted.fetch_add(bytes, SeqCst) + bytes <= 60, "more is held than there is");
                thread::yield_now();
                counted.fetch_sub(bytes, SeqCst);
                drop(reserved);
            }
        });
        assert_eq!((budget.used(), held.load(SeqCst)), (0, 0));
        assert!(budget.take(100, bounds, None).is_ok());
    });
}

const NOW: u64 = 5_000_000_000;

fn rate(text: &str) -> Rate {
    Rate::new(&text.parse().unwrap())
}

/// How many of `asks` requests are let through.
fn admitted(table: &RateTable, rate: &Rate, asks: usize) -> usize {
    let verdicts = (0..asks).map(|_| table.take(CLIENT, NOW, rate));
    verdicts.filter(|verdict| matches!(verdict, Verdict::Allowed { .. })).count()
}

/// Requests that are let through at one moment, by two workers that ask under the rate `old` while a reload goes over to
/// `new`, and by that rate afterwards.
fn over_a_reload(old: &'static str, new: &'static str) -> usize {
    let table = Arc::new(RateTable::new(1));
    let shared = Arc::clone(&table);
    let workers = thread::spawn(move || {
        let ask = move || admitted(&shared, &rate(old), 4);
        two_workers(ask).into_iter().sum::<usize>()
    });
    table.rescale(&rate(old), &rate(new), NOW);
    workers.join().unwrap() + admitted(&table, &rate(new), 8)
}

/// What a worker answers by the old rate after the table was changed may be a burst more; two it never is.
#[test]
fn shuttle_sec_1_a_reload_gives_one_burst_more_at_most() {
    const BURST: usize = 4;
    for (old, new) in [("1/h:4", "1/s:4"), ("1/s:4", "1/h:4")] {
        in_many_orders(ORDERS / 2, move || {
            let all = over_a_reload(old, new);
            assert!((BURST..2 * BURST).contains(&all), "{all} requests from {old} to {new}");
        });
    }
}

const POLICY: Policy = Policy { mode: BanMode::On, first: Duration::from_mins(10) };

fn offend(book: &BanBook) -> Outcome {
    book.offend(CLIENT, Offence::new(Event::Scan, 1, 1, "GET /.env"), &POLICY, Millis(7))
}

/// Three scans of 40 points are a ban: it is told once, holds for all at once whoever else is pardoned meanwhile, and a
/// pardon of its own ends it whole.
#[test]
fn shuttle_sec_1_one_ban_is_told_once_and_seen_by_all() {
    // A book has tables of some megabytes.
    in_many_orders(ORDERS / 5, || {
        let book = Arc::new(BanBook::new());
        let (shared, other) = (Arc::clone(&book), Arc::clone(&book));
        let operator = thread::spawn(move || other.lift(ClientKey::of([192, 0, 2, 1].into())));
        let bans = two_workers(move || {
            let outcomes = [offend(&shared), offend(&shared)];
            let is_ban = |outcome: &&Outcome| matches!(outcome, Outcome::Banned(_));
            let bans = outcomes.iter().filter(is_ban).count();
            assert!(bans == 0 || shared.check(CLIENT, Millis(7)).is_some(), "who bans sees the ban");
            bans
        });
        assert!(!operator.join().unwrap(), "there was nothing to pardon");
        assert_eq!(bans.into_iter().sum::<usize>(), 1, "told once");
        assert!(book.check(CLIENT, Millis(7)).is_some() && book.count(Millis(7)) == (1, 0));
        assert!(book.lift(CLIENT));
        assert!(book.check(CLIENT, Millis(7)).is_none() && offend(&book) == Outcome::Scored, "and forgotten");
    });
}
