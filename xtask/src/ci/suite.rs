//! All tests that cargo knows. Some of them wait for a deadline of the contract, for a minute and more, and need next
//! to no processor for it: these run one after the other beside all others.

use std::thread;

use super::report::{Report, Tally};
use crate::command::Ran;
use crate::context::Context;

const COMMAND: [&str; 4] = ["test", "--workspace", "--features", "tidegate/failpoints"];

/// A test that waits for 15 s or more, alone, and uses half a second of processor time at most.
struct Wait {
    /// The file that it stands in.
    file: &'static str,
    test: &'static str,
}

const WAITS: [Wait; 5] = [
    Wait { file: "dashboard_events", test: "row_h8_obs_3_a_viewer_who_falls_behind_is_dropped" },
    Wait { file: "h2_rows_windows", test: "row_f6_load_5_clients_that_take_nothing_are_cut" },
    Wait { file: "http1_connection", test: "load_5_a_slow_reader_of_pipelined_answers_is_not_cut" },
    Wait { file: "log_levels", test: "obs_5_the_pool_tells_its_state_after_work_and_only_then" },
    Wait { file: "slow", test: "row_e1_load_5_a_reader_must_keep_a_pace_of_a_kib_per_second" },
];

/// Builds all tests, and runs those that wait beside the others.
pub(super) fn run(context: &Context) -> Report {
    let built = context.run("cargo", &[&COMMAND[..], &["--no-run"]].concat());
    if !built.success {
        return Report::failed(built.output);
    }
    thread::scope(|scope| {
        let waits = scope.spawn(|| waits(context));
        let mut report = others(context);
        report.absorb(waits.join().unwrap_or_else(|_| Report::failed("what waits for tests has panicked")));
        report
    })
}

fn waits(context: &Context) -> Report {
    let files = WAITS.iter().flat_map(|wait| ["--test", wait.file]);
    let names = WAITS.iter().map(|wait| wait.test);
    let args = COMMAND.into_iter().chain(["--no-fail-fast"]).chain(files);
    let args: Vec<&str> = args.chain(["--", "--exact"]).chain(names).collect();
    let mut report = counted(context.run("cargo", &args));
    let Tally { passed, failed, skipped } = report.tally;
    if passed + failed + skipped < WAITS.len() {
        report.absorb(Report::failed("a test of the table of those that wait is in none of its files\n"));
    }
    report
}

fn others(context: &Context) -> Report {
    let skipped = WAITS.iter().flat_map(|wait| ["--skip", wait.test]);
    let args = COMMAND.into_iter().chain(["--no-fail-fast", "--", "--exact"]);
    counted(context.run("cargo", &args.chain(skipped).collect::<Vec<_>>()))
}

/// What a run of `cargo test` found.
pub(super) fn counted(ran: Ran) -> Report {
    let tally = cargo_test_tally(&ran.output);
    Report::counted(ran, tally)
}

/// Sums the lines `test result: ok. 3 passed; 0 failed; 0 ignored; …` of all test binaries. An ignored test is a skip.
fn cargo_test_tally(output: &str) -> Tally {
    let results = output.lines().filter_map(|line| line.strip_prefix("test result: "));
    results.fold(Tally::default(), |sum, line| {
        let count = |label: &str| {
            let (before, _) = line.split_once(label)?;
            before.rsplit([' ', ';']).find(|word| !word.is_empty())?.parse().ok()
        };
        sum.plus(Tally {
            passed: count(" passed").unwrap_or(0),
            failed: count(" failed").unwrap_or(0),
            skipped: count(" ignored").unwrap_or(0),
        })
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_wait_is_a_test_of_its_file() {
        let folder = crate::root().join("crates/tidegate/tests");
        for Wait { file, test } in &WAITS {
            let text = fs::read_to_string(folder.join(file).with_extension("rs")).unwrap();
            assert!(text.contains(&format!("#[test]\nfn {test}() {{")), "{file}: {test}");
        }
    }

    #[test]
    fn cargo_tests_are_summed_over_all_binaries() {
        let output = "running 2 tests\n\
            test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(cargo_test_tally(output), Tally { passed: 15, failed: 2, skipped: 1 });
        assert_eq!(cargo_test_tally("error: could not compile"), Tally::default());
    }
}
