//! The load generator for HTTP/2, and for clients without a past: h2load's command line for a work, and what it says.

use std::process::Command;

use super::load::{Load, Order};
use super::works::{HANDSHAKES, Manner, STREAMS};
use crate::context::Context;
use crate::tools::Tool;

pub(super) const TOOL: Tool = Tool::debian("h2load", "nghttp2-client");

/// The command that puts the load on the server. A port that speaks TLS is asked for `h2` by ALPN.
pub(super) fn command(context: &Context, core: &str, order: &Order<'_>) -> Command {
    let Order { work, port, seconds, .. } = order;
    let mut command = context.command("taskset", &["--cpu-list", core, "h2load", "--threads", "1"]);
    if work.manner == Manner::Strangers {
        let all = (u64::from(HANDSHAKES) * seconds).to_string();
        let period = format!("{}ms", 1000 * work.connections / HANDSHAKES);
        command.args(["--h1", "--clients", &all, "--requests", &all]);
        command.args(["--rate", &work.connections.to_string(), "--rate-period", &period]);
    } else {
        command.args([
            "--clients",
            &work.connections.to_string(),
            "--max-concurrent-streams",
            &STREAMS.to_string(),
        ]);
        command.args(["--duration", &seconds.to_string()]);
    }
    command.arg(format!("{}://127.0.0.1:{port}{}", work.wire.scheme(), work.path));
    command
}

/// Reads h2load's report; `None` where it is none. It tells no percentiles, and its log of all requests costs it a third
/// of its speed.
pub(super) fn parse(report: &str) -> Option<Load> {
    let mut load = Load::default();
    let mut is_report = false;
    for line in report.lines().map(str::trim) {
        if let Some(counts) = line.strip_prefix("requests:") {
            load.requests = count(counts, "done")?;
            load.socket_errors = count(counts, "failed")? + count(counts, "errored")?;
            is_report = true;
        } else if let Some(counts) = line.strip_prefix("status codes:") {
            load.refused = count(counts, "4xx")? + count(counts, "5xx")?;
        } else if line.starts_with("finished in ") {
            let rate = line.split(',').find_map(|part| part.trim().strip_suffix(" req/s"));
            load.per_second = rate?.parse().ok()?;
        }
    }
    is_report.then_some(load)
}

/// The number before this word in `104128 total, 104640 started, …`.
fn count(counts: &str, word: &str) -> Option<u64> {
    counts.split(',').find_map(|part| part.trim().strip_suffix(word)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "progress: 100% of clients started\nApplication protocol: h2c\n\n\
        finished in 2.00s, 52064.00 req/s, 57.10MB/s\n\
        requests: 104128 total, 104640 started, 104128 done, 104100 succeeded, 20 failed, 8 errored, 0 timeout\n\
        status codes: 104100 2xx, 0 3xx, 5 4xx, 3 5xx\n\
        time for request:      320us     26.53ms      9.76ms      2.05ms    92.17%\n";

    #[test]
    fn a_report_is_read_whole() {
        let load =
            Load { requests: 104_128, per_second: 52_064.0, p99_micros: None, refused: 8, socket_errors: 28 };
        assert_eq!(parse(REPORT), Some(load));
        assert_eq!(parse("starting benchmark...\n"), None);
    }
}
