//! The head of an HTTP/2 request as lines of text, which all that judges a request reads (RFC 9113 §8.3.1).
//!
//! `h2` has seen to it that names are lower case and tokens, that values hold no control byte, and that nothing speaks of
//! a connection. With what is asked of them here ([`Flaw`]) the lines are as sound as those that `http1` lets pass.
//! `:authority` becomes Host.

use http::header::{self, HeaderMap};
use http::request::Parts;
use http1::{BodyLength, Expect, Limits};

use crate::http::{Code, Reject, Request};

/// What stands in the text beside methods, targets, names and values.
const FRAMING: usize = "  HTTP/2.0\r\nhost: \r\n\r\n".len();

/// One head.
pub(super) struct Head {
    text: Vec<u8>,
    method: usize,
    target: usize,
    body: BodyLength,
    expect: Expect,
    fields: usize,
    flaw: Option<Flaw>,
}

/// What makes a request malformed that the crate lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// A scheme or path that HTTP/2 does not know.
    Target,
    /// A value that begins or ends with a space (RFC 9113 §8.2.1). As a line it would lose that.
    Padded,
    /// Several lengths, though they agree, or an empty one: as over HTTP/1 (SPEC H1-4).
    Length,
}

impl Head {
    /// The head that `parts` are; `ended`: no body follows.
    pub(super) fn of(parts: &Parts, ended: bool) -> Self {
        let method = parts.method.as_str();
        let path = parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        let connect = parts.method == http::Method::CONNECT;
        let authority = parts.uri.authority().map(http::uri::Authority::as_str);
        let target = if connect { authority.unwrap_or_default() } else { path };
        // It is kept until the answer is sent: no more than it needs.
        let values =
            parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
        let mut text = Vec::with_capacity(
            method.len() + target.len() + authority.map_or(0, str::len) + FRAMING + values.sum::<usize>(),
        );
        for piece in [method, " ", target, " HTTP/2.0\r\n"] {
            text.extend_from_slice(piece.as_bytes());
        }
        let mut fields = parts.headers.len();
        if let Some(authority) = authority {
            line(&mut text, "host", authority.as_bytes());
            fields += 1;
        }
        for (name, value) in &parts.headers {
            // Told twice alike it is told once; two that differ are refused as two Host fields are (RFC 9113 §8.3.1).
            let told = name == header::HOST
                && authority
                    .is_some_and(|authority| value.as_bytes().eq_ignore_ascii_case(authority.as_bytes()));
            if !told {
                line(&mut text, name.as_str(), value.as_bytes());
            }
        }
        text.extend_from_slice(b"\r\n");
        let flaw = Flaw::of(parts, path, connect);
        let body = length(&parts.headers, &parts.method, ended);
        let expect = expectation(&parts.headers);
        Self { text, method: method.len(), target: target.len(), body, expect, fields, flaw }
    }

    /// The request.
    pub(super) fn request(&self) -> Request<'_> {
        let target = self.method + 1..self.method + 1 + self.target;
        let method =
            std::str::from_utf8(self.text.get(..self.method).unwrap_or_default()).unwrap_or_default();
        let target = self.text.get(target).unwrap_or_default();
        Request::of_stream(method, target, &self.text, self.body, self.expect)
    }

    /// What is wrong with the head itself: step (1) of the order of judgement (SPEC H1-10).
    pub(super) fn fault(&self, limits: &Limits) -> Option<Reject> {
        if self.method + self.target + " HTTP/2.0\r\n".len() + 1 > limits.request_line {
            return Some(Reject::new(Code::TargetTooLong, "The target is longer than this server takes."));
        }
        if self.text.len() > limits.head {
            return Some(Reject::new(Code::HeadTooLarge, "The head is larger than this server takes."));
        }
        if self.fields > limits.fields {
            return Some(Reject::new(
                Code::TooManyFields,
                "The head has more fields than this server takes.",
            ));
        }
        self.flaw.map(Flaw::reject)
    }
}

impl Flaw {
    /// What is wrong with a request for `path`; `connect`: for a tunnel, which has none.
    fn of(parts: &Parts, path: &str, connect: bool) -> Option<Self> {
        if !connect && (!(path.starts_with('/') || path == "*") || parts.uri.scheme_str() == Some("")) {
            return Some(Self::Target);
        }
        if parts.headers.values().any(|value| value.as_bytes().trim_ascii().len() < value.len()) {
            return Some(Self::Padded);
        }
        let mut lengths = parts.headers.get_all(header::CONTENT_LENGTH).iter();
        let one = lengths.next().is_none_or(|length| !length.is_empty()) && lengths.next().is_none();
        (!one).then_some(Self::Length)
    }

    /// The answer to it.
    fn reject(self) -> Reject {
        match self {
            Self::Target => {
                Reject::new(Code::BadTarget, "The :scheme is empty, or the :path begins with no slash.")
            }
            Self::Padded => Reject::new(Code::BadHead, "A field begins or ends with a space."),
            Self::Length => Reject::new(Code::BadFraming, "Content-Length is there twice, or empty."),
        }
    }
}

