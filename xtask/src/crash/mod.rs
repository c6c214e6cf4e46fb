//! `cargo xtask crash`: uploads while the server is killed or the disk loses its power; is what was acknowledged there?
//!
//! ```text
//! some strikes on one folder (season.rs), then a new one ─► a row for each kind of strike ─► verdict
//!   uploads.rs   what is sent: each upload is known by a number     disk.rs     an ext4 whose power can be cut
//!   ledger.rs    what was promised, against what lies there         victim.rs   the server, in several ways
//! ```
//! With `--no-fsync` power cuts must lose uploads, with `--no-link` kills must: that shows what is measured.

mod disk;
pub(crate) mod ledger;
mod season;
pub(crate) mod uploads;
pub(crate) mod victim;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{fmt, fs};

use crate::Verdict;
use crate::bench;
use crate::bench::grid::Grid;
use crate::command::TempDir;
use crate::context::Context;
use crate::dice::{self, Dice};
use crate::mounts;
use crate::tools::{self, Missing};
use season::{Aftermath, Run, Season, Strike};
use uploads::Uploads;
use victim::{Scene, Way};

/// Folders of a run that was itself killed are known by this word, and removed by the next run.
const PURPOSE: &str = "crash";

/// Strikes on one folder before it is replaced: what was acknowledged must outlive more than one.
const SEASON: u64 = 5;

/// Between two lines that tell how far it is.
const NEWS: u64 = 50;

/// So many faults are told in words; their number says the rest.
const MOST_TOLD: u64 = 10;

/// More would take weeks.
const MOST_STRIKES: u64 = 1_000_000;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    kills: u64,
    power_cuts: u64,
    /// A negative control, or none.
    sabotage: Option<Way>,
    /// `None` for any.
    seed: Option<u64>,
    /// The server; `None` for one that is built first.
    binary: Option<PathBuf>,
}

/// Some ten minutes.
const WHOLE: Plan = Plan { kills: 1000, power_cuts: 200, sabotage: None, seed: None, binary: None };

/// What all strikes of a kind came to.
#[derive(Debug, Default)]
struct Row {
    strikes: u64,
    sent: u64,
    acknowledged: u64,
    swept: u64,
    /// Counts of [`ledger::Faults::kinds`].
    faults: [u64; 5],
}

/// By what was done, and how uploads were written then.
#[derive(Debug, Default)]
struct Tally(BTreeMap<(Strike, Way), Row>);

/// `cargo xtask crash FLAGS`. An `Err` says what is wrong with the flags.
pub(crate) fn run(root: &Path, flags: &[&str]) -> Result<Verdict, String> {
    let plan = parse(flags)?;
    Ok(mounts::apart("crash", flags, "mounts, and the cut of their power, need root", || {
        perform(root, &plan)
    }))
}

fn parse(words: &[&str]) -> Result<Plan, String> {
    let mut plan = WHOLE;
    let mut rest = words.iter();
    while let Some(&flag) = rest.next() {
        let mut value = || rest.next().copied().ok_or_else(|| format!("`{flag}` needs a value"));
        let number = |text: &str, most: u64| {
            let number = text.parse().ok().filter(|number| *number <= most);
            number.ok_or_else(|| format!("`{flag}` is a number up to {most}"))
        };
        match flag {
            "--kills" => plan.kills = number(value()?, MOST_STRIKES)?,
            "--powercuts" => plan.power_cuts = number(value()?, MOST_STRIKES)?,
            "--seed" => plan.seed = Some(number(value()?, u64::MAX)?),
            "--binary" => plan.binary = Some(PathBuf::from(value()?)),
            "--no-fsync" => plan.sabotage = Some(Way::NoFsync),
            "--no-link" => plan.sabotage = Some(Way::NoLink),
            _ => return Err(format!("`crash` does not know `{flag}`")),
        }
    }
    Ok(plan)
}

fn perform(root: &Path, plan: &Plan) -> Result<Verdict, String> {
    let context = Context::new(root).map_err(|error| format!("no folders for tools and logs: {error}"))?;
    let wanted = [&disk::TOOLS[..], &[victim::STRACE]].concat();
    if let Some(Missing::NotTried(why) | Missing::Failed(why)) =
        tools::install_missing(&wanted, &context).pop()
    {
        return Err(why);
    }
    let binary = server(&context, plan.binary.as_deref())?;
    TempDir::sweep(&context.target, PURPOSE);
    let seed = plan.seed.unwrap_or_else(dice::any_seed);
    println!("crash: {} kills and {} power cuts, --seed {seed}", plan.kills, plan.power_cuts);
    let scene = Scene { context: &context, binary: &binary, log: Path::new(""), flags: &[] };
    let mut run = Run { scene, uploads: Uploads::new(seed), dice: Dice::new(seed), way: plan.sabotage };
    let begun = Instant::now();
    let mut tally = Tally::default();
    strike(&mut run, "kills", plan.kills, false, &mut tally)?;
    strike(&mut run, "power cuts", plan.power_cuts, true, &mut tally)?;
    println!("\n{tally}\n{} s. {}", begun.elapsed().as_secs(), tally.verdict());
    Ok(if tally.is_good() { Verdict::Good } else { Verdict::Bad })
}

