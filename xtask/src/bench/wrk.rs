//! The load generator for HTTP/1.1: wrk's command line for a work, and what it says.

use std::process::Command;

use super::load::{Load, Order};
use super::works::{DEPTH, MIX, Manner};
use crate::context::Context;
use crate::tools::Tool;

pub(super) const TOOL: Tool = Tool::debian("wrk", "wrk");

/// The command that puts the load on the server.
pub(super) fn command(context: &Context, core: &str, order: &Order<'_>) -> Command {
    let Order { work, port, seconds, fields, last } = order;
    let mut command = context.command("taskset", &["--cpu-list", core, "wrk", "--threads", "1", "--latency"]);
    command.env("OPENSSL_CONF", "bench/openssl.cnf");
    command.args(["--connections", &work.connections.to_string(), "--duration", &format!("{seconds}s")]);
    for field in *fields {
        command.args(["--header", field]);
    }
    let many = work.path.ends_with('/');
    let depth = if work.manner == Manner::Pipelined { DEPTH } else { 1 };
    // Without a script wrk sends one ready text, which costs it least.
    let scripted = many || depth > 1 || *last > 0;
    if scripted {
        command.args(["--script", "bench/requests.lua"]);
    }
    command.arg(format!("{}://127.0.0.1:{port}{}", work.wire.scheme(), work.path));
    if scripted {
        let files = if many { MIX } else { 0 };
        command.args(["--", &files.to_string(), &depth.to_string(), &last.to_string()]);
    }
    command
}

/// Reads wrk's report; `None` where it is none.
pub(super) fn parse(report: &str) -> Option<Load> {
    let mut load = Load::default();
    let mut is_report = false;
    for line in report.lines().map(str::trim) {
        if let Some((requests, _)) = line.split_once(" requests in ") {
            load.requests = requests.parse().ok()?;
            is_report = true;
        } else if let Some(time) = line.strip_prefix("99% ") {
            load.p99_micros = Some(micros(time.trim())?);
        } else if let Some(rate) = line.strip_prefix("Requests/sec:") {
            load.per_second = rate.trim().parse().ok()?;
        } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses:") {
            load.refused = count.trim().parse().ok()?;
        } else if let Some(counts) = line.strip_prefix("Socket errors:") {
            let counts = counts.split(',').filter_map(|count| count.rsplit(' ').next()?.parse::<u64>().ok());
            load.socket_errors = counts.sum();
        }
    }
    is_report.then_some(load)
}

/// `529.00us`, `1.06ms`, `2.00s`, `1.02m` in microseconds.
fn micros(time: &str) -> Option<f64> {
    // `us` and `ms` end with an `s` too.
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6), ("m", 60e6)];
    let (number, unit) = units.iter().find_map(|(name, unit)| Some((time.strip_suffix(name)?, unit)))?;
    number.parse::<f64>().ok().map(|number| number * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "Running 1s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\n  \
        Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency     1.12ms    1.62ms  15.16ms   88.27%\n  \
        Latency Distribution\n     50%  529.00us\n     99%    7.96ms\n  66105 requests in 1.00s, 84.16MB read\n  \
        Socket errors: connect 1, read 20, write 300, timeout 4000\n  Non-2xx or 3xx responses: 7\n\
        Requests/sec:  65856.13\nTransfer/sec:     83.85MB\n";

    #[test]
    fn a_report_is_read_whole() {
        let load = Load {
            requests: 66_105,
            per_second: 65_856.13,
            p99_micros: Some(7_960.0),
            refused: 7,
            socket_errors: 4321,
        };
        assert_eq!(parse(REPORT), Some(load));
        assert_eq!(parse("unable to connect to 127.0.0.1:1\n"), None);
    }

    #[test]
    fn every_unit_of_time_is_known() {
        let times = ["529.00us", "7.96ms", "2.00s", "1.50m"].map(micros);
        assert_eq!(times, [Some(529.0), Some(7_960.0), Some(2e6), Some(90e6)]);
        assert_eq!(micros("3.00h"), None);
    }
}
