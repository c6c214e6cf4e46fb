//! What the operator sees. An [`Exchange`](crate::exchange::Exchange) is read once, at the single exit, by
//! [`Recorder::record`]: counters, access line, security event.
//!
//! `record` the single exit · `tally` counters of one worker · `access_log` how a line reads · `stamp` when it was,
//! `digits` its numbers, `escape` nothing a client sends can forge a line · `log` the writer thread that no worker
//! waits for · `batch` what it is handed, and gives back.

pub mod access_log;
pub mod batch;
pub mod digits;
pub mod escape;
pub mod log;
pub mod record;
pub mod stamp;
pub mod tally;

pub use record::Recorder;
pub use tally::Tally;
