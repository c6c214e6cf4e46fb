//! Other people's clients: a program run to its end, and curl through everything that a server of files is asked for.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should say where"
)]

pub mod curl;

use std::path::Path;
use std::process::Command;

use crate::process::{Outcome, outcome};

/// Seconds that a client may take on a busy machine; it is ended with code 124 then.
const PATIENCE: &str = "60";

/// Runs `program` in `folder` to its end; `None` where it is not installed, which fails in CI.
pub fn run(folder: &Path, program: &str, args: &[&str]) -> Option<Outcome> {
    let mut command = Command::new("timeout");
    command.args(["-k", "1", PATIENCE, program]).args(args).current_dir(folder);
    let ended = outcome(&mut command);
    // What coreutils' timeout says of a program that it does not find.
    if ended.code != Some(127) {
        return Some(ended);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{program} is missing");
    println!("skipped: {program} is missing");
    None
}
