//! `cargo xtask bench`: tidegate side by side with other servers on this machine.
//!
//! ```text
//! flags ─► Plan ─► tools, builds ─► speed.rs  ─► Outcome ─► a printed table, bench/RESULTS.md, bench/results.svg
//!          options.rs               over servers.rs (who), works.rs (what), wrk.rs (load), process.rs (cost)
//! ```
//!
//! The figure that holds on a noisy machine is the server's CPU time per request, as a ratio of two servers in the same
//! round. Absolute figures are of one machine on one day, and promise nothing.

mod chart;
mod compare;
pub(crate) mod grid;
pub(crate) mod http;
pub(crate) mod idle;
mod options;
mod overload;
pub(crate) mod process;
mod report;
pub(crate) mod results;
pub(crate) mod servers;
mod speed;
pub(crate) mod stats;
mod uploads;
mod works;
mod wrk;

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::Command;

use crate::Verdict;
use crate::command::TempDir;
use crate::context::Context;
use crate::tools::{self, Missing};
use options::{DEFAULT_REQUESTS, Idle, Mode, Plan, Rounds, Speed};
use results::{Circumstances, Section};
use servers::{Setup, TIDEGATE};

/// `cargo xtask bench FLAGS`. An `Err` says what is wrong with the flags.
pub(crate) fn run(root: &Path, flags: &[&str]) -> Result<Verdict, String> {
    let plan = options::parse(flags)?;
    let command = shown(flags);
    Ok(perform(root, &plan, &command).unwrap_or_else(|problem| {
        eprintln!("bench: {problem}");
        Verdict::Bad
    }))
}

/// `cargo xtask overload FLAGS`. An `Err` says what is wrong with the flags.
pub(crate) fn overload(root: &Path, flags: &[&str]) -> Result<Verdict, String> {
    let plan = overload::parse(flags)?;
    Ok(perform_overload(root, plan).unwrap_or_else(|problem| {
        eprintln!("overload: {problem}");
        Verdict::Bad
    }))
}

fn perform_overload(root: &Path, plan: overload::Plan) -> Result<Verdict, String> {
    let context = Context::new(root).map_err(|error| format!("no folders for tools and logs: {error}"))?;
    let _alone = alone()?;
    build(&context)?;
    overload::run(&context, plan)
}

fn perform(root: &Path, plan: &Plan, command: &str) -> Result<Verdict, String> {
    let context = Context::new(root).map_err(|error| format!("no folders for tools and logs: {error}"))?;
    let _alone = alone()?;
    install_missing(&context, plan);
    build(&context)?;
    // The builds are over: what is busy now is not ours.
    let circumstances = Circumstances::read(&context, command);
    let scratch = scratch().map_err(|error| format!("no temporary folder: {error}"))?;
    let setup = Setup::new(&context, scratch.path());
    match plan {
        Plan::Speed(speed) => run_speed(&setup, speed, &circumstances),
        Plan::Uploads(rounds) => run_uploads(&setup, *rounds, &circumstances),
        Plan::Idle(idle) => run_idle(&setup, idle, &circumstances),
    }
}

/// Held while we measure: two benches on the same cores would spoil each other's figures. The name is the machine's,
/// not a file system's, and goes when we go.
pub(crate) fn alone() -> Result<UnixListener, String> {
    let name =
        SocketAddr::from_abstract_name("tidegate-bench").and_then(|name| UnixListener::bind_addr(&name));
    name.map_err(|error| format!("another bench seems to be running on this machine: {error}"))
}

/// The command as others would give it: a path of this machine tells them nothing.
fn shown(flags: &[&str]) -> String {
    let mut words = vec!["cargo xtask bench"];
    words.extend(flags);
    if let Some(at) = words.iter().position(|word| *word == "--binary") {
        words[at + 1] = "OTHER";
    }
    words.join(" ")
}

