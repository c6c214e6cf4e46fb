//! One request as the handlers see it: slices of the bytes received, nothing copied.

use http1::{BodyLength, Expect, Head};

use crate::net::tls::Agreed;

/// A judged head. Small and cheap to copy, so that it can follow a request into the slow path.
#[derive(Clone, Copy, Debug)]
pub struct Request<'b> {
    /// The method token as sent.
    pub method: &'b str,
    /// The request-target as sent (RFC 9112 §3.2).
    pub target: &'b [u8],
    /// Protocol version.
    pub version: Version,
    /// What TLS settled for its connection; `None` in the clear.
    pub secured: Option<&'b Agreed>,
    /// How the body is framed.
    pub body: BodyLength,
    /// What the client expects before it sends the body.
    pub expect: Expect,
    /// The head as received, from the request line to the empty line.
    head: &'b [u8],
    present: u32,
    host: Option<&'b [u8]>,
}

/// The protocol version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0 (RFC 1945)
    Http10,
    /// HTTP/1.1 (RFC 9112)
    Http11,
    /// HTTP/2 (RFC 9113)
    Http2,
}

impl Version {
    /// As logs write it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }
}

impl From<http1::Version> for Version {
    fn from(version: http1::Version) -> Self {
        match version {
            http1::Version::Http10 => Self::Http10,
            http1::Version::Http11 => Self::Http11,
        }
    }
}

/// Methods that this server knows; any other is answered 405.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD: GET without the body.
    Head,
    /// POST
    Post,
    /// OPTIONS
    Options,
}

/// Request fields that some handler reads. The discriminant is a bit of [`Request::has`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
#[repr(u32)]
pub enum Name {
    Accept = 1,
    AcceptEncoding = 1 << 1,
    ContentEncoding = 1 << 2,
    ContentType = 1 << 3,
    Host = 1 << 4,
    IfMatch = 1 << 5,
    IfModifiedSince = 1 << 6,
    IfNoneMatch = 1 << 7,
    IfRange = 1 << 8,
    IfUnmodifiedSince = 1 << 9,
    Range = 1 << 10,
    Referer = 1 << 11,
    UserAgent = 1 << 12,
    AccessControlRequestMethod = 1 << 19,
    Authorization = 1 << 13,
    Forwarded = 1 << 14,
    Origin = 1 << 15,
    SecFetchSite = 1 << 16,
    XForwardedFor = 1 << 17,
    /// Any other field by which a proxy tells of itself or of its client: `Via`, `X-Forwarded-…`, `X-Real-IP`,
    /// `CF-Connecting-IP`, `True-Client-IP` (SPEC SEC-0). Several names: [`Request::values`] finds none.
    OtherForwarding = 1 << 18,
}

impl Name {
    /// The field's name, lower case.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::AcceptEncoding => "accept-encoding",
            Self::ContentEncoding => "content-encoding",
            Self::ContentType => "content-type",
            Self::Host => "host",
            Self::IfMatch => "if-match",
            Self::IfModifiedSince => "if-modified-since",
            Self::IfNoneMatch => "if-none-match",
            Self::IfRange => "if-range",
            Self::IfUnmodifiedSince => "if-unmodified-since",
            Self::Range => "range",
            Self::Referer => "referer",
            Self::UserAgent => "user-agent",
            Self::AccessControlRequestMethod => "access-control-request-method",
            Self::Authorization => "authorization",
            Self::Forwarded => "forwarded",
            Self::Origin => "origin",
            Self::SecFetchSite => "sec-fetch-site",
            Self::XForwardedFor => "x-forwarded-for",
            Self::OtherForwarding => "",
        }
    }

    /// The known name that `name` is; the length alone decides which one it could be.
    fn of(name: &str) -> Option<Self> {
        let candidates: &[Self] = match name.len() {
            4 => &[Self::Host],
            5 => &[Self::Range],
            6 => &[Self::Accept, Self::Origin],
            7 => &[Self::Referer],
            8 => &[Self::IfMatch, Self::IfRange],
            9 => &[Self::Forwarded],
            10 => &[Self::UserAgent],
            12 => &[Self::ContentType],
            13 => &[Self::IfNoneMatch, Self::Authorization],
            14 => &[Self::SecFetchSite],
            15 => &[Self::AcceptEncoding, Self::XForwardedFor],
            16 => &[Self::ContentEncoding],
            17 => &[Self::IfModifiedSince],
            19 => &[Self::IfUnmodifiedSince],
            29 => &[Self::AccessControlRequestMethod],
            _ => &[],
        };
        let known = candidates.iter().copied().find(|known| name.eq_ignore_ascii_case(known.text()));
        known.or_else(|| is_forwarding(name).then_some(Self::OtherForwarding))
    }
}

