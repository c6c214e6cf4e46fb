//! What the floods did, against the bars, and as a table.

use std::fmt::Write as _;
use std::time::Duration;

use super::attack::Outcome;
use super::floods::Flood;
use crate::bench::grid::Grid;
use crate::bench::stats::Spread;
use crate::flood::good::Good;

/// A connection that the server has to end lives no longer.
const END_BAR: Duration = Duration::from_secs(1);

/// The growth of a good client's p99 that is good enough (row G5); below the floor nobody notices.
const LATENCY_BAR: f64 = 3.0;
const LATENCY_FLOOR: Duration = Duration::from_millis(5);

/// One flood, some times.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) flood: Flood,
    pub(super) rounds: Vec<Round>,
}

/// One time, beside the good clients by [`GOOD`].
#[derive(Debug)]
pub(super) struct Round {
    pub(super) outcome: Outcome,
    pub(super) calm: [Good; 2],
    pub(super) during: [Good; 2],
    /// The most that memory grew, in bytes.
    pub(super) growth: u64,
    /// The server's processor time.
    pub(super) cpu: Duration,
}

/// In the order of the figures.
const GOOD: [&str; 2] = ["that stay", "that come back"];

impl Row {
    fn over<T>(&self, of: impl Fn(&Round) -> T) -> Vec<T> {
        self.rounds.iter().map(of).collect()
    }

    /// Milliseconds of the slowest in a hundred good requests: the middle of all rounds, and their spread.
    fn p99(&self, of: impl Fn(&Round) -> &Good) -> Option<Spread> {
        let p99s = self.rounds.iter().filter_map(|round| of(round).p99());
        Spread::of(p99s.map(|p99| p99.as_secs_f64() * 1000.0))
    }

    /// How much longer those who stay waited than without the flood, in the middle of all rounds; `None` where nobody
    /// would notice. Who comes back waits for the handshakes before its own: that is told and has no bar.
    fn slower(&self) -> Option<f64> {
        let (calm, during) = (self.p99(|round| &round.calm[0])?, self.p99(|round| &round.during[0])?);
        (during.median > LATENCY_FLOOR.as_secs_f64() * 1000.0).then(|| during.median / calm.median)
    }

    fn slowest_end(&self) -> Option<Duration> {
        self.rounds.iter().flat_map(|round| &round.outcome.ended).max().copied()
    }

    fn survivors(&self) -> usize {
        self.over(|round| round.outcome.survivors).iter().sum()
    }

    fn growth(&self) -> u64 {
        self.over(|round| round.growth).into_iter().max().unwrap_or(0)
    }

    /// The bars that are missed, in words.
    pub(super) fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        if self.survivors() > 0 {
            missed.push(format!("{} connections were not ended", self.survivors()));
        }
        if self.slowest_end().is_some_and(|after| after > END_BAR) {
            missed.push(format!("a connection was ended after more than {END_BAR:?}"));
        }
        if self.growth() > self.flood.memory_bar {
            missed.push(format!("memory grew by more than {} MiB", self.flood.memory_bar >> 20));
        }
        if self.slower().is_some_and(|slower| slower > LATENCY_BAR) {
            missed.push(format!("clients that stay waited more than {LATENCY_BAR} times as long"));
        }
        for (number, who) in GOOD.iter().enumerate() {
            let failed: u64 = self.over(|round| round.during[number].failed).iter().sum();
            if failed > 0 || self.p99(|round| &round.during[number]).is_none() {
                missed.push(format!("{failed} requests of clients {who} failed"));
            }
        }
        if self.over(|round| round.outcome.connections).contains(&0) {
            missed.push("nothing was flooded".to_owned());
        }
        missed
    }

    fn cells(&self) -> [String; 10] {
        let connections: u64 = self.over(|round| round.outcome.connections).iter().sum();
        let took: f64 = self.over(|round| round.outcome.took.as_secs_f64()).iter().sum();
        let cpu: f64 = self.over(|round| round.cpu.as_secs_f64()).iter().sum();
        let ended: usize = self.over(|round| round.outcome.ended.len()).iter().sum();
        let shown = |spread: Option<Spread>| {
            spread.map_or_else(
                || "–".to_owned(),
                |Spread { median, least, most }| format!("{median:.1} ({least:.1} to {most:.1})"),
            )
        };
        [
            self.flood.name.to_owned(),
            connections.to_string(),
            format!("{:.0}", connections as f64 / took),
            format!("{:.0}", 1e6 * cpu / connections as f64),
            if ended + self.survivors() == 0 {
                "–".to_owned()
            } else {
                format!("{ended} of {}", ended + self.survivors())
            },
            self.slowest_end()
                .map_or_else(|| "–".to_owned(), |end| format!("{:.1}", end.as_secs_f64() * 1000.0)),
            format!("+{:.1}", self.growth() as f64 / 1024.0 / 1024.0),
            shown(self.p99(|round| &round.calm[0])),
            shown(self.p99(|round| &round.during[0])),
            format!(
                "{} / {}",
                shown(self.p99(|round| &round.calm[1])),
                shown(self.p99(|round| &round.during[1]))
            ),
        ]
    }
}

