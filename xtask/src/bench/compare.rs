//! tidegate beside the others: ratios round by round, the best peer, and whether a bar holds.

use super::servers::{Kind, Role};
use super::speed::{Row, Table};
use super::stats::{self, Spread};

/// tidegate's CPU time over that of one other server.
#[derive(Debug, PartialEq)]
pub(super) struct Comparison {
    pub(super) other: Kind,
    pub(super) ratio: Spread,
    /// The largest ratio that is good enough, where one was set.
    pub(super) bar: Option<f64>,
}

impl Comparison {
    /// `None` where there is no bar.
    pub(super) fn holds(&self) -> Option<bool> {
        self.bar.map(|bar| self.ratio.median <= bar)
    }
}

impl Table {
    /// tidegate against the floor, its own variants and the best peer, as far as they took part.
    pub(super) fn comparisons(&self) -> Vec<Comparison> {
        let Some(ours) = self.rows.iter().find(|row| row.kind.role == Role::Ours) else { return Vec::new() };
        let best = self.best_peer();
        let compared = self.rows.iter().filter_map(|row| {
            let bar = match row.kind.role {
                Role::Floor => self.work.bars.floor,
                Role::Variant => None,
                Role::Peer if best == Some(row.kind) => Some(self.work.bars.peer),
                Role::Peer | Role::Ours => return None,
            };
            Some(Comparison { other: row.kind, ratio: stats::ratio(&ours.cpu, &row.cpu)?, bar })
        });
        compared.collect()
    }

    /// The peer with the least CPU time among those whose answers were all right.
    fn best_peer(&self) -> Option<Kind> {
        let peers = self.rows.iter().filter(|row| row.kind.role == Role::Peer && row.faults == 0);
        let medians = peers.filter_map(|row| Some((row.kind, row.cpu_spread()?.median)));
        medians.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(kind, _)| kind)
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
    use super::super::servers::{FLOOR, KINDS, TIDEGATE};
    use super::super::works::WORKS;
    use super::*;

    fn row(kind: Kind, cpu: [f64; 3], faults: u64) -> Row {
        let [per_second, p99_micros] = [vec![80_000.0; 3], vec![1_500.0; 3]];
        Row { kind, cpu: cpu.to_vec(), per_second, p99_micros, faults }
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

    #[test]
    fn the_floor_and_the_best_honest_peer_are_compared() {
        let comparisons = table().comparisons();
        let seen: Vec<_> = comparisons.iter().map(|c| (c.other.name, c.ratio.median, c.bar)).collect();
        assert_eq!(seen, [("floor", 1.2, Some(1.20)), ("h2o", 0.75, Some(0.85))]);
        assert_eq!(comparisons[1].ratio, Spread { median: 0.75, least: 0.6, most: 1.0 });
        assert_eq!(comparisons.iter().map(Comparison::holds).collect::<Vec<_>>(), [Some(true); 2]);
    }

    #[test]
    fn a_missed_bar_is_seen() {
        let mut table = table();
        table.rows[1].cpu = vec![6.1; 3];
        assert_eq!(table.comparisons()[0].holds(), Some(false));
    }

    #[test]
    fn without_tidegate_there_is_nothing_to_compare() {
        let mut table = table();
        table.rows.remove(1);
        assert_eq!(table.comparisons(), []);
    }
}
