//! What the operator sees. An [`Exchange`](crate::exchange::Exchange) is read once, at the single exit, by
//! [`Recorder::record`]: counters, access line, security event.
//!
//! `record` the single exit · `access_log` how a line reads · `stamp` when it was, `digits` its numbers, `escape`
//! nothing a client sends can forge a line · `log` the writer thread that no worker waits for · `batch` what it is
//! handed, and gives back.
//!
//! `tally` counters of one worker, by `labels` from closed sets, durations as a `histogram` · `totals` their sum ·
//! `process` what the kernel counts · `metrics` every name that is told, `exposition` how it is written.
//!
//! `sightings` what was lately refused, with `offenders` by whom most · `panics` each counted and told · `meter` how much
//! of both the log takes · `board` the last minutes, second by second.

pub mod access_log;
mod alarm;
pub mod batch;
pub mod board;
pub mod digits;
pub mod escape;
pub mod exposition;
pub mod histogram;
pub mod labels;
pub mod log;
pub mod meter;
pub mod metrics;
pub mod notes;
pub mod offenders;
pub mod panics;
pub mod process;
pub mod record;
pub mod sightings;
pub mod stamp;
pub mod tally;
pub mod totals;
pub mod verdict;

pub use board::{Board, Gauges};
pub use notes::Notes;
pub use record::Recorder;
pub use tally::Tally;
pub use totals::Totals;
