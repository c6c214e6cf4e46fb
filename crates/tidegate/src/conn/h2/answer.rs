//! The head of an answer as HTTP/2 has it: the same fields as in HTTP/1, but those of the connection.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};

/// Room for the fields of most answers.
const FIELDS: usize = 16;

/// A head of `status` with encoded field `lines`, and the length of the body where there is one.
pub(super) fn head(status: u16, lines: &[&[u8]], length: Option<u64>) -> http::Response<()> {
    let mut answer = http::Response::new(());
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    let mut fields = HeaderMap::with_capacity(FIELDS);
    // One copy of all, of which the values are parts.
    let text = Bytes::from(lines.concat());
    let mut start = 0;
    while let Some(end) = text.get(start..).and_then(|rest| memchr::memchr(b'\n', rest)) {
        add(&mut fields, &text, start, start + end);
        start += end + 1;
    }
    if let Some(length) = length {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *answer.headers_mut() = fields;
    answer
}

/// Adds the line between `start` and `end`, which ends in CR.
fn add(fields: &mut HeaderMap, text: &Bytes, start: usize, end: usize) {
    let line = text.get(start..end).unwrap_or_default().trim_ascii_end();
    let Some(colon) = memchr::memchr(b':', line) else { return };
    let (name, value) = line.split_at(colon);
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    let value = HeaderValue::from_maybe_shared(text.slice_ref(value));
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
        // More than a map may hold are never written.
        let _ = fields.try_append(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_1_fields_are_those_of_http_1() {
        let lines: [&[u8]; 3] =
            [b"Date: now\r\nServer: tidegate\r\n", b"", b"Vary: Origin\r\nVary: Accept\r\n"];
        let answer = head(200, &lines, Some(4));
        let fields: Vec<_> = answer.headers().iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        let expected: [(&str, &[u8]); 5] = [
            ("date", b"now"),
            ("server", b"tidegate"),
            ("vary", b"Origin"),
            ("vary", b"Accept"),
            ("content-length", b"4"),
        ];
        assert_eq!(answer.status(), 200);
        assert_eq!(fields.len(), expected.len());
        assert!(expected.iter().all(|field| fields.contains(field)), "{fields:?}");
    }
}
