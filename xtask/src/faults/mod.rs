//! `cargo xtask faults`: what a server does when the kernel says no, for each call, error and time.
//!
//! ```text
//! matrix.rs  call × error × time ─► case.rs     a server of its own, and the fault in it ─► judge.rs    what was promised
//!                                     target.rs   how it is started and seen from outside     ─► report.rs  docs/FAULTS.md
//!                                     strace.rs   makes the fault begin and end
//!                                     load.rs     clients meanwhile, over ask.rs or curl.rs, and site.rs
//!            the same at start   ─► startup.rs  it starts right, or says why not
//! ```
//! With `--break` the kernel lies instead of failing, and the checks must see it: that shows what they are worth.

mod ask;
mod case;
mod curl;
mod judge;
mod load;
mod matrix;
mod options;
mod report;
mod site;
mod startup;
mod strace;
mod target;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::Verdict;
use crate::bench;
use crate::command::TempDir;
use crate::context::Context;
use crate::parallel::in_parallel;
use crate::tools::{self, Missing, Tool};
use judge::{Broken, Outcome};
use load::Load;
use matrix::{CALLS, Case, Fault, LIMITED, WHENS, When};
use options::Plan;
use target::Stand;

const STRACE: Tool = Tool::debian("strace", "strace");

/// `cargo xtask faults FLAGS`. An `Err` says what is wrong with the flags.
pub(crate) fn run(root: &Path, flags: &[&str]) -> Result<Verdict, String> {
    let plan = options::parse(flags)?;
    Ok(perform(root, &plan).unwrap_or_else(|problem| {
        eprintln!("faults: {problem}");
        Verdict::Bad
    }))
}

fn perform(root: &Path, plan: &Plan) -> Result<Verdict, String> {
    let context = Context::new(root).map_err(|error| format!("no folders for tools and logs: {error}"))?;
    if let Some(Missing::NotTried(why) | Missing::Failed(why)) =
        tools::install_missing(&[STRACE, curl::CURL], &context).pop()
    {
        return Err(why);
    }
    let program = program(&context, plan)?;
    // Not the system's temporary folder: that may be memory, which no fsync can fail.
    let scratch =
        TempDir::new_in(&context.target, "faults").map_err(|error| format!("no folder: {error}"))?;
    let stand =
        Stand::new(&context, program, scratch.path()).map_err(|error| format!("no files: {error}"))?;
    let calm = Calm::measure(&stand, plan)?;
    if plan.lies {
        return Ok(tell_lies(&stand, &calm));
    }
    let begun = Instant::now();
    let running = if plan.running { play_all(&stand, &calm, plan) } else { Vec::new() };
    let starting = if plan.starting { startup::play_all(&stand, plan)? } else { Vec::new() };
    let text = report::page(&conditions(&context, plan, begun.elapsed()), &running, &starting);
    println!("\n{text}");
    if plan.write {
        fs::write(root.join(report::FILE), &text).map_err(|error| format!("{}: {error}", report::FILE))?;
    }
    let broken = running.iter().any(Played::is_bad) || starting.iter().any(startup::Started::is_bad);
    Ok(if broken { Verdict::Bad } else { Verdict::Good })
}

fn program(context: &Context, plan: &Plan) -> Result<PathBuf, String> {
    match &plan.binary {
        Some(binary) => fs::canonicalize(binary).map_err(|error| format!("`--binary`: {error}")),
        None => {
            bench::build_server(context)?;
            Ok(context.target.join("release/tidegate"))
        }
    }
}

/// Where and how long it was tried.
fn conditions(context: &Context, plan: &Plan, took: Duration) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    // What follows the version tells of the builder, not of the kernel.
    let kernel = read("/proc/sys/kernel/osrelease").trim().split('-').next().unwrap_or_default().to_owned();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let date = context.run("date", &["-u", "+%Y-%m-%d"]).output.trim().to_owned();
    let strace = context.run("strace", &["-V"]).output;
    let version =
        strace.lines().next().and_then(|line| line.split_whitespace().last()).unwrap_or_default().to_owned();
    format!(
        "{date}, Linux {kernel}, strace {version}, {cores} cores; {} servers at a time, {} min",
        plan.jobs,
        took.as_secs().div_ceil(60)
    )
}

/// How many descriptors a server holds after each load when nothing failed.
struct Calm(BTreeMap<Load, usize>);

impl Calm {
    /// An `Err` where something is wrong though nothing fails.
    fn measure(stand: &Stand<'_>, plan: &Plan) -> Result<Self, String> {
        let mut calm = BTreeMap::new();
        for load in plan.calls.iter().map(|call| call.load).chain([Load::Mixed, Load::Uploads]) {
            if calm.contains_key(&load) {
                continue;
            }
            // None is expected: it is waited until there are as few as there ever are.
            let sight = case::play(stand, load, None, 0)?;
            let outcome = judge::judge(&stand.site, None, &sight, None);
            if let Some(Broken { what, .. }) = outcome.broken.first() {
                return Err(format!("without any fault: {what}"));
            }
            if outcome.did.iter().any(|did| *did != judge::Did::Right) {
                return Err(format!("without any fault: {}", report::shown(&outcome.did)));
            }
            calm.insert(load, sight.process.descriptors);
        }
        Ok(Self(calm))
    }

