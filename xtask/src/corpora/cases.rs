//! A case of a corpus, and what is sent of it.

/// Sent behind a case whose requests are complete: its answer shows that the server knows where they end, and its
/// silence that nothing behind a refusal is read.
pub(super) const PROBE: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// What its authors say of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// So many requests, and nothing else.
    Valid { requests: usize },
    /// So many requests, then a malformed one.
    Invalid { after: usize },
    /// So many requests, then the beginning of one.
    Unfinished { after: usize },
}

/// One input of a corpus.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) corpus: &'static str,
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) says: Says,
}

impl Case {
    /// The bytes on the wire. Authors of parsers leave Host out, which a server must refuse (RFC 9112 §3.2) before it
    /// gets to what they mean: it is put in.
    pub(super) fn sent(&self) -> Vec<u8> {
        let mut bytes = with_hosts(&self.bytes);
        if !self.is_unfinished() {
            bytes.extend_from_slice(PROBE);
        }
        bytes
    }

    pub(super) fn is_valid(&self) -> bool {
        matches!(self.says, Says::Valid { .. })
    }

    pub(super) fn is_invalid(&self) -> bool {
        matches!(self.says, Says::Invalid { .. })
    }

    pub(super) fn is_unfinished(&self) -> bool {
        matches!(self.says, Says::Unfinished { .. })
    }

    /// Whether a field announces a body, whose faults show only after its head was answered.
    pub(super) fn has_body(&self) -> bool {
        let text = String::from_utf8_lossy(&self.bytes).to_ascii_lowercase();
        ["\ntransfer-encoding", "\ncontent-length"].iter().any(|field| text.contains(field))
    }
}

/// Puts a Host into each HTTP/1.1 head that has none.
fn with_hosts(bytes: &[u8]) -> Vec<u8> {
    const END: &[u8] = b" HTTP/1.1\r\n";
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(END.len()).position(|window| window == END) {
        let (line, after) = rest.split_at(at + END.len());
        out.extend_from_slice(line);
        if !names_host(after) {
            out.extend_from_slice(b"Host: localhost\r\n");
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

/// Whether a Host stands among the field lines before the first empty one.
fn names_host(fields: &[u8]) -> bool {
    let mut lines = fields.split(|&byte| byte == b'\n').take_while(|line| *line != b"\r");
    lines.any(|line| line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_put_in_where_there_is_none() {
        let plain =
            b"GET /a HTTP/1.1\r\nX: y\r\n\r\nPOST /b HTTP/1.1\r\nhOst: c\r\n\r\nGET /d HTTP/1.0\r\n\r\n";
        let sent = b"GET /a HTTP/1.1\r\nHost: localhost\r\nX: y\r\n\r\nPOST /b HTTP/1.1\r\nhOst: c\r\n\r\nGET /d HTTP/1.0\r\n\r\n";
        assert_eq!(with_hosts(plain), sent);
        // A Host of the next request is not this one's.
        let two = with_hosts(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(String::from_utf8(two).unwrap().matches("Host").count(), 2);
    }
}
