//! Arguments → settings → server → exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use tidegate::config::{self, Command, Environment, Exit, Invocation};
use tidegate::server::{self, Checked, Server};

fn main() -> ExitCode {
    match config::parse(std::env::args_os()).and_then(run) {
        Ok(code) => code,
        Err(exit) => say(&exit),
    }
}

fn run(command: Command) -> Result<ExitCode, Exit> {
    match command {
        Command::Serve(invocation) => serve(*invocation),
        Command::Check(invocation) => check(&invocation),
        Command::Demo { url } => Ok(tidegate::demo::run(url.as_deref())),
        Command::Healthcheck(invocation) => {
            Ok(tidegate::healthcheck::run(&invocation.resolve(&Environment::current())?))
        }
        Command::Bans(invocation, request) => {
            Ok(tidegate::ask::bans(invocation.control_path(&Environment::current())?.as_deref(), &request))
        }
        Command::Reload(invocation) => {
            Ok(tidegate::ask::reload(invocation.control_path(&Environment::current())?.as_deref()))
        }
        Command::Explain(what) => {
            Ok(written(io::stdout().write_all(tidegate::explain::text(&what)?.as_bytes())))
        }
        Command::Completions(shell) => Ok(written(config::completions(shell, &mut io::stdout()))),
        Command::Man => Ok(written(config::man(&mut io::stdout()))),
    }
}

fn check(invocation: &Invocation) -> Result<ExitCode, Exit> {
    let settings = invocation.resolve(&Environment::current())?;
    let Checked { warnings, refusal } = server::check(invocation, &settings);
    for warning in settings.notes.iter().chain(&warnings) {
        tidegate::complain(&format!("warning: {warning}"));
    }
    let printed = written(io::stdout().write_all(settings.to_toml().as_bytes()));
    Ok(refusal.map_or(printed, |error| {
        tidegate::complain(&format!("tidegate: {error}"));
        ExitCode::FAILURE
    }))
}

fn serve(invocation: Invocation) -> Result<ExitCode, Exit> {
    let settings = invocation.resolve(&Environment::current())?;
    invocation.judge(&settings)?;
    Ok(Server::run(invocation, settings))
}

/// A reader that has enough of our output, like `head`, is no error.
fn written(result: io::Result<()>) -> ExitCode {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn say(exit: &Exit) -> ExitCode {
    let text = exit.text.as_bytes();
    let _ = if exit.code == 0 { io::stdout().write_all(text) } else { io::stderr().write_all(text) };
    ExitCode::from(exit.code)
}
