//! `cargo xtask hosts`: a million requests of which each names another host, path, method or address.
//!
//! What clients send must become neither a label of a metric nor a byte that stays: `/metrics` may have so many series
//! and no more, and the memory of the server must not grow after the first tenth.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::Verdict;
use crate::bench::{
    self,
    servers::{Server, Setup, TIDEGATE},
};
use crate::context::Context;

/// Fewer would not fill the bounded tables of clients in their first tenth, and these take memory until they are full.
const REQUESTS: u32 = 1_000_000;

/// As many as a connection may have by default. The last one's method is unknown, which ends the connection.
const BATCH: u32 = 100;

/// What is good enough: series in all, and growth from the first tenth to the end, as a share and in bytes. Counters
/// take a page now and then.
const SERIES_BAR: usize = 2000;
const GROWTH_BAR: f64 = 0.05;
const GROWTH_BYTES: u64 = 1 << 20;

/// A batch is answered in milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The bearer of it may see `/metrics`: behind a trusted proxy nobody is a local operator.
const TOKEN: &str = "of-cargo-xtask-hosts";

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outcome {
    requests: u32,
    /// Lines of `/metrics` that are no comment.
    series: usize,
    /// Bytes of heaps and stacks after a tenth of the requests, and at the end.
    early: u64,
    late: u64,
}

/// `cargo xtask hosts FLAGS`. An `Err` says what is wrong with the flags.
pub(crate) fn run(root: &Path, flags: &[&str]) -> Result<Verdict, String> {
    let requests = match flags {
        [] => REQUESTS,
        ["--requests", number] => number
            .parse()
            .ok()
            .filter(|number| (REQUESTS..=100_000_000).contains(number))
            .ok_or("`--requests` is a number from 1000000 to 100000000")?,
        _ => return Err("`hosts` knows `--requests N` alone".to_owned()),
    };
    Ok(perform(root, requests).unwrap_or_else(|problem| {
        eprintln!("hosts: {problem}");
        Verdict::Bad
    }))
}

fn perform(root: &Path, requests: u32) -> Result<Verdict, String> {
    let context = Context::new(root).map_err(|error| format!("no folders for tools and logs: {error}"))?;
    let _alone = bench::alone()?;
    bench::build_server(&context)?;
    let scratch = bench::scratch().map_err(|error| format!("no temporary folder: {error}"))?;
    let token = scratch.path().join("token");
    fs::write(&token, TOKEN).map_err(|error| format!("no token: {error}"))?;
    let flags = ["--trusted-proxy", "127.0.0.0/8", "--access-log", "off", "--admin-token-file"];
    let flags = flags.iter().map(ToString::to_string).chain([token.to_string_lossy().into_owned()]).collect();
    let setup = Setup { flags: Some(flags), ..Setup::new(&context, scratch.path()) };
    let server = Server::start(&setup, TIDEGATE)?;
    let outcome = measure(&server, requests)?;
    println!("{}", outcome.told());
    Ok(if outcome.is_good() { Verdict::Good } else { Verdict::Bad })
}

fn measure(server: &Server, requests: u32) -> Result<Outcome, String> {
    let mut early = 0;
    let batches = requests / BATCH;
    for number in 0..batches {
        batch(server.port, number * BATCH)?;
        if number == batches / 10 {
            early = server.process.memory().anonymous;
        }
        if number % (batches / 10) == 0 {
            // An event for each client would make a log of gigabytes.
            server.forget_logs();
        }
    }
    let late = server.process.memory().anonymous;
    Ok(Outcome { requests: batches * BATCH, series: series(server.port)?, early, late })
}

/// Sends hostile requests at once, and sees each of them refused.
fn batch(port: u16, from: u32) -> Result<(), String> {
    let requests: String = (from..from + BATCH).map(|number| hostile(number, port)).collect();
    let answers = ask(port, &requests).map_err(|error| format!("request {from} and on: {error}"))?;
    let refused = answers.split("HTTP/1.1 ").skip(1).filter(|answer| answer.starts_with("40")).count();
    if refused == BATCH as usize { Ok(()) } else { Err(format!("{refused} of {BATCH} refused:\n{answers}")) }
}

/// What the server says to `requests` until it closes.
fn ask(port: u16, requests: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(requests.as_bytes())?;
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers)?;
    Ok(String::from_utf8_lossy(&answers).into_owned())
}

/// A request that nobody else makes, from an address that nobody else has.
fn hostile(number: u32, port: u16) -> String {
    let client = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + number);
    let ours = format!("127.0.0.1:{port}");
    let (method, path, host) = match number % BATCH {
        last if last == BATCH - 1 => (format!("M{number}"), "/".to_owned(), ours),
        odd if odd % 2 == 1 => ("GET".to_owned(), format!("/p{number}?q={number}"), ours),
        _ => ("GET".to_owned(), "/".to_owned(), format!("h{number}.example")),
    };
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {client}\r\n\r\n")
}

fn series(port: u16) -> Result<usize, String> {
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    );
    let answer = ask(port, &request).map_err(|error| format!("/metrics: {error}"))?;
    match answer.split_once("\r\n\r\n") {
        Some((head, text)) if head.starts_with("HTTP/1.1 200 ") => Ok(count(text)),
        _ => Err(format!("/metrics answers:\n{answer}")),
    }
}

fn count(metrics: &str) -> usize {
    metrics.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count()
}

impl Outcome {
    fn is_flat(self) -> bool {
        let growth = self.late.saturating_sub(self.early);
        growth <= GROWTH_BYTES || growth as f64 <= self.early as f64 * GROWTH_BAR
    }

    fn is_good(self) -> bool {
        (1..=SERIES_BAR).contains(&self.series) && self.is_flat()
    }

    fn told(self) -> String {
        let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
        let word = |holds| if holds { "holds" } else { "**is missed**" };
        format!(
            "{} requests, each of another host, path, method or address: {} series (at most {SERIES_BAR}: {}); {:.1} MiB \
             after a tenth, {:.1} MiB at the end (flat: {})",
            self.requests,
            self.series,
            word((1..=SERIES_BAR).contains(&self.series)),
            mib(self.early),
            mib(self.late),
            word(self.is_flat()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_request_is_another() {
        let requests: HashSet<String> = (0..1000).map(|number| hostile(number, 80)).collect();
        assert_eq!(requests.len(), 1000);
        let lines: HashSet<&str> = requests.iter().filter_map(|request| request.lines().next()).collect();
        assert_eq!(lines.len(), 500 + 1, "half of them differ by their host alone");
        assert!(hostile(99, 80).starts_with("M99 / ") && hostile(199, 80).starts_with("M199 / "));
    }

    #[test]
    fn series_are_lines_that_say_a_number() {
        assert_eq!(count("# HELP a b\n# TYPE a counter\na{b=\"c\"} 1\na{b=\"d\"} 2\n\n"), 2);
    }

    #[test]
    fn too_many_series_and_growth_are_bars_missed() {
        let good = Outcome { requests: 1000, series: 2000, early: 100 << 20, late: 105 << 20 };
        assert!(good.is_good() && !good.told().contains("missed"), "{}", good.told());
        for bad in [
            Outcome { series: 2001, ..good },
            Outcome { series: 0, ..good },
            Outcome { late: 106 << 20, ..good },
            Outcome { early: 1 << 20, late: (2 << 20) + 1, ..good },
        ] {
            assert!(!bad.is_good() && bad.told().contains("**is missed**"), "{bad:?}");
        }
        assert!(Outcome { early: 2 << 20, late: 3 << 20, ..good }.is_good(), "a page now and then");
    }
}
