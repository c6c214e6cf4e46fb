//! Answers to several ranges, taken apart as a strict client would (RFC 9110 §14.6, RFC 2046 §5.1).

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

use std::ops::Range;

use crate::support::Response;

/// One part of a file.
#[derive(Debug)]
pub struct Part {
    pub at: Range<usize>,
    pub bytes: Vec<u8>,
}

/// The parts that an answer carries of a file of `size` bytes and this type: all of it for a 200, one for a
/// single 206, several for a `multipart/byteranges`.
pub fn parts(response: &Response, size: usize, kind: &str) -> Vec<Part> {
    let content_type = response.field("content-type").unwrap();
    if response.status == 200 {
        assert_eq!((response.field("content-range"), content_type), (None, kind));
        return vec![Part { at: 0..size, bytes: response.body.clone() }];
    }
    assert_eq!(response.status, 206);
    let Some(boundary) = content_type.strip_prefix("multipart/byteranges; boundary=") else {
        assert_eq!(content_type, kind);
        let at = content_range(response.field("content-range").expect("a Content-Range"), size);
        return vec![Part { at, bytes: response.body.clone() }];
    };
    // It would be read as the range of the whole answer.
    assert_eq!(response.field("content-range"), None);
    split(&response.body, boundary.trim_matches('"'), size, kind)
}

/// The boundary of a multipart answer.
pub fn boundary(response: &Response) -> String {
    let content_type = response.field("content-type").unwrap();
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").expect(content_type);
    boundary.trim_matches('"').to_owned()
}

/// Takes the body apart by what each part says of itself, so that a delimiter in a file misleads nobody.
fn split(body: &[u8], boundary: &str, size: usize, kind: &str) -> Vec<Part> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
    assert!((1..=70).contains(&boundary.len()) && boundary.bytes().all(allowed), "{boundary:?}");
    let delimiter = format!("--{boundary}");
    // The line end that begins a delimiter may be left out before the first.
    let mut rest = body.strip_prefix(b"\r\n").unwrap_or(body);
    rest = rest.strip_prefix(delimiter.as_bytes()).expect("the first delimiter");
    let mut parts = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let end = part.windows(4).position(|window| window == b"\r\n\r\n").expect("a head of a part");
        let head = std::str::from_utf8(&part[..end]).unwrap();
        let fields: Vec<_> = head.split("\r\n").map(|line| line.split_once(": ").expect(line)).collect();
        let value = |name: &str| {
            let mut values = fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
            let first = values.next().unwrap_or_else(|| panic!("no {name} in {head:?}")).1;
            assert!(values.next().is_none(), "{name} stands twice in {head:?}");
            first
        };
        assert_eq!(value("content-type"), kind);
        let at = content_range(value("content-range"), size);
        let after = &part[end + 4..];
        let bytes = after.get(..at.len()).unwrap_or_else(|| panic!("{at:?} is cut short")).to_vec();
        let after = after[at.len()..].strip_prefix(b"\r\n").unwrap_or_else(|| panic!("no end of {at:?}"));
        rest = after.strip_prefix(delimiter.as_bytes()).unwrap_or_else(|| panic!("nothing behind {at:?}"));
        parts.push(Part { at, bytes });
    }
    assert!(matches!(rest, b"--" | b"--\r\n"), "{:?} at the end", String::from_utf8_lossy(rest));
    assert!(!parts.is_empty());
    parts
}

/// The range that a `Content-Range` states.
fn content_range(value: &str, size: usize) -> Range<usize> {
    let range = value.strip_prefix("bytes ").and_then(|rest| rest.strip_suffix(&format!("/{size}")));
    let (first, last) = range.and_then(|range| range.split_once('-')).unwrap_or_else(|| panic!("{value:?}"));
    let range = first.parse().unwrap()..last.parse::<usize>().unwrap() + 1;
    assert!(range.start < range.end && range.end <= size, "{value:?}");
    range
}
