//! Who asks for one name after the other that does not exist looks for a weakness: 404s beyond what a leaky bucket
//! holds are an offence. A page with some dead links is none.

use super::bucket::{Bucket, Poured, TICKS, Tick};
use super::client::ClientKey;
use super::table::Table;
use crate::clock::Millis;

/// Runs of 404s, client by client; shared by all workers.
#[derive(Debug)]
pub struct Misses(Table);

/// 404s at once that are no scan: a moved folder of pictures has as many.
const RUN: u64 = 30;
/// And 404s a second for as long as one likes: a browser with an old page open, a monitor with an old name.
const A_SECOND: u64 = 3;
const BUCKET: Bucket = Bucket::of(RUN, 1_000_000_000 * TICKS / A_SECOND);
/// Clients watched: 2 MiB. Under more, those with the fewest misses are forgotten first.
const CLIENTS: usize = 65_536;

impl Misses {
    /// No 404 yet.
    pub fn new() -> Self {
        Self(Table::new(CLIENTS))
    }

    /// A 404 for `client` at `now`; true where it is one too many. Then counting begins anew, so
    /// that whoever goes on is told of every further 31.
    pub fn miss(&self, client: ClientKey, now: Millis) -> bool {
        let now = Tick::of_millis(now);
        self.0.update(client, |dry| match BUCKET.pour(dry, now, 1) {
            Poured::Held(next) => (next, false),
            Poured::Over(_) => (Tick(0), true),
        })
    }

    /// Forgets what `client` missed.
    pub fn forget(&self, client: ClientKey) {
        self.0.update(client, |_| (Tick(0), ()));
    }
}

impl Default for Misses {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: u64) -> Millis {
        Millis(second * 1_000)
    }

    #[test]
    fn sec_1_a_scan_is_noticed_once_in_31_and_dead_links_are_not() {
        let (misses, client) = (Misses::new(), ClientKey::UNIX);
        let noticed: Vec<_> = (1..=93).filter(|_| misses.miss(client, second(1))).collect();
        assert_eq!(noticed, [31, 62, 93]);
        misses.forget(client);
        // Three a second, for ever.
        assert!((0..3_000_u64).all(|miss| !misses.miss(client, second(10 + miss / 3))));
        // And four a second, for half a minute.
        misses.forget(client);
        let first = (0..1_000_u64).position(|miss| misses.miss(client, second(2_000 + miss / 4)));
        assert!((100..125).contains(&first.unwrap()), "{first:?}");
    }
}
