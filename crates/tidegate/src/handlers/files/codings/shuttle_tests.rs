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

/// Asks again until it is made.
fn made(codings: &Codings, number: u64, pool: &Pool) -> Arc<[u8]> {
    loop {
        let source = || Making::OfBytes(vec![b'a'; 2000].into());
        match codings.ask(&identity(number), Coding::Gzip, source, pool) {
            Asked::Made(bytes) => return bytes,
            Asked::NotYet => thread::yield_now(),
            Asked::Useless => panic!("two thousand equal bytes shrink"),
        }
    }
}

#[test]
fn shuttle_file_6_a_coding_is_made_once_for_all_workers() {
    in_many_orders(ORDERS, || {
        let pool = Pool::start(ThreadRange::fixed(1), 1).unwrap();
        let codings = Codings::default();
        let workers = [0, 1].map(|turn| {
            let (codings, pool) = (codings.clone(), pool.clone());
            thread::spawn(move || {
                let mut all: Vec<_> = (0..FILES)
                    .map(|number| (number + turn) % FILES)
                    .map(|number| (number, made(&codings, number, &pool)))
                    .collect();
                all.sort_by_key(|(number, _)| *number);
                all
            })
        });
        let [one, other] = workers.map(|worker| worker.join().unwrap());
        let same = |((_, one), (_, other)): (&(u64, Arc<[u8]>), &(u64, Arc<[u8]>))| Arc::ptr_eq(one, other);
        assert!(one.iter().zip(&other).all(same), "one coding for all");
        pool.shut_down(Instant::now() + Duration::from_secs(3600));
        assert_eq!((pool.status().finished, lock(&codings.0).making.len()), (FILES, 0));
    });
}
