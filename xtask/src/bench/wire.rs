//! How a server is spoken to, and what it answers there: asked by curl, which knows TLS and HTTP/2.
//!
//! A server is started anew for each wire, for some speak only one on a port.

use crate::context::Context;
use crate::tools::Tool;

pub(super) const CURL: Tool = Tool::debian("curl", "curl");

/// What runs on a server's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// HTTP/1.1 over TCP.
    Clear,
    /// TLS, and by ALPN HTTP/1.1 or HTTP/2.
    Tls,
    /// HTTP/2 over TCP, known beforehand (RFC 9113 section 3.3).
    H2c,
}

/// Every wire, in the order of the tables.
pub(super) const WIRES: [Wire; 3] = [Wire::Clear, Wire::Tls, Wire::H2c];

/// One answer, as far as curl tells of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Bytes.
    pub(super) body: u64,
    /// `1.1` or `2`.
    pub(super) version: String,
}

impl Wire {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Tls => "TLS",
            Self::H2c => "h2c",
        }
    }

    pub(super) fn scheme(self) -> &'static str {
        match self {
            Self::Tls => "https",
            Self::Clear | Self::H2c => "http",
        }
    }

    /// Asks a server on loopback once, on a connection of its own. An `Err` holds what curl said.
    pub(super) fn get(self, context: &Context, http2: bool, port: u16, path: &str) -> Result<Answer, String> {
        let version = match self {
            Self::H2c => "--http2-prior-knowledge",
            Self::Tls if http2 => "--http2",
            Self::Tls | Self::Clear => "--http1.1",
        };
        let url = format!("{}://127.0.0.1:{port}{path}", self.scheme());
        // The certificate is of this run and known to nobody; a proxy of the developer's shell is not meant.
        let flags = ["--silent", "--show-error", "--insecure", "--noproxy", "*", "--max-time", "10", version];
        let told = ["--output", "/dev/null", "--write-out", "%{http_code} %{size_download} %{http_version}"];
        let ran = context.run("curl", &[&flags[..], &told, &[&url]].concat());
        let answer = read(&ran.output).filter(|_| ran.success);
        answer.ok_or_else(|| format!("no answer; curl said: {}", ran.output.trim()))
    }
}

fn read(said: &str) -> Option<Answer> {
    let words: Vec<&str> = said.split_whitespace().collect();
    let &[status, body, version] = words.as_slice() else { return None };
    Some(Answer { status: status.parse().ok()?, body: body.parse().ok()?, version: version.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_three_words() {
        let answer = Answer { status: 200, body: 1024, version: "1.1".to_owned() };
        assert_eq!(read("200 1024 1.1"), Some(answer));
        assert_eq!(read("curl: (7) Failed to connect"), None);
    }
}
