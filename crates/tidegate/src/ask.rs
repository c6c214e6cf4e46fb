//! `tidegate bans` and `tidegate reload`: what they ask a running server by its control socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::config::BansRequest;
use crate::limits::ClientKey;

/// How long the server may take to answer: a reload waits for disks.
const PATIENCE: Duration = Duration::from_secs(30);

/// Exit code of a mistake on the command line.
const USAGE: u8 = 2;

/// Exit code 0 when the server did what was asked, 1 otherwise.
pub fn bans(control: Option<&Path>, request: &BansRequest) -> ExitCode {
    match request {
        BansRequest::List => ask(control, "bans export table"),
        BansRequest::Lift(client) if client.parse::<ClientKey>().is_err() => {
            crate::complain(&format!("tidegate: {client} is no address of a client"));
            ExitCode::from(USAGE)
        }
        BansRequest::Lift(client) => ask(control, &format!("bans lift {client}")),
        BansRequest::Export(format) => ask(control, &format!("bans export {format}")),
    }
}

/// Exit code 0 when the server runs by what its configuration says now, 1 when it goes on with what it had.
pub fn reload(control: Option<&Path>) -> ExitCode {
    ask(control, "reload")
}

fn ask(control: Option<&Path>, line: &str) -> ExitCode {
    let Some(path) = control else {
        return complain(
            "no control socket is configured; start the server with --control PATH and name it here too",
        );
    };
    let asked = UnixStream::connect(path).and_then(|stream| exchange(stream, line));
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

fn exchange(mut stream: UnixStream, line: &str) -> io::Result<String> {
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
