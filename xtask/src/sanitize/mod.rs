//! `cargo xtask sanitize address|thread|miri`: the tests under a tool that sees what no assertion does.
//!
//! ```text
//! address   bytes beyond a buffer, or after they were freed       server, std and tests built for it
//! thread    two threads at the same bytes without an order        likewise
//! miri      anything that Rust leaves undefined, interpreted      what makes no system call
//!
//! canary.rs: is the fault that it is for found? ─► plan.rs: which tests ─► cargo ─► reports counted
//! ```
//! They need a nightly toolchain, std's sources (`rustup component add rust-src miri --toolchain nightly`) and, together
//! with their builds, half an hour each. The C of zstd is built as it always is: what it does is not seen.

mod canary;
mod plan;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::Verdict;
use crate::context::Context;
use plan::{Phase, Tool};

/// A cold build with the tests of a phase; under Miri some thousand times the time of the tests.
const PHASE_LIMIT: Duration = Duration::from_hours(2);

/// `cargo xtask sanitize TOOL`. An `Err` says what is wrong with the command line.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<Verdict, String> {
    let [name] = words else { return Err("`sanitize` is given one of address, thread and miri".to_owned()) };
    let tool = Tool::ALL.into_iter().find(|tool| tool.name() == *name);
    let tool = tool.ok_or_else(|| format!("`sanitize` does not know `{name}`"))?;
    Ok(perform(root, tool).unwrap_or_else(|problem| {
        eprintln!("sanitize: {problem}");
        Verdict::Bad
    }))
}

fn perform(root: &Path, tool: Tool) -> Result<Verdict, String> {
    let context = Context::new(root).map_err(|error| format!("no folders for tools and logs: {error}"))?;
    canary::must_be_found(&context, tool)?;
    println!("{}: a fault made on purpose is found", tool.name());
    let mut verdict = Verdict::Good;
    for phase in tool.phases() {
        let ran = context.finish_within(&mut command(&context, tool, phase), PHASE_LIMIT);
        let found = Found { reports: tool.reports(&ran.output), failed: !ran.success };
        println!("{}, {}: {}", tool.name(), phase.name, found.told());
        if found != Found::NOTHING {
            println!("{}", ran.output);
            verdict = Verdict::Bad;
        }
    }
    Ok(verdict)
}

/// What a phase has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    /// Faults that the tool told of; it goes on after some.
    reports: usize,
    /// A test failed, or nothing was built.
    failed: bool,
}

impl Found {
    const NOTHING: Self = Self { reports: 0, failed: false };

    fn told(self) -> String {
        let tests = if self.failed { "FAILED" } else { "ok" };
        format!("tests {tests}, {} reports", self.reports)
    }
}

/// cargo, told to test what is of this phase.
fn command(context: &Context, tool: Tool, phase: &Phase) -> Command {
    let mut command = context.command("cargo", &["+nightly"]);
    command.args(tool.cargo_words()).args(phase.cargo_words()).arg("--").args(phase.test_words());
    // Each tool has its own std, and none of them goes with another's objects.
    command.env("CARGO_TARGET_DIR", context.target.join("sanitize").join(tool.name()));
    for (name, value) in tool.variables().iter().chain(phase.variables) {
        command.env(name, value);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_line_is_refused() {
        for wrong in [&[][..], &["adress"], &["address", "thread"]] {
            assert!(run(&crate::root(), wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_report_is_bad_though_all_tests_pass() {
        let output = "test a ... ok\n==1==ERROR: AddressSanitizer: heap-use-after-free on address 0x1\n";
        let found = Found { reports: Tool::Address.reports(output), failed: false };
        assert_eq!((found.told().as_str(), found == Found::NOTHING), ("tests ok, 1 reports", false));
    }

    #[test]
    fn cargo_is_told_of_tool_and_tests() {
        let context = Context::new(&crate::root()).unwrap();
        for tool in Tool::ALL {
            for phase in tool.phases() {
                let command = command(&context, tool, phase);
                let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
                assert!(words[0] == "+nightly" && words.contains(&"--".into()), "{words:?}");
                assert!(command.get_envs().any(|(name, _)| name == "CARGO_TARGET_DIR"));
            }
        }
    }
}
