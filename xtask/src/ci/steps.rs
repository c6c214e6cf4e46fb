//! The steps themselves, as one table in CI's order: cheap ones first, so that a slip is told within a minute.

use std::fs;
use std::path::PathBuf;

use super::report::Report;
use super::setup::{self, CHROMIUM, DENY, FUZZ, NIGHTLY, NODE, PIP, PLAYWRIGHT};
use super::{Step, browser, suite};
use crate::context::Context;
use crate::{Verdict, corpora, fuzz, tidy};

pub(super) const STEPS: [Step; 11] = [
    Step {
        name: "setup",
        what: "install the tools that are missing",
        needs: &[],
        run: setup::install_missing,
    },
    Step { name: "fmt", what: "the sources are as rustfmt writes them", needs: &[], run: fmt },
    Step { name: "clippy", what: "no lint speaks, in any target", needs: &[], run: clippy },
    Step { name: "tidy", what: "the house rules", needs: &[], run: tidy },
    Step { name: "deny", what: "licences, bans and sources of dependencies", needs: &[DENY], run: deny },
    Step { name: "doc", what: "the documentation builds without a warning", needs: &[], run: doc },
    Step { name: "tests", what: "unit, integration and documentation tests", needs: &[], run: suite::run },
    Step {
        name: "corpora",
        what: "what gunicorn tests its request parser with",
        needs: &[PIP],
        run: corpora,
    },
    Step { name: "shuttle", what: "locks and threads in many orders of events", needs: &[], run: shuttle },
    Step {
        name: "browser",
        what: "our pages in Chromium",
        needs: &[NODE, PLAYWRIGHT, CHROMIUM],
        run: browser::run,
    },
    Step {
        name: "fuzz",
        what: "each fuzz target for some seconds",
        needs: &[FUZZ, NIGHTLY],
        run: fuzz::smoke,
    },
];

fn fmt(context: &Context) -> Report {
    Report::of(context.run("cargo", &["fmt", "--all", "--check"]))
}

fn clippy(context: &Context) -> Report {
    let args = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    Report::of(context.run("cargo", &args))
}

fn tidy(context: &Context) -> Report {
    match tidy::run(&context.root) {
        Verdict::Good => Report::passed(),
        Verdict::Bad => Report::failed(""),
    }
}

/// `advisories` needs a copy of the advisory database. It is checked where one is at hand, and never fetched: a CI
/// run must not turn red because of what somebody else published this morning.
fn deny(context: &Context) -> Report {
    let checks = ["bans", "licenses", "sources"];
    let mut report = Report::of(context.run("cargo", &[&["deny", "check"], checks.as_slice()].concat()));
    if advisory_database_is_here() {
        report.absorb(Report::of(context.run("cargo", &["deny", "--offline", "check", "advisories"])));
    } else {
        report.notes.push(
            "not run: `cargo deny check advisories`, no copy of the database on this machine".to_owned(),
        );
    }
    report
}

/// Whether there is a clone where cargo-deny keeps them by default. Its lock file alone, beside them, is none.
fn advisory_database_is_here() -> bool {
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = cargo_home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let clones = home.and_then(|home| fs::read_dir(home.join("advisory-dbs")).ok());
    clones.is_some_and(|clones| clones.flatten().any(|entry| entry.path().is_dir()))
}

fn doc(context: &Context) -> Report {
    let args = ["doc", "--workspace", "--no-deps", "--document-private-items"];
    Report::of(context.finish(context.command("cargo", &args).env("RUSTDOCFLAGS", "-D warnings")))
}

/// The package of a pinned version is fetched once; llhttp's corpus is in no package.
fn corpora(context: &Context) -> Report {
    match corpora::run(&context.root, &[]) {
        Ok(Verdict::Good) => Report::passed(),
        Ok(Verdict::Bad) => Report::failed(""),
        Err(problem) => Report::failed(problem),
    }
}

/// Only the tests made for it: all else would meet shuttle's locks outside of a test of shuttle.
fn shuttle(context: &Context) -> Report {
    let args = ["test", "--package", "tidegate", "--lib", "--features", "tidegate/shuttle", "shuttle_"];
    let ran = context.run("cargo", &args);
    suite::counted(ran)
}
