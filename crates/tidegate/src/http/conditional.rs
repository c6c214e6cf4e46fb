//! Conditional requests: RFC 9110 §13.2.2, in its order.

use std::time::SystemTime;

use super::request::{Name, Request};

/// Fields that make a request conditional.
pub const FIELDS: &[Name] =
    &[Name::IfMatch, Name::IfNoneMatch, Name::IfModifiedSince, Name::IfUnmodifiedSince];

/// What the preconditions decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Do as if there were none.
    Proceed,
    /// 304: the client has it.
    NotModified,
    /// 412.
    Failed,
}

/// Evaluates the preconditions of a GET or HEAD against the validators of the file found.
pub fn evaluate(request: &Request<'_>, etag: &str, modified: SystemTime) -> Outcome {
    // Step 1, or 2 when If-Match is absent.
    if request.has(&[Name::IfMatch]) {
        if !lists(request, Name::IfMatch, etag, Comparison::Strong) {
            return Outcome::Failed;
        }
    } else if date(request, Name::IfUnmodifiedSince).is_some_and(|since| modified > since) {
        return Outcome::Failed;
    }
    // Step 3, or 4 when If-None-Match is absent.
    if request.has(&[Name::IfNoneMatch]) {
        if lists(request, Name::IfNoneMatch, etag, Comparison::Weak) {
            return Outcome::NotModified;
        }
    } else if date(request, Name::IfModifiedSince).is_some_and(|since| modified <= since) {
        return Outcome::NotModified;
    }
    Outcome::Proceed
}

/// Whether `If-Range` allows the range to be applied (RFC 9110 §13.1.5): a strong entity-tag that matches,
/// or a date that is exactly the file's and old enough to be strong.
pub fn range_applies(request: &Request<'_>, etag: &str, modified: SystemTime, now: SystemTime) -> bool {
    if !request.has(&[Name::IfRange]) {
        return true;
    }
    let Some(value) = request.single(Name::IfRange) else { return false };
    if value.starts_with(b"\"") {
        return value == etag.as_bytes();
    }
    let strong = now.duration_since(modified).is_ok_and(|age| age.as_secs() >= 1);
    strong && parse_date(value) == Some(modified)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether `name` is `*`, or a list that holds `etag`. Our own tags are strong and hold no comma, so no piece of another
/// tag can be ours; nor is a `*` in one the lone `*` (RFC 9110 §13.1.1, §13.1.2).
fn lists(request: &Request<'_>, name: Name, etag: &str, comparison: Comparison) -> bool {
    let mut tags =
        request.values(name).flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    request.single(name) == Some(b"*")
        || tags.any(|tag| match tag.strip_prefix(b"W/") {
            Some(weak) => comparison == Comparison::Weak && weak == etag.as_bytes(),
            None => tag == etag.as_bytes(),
        })
}

/// A date field; one that is repeated or no HTTP date is ignored (RFC 9110 §13.1.3).
fn date(request: &Request<'_>, name: Name) -> Option<SystemTime> {
    parse_date(request.single(name)?)
}

fn parse_date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http1::{Connection, FieldStorage, Limits};
    use std::time::Duration;

    const TAG: &str = "\"0123456789abcdef\"";
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const OLDER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const NEWER: &str = "Mon, 07 Nov 1994 08:49:37 GMT";

    fn modified() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
    }

    fn with<T>(fields: &str, check: impl FnOnce(&Request<'_>) -> T) -> T {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut storage = FieldStorage::new();
        let head_read =
            Connection::new().read_head(head.as_bytes(), &mut storage, &Limits::default()).unwrap().unwrap();
        check(&Request::new(&head_read, head.as_bytes()))
    }

    fn outcome(fields: &str) -> Outcome {
        with(fields, |request| evaluate(request, TAG, modified()))
    }

    #[test]
    fn file_5_preconditions_in_the_order_of_the_rfc() {
        use Outcome::{Failed, NotModified, Proceed};
        for (fields, expected) in [
            (String::new(), Proceed),
            (format!("If-None-Match: {TAG}\r\n"), NotModified),
            (format!("If-None-Match: W/{TAG}\r\n"), NotModified),
            (format!("If-None-Match: \"x\", {TAG}\r\n"), NotModified),
            (format!("If-None-Match: \"x\"\r\nIf-None-Match: {TAG}\r\n"), NotModified),
            ("If-None-Match: *\r\n".into(), NotModified),
            ("If-None-Match: \"x\"\r\n".into(), Proceed),
            ("If-None-Match: \"a,*,b\"\r\n".into(), Proceed),
            ("If-Match: \"a,*,b\"\r\n".into(), Failed),
            (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {NEWER}\r\n"), Proceed),
            (format!("If-Modified-Since: {SAME}\r\n"), NotModified),
            (format!("If-Modified-Since: {OLDER}\r\n"), Proceed),
            ("If-Modified-Since: yesterday\r\n".into(), Proceed),
            (format!("If-Match: {TAG}\r\n"), Proceed),
            ("If-Match: *\r\n".into(), Proceed),
            (format!("If-Match: W/{TAG}\r\n"), Failed),
            ("If-Match: \"x\"\r\n".into(), Failed),
            (format!("If-Match: \"x\"\r\nIf-None-Match: {TAG}\r\n"), Failed),
            (format!("If-Unmodified-Since: {OLDER}\r\n"), Failed),
            (format!("If-Unmodified-Since: {SAME}\r\n"), Proceed),
            (format!("If-Match: {TAG}\r\nIf-Unmodified-Since: {OLDER}\r\n"), Proceed),
            (format!("If-Match: {TAG}\r\nIf-None-Match: {TAG}\r\n"), NotModified),
        ] {
            assert_eq!(outcome(&fields), expected, "{fields}");
        }
    }

    #[test]
    fn file_5_if_range_takes_strong_validators_only() {
        let now = modified() + Duration::from_secs(60);
        for (fields, expected) in [
            (String::new(), true),
            (format!("If-Range: {TAG}\r\n"), true),
            (format!("If-Range: W/{TAG}\r\n"), false),
            ("If-Range: \"x\"\r\n".into(), false),
            (format!("If-Range: {SAME}\r\n"), true),
            (format!("If-Range: {NEWER}\r\n"), false),
        ] {
            assert_eq!(with(&fields, |r| range_applies(r, TAG, modified(), now)), expected, "{fields}");
        }
    }
}
