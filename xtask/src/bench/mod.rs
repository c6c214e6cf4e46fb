//! `cargo xtask bench`: tidegate side by side with other servers on this machine.
//!
//! ```text
//! flags ─► Plan ─► tools, builds ─► speed.rs  ─► Outcome ─► a printed table, bench/RESULTS.md, bench/results.svg
//!          options.rs               over servers.rs (who), wire.rs (how), works.rs (what), load.rs, process.rs (cost)
//! ```
//!
//! The figure that holds on a noisy machine is the server's CPU time per request, as a ratio of two servers in the same
//! round. Absolute figures are of one machine on one day, and promise nothing.

pub(crate) mod certificate;
mod chart;
mod check;
mod compare;
mod crowd;
pub(crate) mod grid;
mod h2load;
mod hello;
pub(crate) mod http;
pub(crate) mod idle;
mod load;
mod options;
mod overload;
pub(crate) mod process;
mod report;
pub(crate) mod results;
pub(crate) mod servers;
mod speed;
pub(crate) mod stats;
mod uploads;
pub(crate) mod wire;
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
use certificate::Certificate;
pub(crate) use options::chosen;
use options::{DEFAULT_REQUESTS, Idle, Mode, Plan, Rounds, Speed};
use results::{Circumstances, Section};
use servers::{FLOOR, Setup, TIDEGATE};

/// `cargo xtask bench FLAGS`. An `Err` says what is wrong with the flags.
pub(crate) fn run(root: &Path, flags: &[&str]) -> Result<Verdict, String> {
    let plan = options::parse(flags)?;
    let command = shown("cargo xtask bench", flags);
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
    build_server(&context)?;
    build_floor(&context)?;
    overload::run(&context, plan)
}

fn perform(root: &Path, plan: &Plan, command: &str) -> Result<Verdict, String> {
    let context = Context::new(root).map_err(|error| format!("no folders for tools and logs: {error}"))?;
    let _alone = alone()?;
    install_missing(&context, plan);
    build(&context, plan)?;
    // The builds are over: what is busy now is not ours.
    let circumstances = Circumstances::read(&context, command);
    let scratch = scratch().map_err(|error| format!("no temporary folder: {error}"))?;
    if plan.needs_tls() {
        Certificate::make(&context, scratch.path())?;
    }
    let setup = Setup { binary: plan.binary()?, ..Setup::new(&context, scratch.path()) };
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
pub(crate) fn shown<'w>(command: &'w str, flags: &[&'w str]) -> String {
    let mut words = vec![command];
    words.extend(flags);
    if let Some(at) = words.iter().position(|word| *word == "--binary") {
        words[at + 1] = "OTHER";
    }
    words.join(" ")
}

/// What cannot be had is named, and the run goes on without it.
fn install_missing(context: &Context, plan: &Plan) {
    let mut wanted = servers::tools_of(plan.kinds());
    if let Plan::Speed(speed) = plan {
        wanted.extend(load::tools(&speed.works));
    }
    if plan.needs_tls() {
        wanted.extend([certificate::OPENSSL, wire::CURL, crowd::PYTHON]);
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
    let setup = Setup {
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

/// All threads that we start from here on stay on one core, away from the server's.
pub(crate) fn keep_to_core(context: &Context, core: &str) {
    let ran = context.run("taskset", &["--cpu-list", "--pid", core, &std::process::id().to_string()]);
    if !ran.success {
        println!("clients and server share their cores: {}", ran.output.trim());
    }
}

/// What of ours takes part.
fn build(context: &Context, plan: &Plan) -> Result<(), String> {
    let (kinds, uploads) = (plan.kinds(), matches!(plan, Plan::Uploads(_)));
    if uploads || kinds.contains(&TIDEGATE) {
        build_server(context)?;
    }
    if uploads || kinds.contains(&FLOOR) {
        build_floor(context)?;
    }
    Ok(())
}

/// The bare loop that others are measured by.
pub(crate) fn build_floor(context: &Context) -> Result<(), String> {
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
        assert_eq!(shown("bench", &[]), "bench");
        assert_eq!(shown("bench", &["--binary", "x/y", "--log"]), "bench --binary OTHER --log");
    }
}
