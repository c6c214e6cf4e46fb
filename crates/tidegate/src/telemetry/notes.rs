//! What one worker writes down and everybody may read.

use std::sync::Arc;

use super::alarm::SharedMeter;
use super::board::Board;
use super::sightings::Sightings;
use super::tally::Tally;

/// One worker's counters and sightings, and the meter that all workers share; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Its counters.
    pub tally: Arc<Tally>,
    /// What it refused lately.
    pub sightings: Arc<Sightings>,
    /// How many lines on clients the log has taken in this second.
    pub(super) meter: SharedMeter,
}

impl Notes {
    /// The board on which all of `notes` can be read.
    pub fn board(notes: &[Self]) -> Board {
        Board::new(
            notes.iter().map(|notes| Arc::clone(&notes.tally)).collect(),
            notes.iter().map(|notes| Arc::clone(&notes.sightings)).collect(),
        )
    }

    /// Empty ones for each of `workers`.
    pub fn of(workers: usize) -> Vec<Self> {
        let first = Self::default();
        let next = |_| Self { meter: Arc::clone(&first.meter), ..Self::default() };
        (0..workers).map(next).collect()
    }
}
