//! `cargo xtask h2spec --bin PATH`: the cases of [h2spec](https://github.com/summerwind/h2spec) for HTTP/2 (RFC 9113)
//! and HPACK (RFC 7541) against our binary, in the clear by prior knowledge and over TLS.
//!
//! ```text
//! server as by default ─► h2spec generic http2 hpack ─► its JUnit file ─► junit.rs ─► Cases
//!                                     exceptions.rs: what may fail, and why ─► a table, and what does not hold
//! ```
//! The program is not ours and is not kept here: `PATH` is a build of its release 2.6. With `--port N` it examines
//! whatever listens there in the clear instead, which shows what it finds elsewhere.

mod exceptions;
mod junit;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Verdict;
use crate::bench::grid::Grid;
use crate::command::TempDir;
use crate::context::Context;
use crate::subject::{self, Subject};
use junit::{Case, Outcome};

/// How many cases release 2.6 has: fewer mean that it came to an early end.
const CASES: usize = 146;

/// Seconds it waits for what a case asks for: many times what a busy machine needs.
const PATIENCE: &str = "5";

/// All cases in a row wait at most so long.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    tool: PathBuf,
    binary: Option<PathBuf>,
    /// Somebody else's server.
    port: Option<u16>,
}

/// How the server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Clear,
    Tls,
}

/// `cargo xtask h2spec FLAGS`. An `Err` says what is wrong with the flags.
pub(crate) fn run(root: &Path, flags: &[&str]) -> Result<Verdict, String> {
    let plan = parse(flags)?;
    Ok(perform(root, &plan).unwrap_or_else(|problem| {
        eprintln!("h2spec: {problem}");
        Verdict::Bad
    }))
}

fn parse(words: &[&str]) -> Result<Plan, String> {
    let mut plan = Plan::default();
    let mut rest = words.iter();
    while let Some(&flag) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("`{flag}` needs a value"));
        match flag {
            "--bin" => plan.tool = value()?.into(),
            "--binary" => plan.binary = Some(value()?.into()),
            "--port" => plan.port = Some(value()?.parse().map_err(|_| "`--port` is a number")?),
            _ => return Err(format!("`h2spec` does not know `{flag}`")),
        }
    }
    if plan.tool.as_os_str().is_empty() {
        return Err("`h2spec` needs `--bin PATH`, a build of that program".to_owned());
    }
    Ok(plan)
}

fn perform(root: &Path, plan: &Plan) -> Result<Verdict, String> {
    let context = Context::new(root).map_err(|error| format!("no folders for tools and logs: {error}"))?;
    if let Some(port) = plan.port {
        return Ok(judge(&[("port", examine(&context, &plan.tool, Way::Clear, port)?)]));
    }
    let program = subject::program(&context, plan.binary.as_deref())?;
    let mut reports = Vec::new();
    for way in [Way::Clear, Way::Tls] {
        let server = Subject::start(&context, &program, &way.flags())?;
        reports.push((way.name(), examine(&context, &plan.tool, way, server.port)?));
    }
    Ok(judge(&reports))
}

/// Lets h2spec ask the server on this port of loopback. An `Err` is no failed case, but none at all.
fn examine(context: &Context, tool: &Path, way: Way, port: u16) -> Result<Vec<Case>, String> {
    let folder = TempDir::new("h2spec").map_err(|error| format!("no temporary folder: {error}"))?;
    let report = folder.path().join("report.xml");
    let mut command = context.command(&tool.to_string_lossy(), &["generic", "http2", "hpack"]);
    command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--timeout", PATIENCE]);
    command.args(way.words()).arg("--junit-report").arg(&report);
    let ran = context.finish_within(&mut command, LIMIT);
    let report = std::fs::read_to_string(report).map_err(|_| format!("no report:\n{}", ran.output))?;
    let cases = junit::read(&report);
    if cases.len() < CASES {
        return Err(format!("{} cases, not {CASES}:\n{}", cases.len(), ran.output));
    }
    Ok(cases)
}

/// Prints what came of each way, and what does not hold.
fn judge(reports: &[(&str, Vec<Case>)]) -> Verdict {
    let mut grid = Grid::new(["way", "cases", "passed", "failed", "skipped", "excepted"]);
    let mut wrong = Vec::new();
    for (way, cases) in reports {
        let of = |wanted: Outcome| cases.iter().filter(|case| case.outcome == wanted).count();
        let bad = cases.iter().filter(|case| case.outcome != Outcome::Passed);
        let (excepted, failed): (Vec<&Case>, Vec<&Case>) = bad.partition(|case| exceptions::allow(way, case));
        let counts =
            [cases.len(), of(Outcome::Passed), of(Outcome::Failed), of(Outcome::Skipped), excepted.len()];
        grid.row([(*way).to_owned()].into_iter().chain(counts.map(|count| count.to_string())));
        wrong.extend(failed.into_iter().map(|case| format!("{way}: {case}")));
        wrong.extend(exceptions::stale(way, cases));
    }
    println!("{grid}");
    exceptions::told().for_each(|line| println!("excepted: {line}"));
    wrong.iter().for_each(|line| println!("{line}"));
    if wrong.is_empty() { Verdict::Good } else { Verdict::Bad }
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Clear => "in the clear",
            Self::Tls => "over TLS",
        }
    }

    /// What the server is told.
    fn flags(self) -> Vec<String> {
        match self {
            Self::Clear => Vec::new(),
            Self::Tls => vec!["--tls-self-signed".to_owned()],
        }
    }

    /// What h2spec is told.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Clear => &[],
            Self::Tls => &["--tls", "--insecure"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_name_the_program_and_what_it_examines() {
        let plan = parse(&["--bin", "a", "--binary", "b"]).unwrap();
        assert_eq!(plan, Plan { tool: "a".into(), binary: Some("b".into()), port: None });
        assert_eq!(parse(&["--bin", "a", "--port", "80"]).unwrap().port, Some(80));
        for wrong in [&[][..], &["--bin"], &["--bin", "a", "--port", "x"], &["--bim", "a"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_case_fails_unless_it_is_excepted_and_an_exception_must_fail() {
        let judged = |way: Way, id: &str, outcome| {
            let case = Case { id: id.to_owned(), title: String::new(), outcome, said: String::new() };
            judge(&[(way.name(), vec![case])])
        };
        assert_eq!(judged(Way::Clear, "http2/1/1", Outcome::Passed), Verdict::Good);
        assert_eq!(judged(Way::Clear, "http2/1/1", Outcome::Failed), Verdict::Bad);
        assert_eq!(judged(Way::Clear, "http2/1/1", Outcome::Skipped), Verdict::Bad);
        assert_eq!(judged(Way::Clear, "http2/3.5/2", Outcome::Failed), Verdict::Good);
        assert_eq!(judged(Way::Clear, "http2/3.5/2", Outcome::Passed), Verdict::Bad);
        assert_eq!(judged(Way::Tls, "http2/3.5/2", Outcome::Failed), Verdict::Bad);
    }
}
