//! What a step found, and how that is shown.

use std::fmt::Write as _;
use std::time::Duration;

use crate::Verdict;
use crate::command::Ran;

/// Counts of single checks: a test, a fuzz target, or a step that is one check by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

/// The result of one step.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) tally: Tally,
    /// Worth a line even when all is well, such as the name of what was skipped and why.
    pub(crate) notes: Vec<String>,
    /// Everything the failed programs said.
    pub(crate) output: String,
}

/// One line of the closing table.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) took: Duration,
    pub(super) report: Report,
}

impl Report {
    pub(crate) fn passed() -> Self {
        Self { tally: Tally { passed: 1, ..Tally::default() }, ..Self::default() }
    }

    pub(crate) fn failed(output: impl Into<String>) -> Self {
        Self { tally: Tally { failed: 1, ..Tally::default() }, output: output.into(), ..Self::default() }
    }

    /// One check was not made; `what` names it and the reason.
    pub(super) fn skipped(what: impl Into<String>) -> Self {
        let mut report = Self::default();
        report.skip(what);
        report
    }

    /// A program that is one check by itself.
    pub(super) fn of(ran: Ran) -> Self {
        if ran.success { Self::passed() } else { Self::failed(ran.output) }
    }

    /// A program that counts its own checks. Where it failed without naming a failed check (it did not build, or it
    /// died), that is one failure more; where it counted nothing at all, nothing was checked, which is a failure too.
    pub(super) fn counted(ran: Ran, mut tally: Tally) -> Self {
        if tally.failed == 0 && (!ran.success || tally == Tally::default()) {
            tally.failed = 1;
        }
        let output = if tally.failed > 0 { ran.output } else { String::new() };
        Self { tally, output, ..Self::default() }
    }

    pub(super) fn skip(&mut self, what: impl Into<String>) {
        self.tally.skipped += 1;
        self.notes.push(format!("skipped: {}", what.into()));
    }

    /// Adds what another check of the same step found.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.tally = self.tally.plus(other.tally);
        self.notes.extend(other.notes);
        self.output.push_str(&other.output);
    }

    /// What all of `parts` found together.
    pub(crate) fn sum(parts: impl IntoIterator<Item = Self>) -> Self {
        parts.into_iter().fold(Self::default(), |mut sum, part| {
            sum.absorb(part);
            sum
        })
    }

    /// Makes every skip a failure.
    pub(super) fn forbid_skips(&mut self) {
        if self.tally.skipped > 0 {
            self.notes.push("with CI=true a skip is a failure".to_owned());
        }
        self.tally.failed += self.tally.skipped;
        self.tally.skipped = 0;
    }
}

impl Tally {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl Row {
    /// What is printed when the step ends.
    pub(super) fn details(&self) -> String {
        let Report { tally, notes, output } = &self.report;
        let mut text = String::new();
        if tally.failed > 0 && !output.is_empty() {
            let _ = writeln!(text, "{}", output.trim_end());
        }
        for note in notes {
            let _ = writeln!(text, "   {note}");
        }
        let word = match tally {
            Tally { failed: 1.., .. } => "FAILED",
            Tally { passed: 0, .. } => "skipped",
            _ => "ok",
        };
        let _ = writeln!(text, "   {word}, {:.1} s", self.took.as_secs_f64());
        text
    }
}

/// The closing table; its last line is the sum, alone on its line.
pub(super) fn summary(rows: &[Row]) -> String {
    let mut text =
        format!("\n{:<9} {:>7} {:>7} {:>8} {:>9}\n", "step", "passed", "failed", "skipped", "time");
    for Row { name, took, report: Report { tally, .. } } in rows {
        let Tally { passed, failed, skipped } = tally;
        let _ =
            writeln!(text, "{name:<9} {passed:>7} {failed:>7} {skipped:>8} {:>7.1} s", took.as_secs_f64());
    }
    let Tally { passed, failed, skipped } = total(rows);
    let _ = writeln!(text, "\n{passed} passed, {failed} failed, {skipped} skipped");
    text
}

pub(super) fn verdict(rows: &[Row]) -> Verdict {
    if total(rows).failed == 0 { Verdict::Good } else { Verdict::Bad }
}

fn total(rows: &[Row]) -> Tally {
    rows.iter().fold(Tally::default(), |sum, row| sum.plus(row.report.tally))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(report: Report) -> Row {
        Row { name: "x", took: Duration::from_millis(1500), report }
    }

    fn ran(success: bool) -> Ran {
        Ran { success, output: "what it said".to_owned() }
    }

    #[test]
    fn the_last_line_is_the_sum() {
        let rows = [row(Report::passed()), row(Report::failed("no")), row(Report::skipped("y: no tool"))];
        assert_eq!(summary(&rows).lines().last(), Some("1 passed, 1 failed, 1 skipped"));
        assert_eq!(verdict(&rows), Verdict::Bad);
        assert_eq!(verdict(&rows[..1]), Verdict::Good);
    }

    #[test]
    fn a_failed_step_shows_its_output_and_a_good_one_does_not() {
        assert!(row(Report::of(ran(false))).details().starts_with("what it said\n"));
        assert_eq!(row(Report::of(ran(true))).details(), "   ok, 1.5 s\n");
    }

    #[test]
    fn a_skip_is_named_and_can_be_forbidden() {
        let mut report = Report::skipped("fuzz: cargo-fuzz is missing");
        assert_eq!(row(Report::skipped("fuzz: z")).details(), "   skipped: fuzz: z\n   skipped, 1.5 s\n");
        report.forbid_skips();
        assert_eq!(report.tally, Tally { failed: 1, ..Tally::default() });
    }

    #[test]
    fn a_program_that_failed_without_counting_is_a_failure() {
        let passed = Tally { passed: 3, ..Tally::default() };
        assert_eq!(Report::counted(ran(false), passed).tally, Tally { failed: 1, ..passed });
        assert_eq!(Report::counted(ran(true), passed).tally, passed);
        assert_eq!(Report::counted(ran(true), Tally::default()).tally.failed, 1);
    }
}
