//! What may be used at once, and by whom how often. Each limit takes `now` as an argument where time matters; what is
//! taken for a while is a permit that gives back on drop.
//!
//! `identity` who asks, and `client` its name · `ledger` what is held against it, and the rules · `rate` its requests,
//! and `rate_fields` how that is told · `bans` its offences, `scan` its vain requests · `bucket` and `table` the
//! arithmetic and the memory below · `admission` seats connections, `candidates` finds the idle ones · `budget` counts
//! the memory of bodies in progress.

pub mod admission;
pub mod bans;
mod bucket;
pub mod budget;
mod candidates;
pub mod client;
pub mod identity;
pub mod ledger;
pub mod rate;
pub mod rate_fields;
pub mod scan;
mod table;

pub use admission::{Admission, Permit, Refused};
pub use bans::BanBook;
pub use budget::Budget;
pub use client::ClientKey;
pub use identity::Client;
pub use ledger::{Guard, Ledger};

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod shuttle_tests;
