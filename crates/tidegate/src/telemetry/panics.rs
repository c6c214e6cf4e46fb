//! Panics, for the operator: each is counted and a line of the log, as far as the log takes them, and three within a
//! minute are a line of their own, for then it is no accident but an input or a state that we do not know (SPEC LOAD-4).
//! What a panic costs, `isolate` says.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::meter::Meter;
use crate::clock::Millis;
use crate::sync::{Mutex, lock};

/// So many panics …
const MANY: usize = 3;
/// … within this time are told in a line of their own, which comes no more often than that.
const WITHIN: Duration = Duration::from_mins(1);

/// Panics since start: of any thread.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Panics since start.
pub fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// From now on each panic of this process is counted and told; `zero` is that of all clocks.
pub fn tell(zero: Instant) {
    let news = Mutex::new((Meter::new(), Recent::default()));
    std::panic::set_hook(Box::new(move |panic| {
        COUNT.fetch_add(1, Ordering::Relaxed);
        let now = Millis(u64::try_from(zero.elapsed().as_millis()).unwrap_or(u64::MAX));
        let (left_out, may, many) = {
            let (meter, recent) = &mut *lock(&news);
            (meter.left_out(now), meter.may_say((), now), recent.are_many(now))
        };
        if let Some(left_out) = left_out {
            log::error!("{} more panics, not written out", left_out.lines);
        }
        if may {
            log::error!("{panic}");
        }
        if many {
            log::error!(
                "{MANY} panics within {WITHIN:?}: what the lines above name is a fault of this server, please report it; \
                 each cost one request at most"
            );
        }
    }));
}

/// When the last panics were.
#[derive(Debug, Default)]
struct Recent {
    /// The newest first.
    last: [Option<Millis>; MANY],
    told: Option<Millis>,
}

impl Recent {
    /// One at `now`: whether with it there are many, which is told.
    fn are_many(&mut self, now: Millis) -> bool {
        self.last.rotate_right(1);
        self.last[0] = Some(now);
        let lately = |moment: Option<Millis>| moment.is_some_and(|moment| now <= moment.after(WITHIN));
        let many = self.last.iter().all(|moment| lately(*moment)) && !lately(self.told);
        if many {
            self.told = Some(now);
        }
        many
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(seconds: &[u64]) -> Vec<u64> {
        let mut recent = Recent::default();
        seconds.iter().copied().filter(|second| recent.are_many(Millis(second * 1000))).collect()
    }

    #[test]
    fn row_j1_load_4_three_panics_within_a_minute_are_told_and_no_more_than_once_a_minute() {
        assert_eq!(told(&[0, 30, 61, 122, 183]), [0; 0], "never three in a minute");
        assert_eq!(told(&[5, 5, 5]), [5]);
        assert_eq!(told(&[0, 30, 60, 61, 62, 120, 121]), [60, 121]);
    }
}
