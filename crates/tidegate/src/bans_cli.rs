//! `tidegate bans`: asks a running server by its control socket who is banned, and lifts bans.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use crate::config::{BansRequest, Settings};
use crate::limits::ClientKey;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Exit code of a mistake on the command line.
const USAGE: u8 = 2;

/// Exit code 0 when the server did what was asked, 1 otherwise.
pub fn run(settings: &Settings, request: &BansRequest) -> ExitCode {
    let Some(path) = &settings.server.control else {
        return complain(
            "no control socket is configured; start the server with --control PATH and name it here too",
        );
    };
    let line = match request {
        BansRequest::List => "bans export table".to_owned(),
        BansRequest::Lift(client) if client.parse::<ClientKey>().is_err() => {
            crate::complain(&format!("tidegate: {client} is no address of a client"));
            return ExitCode::from(USAGE);
        }
        BansRequest::Lift(client) => format!("bans lift {client}"),
        BansRequest::Export(format) => format!("bans export {format}"),
    };
    let asked = UnixStream::connect(path).and_then(|stream| ask(stream, &line));
    match asked.as_deref().map(|answer| answer.split_once('\n').unwrap_or((answer, ""))) {
        Ok(("ok", text)) => match io::stdout().write_all(text.as_bytes()) {
            // A reader that has enough of our output, like `head`, is no error.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => complain(&error.to_string()),
            _ => ExitCode::SUCCESS,
        },
        Ok((error, _)) => complain(error.strip_prefix("error: ").unwrap_or("the server gave no answer")),
        Err(error) => complain(&format!("no server answers at {}: {error}", path.display())),
    }
}

fn ask(mut stream: UnixStream, line: &str) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    writeln!(stream, "{line}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn complain(why: &str) -> ExitCode {
    crate::complain(&format!("tidegate: {why}"));
    ExitCode::FAILURE
}
