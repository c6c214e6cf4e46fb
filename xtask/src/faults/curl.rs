//! One request over TLS, by curl: on a connection of its own, and with the handshake that belongs to it.

use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::process::{Command, Stdio};

use super::ask::{Answer, End, PATIENCE, Request};
use crate::tools::Tool;

pub(super) const CURL: Tool = Tool::debian("curl", "curl");

/// What is spoken inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// What curl's exit code says when its time is over.
const TIMED_OUT: i32 = 28;

/// How fast a slow client reads, in bytes a second: a file of 3 MB in a tenth of a second.
const SLOWLY: &str = "30M";

/// What became of `request` to the server at `addr`; of an answer no more is taken than came whole.
pub(super) fn ask(addr: SocketAddrV4, protocol: Protocol, request: &Request) -> End {
    let mut command = Command::new("curl");
    // Nobody's settings, a certificate of the server's own, heads and bodies as they come, and no wait for leave to send.
    command.args(["--disable", "--silent", "--insecure", "--include", "--path-as-is", "--header", "Expect:"]);
    command.args(["--max-time", &PATIENCE.as_secs().to_string()]);
    command.arg(match protocol {
        Protocol::Http1 => "--http1.1",
        Protocol::Http2 => "--http2",
    });
    for field in request.fields.lines() {
        command.args(["--header", field]);
    }
    if request.method == "POST" {
        command.args(["--data-binary", "@-"]);
    }
    if request.slow {
        command.args(["--limit-rate", SLOWLY]);
    }
    command.arg(format!("https://{addr}{}", request.path));
    ran(&mut command, &request.body).unwrap_or(End::Cut)
}

fn ran(command: &mut Command, body: &[u8]) -> io::Result<End> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A body fits into a pipe; one that curl does not take is not sent.
        let _ = input.write_all(body);
    }
    let output = child.wait_with_output()?;
    Ok(match output.status.code() {
        Some(0) => answer(&output.stdout).map_or(End::Cut, End::Answer),
        Some(TIMED_OUT) => End::Hang,
        _ => End::Cut,
    })
}

/// Head and body, which curl has found to be as long as the head says.
fn answer(output: &[u8]) -> Option<Answer> {
    let end = output.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let (head, body) = output.split_at(end);
    let head = String::from_utf8_lossy(head).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head, body: body.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_status_its_fields_and_its_bytes() {
        let two = answer(b"HTTP/2 201 \r\nlocation: /uploads/a.json\r\n\r\n{}\r\n\r\n").unwrap();
        assert_eq!((two.status, two.field("location")), (201, Some("/uploads/a.json")));
        assert_eq!(two.body, b"{}\r\n\r\n");
        assert_eq!(answer(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap().status, 404);
        assert_eq!(answer(b"HTTP/2 200 \r\nlocation: /"), None);
    }
}
