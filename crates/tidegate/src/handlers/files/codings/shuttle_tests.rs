//! Workers that ask for the same codings, in many orders of events: each is made once, for all, and no place is lost.
//!
//! That it can fail was tried by hand: where a place is not given back by a job that the pool refused, or what is being
//! made is forgotten before it is there, the test never ends or finds two of a kind.

use super::*;
use crate::config::ThreadRange;
use crate::sync::{in_many_orders, thread};

/// Orders of events where nothing else is asked for.
const ORDERS: usize = 2_000;

/// More files than may be coded at a time, by more workers than the pool has threads.
const FILES: u64 = 3;

fn identity(number: u64) -> Identity {
    Identity { file: (1, number), size: 0, modified: (0, 0), changed: (0, 0) }
}

/// One worker: it asks for all of `numbers` in turn, each again until it is made.
fn all_made(codings: &Codings, numbers: impl Iterator<Item = u64>, pool: &Pool) -> Vec<Arc<[u8]>> {
    let source = || Making::OfBytes(vec![b'a'; 2000].into());
    let made = |number| loop {
        match codings.ask(&identity(number), Coding::Gzip, source, pool) {
            Asked::Made(bytes) => return bytes,
            Asked::NotYet => thread::yield_now(),
            Asked::Useless => panic!("two thousand equal bytes shrink"),
        }
    };
    numbers.map(made).collect()
}

#[test]
fn shuttle_file_6_a_coding_is_made_once_for_all_workers() {
    in_many_orders(ORDERS, || {
        let (pool, codings) = (Pool::start(ThreadRange::fixed(1), 1).unwrap(), Codings::default());
        let up = {
            let (codings, pool) = (codings.clone(), pool.clone());
            thread::spawn(move || all_made(&codings, 0..FILES, &pool))
        };
        let down = all_made(&codings, (0..FILES).rev(), &pool);
        let up = up.join().unwrap();
        let is_one = up.iter().zip(down.iter().rev()).all(|(one, other)| Arc::ptr_eq(one, other));
        assert!(is_one, "one coding for all");
        pool.shut_down(Instant::now() + Duration::from_hours(1));
        assert_eq!((pool.status().finished, lock(&codings.0).making.len()), (FILES, 0));
    });
}
