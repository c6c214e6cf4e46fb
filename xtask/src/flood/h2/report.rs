//! What a flood did, against the bars, and as a table.

use std::fmt::Write as _;
use std::time::Duration;

use super::attack::Outcome;
use super::frames::{ENHANCE_YOUR_CALM, Flood};
use crate::bench::grid::Grid;
use crate::bench::servers::Kind;
use crate::flood::door::Version;
use crate::flood::good::Good;

/// A connection that floods is ended so soon, and the flood costs no more memory.
const END_BAR: Duration = Duration::from_secs(1);
const MEMORY_BAR: u64 = 2 << 20;

/// The growth of a good client's p99 that is good enough; below the floor nobody notices.
const LATENCY_BAR: f64 = 2.0;
const LATENCY_FLOOR: Duration = Duration::from_millis(5);

/// Requests that one connection may have answered at once, whatever it resets.
const ACTIVE_BAR: u64 = 100;

/// One server under one flood.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) flood: Flood,
    pub(super) kind: Kind,
    pub(super) outcome: Outcome,
    /// By [`VERSIONS`].
    pub(super) calm: [Good; 2],
    /// Beside a sink.
    pub(super) sink: [Good; 2],
    pub(super) during: [Good; 2],
    /// The most that memory grew, in bytes.
    pub(super) growth: u64,
    /// The most requests that waited for something at once; `None` where the server does not tell.
    pub(super) active: Option<u64>,
}

/// In the order of the figures.
pub(super) const VERSIONS: [Version; 2] = [Version::Http1, Version::Http2];

impl Row {
    fn slowest_end(&self) -> Option<Duration> {
        self.outcome.ended.iter().map(|ended| ended.after).max()
    }

    /// How much longer good clients waited than beside a sink; `None` where nobody would notice.
    fn slower(&self, version: usize) -> Option<f64> {
        let (sink, during) = (self.sink.get(version)?.p99()?, self.during.get(version)?.p99()?);
        (during > LATENCY_FLOOR).then(|| during.as_secs_f64() / sink.as_secs_f64())
    }

    /// The bars that are missed, in words.
    pub(super) fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        if self.outcome.survivors > 0 {
            missed.push(format!("{} connections were not ended", self.outcome.survivors));
        }
        if self.slowest_end().is_some_and(|after| after > END_BAR) {
            missed.push(format!("a connection was ended after more than {END_BAR:?}"));
        }
        if self.outcome.ended.iter().any(|ended| ended.code.is_some_and(|code| code != ENHANCE_YOUR_CALM)) {
            missed.push("another reason was given than ENHANCE_YOUR_CALM".to_owned());
        }
        if self.growth > MEMORY_BAR {
            missed.push(format!("memory grew by more than {} MiB", MEMORY_BAR >> 20));
        }
        if self.active.is_some_and(|active| active > ACTIVE_BAR) {
            missed.push(format!("more than {ACTIVE_BAR} requests were under way"));
        }
        for (version, good) in VERSIONS.iter().zip(&self.during) {
            if good.failed > 0 || good.times.is_empty() {
                missed.push(format!("{} good requests by {version:?} failed", good.failed));
            }
        }
        if (0..VERSIONS.len()).filter_map(|version| self.slower(version)).any(|slower| slower > LATENCY_BAR) {
            missed.push(format!("good clients waited more than {LATENCY_BAR} times as long"));
        }
        missed
    }
}

/// The table, and what of it is not good enough.
pub(super) fn told(rows: &[Row]) -> String {
    let mut grid = Grid::new([
        "flood",
        "server",
        "frames",
        "seconds",
        "ended",
        "slowest end, ms",
        "said so",
        "memory, MiB",
        "under way",
        "p99, h1/h2, ms",
        "beside a sink",
        "in the flood",
    ]);
    for row in rows {
        let Outcome { frames, took, ended, survivors } = &row.outcome;
        let said = ended.iter().filter(|ended| ended.code == Some(ENHANCE_YOUR_CALM)).count();
        grid.row([
            row.flood.name.to_owned(),
            row.kind.name.to_owned(),
            frames.to_string(),
            format!("{:.1}", took.as_secs_f64()),
            format!("{} of {}", ended.len(), ended.len() + survivors),
            row.slowest_end().map_or_else(|| "–".to_owned(), millis),
            said.to_string(),
            format!("+{:.1}", row.growth as f64 / 1024.0 / 1024.0),
            row.active.map_or_else(|| "–".to_owned(), |active| active.to_string()),
            p99s(&row.calm),
            p99s(&row.sink),
            p99s(&row.during),
        ]);
    }
    let mut text = grid.to_string();
    text.push('\n');
    let mut floods: Vec<Flood> = Vec::new();
    for flood in rows.iter().map(|row| row.flood) {
        if floods.iter().all(|one| one.name != flood.name) {
            let _ = writeln!(text, "- `{}`: {}", flood.name, flood.what);
            floods.push(flood);
        }
    }
    let missed = rows.iter().filter(|row| !row.missed().is_empty());
    let missed: Vec<String> = missed
        .map(|row| {
            format!("\n**Missed** by {}, `{}`: {}.\n", row.kind.name, row.flood.name, row.missed().join("; "))
        })
        .collect();
    text.push_str(if missed.is_empty() { "\nAll bars hold.\n" } else { "" });
    text.push_str(&missed.concat());
    text
}

fn millis(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1000.0)
}

fn p99s(goods: &[Good]) -> String {
    let p99s = goods.iter().map(|good| good.p99().map_or_else(|| "–".to_owned(), millis));
    p99s.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::super::attack::Ended;
    use super::super::frames::FLOODS;
    use super::*;
    use crate::bench::servers::TIDEGATE;

    fn row() -> Row {
        let good = |millis| Good { times: vec![Duration::from_millis(millis); 100], failed: 0 };
        let ended = Ended { after: Duration::from_millis(900), code: Some(ENHANCE_YOUR_CALM) };
        Row {
            flood: FLOODS[0],
            kind: TIDEGATE,
            outcome: Outcome {
                frames: 1_000_000,
                took: Duration::from_secs(4),
                ended: vec![ended],
                survivors: 0,
            },
            calm: [good(1), good(1)],
            sink: [good(10), good(10)],
            during: [good(20), good(20)],
            growth: MEMORY_BAR,
            active: Some(ACTIVE_BAR),
        }
    }

    #[test]
    fn every_bar_can_be_missed_alone() {
        assert_eq!(row().missed(), Vec::<String>::new());
        assert!(told(&[row()]).contains("All bars hold."));
        let mut rows: Vec<Row> = (0..7).map(|_| row()).collect();
        rows[0].outcome.survivors = 1;
        rows[1].outcome.ended[0].after = Duration::from_millis(1001);
        rows[2].outcome.ended[0].code = Some(1);
        rows[3].growth += 1;
        rows[4].active = Some(ACTIVE_BAR + 1);
        rows[5].during[1].failed = 1;
        rows[6].during[0].times = vec![Duration::from_millis(21); 100];
        for (number, bad) in rows.iter().enumerate() {
            assert_eq!(bad.missed().len(), 1, "{number}: {:?}", bad.missed());
        }
        assert_eq!(told(&rows).matches("**Missed**").count(), 7);
    }

    #[test]
    fn what_nobody_notices_is_not_slower() {
        let mut row = row();
        row.sink[0].times = vec![Duration::from_millis(1); 100];
        row.during[0].times = vec![LATENCY_FLOOR; 100];
        assert_eq!(row.missed(), Vec::<String>::new());
    }
}