    fn descriptors(&self, load: Load) -> usize {
        self.0.get(&load).copied().unwrap_or(usize::MAX)
    }
}

/// A case and what came of it; an `Err` says what kept it from being played.
#[derive(Clone, Debug)]
struct Played<'a> {
    case: Case<'a>,
    outcome: Result<Outcome, String>,
}

impl Played<'_> {
    /// Whether something was broken that is the server's fault.
    fn is_bad(&self) -> bool {
        let fine = self.outcome.as_ref().is_ok_and(|outcome| outcome.broken.is_empty());
        !fine && self.case.impossible().is_none() && !self.has_ended_as_it_may()
    }

    /// Whether the server has ended, and nothing else is wrong that was not wrong because of that.
    fn has_ended_as_it_may(&self) -> bool {
        let lied = |outcome: &Outcome| outcome.broken.iter().any(|broken| broken.is_lie);
        let ended = |outcome: &Outcome| !outcome.alive && !lied(outcome);
        self.case.may_end().is_some() && self.outcome.as_ref().is_ok_and(ended)
    }

    /// Whether nothing but time ran out, as it does on a busy machine.
    fn was_slow(&self) -> bool {
        match &self.outcome {
            Ok(outcome) => !outcome.broken.is_empty() && outcome.broken.iter().all(|broken| broken.of_time),
            Err(_) => true,
        }
    }

    fn told(&self) -> String {
        format!("{}: {}", self.case.told(), self.came())
    }

    /// What the server did, and which promises it broke.
    fn came(&self) -> String {
        match &self.outcome {
            Err(problem) => format!("not played: {problem}"),
            Ok(outcome) => {
                let broken = outcome.broken.iter().map(|broken| broken.what.clone());
                [report::shown(&outcome.did)].into_iter().chain(broken).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

/// Every case of the plan. One that was merely slow is played once more, alone.
fn play_all<'a>(stand: &Stand<'_>, calm: &Calm, plan: &'a Plan) -> Vec<Played<'a>> {
    let cases = cases(plan);
    let mut played = in_parallel(&cases, plan.jobs, |case| {
        let played = play(stand, calm, *case);
        if played.is_bad() {
            println!("{}", played.told());
        }
        played
    });
    for slow in played.iter_mut().filter(|played| played.is_bad() && played.was_slow()) {
        println!("once more, alone: {}", slow.case.told());
        *slow = play(stand, calm, slow.case);
    }
    played
}

fn cases(plan: &Plan) -> Vec<Case<'_>> {
    let mut cases = Vec::new();
    for &call in &plan.calls {
        let errors = plan.errnos.iter().map(|errno| Fault::Error(errno));
        for fault in errors.chain(call.can_end.then_some(Fault::End)) {
            cases.extend(WHENS.map(|when| Case { call, fault, when }));
        }
        if call.label == LIMITED.call.name {
            cases.push(LIMITED);
        }
    }
    cases
}

fn play<'a>(stand: &Stand<'_>, calm: &Calm, case: Case<'a>) -> Played<'a> {
    let expected = calm.descriptors(case.call.load);
    let sight = case::play(stand, case.call.load, Some(&case), expected);
    let outcome = sight.and_then(|sight| {
        if sight.trace.hits_event_loop() {
            return Err("the fault hit the event loop's own descriptor".to_owned());
        }
        Ok(judge::judge(&stand.site, Some(&case), &sight, Some(expected)))
    });
    Played { case, outcome }
}

/// Lies of the kernel, each of which breaks a promise that the checks must find broken.
const LIES: [(&str, u32); 5] =
    [("write", u32::MAX >> 1), ("fsync", 0), ("fsync-tls", 0), ("linkat", 0), ("preadv2", 1000)];

/// [`Verdict::Bad`] where all are seen, as of any run that finds something; else the checks are worth nothing.
fn tell_lies(stand: &Stand<'_>, calm: &Calm) -> Verdict {
    let mut all_seen = true;
    for (name, bytes) in LIES {
        let Some(&call) = CALLS.iter().find(|call| call.label == name) else { continue };
        let played = play(stand, calm, Case { call, fault: Fault::Lie(bytes), when: When::Every });
        let seen = played.is_bad() && played.outcome.is_ok();
        println!("{}: {}", if seen { "seen" } else { "NOT SEEN" }, played.told());
        all_seen &= seen;
    }
    if all_seen { Verdict::Bad } else { Verdict::Good }
}