fn line(text: &mut Vec<u8>, name: &str, value: &[u8]) {
    for piece in [name.as_bytes(), b": ", value, b"\r\n"] {
        text.extend_from_slice(piece);
    }
}

/// Whether a body follows, and how long it is said to be: `h2` holds the sender to that. The end of a stream tells the
/// length of any other, so that no upload lacks one.
fn length(fields: &HeaderMap, method: &http::Method, ended: bool) -> BodyLength {
    let said = fields.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    match said {
        Some(length) => BodyLength::Exact(length),
        None if !ended => BodyLength::Chunked,
        None if method == http::Method::POST => BodyLength::Exact(0),
        None => BodyLength::None,
    }
}

fn expectation(fields: &HeaderMap) -> Expect {
    let mut values = fields.get_all(header::EXPECT).iter();
    match (values.next(), values.next()) {
        (None, _) => Expect::None,
        (Some(value), None) if value.as_bytes().eq_ignore_ascii_case(b"100-continue") => Expect::Continue,
        _ => Expect::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::{HostField, Name, Version};

    fn head(request: http::request::Builder, ended: bool) -> Head {
        Head::of(&request.body(()).unwrap().into_parts().0, ended)
    }

    fn get(uri: &str) -> http::request::Builder {
        http::Request::get(uri)
    }

    #[test]
    fn h2_1_a_head_reads_as_one_of_http_1_would() {
        let head = head(
            get("https://a.example:8080/x?y=1").header("accept", "*/*").header("range", "bytes=0-1"),
            true,
        );
        let request = head.request();
        assert_eq!(
            (request.method, request.target, request.version),
            ("GET", &b"/x?y=1"[..], Version::Http2)
        );
        assert_eq!(request.host(), HostField::One(b"a.example:8080"));
        assert_eq!(request.single(Name::Range), Some(&b"bytes=0-1"[..]));
        assert_eq!((request.body, request.expect), (BodyLength::None, Expect::None));
        assert!(head.fault(&Limits::default()).is_none());
    }

    #[test]
    fn row_a13_h2_1_an_authority_and_a_host_must_agree() {
        let agree = head(get("https://a.example/").header("host", "A.example"), true);
        assert_eq!(agree.request().host(), HostField::One(b"a.example"));
        let differ = head(get("https://a.example/").header("host", "b.example"), true);
        assert_eq!(differ.request().host(), HostField::Repeated);
        let alone = head(get("/").header("host", "b.example"), true);
        assert_eq!(alone.request().host(), HostField::One(b"b.example"));
    }

    #[test]
    fn h2_1_the_end_of_the_stream_is_a_length() {
        let post = || http::Request::post("https://a/upload");
        assert_eq!(head(post(), true).request().body, BodyLength::Exact(0));
        assert_eq!(head(post(), false).request().body, BodyLength::Chunked);
        assert_eq!(head(post().header("content-length", "7"), false).request().body, BodyLength::Exact(7));
        assert_eq!(head(post().header("expect", "100-Continue"), false).request().expect, Expect::Continue);
        assert_eq!(head(post().header("expect", "x"), false).request().expect, Expect::Other);
    }

    #[test]
    fn h1_5_h2_1_heads_have_the_same_bounds() {
        let limits = Limits::default();
        let code = |head: Head| head.fault(&limits).map(|reject| reject.code);
        let long = format!("https://a/{}", "x".repeat(limits.request_line));
        assert_eq!(code(head(get(&long), true)), Some(Code::TargetTooLong));
        assert_eq!(code(head(get("/").header("x", "y".repeat(limits.head)), true)), Some(Code::HeadTooLarge));
        let many = (0..=limits.fields).fold(get("/"), |request, n| request.header(format!("x-{n}"), ""));
        assert_eq!(code(head(many, true)), Some(Code::TooManyFields));
        assert_eq!(code(head(get("*"), true)), None);
    }

    #[test]
    fn row_a3_h1_4_h2_1_what_http_1_would_not_take_is_malformed() {
        let code = |request, ended| head(request, ended).fault(&Limits::default()).map(|reject| reject.code);
        for value in [" lead", "trail ", "\ttab", " "] {
            assert_eq!(code(get("/").header("x", value), true), Some(Code::BadHead), "{value:?}");
        }
        assert_eq!(code(get("/").header("x", "").header("y", "in side"), true), None);
        let length = |values: &[&str]| {
            let post = http::Request::post("/upload");
            code(values.iter().fold(post, |post, value| post.header("content-length", *value)), false)
        };
        assert_eq!(length(&["7"]), None);
        assert_eq!(length(&["7", "7"]), Some(Code::BadFraming));
        assert_eq!(length(&[""]), Some(Code::BadFraming));
    }
}
