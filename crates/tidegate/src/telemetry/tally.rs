//! Counters of one worker, summed when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::http::Code;

/// What one worker has done since start. Only its worker writes, so an addition is a load and a store, with
/// no locked instruction; anyone may read.
#[derive(Debug)]
pub struct Tally {
    requests: AtomicU64,
    uploads: AtomicU64,
    refusals: Vec<AtomicU64>,
}

/// The sum over workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests answered, refusals among them.
    pub requests: u64,
    /// Uploads stored.
    pub uploads: u64,
    /// Refusals by code, those that happened.
    pub refusals: Vec<(&'static str, u64)>,
}

impl Tally {
    /// All zero.
    pub fn new() -> Self {
        Self {
            requests: AtomicU64::new(0),
            uploads: AtomicU64::new(0),
            refusals: Code::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Counts a request, or a connection that was refused before it sent one.
    #[inline]
    pub fn request(&self) {
        add_one(&self.requests);
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Counts a stored upload.
    pub fn upload(&self) {
        add_one(&self.uploads);
    }

    /// Counts a refusal.
    pub fn refusal(&self, code: Code) {
        if let Some(counter) = self.refusals.get(code as usize) {
            add_one(counter);
        }
    }

    /// The sum of `tallies`.
    pub fn sum<'a>(tallies: impl Iterator<Item = &'a Self>) -> Totals {
        let mut totals = Totals::default();
        let mut refusals = vec![0_u64; Code::ALL.len()];
        for tally in tallies {
            totals.requests += tally.requests.load(Ordering::Relaxed);
            totals.uploads += tally.uploads.load(Ordering::Relaxed);
            for (sum, counter) in refusals.iter_mut().zip(&tally.refusals) {
                *sum += counter.load(Ordering::Relaxed);
            }
        }
        let named = Code::ALL.iter().map(|code| code.row().name).zip(refusals);
        totals.refusals = named.filter(|(_, count)| *count > 0).collect();
        totals
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

#[inline]
fn add_one(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obs_5_tallies_sum_and_name_only_what_happened() {
        let (one, two) = (Tally::new(), Tally::new());
        one.request();
        two.request();
        two.refusal(Code::NotFound);
        two.refusal(Code::QuotaExceeded);
        one.upload();
        let totals = Tally::sum([&one, &two].into_iter());
        assert_eq!((totals.requests, totals.uploads), (2, 1));
        assert_eq!(totals.refusals, [("not_found", 1), ("quota_exceeded", 1)]);
    }
}