/// The table, and what of it is not good enough.
pub(super) fn told(rows: &[Row]) -> String {
    let mut grid = Grid::new([
        "flood",
        "connections",
        "a second",
        "µs of CPU each",
        "ended",
        "slowest end, ms",
        "memory, MiB",
        "p99 of who stays, ms",
        "in the flood",
        "of who comes back / in the flood",
    ]);
    rows.iter().for_each(|row| grid.row(row.cells()));
    let mut text = grid.to_string();
    text.push('\n');
    for Row { flood, .. } in rows {
        let _ = writeln!(text, "- `{}`: {}", flood.name, flood.what);
    }
    let missed = rows.iter().filter(|row| !row.missed().is_empty());
    let missed: Vec<String> = missed
        .map(|row| format!("\n**Missed**, `{}`: {}.\n", row.flood.name, row.missed().join("; ")))
        .collect();
    text.push_str(if missed.is_empty() { "\nAll bars hold.\n" } else { "" });
    text.push_str(&missed.concat());
    text
}

#[cfg(test)]
mod tests {
    use super::super::floods::FLOODS;
    use super::*;

    fn row() -> Row {
        let good = |millis| Good { times: vec![Duration::from_millis(millis); 100], failed: 0 };
        let outcome =
            Outcome { took: Duration::from_secs(3), connections: 6000, ended: vec![END_BAR], survivors: 0 };
        let round = Round {
            outcome,
            calm: [good(10), good(10)],
            during: [good(30), good(300)],
            growth: FLOODS[0].memory_bar,
            cpu: Duration::from_secs(1),
        };
        Row { flood: FLOODS[0], rounds: vec![round] }
    }

    #[test]
    fn every_bar_can_be_missed_alone() {
        assert_eq!(row().missed(), Vec::<String>::new());
        assert!(told(&[row()]).contains("All bars hold."));
        let spoils: [fn(&mut Round); 7] = [
            |round| round.outcome.survivors = 1,
            |round| round.outcome.ended[0] += Duration::from_millis(1),
            |round| round.growth += 1,
            |round| round.during[0].times = vec![Duration::from_millis(31); 100],
            |round| round.during[1].failed = 1,
            |round| round.during[1].times.clear(),
            |round| round.outcome.connections = 0,
        ];
        for (number, spoil) in spoils.iter().enumerate() {
            let mut row = row();
            spoil(&mut row.rounds[0]);
            assert_eq!(row.missed().len(), 1, "{number}: {:?}", row.missed());
            assert!(told(&[row]).contains("**Missed**"));
        }
    }

    #[test]
    fn what_nobody_notices_is_not_slower() {
        let mut row = row();
        row.rounds[0].calm[0].times = vec![Duration::from_millis(1); 100];
        row.rounds[0].during[0].times = vec![LATENCY_FLOOR; 100];
        assert_eq!(row.missed(), Vec::<String>::new());
    }
}
