//! slowhttptest: how it is told to be slow, and what it says became of its connections.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::bench::servers::{Server, Setup};
use crate::command;
use crate::tools::Tool;

pub(super) const TOOL: Tool = Tool::debian("slowhttptest", "slowhttptest");

/// Beyond its time it needs some seconds to end; after these it is ended.
const GRACE: Duration = Duration::from_secs(20);

/// How a client is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// It sends a head without end (Slowloris).
    Heads,
    /// It sends a body without end (R-U-Dead-Yet).
    Bodies,
    /// It takes its answer by the byte.
    Reads,
    /// It asks for very many ranges (Apache killer, CVE-2011-3192).
    Ranges,
}

pub(super) const MANNERS: [Manner; 4] = [Manner::Heads, Manner::Bodies, Manner::Reads, Manner::Ranges];

/// What became of the slow connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) opened: u32,
    pub(super) closed: u32,
}

impl Manner {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Heads => "heads",
            Self::Bodies => "bodies",
            Self::Reads => "reads",
            Self::Ranges => "ranges",
        }
    }

    /// The path that it asks for, and its own flags. Reads need a file that no socket holds whole.
    fn flags(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Heads => ("/small.bin", &["-H", "-i", "5"]),
            Self::Bodies => ("/upload", &["-B", "-i", "5", "-s", "100000", "-f", "application/json"]),
            Self::Reads => ("/1m.bin", &["-X", "-w", "1", "-y", "16", "-n", "5", "-z", "32"]),
            Self::Ranges => ("/small.bin", &["-R", "-i", "5", "-a", "10", "-b", "3000"]),
        }
    }
}

/// Runs it to its end, and reads what it counted.
pub(super) fn run(
    setup: &Setup<'_>,
    connections: u64,
    seconds: u64,
    manner: Manner,
    server: &Server,
) -> Result<Tally, String> {
    let prefix = setup.scratch.join(format!("slow-{}-{}", server.kind.name, manner.name()));
    let (path, flags) = manner.flags();
    let url = format!("http://127.0.0.1:{}{path}", server.port);
    let mut command = setup.context.command(TOOL.name, flags);
    // All are open after a third of the time, so that the last one too has twice that to be cut.
    let rate = connections * 3 / seconds + 1;
    command.args(["-c", &connections.to_string(), "-r", &rate.to_string(), "-l", &seconds.to_string()]);
    command.args(["-u", &url, "-v", "0", "-g", "-o"]).arg(&prefix);
    let ran = command::run(&mut command, &prefix.with_extension("log"), Duration::from_secs(seconds) + GRACE);
    // Its exit code tells how the server did, not whether it ran.
    read(&prefix.with_extension("csv")).ok_or_else(|| format!("slowhttptest said nothing:\n{}", ran.output))
}

fn read(csv: &Path) -> Option<Tally> {
    last_row(&fs::read_to_string(csv).ok()?)
}

/// `Seconds,Closed,Pending,Connected,Service Available`, one line a second.
fn last_row(csv: &str) -> Option<Tally> {
    let counts = |line: &str| line.split(',').map(|count| count.parse().ok()).collect::<Option<Vec<u32>>>();
    match csv.lines().filter_map(counts).next_back()?.as_slice() {
        [_, closed, pending, connected, _] => {
            Some(Tally { opened: closed + pending + connected, closed: *closed })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_the_report_counts() {
        let csv = "Seconds,Closed,Pending,Connected,Service Available\n0,0,1,0,300\n5,194,2,104,300\n";
        assert_eq!(last_row(csv), Some(Tally { opened: 300, closed: 194 }));
        assert_eq!(last_row("Seconds,Closed,Pending,Connected,Service Available\n"), None);
        assert_eq!(last_row(""), None);
    }
}
