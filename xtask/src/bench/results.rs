//! `bench/RESULTS.md`: a preface and one section for each command, which replaces its own and no other.

use std::fmt::Write as _;
use std::fs;

use super::options::Rounds;
use super::servers::{Kind, Setup};
use crate::context::Context;

/// Below the top of the checkout.
const FILE: &str = "bench/RESULTS.md";

const PREFACE: &str = "\
# Results

Written by `cargo xtask bench`; each section by the command that it names. Run it yourself: the figures are those of one
machine on one day, move by some ten percent between two runs, and promise nothing. What holds is the ratio of two servers
that did the same work in the same round, and its spread over the rounds is the noise.

A server has one event-loop thread on core 0, the load generator (wrk, or h2load for HTTP/2; one thread) has core 1.
CPU time is the scheduler's, of all threads of all processes of a server. Its answer to each request is checked before it
is measured; a `!` marks a figure where some answers were wrong all the same. The *floor* is a bare epoll loop that parses
nothing ([floor](floor/src/main.rs)); the configurations are in [peers](peers).
";

/// The sections in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Speed,
    Log,
    DefaultRequests,
    Uploads,
    Idle,
    Slow,
    Flood,
    FloodTls,
    FloodH2,
    FloodH2Tls,
    Handshakes,
}

const SECTIONS: [Section; 11] = [
    Section::Speed,
    Section::Log,
    Section::DefaultRequests,
    Section::Uploads,
    Section::Idle,
    Section::Slow,
    Section::Flood,
    Section::FloodTls,
    Section::FloodH2,
    Section::FloodH2Tls,
    Section::Handshakes,
];

impl Section {
    fn heading(self) -> &'static str {
        match self {
            Self::Speed => "## Side by side\n",
            Self::Log => "## With the access log\n",
            Self::DefaultRequests => "## With 100 requests on a connection\n",
            Self::Uploads => "## Uploads\n",
            Self::Idle => "## Idle connections\n",
            Self::Slow => "## Slow clients\n",
            Self::Flood => "## A flood from one address\n",
            Self::FloodTls => "## A flood from one address, over TLS\n",
            Self::FloodH2 => "## Floods of HTTP/2 frames\n",
            Self::FloodH2Tls => "## Floods of HTTP/2 frames, over TLS\n",
            Self::Handshakes => "## Floods of handshakes and records\n",
        }
    }
}

/// Puts `body` in place of the section as it was. An `Err` says what stood in the way.
pub(crate) fn write(context: &Context, section: Section, body: &str) -> Result<(), String> {
    let path = context.root.join(FILE);
    let before = fs::read_to_string(&path).unwrap_or_default();
    fs::write(&path, replaced(&before, section, body))
        .map_err(|error| format!("cannot write {FILE}: {error}"))?;
    println!("written: {FILE}");
    Ok(())
}

/// Where, when and with what: the first lines of every section.
#[derive(Debug)]
pub(crate) struct Circumstances {
    command: String,
    date: String,
    kernel: String,
    processor: String,
    cores: usize,
    /// Programs that wanted a core in the last minute, before ours did.
    load: String,
}

impl Circumstances {
    /// Looks at the machine, before the first measurement.
    pub(crate) fn read(context: &Context, command: &str) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (processor, cores) = read_cpuinfo(&read("/proc/cpuinfo"));
        Self {
            command: command.to_owned(),
            date: context.run("date", &["-u", "+%Y-%m-%d"]).output.trim().to_owned(),
            // What follows the version tells of the builder, not of the kernel.
            kernel: read("/proc/sys/kernel/osrelease")
                .trim()
                .split('-')
                .next()
                .unwrap_or_default()
                .to_owned(),
            processor,
            cores,
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }

    /// With the versions of these servers.
    pub(crate) fn told(&self, setup: &Setup<'_>, kinds: &[Kind], rounds: Option<Rounds>) -> String {
        let Self { command, date, kernel, processor, cores, load } = self;
        let rounds = rounds.map_or(String::new(), |Rounds { count, seconds, .. }| {
            format!(", {count} rounds of {seconds} s")
        });
        let mut text = format!("- `{command}`{rounds}, {date}\n");
        let _ = writeln!(
            text,
            "- Linux {kernel}; {processor}, {cores} cores; load average before the run: {load}"
        );
        let versions = kinds.iter().map(|&kind| (kind.name, setup.version(kind)));
        let versions: Vec<String> = versions
            .filter(|(_, version)| !version.is_empty())
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        let _ = writeln!(text, "- {}", versions.join(", "));
        text
    }
}

/// The first processor's name and the number of all.
fn read_cpuinfo(text: &str) -> (String, usize) {
    let values = |label: &'static str| {
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        pairs.filter(move |(key, _)| key.trim() == label).map(|(_, value)| value.trim())
    };
    (values("model name").next().unwrap_or("unknown processor").to_owned(), values("processor").count())
}

/// The whole file with a new body for one section; the others stay as they are.
fn replaced(before: &str, section: Section, body: &str) -> String {
    let mut text = PREFACE.to_owned();
    for one in SECTIONS {
        let old = before
            .split_once(one.heading())
            .map(|(_, after)| after.find("\n## ").map_or(after, |end| &after[..=end]).trim());
        let body = if one == section { Some(body.trim()) } else { old };
        if let Some(body) = body {
            text.push_str(&format!("\n{}\n{body}\n", one.heading()));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_replaces_itself_alone_and_keeps_its_place() {
        let uploads = replaced("", Section::Uploads, "many");
        assert_eq!(uploads, format!("{PREFACE}\n## Uploads\n\nmany\n"));
        let both = replaced(&uploads, Section::Speed, "### CPU time\n\nfast\n");
        assert_eq!(
            both,
            format!("{PREFACE}\n## Side by side\n\n### CPU time\n\nfast\n\n## Uploads\n\nmany\n")
        );
        let again = replaced(&both, Section::Speed, "faster");
        assert_eq!(again, format!("{PREFACE}\n## Side by side\n\nfaster\n\n## Uploads\n\nmany\n"));
        assert_eq!(replaced(&again, Section::Speed, "faster"), again);
    }

    #[test]
    fn processors_are_named_and_counted() {
        let text = "processor\t: 0\nmodel name\t: Some CPU\n\nprocessor\t: 1\nmodel name\t: Some CPU\n";
        assert_eq!(read_cpuinfo(text), ("Some CPU".to_owned(), 2));
        assert_eq!(read_cpuinfo(""), ("unknown processor".to_owned(), 0));
    }
}
