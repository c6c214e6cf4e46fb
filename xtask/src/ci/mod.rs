//! `cargo xtask test`: what CI runs, in CI's order.
//!
//! ```text
//! flags ─► Plan ─► each Step: its needs there? ─► run ─► Report ─► table ─► "N passed, N failed, N skipped"
//!                  steps.rs   setup.rs              ▲    report.rs
//!                            suite.rs, browser.rs ─┘
//! ```
//!
//! A step that lacks a tool is skipped by name; under `CI=true` nothing may be skipped, so that a skip is a failure.

mod browser;
pub(crate) mod report;
mod setup;
mod steps;
mod suite;

use std::path::Path;
use std::time::Instant;

use crate::Verdict;
use crate::context::Context;
use crate::tools::Tool;
use report::{Report, Row};

/// One thing CI checks.
struct Step {
    name: &'static str,
    what: &'static str,
    /// Without these it cannot run.
    needs: &'static [Tool],
    run: fn(&Context) -> Report,
}

/// What the command line asks for.
enum Plan {
    List,
    Run(Vec<&'static Step>),
}

/// `cargo xtask test FLAGS`. An `Err` says what is wrong with the flags.
pub(crate) fn run(root: &Path, flags: &[&str]) -> Result<Verdict, String> {
    let steps = match plan(flags)? {
        Plan::Run(steps) => steps,
        Plan::List => {
            steps::STEPS.iter().for_each(|step| println!("{:<9} {}", step.name, step.what));
            return Ok(Verdict::Good);
        }
    };
    let context =
        Context::new(root).map_err(|error| format!("cannot make the folders for tools and logs: {error}"))?;
    let rows: Vec<Row> = steps.into_iter().map(|step| run_step(step, &context)).collect();
    print!("{}", report::summary(&rows));
    Ok(report::verdict(&rows))
}

fn plan(flags: &[&str]) -> Result<Plan, String> {
    let mut chosen = Vec::new();
    let mut rest = flags.iter();
    while let Some(flag) = rest.next() {
        match *flag {
            "--list" => return Ok(Plan::List),
            "--only" => {
                let name = rest.next().ok_or("`--only` needs the name of a step; `--list` shows them")?;
                let step = steps::STEPS.iter().find(|step| step.name == *name);
                chosen.push(step.ok_or_else(|| format!("no step is called `{name}`; `--list` shows them"))?);
            }
            other => return Err(format!("`test` does not know `{other}`")),
        }
    }
    if chosen.is_empty() {
        chosen.extend(&steps::STEPS);
    }
    Ok(Plan::Run(chosen))
}

/// Runs one step and says at once how it went; the output of a failed one is shown whole.
fn run_step(step: &Step, context: &Context) -> Row {
    println!("── {}: {}", step.name, step.what);
    let begun = Instant::now();
    let missing = step.needs.iter().find(|tool| !tool.is_present(context));
    let mut report = match missing {
        Some(tool) => Report::skipped(format!(
            "{}: {} is missing; `cargo xtask test --only setup` may get it",
            step.name, tool.name
        )),
        None => (step.run)(context),
    };
    if context.strict {
        report.forbid_skips();
    }
    let row = Row { name: step.name, took: begun.elapsed(), report };
    print!("{}", row.details());
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(flags: &[&str]) -> Result<Vec<&'static str>, String> {
        match plan(flags)? {
            Plan::Run(steps) => Ok(steps.iter().map(|step| step.name).collect()),
            Plan::List => Ok(Vec::new()),
        }
    }

    #[test]
    fn without_flags_every_step_runs_in_order() {
        let all: Vec<_> = steps::STEPS.iter().map(|step| step.name).collect();
        assert_eq!(names(&[]), Ok(all));
    }

    #[test]
    fn only_chooses_steps_and_refuses_strangers() {
        assert_eq!(names(&["--only", "tidy", "--only", "fmt"]), Ok(vec!["tidy", "fmt"]));
        assert!(names(&["--only", "tydi"]).is_err());
        assert!(names(&["--only"]).is_err());
        assert!(names(&["--fast"]).is_err());
    }

    #[test]
    fn a_missing_tool_skips_a_step_and_fails_it_under_ci() {
        const ABSENT: Tool = Tool::debian("no-such-tool", "no-such-tool");
        let step = Step { name: "x", what: "x", needs: &[ABSENT], run: |_| Report::passed() };
        let mut context = Context::new(&crate::root()).unwrap();
        context.strict = false;
        let skipped = run_step(&step, &context).report.tally;
        assert_eq!((skipped.passed, skipped.failed, skipped.skipped), (0, 0, 1));
        context.strict = true;
        let failed = run_step(&step, &context).report.tally;
        assert_eq!((failed.passed, failed.failed, failed.skipped), (0, 1, 0));
    }
}
