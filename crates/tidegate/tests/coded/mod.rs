//! Content codings by the tools of the system, which share nothing with the server's own.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should say where"
)]

pub mod sidecar;

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::support::{Client, Response};

/// A coding of the contract, in the order of its preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Br,
    Zstd,
    Gzip,
}

impl Coding {
    pub const ALL: [Self; 3] = [Self::Br, Self::Zstd, Self::Gzip];

    /// As `Content-Encoding` has it.
    pub fn token(self) -> &'static str {
        match self {
            Self::Br => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// How the name of a sidecar ends.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Br => "br",
            Self::Zstd => "zst",
            Self::Gzip => "gz",
        }
    }

    fn tool(self) -> &'static str {
        match self {
            Self::Br => "brotli",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    pub fn encode(self, bytes: &[u8]) -> Vec<u8> {
        pipe(Command::new(self.tool()).arg("-c"), bytes)
    }

    /// The bytes that were coded; a coding that is malformed or cut short panics.
    pub fn decode(self, bytes: &[u8]) -> Vec<u8> {
        let mut command = Command::new(self.tool());
        command.args(["-d", "-c"]);
        if self == Self::Zstd {
            // RFC 9659 §3: no decoder needs to hold a window over 8 MiB.
            command.arg("--memory=8MB");
        }
        pipe(&mut command, bytes)
    }
}

/// Whether the tools are there; says which test is skipped where not, and fails in CI.
pub fn has_tools(test: &str) -> bool {
    let missing = |coding: &Coding| Command::new(coding.tool()).arg("--version").output().is_err();
    let Some(coding) = Coding::ALL.into_iter().find(missing) else { return true };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} needs {}", coding.tool());
    println!("skipped: {test} needs {}", coding.tool());
    false
}

/// The coding of a response; `None` is identity.
pub fn coding_of(response: &Response) -> Option<Coding> {
    let token = response.field("content-encoding")?;
    let coding = Coding::ALL.into_iter().find(|coding| coding.token() == token);
    Some(coding.unwrap_or_else(|| panic!("Content-Encoding: {token}")))
}

/// The bytes that a response is a representation of.
pub fn content_of(response: &Response) -> Vec<u8> {
    coding_of(response).map_or_else(|| response.body.clone(), |coding| coding.decode(&response.body))
}

/// Asks for `target` with further field lines, each ended by `\r\n`.
pub fn ask(client: &mut Client, method: &str, target: &str, fields: &str) -> Response {
    let head = format!("{method} {target} HTTP/1.1\r\n{fields}");
    client.send_request(&head, b"");
    client.response_to(&head)
}

/// GETs `target` with this `Accept-Encoding`.
pub fn get(client: &mut Client, target: &str, accepted: &str) -> Response {
    ask(client, "GET", target, &format!("Accept-Encoding: {accepted}\r\n"))
}

/// Text that gets smaller by any coding and repeats nowhere exactly: `size` bytes of numbered lines.
pub fn prose(size: usize, seed: usize) -> Vec<u8> {
    let line = |number| format!("<p>line {number} of page {seed}: {}</p>\n", number * 7919 % 104_729);
    let mut bytes: Vec<u8> = (0..=size / 24).flat_map(|number| line(number).into_bytes()).collect();
    bytes.truncate(size);
    assert_eq!(bytes.len(), size);
    bytes
}

/// What `command` makes of `bytes`.
fn pipe(command: &mut Command, bytes: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a coding tool");
    let mut input = child.stdin.take().unwrap();
    let mut made = Vec::new();
    std::thread::scope(|scope| {
        // A tool that refuses its input closes it early; its status tells.
        scope.spawn(move || drop(input.write_all(bytes)));
        child.stdout.take().unwrap().read_to_end(&mut made).unwrap();
    });
    assert!(child.wait().unwrap().success(), "{command:?} refused {} bytes", bytes.len());
    made
}
