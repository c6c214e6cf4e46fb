//! Is this JSON? RFC 8259 with the bounds of SPEC UP-2, keeping nothing of the document.
//!
//! `serde_json` judges the grammar; its `IgnoredAny` alone would take invalid UTF-8 inside strings and any
//! depth, so both are judged here before.

use serde::de::IgnoredAny;

/// Deepest nesting of arrays and objects. What reads the files later may recurse; 128 is also where most
/// parsers stop.
pub const MAX_DEPTH: usize = 128;

/// Where and why a body is not JSON that we keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in bytes, counted from 1.
    pub column: usize,
    /// The reason, a sentence without position.
    pub reason: String,
}

/// Judges a whole body.
///
/// # Errors
/// [`Invalid`] at the first fault.
pub fn check(body: &[u8]) -> Result<(), Invalid> {
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(invalid_at(body, 0, "a byte order mark is not allowed"));
    }
    // Only what is text up to a fault is judged further: the earliest fault is the one to report.
    let (sound, not_utf8) = match std::str::from_utf8(body) {
        Ok(_) => (body, None),
        Err(error) => (body.get(..error.valid_up_to()).unwrap_or_default(), Some(error.valid_up_to())),
    };
    let grammar = serde_json::from_slice::<IgnoredAny>(sound)
        .err()
        .filter(|error| not_utf8.is_none() || !error.is_eof())
        .map(|error| Invalid {
            line: error.line().max(1),
            column: error.column().max(1),
            reason: reason(&error),
        });
    let deep = too_deep(sound).map(|offset| invalid_at(body, offset, "nested deeper than 128 levels"));
    let not_utf8 = not_utf8.map(|offset| invalid_at(body, offset, "not UTF-8"));
    let first =
        [grammar, deep, not_utf8].into_iter().flatten().min_by_key(|fault| (fault.line, fault.column));
    first.map_or(Ok(()), Err)
}

/// The offset of the bracket that opens level [`MAX_DEPTH`] + 1. Brackets in strings do not count.
fn too_deep(body: &[u8]) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (offset, byte) in body.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Some(offset);
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn invalid_at(body: &[u8], offset: usize, reason: &str) -> Invalid {
    let (line, column) = position(body, offset);
    Invalid { line, column, reason: reason.to_owned() }
}

fn position(body: &[u8], offset: usize) -> (usize, usize) {
    let before = body.get(..offset).unwrap_or(body);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    (line, column)
}

/// The error's text without the position that `serde_json` appends.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_2_what_rfc_8259_allows_is_kept() {
        let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
        for body in [
            "{}",
            "[]",
            "0",
            "\"\"",
            "null",
            " \t\r\n{\"a\":1} ",
            "{\"a\":1,\"a\":2}",
            "-0",
            "1e999999",
            "123456789012345678901234567890.123456789e-1234567890",
            "\"\\ud800\"",
            "\"\\u0000\"",
            "\"é\"",
            "\"[[[{{{\\\"\"",
            &deep,
        ] {
            assert_eq!(check(body.as_bytes()), Ok(()), "{body}");
        }
    }

    #[test]
    fn up_2_what_rfc_8259_forbids_is_refused() {
        let deep = format!("{}{}", "[".repeat(129), "]".repeat(129));
        for body in [
            "",
            " ",
            "{",
            "{\"a\"}",
            "{a:1}",
            "[1,]",
            "01",
            "+1",
            ".5",
            "1.",
            "1e",
            "NaN",
            "Infinity",
            "nul",
            "'a'",
            "\"a",
            "\"\\x\"",
            "\"\t\"",
            "{} {}",
            "[1]x",
            "//\n1",
            "\u{feff}{}",
            "\"\\u12\"",
            &deep,
        ] {
            assert!(check(body.as_bytes()).is_err(), "{body}");
        }
        for body in [&b"\"\xff\""[..], b"\"\xc0\xae\"", b"\"\xed\xa0\x80\"", b"{}\xff"] {
            assert!(check(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn up_2_the_first_fault_is_told_with_line_and_column() {
        let at = |body: &[u8]| check(body).map_err(|invalid| (invalid.line, invalid.column)).unwrap_err();
        assert_eq!(at(b"{\n  \"a\": 1,\n  oops\n}"), (3, 3));
        assert_eq!(at(b"[1, 2\n\"\xff\"]").0, 2);
        assert_eq!(at(b"\"ab\xff\""), (1, 4));
        let deep = format!("\n{}", "[".repeat(200));
        assert_eq!(at(deep.as_bytes()), (2, 129));
        let faulty_then_deep = format!("[x{}", "[".repeat(200));
        assert_eq!(at(faulty_then_deep.as_bytes()), (1, 2));
    }
}
