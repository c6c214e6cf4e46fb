//! tidegate beside the others: ratios round by round, the best peer, and whether a bar holds.

use super::servers::{Kind, Role};
use super::speed::{Row, Table};
use super::stats::{self, Spread};
use super::works::{Bar, Rival};

/// tidegate's CPU time over that of one other server.
#[derive(Debug, PartialEq)]
pub(super) struct Comparison {
    pub(super) other: Kind,
    pub(super) ratio: Spread,
    /// The largest ratios that are good enough, and that we would like; where they were set.
    pub(super) must: Option<f64>,
    pub(super) should: Option<f64>,
}

impl Comparison {
    /// Whether the ratio is within `bar`, which is one of ours.
    pub(super) fn is_within(&self, bar: f64) -> bool {
        self.ratio.median <= bar
    }
}

impl Table {
    /// tidegate against those that the work's bars name, and against its own variants, as far as they took part.
    /// Where only a build of `--binary` takes part, that is ours.
    pub(super) fn comparisons(&self) -> Vec<Comparison> {
        let with = |role| self.rows.iter().find(move |row| row.kind.role == role);
        let Some(ours) = with(Role::Ours).or_else(|| with(Role::Variant)) else { return Vec::new() };
        let over = |row: &Row, must, should| {
            Some(Comparison { other: row.kind, ratio: stats::ratio(&ours.cpu, &row.cpu)?, must, should })
        };
        let judged = self.work.bars.iter().filter_map(|bar| over(self.rival(bar)?, bar.must, bar.should));
        let variants = self.rows.iter().filter(|row| row.kind.role == Role::Variant && row.kind != ours.kind);
        judged.chain(variants.filter_map(|row| over(row, None, None))).collect()
    }

    fn rival(&self, bar: &Bar) -> Option<&Row> {
        match bar.rival {
            Rival::Floor => self.rows.iter().find(|row| row.kind.role == Role::Floor),
            Rival::Best => self.best_peer(),
            Rival::Peer(name) => self.rows.iter().find(|row| row.kind.name == name),
        }
    }

    /// The peer with the least CPU time among those whose answers were all right.
    fn best_peer(&self) -> Option<&Row> {
        let peers = self.rows.iter().filter(|row| row.kind.role == Role::Peer && row.faults == 0);
        let medians = peers.filter_map(|row| Some((row, row.cpu_spread()?.median)));
        medians.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(row, _)| row)
    }
}

impl Row {
    /// CPU microseconds of a request; `None` before the first round.
    pub(super) fn cpu_spread(&self) -> Option<Spread> {
        Spread::of(self.cpu.iter().copied())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::servers::{FLOOR, KINDS, TIDEGATE, TIDEGATE_B};
    use super::super::works::WORKS;
    use super::*;

    fn row(kind: Kind, cpu: [f64; 3], faults: u64) -> Row {
        let [per_second, p99_micros] = [vec![80_000.0; 3], vec![1_500.0; 3]];
        Row { kind, cpu: cpu.to_vec(), per_second, p99_micros, faults, agreed: None }
    }

    /// `small`: nginx is the fastest and errs, h2o is the best of the honest.
    pub(in super::super) fn table() -> Table {
        let rows = vec![
            row(FLOOR, [5.0, 5.0, 5.0], 0),
            row(TIDEGATE, [6.0, 6.0, 12.0], 0),
            row(KINDS[2], [1.0, 1.0, 1.0], 9),
            row(KINDS[3], [8.0, 10.0, 12.0], 0),
            row(KINDS[4], [20.0, 20.0, 20.0], 0),
        ];
        Table { work: &WORKS[0], rows }
    }

    /// The same rows under another work's bars.
    fn under(name: &str) -> Table {
        let work = WORKS.iter().find(|work| work.name == name);
        Table { work: work.unwrap_or_else(|| panic!("no work {name}")), ..table() }
    }

    #[test]
    fn the_floor_and_the_best_honest_peer_are_compared() {
        let comparisons = table().comparisons();
        let seen: Vec<_> =
            comparisons.iter().map(|c| (c.other.name, c.ratio.median, c.must, c.should)).collect();
        assert_eq!(seen, [("floor", 1.2, Some(1.20), Some(1.10)), ("h2o", 0.75, Some(0.85), None)]);
        assert_eq!(comparisons[1].ratio, Spread { median: 0.75, least: 0.6, most: 1.0 });
        let within = [(0, 1.20), (0, 1.10), (1, 0.85)].map(|(at, bar)| comparisons[at].is_within(bar));
        assert_eq!(within, [true, false, true]);
    }

    #[test]
    fn a_peer_that_is_named_is_compared_even_where_another_is_better() {
        let table = under("h2-small");
        let seen: Vec<_> = table.comparisons().iter().map(|c| (c.other.name, c.must, c.should)).collect();
        assert_eq!(seen, [("nginx", Some(0.80), None), ("lighttpd", None, Some(1.0))]);
    }

    #[test]
    fn another_build_stands_in_for_ours_or_beside_it() {
        let mut table = table();
        table.rows.push(row(TIDEGATE_B, [3.0; 3], 0));
        let others = |table: &Table| table.comparisons().iter().map(|c| c.other.name).collect::<Vec<_>>();
        assert_eq!(others(&table), ["floor", "h2o", "tidegate-b"]);
        table.rows.remove(1);
        assert_eq!(others(&table), ["floor", "h2o"]);
        table.rows.pop();
        assert!(others(&table).is_empty());
    }
}
