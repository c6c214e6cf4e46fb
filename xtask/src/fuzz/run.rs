//! One target, built in one way, run for a while by libFuzzer; and what libFuzzer says of it.

use std::fs;
use std::time::{Duration, Instant};

use super::target::Target;
use crate::context::Context;

/// How the targets are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Build {
    /// Without a sanitizer, for speed; arithmetic and `debug_assert` are checked all the same.
    Plain,
    /// With AddressSanitizer.
    Address,
}

impl Build {
    /// As `cargo fuzz -s` takes it.
    const fn sanitizer(self) -> &'static str {
        match self {
            Self::Plain => "none",
            Self::Address => "address",
        }
    }

    /// The flags of every call of cargo-fuzz. Each way has a folder of its own: other compiler flags would build
    /// everything anew.
    fn flags(self, context: &Context) -> [String; 4] {
        let folder = context.target.join("fuzz").join(self.sanitizer());
        ["-s".into(), self.sanitizer().into(), "--target-dir".into(), folder.to_string_lossy().into_owned()]
    }
}

/// How long a target runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Seconds(u64),
    Executions(u64),
}

/// What came of one run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) target: &'static str,
    pub(super) build: Build,
    pub(super) executions: u64,
    pub(super) seconds: u64,
    /// Places in the code that were reached, and those with how often.
    pub(super) edges: u64,
    pub(super) features: u64,
    /// Inputs that reach something no other one does.
    pub(super) corpus: u64,
}

/// One input may take 5 s and 1 GiB before libFuzzer ends it, which is how a hang shows; that it takes less than 100 ms
/// is asserted in the target, where a slow machine can be told from a slow input.
const HANG: [&str; 2] = ["-timeout=5", "-rss_limit_mb=1024"];

/// The slowest target makes some hundred executions a second with a sanitizer.
const RUN_LIMIT: Duration = Duration::from_hours(4);

/// Builds all targets.
///
/// # Errors
/// What the compiler said.
pub(super) fn build(context: &Context, build: Build) -> Result<(), String> {
    let flags = build.flags(context);
    let args: Vec<&str> =
        ["+nightly", "fuzz", "build"].into_iter().chain(flags.iter().map(String::as_str)).collect();
    let built = context.run("cargo", &args);
    if built.success { Ok(()) } else { Err(built.output) }
}

/// Runs a target; what it learns stays in `fuzz/corpus`.
///
/// # Errors
/// What libFuzzer said of a failure: the input, and where it is kept.
pub(super) fn run(
    context: &Context,
    target: &Target,
    build: Build,
    length: Length,
) -> Result<Outcome, String> {
    let name = target.name;
    // libFuzzer writes what it learns to the first folder and only reads the others.
    let (corpus, seeds) = (format!("fuzz/corpus/{name}"), format!("fuzz/seeds/{name}"));
    fs::create_dir_all(context.root.join(&corpus))
        .map_err(|error| format!("cannot make {corpus}: {error}\n"))?;
    let flags = build.flags(context);
    let until = match length {
        Length::Seconds(seconds) => format!("-max_total_time={seconds}"),
        Length::Executions(number) => format!("-runs={number}"),
    };
    let longest = format!("-max_len={}", target.max_len);
    let words = format!("-dict=fuzz/dict/{name}.dict");
    let mut args = vec!["+nightly", "fuzz", "run"];
    args.extend(flags.iter().map(String::as_str));
    args.extend([name, &corpus, &seeds, "--", &until, &longest, &words, "-print_final_stats=1"]);
    args.extend(HANG);
    let begun = Instant::now();
    let ran = context.finish_within(&mut context.command("cargo", &args), RUN_LIMIT);
    let outcome = Outcome::read(target, build, &ran.output, begun.elapsed());
    let failure = || format!("{name}, {}:\n{}", build.sanitizer(), without_progress(&ran.output));
    outcome.filter(|_| ran.success).ok_or_else(failure)
}

/// What libFuzzer said but for the line about each input it kept, `#512\tNEW    cov: …`: there are thousands.
fn without_progress(output: &str) -> String {
    output.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()
}

impl Outcome {
    pub(super) const fn none(target: &Target, build: Build) -> Self {
        Self { target: target.name, build, executions: 0, seconds: 0, edges: 0, features: 0, corpus: 0 }
    }

    /// Reads the closing lines: `#9 DONE   cov: 8 ft: 7 corp: 6/5b …` and `stat::number_of_executed_units: 9`.
    fn read(target: &Target, build: Build, output: &str, took: Duration) -> Option<Self> {
        let done = output.lines().rfind(|line| line.starts_with('#') && line.contains("DONE"))?;
        let executed =
            output.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
        let number = |label: &str| {
            let (_, rest) = done.split_once(label)?;
            let digits = rest.trim_start().split(|letter: char| !letter.is_ascii_digit()).next()?;
            digits.parse().ok()
        };
        Some(Self {
            executions: executed.trim().parse().ok()?,
            seconds: took.as_secs(),
            edges: number("cov:")?,
            features: number("ft:")?,
            corpus: number("corp:")?,
            ..Self::none(target, build)
        })
    }

    /// A line of the table.
    pub(super) fn row(&self) -> String {
        let Self { target, executions, seconds, edges, features, corpus, .. } = self;
        let each = executions / (*seconds).max(1);
        let build = self.build.sanitizer();
        format!(
            "| {target} | {build} | {executions} | {each} | {seconds} | {edges} | {features} | {corpus} |"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::target::TARGETS;
    use super::*;

    const OUTPUT: &str = "\
        #512\tpulse  cov: 1 ft: 2 corp: 3/4Kb lim: 454 exec/s: 42410 rss: 29Mb\n\
        #381691\tDONE   cov: 829 ft: 2748 corp: 1063/78Kb lim: 454 exec/s: 42410 rss: 29Mb\n\
        Done 381691 runs in 9 second(s)\n\
        stat::number_of_executed_units: 381691\n";

    #[test]
    fn the_closing_lines_say_what_was_done() {
        let read = |output| Outcome::read(&TARGETS[0], Build::Plain, output, Duration::from_secs(9));
        let outcome = read(OUTPUT).unwrap();
        assert_eq!(outcome.row(), "| accept | none | 381691 | 42410 | 9 | 829 | 2748 | 1063 |");
        assert_eq!(read("==8799== ERROR: libFuzzer: deadly signal\n"), None);
        assert_eq!(read("#9\tDONE   cov: 1\n"), None);
    }

    #[test]
    fn a_failure_is_told_without_what_was_kept_before() {
        let output =
            "INFO: Seed: 1\n#2\tNEW    cov: 1\n#3\tREDUCE cov: 1\n== ERROR: libFuzzer: deadly signal\n";
        assert_eq!(without_progress(output), "INFO: Seed: 1\n== ERROR: libFuzzer: deadly signal\n");
    }
}
