//! The load generators behind one order: wrk, and h2load for what it cannot do.

use std::time::Duration;

use super::works::{Manner, Work};
use super::{h2load, wrk};
use crate::command::Ran;
use crate::context::Context;
use crate::tools::Tool;

/// The load generator has this core for itself; the servers share another.
const CORE: &str = "1";

/// Beyond its time a generator needs some milliseconds. It is killed after this much.
const GRACE: Duration = Duration::from_secs(10);

/// What one run measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Load {
    pub(super) requests: u64,
    pub(super) per_second: f64,
    /// `None` where the generator does not tell.
    pub(super) p99_micros: Option<f64>,
    /// Answers of 400 and above: no more of a status is told by both.
    pub(super) refused: u64,
    /// Connections that failed to open, to read, to write, or to answer in time; with HTTP/2 each request of these.
    pub(super) socket_errors: u64,
}

/// One run to be made.
#[derive(Debug)]
pub(super) struct Order<'a> {
    pub(super) work: &'a Work,
    pub(super) port: u16,
    pub(super) seconds: u64,
    /// Fields that every request has beside the generator's own.
    pub(super) fields: &'a [String],
    /// Every so many requests one asks to close its connection; 0 for none.
    pub(super) last: u32,
}

/// The generators that these works need.
pub(super) fn tools(works: &[&Work]) -> Vec<Tool> {
    let wanted = |tool, h2load| works.iter().any(|work| by_h2load(work) == h2load).then_some(tool);
    [wanted(wrk::TOOL, false), wanted(h2load::TOOL, true)].into_iter().flatten().collect()
}

/// Puts the load on the server. An `Err` holds what the generator said.
pub(super) fn run(context: &Context, order: &Order<'_>) -> Result<Load, String> {
    let h2load = by_h2load(order.work);
    let mut command =
        if h2load { h2load::command(context, CORE, order) } else { wrk::command(context, CORE, order) };
    let Ran { success, output } =
        context.finish_within(&mut command, Duration::from_secs(order.seconds) + GRACE);
    match if h2load { h2load::parse(&output) } else { wrk::parse(&output) } {
        Some(load) if success && load.requests > 0 => Ok(load),
        _ => Err(format!("the load generator measured nothing; it said:\n{output}")),
    }
}

fn by_h2load(work: &Work) -> bool {
    matches!(work.manner, Manner::Streams | Manner::Strangers)
}
