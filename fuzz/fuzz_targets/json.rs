//! JSON: what is kept is what the grammar of RFC 8259 makes of the bytes, read by a reader that shares nothing with the
//! one in use; and a fault has a place in the body.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tidegate::store::json::{Invalid, MAX_DEPTH, check as judge};

fuzz_target!(|body: &[u8]| fuzz::timely(body, check));

fn check(body: &[u8]) {
    let judged = judge(body);
    assert_eq!(judged.is_ok(), is_json(body), "{judged:?}");
    match judged {
        Err(invalid) => is_told(&invalid, body),
        Ok(()) => {
            let padded = [b" \r\n\t", body, b"\n"].concat();
            assert_eq!(judge(&padded), Ok(()), "white space changes nothing");
        }
    }
    if let Err(error) = serde_json::from_slice::<Value>(body) {
        assert!(judge(body).is_err() || is_stricter(&error, body), "{error}");
    } else {
        assert_eq!(judge(body), Ok(()));
    }
}

/// The allowed disagreements with a reader that makes a value of each thing, all of which SPEC UP-2 keeps: a number
/// that is beyond an `f64`, half of a surrogate pair, and the last level of 128.
fn is_stricter(error: &serde_json::Error, body: &[u8]) -> bool {
    let text = error.to_string();
    let has = |wanted: &str| text.starts_with(wanted);
    has("number out of range")
        || has("recursion limit exceeded")
        || ["lone leading surrogate", "unexpected end of hex escape", "invalid unicode code point"]
            .iter()
            .any(|wanted| has(wanted))
            && body.windows(2).any(|two| two == b"\\u")
}

fn is_told(invalid: &Invalid, body: &[u8]) {
    let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
    assert!((1..=lines.len()).contains(&invalid.line), "{invalid:?}");
    assert!((1..=lines[invalid.line - 1].len() + 1).contains(&invalid.column), "{invalid:?}");
    assert!(!invalid.reason.is_empty() && !invalid.reason.contains(" at line "));
}

/// RFC 8259 with the bounds of SPEC UP-2, one function for each rule of the grammar.
fn is_json(body: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(body) else { return false };
    value(past_blanks(text), 0).is_some_and(|rest| past_blanks(rest).is_empty())
}

fn past_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r'])
}

/// What follows the value at the front of `text`, which lies in `depth` arrays and objects.
fn value(text: &str, depth: usize) -> Option<&str> {
    let word = ["true", "false", "null"].into_iter().find_map(|word| text.strip_prefix(word));
    let within = depth + 1;
    match text.chars().next()? {
        '"' => string(text),
        '[' if within <= MAX_DEPTH => list(&text[1..], ']', |text| value(text, within)),
        '{' if within <= MAX_DEPTH => list(&text[1..], '}', |text| member(text, within)),
        '-' | '0'..='9' => number(text),
        _ => word,
    }
}

/// Items with commas between them, up to `end`.
fn list(text: &str, end: char, item: impl Fn(&str) -> Option<&str>) -> Option<&str> {
    let mut rest = past_blanks(text);
    if let Some(empty) = rest.strip_prefix(end) {
        return Some(empty);
    }
    loop {
        rest = past_blanks(item(past_blanks(rest))?);
        match rest.strip_prefix(end) {
            Some(after) => return Some(after),
            None => rest = rest.strip_prefix(',')?,
        }
    }
}

fn member(text: &str, depth: usize) -> Option<&str> {
    let rest = past_blanks(string(text)?).strip_prefix(':')?;
    value(past_blanks(rest), depth)
}

fn string(text: &str) -> Option<&str> {
    let mut rest = text.strip_prefix('"')?;
    loop {
        let letter = rest.chars().next()?;
        rest = &rest[letter.len_utf8()..];
        match letter {
            '"' => return Some(rest),
            '\\' => rest = escape(rest)?,
            '\0'..='\x1f' => return None,
            _ => {}
        }
    }
}

fn escape(text: &str) -> Option<&str> {
    match text.as_bytes() {
        [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Some(&text[1..]),
        [b'u', digits @ ..] => {
            let four = digits.get(..4)?;
            four.iter().all(u8::is_ascii_hexdigit).then(|| &text[5..])
        }
        _ => None,
    }
}

fn number(text: &str) -> Option<&str> {
    let text = text.strip_prefix('-').unwrap_or(text);
    let mut rest = match text.strip_prefix('0') {
        Some(rest) => rest,
        None => past_digits(text)?,
    };
    if let Some(fraction) = rest.strip_prefix('.') {
        rest = past_digits(fraction)?;
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        rest = past_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))?;
    }
    Some(rest)
}

/// At least one digit.
fn past_digits(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
    (rest.len() < text.len()).then_some(rest)
}
