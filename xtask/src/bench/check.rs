//! Before a server is measured: is its answer to each request the right one, over the right protocol?

use super::hello::{self, Agreed};
use super::http::Client;
use super::load::{self, Order};
use super::servers::Server;
use super::wire::Wire;
use super::works::{Manner, Work};
use crate::context::Context;

/// Handshakes are watched for a second.
const LOOK_SECONDS: u64 = 1;

/// What the requests to one server must say, and what it agreed on by TLS.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) fields: Vec<String>,
    pub(super) agreed: Option<Agreed>,
}

/// Makes each request of the work once, which also fills the server's caches. An `Err` says what is wrong with the
/// answer.
pub(super) fn check(context: &Context, work: &Work, server: &Server) -> Result<Checked, String> {
    let fields = fields(work, server)?;
    if work.wire == Wire::Clear {
        for path in work.paths() {
            check_in_the_clear(work, server, &path, &fields)?;
        }
        return Ok(Checked { fields, agreed: None });
    }
    for path in work.paths() {
        check_by_curl(context, work, server, &path)?;
    }
    let agreed =
        (work.wire == Wire::Tls).then(|| watch_handshakes(context, work, server, &fields)).transpose()?;
    Ok(Checked { fields, agreed })
}

fn check_in_the_clear(work: &Work, server: &Server, path: &str, fields: &[String]) -> Result<(), String> {
    let badly = |error| format!("answers {path} badly: {error}");
    let mut client = Client::connect(server.port).map_err(badly)?;
    let answer = client.get(path, fields).map_err(badly)?;
    is_right(work, path, answer.status, answer.body.len() as u64)?;
    // One that closes without a word is measured: wrk counts an error for each, and so its row is marked.
    if work.manner == Manner::Close && answer.persistent && !client.has_ended() {
        return Err("keeps a connection that should close".to_owned());
    }
    Ok(())
}

fn check_by_curl(context: &Context, work: &Work, server: &Server, path: &str) -> Result<(), String> {
    let http2 = work.manner == Manner::Streams;
    let answer = work.wire.get(context, http2, server.port, path)?;
    is_right(work, path, answer.status, answer.body)?;
    let expected = if http2 { "2" } else { "1.1" };
    if answer.version == expected {
        Ok(())
    } else {
        Err(format!("speaks HTTP/{}, not HTTP/{expected}", answer.version))
    }
}

fn is_right(work: &Work, path: &str, status: u16, body: u64) -> Result<(), String> {
    if status != work.status {
        return Err(format!("answers {path} with {status}, not {}", work.status));
    }
    if work.body.is_some_and(|length| length != body) {
        return Err(format!("answers {path} with {body} bytes"));
    }
    Ok(())
}

/// The work itself, for a moment and with a relay between.
fn watch_handshakes(
    context: &Context,
    work: &Work,
    server: &Server,
    fields: &[String],
) -> Result<Agreed, String> {
    let (load, agreed) = hello::watch(server.port, |port| {
        load::run(context, &Order { work, port, seconds: LOOK_SECONDS, fields, last: 0 })
    })?;
    if work.manner == Manner::Close && load?.requests > agreed.handshakes as u64 {
        return Err("keeps a connection that should close".to_owned());
    }
    Ok(agreed)
}

fn fields(work: &Work, server: &Server) -> Result<Vec<String>, String> {
    match work.manner {
        Manner::Plain | Manner::Pipelined | Manner::Streams | Manner::Strangers => Ok(Vec::new()),
        Manner::Close => Ok(vec!["Connection: close".to_owned()]),
        Manner::Conditional => {
            let answer = Client::connect(server.port).and_then(|mut client| client.get(work.path, &[]));
            let answer = answer.map_err(|error| format!("answers {} badly: {error}", work.path))?;
            answer.condition().map(|field| vec![field]).ok_or_else(|| "has no validator".to_owned())
        }
    }
}