/// Names of fields that only a proxy writes: those of SPEC SEC-0, and those of balancers and delivery networks.
const FORWARDING: [&str; 13] = [
    "via",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-ray",
    "cdn-loop",
    "fastly-client-ip",
    "fly-client-ip",
    "x-amzn-trace-id",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-original-forwarded-for",
];
/// How names begin that only a proxy writes.
const FORWARDING_FAMILIES: [&str; 2] = ["x-forwarded-", "x-envoy-"];

fn is_forwarding(name: &str) -> bool {
    let begins =
        |family: &&str| name.get(..family.len()).is_some_and(|start| start.eq_ignore_ascii_case(family));
    // All of them begin so; most other names do not.
    matches!(
        name.as_bytes().first(),
        Some(b'v' | b'V' | b'x' | b'X' | b't' | b'T' | b'c' | b'C' | b'f' | b'F')
    ) && (FORWARDING.iter().any(|known| name.eq_ignore_ascii_case(known))
        || FORWARDING_FAMILIES.iter().any(begins))
}

/// What the Host field lines of a request say (RFC 9112 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostField<'b> {
    /// There is none.
    Missing,
    /// There are several, even if they agree.
    Repeated,
    /// The only one's value.
    One(&'b [u8]),
}

impl<'b> Request<'b> {
    /// The request that `head` is; `head` was read from the front of `input`.
    #[inline]
    pub fn new(head: &Head<'b, '_>, input: &'b [u8]) -> Self {
        let fields = head.fields.iter().map(|field| (field.name, field.value));
        Self {
            version: head.version.into(),
            body: head.body,
            expect: head.expect,
            ..Self::of_lines(
                head.method,
                head.target,
                input.get(head.start..head.consumed).unwrap_or_default(),
                fields,
            )
        }
    }

    /// The request of an HTTP/2 stream, whose fields are written as lines in `head`, behind a request line. It has no
    /// length in its framing: `body` tells what was announced.
    pub fn of_stream(
        method: &'b str,
        target: &'b [u8],
        head: &'b [u8],
        body: BodyLength,
        expect: Expect,
    ) -> Self {
        Self {
            version: Version::Http2,
            body,
            expect,
            ..Self::of_lines(method, target, head, fields_of(head))
        }
    }

    /// The same request, on a connection of which TLS says this.
    #[inline]
    pub fn over(self, secured: Option<&'b Agreed>) -> Self {
        Self { secured, ..self }
    }

    #[inline]
    fn of_lines<'f>(
        method: &'b str,
        target: &'b [u8],
        head: &'b [u8],
        fields: impl Iterator<Item = (&'f str, &'b [u8])>,
    ) -> Self {
        let (mut present, mut hosts, mut host) = (0, 0_u32, None);
        for (name, value) in fields {
            if let Some(name) = Name::of(name) {
                present |= name as u32;
                if name == Name::Host {
                    hosts += 1;
                    host = Some(value);
                }
            }
        }
        Self {
            method,
            target,
            version: Version::Http11,
            secured: None,
            body: BodyLength::None,
            expect: Expect::None,
            head,
            present,
            host: host.filter(|_| hosts == 1),
        }
    }

    /// The method, if this server knows it.
    #[inline]
    pub fn known_method(&self) -> Option<Method> {
        match self.method {
            "GET" => Some(Method::Get),
            "HEAD" => Some(Method::Head),
            "POST" => Some(Method::Post),
            "OPTIONS" => Some(Method::Options),
            _ => None,
        }
    }

    /// Whether any of `names` is present.
    #[inline]
    pub fn has(&self, names: &[Name]) -> bool {
        names.iter().any(|name| self.present & *name as u32 != 0)
    }

    /// Whether a proxy wrote any field that tells of itself or of its client (SPEC SEC-0).
    #[inline]
    pub fn is_forwarded(&self) -> bool {
        self.has(&[Name::Forwarded, Name::XForwardedFor, Name::OtherForwarding])
    }

    /// The Host field.
    #[inline]
    pub fn host(&self) -> HostField<'b> {
        match self.host {
            Some(value) => HostField::One(value),
            None if self.has(&[Name::Host]) => HostField::Repeated,
            None => HostField::Missing,
        }
    }

    /// The values of all field lines called `name`, in order.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        let lines = if self.has(&[name]) { self.head } else { &[] };
        fields_of(lines)
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name.text()))
            .map(|(_, value)| value)
    }

    /// The value of a field that may stand once only; `None` when it is absent or repeated.
    pub fn single(&self, name: Name) -> Option<&'b [u8]> {
        let mut values = self.values(name);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }

    /// The query of the target with its `?`; empty where there is none.
    pub fn query(&self) -> &'b [u8] {
        let start = self.target.iter().position(|byte| *byte == b'?');
        start.and_then(|at| self.target.get(at..)).unwrap_or_default()
    }

    /// All field lines as name and value.
    pub fn fields(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> + use<'b> {
        fields_of(self.head)
    }
}

