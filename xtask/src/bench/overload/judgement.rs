//! What an overload must not do to a server: the bars, and whether each was kept.

use std::fmt;
use std::time::Duration;

use super::super::grid::Grid;
use super::super::report::thousands;
use super::super::stats::quantile;
use super::FACTOR;
use super::probe::Health;
use super::schedule::Seen;

/// The least share of the peak that is still served.
const GOODPUT_BAR: f64 = 0.9;

/// A refusal is told within so many milliseconds, 99 of 100 times.
const REFUSAL_BAR: f64 = 10.0;

/// Who was admitted has waited no longer than this many milliseconds, 99 of 100 times: the 33 places of the small pool
/// cost 130 on a disk that stores 250 uploads a second.
const ADMITTED_BAR: f64 = 1000.0;

/// The server tells at most 128 connections at a time that there is no seat; where the machine stands still for some
/// hundredths of a second more have come, and are closed without a word.
const SILENT_BAR: f64 = 0.01;

/// Less than this share of the factor is no overload to speak of.
const OFFERED_BAR: f64 = 0.95 * FACTOR;

/// What one work gave.
#[derive(Debug)]
pub(super) struct Judgement {
    /// Served in a second when nobody asks for more: before, …
    pub(super) peak: f64,
    pub(super) seen: Seen,
    pub(super) health: Health,
    /// … and afterwards.
    pub(super) again: f64,
    pub(super) time: Duration,
    /// How often the log said that the pool was saturated, and how often it should.
    pub(super) said: usize,
    pub(super) may_say: usize,
}

/// One row: what was found, what should have been.
struct Bar {
    what: &'static str,
    found: String,
    wanted: String,
    kept: bool,
}

impl Judgement {
    pub(super) fn is_kept(&self) -> bool {
        self.bars().iter().all(|bar| bar.kept)
    }

    fn bars(&self) -> Vec<Bar> {
        let rate = |count: u64| count as f64 / self.time.as_secs_f64();
        let offered = rate(self.seen.offered) / self.peak;
        let goodput = rate(self.seen.in_time) / self.peak;
        let again = self.again / self.peak;
        let silent = self.seen.silent as f64 / self.seen.offered.max(1) as f64;
        let health = &self.health;
        let (answered, odd) = (health.well + health.refused, self.seen.odd);
        let bar = |what, found, wanted, kept| Bar { what, found, wanted, kept };
        vec![
            bar(
                "offered, of the peak",
                format!("{offered:.2} x"),
                format!("≥ {OFFERED_BAR:.2} x"),
                offered >= OFFERED_BAR,
            ),
            bar(
                "served in time, of the peak",
                format!("{goodput:.2} x"),
                format!("≥ {GOODPUT_BAR:.2} x"),
                goodput >= GOODPUT_BAR,
            ),
            bar(
                "served afterwards, of the peak",
                format!("{again:.2} x"),
                format!("≥ {GOODPUT_BAR:.2} x"),
                again >= GOODPUT_BAR,
            ),
            latency("refused within, p99", &self.seen.refused, REFUSAL_BAR),
            latency("served within, p99", &self.seen.served, ADMITTED_BAR),
            bar(
                "closed without a word, of all",
                format!("{:.2} %", silent * 100.0),
                format!("≤ {:.0} %", SILENT_BAR * 100.0),
                silent <= SILENT_BAR,
            ),
            bar("other answers, and errors", odd.to_string(), "0".to_owned(), odd == 0),
            bar(
                "/healthz answered",
                format!("{answered} of {}", health.asked),
                "all".to_owned(),
                answered == health.asked && health.asked > 0,
            ),
            bar(
                "\"thread pool saturated\" in the log",
                self.said.to_string(),
                self.may_say.to_string(),
                self.said == self.may_say,
            ),
        ]
    }
}

/// Nothing measured keeps no bar.
fn latency(what: &'static str, sorted: &[f64], bar: f64) -> Bar {
    let p99 = quantile(sorted, 0.99);
    Bar {
        what,
        found: p99.map_or("none".to_owned(), |p99| format!("{p99:.2} ms")),
        wanted: format!("≤ {bar:.0} ms"),
        kept: p99.is_some_and(|p99| p99 <= bar),
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bars = Grid::new(["bar", "found", "wanted", ""]);
        for bar in self.bars() {
            let word = if bar.kept { "ok" } else { "NO" };
            bars.row([bar.what, &bar.found, &bar.wanted, word]);
        }
        let mut times = Grid::new(["milliseconds", "count", "p50", "p99", "most"]);
        let seen = &self.seen;
        for (name, sorted) in [
            ("served", &seen.served),
            ("refused", &seen.refused),
            ("left late by", &seen.late),
            ("a sleeper woke late by", &self.health.overslept),
        ] {
            let at = |share| quantile(sorted, share).map_or(String::new(), |value| format!("{value:.2}"));
            times.row([name.to_owned(), thousands(sorted.len() as f64), at(0.5), at(0.99), at(1.0)]);
        }
        let Health { well, refused, worst, .. } = self.health;
        writeln!(f, "\npeak: {} a second\n\n{bars}\n{times}", thousands(self.peak))?;
        write!(f, "/healthz: {well} well, {refused} refused, the slowest in {worst:.1} ms")?;
        match &seen.example {
            Some(example) => writeln!(f, "; another answer or an error: {example}"),
            None => writeln!(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Judgement {
        let seen = Seen {
            offered: 500,
            served: vec![30.0; 100],
            refused: vec![1.0; 400],
            in_time: 100,
            late: vec![0.1; 500],
            silent: 2,
            odd: 0,
            example: None,
        };
        let health = Health { asked: 10, well: 9, refused: 1, worst: 2.0, overslept: vec![0.1] };
        Judgement {
            peak: 100.0,
            seen,
            health,
            again: 95.0,
            time: Duration::from_secs(1),
            said: 1,
            may_say: 1,
        }
    }

    #[test]
    fn each_bar_can_be_missed_alone() {
        assert!(good().is_kept(), "{}", good());
        let spoil: [fn(&mut Judgement); 10] = [
            |it| it.seen.offered = 400,
            |it| it.again = 89.0,
            |it| it.seen.silent = 6,
            |it| it.seen.in_time = 89,
            |it| it.seen.refused = vec![10.5; 400],
            |it| it.seen.refused.clear(),
            |it| it.seen.served = vec![1001.0; 100],
            |it| it.seen.odd = 1,
            |it| it.health.well = 8,
            |it| it.said = 2,
        ];
        for (number, spoil) in spoil.iter().enumerate() {
            let mut judgement = good();
            spoil(&mut judgement);
            let missed = judgement.bars().iter().filter(|bar| !bar.kept).count();
            assert_eq!(missed, 1, "{number}: {judgement}");
            assert!(judgement.to_string().contains("NO"));
        }
    }
}