/// The server that is tried: the one given, or one as its users build it.
pub(crate) fn server(context: &Context, binary: Option<&Path>) -> Result<PathBuf, String> {
    match binary {
        Some(path) => fs::canonicalize(path).map_err(|error| format!("`--binary`: {error}")),
        None => {
            bench::build_server(context)?;
            Ok(context.target.join("release/tidegate"))
        }
    }
}

/// Strikes so often. A season ends early where something was lost, for it would be missed again and again.
fn strike(
    run: &mut Run<'_>,
    what: &str,
    count: u64,
    on_a_disk: bool,
    tally: &mut Tally,
) -> Result<(), String> {
    let mut season = None;
    for number in 0..count {
        let mut current = match season.take() {
            Some(season) if number % SEASON != 0 => season,
            _ => Season::new(run, on_a_disk)?,
        };
        let strike = match on_a_disk {
            true => Strike::PowerCut,
            false if run.dice.one_in(5) => Strike::KillTwice,
            false => Strike::Kill,
        };
        let aftermath = current.strike(run, strike)?;
        if aftermath.faults.is_none() {
            season = Some(current);
        }
        tally.add(strike, aftermath);
        if (number + 1) % NEWS == 0 {
            let (acknowledged, faults) = tally.sums();
            println!(
                "{what}: {} of {count}; {acknowledged} uploads acknowledged, {faults} faults",
                number + 1
            );
        }
    }
    Ok(())
}

impl Tally {
    fn add(&mut self, strike: Strike, aftermath: Aftermath) {
        let told_before = self.sums().1;
        let Aftermath { way, sent, acknowledged, swept, faults } = aftermath;
        let row = self.0.entry((strike, way)).or_default();
        row.strikes += 1;
        row.sent += sent;
        row.acknowledged += acknowledged;
        row.swept += swept as u64;
        let mut told = told_before;
        for ((kind, found), count) in faults.kinds().into_iter().zip(&mut row.faults) {
            *count += found.len() as u64;
            for fault in found {
                if told < MOST_TOLD {
                    println!("{kind}, after a {}, {}: {fault}", strike.name(), way.name());
                }
                told += 1;
            }
        }
    }

    /// Acknowledged uploads and faults, over all strikes.
    fn sums(&self) -> (u64, u64) {
        let faults = self.0.values().flat_map(|row| row.faults).sum();
        (self.0.values().map(|row| row.acknowledged).sum(), faults)
    }

    /// Where nothing was acknowledged nothing is proven.
    fn is_good(&self) -> bool {
        let (acknowledged, faults) = self.sums();
        acknowledged > 0 && faults == 0
    }

    fn verdict(&self) -> String {
        match self.sums() {
            (0, _) => "**Nothing was acknowledged, so nothing is proven.**".to_owned(),
            (acknowledged, 0) => {
                format!("All {acknowledged} acknowledged uploads are there, whole and once.")
            }
            (acknowledged, faults) => {
                format!("**{faults} faults** among {acknowledged} acknowledged uploads.")
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["strike", "strikes", "sent", "acknowledged", "half-written, swept"];
        let kinds = ledger::Faults::default().kinds().map(|(name, _)| name);
        let mut grid = Grid::new(head.into_iter().chain(kinds));
        for ((strike, way), row) in &self.0 {
            let counts = [row.strikes, row.sent, row.acknowledged, row.swept];
            let counts = counts.into_iter().chain(row.faults).map(|count| count.to_string());
            grid.row([format!("{}, {}", strike.name(), way.name())].into_iter().chain(counts));
        }
        grid.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::Faults;

    fn aftermath(acknowledged: u64, faults: Faults) -> Aftermath {
        Aftermath { way: Way::Unnamed, sent: 9, acknowledged, swept: 1, faults }
    }

    #[test]
    fn one_fault_of_any_kind_is_a_bad_verdict() {
        let one = || vec!["x".to_owned()];
        let mut tally = Tally::default();
        tally.add(Strike::Kill, aftermath(5, Faults::default()));
        assert!(tally.is_good() && tally.verdict().starts_with("All 5 "), "{}", tally.verdict());
        for faults in [
            Faults { lost: one().into_iter().collect(), ..Faults::default() },
            Faults { torn: one(), ..Faults::default() },
            Faults { twice: one(), ..Faults::default() },
            Faults { left: one(), ..Faults::default() },
            Faults { wrong: one(), ..Faults::default() },
        ] {
            let mut tally = Tally::default();
            tally.add(Strike::Kill, aftermath(5, Faults::default()));
            tally.add(Strike::PowerCut, aftermath(5, faults));
            assert!(!tally.is_good() && tally.verdict().starts_with("**1 faults**"), "{}", tally.verdict());
        }
    }

    #[test]
    fn nothing_acknowledged_is_nothing_proven() {
        let mut tally = Tally::default();
        assert!(!tally.is_good());
        tally.add(Strike::Kill, aftermath(0, Faults::default()));
        assert!(!tally.is_good() && tally.verdict().contains("nothing is proven"));
    }

    #[test]
    fn flags_are_numbers_within_bounds() {
        assert_eq!(parse(&[]), Ok(WHOLE));
        let plan = parse(&["--kills", "0", "--powercuts", "3", "--no-fsync", "--seed", "7"]).unwrap();
        assert_eq!(
            plan,
            Plan { kills: 0, power_cuts: 3, sabotage: Some(Way::NoFsync), seed: Some(7), binary: None }
        );
        for wrong in [&["--kills"][..], &["--kills", "-1"], &["--powercuts", "1000001"], &["--fast"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