/// What cannot be had is named, and the run goes on without it.
fn install_missing(context: &Context, plan: &Plan) {
    let kinds = match plan {
        Plan::Speed(speed) => speed.kinds.as_slice(),
        Plan::Idle(idle) => idle.kinds.as_slice(),
        Plan::Uploads(_) => &[],
    };
    let mut wanted = servers::tools_of(kinds);
    if matches!(plan, Plan::Speed(_)) {
        wanted.push(wrk::TOOL);
    }
    wanted.retain(|tool| !tool.is_present(context));
    for tool in &wanted {
        println!("installing {}", tool.name);
    }
    for missing in tools::install_missing(&wanted, context) {
        match missing {
            Missing::NotTried(why) | Missing::Failed(why) => println!("goes on without: {why}"),
        }
    }
}

fn run_speed(setup: &Setup<'_>, speed: &Speed, circumstances: &Circumstances) -> Result<Verdict, String> {
    let binary = speed.binary.as_ref().map(fs::canonicalize).transpose();
    let setup = Setup {
        binary: binary.map_err(|error| format!("`--binary`: {error}"))?,
        access_log: speed.mode == Mode::Log,
        requests: (speed.mode == Mode::DefaultRequests).then_some(DEFAULT_REQUESTS),
        ..setup.clone()
    };
    let outcome = speed::run(&setup, speed)?;
    let tables = report::tables(&outcome);
    println!("\n{tables}");
    if !speed.rounds.write {
        return Ok(Verdict::Good);
    }
    let section = match speed.mode {
        Mode::Plain => Section::Speed,
        Mode::Log => Section::Log,
        Mode::DefaultRequests => Section::DefaultRequests,
    };
    let mut body = circumstances.told(&setup, &speed.kinds, Some(speed.rounds));
    if section == Section::Speed {
        chart::write(setup.context, &outcome.tables)?;
        body.push_str(
            "\n![CPU time per request, side by side; the table below has the figures](results.svg)\n",
        );
    }
    body.push_str(&format!("\n{}\n{tables}", report::legend(&outcome)));
    results::write(setup.context, section, &body)?;
    Ok(Verdict::Good)
}

fn run_uploads(setup: &Setup<'_>, rounds: Rounds, circumstances: &Circumstances) -> Result<Verdict, String> {
    let tables = uploads::tables(&uploads::run(setup.context, rounds)?);
    println!("\n{tables}");
    let told = circumstances.told(setup, &[TIDEGATE], Some(rounds));
    results::write(setup.context, Section::Uploads, &format!("{told}\n{tables}"))?;
    Ok(Verdict::Good)
}

fn run_idle(setup: &Setup<'_>, idle: &Idle, circumstances: &Circumstances) -> Result<Verdict, String> {
    let table = idle::table(&idle::run(setup, &idle.kinds)?);
    println!("\n{table}");
    if idle.write {
        let told = circumstances.told(setup, &idle.kinds, None);
        results::write(setup.context, Section::Idle, &format!("{told}\n{table}"))?;
    }
    Ok(Verdict::Good)
}

/// The folder of the files that are served, and of what the servers write.
pub(crate) fn scratch() -> std::io::Result<TempDir> {
    let scratch = TempDir::new("bench")?;
    // Started by root, some servers serve as another user.
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755))?;
    works::write_files(&scratch.path().join("root"))?;
    Ok(scratch)
}

/// tidegate as its users build it, and the floor.
fn build(context: &Context) -> Result<(), String> {
    build_server(context)?;
    let floor = ["build", "--release", "--manifest-path", "bench/floor/Cargo.toml"];
    let mut command = context.command("cargo", &floor);
    built(context, command.env("CARGO_TARGET_DIR", context.target.join("bench")))
}

/// tidegate as its users build it.
pub(crate) fn build_server(context: &Context) -> Result<(), String> {
    built(context, &mut context.command("cargo", &["build", "--release"]))
}

fn built(context: &Context, command: &mut Command) -> Result<(), String> {
    let ran = context.finish(command);
    if ran.success { Ok(()) } else { Err(format!("a build failed:\n{}", ran.output)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_shown_without_a_path_of_this_machine() {
        assert_eq!(shown(&[]), "cargo xtask bench");
        assert_eq!(shown(&["--binary", "x/y", "--log"]), "cargo xtask bench --binary OTHER --log");
    }
}
