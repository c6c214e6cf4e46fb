//! SEC-4, RUN-4 `tidegate explain`: every refusal in words, the same in the program and in docs/REFUSALS.md.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

use std::path::Path;
use std::process::{Command, Output};

fn explain(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("explain").args(args).env_clear().output().unwrap()
}

fn said(args: &[&str]) -> String {
    let output = explain(args);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn sec_4_the_page_of_refusals_is_what_the_program_writes() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/REFUSALS.md");
    let written = std::fs::read_to_string(page).unwrap_or_default();
    assert!(
        written == said(&["--markdown"]),
        "docs/REFUSALS.md is not of this program; renew it: cargo run -- explain --markdown > docs/REFUSALS.md"
    );
}

#[test]
fn run_4_explain_lists_all_codes_and_tells_of_one() {
    let list = said(&[]);
    let names: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    for name in ["bad_request_line", "rate_limited", "quota_exceeded"] {
        assert!(names.contains(&name), "{list}");
        assert!(said(&[name]).starts_with(&format!("{name}: ")), "{name}");
    }
}

#[test]
fn run_4_explain_of_an_unknown_code_names_the_nearest() {
    let output = explain(&["body_to_large"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("Did you mean body_too_large?"), "{complaint}");
}

#[test]
fn run_4_explain_takes_a_code_or_the_whole_page() {
    assert_eq!(explain(&["not_found", "--markdown"]).status.code(), Some(2));
}
