//! What may be used at once. Each limit takes `now` as an argument where time matters and hands out a
//! permit that gives back on drop.
//!
//! `admission` seats connections · `budget` counts the memory of bodies in progress.

pub mod admission;
pub mod budget;

pub use admission::{Admission, Permit};
pub use budget::Budget;
