//! `cargo xtask fuzz`: every target for a set number of executions, and what came of it as a table.
//!
//! ```text
//! flags ─► Plan ─► build without a sanitizer ─► each Target: run.rs ─┐
//!              └─► build with AddressSanitizer ─► each, a 20th ──────┴─► Outcome ─► table, exit code
//! ```
//! A crash, a hang, an oracle that disagrees, a swollen heap and an input that takes more than 100 ms are failures.
//! The step `fuzz` of `cargo xtask test` runs each target for some seconds by the same means.

mod run;
mod target;

use std::path::Path;
use std::thread;

use crate::Verdict;
use crate::ci::report::Report;
use crate::context::Context;
use crate::parallel::in_parallel;
use run::{Build, Length, Outcome};
use target::{TARGETS, Target};

/// With the sanitizer an execution costs several times as much, and it finds what only `unsafe` code can do wrong: of
/// every so many executions one more is made with it.
const SANITIZED_SHARE: u64 = 20;

/// Seconds for each target in CI: a smoke test that finds what is near.
const SMOKE_SECONDS: u64 = 5;

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// Of each target; `None` is what its row says.
    executions: Option<u64>,
    /// Empty is all.
    only: Vec<&'static Target>,
}

/// `cargo xtask fuzz FLAGS`. An `Err` says what is wrong with the flags.
pub(crate) fn run(root: &Path, flags: &[&str]) -> Result<Verdict, String> {
    let plan = plan(flags)?;
    Ok(perform(root, &plan).unwrap_or_else(|problem| {
        eprintln!("fuzz: {problem}");
        Verdict::Bad
    }))
}

/// The step of `cargo xtask test`.
pub(crate) fn smoke(context: &Context) -> Report {
    if let Err(problem) = run::build(context, Build::Address) {
        return Report::failed(problem);
    }
    // A target is one thread.
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let reports = in_parallel(&TARGETS, cores, |target| {
        match run::run(context, target, Build::Address, Length::Seconds(SMOKE_SECONDS)) {
            Ok(_) => Report::passed(),
            Err(problem) => Report::failed(problem),
        }
    });
    Report::sum(reports)
}

fn plan(flags: &[&str]) -> Result<Plan, String> {
    let mut plan = Plan::default();
    let mut rest = flags.iter();
    while let Some(flag) = rest.next() {
        match (*flag, rest.next()) {
            ("--executions", Some(number)) => {
                let number = number.parse().ok().filter(|number| *number > 0);
                plan.executions = Some(number.ok_or("`--executions` is a number from 1 on")?);
            }
            ("--only", Some(name)) => {
                let target = TARGETS.iter().find(|target| target.name == *name);
                plan.only.push(target.ok_or_else(|| format!("no target is called `{name}`"))?);
            }
            ("--executions" | "--only", None) => return Err(format!("`{flag}` needs a value")),
            _ => return Err(format!("`fuzz` does not know `{flag}`")),
        }
    }
    if plan.only.is_empty() {
        plan.only.extend(&TARGETS);
    }
    Ok(plan)
}

fn perform(root: &Path, plan: &Plan) -> Result<Verdict, String> {
    let context = Context::new(root).map_err(|error| format!("no folders for tools and logs: {error}"))?;
    let mut outcomes = Vec::new();
    let mut verdict = Verdict::Good;
    for build in [Build::Plain, Build::Address] {
        run::build(&context, build)?;
        for target in &plan.only {
            let executions = plan.executions.unwrap_or(target.executions);
            let executions =
                if build == Build::Plain { executions } else { executions.div_ceil(SANITIZED_SHARE) };
            match run::run(&context, target, build, Length::Executions(executions)) {
                Ok(outcome) => {
                    println!("{}", outcome.row());
                    outcomes.push(outcome);
                }
                Err(problem) => {
                    eprintln!("{problem}");
                    verdict = Verdict::Bad;
                }
            }
        }
    }
    println!("\n{}", table(&outcomes));
    Ok(verdict)
}

/// All outcomes, with the sum of what was executed.
fn table(outcomes: &[Outcome]) -> String {
    let rows = outcomes.iter().map(|outcome| outcome.row() + "\n").collect::<String>();
    let sum = |build| {
        outcomes
            .iter()
            .filter(|outcome| outcome.build == build)
            .map(|outcome| outcome.executions)
            .sum::<u64>()
    };
    format!(
        "{HEADING}\n{rows}\n{} executions without a sanitizer, {} with AddressSanitizer\n",
        sum(Build::Plain),
        sum(Build::Address)
    )
}

const HEADING: &str = "| target | build | executions | a second | seconds | edges | features | corpus |\n|---|---|--:|--:|--:|--:|--:|--:|";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_choose_targets_and_how_long_they_run() {
        let all = plan(&[]).unwrap();
        assert_eq!((all.executions, all.only.len()), (None, TARGETS.len()));
        let some = plan(&["--only", "json", "--executions", "7", "--only", "head"]).unwrap();
        let names: Vec<_> = some.only.iter().map(|target| target.name).collect();
        assert_eq!((some.executions, names), (Some(7), vec!["json", "head"]));
    }

    #[test]
    fn a_wrong_flag_is_named() {
        for (flags, problem) in [
            (&["--only", "nothing"][..], "no target is called `nothing`"),
            (&["--executions", "0"], "`--executions` is a number from 1 on"),
            (&["--only"], "`--only` needs a value"),
            (&["--jobs", "2"], "`fuzz` does not know `--jobs`"),
        ] {
            assert_eq!(plan(flags), Err(problem.to_owned()));
        }
    }

    #[test]
    fn a_table_sums_each_build_by_itself() {
        let of = |build, executions| Outcome { executions, ..Outcome::none(&TARGETS[0], build) };
        let text = table(&[of(Build::Plain, 5), of(Build::Plain, 6), of(Build::Address, 7)]);
        assert!(text.ends_with("\n11 executions without a sanitizer, 7 with AddressSanitizer\n"), "{text}");
    }
}