/// Name and value of each field line of a head that was already judged sound.
fn fields_of(head: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    let mut rest = head;
    let lines = std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', rest)?;
        let (line, after) = rest.split_at_checked(end + 1)?;
        rest = after;
        Some(line)
    });
    lines.skip(1).filter_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        let (name, value) = line.split_at_checked(colon)?;
        Some((std::str::from_utf8(name).ok()?, value.get(1..)?.trim_ascii()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http1::{Connection, FieldStorage, Limits};

    fn with_request(head: &str, check: impl FnOnce(Request<'_>)) {
        let mut storage = FieldStorage::new();
        let input = head.as_bytes();
        let head = Connection::new().read_head(input, &mut storage, &Limits::default()).unwrap().unwrap();
        check(Request::new(&head, input));
    }

    #[test]
    fn host_1_one_host_is_told_from_none_and_from_several() {
        with_request("GET / HTTP/1.1\r\nHost: a\r\n\r\n", |r| assert_eq!(r.host(), HostField::One(b"a")));
        with_request("GET / HTTP/1.1\r\n\r\n", |r| assert_eq!(r.host(), HostField::Missing));
        with_request("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", |r| {
            assert_eq!(r.host(), HostField::Repeated);
        });
    }

    #[test]
    fn sec_0_every_field_of_a_proxy_is_seen_and_no_other() {
        let forwarded = |field: &str| {
            let mut seen = false;
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{field}: x\r\n\r\n");
            with_request(&head, |request| seen = request.is_forwarded());
            seen
        };
        for field in [
            "Forwarded",
            "X-Forwarded-For",
            "x-forwarded-host",
            "X-FORWARDED-PROTO",
            "X-Forwarded-",
            "Via",
            "X-Real-IP",
            "CF-Connecting-IP",
            "True-Client-IP",
        ] {
            assert!(forwarded(field), "{field}");
        }
        for field in ["X-Client-IP", "CF-Ray", "CDN-Loop", "X-Envoy-Peer", "x-amzn-trace-id", "Fly-Client-IP"]
        {
            assert!(forwarded(field), "{field}");
        }
        for field in ["From", "X-Requested-With", "Vary", "Content-Type", "Cookie", "TE", "Accept"] {
            assert!(!forwarded(field), "{field}");
        }
    }

    #[test]
    fn file_5_repeated_fields_are_all_seen_and_never_single() {
        let head =
            "GET / HTTP/1.1\r\nIf-None-Match: \"a\"\r\nif-none-match:  \"b\" \r\nRange: bytes=0-1\r\n\r\n";
        with_request(head, |r| {
            let tags: Vec<_> = r.values(Name::IfNoneMatch).collect();
            assert_eq!(tags, [&b"\"a\""[..], b"\"b\""]);
            assert_eq!(r.single(Name::IfNoneMatch), None);
            assert_eq!(r.single(Name::Range), Some(&b"bytes=0-1"[..]));
            assert_eq!(r.single(Name::IfRange), None);
        });
    }
}
