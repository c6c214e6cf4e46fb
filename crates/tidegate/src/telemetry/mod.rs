//! What the operator sees. An [`Exchange`](crate::exchange::Exchange) is read once, at the single exit, by
//! [`Recorder::record`]: counters, access line, security event.
//!
//! `record` the single exit · `tally` counters of one worker · `access_log` how a line reads ·
//! `log` the writer thread that no worker waits for · `escape` nothing a client sends can forge a line.

pub mod access_log;
pub mod escape;
pub mod log;
pub mod record;
pub mod tally;

pub use record::Recorder;
pub use tally::Tally;
